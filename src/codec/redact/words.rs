//! Words are masked whole: half a name would tell it (G-22 lets models cut a word; masks do not).

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

use super::plain::is_hidden;

/// What joins the parts of a word, if it stands between them: `Anna-Lena`, `O'Neill`, `anna.meyer@example.org`.
const JOINERS: [char; 10] = ['-', '\u{2010}', '\u{2011}', '.', '@', '\'', '\u{2019}', '&', '·', '・'];

/// The span with all of the words that it has a part of.
pub(super) fn whole(text: &str, span: Range<usize>) -> Range<usize> {
    let inside = &text[span.clone()];
    let mut start = span.start + (inside.len() - inside.trim_start().len());
    let mut end = start + inside.trim().len();
    if start == end {
        return start..end;
    }
    while goes_on(text, start) {
        start -= text[..start].chars().next_back().map_or(0, char::len_utf8);
    }
    while goes_on(text, end) {
        end += text[end..].chars().next().map_or(0, char::len_utf8);
    }
    start..end
}

/// Whether neither side of the span goes on with a letter.
pub(super) fn is_apart(text: &str, span: &Range<usize>) -> bool {
    !letters_go_on(text, span.start) && !letters_go_on(text, span.end)
}

/// Whether a word goes on from what is before a place to what is behind it.
fn goes_on(text: &str, at: usize) -> bool {
    if letters_go_on(text, at) {
        return true;
    }
    let (mut before, mut behind) = (seen_before(text, at), seen_behind(text, at));
    let (Some((last, of_last)), Some(next)) = (before.next(), behind.next()) else { return false };
    let is_in_word = before.next().is_some_and(|(_, letter)| is_part(letter));
    if JOINERS.contains(&next) {
        return is_part(of_last) && behind.next().is_some_and(is_part) && !is_possessive(&text[at..]);
    }
    let joins = JOINERS.contains(&of_last) && is_in_word && !is_possessive(&text[last..]);
    // A handle begins with its sign.
    let begins = matches!(of_last, '@' | '#') && !is_in_word;
    is_part(next) && (joins || begins)
}

fn letters_go_on(text: &str, at: usize) -> bool {
    match (text[..at].chars().next_back(), text[at..].chars().next()) {
        (None, _) | (_, None) => false,
        // What has no place of its own belongs to the letter before it.
        (Some(last), Some(next)) if is_hidden(next) || is_combining_mark(next) => !last.is_whitespace(),
        (_, Some(next)) => is_part(next) && seen_before(text, at).next().is_some_and(|(_, last)| is_part(last)),
    }
}

/// The letters before a place, the last one first, and where they stand.
fn seen_before(text: &str, at: usize) -> impl Iterator<Item = (usize, char)> {
    text[..at].char_indices().rev().filter(|(_, letter)| !is_hidden(*letter) && !is_combining_mark(*letter))
}

fn seen_behind(text: &str, at: usize) -> impl Iterator<Item = char> {
    text[at..].chars().filter(|letter| !is_hidden(*letter))
}

/// `'s` is none of the name, so that `Anna's` and `Anna` are one, also as hashes.
pub(super) fn is_possessive(rest: &str) -> bool {
    let mut letters = rest.chars();
    matches!(letters.next(), Some('\'' | '\u{2019}'))
        && matches!(letters.next(), Some('s' | 'S'))
        && !letters.next().is_some_and(is_part)
}

/// Whether a character makes a word together with its neighbours. Those of scripts that write no blanks do not.
fn is_part(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric() && !is_unspaced(letter)
}

/// Thai, Lao, Tibetan, Burmese, Khmer, Kana, Han.
fn is_unspaced(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{f00}'..='\u{fff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole_of(text: &str, part: &str) -> String {
        let start = text.find(part).unwrap();
        text[whole(text, start..start + part.len())].to_owned()
    }

    #[test]
    fn a_part_of_a_word_stands_for_all_of_it() {
        let cases = [
            ("from Hannelore to", "nne", "Hannelore"),
            ("Müller's car", "Mül", "Müller"),
            ("Müller\u{2019}s car", "ller", "Müller"),
            ("Anna-Lena Meyer-Schulz came", "Lena Meyer", "Anna-Lena Meyer-Schulz"),
            ("J. O'Neill.", "Neill", "O'Neill"),
            ("ask @anna_m!", "anna", "@anna_m"),
            ("write anna.meyer@example.org.", "meyer", "anna.meyer@example.org"),
            ("Zoe\u{308}!", "Zo", "Zoe\u{308}"),
            ("e\u{308}va", "va", "e\u{308}va"),
            ("An\u{200b}na B", "An", "An\u{200b}na"),
            ("An\u{200b}na B", "na", "An\u{200b}na"),
            ("Anna. Then", "Anna", "Anna"),
            ("(Anna)", "Anna", "Anna"),
            ("  Anna  ", " Anna ", "Anna"),
            ("AT&T said", "AT", "AT&T"),
            ("私は東京に住む", "東京", "東京"),
            ("김철수가", "김철수", "김철수가"),
        ];
        for (text, part, expected) in cases {
            assert_eq!(whole_of(text, part), expected, "{part} in {text}");
        }
    }

    #[test]
    fn a_word_is_apart_where_no_letter_goes_on() {
        for (text, part, expected) in [
            ("Ann came", "Ann", true),
            ("Anna came", "Ann", false),
            ("Ann\u{301}a", "Ann", false),
            ("Joann", "ann", false),
            ("Ann-Marie", "Ann", true),
            ("住東京", "東京", true),
            ("An\u{200b}na", "An", false),
        ] {
            let start = text.find(part).unwrap();
            assert_eq!(is_apart(text, &(start..start + part.len())), expected, "{part} in {text}");
        }
    }
}
