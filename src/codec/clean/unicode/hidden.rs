//! What takes no place, and means nothing where it stands.

use unicode_script::{Script, UnicodeScript as _};

const JOINER: char = '\u{200d}';
const NON_JOINER: char = '\u{200c}';
pub(super) const AS_EMOJI: char = '\u{fe0f}';
const BLACK_FLAG: char = '🏴';

/// Whether a character takes no place, and means nothing behind these: what is seen last, and the last letter that is no accent.
pub(super) fn is_hidden(letter: char, last: Option<char>, base: Option<char>, next: Option<char>) -> bool {
    match letter {
        // In Persian they part plurals, in Indic scripts they choose forms, in emoji they make one of several.
        JOINER | NON_JOINER => {
            let joins_emoji = letter == JOINER && last.is_some_and(is_emoji) && next.is_some_and(is_emoji);
            !joins_emoji && !base.is_some_and(is_joining)
        }
        '\u{fe00}'..='\u{fe0f}' => last.is_none_or(|last| last.is_alphabetic() && is_of_europe(Some(last))),
        // The flags of England, Scotland and Wales.
        '\u{e0020}'..='\u{e007f}' => !last.is_some_and(|last| last == BLACK_FLAG || is_tag(last)),
        // Variants of Chinese characters, and of Mongolian letters.
        '\u{e0100}'..='\u{e01ef}' => last.map(|last| last.script()) != Some(Script::Han),
        '\u{180b}'..='\u{180f}' => base.map(|last| last.script()) != Some(Script::Mongolian),
        // Old Korean is written with them.
        '\u{115f}' | '\u{1160}' => {
            !matches!(next, Some('\u{1100}'..='\u{11ff}')) && !matches!(last, Some('\u{1100}'..='\u{11ff}'))
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e001f}' => true,
        _ => false,
    }
}

fn is_tag(letter: char) -> bool {
    matches!(letter, '\u{e0020}'..='\u{e007f}')
}

pub(super) fn is_accent(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

pub(super) fn is_of_europe(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| matches!(letter.script(), Script::Latin | Script::Greek | Script::Cyrillic))
}

/// Whether letters of its script change their form by their neighbours: Arabic, Syriac, those of India and their like.
fn is_joining(letter: char) -> bool {
    use Script::{
        Armenian, Common, Cyrillic, Georgian, Greek, Han, Hangul, Hebrew, Hiragana, Inherited, Katakana, Latin, Unknown,
    };
    !matches!(
        letter.script(),
        Common
            | Inherited
            | Unknown
            | Latin
            | Greek
            | Cyrillic
            | Armenian
            | Georgian
            | Hebrew
            | Han
            | Hiragana
            | Katakana
            | Hangul
    )
}

fn is_emoji(letter: char) -> bool {
    letter == AS_EMOJI || matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}
