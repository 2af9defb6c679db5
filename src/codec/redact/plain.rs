//! A text as it is searched: in small letters, composed, without characters that nobody sees. Whoever writes `A\u{200b}nna`,
//! `ANNA` or `𝐀nna` means the same person, and a name is in one form here and in another there.

use std::cell::OnceCell;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// What is searched, and where it stands in the text itself.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// What is searched.
    pub text: String,
    /// For each of its bytes, from where to where it is written in the text; none where all stands where it was.
    written: Option<Vec<(u32, u32)>>,
    /// [`Plain::flowing`], once it was asked for; none where it is no other.
    flowing: OnceCell<Option<Box<Plain>>>,
}

impl Plain {
    pub fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self { text: text.to_ascii_lowercase(), ..Self::default() };
        }
        let mut plain = Self { text: String::with_capacity(text.len()), ..Self::default() };
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
            plain.text.push_str(&folded(&letter));
            written.resize(plain.text.len(), (start as u32, end as u32));
        }
        plain.written = Some(written);
        plain
    }

    /// The same with a single blank wherever there is white space: a line may end within a name. (Within a number it does not:
    /// what stands below it is another.)
    pub fn flowing(&self) -> &Self {
        self.flowing.get_or_init(|| self.made_flowing().map(Box::new)).as_deref().unwrap_or(self)
    }

    fn made_flowing(&self) -> Option<Self> {
        let is_broken = |letter: char| letter != ' ' && letter.is_whitespace();
        if !self.text.contains(is_broken) && !self.text.contains("  ") {
            return None;
        }
        let mut text = String::with_capacity(self.text.len());
        let mut written: Vec<(u32, u32)> = Vec::with_capacity(self.text.len());
        for (at, letter) in self.text.char_indices() {
            let Range { start, end } = self.written(at..at + letter.len_utf8());
            let place = (start as u32, end as u32);
            match written.last_mut() {
                Some(last) if letter.is_whitespace() && text.ends_with(' ') => last.1 = place.1,
                _ => {
                    text.push(if letter.is_whitespace() { ' ' } else { letter });
                    written.resize(text.len(), place);
                }
            }
        }
        Some(Self { text, written: Some(written), ..Self::default() })
    }

    /// Where some bytes of what is searched are written in the text.
    pub fn written(&self, found: Range<usize>) -> Range<usize> {
        match &self.written {
            Some(written) if !found.is_empty() => written[found.start].0 as usize..written[found.end - 1].1 as usize,
            _ => found,
        }
    }
}

/// Characters without width or ink, with which names are interrupted: joiners, soft hyphens, directions, variants, fillers.
pub(super) fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// One form for all in which a letter with its marks is written: small and capital (`ß` is `SS` then, `ς` is `Σ`, `ı` is `I`),
/// composed or not, and styled as mathematicians have it.
fn folded(letter: &str) -> String {
    let small: String = if letter.starts_with(char::is_alphabetic) {
        letter.nfkc().flat_map(char::to_lowercase).nfkc().collect()
    } else {
        letter.nfc().collect()
    };
    if small.is_ascii() {
        return small;
    }
    small.replace('ß', "ss").replace('ς', "σ").replace('ı', "i").replace("i\u{307}", "i")
}

/// The zeros of the scripts that have digits of their own, each with the other nine behind it.
const ZEROS: [char; 27] = [
    '\u{660}',
    '\u{6f0}',
    '\u{7c0}',
    '\u{966}',
    '\u{9e6}',
    '\u{a66}',
    '\u{ae6}',
    '\u{b66}',
    '\u{be6}',
    '\u{c66}',
    '\u{ce6}',
    '\u{d66}',
    '\u{de6}',
    '\u{e50}',
    '\u{ed0}',
    '\u{f20}',
    '\u{1040}',
    '\u{17e0}',
    '\u{1810}',
    '\u{a9d0}',
    '\u{abf0}',
    '\u{ff10}',
    '\u{1d7ce}',
    '\u{1d7d8}',
    '\u{1d7e2}',
    '\u{1d7ec}',
    '\u{1d7f6}',
];

/// Digits are those of ASCII, whatever script has written them: so numbers are found by their forms.
fn digit(letter: char) -> Option<char> {
    let value = |zero: &char| u32::from(letter).checked_sub(u32::from(*zero)).filter(|value| *value < 10);
    ZEROS.iter().find_map(value).and_then(|value| char::from_digit(value, 10))
}

/// Signs of full width, as East Asian keyboards write them, are those of ASCII; so are blanks and hyphens of other widths.
fn narrow(letter: char) -> char {
    if let Some(digit) = digit(letter) {
        return digit;
    }
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

    #[test]
    fn capitals_styles_and_digits_of_any_script_are_one_form() {
        for (one, other) in [
            ("WEISS", "Weiß"),
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσευς"),
            ("IŞIK", "Işık"),
            ("İpek", "ipek"),
            ("Ａｎｎａ", "anna"),
            ("𝐀𝓃𝕟𝚊", "Anna"),
            ("ﬁnn", "Finn"),
            ("٤١١١ ۱ १ 𝟗", "4111 1 1 9"),
            ("A\u{3164}n\u{115f}na", "anna"),
        ] {
            assert_eq!(Plain::of(one).text, Plain::of(other).text, "{one} {other}");
        }
        assert_ne!(Plain::of("x²").text, Plain::of("x2").text, "a note behind a number is none of its digits");
    }

    #[test]
    fn a_name_flows_over_the_end_of_a_line_and_is_found_where_it_stands() {
        for text in ["Zoë  Müller", "Zoë\r\n\tMüller", "Zoe\u{308}\u{a0}\u{2028} Mu\u{308}ller", "zoë\nmüller"] {
            let plain = Plain::of(text);
            let flowing = plain.flowing();
            assert_eq!(flowing.text, "zoë müller");
            assert_eq!(flowing.written(0..flowing.text.len()), 0..text.len());
            assert_eq!(text[flowing.written(4..5)].trim(), "", "the blank is all that stands between");
        }
        let plain = Plain::of("a b");
        assert!(std::ptr::eq(plain.flowing(), &raw const plain), "nothing is copied that is no other");
    }
}
