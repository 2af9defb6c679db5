//! The key of hashes.

use std::fmt;

/// The key of hashes, which nobody is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Key(pub String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(********)")
    }
}
