//! The byte order mark that some programs put before UTF-8. JSON may have none (RFC 8259, 8.1), but whoever reads it may pass
//! over it; so may YAML, and a secret has none.

pub(crate) const MARK: &str = "\u{feff}";

/// The same without a mark before it.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK.as_bytes()).unwrap_or(bytes)
}

/// The same of what is known to be a text.
pub(super) fn text_without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}
