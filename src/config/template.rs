//! Where a text comes from: a JSON pointer, or a template with pointers in braces.

use serde::{Deserialize, Deserializer};

use super::layers::List;
use super::written;

/// What a text is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The value at a JSON pointer.
    Field(String),
    /// What stands between fields.
    Between(String),
}

/// Reads what a text is made of: `/body`, or `{/subject}: {/body}`. Braces for their own sake are doubled.
///
/// # Errors
/// With what is wrong with it.
pub fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    if text.starts_with('/') {
        if text.contains("{/") {
            return Err(format!(
                "`{text}` begins with `/`, and has a pointer in braces: in a template, all of them are"
            ));
        }
        return pointer(text).map(|field| vec![Piece::Field(field)]);
    }
    if text.trim().starts_with('[') && text.trim().ends_with(']') {
        return Err(format!("`{text}` is to be a list, as it seems; where there are braces, {QUOTED}"));
    }
    let (mut pieces, mut between) = (Vec::new(), String::new());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        between.push_str(&rest[..at]);
        let doubled = ["{{", "}}"].into_iter().find(|doubled| rest[at..].starts_with(doubled));
        rest = &rest[at..];
        if let Some(doubled) = doubled {
            between.push_str(&doubled[1..]);
            rest = &rest[2..];
            continue;
        }
        let field = rest.strip_prefix('{').ok_or("has a `}` without its `{`: doubled, it stands for itself")?;
        let (field, behind) =
            field.split_once('}').ok_or("has a `{` without its `}`: doubled, it stands for itself")?;
        if !between.is_empty() {
            pieces.push(Piece::Between(std::mem::take(&mut between)));
        }
        pieces.push(Piece::Field(pointer(field)?));
        rest = behind;
    }
    between.push_str(rest);
    if pieces.is_empty() {
        return pointer(text).map(|field| vec![Piece::Field(field)]);
    }
    if !between.is_empty() {
        pieces.push(Piece::Between(between));
    }
    if let Some(field) = pieces.iter().find_map(outside) {
        return Err(format!("has `{field}` behind a comma, and not in braces: {QUOTED}"));
    }
    Ok(pieces)
}

/// How a list is written in one string.
const QUOTED: &str = r#"the entries of a list are quoted, as in `["{/subject}", "/body"]`"#;

/// What looks like the next entry of a list, and would be no more than words between fields.
fn outside(piece: &Piece) -> Option<&str> {
    let Piece::Between(between) = piece else { return None };
    let mut behind = between.split(',').skip(1).map(str::trim);
    behind.find(|entry| entry.strip_prefix('/').is_some_and(|name| name.starts_with(char::is_alphanumeric)))
}

/// A JSON pointer that is none of the whole document.
pub(super) fn pointer(text: &str) -> Result<String, String> {
    let escaped = text.replace("~0", "").replace("~1", "");
    if !text.starts_with('/') || escaped.contains('~') {
        return Err(format!("`{text}` is no JSON pointer (RFC 6901), such as `/body` or `/mail/text`"));
    }
    Ok(text.to_owned())
}

/// Reads a list of texts. A template is one, though it has commas; one string with several is a list as YAML has it.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    List::deserialize(from).map(elements)
}

/// The same where it may be left out.
pub(super) fn some_list<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Option::<List>::deserialize(from).map(|list| list.map(elements))
}

fn elements(list: List) -> Vec<String> {
    match list {
        List::Joined(text) if text.contains('{') => written::list(&text).unwrap_or_else(|| vec![text]),
        list => list.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_pointer_or_a_template_with_pointers() {
        let (field, between) = (|name: &str| Piece::Field(name.into()), |text: &str| Piece::Between(text.into()));
        assert_eq!(pieces("/a/*/b").unwrap(), [field("/a/*/b")]);
        assert_eq!(pieces("/a{b}").unwrap(), [field("/a{b}")], "a pointer may have braces");
        assert_eq!(pieces("{/a}, [{/b}] / or").unwrap().len(), 4);
        assert_eq!(pieces("{/a}").unwrap(), [field("/a")]);
        let expected = [between("{From}: "), field("/a"), between(",\n"), field("/b~1c"), between("!")];
        assert_eq!(pieces("{{From}}: {/a},\n{/b~1c}!").unwrap(), expected);
        for (wrong, expected) in [
            ("", "JSON pointer"),
            ("body", "JSON pointer"),
            ("{body}", "JSON pointer"),
            ("{/a~2}", "JSON pointer"),
            ("{/a", "a `{` without its `}`"),
            ("{/a}}", "a `}` without its `{`"),
            ("{{/a}}", "JSON pointer"),
            ("/from: {/body}", "in a template, all of them are"),
            ("{/a}, /b", "`/b` behind a comma"),
            ("[{/a}, {/b}]", "are quoted"),
        ] {
            let error = pieces(wrong).unwrap_err();
            assert!(error.contains(expected), "{wrong}: {error}");
        }
    }
}
