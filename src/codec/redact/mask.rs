//! What stands in the place of what is masked.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::plain::Plain;
use super::words::is_possessive;
use crate::config::redact::{Key, With};

/// Bytes of a hash that are shown: by chance, two of four thousand million names have the same.
const SHOWN: usize = 8;

/// What stands in the place of a text of this kind.
pub(super) fn mask(with: &With, kind: &str, text: &str) -> String {
    match with {
        With::Type => format!("[{kind}]"),
        With::Text(text) => text.clone(),
        // So many that no offset changes.
        With::Mask => "*".repeat(text.chars().count()),
        With::Hash(key) => keyed(key, same(text).as_bytes(), SHOWN),
    }
}

/// The first bytes of a hash, which nobody can make without the key.
pub(super) fn keyed(key: &Key, bytes: &[u8], shown: usize) -> String {
    let mut hash = Hmac::<Sha256>::new_from_slice(key.0.as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    hash.update(bytes);
    hex::encode(&hash.finalize().into_bytes()[..shown])
}

/// One form for all in which a name is written: capitals, composed letters, blanks and `'s` make no difference.
fn same(text: &str) -> String {
    let mut plain = Plain::of(text).text;
    if let Some(at) = plain.rfind(['\'', '\u{2019}']).filter(|at| is_possessive(&plain[*at..])) {
        plain.truncate(at);
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_have_equal_hashes_and_others_have_others() {
        let hash = |key: &str, name: &str| mask(&With::Hash(Key(key.into())), "PER", name);
        let key = "0123456789abcdef";
        let name = hash(key, "Zoë Müller");
        assert_eq!(name.len(), 16);
        for same in ["ZOË MÜLLER", "Zoe\u{308}  Mu\u{308}ller", "Zoë\nMüller\u{2019}s", "Zoë M\u{200b}üller"] {
            assert_eq!(hash(key, same), name, "{same}");
        }
        assert_ne!(hash(key, "Zoe Muller"), name);
        assert_ne!(hash("another key of it", "Zoë Müller"), name);
        // RFC 2104, as every other tool computes it: `printf 'anna' | openssl dgst -sha256 -hmac 0123456789abcdef`.
        assert_eq!(hash(key, "Anna"), "b7a04172e11eaea2");
    }

    #[test]
    fn a_mask_is_as_long_as_what_it_hides() {
        assert_eq!(mask(&With::Mask, "PER", "Zoë 東京"), "******");
        assert_eq!(mask(&With::Type, "PER", "Zoë"), "[PER]");
        assert_eq!(mask(&With::Text("xxx".into()), "PER", "Zoë"), "xxx");
    }
}
