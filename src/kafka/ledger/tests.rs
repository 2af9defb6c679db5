use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn open() -> Ledger {
    let ledger = Ledger::default();
    ledger.open("documents", 0);
    ledger
}

fn enter(ledger: &Ledger, offset: i64) -> Origin {
    ledger.enter("documents", 0, offset).expect("the partition is open")
}

fn send_and_acknowledge(ledger: &Ledger, origin: &Origin) {
    assert!(ledger.send(origin));
    ledger.acknowledge(origin);
}

fn to_commit(ledger: &Ledger) -> Option<i64> {
    ledger.to_commit().first().map(|watermark| watermark.2)
}

#[test]
fn what_a_transaction_did_not_commit_is_still_to_be_committed() {
    let ledger = open();
    let origin = enter(&ledger, 9);
    // The marker of a transaction stands behind it.
    ledger.reach(&("documents".into(), 0), 11);
    assert!(ledger.send(&origin));
    ledger.settle([&origin]);
    assert_eq!(to_commit(&ledger), Some(11));
}

#[test]
fn offset_waits_for_every_ack() {
    let ledger = open();
    let origins: Vec<_> = [10, 11, 15].map(|offset| enter(&ledger, offset)).into();
    send_and_acknowledge(&ledger, &origins[1]);
    assert_eq!(to_commit(&ledger), None);
    send_and_acknowledge(&ledger, &origins[0]);
    assert_eq!(to_commit(&ledger), Some(12));
    send_and_acknowledge(&ledger, &origins[2]);
    assert_eq!(to_commit(&ledger), Some(16));
    ledger.committed(&ledger.to_commit());
    assert_eq!(to_commit(&ledger), None);
}

#[test]
fn what_was_read_counts_though_the_log_has_lost_its_place() {
    let ledger = open();
    let origins = [500, 501].map(|offset| enter(&ledger, offset));
    ledger.rewind(&("documents".into(), 0));
    let first = enter(&ledger, 0);
    for origin in &origins {
        send_and_acknowledge(&ledger, origin);
    }
    assert_eq!(to_commit(&ledger), Some(502));
    send_and_acknowledge(&ledger, &first);
    assert_eq!(to_commit(&ledger), Some(1));
    ledger.committed(&ledger.to_commit());
    assert_eq!(to_commit(&ledger), None);
}

#[test]
fn an_offset_that_the_log_has_lost_holds_no_other_back() {
    let ledger = open();
    let partition = ("documents".into(), 0);
    send_and_acknowledge(&ledger, &enter(&ledger, 500));
    ledger.rewind(&partition);
    assert_eq!(to_commit(&ledger), None);
    ledger.reach(&partition, 7);
    assert_eq!(to_commit(&ledger), Some(7));
}

#[test]
fn a_record_that_is_handed_out_twice_is_taken_once() {
    let ledger = open();
    enter(&ledger, 10);
    assert!(ledger.enter("documents", 0, 10).is_none() && ledger.enter("documents", 0, 9).is_none());
    enter(&ledger, 11);
    // Where it is read again on purpose, it is another assignment, or the log is another one.
    ledger.open("documents", 0);
    enter(&ledger, 10);
    ledger.rewind(&("documents".into(), 0));
    enter(&ledger, 0);
}

#[test]
fn the_end_is_committed_past_transaction_markers() {
    let ledger = open();
    let origin = enter(&ledger, 4);
    ledger.reach(&("documents".into(), 0), 6);
    assert_eq!(to_commit(&ledger), None, "a record is in flight");
    send_and_acknowledge(&ledger, &origin);
    assert_eq!(to_commit(&ledger), Some(6));
}

#[test]
fn a_partition_given_up_sends_nothing_more_and_commits_what_was_acknowledged() {
    let ledger = open();
    let (first, second) = (enter(&ledger, 0), enter(&ledger, 1));
    send_and_acknowledge(&ledger, &first);
    let closed = ledger.close(&[("documents".into(), 0)], Instant::now());
    assert_eq!(closed, [("documents".into(), 0, 1)]);
    assert!(!ledger.send(&second));
    assert!(ledger.enter("documents", 0, 2).is_none());
    assert!(second.lease.is_gone());
}

#[test]
fn a_partition_that_is_waited_for_may_still_deliver_what_is_finished() {
    let ledger = Arc::new(open());
    let origin = enter(&ledger, 0);
    assert!(ledger.send(&origin) && !ledger.is_awaited());
    let source = {
        let ledger = Arc::clone(&ledger);
        std::thread::spawn(move || ledger.close(&[("documents".into(), 0)], Instant::now() + Duration::from_secs(10)))
    };
    while !ledger.is_awaited() {
        std::thread::yield_now();
    }
    assert!(origin.lease.is_over() && !origin.lease.is_gone());
    ledger.settle([&origin]);
    assert_eq!(source.join().expect("closes"), [], "the transaction has committed it");
    assert!(origin.lease.is_gone());
}

#[test]
fn a_late_acknowledgement_of_an_earlier_assignment_counts_for_nothing() {
    let ledger = open();
    let stale = enter(&ledger, 0);
    assert!(ledger.send(&stale));
    ledger.close(&[("documents".into(), 0)], Instant::now());
    ledger.open("documents", 0);
    let again = enter(&ledger, 0);
    ledger.acknowledge(&stale);
    assert_eq!(to_commit(&ledger), None);
    send_and_acknowledge(&ledger, &again);
    assert_eq!(to_commit(&ledger), Some(1));
}

#[test]
fn a_late_commit_of_an_earlier_assignment_counts_for_nothing() {
    let ledger = open();
    send_and_acknowledge(&ledger, &enter(&ledger, 0));
    let under_way = ledger.to_commit();
    let partition = ("documents".into(), 0);
    ledger.close(std::slice::from_ref(&partition), Instant::now());
    ledger.open("documents", 0);
    // Another worker had it meanwhile, and got further.
    ledger.reach(&partition, 7);
    enter(&ledger, 7);
    ledger.committed(&under_way);
    assert_eq!(ledger.uncommitted()[&partition], Some(7));
}

#[test]
fn giving_up_waits_for_what_was_sent() {
    let ledger = Arc::new(open());
    let origin = enter(&ledger, 0);
    assert!(ledger.send(&origin));
    let late = {
        let ledger = Arc::clone(&ledger);
        std::thread::spawn(move || ledger.acknowledge(&origin))
    };
    let closed = ledger.close(&[("documents".into(), 0)], Instant::now() + Duration::from_secs(10));
    late.join().expect("acknowledges");
    assert_eq!(closed, [("documents".into(), 0, 1)]);
}

proptest! {
    #[test]
    fn the_watermark_is_the_first_unacknowledged_offset(order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle()) {
        let ledger = open();
        let origins: Vec<_> = (0..40).map(|n| enter(&ledger, 3 * n)).collect();
        let mut acknowledged = [false; 40];
        for n in order {
            send_and_acknowledge(&ledger, &origins[n]);
            acknowledged[n] = true;
            let expected = match acknowledged.iter().position(|done| !done) {
                Some(0) => None,
                Some(first) => Some(origins[first - 1].offset + 1),
                None => Some(3 * 39 + 1),
            };
            prop_assert_eq!(to_commit(&ledger), expected);
        }
    }
}
