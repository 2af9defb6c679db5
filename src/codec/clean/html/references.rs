//! Which code points of the markup each one of its text comes from: `&amp;` is one of the text, and five there.

use std::ops::Range;

use html5gum::{State, Token, Tokenizer};

/// The code points of a text that was read in this state, with the bytes of the markup that each comes from; those of the
/// whole, if one can't be told from another.
pub(super) fn aligned(markup: &str, text: &str, state: State) -> Vec<(char, Range<usize>)> {
    let mut found = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(letter) = markup[at..].chars().next() {
        let end = at + letter.len_utf8();
        match letter {
            '&' if matches!(state, State::Data | State::RcData) => {
                let end = end_of_reference(markup, at);
                reference(&markup[at..end], at, &mut found);
                at = end;
                continue;
            }
            // An end tag without a name is nothing.
            '<' if state == State::Data && markup[end..].starts_with("/>") => {
                at = end + 2;
                continue;
            }
            '\r' if markup[end..].starts_with('\n') => {}
            '\r' => found.push(('\n', at..end)),
            letter => found.push((letter, at..end)),
        }
        at = end;
    }
    // Not every state leaves a NUL as it is.
    let is_same = |(found, _): &(char, _), read| *found == read || (*found == '\0' && read == '\u{fffd}');
    if found.len() == text.chars().count() && found.iter().zip(text.chars()).all(|(found, read)| is_same(found, read)) {
        found.iter_mut().zip(text.chars()).for_each(|(found, read)| found.0 = read);
        return found;
    }
    text.chars().map(|letter| (letter, 0..markup.len())).collect()
}

/// Behind all that can be of a reference.
fn end_of_reference(markup: &str, at: usize) -> usize {
    let rest = &markup[at + 1..];
    let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '#').unwrap_or(rest.len());
    at + 1 + length + usize::from(rest[length..].starts_with(';'))
}

/// The characters of what may be a reference, and may have more letters behind it (`&ampx`), which stand for themselves.
fn reference(markup: &str, start: usize, found: &mut Vec<(char, Range<usize>)>) {
    let read = Tokenizer::new(markup).filter_map(|token| match token {
        Ok(Token::String(text)) => Some(String::from_utf8_lossy(&text.value).into_owned()),
        _ => None,
    });
    let read: String = read.collect();
    let same = markup.bytes().rev().zip(read.bytes().rev()).take_while(|(one, other)| one == other && one.is_ascii());
    let same = same.count().min(markup.len());
    let (head, tail) = (markup.len() - same, read.len() - same);
    // Of one that is none, the sign stands for itself, too.
    found.extend(read[..tail].chars().map(|letter| (letter, start..start + head)));
    found.extend(markup[head..].char_indices().map(|(at, letter)| (letter, start + head + at..start + head + at + 1)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_character_comes_from_its_reference() {
        let read = |markup: &str, text: &str| {
            let found = aligned(markup, text, State::Data);
            found
                .into_iter()
                .map(|(letter, place)| format!("{letter}={}", &markup[place]))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(read("a&eacute;b", "aéb"), "a=a é=&eacute; b=b");
        assert_eq!(read("&#x42;&#66;&lt", "BB<"), "B=&#x42; B=&#66; <=&lt");
        assert_eq!(
            read("&ampx & &nosuch; Zoë", "&x & &nosuch; Zoë"),
            "&=&amp x=x  =  &=&  =  &=& n=n o=o s=s u=u c=c h=h ;=;  =  Z=Z o=o ë=ë"
        );
        assert_eq!(read("&NotEqualTilde;", "\u{2242}\u{338}"), "\u{2242}=&NotEqualTilde; \u{338}=&NotEqualTilde;");
        assert_eq!(read("a\r\nb\r", "a\nb\n"), "a=a \n=\n b=b \n=\r");
        assert_eq!(read("abc", "xy"), "x=abc y=abc", "what can't be told");
    }

    #[test]
    fn each_state_reads_in_its_way() {
        let places = |markup: &str, text: &str, state| {
            aligned(markup, text, state)
                .into_iter()
                .map(|(letter, place)| (letter, place.start, place.end))
                .collect::<Vec<_>>()
        };
        let raw = [('&', 0, 1), ('l', 1, 2), ('t', 2, 3), (';', 3, 4), ('\u{fffd}', 4, 5)];
        assert_eq!(places("&lt;\0", "&lt;\u{fffd}", State::RawText), raw);
        assert_eq!(places("&lt;\0", "<\u{fffd}", State::RcData), [('<', 0, 4), ('\u{fffd}', 4, 5)]);
        assert_eq!(places("a</>\0", "a\0", State::Data), [('a', 0, 1), ('\0', 4, 5)]);
    }
}
