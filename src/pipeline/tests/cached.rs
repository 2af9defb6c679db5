//! Nothing is tagged twice.

use super::*;

fn cached() -> Config {
    let mut config = config();
    config.cache.size = bytesize::ByteSize::mib(1);
    config.retries = Retries { max: 1, backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(1) };
    config
}

/// What of a record does not belong to its document, as it is written.
fn shared(outcome: &Outcome) -> [String; 2] {
    let Outcome::Enriched(envelope) = outcome else { panic!("{outcome:?}") };
    let text = std::str::from_utf8(&envelope.body.enriched.value).unwrap();
    let part = |from: &str, to: &str| text[text.find(from).unwrap()..text.rfind(to).unwrap()].to_owned();
    [part(",\"tags\":", ",\"document\":"), part(",\"model\":", ",\"tagged_at\":")]
}

/// The record without them, and without the time.
fn own(outcome: &Outcome) -> Value {
    let Outcome::Enriched(envelope) = outcome else { panic!("{outcome:?}") };
    let record: Value = serde_json::from_slice(&envelope.body.enriched.value).unwrap();
    json!([record["id"], record["document"]["id"], record["source"]["partition"], record["source"]["offset"]])
}

#[test]
fn duplicates_in_flight_run_the_model_once_and_later_ones_not_at_all() {
    let seen = Arc::default();
    let mut line = Line::start(&cached(), gated(&cached(), "poison", 0, &seen));
    let gate = seen.close();
    for number in 0..20 {
        line.feed(number % 2, &Lease::default(), "the same");
    }
    line.settle();
    drop(gate);
    line.wait_for(20);
    (0..10).for_each(|number| line.feed(number % 2, &Lease::default(), "the same"));
    let metrics = Arc::clone(&line.metrics);
    let run = line.finish();
    assert_eq!(seen.rows.load(Ordering::Acquire), 1);
    assert_eq!((metrics.cache_misses.get(), metrics.cache_joined.get(), metrics.cache_hits.get()), (1, 19, 10));
    assert_eq!(run.delivered.len(), 30);
    for partition in [0, 1] {
        let origins = run.delivered.iter().map(Outcome::origin).filter(|origin| origin.partition == partition);
        assert!(origins.map(|origin| origin.seq).eq(0..15));
    }
    drop(run.delivered);
    assert_eq!(run.budget.used(), 0);
}

#[test]
fn without_a_cache_each_document_is_tagged() {
    let seen = Arc::default();
    let mut config = cached();
    config.cache.size = bytesize::ByteSize::b(0);
    let mut line = Line::start(&config, gated(&cached(), "poison", 0, &seen));
    (0..20).for_each(|_| line.feed(0, &Lease::default(), "the same"));
    line.finish();
    assert_eq!(seen.rows.load(Ordering::Acquire), 20);
}

#[test]
fn a_cached_record_is_a_computed_one_byte_for_byte_but_for_what_is_its_own() {
    let texts = ["Angela Merkel met Tim Cook in Berlin.", "WIN a FREE prize!!!", "Shares in Microsoft fell 3 %."];
    let run = |config: &Config| {
        let mut line = Line::start(config, Taggers::load(config).unwrap());
        for (number, text) in texts.iter().chain(&texts).enumerate() {
            line.feed(number % 2, &Lease::default(), text);
            line.wait_for(number + 1);
        }
        let hits = line.metrics.cache_hits.get();
        (hits, line.finish().delivered)
    };
    let mut without = cached();
    without.cache.size = bytesize::ByteSize::b(0);
    let ((hits, cached), (none, computed)) = (run(&cached()), run(&without));
    assert_eq!((hits, none), (3, 0));
    for (cached, computed) in cached.iter().zip(&computed) {
        assert_eq!(shared(cached), shared(computed));
        assert_eq!(own(cached), own(computed));
    }
    let distinct: std::collections::HashSet<_> = cached.iter().map(shared).collect();
    assert_eq!(distinct.len(), 3, "each text has tags of its own");
}

#[test]
fn those_who_wait_for_a_document_that_fails_are_tried_on_their_own() {
    let seen = Arc::default();
    // So often that the first is a dead letter, and no more.
    let mut line = Line::start(&cached(), gated(&cached(), "poison", 3, &seen));
    let gate = seen.close();
    (0..10).for_each(|number| line.feed(number % 2, &Lease::default(), "the same"));
    line.settle();
    drop(gate);
    let run = line.finish();
    assert!(run.failure.is_none(), "{:?}", run.failure);
    assert_eq!((run.delivered.len(), dead_letters(&run)), (10, 1));
}

#[test]
fn a_text_that_breaks_the_model_ends_as_a_dead_letter_each_time_and_nothing_hangs() {
    let seen = Arc::default();
    let mut line = Line::start(&cached(), gated(&cached(), "poison", 0, &seen));
    let gate = seen.close();
    for number in 0..30 {
        line.feed(number % 2, &Lease::default(), if number % 3 == 0 { "poison" } else { "another" });
    }
    line.settle();
    drop(gate);
    let run = line.finish();
    assert!(run.failure.is_none(), "{:?}", run.failure);
    assert_eq!((run.delivered.len(), dead_letters(&run)), (30, 10));
}

#[test]
fn those_who_wait_for_a_document_of_a_lost_partition_do_without_it() {
    let seen = Arc::default();
    let mut line = Line::start(&cached(), gated(&cached(), "poison", 0, &seen));
    let (lost, held) = (Lease::default(), Lease::default());
    let gate = seen.close();
    line.feed(1, &held, "runs already");
    line.wait_until("the model runs", |_| seen.is_running.load(Ordering::Acquire));
    line.feed(0, &lost, "the same");
    line.settle();
    (0..5).for_each(|_| line.feed(1, &held, "the same"));
    line.settle();
    lost.lose();
    drop(gate);
    let metrics = Arc::clone(&line.metrics);
    let run = line.finish();
    assert!(run.delivered.iter().map(|outcome| outcome.origin().partition).eq([1; 6]));
    assert_eq!(records(&run).len(), 6);
    assert_eq!(seen.rows.load(Ordering::Acquire), 2, "one of those who waited is tagged for all");
    assert_eq!(metrics.cache_joined.get() + metrics.cache_hits.get(), 4);
}

#[test]
fn a_new_model_never_answers_with_what_the_old_one_said() {
    let mut line = Line::start(&cached(), of_version(&cached(), "old"));
    for (number, new) in [None, None, Some("new"), None, Some("old"), None].into_iter().enumerate() {
        if let Some(new) = new {
            line.live.replace(of_version(&cached(), new).into());
        }
        line.feed(0, &Lease::default(), "the same");
        line.wait_for(number + 1);
    }
    let (hits, run) = (line.metrics.cache_hits.get(), line.finish());
    let records = records(&run);
    let versions = records.iter().map(|record| record["model"]["version"].as_str().unwrap());
    assert!(versions.eq(["old", "old", "new", "new", "old", "old"]));
    assert_eq!(hits, 3, "each load is asked once");
}

#[test]
fn a_sink_that_fails_ends_the_line_whoever_waits() {
    let seen = Arc::default();
    let mut line = Line::start(&cached(), gated(&cached(), "poison", 0, &seen));
    let gate = seen.close();
    for number in 0..40 {
        line.feed(number % 2, &Lease::default(), ["the same", "as another", "as a third"][number % 3]);
    }
    line.settle();
    line.stop.fail(anyhow!("the sink is full"));
    drop(gate);
    let run = line.finish();
    drop(run.delivered);
    assert_eq!(run.budget.used(), 0);
}

#[test]
fn the_shadow_is_shown_all_documents_not_only_those_that_the_model_ran() {
    let mut config = cached();
    let yaml = "shadow: {path: tests/fixtures/tiny-distilbert, sample: 1}";
    config.shadow = Config::parse(yaml, std::collections::HashMap::new(), &[]).unwrap().shadow;
    let taggers = Live::of(Taggers::load(&config).unwrap());
    let meter = NoopMeterProvider::new().meter("test");
    let (shadow, _) = Shadow::start(&config, &taggers.current(), &meter).unwrap().unwrap();
    let mut line = Line::start_with(&config, taggers, Some(Arc::clone(&shadow)));
    (0..12).for_each(|number| line.feed(number % 2, &Lease::default(), "Angela Merkel met Tim Cook in Berlin."));
    let compared = || serde_json::to_value(shadow.report()).unwrap()["compared"].as_u64();
    line.wait_until("all are compared", |_| compared() == Some(12));
    assert_eq!(line.metrics.cache_misses.get(), 1);
    line.finish();
    shadow.stop();
}
