//! The ledger, where the sink sends and hears while the source's thread commits, and gives partitions up.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use loom::thread::{self, JoinHandle};

use crate::in_every_order;
use crate::kafka::ledger::{Ledger, Watermark};
use crate::record::origin::Origin;
use crate::record::partition::TopicPartition;
use crate::record::sync::ENDLESS;

/// A ledger with a partition that is assigned.
fn open() -> Arc<Ledger> {
    let ledger = Arc::new(Ledger::default());
    ledger.open("documents", 0);
    ledger
}

fn partition() -> TopicPartition {
    ("documents".into(), 0)
}

fn enter(ledger: &Ledger, offset: i64) -> Origin {
    ledger.enter("documents", 0, offset).expect("the partition is open")
}

/// Gives the partition up, with the patience to wait until all that was sent is acknowledged.
fn close_patiently(ledger: &Ledger) -> Option<i64> {
    offset(&ledger.close(&[partition()], Instant::now() + 2 * ENDLESS))
}

/// Gives the partition up, with a patience that may end at any moment.
fn close_impatiently(ledger: &Ledger) -> Option<i64> {
    offset(&ledger.close(&[partition()], Instant::now() + ENDLESS / 2))
}

fn offset(watermarks: &[Watermark]) -> Option<i64> {
    watermarks.first().map(|watermark| watermark.2)
}

/// The output broker: the offsets of the records whose results it has been sent, and of those it has acknowledged.
#[derive(Clone, Default)]
struct Broker(Arc<Mutex<(Vec<i64>, Vec<i64>)>>);

impl Broker {
    fn take(&self, origin: &Origin) {
        self.0.lock().unwrap().0.push(origin.offset);
    }

    /// The result is safe, and the ledger hears of it.
    fn acknowledge(&self, origin: &Origin, ledger: &Ledger) {
        self.0.lock().unwrap().1.push(origin.offset);
        ledger.acknowledge(origin);
    }

    fn taken(&self) -> usize {
        self.0.lock().unwrap().0.len()
    }

    fn acknowledged(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    /// Whether all that is before the offset is safe. Records have the offsets 0, 1, 2 …
    fn has_all_before(&self, offset: Option<i64>) -> bool {
        let acknowledged = &self.0.lock().unwrap().1;
        (0..offset.unwrap_or(0)).all(|earlier| acknowledged.contains(&earlier))
    }
}

/// The sink's work, on a thread of its own.
fn sink(ledger: &Arc<Ledger>, broker: &Broker, work: impl FnOnce(&Ledger, &Broker) + 'static) -> JoinHandle<()> {
    let (ledger, broker) = (Arc::clone(ledger), broker.clone());
    thread::spawn(move || work(&ledger, &broker))
}

#[test]
fn whenever_the_source_looks_what_it_may_commit_is_acknowledged() {
    in_every_order(|| {
        let (ledger, broker) = (open(), Broker::default());
        let origins = [0, 1].map(|offset| enter(&ledger, offset));
        let sink = sink(&ledger, &broker, move |ledger, broker| {
            assert!(origins.iter().all(|origin| ledger.send(origin)));
            // The answers may come in another order than the records.
            origins.iter().rev().for_each(|origin| broker.acknowledge(origin, ledger));
        });
        let due = ledger.to_commit();
        assert!(broker.has_all_before(offset(&due)), "{due:?}");
        ledger.committed(&due);
        // Another record, whose result is not sent yet.
        drop(enter(&ledger, 2));
        let due = ledger.to_commit();
        assert!(broker.has_all_before(offset(&due)), "{due:?}");
        sink.join().unwrap();
        ledger.committed(&due);
        ledger.committed(&ledger.to_commit());
        assert_eq!(ledger.uncommitted()[&partition()], Some(2), "all that is acknowledged is committed in the end");
    });
}

#[test]
fn past_markers_goes_only_what_has_nothing_in_flight_before_it() {
    in_every_order(|| {
        let (ledger, broker) = (open(), Broker::default());
        let origin = enter(&ledger, 0);
        let sink = sink(&ledger, &broker, move |ledger, broker| {
            assert!(ledger.send(&origin));
            broker.acknowledge(&origin, ledger);
        });
        // A marker stands behind the record, then comes another record, and a marker again.
        ledger.reach(&partition(), 2);
        let due = offset(&ledger.to_commit());
        assert!(due.is_none() || broker.acknowledged() == 1);
        drop(enter(&ledger, 2));
        ledger.reach(&partition(), 4);
        let due = offset(&ledger.to_commit());
        assert!(due.is_none() || due <= Some(2) && broker.acknowledged() == 1, "{due:?}");
        sink.join().unwrap();
    });
}

#[test]
fn a_partition_given_up_waits_for_all_that_was_sent_and_then_sends_nothing() {
    in_every_order(|| {
        let (ledger, broker) = (open(), Broker::default());
        let origins = [0, 1].map(|offset| enter(&ledger, offset));
        let sink = sink(&ledger, &broker, move |ledger, broker| {
            for origin in origins {
                if ledger.send(&origin) {
                    broker.take(&origin);
                    broker.acknowledge(&origin, ledger);
                }
            }
        });
        let closed = close_patiently(&ledger);
        let (taken, acknowledged) = (broker.taken(), broker.acknowledged());
        assert_eq!(closed.unwrap_or(0), acknowledged as i64, "all that is acknowledged is committed");
        assert_eq!(taken, acknowledged, "all that was sent is acknowledged");
        sink.join().unwrap();
        assert_eq!(broker.taken(), taken, "nothing is sent afterwards");
    });
}

#[test]
fn acknowledgements_in_any_order_and_thread_wake_who_gives_a_partition_up() {
    in_every_order(|| {
        let (ledger, broker) = (open(), Broker::default());
        let origins = [0, 1].map(|offset| enter(&ledger, offset));
        assert!(origins.iter().all(|origin| ledger.send(origin)));
        let answers =
            origins.map(|origin| sink(&ledger, &broker, move |ledger, broker| broker.acknowledge(&origin, ledger)));
        assert_eq!(close_patiently(&ledger), Some(2));
        assert_eq!(broker.acknowledged(), 2);
        for answer in answers {
            answer.join().unwrap();
        }
    });
}

#[test]
fn a_sink_that_commits_when_it_is_waited_for_is_waited_for() {
    in_every_order(|| {
        let ledger = open();
        let origins = [0, 1].map(|offset| enter(&ledger, offset));
        let sink = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || {
                let sent: Vec<_> = origins.iter().filter(|origin| ledger.send(origin)).collect();
                // Its transaction is open until somebody is in a hurry.
                while !sent.is_empty() && !ledger.is_awaited() {
                    thread::yield_now();
                }
                assert!(sent.iter().all(|origin| !origin.lease.is_gone()), "it would abort");
                ledger.settle(sent);
            })
        };
        assert_eq!(close_patiently(&ledger), None, "the transaction has committed all that was sent");
        sink.join().unwrap();
    });
}

#[test]
fn whenever_patience_ends_only_what_is_acknowledged_is_committed_and_the_rest_is_stale() {
    in_every_order(|| {
        let (ledger, broker) = (open(), Broker::default());
        let origin = enter(&ledger, 0);
        let lease = origin.lease.clone();
        assert!(ledger.send(&origin));
        let sink = sink(&ledger, &broker, move |ledger, broker| broker.acknowledge(&origin, ledger));
        let closed = close_impatiently(&ledger);
        assert!(broker.has_all_before(closed));
        assert!(lease.is_gone());
        // It comes back at once, to be read again.
        ledger.open("documents", 0);
        let again = enter(&ledger, 0);
        sink.join().unwrap();
        assert_eq!(ledger.to_commit(), [], "a late acknowledgement counts for nothing");
        assert!(ledger.send(&again));
        ledger.acknowledge(&again);
        assert_eq!(offset(&ledger.to_commit()), Some(1));
    });
}

#[test]
fn a_commit_under_way_while_the_partition_goes_and_comes_back_counts_for_nothing() {
    in_every_order(|| {
        let ledger = open();
        let origin = enter(&ledger, 0);
        assert!(ledger.send(&origin));
        ledger.acknowledge(&origin);
        let due = ledger.to_commit();
        let commit = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || ledger.committed(&due))
        };
        close_patiently(&ledger);
        ledger.open("documents", 0);
        // Another worker had it meanwhile, and got further.
        ledger.reach(&partition(), 7);
        drop(enter(&ledger, 7));
        commit.join().unwrap();
        assert_eq!(ledger.uncommitted()[&partition()], Some(7));
        assert_eq!(offset(&ledger.to_commit()), Some(7), "where it begins");
    });
}
