//! Numbers that JSON has not.

/// Such a number as Protobuf's JSON writes it.
pub(super) fn in_words(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}
