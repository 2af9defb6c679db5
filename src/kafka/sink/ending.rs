//! How a transaction ends: what is asked next, after what the last request was answered. Nothing is asked here.
//!
//! ```text
//! add offsets ──▶ commit ──▶ committed
//!      └────────────┴──▶ abort ──▶ aborted        from anywhere ──▶ unknown
//! ```
//!
//! A request that got no answer may be done later, in the middle of the producer's next transaction: librdkafka does not
//! speak the protocol that would tell them apart (KIP-890). So with a producer that has lost one, nothing more is begun,
//! nor asked by us: a new producer fences what is late, and the group's committed offsets tell what became of
//! the transaction.

use super::brokers::Answer;

/// What is asked of the brokers; `O` are offsets.
#[derive(Clone, Debug)]
pub(super) enum Step<O> {
    AddOffsets(O),
    Commit {
        /// It was asked before, so that it may be done already.
        again: bool,
    },
    /// For this reason.
    Abort(String),
}

/// What is to be done next.
#[derive(Clone, Debug)]
pub(super) enum Next<O> {
    Ask(Step<O>),
    /// It is committed. A producer with a stray request must not be used again.
    Committed {
        stray: bool,
    },
    /// It is aborted, and the producer goes on.
    Aborted(String),
    /// The producer can't go on, and what became of the transaction is not known.
    Unknown(String),
}

impl<O> Step<O> {
    /// What comes after this answer. `lost`: whether a request of the transaction went without an answer. `abandoned`: there
    /// is no time to ask again.
    pub fn next(self, answer: Answer, lost: impl FnOnce() -> bool, abandoned: bool) -> Next<O> {
        // To look takes a moment, and the commit looks again.
        let lost = !matches!((&self, &answer), (Self::AddOffsets(_), Answer::Done)) && lost();
        match (self, answer) {
            (Self::AddOffsets(_), Answer::Done) => Next::Ask(Self::Commit { again: false }),
            (Self::Commit { .. }, Answer::Done) => Next::Committed { stray: lost },
            (Self::Abort(why), Answer::Done) if !lost => Next::Aborted(why),
            (Self::Commit { .. }, Answer::NotYet(_)) if !lost && !abandoned => Next::Ask(Self::Commit { again: true }),
            (step, Answer::NotYet(_)) if !lost && !abandoned => Next::Ask(step),
            (Self::AddOffsets(_) | Self::Commit { again: false }, Answer::MustAbort(why)) if !lost => {
                Next::Ask(Self::Abort(why))
            }
            (Self::Abort(why), Answer::Done)
            | (_, Answer::NotYet(why) | Answer::MustAbort(why) | Answer::Over(why)) => Next::Unknown(why),
        }
    }
}
