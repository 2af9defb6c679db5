use serde_json::{Value, json};

use super::*;
use crate::record::envelope::Lease;
use crate::tagger::taggers::Work;

const TINY: &str = "tests/fixtures/tiny-distilbert";

fn config(shadow: &str, sample: &str) -> Config {
    let yaml = format!("model: {{path: {TINY}, device: cpu, stride: 8}}\nshadow: {{path: {shadow}, sample: {sample}}}");
    Config::parse(&yaml, HashMap::new(), &[]).unwrap()
}

fn origin(offset: i64) -> Origin {
    Origin { topic: "t".into(), partition: 3, offset, epoch: 1, seq: 0, lease: Lease::default() }
}

fn meter() -> Meter {
    use opentelemetry::metrics::MeterProvider as _;
    opentelemetry::metrics::noop::NoopMeterProvider::new().meter("test")
}

fn tagged(taggers: &Arc<Taggers>, text: &str) -> Work {
    let document = Document::unnamed(vec![Some(text.into())]);
    let mut work = taggers.encode(document).unwrap();
    crate::tagger::gather::run_alone(&mut work).unwrap();
    work
}

/// What it says once it has had these documents, and none waits any more.
fn report_on(shadow: &Shadow, primary: &Arc<Taggers>, documents: i64) -> Value {
    for offset in 0..documents {
        let work = tagged(primary, &format!("Document {offset} of Berlin"));
        shadow.offer(&origin(offset), &work.document, &work.answer());
    }
    let deadline = std::time::Instant::now() + Duration::from_mins(5);
    while shadow.inner.waiting.load(Ordering::Acquire) > 0 && std::time::Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    serde_json::to_value(shadow.report()).unwrap()
}

#[test]
fn the_sample_is_the_share_and_the_same_each_time() {
    let sampled = |share| (0..20_000).filter(|&offset| is_sampled(&origin(offset), share)).collect::<Vec<_>>();
    let tenth = sampled(0.1);
    assert!((1_800..2_200).contains(&tenth.len()), "{}", tenth.len());
    assert_eq!(tenth, sampled(0.1));
    assert_eq!(sampled(1.0).len(), 20_000);
    let half = sampled(0.5);
    assert!(tenth.iter().all(|offset| half.contains(offset)), "a larger sample has all of a smaller one");
}

#[test]
fn a_model_agrees_with_itself_and_a_full_queue_drops() {
    let config = config(TINY, "1");
    let primary = Arc::new(Taggers::load(&config).unwrap());
    let (shadow, thread) = Shadow::start(&config, &primary, &meter()).unwrap().unwrap();
    let report = report_on(&shadow, &primary, 20);
    assert_eq!((&report["compared"], &report["dropped"], &report["failed"]), (&json!(20), &json!(0), &json!(0)));
    for tag in ["topic", "spam", "entities"] {
        assert_eq!(report["tags"][tag]["agreement"], 1.0, "{report}");
        assert_eq!(report["tags"][tag]["flips"], json!({}));
    }
    assert_eq!(report["model"], report["compared_with"][0]);

    let work = tagged(&primary, "one too many");
    shadow.inner.waiting.fetch_add(BYTES, Ordering::AcqRel);
    shadow.offer(&origin(0), &work.document, &work.answer());
    shadow.inner.waiting.fetch_sub(BYTES, Ordering::AcqRel);
    assert_eq!(shadow.report().dropped, 1, "all the memory that there is for it is taken");

    shadow.replace(&primary, shadow.taggers());
    let report = report_on(&shadow, &primary, 3);
    assert_eq!((&report["compared"], &report["dropped"]), (&json!(3), &json!(0)), "a new comparison begins at nothing");
    shadow.stop();
    thread.join().unwrap();
}

#[test]
fn what_a_replaced_model_said_is_not_compared() {
    let config = config(TINY, "1");
    let old = Arc::new(Taggers::load(&config).unwrap());
    let (shadow, _) = Shadow::start(&config, &old, &meter()).unwrap().unwrap();
    shadow.replace(&Arc::new(Taggers::load(&config).unwrap()), shadow.taggers());
    assert_eq!(report_on(&shadow, &old, 5)["compared"], 0);
}

#[test]
fn a_shadow_that_fails_counts_and_goes_on() {
    struct Broken(u32);
    impl crate::model::session::Infer for Broken {
        fn infer(&mut self, _: &[&[u32]]) -> Result<Vec<Vec<crate::model::session::Logits>>> {
            self.0 += 1;
            assert!(self.0.is_multiple_of(2), "a panic is a failure, too");
            Err(anyhow!("broken"))
        }
    }
    let config = config(TINY, "1");
    let primary = Arc::new(Taggers::load(&config).unwrap());
    let (shadow, _) = Shadow::start(&config, &primary, &meter()).unwrap().unwrap();
    let load = |settings: &_| crate::model::loaded::Model::load(settings).map(|model| model.with_session(Broken(0)));
    shadow.replace(&primary, Arc::new(Taggers::load_with(&config, &load).unwrap()));
    let report = report_on(&shadow, &primary, 6);
    assert_eq!((&report["compared"], &report["failed"]), (&json!(0), &json!(6)));
}

#[test]
fn single_heads_are_compared_whatever_their_names_and_others_by_name() {
    let load = |path: &str| {
        let mut config = Config::default();
        config.model.path = path.parse().unwrap();
        config.model.stride = Some(8);
        Taggers::load(&config).unwrap()
    };
    let (tiny, one, other) = (
        load(TINY),
        load("tests/fixtures/parity/distilbert-single-label"),
        load("tests/fixtures/parity/roberta-single-label"),
    );
    assert_eq!(pairs(&tiny, &tiny).len(), 3);
    assert_eq!(pairs(&one, &other), HashMap::from([("distilbert-single-label".into(), "roberta-single-label".into())]));
    assert!(pairs(&tiny, &one).is_empty());
    let nothing =
        Shadow::start(&config("tests/fixtures/parity/distilbert-single-label", "1"), &Arc::new(tiny), &meter());
    let error = format!("{:#}", nothing.unwrap_err());
    assert!(error.contains("no tag in common"), "{error}");
}
