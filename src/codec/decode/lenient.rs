//! JSON as some programs write it, who were not told what JSON is: `NaN`, `Infinity`, `-Infinity`, and a comma behind the last
//! element.
//!
//! A comma too many is left out, and a number that JSON does not have becomes another value. All else stays byte for byte.

/// What becomes of a number that JSON does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotANumber {
    /// Null, as is meant where a text or an id is missing: so `pandas` writes it.
    IsNull,
    /// The string that it is written as, as Protobuf's JSON has it: nothing is lost.
    IsAWord,
}

/// The same as strict JSON; `None`: that is not all that is wrong with it.
pub(super) fn strict(json: &str, not_a_number: NotANumber) -> Option<String> {
    let mut made = String::with_capacity(json.len() + 16);
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let (token, behind) = rest.split_at(length(first, rest));
        match token {
            "," if behind.trim_start().starts_with([']', '}']) && follows_a_value(&made) => {}
            "NaN" | "Infinity" if !behind.trim_start().starts_with(':') => {
                let is_negative = token == "Infinity" && made.ends_with('-');
                let sign = if is_negative { made.pop().map_or("", |_| "-") } else { "" };
                match not_a_number {
                    NotANumber::IsNull => made.push_str("null"),
                    NotANumber::IsAWord => made.extend(["\"", sign, token, "\""]),
                }
            }
            other => made.push_str(other),
        }
        rest = behind;
    }
    (made != json).then_some(made)
}

/// Bytes of the token that comes next: a string, a word, or anything else by one character.
fn length(first: char, rest: &str) -> usize {
    match first {
        '"' => string(rest),
        'a'..='z' | 'A'..='Z' => rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()),
        _ => first.len_utf8(),
    }
}

/// Bytes of a string with its quotation marks; all, if it does not end.
fn string(rest: &str) -> usize {
    let mut is_escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(rest.len(), |end| end + 2)
}

fn follows_a_value(made: &str) -> bool {
    !made.trim_end().ends_with(['[', '{', ',', ':']) && !made.trim_end().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_what_is_named_becomes_strict() {
        for (lenient, expected) in [
            ("[1, 2, ]", "[1, 2 ]"),
            ("{\"a\":{\"b\":1,\n},}", "{\"a\":{\"b\":1\n}}"),
            ("[NaN,Infinity,-Infinity]", r#"["NaN","Infinity","-Infinity"]"#),
            (r#"["NaN, ]\",]",]"#, r#"["NaN, ]\",]"]"#),
        ] {
            assert_eq!(strict(lenient, NotANumber::IsAWord).as_deref(), Some(expected));
        }
        assert_eq!(strict("[NaN,-Infinity,1,]", NotANumber::IsNull).as_deref(), Some("[null,null,1]"));
        for other in ["[,]", "[1,,]", "{,}", "{NaN:1}", "[-NaN]", "[nan]", "[1NaN]", "{'a':1}", "[\"a", "[01]", "[1,"] {
            let made = strict(other, NotANumber::IsAWord).unwrap_or_else(|| other.to_owned());
            assert!(serde_json::from_str::<Value>(&made).is_err(), "{other} became {made}");
        }
    }

    proptest! {
        #[test]
        fn strict_json_stays_as_it_is(words in prop::collection::vec(".{0,8}", 0..8), number in any::<f64>()) {
            let json = serde_json::json!({ "words": words, "n": [number, true, null, {}, []] }).to_string();
            prop_assert_eq!(strict(&json, NotANumber::IsNull), None);
        }

        #[test]
        fn no_text_panics(text in "[\\[\\]{},:\"\\\\aN\\-Infinity é]{0,40}") {
            drop(strict(&text, NotANumber::IsAWord));
        }
    }
}
