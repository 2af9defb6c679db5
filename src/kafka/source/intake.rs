//! What the client library has: its events, and what it has fetched, which goes into the pipeline.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use super::{FULL, POLL, Source};
use crate::kafka::clients;
use crate::pipeline::Pipeline;
use crate::record::envelope::{Envelope, Record};
use crate::record::trace::RecordSpan;

/// So many events of the client library (a log line, a rebalance, …) are served at a time.
const EVENTS: usize = 16;

impl Source {
    /// Serves what the client library has to tell. The group takes who does not do so for dead.
    pub(super) fn poll(&mut self) -> Result<()> {
        self.health.alive();
        let consumer = Arc::clone(&self.consumer);
        // What is served looks like nothing to serve.
        for _ in 0..EVENTS {
            match consumer.poll(Duration::ZERO) {
                None => {}
                Some(Err(error)) => heed(&error)?,
                Some(Ok(stray)) => self.return_stray(&stray)?,
            }
        }
        Ok(())
    }

    /// Feeds what was fetched to the pipeline, as far as the budget goes; waits a little if there is nothing.
    pub(super) fn take(&mut self, pipeline: &Pipeline) -> Result<()> {
        let prefetched = self.consumer.context().prefetched();
        let (full, fed) = (Cell::new(false), Cell::new(false));
        let (mut ended, mut lost, mut past) = (Vec::new(), Vec::new(), TopicPartitionList::new());
        let taken = prefetched.take(
            || {
                full.set(self.budget.is_spent());
                !full.get()
            },
            |partition, message| match message {
                Ok(message) => {
                    if self.end.as_ref().is_none_or(|end| end.wants(&message, &self.ledger)) {
                        self.feed(pipeline, &message);
                        fed.set(true);
                    } else {
                        past.add_partition(&partition.0, partition.1);
                    }
                    Ok(())
                }
                Err(KafkaError::PartitionEOF(_)) => {
                    ended.push(partition.clone());
                    Ok(())
                }
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    lost.push(partition.clone());
                    Ok(())
                }
                Err(error) => heed(&error),
            },
        )?;
        if past.count() > 0 {
            // Else all that is behind the end of a bounded run would be fetched for nothing.
            let _ = self.consumer.pause(&past);
        }
        for partition in ended {
            if let Some(epoch) = self.ledger.epoch(&partition) {
                self.ends.hear(&partition, epoch);
            }
        }
        for partition in lost {
            if let Some(epoch) = self.ledger.epoch(&partition) {
                self.resets.note(partition, epoch);
            }
        }
        if !taken && full.get() {
            thread::sleep(FULL);
        } else if !taken {
            prefetched.wait(POLL);
        }
        if fed.get() {
            self.last_record = Instant::now();
        }
        Ok(())
    }

    fn feed(&self, pipeline: &Pipeline, message: &BorrowedMessage<'_>) {
        // No origin: it was still in the client's queue when its partition was revoked.
        let Some(origin) = self.ledger.enter(message.topic(), message.partition(), message.offset()) else { return };
        let record = Record {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(rdkafka::message::BorrowedHeaders::detach),
            timestamp: message.timestamp().to_millis(),
        };
        self.metrics.fetch();
        let span = if self.traced {
            RecordSpan::start(&origin.topic, origin.partition, origin.offset, record.headers.as_ref())
        } else {
            RecordSpan::default()
        };
        let permit = self.budget.take(record.size());
        pipeline.feed(Envelope { origin, record, body: (), fetched: Instant::now(), span, permit });
    }
}

/// Says what the client library has met, and stops the worker if that does not pass.
fn heed(error: &KafkaError) -> Result<()> {
    if let KafkaError::MessageConsumptionFatal(code) = error {
        bail!("the consumer can't go on: {code}");
    }
    if let Some(why) = clients::denied(error) {
        bail!(why);
    }
    // That a topic is gone is noticed by itself, and told with its name.
    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
        tracing::warn!("consumer: {}", clients::plain(error));
    }
    Ok(())
}
