//! Point 12: what `tagbert plan` says, against what `tagbert bench` measures then.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::report::{Figure, Goal, Report};
use crate::support::tagbert::command;
use crate::work::{self, Scale, Topics};

pub fn measure(scale: Scale, report: &mut Report) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (config, file) = (folder.join("plan.yaml"), folder.join("plan.jsonl"));
    fs::write(&config, Topics::with(&[], 1).yaml("models/tagbert-small")).expect("a file");
    let documents = work::documents(scale.of(100, 200, 1000));
    fs::write(&file, documents.join(&b'\n')).expect("a file");
    let seconds = scale.of("5", "12", "60");
    let ask = |what: &[&str], at: &str| {
        let common = ["--config", config.to_str().expect("UTF-8"), "--documents", file.to_str().expect("UTF-8")];
        let output = command(&[what, &common, &["--json", "--seconds", seconds]].concat()).output().expect("it runs");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{what:?}: {}", String::from_utf8_lossy(&output.stderr));
        });
        answer.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {at} in {answer}"))
    };
    let off = (0..scale.of(1, 3, 3)).map(|_| {
        let planned = ask(&["plan", "--rate", "100"], "/prediction/documents_per_second");
        let measured = ask(&["bench"], "/line/documents_per_second");
        (planned / measured - 1.0).abs()
    });
    let off = Figure::of(off.collect::<Vec<_>>());
    report.add("12", "`tagbert plan` is off what `tagbert bench` then measures, share", Goal::AtMost(0.15), &off);
}
