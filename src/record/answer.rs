//! What is said of a document, and who says so.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tag::Tag;

/// What the taggers say of a document: all that its enriched record has of them.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which load of the taggers says so.
    pub load: u64,
    /// The tags, in the order of the configuration.
    pub tags: Vec<Given>,
    /// The names of those that there are not, since the document lacks their text.
    pub absent: Vec<Arc<str>>,
    /// The names that are to be masked, also those that are in no tag.
    pub secrets: Vec<Secret>,
    /// The models that tagged it, in the order of the configuration; one at least (G-27).
    pub models: Vec<Identity>,
    /// How many tokens were tagged, special ones included; the most of all models.
    pub tokens: usize,
    /// Whether a model saw only the beginning of a text.
    pub truncated: bool,
}

/// A tag that a document was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The tag's name.
    pub name: Arc<str>,
    /// Which of the document's texts it is about.
    pub text: usize,
    /// The tag.
    pub tag: Tag,
}

/// A name that is to be masked (`redact`).
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// Which of the document's texts it is in.
    pub text: usize,
    /// Its type.
    pub kind: Arc<str>,
    /// Its first code point in that text.
    pub start: u32,
    /// One past its last.
    pub end: u32,
    /// Its score.
    pub score: f32,
    /// Whether the score is enough for it to be tagged.
    pub is_tagged: bool,
}

/// Which model made the tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// Its name: that of `heads.json`, or of its directory.
    pub name: Arc<str>,
    /// A hash of its files (SHA-256, the first 16 hexadecimal digits); after `@`, the commit or the entity tags that it
    /// was fetched from.
    pub version: Arc<str>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}
