//! The stop, which any thread may ask for and all look at.

use std::sync::Arc;

use anyhow::anyhow;
use loom::thread;

use crate::in_every_order;
use crate::record::stop::Stop;

#[test]
fn whoever_sees_that_work_has_failed_sees_why() {
    in_every_order(|| {
        let stop = Arc::new(Stop::default());
        let stage = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || stop.fail(anyhow!("it broke")))
        };
        if stop.is_requested() {
            assert!(stop.is_abandoned(), "it would drain what can't be finished");
            assert!(stop.take_failure().is_some(), "it would exit with 0");
        }
        stage.join().unwrap();
    });
}

#[test]
fn the_error_that_stopped_the_work_is_told_and_not_its_echo() {
    in_every_order(|| {
        let stop = Arc::new(Stop::default());
        let stages = ["one", "other"].map(|stage| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let echo = stop.is_requested();
                stop.fail(if echo { anyhow!("echo") } else { anyhow!(stage) });
            })
        });
        for stage in stages {
            stage.join().unwrap();
        }
        assert!(stop.is_requested() && stop.is_abandoned());
        let told = stop.take_failure().expect("it failed");
        assert_ne!(told.to_string(), "echo");
        assert!(stop.take_failure().is_none());
    });
}
