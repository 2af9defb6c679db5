//! Why a record is refused, and by which stage.

/// The class of a document that has no value where its texts are to be.
pub const TEXT_MISSING: &str = "TextMissing";

/// The class of one that has only empty ones there.
pub const TEXT_EMPTY: &str = "TextEmpty";

/// Why a record could not be tagged; it becomes a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// The stage that refused it.
    pub stage: Stage,
    /// The class of the error, for people who count them.
    pub class: &'static str,
    /// What is wrong, without any of the document's text (G-28).
    pub message: String,
    /// How often the stage tried.
    pub attempts: u32,
}

impl Rejection {
    /// Refused at the first attempt.
    #[must_use]
    pub fn new(stage: Stage, class: &'static str, message: String) -> Self {
        Self { stage, class, message, attempts: 1 }
    }
}

/// The stages that can refuse a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Bytes to document.
    Decode,
    /// Text to token ids.
    Tokenize,
    /// Token ids to logits.
    Infer,
    /// Tags to topics.
    Route,
    /// The output topic refused the enriched record.
    Sink,
}

impl Stage {
    /// All stages, in the order of the journey.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Tokenize, Self::Infer, Self::Route, Self::Sink];

    /// Its name in headers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Tokenize => "tokenize",
            Self::Infer => "infer",
            Self::Route => "route",
            Self::Sink => "sink",
        }
    }
}
