//! Letters of other scripts that look like Latin ones.

use unicode_script::{Script, UnicodeScript as _};
use unicode_security::confusable_detection::skeleton;

use super::{SHORTEST, Seen, words};

/// So many Latin letters a text must have for each that looks like one in words that have no other.
const HOST: usize = 4;

/// What a word is made of.
#[derive(Default)]
struct Made {
    latin: usize,
    /// Letters of scripts that have some of Latin form.
    foreign: usize,
    /// Of these, those that have the form of one.
    alike: usize,
    /// Letters of any other script.
    other: usize,
    is_cyrillic: bool,
}

impl Made {
    fn of(word: &[Seen]) -> Self {
        let mut made = Self { is_cyrillic: true, ..Self::default() };
        for (letter, _) in word {
            match letter.script() {
                Script::Latin => made.latin += 1,
                Script::Common | Script::Inherited => {}
                script @ (Script::Cyrillic
                | Script::Greek
                | Script::Armenian
                | Script::Cherokee
                | Script::Coptic
                | Script::Lisu) => {
                    made.foreign += 1;
                    made.alike += usize::from(latin(*letter).is_some());
                    made.is_cyrillic &= script == Script::Cyrillic;
                }
                _ => made.other += 1,
            }
        }
        made
    }

    /// Whether all that is not Latin looks as if it were.
    fn is_alike(&self) -> bool {
        self.foreign > 0 && self.foreign == self.alike && self.other == 0
    }
}

/// Puts Latin letters in the place of those that look like them: in words that have Latin letters, too, and in whole words where
/// the text is Latin, and has no words of their own script.
pub(super) fn look_alikes(seen: &mut [Seen]) -> bool {
    let (mut latin_letters, mut alike_letters, mut is_in_use) = (0, 0, false);
    for word in words(seen) {
        let made = Made::of(word);
        latin_letters += made.latin;
        alike_letters += if made.latin == 0 { made.foreign } else { 0 };
        is_in_use |= made.latin == 0 && made.foreign > made.alike;
    }
    let is_host = !is_in_use && latin_letters >= HOST * alike_letters;
    let mut is_changed = false;
    for word in words(seen) {
        let made = Made::of(word);
        // αx is a term, and not ax.
        let is_word = made.latin + made.foreign >= SHORTEST;
        let is_mixed = made.latin > 0 && (is_word || made.is_cyrillic);
        if made.is_alike() && (is_mixed || is_word && is_host) {
            for (letter, _) in word {
                *letter = latin(*letter).unwrap_or(*letter);
            }
            is_changed = true;
        }
    }
    is_changed
}

/// The Latin letter of ASCII that a letter of another script looks like (Unicode Technical Standard 39).
fn latin(letter: char) -> Option<char> {
    if matches!(letter.script(), Script::Latin | Script::Common | Script::Inherited) {
        return None;
    }
    let mut form = [0; 4];
    let mut same = skeleton(letter.encode_utf8(&mut form));
    let first = same.next().filter(char::is_ascii_alphabetic)?;
    // There, I and l are one.
    let is_capital_i = first == 'l' && letter.is_uppercase();
    same.next().is_none().then_some(if is_capital_i { 'I' } else { first })
}
