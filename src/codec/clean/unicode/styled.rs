//! Letters in other styles than the plain one.

use unicode_normalization::UnicodeNormalization as _;

use super::{SHORTEST, Seen, words};

/// The letter or digit of ASCII that is written in another style: 𝐁𝐨𝐥𝐝, Ｆｕｌｌ, ⓒⓘⓡⓒⓛⓔⓓ, 🅂🅀🅄🄰🅁🄴🄳.
pub(super) fn plain(letter: char) -> Option<char> {
    let nth = |first: char, base: u8| char::from_u32(u32::from(letter) - u32::from(first) + u32::from(base));
    match letter {
        '\u{249c}'..='\u{24b5}' => nth('\u{249c}', b'a'),
        '\u{1f110}'..='\u{1f129}' => nth('\u{1f110}', b'A'),
        '\u{1f150}'..='\u{1f169}' => nth('\u{1f150}', b'A'),
        '\u{1f170}'..='\u{1f189}' => nth('\u{1f170}', b'A'),
        '\u{2100}'..='\u{214f}'
        | '\u{2160}'..='\u{217f}'
        | '\u{24b6}'..='\u{24e9}'
        | '\u{ff10}'..='\u{ff5a}'
        | '\u{1d400}'..='\u{1d7ff}'
        | '\u{1f130}'..='\u{1f149}'
        | '\u{1fbf0}'..='\u{1fbf9}' => compatible(letter),
        _ => None,
    }
}

/// The letter or digit of ASCII that it is but for its form (NFKC).
fn compatible(letter: char) -> Option<char> {
    let mut same = std::iter::once(letter).nfkc();
    same.next().filter(|first| same.next().is_none() && first.is_ascii_alphanumeric())
}

/// From a to z.
const SMALL_CAPITALS: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡxʏᴢ";

/// The letter that is written smaller: a capital, or above the line. Phoneticians have some of them beside others.
fn small(letter: char) -> Option<char> {
    match letter {
        letter if letter.is_ascii() => None,
        'ǫ' => Some('q'),
        '\u{2b0}'..='\u{2ff}' | '\u{1d2c}'..='\u{1d6a}' | '\u{1d9b}'..='\u{1dbf}' | '\u{2071}' | '\u{207f}' => {
            compatible(letter)
        }
        _ => SMALL_CAPITALS.chars().zip('a'..='z').find(|(small, _)| *small == letter).map(|(_, plain)| plain),
    }
}

/// Puts usual letters in the place of smaller ones in ᴡᴏʀᴅs that are mostly made of them.
pub(super) fn small_letters(seen: &mut [Seen]) -> bool {
    let mut is_changed = false;
    for word in words(seen) {
        let count = word.iter().filter(|(letter, _)| small(*letter).is_some()).count();
        let known = word.iter().all(|(letter, _)| letter.is_ascii_alphanumeric() || small(*letter).is_some());
        if known && count >= SHORTEST && 2 * count > word.len() {
            for (letter, _) in word {
                *letter = small(*letter).unwrap_or(*letter);
            }
            is_changed = true;
        }
    }
    is_changed
}
