//! The budget, where the source takes shares that other threads change and give back.

use loom::thread;

use crate::in_every_order;
use crate::record::budget::Budget;

/// Bytes of a record, and of what is made of it: less than was expected of it, then more.
const RECORD: usize = 10;
const TOKENS: usize = 100;
const RESULT: usize = 1000;

#[test]
fn all_of_the_budget_comes_back_whatever_threads_do_with_their_shares() {
    in_every_order(|| {
        let budget = Budget::new(1);
        let one = {
            let mut permit = budget.take(RECORD);
            thread::spawn(move || {
                permit.settle(TOKENS);
                permit.grow(RESULT);
            })
        };
        let other = {
            let budget = budget.clone();
            thread::spawn(move || {
                let mut permit = budget.take(RECORD);
                permit.settle(TOKENS);
            })
        };
        one.join().unwrap();
        other.join().unwrap();
        assert_eq!(budget.used(), 0);
        assert!(!budget.is_spent());
    });
}

#[test]
fn a_share_that_changes_is_never_counted_for_less_than_it_holds_nor_does_the_count_wrap() {
    in_every_order(|| {
        let budget = Budget::new(1);
        let mut permit = budget.take(RECORD);
        let most = budget.used();
        let tokenize = thread::spawn(move || {
            permit.settle(TOKENS);
            permit
        });
        let seen = budget.used();
        let permit = tokenize.join().unwrap();
        let least = budget.used();
        assert!(least < most, "it needed less");
        assert!((least..=most + least).contains(&seen), "{seen} of {least} to {most}");
        drop(permit);
        assert_eq!(budget.used(), 0);
    });
}
