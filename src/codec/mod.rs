//! Bytes to documents, and answers to bytes. This wing knows records and their formats, and nothing of models.

pub mod dead_letter;
pub mod decode;
pub mod enriched;

/// The same without the byte order mark that some programs put before UTF-8. JSON may have none (RFC 8259, 8.1), but
/// whoever reads it may pass over it.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}
