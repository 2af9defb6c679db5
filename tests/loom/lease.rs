//! A lease, which the source ends and takes away while all stages look at it.

use loom::thread;

use crate::in_every_order;
use crate::record::origin::Lease;

#[test]
fn what_is_gone_stays_gone() {
    in_every_order(|| {
        let lease = Lease::default();
        let (back, away) = (lease.clone(), lease.clone());
        let ending = thread::spawn(move || back.end());
        let losing = thread::spawn(move || away.lose());
        let gone = lease.is_gone();
        assert!(!gone || lease.is_over() && lease.is_gone(), "it has come back");
        ending.join().unwrap();
        losing.join().unwrap();
        assert!(lease.is_gone());
    });
}
