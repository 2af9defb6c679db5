//! Models that change, and models that are tried, while the worker runs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::thread;

use rdkafka::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

mod support;

use support::line::{Line, TINY, document, value};
use support::tagbert::Worker;

const NO_WATCH: [&str; 2] = ["--set", "model.watch=off"];

/// A copy of a model.
fn copy(of: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in support::root().join(of).read_dir().unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

/// Changes what a model is, in one step: as it should be done.
fn edit(model: &TempDir, from: &str, to: &str) {
    let (file, new) = (model.path().join("heads.json"), model.path().join("new"));
    let heads = fs::read_to_string(&file).unwrap();
    assert!(heads.contains(from));
    fs::write(&new, heads.replace(from, to)).unwrap();
    fs::rename(new, file).unwrap();
}

/// Half of its graph is missing.
fn truncate(model: &TempDir) {
    let graph = fs::File::options().write(true).open(model.path().join("model.onnx")).unwrap();
    graph.set_len(graph.metadata().unwrap().len() / 2).unwrap();
}

fn path(model: &TempDir) -> &str {
    model.path().to_str().unwrap()
}

fn json_of((status, body): (u16, String)) -> (u16, Value) {
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

fn reload(worker: &Worker) -> (u16, Value) {
    json_of(worker.post("/models/reload"))
}

fn shadow(worker: &Worker) -> Value {
    json_of(worker.get("/shadow")).1
}

/// How many reloads had this result.
fn reloads(worker: &Worker, result: &str) -> u64 {
    let (_, metrics) = worker.get("/metrics");
    let label = format!("result=\"{result}\"");
    let series = metrics.lines().find(|line| line.starts_with("tagbert_model_reloads_total{") && line.contains(&label));
    series.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

fn wait_for_tagged(worker: &mut Worker, line: &Line, count: usize) -> Vec<Value> {
    worker.wait_until("all are tagged", |_| line.tagged().len() >= count);
    line.tagged().iter().map(value).collect()
}

#[test]
fn a_reload_in_mid_stream_loses_nothing_and_every_output_says_which_version_made_it() {
    let line = Line::create("reload", 2);
    let model = copy(TINY);
    let long = |n: usize| document(&format!("{n} {}", "word ".repeat(100)));
    line.produce((0..600).map(long));
    let yaml = line.yaml(path(&model)) + "limits: {in_flight: 1MiB}\n";
    let mut worker = Worker::start(&yaml, &NO_WATCH);
    worker.wait_until("something is tagged", |_| !line.tagged().is_empty());
    let first = value(&line.tagged()[0])["model"].clone();

    edit(&model, "tiny-distilbert", "second");
    let (status, report) = reload(&worker);
    assert_eq!((status, &report["changed"], &report["previous"]), (200, &json!(true), &json!([first])), "{report}");
    let second = report["models"][0].clone();
    assert_eq!(second["name"], "second");
    assert_ne!(second["version"], first["version"]);
    assert_eq!(worker.get("/readyz").0, 200);
    line.produce((600..700).map(long));
    wait_for_tagged(&mut worker, &line, 700);
    assert_eq!(reload(&worker), (200, json!({ "changed": false, "models": [second] })));
    let (_, metrics) = worker.get("/metrics");
    let info: Vec<_> = metrics.lines().filter(|line| line.starts_with("tagbert_model_info{")).collect();
    assert!(info.len() == 1 && info[0].contains("name=\"second\"") && info[0].ends_with(" 1"), "{info:?}");
    assert!(worker.metric("tagbert_model_load_duration_seconds").unwrap() > 0.0);
    worker.terminate();
    worker.wait_for_success();

    let mut last: HashMap<(i32, i64), i64> = HashMap::new();
    let mut models: HashMap<String, usize> = HashMap::new();
    for record in line.tagged() {
        let tagged = value(&record);
        let source = &tagged["source"];
        let offset = source["offset"].as_i64().unwrap();
        let previous = last.insert((record.partition(), source["partition"].as_i64().unwrap()), offset);
        assert!(previous.is_none_or(|previous| previous < offset), "once, and in order");
        *models.entry(tagged["model"].to_string()).or_default() += 1;
    }
    assert_eq!(models.values().sum::<usize>(), 700);
    assert_eq!(models.keys().cloned().collect::<HashSet<_>>(), HashSet::from([first.to_string(), second.to_string()]));
    assert!(models[&second.to_string()] >= 100, "all that came after the reload");
    line.assert_committed_to_the_end();
}

#[test]
fn a_broken_model_is_refused_and_the_old_one_stays() {
    let line = Line::create("reload-broken", 1);
    let model = copy(TINY);
    let mut worker = Worker::start(&line.yaml(path(&model)), &NO_WATCH);
    worker.wait_until("ready", |worker| worker.log().contains("http: listening") && worker.get("/readyz").0 == 200);
    assert_eq!(reload(&worker).1["changed"], false);
    let refused = |worker: &Worker, expected: &str| {
        let (status, report) = reload(worker);
        assert_eq!(
            (status, &report["changed"], &report["models"][0]["name"]),
            (422, &json!(false), &json!("tiny-distilbert"))
        );
        let error = report["error"].as_str().unwrap();
        assert!(error.contains(expected) && error.contains(path(&model)), "{error}");
        assert_eq!(worker.get("/readyz").0, 200);
    };
    edit(&model, "\"spam\",\n", "\"spam\",\"eggs\",\n");
    refused(&worker, "labels");
    edit(&model, "\"spam\",\"eggs\",\n", "\"spam\",\n");
    let tokenizer = model.path().join("tokenizer.json");
    let whole = fs::read(&tokenizer).unwrap();
    fs::write(&tokenizer, "{").unwrap();
    refused(&worker, "tokenizer.json");
    fs::write(&tokenizer, whole).unwrap();
    truncate(&model);
    refused(&worker, "model.onnx");
    fs::write(model.path().join("model.onnx"), "").unwrap();
    refused(&worker, "model.onnx");
    fs::remove_dir_all(model.path()).unwrap();
    refused(&worker, "not a directory");
    assert_eq!((reloads(&worker, "refused"), reloads(&worker, "unchanged"), reloads(&worker, "ok")), (5, 1, 0));
    let said = |worker: &Worker| worker.log().lines().filter(|line| line.contains("are refused")).count();
    assert_eq!(said(&worker), 5);
    line.produce([document("still here")]);
    assert_eq!(wait_for_tagged(&mut worker, &line, 1)[0]["model"]["name"], "tiny-distilbert");
    assert_eq!(worker.get("/models/reload").0, 405);
    assert_eq!(json_of(worker.get("/shadow")).0, 404);
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn a_hangup_reloads() {
    let line = Line::create("reload-hangup", 1);
    let model = copy(TINY);
    let mut worker = Worker::start(&line.yaml(path(&model)), &NO_WATCH);
    worker.wait_for_log("assigned: ");
    worker.signal("HUP");
    worker.wait_for_log("nothing has changed");
    edit(&model, "tiny-distilbert", "second");
    worker.signal("HUP");
    worker.wait_for_log("SIGHUP: models: second ");
    line.produce([document("after the hangup")]);
    assert_eq!(wait_for_tagged(&mut worker, &line, 1)[0]["model"]["name"], "second");
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn changed_files_are_loaded_and_broken_ones_are_tried_again_when_they_change() {
    let line = Line::create("reload-watch", 1);
    let model = copy(TINY);
    let mut worker = Worker::start(&line.yaml(path(&model)), &["--set", "model.watch=100ms"]);
    worker.wait_for_log("assigned: ");
    edit(&model, "tiny-distilbert", "second");
    worker.wait_for_log("changed files: models: second ");
    let whole = fs::read(model.path().join("model.onnx")).unwrap();
    truncate(&model);
    worker.wait_until("it is refused", |worker| reloads(worker, "refused") == 1);
    line.produce([document("a broken model is there")]);
    assert_eq!(wait_for_tagged(&mut worker, &line, 1)[0]["model"]["name"], "second");
    fs::write(model.path().join("model.onnx"), whole).unwrap();
    worker.wait_until("it is as it was", |worker| reloads(worker, "unchanged") > 0);
    edit(&model, "second", "third");
    worker.wait_for_log("changed files: models: third ");
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn many_who_ask_at_once_wait_or_are_told_that_others_do() {
    let line = Line::create("reload-many", 1);
    let model = copy(TINY);
    let mut worker = Worker::start(&line.yaml(path(&model)), &NO_WATCH);
    worker.wait_for_log("assigned: ");
    edit(&model, "tiny-distilbert", "second");
    let answers: Vec<(u16, Value)> = thread::scope(|scope| {
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(|| reload(&worker))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    });
    let with = |status: u16| answers.iter().filter(|answer| answer.0 == status).count();
    assert_eq!(with(200) + with(409), 20, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.1["changed"] == true).count(), 1, "{answers:?}");
    worker.terminate();
    worker.wait_for_success();
}

#[test]
fn a_shadow_reports_how_it_differs_and_publishes_nothing() {
    let line = Line::create("shadow", 2);
    let (model, tried) = (copy(TINY), copy(TINY));
    let yaml = line.yaml(path(&model)) + &format!("shadow: {{path: {}, sample: 1}}\n", path(&tried));
    let mut worker = Worker::start(&yaml, &NO_WATCH);
    worker.wait_for_log("assigned: ");
    let documents = |from: usize| (from..from + 100).map(|n| document(&format!("Berlin {n}"))).collect::<Vec<_>>();
    line.produce(documents(0));
    worker.wait_until("all are compared", |worker| shadow(worker)["compared"] == 100);
    let report = shadow(&worker);
    assert_eq!((&report["sample"], &report["dropped"], &report["failed"]), (&json!(1.0), &json!(0), &json!(0)));
    for tag in ["topic", "spam", "entities"] {
        // Batches round otherwise than single documents, so a near tie may flip; none does in these.
        assert_eq!((&report["tags"][tag]["agreement"], &report["tags"][tag]["compared"]), (&json!(1.0), &json!(100)));
        assert!(report["tags"][tag]["score_shift"]["mean_absolute"].as_f64().is_none_or(|shift| shift < 1e-4));
    }

    // The other way round.
    edit(&tried, "\"ham\",\n        \"spam\"", "\"spam\",\n        \"ham\"");
    let (status, changed) = reload(&worker);
    assert_eq!((status, &changed["changed"], &changed["shadow"]["changed"]), (200, &json!(false), &json!(true)));
    assert_eq!(shadow(&worker)["compared"], 0, "a new comparison");
    assert_eq!(shadow(&worker)["model"], changed["shadow"]["models"][0]);
    line.produce(documents(100));
    worker.wait_until("all are compared", |worker| shadow(worker)["compared"] == 100);
    let report = shadow(&worker);
    assert_eq!(
        (&report["tags"]["topic"]["agreement"], &report["tags"]["spam"]["agreement"]),
        (&json!(1.0), &json!(0.0))
    );
    let flips = report["tags"]["spam"]["flips"].as_object().unwrap();
    assert_eq!(flips.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 100);
    assert!(flips.keys().all(|flip| ["ham→spam", "spam→ham"].contains(&flip.as_str())), "{flips:?}");
    assert_eq!(worker.metric("tagbert_shadow_compared_total"), Some(600.0));
    assert_eq!(worker.metric("tagbert_shadow_agreed_total"), Some(500.0));
    assert_eq!(worker.metric("tagbert_shadow_flips_total"), Some(100.0));
    assert_eq!(worker.metric("tagbert_shadow_dropped_total"), Some(0.0));
    assert!(worker.get("/metrics").1.contains("tagbert_shadow_score_shift_bucket{"));

    truncate(&tried);
    edit(&model, "tiny-distilbert", "second");
    let (status, half) = reload(&worker);
    assert_eq!((status, &half["changed"], &half["shadow"]["changed"]), (422, &json!(true), &json!(false)), "{half}");
    assert!(half["shadow"]["error"].as_str().unwrap().contains("model.onnx"), "{half}");
    assert_eq!(shadow(&worker)["compared_with"][0]["name"], "second");

    let tagged = wait_for_tagged(&mut worker, &line, 200);
    worker.terminate();
    worker.wait_for_success();
    assert_eq!((line.tagged().len(), line.dead().len()), (200, 0));
    assert!(tagged.iter().all(|record| record["tags"].as_object().unwrap().len() == 3));
    assert!(!worker.log().contains("Berlin"), "no text is logged");
}

#[test]
fn a_shadow_that_is_too_slow_misses_documents_and_the_line_does_not_wait() {
    let line = Line::create("shadow-slow", 1);
    let texts: Vec<_> = (0..400).map(|n| document(&format!("{n} {}", "word ".repeat(300)))).collect();
    line.produce(&texts);
    let yaml = line.yaml(TINY) + "shadow: {path: models/tagbert-small, sample: 1}\n";
    let mut worker = Worker::start(&yaml, &NO_WATCH);
    wait_for_tagged(&mut worker, &line, 400);
    worker.wait_until("some are dropped", |worker| worker.metric("tagbert_shadow_dropped_total") > Some(0.0));
    let report = shadow(&worker);
    assert!(report["compared"].as_u64().unwrap() < 400, "{report}");
    worker.terminate();
    worker.wait_for_success();
    assert_eq!(line.tagged().len(), 400);
    line.assert_committed_to_the_end();
}

#[test]
fn a_shadow_that_cannot_work_is_refused_at_the_start() {
    let line = Line::create("shadow-refused", 1);
    for (shadow, expected) in [
        ("no/such/model", "shadow.path: no/such/model is not a directory"),
        ("tests/fixtures/parity/distilbert-single-label", "no tag in common"),
    ] {
        let mut worker =
            Worker::start(&line.yaml(TINY), &["--set", "model.stride=8", "--set", &format!("shadow.path={shadow}")]);
        assert_eq!(worker.wait().code(), Some(1));
        let log = worker.log();
        let said: Vec<_> = log.lines().filter(|line| line.starts_with("tagbert: ")).collect();
        assert!(said.len() == 1 && said[0].contains("shadow") && said[0].contains(expected), "{log}");
    }
}
