//! What is tagged.

use serde_json::value::RawValue;

/// What is to be tagged, as the record's value has it.
#[derive(Clone, Debug)]
pub struct Document {
    /// The value at `input.id`, as it was written; null where there is none.
    pub id: Box<RawValue>,
    /// Each of the texts that taggers read: the values at its pointers, joined by newlines. `None` where all are missing
    /// or empty; one at least is there.
    pub texts: Vec<Option<String>>,
}

impl Document {
    /// One without an id, for what comes from no record.
    #[must_use]
    pub fn unnamed(texts: Vec<Option<String>>) -> Self {
        Self { id: RawValue::NULL.to_owned(), texts }
    }
}
