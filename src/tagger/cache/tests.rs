use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::metrics::noop::NoopMeterProvider;
use proptest::prelude::*;

use super::*;
use crate::record::budget::Budget;
use crate::record::envelope::{Origin, Record};
use crate::record::tag::Class;
use crate::record::trace::RecordSpan;
use crate::tagger::feed::Fed;

/// A cache, and the way back into a line that is not there.
struct Desk {
    cache: Arc<Cache>,
    feed: Arc<Feed>,
    again: Receiver<Fed>,
    budget: Budget,
    metrics: Arc<Metrics>,
}

impl Desk {
    fn new(size: usize) -> Self {
        let budget = Budget::new(1 << 30);
        let metrics = Metrics::new(&NoopMeterProvider::new().meter("test"), &budget);
        let (to_prepare, again) = unbounded();
        let feed = Feed::new(to_prepare, Arc::new(AtomicUsize::new(0)));
        Self { cache: Cache::new(size, &metrics), feed, again, budget, metrics }
    }

    fn record(&self, seq: u64, text: &str) -> Envelope<()> {
        let lease = Lease::default();
        Envelope {
            origin: Origin { topic: "t".into(), partition: 0, offset: 0, epoch: 1, seq, lease },
            record: Record { key: None, value: Some(text.into()), headers: None, timestamp: None },
            body: (),
            fetched: Instant::now(),
            span: RecordSpan::default(),
            permit: self.budget.take(text.len()),
        }
    }

    fn look_up(&self, record: Envelope<()>, load: u64) -> Found {
        let text = String::from_utf8(record.record.value.clone().unwrap()).unwrap();
        self.cache.look_up(record.map(|()| Document::unnamed(vec![Some(text.as_str().into())])), load, &self.feed)
    }

    /// The claim on a text that is unknown.
    fn claim(&self, text: &str) -> Claim {
        match self.look_up(self.record(0, text), 1) {
            Found::Unknown(_, claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    /// Whether a text is known; if it is not, it is no claim.
    fn knows(&self, text: &str) -> bool {
        matches!(self.look_up(self.record(0, text), 1), Found::Known(..))
    }
}

/// An answer with so many names in it.
fn answer(names: usize) -> Arc<Answer> {
    let entity = |n| Entity { kind: "PER".into(), text: "Angela".into(), start: n, end: n + 6, score: 0.5 };
    let entities = Tag::Entities((0..names as u32).map(entity).collect());
    let class = Tag::Class(Class { label: None, score: 0.25, scores: vec![] });
    let models = vec![Identity { name: "m".into(), version: "1".into() }];
    let given = |name: &str, tag| Given { name: name.into(), text: 0, tag };
    let tags = vec![given("topic", class), given("entities", entities)];
    Arc::new(Answer { load: 0, tags, absent: vec![], secrets: vec![], models, tokens: names, truncated: false })
}

#[test]
fn what_is_known_is_answered_and_what_is_being_tagged_is_waited_for() {
    let desk = Desk::new(1 << 20);
    let claim = desk.claim("a text");
    assert!(matches!(desk.look_up(desk.record(7, "a text"), 1), Found::Waits));
    assert!(matches!(desk.look_up(desk.record(0, "another"), 1), Found::Unknown(..)));
    let waited = claim.fulfil(&answer(3));
    assert!(waited.iter().map(|document| document.origin.seq).eq([7]));
    let Found::Known(_, known) = desk.look_up(desk.record(0, "a text"), 1) else { panic!("it is known by now") };
    assert_eq!(known.tokens, 3);
    let Metrics { cache_hits, cache_joined, cache_misses, .. } = &*desk.metrics;
    assert_eq!((cache_hits.get(), cache_joined.get(), cache_misses.get()), (1, 1, 2));
}

#[test]
fn what_other_models_said_is_no_answer() {
    let desk = Desk::new(1 << 20);
    let claim = desk.claim("a text");
    assert!(matches!(desk.look_up(desk.record(0, "a text"), 2), Found::Unknown(..)), "in flight");
    claim.fulfil(&answer(3));
    assert!(matches!(desk.look_up(desk.record(0, "a text"), 2), Found::Unknown(..)), "known");
}

#[test]
fn those_who_wait_for_a_document_that_fails_are_tried_alone_and_of_a_lost_one_together() {
    let desk = Desk::new(1 << 20);
    for lost in [false, true] {
        let Found::Unknown(document, claim) = desk.look_up(desk.record(0, "a text"), 1) else { panic!() };
        assert!(matches!(desk.look_up(desk.record(1, "a text"), 1), Found::Waits));
        if lost {
            document.origin.lease.end();
        }
        drop(claim);
        let fed = desk.again.try_recv().unwrap();
        assert_eq!((fed.envelope.origin.seq, fed.alone), (1, !lost));
    }
}

#[test]
fn texts_are_told_apart_wherever_one_ends() {
    let some = |text: &str| Some(Text::from(text));
    let all: [&[Option<Text>]; 6] = [
        &[some("a"), some("bc")],
        &[some("ab"), some("c")],
        &[some("abc"), None],
        &[None, some("abc")],
        &[some("abc"), some("")],
        &[some("abc")],
    ];
    let keys: std::collections::HashSet<Key> = all.iter().map(|texts| key(1, texts)).collect();
    assert_eq!(keys.len(), all.len());
    assert_eq!(key(1, all[0]), key(1, &[some("a"), some("bc")]));
}

#[test]
fn the_answers_keep_within_their_size_and_those_not_asked_for_go_first() {
    let size = 64 << 10;
    let desk = Desk::new(size);
    for n in 0..500 {
        drop(desk.claim(&n.to_string()).fulfil(&answer(n % 40)));
        assert!(desk.knows("0"), "it is asked for all the time");
        let state = desk.cache.state();
        assert!(state.bytes <= size, "{} after {n}", state.bytes);
        assert_eq!(state.bytes, state.answers.values().map(|answer| bytes_of(answer)).sum::<usize>());
        assert_eq!(desk.metrics.cache_bytes.load(Ordering::Relaxed), state.bytes);
    }
    assert!(desk.knows("499") && !desk.knows("1"));
    let before = desk.cache.state().answers.len();
    desk.claim("too large").fulfil(&answer(size));
    assert_eq!(desk.cache.state().answers.len(), before, "it would be alone there");
}

#[derive(Clone, Debug)]
enum Step {
    /// A record comes with one of a few texts.
    Come(u8),
    /// One of the claims is fulfilled.
    Fulfil(usize),
    /// Its document fails.
    Fail(usize),
    /// Its document's partition is lost.
    Lose(usize),
    /// One that waited in vain comes again.
    Return,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8).prop_map(Step::Come),
        1 => any::<usize>().prop_map(Step::Fulfil),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => Just(Step::Return),
    ]
}

/// Documents on their way, and those that have come out.
#[derive(Default)]
struct Line {
    claims: Vec<(Envelope<Document>, Claim)>,
    out: Vec<u64>,
}

impl Line {
    fn prepare(&mut self, desk: &Desk, record: Envelope<()>) {
        match desk.look_up(record, 1) {
            Found::Known(document, _) => self.out.push(document.origin.seq),
            Found::Unknown(document, claim) => self.claims.push((document, claim)),
            Found::Waits => {}
        }
    }

    fn prepare_again(&mut self, desk: &Desk) -> bool {
        let Ok(Fed { envelope, alone, .. }) = desk.again.try_recv() else { return false };
        if alone {
            self.out.push(envelope.origin.seq);
        } else {
            self.prepare(desk, envelope);
        }
        true
    }

    fn take(&mut self, which: usize) -> Option<(Envelope<Document>, Claim)> {
        (!self.claims.is_empty()).then(|| self.claims.remove(which % self.claims.len()))
    }

    fn end(&mut self, which: usize, how: impl FnOnce(Envelope<Document>, Claim) -> Vec<Envelope<Document>>) -> bool {
        let Some((document, claim)) = self.take(which) else { return false };
        self.out.push(document.origin.seq);
        self.out.extend(how(document, claim).iter().map(|document| document.origin.seq));
        true
    }
}

proptest! {
    #[test]
    fn whatever_becomes_of_claims_each_record_comes_out_once_and_nothing_is_kept(
        steps in prop::collection::vec(step(), 0..200),
        size in prop_oneof![Just(1usize), Just(1 << 20)],
    ) {
        let desk = Desk::new(size);
        let (mut line, mut came) = (Line::default(), 0);
        for step in steps {
            match step {
                Step::Come(text) => {
                    line.prepare(&desk, desk.record(came, &text.to_string()));
                    came += 1;
                }
                Step::Fulfil(which) => drop(line.end(which, |_, claim| claim.fulfil(&answer(1)))),
                Step::Fail(which) => drop(line.end(which, |_, _| Vec::new())),
                Step::Lose(which) => drop(line.end(which, |document, _| {
                    document.origin.lease.lose();
                    Vec::new()
                })),
                Step::Return => drop(line.prepare_again(&desk)),
            }
        }
        while line.prepare_again(&desk) || line.end(0, |_, claim| claim.fulfil(&answer(1))) {}
        line.out.sort_unstable();
        prop_assert!(line.out.iter().copied().eq(0..came), "{:?} of {came}", line.out);
        prop_assert!(desk.cache.state().waiting.is_empty());
        prop_assert_eq!(desk.budget.used(), 0);
        prop_assert_eq!(Arc::strong_count(&desk.feed), 1, "nothing holds the line open");
    }
}
