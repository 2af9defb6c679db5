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
        self.queues().retain(|(key, _)| !partitions.contains(key));
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
                // All that is in it is outdated by now; to ask for more is what throws it away.
                drop(queue.poll(Duration::ZERO));
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
        mut each: impl FnMut(KafkaResult<BorrowedMessage<'_>>) -> Result<()>,
    ) -> Result<bool> {
        let mut queues = self.queues();
        let mut any = false;
        for _ in 0..queues.len() {
            let Some((_, queue)) = queues.front() else { break };
            let mut taken = 0;
            while taken < TURN && room() {
                let Some(next) = queue.poll(Duration::ZERO) else { break };
                taken += 1;
                each(next)?;
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
