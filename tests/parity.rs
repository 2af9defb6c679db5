//! Tags against those of `transformers`' own pipelines: tiny random models of every kind, and nasty texts.
//! `models/recipe/parity.py` made them, and says what is in `tests/fixtures/parity`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tagbert::config::{Config, Device, LongDocuments};
use tagbert::model::files::manifest::Manifest;
use tagbert::model::tokenize::tokenizer;
use tagbert::record::document::Document;
use tagbert::record::tag::Tag;
use tagbert::tagger::gather::Gathered;
use tagbert::tagger::taggers::{Taggers, Work};
use tokenizers::Tokenizer as HfTokenizer;

mod support;

const STRATEGIES: [&str; 5] = ["none", "simple", "first", "average", "max"];

/// How far a score may be from the reference's.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Expected {
    task: String,
    max_length: usize,
    variants: BTreeMap<String, f32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: usize,
    input_ids: Vec<u32>,
    label: Option<String>,
    score: Option<f32>,
    scores: Option<Vec<(String, f32)>>,
    #[serde(flatten)]
    entities: BTreeMap<String, Vec<(String, u32, u32, f32)>>,
}

fn fixtures() -> PathBuf {
    support::root().join("tests/fixtures/parity")
}

fn models() -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let mut models: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    models.sort();
    models
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(fixtures().join("texts.json")).unwrap()).unwrap()
}

fn expected(model: &Path) -> Expected {
    serde_json::from_str(&fs::read_to_string(model.join("expected.json")).unwrap()).unwrap()
}

/// A token model is five taggers, one for each strategy: its graph must run only once for all of them.
fn load(model: &Path, task: &str, variant: Option<&str>) -> Arc<Taggers> {
    let mut yaml = String::new();
    if task == "token-classification" {
        let tagger = |strategy| format!("  - {{name: {strategy}, aggregation: {strategy}}}\n");
        yaml = format!("taggers:\n{}", STRATEGIES.map(tagger).concat());
    }
    let mut config = Config::parse(&yaml, std::collections::HashMap::new(), &[]).unwrap();
    config.model.path = model.to_str().unwrap().parse().unwrap();
    config.model.variant = variant.map(str::to_owned);
    config.model.device = Device::Cpu;
    config.model.long_documents = LongDocuments::Truncate;
    let taggers = Taggers::load(&config).unwrap_or_else(|error| panic!("{}: {error:#}", model.display()));
    assert_eq!(taggers.lanes.len(), 1);
    Arc::new(taggers)
}

fn encode(taggers: &Arc<Taggers>, text: &str) -> Work {
    taggers.encode(Document::unnamed(vec![Some(text.into())])).unwrap()
}

/// Runs the works in batches of these sizes, as they come.
fn infer(taggers: &Taggers, works: &mut [Work], sizes: &[usize]) {
    let lane = &taggers.lanes[0];
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = works;
    while !rest.is_empty() {
        let size = sizes.next().unwrap().min(rest.len());
        let (batch, others) = rest.split_at_mut(size);
        let window = |work: &Work| lane.windows.of(lane.tokens(work).unwrap().ids.len()).next().unwrap();
        let rows: Vec<&[u32]> = batch.iter().map(|work| &lane.tokens(work).unwrap().ids[window(work).tokens]).collect();
        let logits = lane.model.infer(&rows).unwrap();
        for (work, logits) in batch.iter_mut().zip(logits) {
            let mut gathered = Gathered::nothing_of(1);
            gathered.add(0, &window(work), &logits, lane, lane.tokens(work).unwrap().ids.len());
            work.logits = vec![gathered.into_logits()];
        }
        rest = others;
    }
}

fn close(one: f32, other: f32) -> bool {
    (one - other).abs() <= TOLERANCE
}

/// What differs, if anything does.
fn difference(case: &Case, work: &Work) -> Option<String> {
    for (name, tag) in work.tags() {
        let same = match &tag {
            Tag::Class(class) => {
                class.label.as_deref() == case.label.as_deref() && close(class.score, case.score.unwrap())
            }
            Tag::Number(number) => close(number.value, case.score.unwrap()),
            Tag::Labels(labels) => {
                let one = || vec![(case.label.clone().unwrap(), case.score.unwrap())];
                let mut expected = case.scores.clone().unwrap_or_else(one);
                expected.retain(|(_, score)| *score >= 0.5);
                expected.sort_by(|one, other| other.1.total_cmp(&one.1));
                let found = labels.iter().map(|label| (&*label.label, label.score));
                labels.len() == expected.len() && found.zip(&expected).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
            }
            Tag::Entities(entities) => {
                let expected = &case.entities[&**name];
                entities.len() == expected.len()
                    && entities.iter().zip(expected).all(|(found, (kind, start, end, score))| {
                        // transformers cuts a plain label at its first dash: of-art, of work-of-art.
                        let same_kind = *found.kind == **kind || found.kind.ends_with(&format!("-{kind}"));
                        same_kind && (found.start, found.end) == (*start, *end) && close(found.score, *score)
                    })
            }
        };
        if !same {
            return Some(format!(
                "{name}: {tag:?}\n  is not {:?} {:?} {:?} {:?}",
                case.label,
                case.score,
                case.scores,
                case.entities.get(&**name)
            ));
        }
    }
    None
}

#[test]
fn every_kind_of_export_gives_transformers_tags_at_any_batch_composition() {
    let texts = texts();
    assert!(texts.len() >= 300);
    let mut failures = Vec::new();
    for path in models() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let expected = expected(&path);
        let taggers = load(&path, &expected.task, Some("fp32"));
        let lane = &taggers.lanes[0];
        assert_eq!(lane.model.max_tokens, expected.max_length, "{name}");
        let mut works: Vec<_> = expected.cases.iter().map(|case| encode(&taggers, &texts[case.text])).collect();
        for (case, work) in expected.cases.iter().zip(&works) {
            let ids = &lane.tokens(work).unwrap().ids;
            let seen = lane.windows.of(ids.len()).next().unwrap().tokens;
            let framed = [&lane.model.frame.prefix, &ids[seen], &lane.model.frame.suffix].concat();
            if framed != case.input_ids {
                failures.push(format!("{name}: {:?}: ids {framed:?} are not {:?}", texts[case.text], case.input_ids));
            }
        }
        for sizes in [&[1][..], &[7, 1, 32, 3, 16]] {
            infer(&taggers, &mut works, sizes);
            for (case, work) in expected.cases.iter().zip(&works) {
                if let Some(difference) = difference(case, work) {
                    failures.push(format!("{name}, batches of {sizes:?}: {:?}: {difference}", texts[case.text]));
                }
            }
        }
        println!("{name}: {} texts", expected.cases.len());
    }
    let shown: Vec<_> = failures.iter().take(40).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), shown.join("\n"));
}

/// Ours is another one, for those of BERT's kind.
#[test]
fn nasty_texts_and_all_of_the_corpus_have_the_tokens_of_the_library() {
    let this = "nasty_texts_and_all_of_the_corpus_have_the_tokens_of_the_library";
    let mut all = texts();
    if support::fetched(this, &support::root().join(".cache/corpus/documents.jsonl")) {
        all.extend(support::corpus().map(|document| document.text()));
    }
    let shipped = ["models/tagbert-small", "tests/fixtures/tiny-distilbert"].map(|path| support::root().join(path));
    for path in shipped.into_iter().chain(models()).filter(|path| path.join("tokenizer.json").exists()) {
        let ours = tokenizer::load(&path).unwrap();
        if ours.about().kind != "WordPiece" {
            continue;
        }
        let mut library = HfTokenizer::from_file(path.join("tokenizer.json")).unwrap();
        library.with_padding(None).with_truncation(None).unwrap();
        // The corpus is long: the others differ from these two in no way that matters to it.
        let texts = if path.starts_with(fixtures()) { &all[..texts().len()] } else { &all[..] };
        for text in texts {
            let (ours, library) =
                (ours.encode(text).unwrap(), library.encode_char_offsets(text.as_str(), false).unwrap());
            let places = ours.places.iter().map(|place| (place.start as usize, place.end as usize));
            let same = ours.ids == library.get_ids() && places.eq(library.get_offsets().iter().copied());
            assert!(same, "{}: {text:?}", path.display());
        }
    }
}

/// fp16 and int8 graphs beside the fp32 one, each close to it.
#[test]
fn a_variant_is_chosen_by_its_name() {
    let texts = texts();
    let path = fixtures().join("distilbert-multi-label");
    let expected = expected(&path);
    assert!(expected.variants.len() >= 2);
    for variant in ["fp16", "int8"] {
        let taggers = load(&path, &expected.task, Some(variant));
        let graph = taggers.lanes[0].model.graph.strip_prefix(&path).unwrap().to_str().unwrap().to_owned();
        let bound = expected.variants[&graph];
        let mut works: Vec<_> = expected.cases.iter().map(|case| encode(&taggers, &texts[case.text])).collect();
        infer(&taggers, &mut works, &[5, 1, 9]);
        for (case, work) in expected.cases.iter().zip(&works) {
            for ((label, score), logit) in case.scores.as_ref().unwrap().iter().zip(&work.logits[0][0]) {
                let reference = (score / (1.0 - score)).ln();
                // The recorded scores have six digits, so the ends of the scale say little of the logit.
                let blunt = !(0.001..0.999).contains(score);
                assert!(
                    blunt || (logit - reference).abs() < 2.0 * bound + 0.02,
                    "{variant}: {label}: {logit}, {reference}"
                );
            }
        }
    }
}

/// What `models/recipe/parity_variations.py` says.
#[derive(Deserialize)]
struct Variation {
    of: String,
    change: Vec<Vec<Value>>,
    #[serde(default)]
    cases: Vec<Tokens>,
    labels: Option<Vec<String>>,
}

/// A text, and the ids and places that `transformers` makes of it.
type Tokens = (String, Vec<u32>, Vec<(u32, u32)>);

impl Variation {
    /// A copy of the fixture's files with the changes.
    fn make(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(fixtures().join(&self.of)).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|extension| extension == "json" || extension == "txt") {
                fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
            }
        }
        for change in &self.change {
            let [file, path] = [&change[0], &change[1]].map(|part| part.as_str().unwrap());
            let file = copy.path().join(file);
            match (path, change.get(2)) {
                ("", None) => fs::remove_file(file).unwrap(),
                (path, value) => {
                    let text = fs::read(&file).unwrap_or_else(|_| b"{}".to_vec());
                    let mut whole = serde_json::from_slice(&text).unwrap();
                    put(&mut whole, path, value);
                    fs::write(file, whole.to_string()).unwrap();
                }
            }
        }
        copy
    }
}

fn put(whole: &mut Value, path: &str, value: Option<&Value>) {
    let Some((parent, last)) = path.rsplit_once('/') else {
        whole.clone_from(value.unwrap());
        return;
    };
    match (whole.pointer_mut(parent).unwrap(), value) {
        (Value::Array(values), Some(value)) => values.push(value.clone()),
        (Value::Object(map), Some(value)) => drop(map.insert(last.into(), value.clone())),
        (Value::Object(map), None) => drop(map.remove(last)),
        (other, _) => panic!("{path}: {other}"),
    }
}

#[test]
fn files_that_disagree_mean_what_they_mean_to_transformers() {
    let file = fs::read_to_string(fixtures().join("variations.json")).unwrap();
    let variations: Vec<Variation> = serde_json::from_str(&file).unwrap();
    assert!(variations.len() > 100);
    let mut failures = Vec::new();
    for variation in &variations {
        let copy = variation.make();
        let about = format!("{} {}", variation.of, serde_json::to_string(&variation.change).unwrap());
        if let Some(labels) = &variation.labels {
            let manifest = Manifest::load(copy.path(), "varied".into());
            let found = manifest.map(|manifest| manifest.heads[0].labels.clone());
            if !found.as_ref().is_ok_and(|found| found.iter().map(|label| &**label).eq(labels)) {
                failures.push(format!("{about}: {found:?} is not {labels:?}"));
            }
        }
        if variation.cases.is_empty() {
            continue;
        }
        let tokenizer = match tokenizer::load(copy.path()) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                failures.push(format!("{about}: {error:#}"));
                continue;
            }
        };
        let frame = tokenizer.frame(0).unwrap();
        for (text, ids, places) in &variation.cases {
            let found = tokenizer.encode(text).unwrap();
            let framed = [&frame.prefix[..], &found.ids, &frame.suffix].concat();
            let found: Vec<_> = found.places.iter().map(|place| (place.start, place.end)).collect();
            if framed != *ids || found != *places {
                failures.push(format!("{about}: {text:?}: {framed:?} {found:?} is not {ids:?} {places:?}"));
            }
        }
    }
    let shown: Vec<_> = failures.iter().take(20).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), shown.join("\n"));
}
