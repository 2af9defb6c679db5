//! A text as it is searched: in small letters, composed (NFC), without characters that nobody sees. Whoever writes `A\u{200b}nna`
//! or `ANNA` means the same person, and a name is in one form here and in another there.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// What is searched, and where it stands in the text itself.
#[derive(Debug)]
pub(super) struct Plain {
    /// What is searched.
    pub text: String,
    /// For each of its bytes, from where to where it is written in the text; none where all stands where it was.
    written: Option<Vec<(u32, u32)>>,
}

impl Plain {
    pub fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self { text: text.to_ascii_lowercase(), written: None };
        }
        let mut plain = Self { text: String::with_capacity(text.len()), written: None };
        let mut written = Vec::with_capacity(text.len());
        let mut letters = text.char_indices().filter(|(_, letter)| !is_hidden(*letter)).peekable();
        while let Some((start, first)) = letters.next() {
            let mut end = start + first.len_utf8();
            let mut letter = String::from(narrow(first));
            // A letter and its accents are one.
            while let Some((at, mark)) = letters.next_if(|(_, next)| is_combining_mark(*next)) {
                letter.push(mark);
                end = at + mark.len_utf8();
            }
            plain.text.extend(letter.nfc().flat_map(char::to_lowercase).nfc());
            written.resize(plain.text.len(), (start as u32, end as u32));
        }
        plain.written = Some(written);
        plain
    }

    /// Where some bytes of what is searched are written in the text.
    pub fn written(&self, found: Range<usize>) -> Range<usize> {
        match &self.written {
            Some(written) if !found.is_empty() => written[found.start].0 as usize..written[found.end - 1].1 as usize,
            _ => found,
        }
    }
}

/// Characters without width or ink, with which names are interrupted: joiners, soft hyphens, directions, variants.
pub(super) fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Letters and digits of full width, as East Asian keyboards write them, are those of ASCII.
fn narrow(letter: char) -> char {
    match letter {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0).unwrap_or(letter),
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' | '\u{3000}' => ' ',
        '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}' | '\u{2212}' => '-',
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_otherwise_is_found_where_it_stands() {
        for (text, name) in [
            ("Liebe ZOË,", "ZOË"),
            ("Liebe Zoe\u{308},", "Zoe\u{308}"),
            ("Liebe Z\u{200b}o\u{ad}e\u{308},", "Z\u{200b}o\u{ad}e\u{308}"),
        ] {
            let plain = Plain::of(text);
            let start = plain.text.find("zoë").unwrap();
            assert_eq!(&text[plain.written(start..start + "zoë".len())], name);
        }
        let plain = Plain::of("call +４９ now");
        assert_eq!(plain.text, "call +49 now");
        assert_eq!(plain.written(5..8), 5..12);
        assert_eq!(Plain::of("İ").written(0..1), 0..2, "small letters may be longer than capitals");
    }
}
