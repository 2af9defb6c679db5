//! What the client library has fetched and nobody has taken yet: a queue for each partition.
//!
//! While the budget is spent, nothing is taken (G-39). What is fetched then stays here, bounded by the library's own
//! limits, and the library is polled for everything else. (To pause a partition would throw away what was fetched of
//! it.) Partitions take turns, so that none has to wait for another's backlog (G-49).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;

use crate::record::partition::TopicPartition;

/// So many records of a partition are taken before it is the next one's turn.
const TURN: usize = 32;

type Queue<C> = (TopicPartition, PartitionQueue<C>);

/// The queues of the assigned partitions, the one whose turn it is first.
pub(crate) struct Prefetched<C: ConsumerContext + 'static> {
    /// A queue keeps its consumer alive, which has this.
    consumer: Mutex<Weak<BaseConsumer<C>>>,
    queues: Mutex<VecDeque<Queue<C>>>,
    /// Told that a queue is not empty any more.
    filled: (Sender<()>, Receiver<()>),
}

impl<C: ConsumerContext + 'static> Default for Prefetched<C> {
    fn default() -> Self {
        Self { consumer: Mutex::default(), queues: Mutex::default(), filled: bounded(1) }
    }
}

impl<C: ConsumerContext + 'static> Prefetched<C> {
    /// Whose queues they will be. Before it subscribes.
    pub fn of(&self, consumer: &Arc<BaseConsumer<C>>) {
        *self.consumer() = Arc::downgrade(consumer);
    }

    /// Opens the queues of partitions that are about to be assigned: what is fetched of them comes here, and not to the
    /// consumer's own queue.
    #[expect(clippy::disallowed_methods, reason = "one thread opens, closes and polls them (G-41); decision 0009")]
    pub fn open(&self, partitions: &[TopicPartition]) {
        let Some(consumer) = self.consumer().upgrade() else { return };
        self.close(partitions);
        for key in partitions {
            if let Some(mut queue) = consumer.split_partition_queue(&key.0, key.1) {
                let filled = self.filled.0.clone();
                // One word is enough for all queues.
                queue.set_nonempty_callback(move || {
                    let _ = filled.try_send(());
                });
                self.queues().push_back((key.clone(), queue));
            }
        }
    }

    /// Closes the queues of these partitions, which are not assigned any more.
    pub fn close(&self, partitions: &[TopicPartition]) {
        self.queues().retain(|(key, queue)| {
            let stays = !partitions.contains(key);
            if !stays {
                // All that is in it is outdated by now, also what the client library does not know to be so; to ask for more is
                // what throws it away.
                while queue.poll(Duration::ZERO).is_some() {}
            }
            stays
        });
    }

    /// Closes all queues, for ever.
    pub fn end(&self) {
        *self.consumer() = Weak::new();
        self.queues().clear();
    }

    /// Takes what is there, as long as there is room; tells whether there was anything.
    ///
    /// # Errors
    /// As `each`.
    pub fn take(
        &self,
        room: impl Fn() -> bool,
        mut each: impl FnMut(&TopicPartition, KafkaResult<BorrowedMessage<'_>>) -> Result<()>,
    ) -> Result<bool> {
        let mut queues = self.queues();
        let mut any = false;
        for _ in 0..queues.len() {
            let Some((key, queue)) = queues.front() else { break };
            let mut taken = 0;
            while taken < TURN && room() {
                let Some(next) = queue.poll(Duration::ZERO) else { break };
                taken += 1;
                each(key, next)?;
            }
            any |= taken > 0;
            let full = !room();
            // Whoever had a part of its turn has had it: with little room, it would be its turn for ever.
            if taken > 0 || !full {
                queues.rotate_left(1);
            }
            if full {
                break;
            }
        }
        Ok(any)
    }

    /// Waits until something has come, or the time is over.
    pub fn wait(&self, timeout: Duration) {
        let _ = self.filled.1.recv_timeout(timeout);
    }

    fn consumer(&self) -> MutexGuard<'_, Weak<BaseConsumer<C>>> {
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues(&self) -> MutexGuard<'_, VecDeque<Queue<C>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use rdkafka::client::ClientContext;
    use rdkafka::consumer::Consumer;
    use rdkafka::message::Message;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use rdkafka::statistics::Statistics;
    use rdkafka::{ClientConfig, Offset, TopicPartitionList};

    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);
    /// Of each partition. The backlog of the first is the longer one.
    const RECORDS: [i64; 2] = [400, 80];

    /// Knows how many records wait.
    #[derive(Default)]
    struct Counting(Mutex<i64>);

    impl ClientContext for Counting {
        fn stats(&self, statistics: Statistics) {
            let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
            *self.0.lock().unwrap() = partitions.map(|partition| partition.fetchq_cnt).sum();
        }
    }

    impl ConsumerContext for Counting {}

    /// Waits until all records are there, and takes them while there is room for so many at a time; gives their
    /// partitions, in the order in which they are taken.
    fn taken(brokers: &str, room: usize) -> Vec<i32> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers).set("group.id", "turns").set("statistics.interval.ms", "20");
        let consumer: BaseConsumer<Counting> = client.create_with_context(Counting::default()).unwrap();
        let consumer = Arc::new(consumer);
        let (prefetched, mut list) = (Prefetched::default(), TopicPartitionList::new());
        prefetched.of(&consumer);
        prefetched.open(&[("in".into(), 0), ("in".into(), 1)]);
        for partition in [0, 1] {
            list.add_partition_offset("in", partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (all, deadline) = (RECORDS.iter().sum::<i64>(), Instant::now() + TIMEOUT);
        while *consumer.context().0.lock().unwrap() < all {
            assert!(Instant::now() < deadline, "not all were fetched");
            drop(consumer.poll(Duration::from_millis(5)));
        }
        let mut partitions = Vec::new();
        loop {
            let left = Cell::new(room);
            let each = |_: &TopicPartition, message: KafkaResult<BorrowedMessage<'_>>| {
                partitions.push(message?.partition());
                left.set(left.get() - 1);
                Ok(())
            };
            if !prefetched.take(|| left.get() > 0, each).unwrap() {
                break;
            }
        }
        prefetched.end();
        assert_eq!(partitions.len() as i64, all);
        partitions
    }

    #[test]
    fn partitions_take_turns_however_little_room_there_is() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("in", 2, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        for (partition, records) in RECORDS.into_iter().enumerate() {
            for _ in 0..records {
                let record = BaseRecord::<[u8], [u8]>::to("in").partition(partition as i32).payload(b"a record");
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(TIMEOUT).unwrap();
        for (room, turn) in [(1, 1), (3, 3), (usize::MAX, TURN)] {
            let partitions = taken(&brokers, room);
            let last = partitions.iter().rposition(|partition| *partition == 1).unwrap();
            let longest = partitions[..=last].chunk_by(|one, next| one == next).map(<[i32]>::len).max();
            assert_eq!(longest, Some(turn), "room for {room}: {partitions:?}");
        }
    }
}
