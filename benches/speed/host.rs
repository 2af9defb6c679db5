//! Points 3 and 9: everything but the model, and the start.

use std::collections::BTreeSet;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use crate::report::{Figure, Goal, Report};
use crate::support::root;
use crate::support::tagbert::Worker;
use crate::work::{self, Scale, Topics, seconds};

/// A model that has the tokenizer and the outputs of `tagbert-small`, and computes nothing.
pub fn null_model() -> String {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("null-model");
    fs::create_dir_all(&directory).expect("a directory");
    for file in ["config.json", "heads.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(root().join("models/tagbert-small").join(file), directory.join(file)).expect("a copy");
    }
    fs::copy(root().join("benches/null-model.onnx"), directory.join("model.onnx")).expect("a copy");
    directory.to_str().expect("UTF-8").into()
}

/// Characters of a text of 128 tokens, in a JSON of less than 1 KB.
const CHARACTERS: usize = 560;

pub fn measure(scale: Scale, report: &mut Report) {
    let model = null_model();
    let documents = work::of_length(scale.of(10_000, 30_000, 100_000), CHARACTERS);
    let (config, taggers) = super::bound::taggers(&model);
    let tokenizer = &taggers.lanes[0].model.tokenizer;
    let some: Vec<String> = documents[..2000]
        .iter()
        .map(|value| {
            serde_json::from_slice::<serde_json::Value>(value).expect("JSON")["body"].as_str().expect("a text").into()
        })
        .collect();
    drop(config);
    let library = root().join("models/tagbert-small/tokenizer.json");
    let library = tokenizers::Tokenizer::from_file(library).expect("a tokenizer");
    let mut tokens = 0;
    let rounds: Vec<_> = (0..scale.rounds())
        .map(|_| {
            let ran = work::tag(&documents, &model, &[]);
            let alone =
                seconds(|| tokens = some.iter().map(|text| tokenizer.encode(text).expect("tokens").ids.len()).sum());
            let library = seconds(|| {
                for text in &some {
                    black_box(library.encode_char_offsets(text.as_str(), false).expect("tokens"));
                }
            });
            (ran, alone / some.len() as f64, library / some.len() as f64)
        })
        .collect();
    let bytes = documents.iter().map(Vec::len).sum::<usize>() / documents.len();
    let what = format!("host alone ({} tokens, {bytes} bytes of JSON)", tokens / some.len());
    report.add(
        "3",
        &format!("{what}: documents/s and core"),
        Goal::AtLeast(4000.0),
        &Figure::of(rounds.iter().map(|(ran, ..)| 1.0 / ran.core_seconds)),
    );
    let share = Figure::of(rounds.iter().map(|(ran, alone, _)| alone / ran.core_seconds));
    let met = report.add("3", "host alone ÷ tokenizing alone, a core", Goal::AtLeast(0.7), &share);
    let rate = Figure::of(rounds.iter().map(|(_, alone, _)| 1.0 / alone));
    report.add("3", "tokenizing alone: documents/s and core", Goal::None, &rate);
    let share = Figure::of(rounds.iter().map(|(ran, _, library)| library / ran.core_seconds));
    report.add("3", "host alone ÷ tokenizing alone by the `tokenizers` library, a core", Goal::None, &share);
    if !met {
        report.note(
            "3: tokenizing is no longer what the host does most: it is many times as fast as the library's, and the rest \
             (fetch, decode, assemble, send) is measured against that. Where the time goes is in the table by threads, and \
             by functions in [PROFILE.md](PROFILE.md).",
        );
    }
    let threads: BTreeSet<&String> = rounds.iter().flat_map(|(ran, ..)| ran.threads.keys()).collect();
    for name in threads {
        let cost = |ran: &work::Ran| 1e6 * ran.core_seconds * ran.threads.get(name).copied().unwrap_or_default();
        let cost = Figure::of(rounds.iter().map(|(ran, ..)| cost(ran)));
        if cost.median() > 0.2 {
            report.add("3", &format!("host alone, thread `{name}`: µs for a document"), Goal::None, &cost);
        }
    }

    let starts = (0..2 * scale.rounds() - 1).map(|_| start());
    let starts: Vec<(f64, f64)> = starts.collect();
    report.add(
        "9",
        "start to the first tagged record, group join apart, s",
        Goal::AtMost(1.5),
        &Figure::of(starts.iter().map(|(all, join)| all - join)),
    );
    report.add("9", "joining the group, s", Goal::None, &Figure::of(starts.iter().map(|(_, join)| *join)));
}

/// Seconds from the start of the process to the first record acknowledged, and those of them until it was assigned
/// partitions, from when it had all else.
fn start() -> (f64, f64) {
    let topics = Topics::with(&work::short(4), 4);
    let started = Instant::now();
    let mut worker = Worker::start(&topics.yaml("models/tagbert-small"), &[]);
    worker.wait_for_log_closely("loaded in");
    let loaded = Instant::now();
    worker.wait_for_log_closely("assigned: ");
    let join = loaded.elapsed();
    worker.wait_until_closely(|worker| worker.metric("tagbert_records_out_total").is_some_and(|count| count > 0.0));
    (started.elapsed().as_secs_f64(), join.as_secs_f64())
}
