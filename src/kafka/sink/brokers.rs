//! What the sink asks of the brokers, and what it may hear: the seam between its decisions and the client library.

use std::collections::HashMap;

use anyhow::Result;

use super::parcel::Parcel;
use crate::kafka::ledger::Watermark;
use crate::record::partition::TopicPartition;

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Done,
    /// Not yet: the same may be asked again.
    NotYet(String),
    /// The transaction can only be aborted.
    MustAbort(String),
    /// This producer can't go on.
    Over(String),
}

/// A producer, and the group whose offsets go with what it writes. The transactions are used under exactly-once only.
pub(super) trait Brokers: Send + 'static {
    /// This worker's place in its group, at the time it was asked.
    type Member;

    /// Sends a parcel; its receipt will tell what came of it.
    fn send(&mut self, parcel: &mut Parcel);

    /// The topics that a parcel goes to.
    fn destination(&self, parcel: &Parcel) -> String;

    /// True once a message was refused or given up.
    fn has_failed(&self) -> bool;

    /// The failures have been dealt with.
    fn forget_failures(&mut self);

    /// Why this producer is of no use any more, if it isn't.
    fn broken(&self) -> Option<&str>;

    /// Makes a new producer, and lets the old one go with all that it has. Under exactly-once, the new one is the only one
    /// of its transactional id from then on: the old one's transaction is committed or aborted, and the coordinator
    /// of transactions takes none of its requests any more, however late it arrives (KIP-360).
    ///
    /// # Errors
    /// When the brokers refuse that.
    fn renew(&mut self) -> Result<()>;

    /// The worker's place in its group; none if it was thrown out.
    fn member(&self) -> Option<Self::Member>;

    /// Begins a transaction.
    fn begin(&mut self) -> Answer;

    /// Has these offsets committed with the transaction, in the name of that member.
    fn add_offsets(&mut self, offsets: &[Watermark], member: &Self::Member) -> Answer;

    /// Commits the transaction, after all that was sent.
    fn commit(&mut self) -> Answer;

    /// Aborts the transaction.
    fn abort(&mut self) -> Answer;

    /// Whether, since the transaction was begun, any request went without an answer. The client library asks again by
    /// itself; but the first one may still be on its way, and would be taken for one of the next transaction (KIP-890).
    fn lost_a_request(&mut self) -> bool;

    /// Aborts the transaction, with little patience: the worker leaves.
    fn leave(&mut self);

    /// What the group has committed in these partitions.
    ///
    /// # Errors
    /// When the brokers do not say.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<HashMap<TopicPartition, i64>>;
}
