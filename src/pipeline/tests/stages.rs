//! What one stage does to the others: nothing as long as it only waits, and an end when it breaks.

use super::*;

/// Takes nothing until it may.
struct Patient {
    gate: Arc<Mutex<()>>,
    inner: FakeSink,
}

impl Sink for Patient {
    fn deliver(&mut self, outcome: Outcome) -> Result<()> {
        drop(self.gate.lock().unwrap());
        self.inner.deliver(outcome)
    }
}

#[test]
fn a_stage_that_takes_nothing_makes_no_other_wait() {
    let documents = 3000;
    // The second runs two models, one after the other, on a document of one text.
    for (config, lanes) in [(config(), 1), (several(), 2)] {
        let (seen, gate) = (Arc::<Seen>::default(), Arc::<Mutex<()>>::default());
        let taggers = Live::of(gated(&config, "poison", 0, &seen));
        let shut = Arc::clone(&gate);
        let sink = |delivered| Patient { gate: shut, inner: FakeSink { delivered, room: usize::MAX } };
        let mut line = Line::start_into(&config, taggers, None, sink);
        let (no_sink, no_model) = (gate.lock().unwrap(), seen.close());
        (0..documents).for_each(|number| line.feed(number % 2, &Lease::default(), "a text"));
        // All are prepared, though the model takes none; and the model is done with all, though the sink takes none.
        line.settle();
        drop(no_model);
        line.wait_until("all are tagged", |_| seen.rows.load(Ordering::Acquire) == lanes * documents);
        assert!(line.delivered.lock().unwrap().is_empty());
        drop(no_sink);
        let run = line.finish();
        assert!(run.failure.is_none(), "{:?}", run.failure);
        assert_eq!(run.delivered.len(), documents);
    }
}

/// Has a bug.
struct Buggy;

impl Sink for Buggy {
    fn deliver(&mut self, _: Outcome) -> Result<()> {
        panic!("a bug of the sink")
    }
}

impl Infer for Buggy {
    fn infer(&mut self, _: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        panic!("a bug of the model")
    }
}

#[test]
fn a_thread_that_panics_stops_the_worker_with_the_reason_and_frees_what_is_in_flight() {
    let config = config();
    let sound = || Taggers::load_with(&config, &fake("poison")).unwrap();
    let buggy = Taggers::load_with(&config, &|settings| Ok(Model::load(settings)?.with_session(Buggy))).unwrap();
    for (thread, mut line) in [
        ("deliver", Line::start_into(&config, Live::of(sound()), None, |_| Buggy)),
        ("infer", Line::start(&config, buggy)),
    ] {
        (0..100).for_each(|number| line.feed(number % 2, &Lease::default(), "a text"));
        line.wait_until("it stops by itself", |line| line.stop.is_requested() && line.stop.is_abandoned());
        let run = line.finish();
        let reason = format!("the {thread} thread panicked; this is a bug in tagbert");
        assert_eq!(run.failure.unwrap().to_string(), reason);
        assert!(run.delivered.is_empty());
        assert_eq!(run.budget.used(), 0);
    }
}
