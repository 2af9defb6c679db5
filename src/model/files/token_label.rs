//! What the labels of tokens mean for entities.

use std::sync::Arc;

/// What the label of a token says: IO, BIO (Ramshaw & Marcus 1995), or with ends and units, BILOU or IOBES (Ratinov &
/// Roth 2009).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLabel {
    /// The entity's type; `None` is `O`, outside of all.
    pub entity_type: Option<Arc<str>>,
    /// True when it begins an entity even after one of its type.
    pub begins: bool,
    /// True when the next token can't be part of the same entity.
    pub ends: bool,
}

impl TokenLabel {
    /// Reads the labels of a head. Letters such as `L-` mean something only if all labels have such a letter.
    #[must_use]
    pub fn all(labels: &[Arc<str>]) -> Vec<Self> {
        let is_among = |letters| is_among(labels, letters);
        let (begin, end, all): (&[_], &[_], &[_]) = if is_among(&["B", "I"]) {
            (&["B"], &[], &["B", "I"])
        } else if is_among(&["B", "I", "L", "U"]) {
            (&["B", "U"], &["L", "U"], &["B", "I", "L", "U"])
        } else if is_among(&["B", "I", "E", "S"]) {
            (&["B", "S"], &["E", "S"], &["B", "I", "E", "S"])
        } else {
            (&["B"], &[], &["B", "I"])
        };
        let read = |label: &Arc<str>| match label.split_once('-') {
            _ if **label == *"O" => Self { entity_type: None, begins: false, ends: false },
            Some((letter, rest)) if all.contains(&letter) => {
                Self { entity_type: Some(rest.into()), begins: begin.contains(&letter), ends: end.contains(&letter) }
            }
            _ => Self { entity_type: Some(Arc::clone(label)), begins: false, ends: false },
        };
        labels.iter().map(read).collect()
    }

    /// The name of the labels' scheme.
    #[must_use]
    pub fn scheme(labels: &[Arc<str>]) -> &'static str {
        let schemes: [(_, &[_]); 3] =
            [("BIO", &["B", "I"]), ("BILOU", &["B", "I", "L", "U"]), ("IOBES", &["B", "I", "E", "S"])];
        schemes.iter().find(|(_, letters)| is_among(labels, letters)).map_or("plain", |(name, _)| name)
    }
}

/// True when all labels but `O` begin with one of the letters and a hyphen.
fn is_among(labels: &[Arc<str>], letters: &[&str]) -> bool {
    let is = |label: &str| label.split_once('-').is_some_and(|(prefix, _)| letters.contains(&prefix));
    labels.iter().filter(|label| ***label != *"O").all(|label| is(label))
}
