//! Letters as they are seen: without what hides between them, and in their plain form. Texts in other scripts than Latin, and
//! emoji, stay as they are.

mod hidden;
mod look_alikes;
mod styled;

use unicode_script::{Script, UnicodeScript as _};

use self::hidden::{AS_EMOJI, is_accent, is_hidden, is_of_europe};
use self::look_alikes::look_alikes;
use self::styled::{plain, small_letters};
use super::traced::Traced;

/// So many accents a letter may have, in any language that is written in Latin, Greek or Cyrillic.
const MOST_MARKS: usize = 2;

/// As short as a word may be whose letters are changed by what they look like: `α` is none.
const SHORTEST: usize = 3;

/// A letter that is seen, and which code point of the text it is.
type Seen = (char, u32);

/// The text without what nobody sees, in plain letters; `None` where that changes nothing.
pub(super) fn clean(text: &str) -> Option<Traced> {
    if text.is_ascii() {
        return None;
    }
    let (mut seen, mut is_changed) = seen(text);
    is_changed |= small_letters(&mut seen);
    is_changed |= look_alikes(&mut seen);
    let mut cleaned = Traced::default();
    for (letter, place) in seen {
        cleaned.push(letter, place..place + 1);
    }
    is_changed.then_some(cleaned)
}

/// What is seen of a text, and whether that is not all of it.
fn seen(text: &str) -> (Vec<Seen>, bool) {
    let mut seen: Vec<Seen> = Vec::with_capacity(text.len());
    let (mut is_changed, mut marks, mut base) = (false, 0, None);
    let mut letters = text.chars().zip(0..).peekable();
    while let Some((letter, place)) = letters.next() {
        let next = letters.peek().map(|(next, _)| *next);
        marks = if is_accent(letter) { marks + 1 } else { 0 };
        let last = seen.last().map(|(last, _)| *last);
        if is_hidden(letter, last, base, next) || marks > MOST_MARKS && is_of_europe(base) {
            is_changed = true;
            continue;
        }
        let plain = plain(letter).filter(|_| next != Some(AS_EMOJI));
        is_changed |= plain.is_some();
        if letter.script() != Script::Inherited {
            base = Some(letter);
        }
        seen.push((plain.unwrap_or(letter), place));
    }
    (seen, is_changed)
}

/// Stretches of letters, digits and their accents.
fn words(seen: &mut [Seen]) -> impl Iterator<Item = &mut [Seen]> {
    let is_part = |letter: char| letter.is_alphanumeric() || letter.script() == Script::Inherited;
    seen.chunk_by_mut(move |(one, _), (other, _)| is_part(*one) && is_part(*other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        clean(text).map_or_else(|| text.to_owned(), |cleaned| cleaned.text)
    }

    #[test]
    fn what_hides_between_letters_goes() {
        for (text, expected) in [
            ("V\u{200b}i\u{200d}a\u{2060}g\u{ad}r\u{feff}a", "Viagra"),
            ("\u{202e}p\u{202c}rize \u{2066}x\u{2069} \u{200f}y\u{200e}", "prize x y"),
            ("f\u{fe0f}r\u{fe00}e\u{34f}e\u{3164}", "free"),
            ("no\u{e0068}\u{e0069}thing", "nothing"),
            ("V\u{30d}\u{310}\u{302}\u{346}\u{35b}iagra", "V\u{30d}\u{310}iagra"),
        ] {
            assert_eq!(cleaned(text), expected, "{text:?}");
        }
    }

    #[test]
    fn letters_of_other_styles_are_plain() {
        for (text, expected) in [
            ("𝐅𝐑𝐄𝐄 𝓹𝓻𝓲𝔃𝓮 𝟙𝟘𝟘", "FREE prize 100"),
            ("Ｆｒｅｅ ｍｏｎｅｙ １０", "Free money 10"),
            ("ⓕⓡⓔⓔ ⒡ 🅵🆁🅴🅴 🄵🅁🄴🄴 🅕🅡🅔🅔", "free f FREE FREE FREE"),
            ("ᶠʳᵉᵉ ℱℛℰℰ", "free FREE"),
            ("ᴄʟɪᴄᴋ ʜᴇʀᴇ ɴᴏᴡ", "click here now"),
        ] {
            assert_eq!(cleaned(text), expected, "{text}");
        }
    }

    #[test]
    fn letters_that_look_latin_are_so_in_latin_words_and_texts() {
        for (text, expected) in [
            ("P\u{430}yP\u{430}l \u{430}ccount", "PayPal account"),
            ("your \u{406}BM, \u{0421}l\u{456}ck h\u{435}re", "your IBM, Click here"),
            ("\u{3c1}assw\u{3bf}rd", "password"),
            (
                "buy from \u{430}\u{440}\u{440}\u{4cf}\u{435} stores today, and save",
                "buy from appie stores today, and save",
            ),
        ] {
            // Whether a form is i or l, tables of several years see differently.
            assert_eq!(
                cleaned(text).to_lowercase().replace('l', "i"),
                expected.to_lowercase().replace('l', "i"),
                "{text}"
            );
        }
    }

    #[test]
    fn texts_of_other_scripts_symbols_and_emoji_stay_as_they_are() {
        for text in [
            "Он сказал: сор и ура, а не хор.",
            "Ура",
            "Vodka is водка, and сор is сор in Russian, as everybody knows here",
            "Γειά σου, και το νερό",
            "density ρ, mass μ, α and αx; 5 µm, Δx",
            "کتاب\u{200c}ها و می\u{200c}خواهم",
            "क्\u{200d}ष और क्\u{200c}ष",
            "ക\u{d4d}\u{200d}",
            "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}\u{200d}🔥 🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f} 1\u{fe0f}\u{20e3} 👍🏽 🅰\u{fe0f}",
            "x² + ½ … ™ ﬁn 25 ℃ № 7 1ª Ⅳ",
            "Zoë, Zoe\u{308}, Việt Nam, tie\u{302}\u{301}ng",
            "東京でＴ！ Tシャツ，葛\u{e0100}飾",
            "/ˈhɑːt/ pʰat naïve façade",
            "שָׁלוֹם עולם",
            "อยู่ที่นี่",
            "5G-сеть",
        ] {
            let same = text.replace('Ｔ', "T");
            assert_eq!(cleaned(text), same, "{text}");
        }
    }

    #[test]
    fn heaps_of_marks_and_joiners_take_no_more_time_than_others() {
        let started = std::time::Instant::now();
        for heap in
            ["\u{627}".to_owned() + &"\u{300}".repeat(300_000), "\u{627}".to_owned() + &"\u{200d}".repeat(300_000)]
        {
            assert_eq!(cleaned(&heap), heap);
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
    }
}
