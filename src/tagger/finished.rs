//! What the models' threads hand on.

use std::sync::Arc;

use super::taggers::Work;
use crate::record::answer::Answer;
use crate::record::document::Document;
use crate::record::envelope::Envelope;
use crate::record::outcome::Outcome;

/// What comes out of the model's thread, or passes it by.
pub(crate) enum Finished {
    /// What the models gave.
    Tagged(Envelope<Work>),
    /// What was said of the same text before.
    Known(Envelope<Document>, Arc<Answer>),
    /// No answer is to be had.
    Outcome(Outcome),
}
