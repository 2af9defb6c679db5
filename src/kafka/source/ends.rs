//! Where a partition is read to its end although neither a record nor a marker says so: what lies before it is gone, or
//! reading began there.

use std::collections::HashMap;

use super::watchdog::Fetching;
use crate::record::partition::TopicPartition;

/// The client library tells in turn, among the records, that a partition is at its end, but not where that is. Its
/// statistics tell where, but may still be those of an earlier assignment. Both together are proof.
#[derive(Debug, Default)]
pub struct Ends {
    heard: HashMap<TopicPartition, Heard>,
}

/// That the partition was at its end, once at least, in an assignment.
#[derive(Debug)]
struct Heard {
    epoch: u64,
    /// So many statistics came since.
    looks: u32,
}

/// Statistics that were on their way when the end was told may be older.
const STALE: u32 = 1;

impl Ends {
    /// The partition is at its end for now, and what was before it has been taken.
    pub fn hear(&mut self, partition: &TopicPartition, epoch: u64) {
        let heard = self.heard.entry(partition.clone()).or_insert(Heard { epoch, looks: 0 });
        if heard.epoch != epoch {
            *heard = Heard { epoch, looks: 0 };
        }
    }

    /// Looks at new statistics; gives the partitions that are read to their end, and where that is.
    pub fn look(
        &mut self,
        fetching: &HashMap<TopicPartition, Fetching>,
        epoch: impl Fn(&TopicPartition) -> Option<u64>,
    ) -> Vec<(TopicPartition, i64)> {
        self.heard.retain(|key, heard| epoch(key) == Some(heard.epoch));
        let mut reached = Vec::new();
        for (key, heard) in &mut self.heard {
            if heard.looks < STALE {
                heard.looks += 1;
            } else if let Some(end) = fetching.get(key).and_then(Fetching::end) {
                reached.push((key.clone(), end));
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition() -> TopicPartition {
        ("documents".into(), 0)
    }

    fn at(end: Option<i64>) -> HashMap<TopicPartition, Fetching> {
        HashMap::from([(partition(), Fetching::at(end))])
    }

    #[test]
    fn an_end_is_believed_once_statistics_can_be_no_earlier_assignments() {
        let mut ends = Ends::default();
        let now = |_: &TopicPartition| Some(1);
        assert_eq!(ends.look(&at(Some(10)), now), [], "nobody has told that it is at its end");
        ends.hear(&partition(), 1);
        assert_eq!(ends.look(&at(Some(10)), now), [], "they may be older");
        assert_eq!(ends.look(&at(None), now), [], "something was fetched, and not taken yet");
        assert_eq!(ends.look(&at(Some(12)), now), [(partition(), 12)]);
        let again = |_: &TopicPartition| Some(2);
        assert_eq!(ends.look(&at(Some(12)), again), [], "an earlier assignment was at its end");
        ends.hear(&partition(), 2);
        assert_eq!(ends.look(&at(Some(12)), |_| None), [], "it was revoked");
    }

    proptest! {
        /// Whatever is heard and seen in whatever order, no end of an earlier assignment is taken for one of this.
        #[test]
        fn no_end_is_taken_over_from_an_earlier_assignment(steps in prop::collection::vec(0..3u8, 0..40)) {
            let (mut ends, mut epoch, mut heard, mut looks) = (Ends::default(), 0, false, 0);
            for step in steps {
                match step {
                    0 => (epoch, heard, looks) = (epoch + 1, false, 0),
                    1 => {
                        ends.hear(&partition(), epoch);
                        heard = true;
                    }
                    _ => {
                        let believed = !ends.look(&at(Some(7)), |_| Some(epoch)).is_empty();
                        prop_assert_eq!(believed, heard && looks >= 1);
                        looks += u32::from(heard);
                    }
                }
            }
        }
    }
}
