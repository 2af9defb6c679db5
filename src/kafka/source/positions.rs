//! How far each partition was read, as the client library knows it.

use std::sync::Arc;

use rdkafka::consumer::Consumer;

use super::Source;
use crate::record::partition::TopicPartition;

impl Source {
    /// Notes how far the client is in each partition: past markers and aborted records, which it does not give out.
    pub(super) fn note_positions(&mut self) {
        let Ok(positions) = self.consumer.position() else { return };
        for element in positions.elements() {
            let partition = (Arc::from(element.topic()), element.partition());
            let offset = element.offset().to_raw().filter(|&offset| offset >= 0);
            // It takes the client a moment to forget where it was before a partition was fetched anew.
            if self.stale.get(&partition).is_some_and(|&stale| offset == Some(stale)) {
                continue;
            }
            self.stale.remove(&partition);
            if let Some(offset) = offset {
                self.reach(&partition, offset);
            }
        }
    }

    /// All before `offset` was taken; in a bounded run, only what belongs to it counts.
    pub(super) fn reach(&self, partition: &TopicPartition, offset: i64) {
        let offset = self.end.as_ref().map_or(Some(offset), |end| end.within(partition, offset));
        if let Some(offset) = offset {
            self.ledger.reach(partition, offset);
        }
    }

    /// Where the client is in a partition.
    pub(super) fn client_position(&self, (topic, partition): &TopicPartition) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        positions.find_partition(topic, *partition)?.offset().to_raw().filter(|&offset| offset >= 0)
    }
}
