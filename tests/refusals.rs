//! Models that can't be used, by mistake or by malice: each is refused by one clear line, soon, and without a crash.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use prost::Message as _;
use tagbert::model::graph::graph_file::GraphFile;
use tagbert::model::graph::onnx::Graph as Read;

mod support;

use support::onnx::{
    BOOL, Entry, FLOAT32, FLOAT64, Graph, INT32, INT64, Model, floats, integers, node, number, subgraph, value,
};
use support::tagbert::tagbert;

const TINY: &str = "tests/fixtures/tiny-distilbert";

/// A directory with a model of hand-made parts, each of which a case may spoil.
struct Toy {
    directory: tempfile::TempDir,
}

impl Toy {
    fn new() -> Self {
        let toy = Self { directory: tempfile::tempdir().unwrap() };
        fs::copy(support::root().join(TINY).join("tokenizer.json"), toy.path().join("tokenizer.json")).unwrap();
        toy.config(|_| ());
        toy.graph(|_| ());
        toy
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(file), bytes).unwrap();
    }

    fn graph(&self, change: impl FnOnce(&mut Model)) {
        let mut model = Model::toy();
        change(&mut model);
        self.write("model.onnx", model.encode_to_vec());
    }

    fn config(&self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut config = serde_json::json!({
            "model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"],
            "max_position_embeddings": 64, "pad_token_id": 0, "id2label": {"0": "no", "1": "yes"},
        });
        change(&mut config);
        self.write("config.json", config.to_string());
    }

    fn edit(&self, file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        self.write(file, change(fs::read(self.path().join(file)).unwrap()));
    }

    /// The toy with weights in another file.
    fn external(&self, location: &str, more: &[(&str, &str)]) {
        self.graph(|model| {
            let weights = &mut model.graph().initializers[0];
            weights.floats.clear();
            weights.location = 1;
            let entry = |(key, value): (&str, &str)| Entry { key: key.into(), value: value.into() };
            weights.external = [("location", location)].iter().chain(more).copied().map(entry).collect();
        });
    }
}

type Case = (&'static str, fn(&Toy), &'static [&'static str]);

fn refused(command: &[&str], name: &str, expected: &[&str]) {
    let output = tagbert(command, b"{\"text\":\"x\"}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{name}: {said}{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.starts_with("tagbert: ") && said.lines().count() == 1, "{name}: one line, not\n{said}");
    assert!(output.stdout.is_empty(), "{name}");
    println!("{name}: {said}");
    for words in expected {
        assert!(said.contains(words), "{name}: expected {words:?} in\n{said}");
    }
}

/// Each by the inspection, and by a command that does not try the model in a process of its own.
fn all_refused(cases: &[Case]) {
    for (name, spoil, expected) in cases {
        let toy = Toy::new();
        spoil(&toy);
        let path = toy.path().to_str().unwrap();
        refused(&["model", "inspect", path], name, expected);
        refused(&["tag", "--model", path], name, expected);
    }
}

#[test]
fn the_toy_itself_is_sound() {
    let toy = Toy::new();
    let path = toy.path().to_str().unwrap();
    let output = tagbert(&["model", "inspect", path], b"");
    assert!(output.status.success(), "{output:?}");
    toy.external("weights.bin", &[("offset", "8"), ("length", "8")]);
    toy.write("weights.bin", [0; 16]);
    let output = tagbert(&["model", "inspect", path], b"");
    assert!(output.status.success(), "{output:?}");
    // Ids of another type, even one by one.
    let tagged = |ids: i32, mask: i32| {
        toy.graph(|model| {
            let kinds = [("input_ids", ids), ("attention_mask", mask)];
            model.graph().inputs = kinds.map(|(name, kind)| value(name, kind, &["batch", "tokens"])).to_vec();
            let cast = |name: &str, to: &str| node("Cast", &[name], &[to], &[number("to", FLOAT32.into())]);
            let product = node("Mul", &["ids", "mask"], &["floats"], &[]);
            model.graph().nodes.splice(0..2, [cast("input_ids", "ids"), cast("attention_mask", "mask"), product]);
        });
        let output = tagbert(&["tag", "--model", path], b"{\"text\":\"Berlin, hello\"}");
        assert!(output.status.success(), "{output:?}");
        let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        record["tags"].clone()
    };
    let expected = tagged(INT64, INT64);
    assert_eq!(tagged(INT32, INT32), expected);
    assert_eq!(tagged(INT32, INT64), expected);
}

#[test]
fn what_is_no_onnx_file_is_refused() {
    all_refused(&[
        ("empty", |toy| toy.write("model.onnx", ""), &["model.onnx", "it is empty"]),
        (
            "cut off",
            |toy| toy.edit("model.onnx", |bytes| bytes[..bytes.len() / 2].to_vec()),
            &["model.onnx", "damaged"],
        ),
        ("noise", |toy| toy.write("model.onnx", [0x5a; 4096]), &["model.onnx", "no ONNX model"]),
        (
            "LFS",
            |toy| toy.write("model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 268\n"),
            &["model.onnx", "git lfs pull"],
        ),
        ("zip", |toy| toy.write("model.onnx", b"PK\x03\x04rest"), &["model.onnx", "zip archive"]),
        ("page", |toy| toy.write("model.onnx", "\n<!DOCTYPE html><html></html>"), &["model.onnx", "web page"]),
        ("JSON", |toy| toy.write("model.onnx", "{\"error\": \"not found\"}"), &["model.onnx", "JSON"]),
        ("no graph", |toy| toy.graph(|model| model.graph = None), &["model.onnx", "no graph"]),
        ("no opset", |toy| toy.graph(|model| model.opsets.clear()), &["model.onnx", "version of ONNX's operators"]),
        ("odd format", |toy| toy.graph(|model| model.ir_version = -1), &["model.onnx", "version"]),
        ("future opset", |toy| toy.graph(|model| model.opsets[0].version = 999), &["model.onnx"]),
        ("no outputs", |toy| toy.graph(|model| model.graph().outputs.clear()), &["model.onnx", "no outputs"]),
        (
            "not exported",
            |toy| {
                fs::rename(toy.path().join("model.onnx"), toy.path().join("model.safetensors")).unwrap();
            },
            &["no graph", "optimum-cli export onnx"],
        ),
    ]);
}

#[test]
fn a_graph_whose_weights_are_not_what_it_says_is_refused() {
    all_refused(&[
        (
            "too little data",
            |toy| toy.graph(|model| model.graph().initializers[0].axes = vec![1_000_000, 1_000_000]),
            &["model.onnx", "`weights`", "data for 2"],
        ),
        (
            "too little raw data",
            |toy| {
                toy.graph(|model| {
                    let weights = &mut model.graph().initializers[0];
                    weights.floats.clear();
                    weights.raw = Some(vec![0; 7]);
                });
            },
            &["model.onnx", "8 bytes", "has 7"],
        ),
        (
            "more than can be counted",
            |toy| toy.graph(|model| model.graph().initializers[0].axes = vec![i64::MAX, i64::MAX, 2]),
            &["model.onnx", "can be counted"],
        ),
        (
            "negative",
            |toy| toy.graph(|model| model.graph().initializers[0].axes = vec![-1, -2]),
            &["model.onnx", "negative"],
        ),
        (
            "no such type",
            |toy| toy.graph(|model| model.graph().initializers[0].kind = 99),
            &["model.onnx", "no type 99"],
        ),
        ("elsewhere", |toy| toy.external("model.onnx_data", &[]), &["model.onnx", "model.onnx_data", "put that file"]),
        ("absolute", |toy| toy.external("/etc/passwd", &[]), &["model.onnx", "own directory"]),
        ("above", |toy| toy.external("../secret", &[]), &["model.onnx", "own directory"]),
        ("memory", |toy| toy.external("*/_ORT_MEM_ADDR_/*", &[("offset", "4096")]), &["model.onnx", "own directory"]),
        (
            "cut off elsewhere",
            |toy| {
                toy.external("weights.bin", &[("offset", "12")]);
                toy.write("weights.bin", [0; 16]);
            },
            &["model.onnx", "weights.bin", "download"],
        ),
        (
            "endless",
            |toy| {
                toy.external("weights.bin", &[("offset", "18446744073709551615")]);
                toy.write("weights.bin", [0; 16]);
            },
            &["model.onnx", "ends nowhere"],
        ),
        (
            "nested",
            |toy| {
                toy.graph(|model| {
                    for _ in 0..40 {
                        let inner = std::mem::take(model.graph());
                        let (inputs, outputs) = (inner.inputs.clone(), inner.outputs.clone());
                        let nodes = vec![node("If", &["x"], &["logits"], &[subgraph("then_branch", inner)])];
                        *model.graph() = Graph { nodes, inputs, outputs, ..Graph::default() };
                    }
                });
            },
            &["model.onnx", "nested"],
        ),
    ]);
}

#[test]
fn a_graph_of_another_kind_is_refused() {
    all_refused(&[
        (
            "no mask",
            |toy| {
                toy.graph(|model| {
                    model.graph().inputs.remove(1);
                    model.graph().nodes[0].inputs[1] = "input_ids".into();
                });
            },
            &["model.onnx", "no input `attention_mask`", "optimum-cli"],
        ),
        (
            "positions",
            |toy| toy.graph(|model| model.graph().inputs.push(value("position_ids", INT64, &["batch", "tokens"]))),
            &["model.onnx", "an input `position_ids`"],
        ),
        (
            "pixels",
            |toy| {
                toy.graph(|model| model.graph().inputs.push(value("pixel_values", FLOAT32, &["batch", "3", "h", "w"])));
            },
            &["model.onnx", "an input `pixel_values`"],
        ),
        (
            "float ids",
            |toy| {
                toy.graph(|model| {
                    model.graph().inputs =
                        ["input_ids", "attention_mask"].map(|name| value(name, FLOAT32, &["batch", "tokens"])).to_vec();
                });
            },
            &["model.onnx", "input `input_ids`", "expected int64 or int32"],
        ),
        (
            "fixed",
            |toy| toy.graph(|model| model.graph().inputs[0] = value("input_ids", INT64, &["1", "128"])),
            &["model.onnx", "fixed shape", "dynamic axes"],
        ),
    ]);
}

#[test]
fn a_graph_with_other_outputs_than_its_head_needs_is_refused() {
    all_refused(&[
        (
            "float64",
            |toy| {
                toy.graph(|model| {
                    model.finish([node("Cast", &["plain"], &["logits"], &[number("to", FLOAT64.into())])]);
                    model.graph().outputs[0] = value("logits", FLOAT64, &["batch", "2"]);
                });
            },
            &["model.onnx", "output `logits`", "expected float32 or float16"],
        ),
        (
            "rank",
            |toy| {
                toy.graph(|model| {
                    model.finish([node("Unsqueeze", &["plain", "one"], &["logits"], &[])]);
                    model.graph().initializers.push(integers("one", &[1], &[1]));
                    model.graph().outputs[0] = value("logits", FLOAT32, &["batch", "1", "2"]);
                });
            },
            &["model.onnx", "rank 3", "needs 2"],
        ),
        (
            "labels",
            |toy| toy.config(|config| config["id2label"]["2"] = "maybe".into()),
            &["model.onnx", "3 labels", "2 logits"],
        ),
        (
            "labels of a symbolic axis",
            |toy| {
                toy.config(|config| config["id2label"]["2"] = "maybe".into());
                // A shape that is only known once it runs: twice the highest of the mask.
                toy.graph(|model| {
                    model.finish([
                        node("Shape", &["input_ids"], &["all"], &[]),
                        node("Slice", &["all", "zero", "one"], &["rows"], &[]),
                        node("ReduceMax", &["attention_mask"], &["highest"], &[number("keepdims", 0)]),
                        node("Mul", &["highest", "two"], &["labels"], &[]),
                        node("Concat", &["rows", "labels"], &["shape"], &[number("axis", 0)]),
                        node("Reshape", &["plain", "shape"], &["logits"], &[]),
                    ]);
                    model.graph().initializers.extend([
                        integers("zero", &[1], &[0]),
                        integers("one", &[1], &[1]),
                        integers("two", &[1], &[2]),
                    ]);
                    model.graph().outputs[0] = value("logits", FLOAT32, &["batch", "labels"]);
                });
            },
            &["model.onnx", "warm-up", "shape [2, 2]", "3 labels"],
        ),
        (
            "one row only",
            |toy| {
                toy.graph(|model| {
                    model.finish([node("Reshape", &["plain", "shape"], &["logits"], &[])]);
                    model.graph().initializers.push(integers("shape", &[2], &[1, 2]));
                });
            },
            &["model.onnx"],
        ),
        (
            "no numbers",
            |toy| toy.graph(|model| model.graph().initializers[0].floats = vec![f32::NAN, 0.0]),
            &["model.onnx", "output `logits`", "not finite"],
        ),
        (
            "another tokenizer",
            |toy| {
                toy.graph(|model| {
                    // Embeddings of ten tokens.
                    model.graph().nodes.splice(
                        0..2,
                        [
                            node("Mul", &["input_ids", "attention_mask"], &["seen"], &[]),
                            node("Gather", &["table", "seen"], &["floats"], &[]),
                        ],
                    );
                    model.graph().initializers.push(floats("table", &[10], &[0.5; 10]));
                });
            },
            &["model.onnx", "warm-up", "is it this model's own?"],
        ),
    ]);
}

#[test]
fn side_files_that_make_no_sense_are_refused() {
    all_refused(&[
        (
            "no tokenizer",
            |toy| fs::remove_file(toy.path().join("tokenizer.json")).unwrap(),
            &["tokenizer.json", "vocab.txt"],
        ),
        ("no config", |toy| fs::remove_file(toy.path().join("config.json")).unwrap(), &["config.json"]),
        ("config is no JSON", |toy| toy.write("config.json", "model_type: bert"), &["config.json", "line 1"]),
        (
            "unknown",
            |toy| toy.config(|config| config["model_type"] = "t5".into()),
            &["model_type is `t5`", "distilbert"],
        ),
        (
            "no architecture",
            |toy| toy.config(|config| config["architectures"] = serde_json::json!([])),
            &["config.json", "ForSequenceClassification"],
        ),
        (
            "another architecture",
            |toy| toy.config(|config| config["architectures"] = serde_json::json!(["BertForMaskedLM"])),
            &["config.json", "BertForMaskedLM"],
        ),
        (
            "a gap",
            |toy| toy.config(|config| config["id2label"] = serde_json::json!({"0": "a", "2": "b"})),
            &["config.json", "none of them is 1"],
        ),
        (
            "endless positions",
            |toy| toy.config(|config| config["max_position_embeddings"] = 1_000_000_000_000_u64.into()),
            &["config.json", "max_position_embeddings"],
        ),
        (
            "unknown key",
            |toy| toy.write("heads.json", r#"{"name": "x", "heads": [], "tresholds": {}}"#),
            &["heads.json", "tresholds"],
        ),
        (
            "endless vocabulary",
            |toy| {
                toy.edit("tokenizer.json", |bytes| {
                    let text = String::from_utf8(bytes).unwrap();
                    text.replacen("\"the\":", "\"x\": 4000000000, \"the\":", 1).into_bytes()
                });
            },
            &["tokenizer.json", "4000000000"],
        ),
    ]);
    let file = Toy::new().path().join("no/such/model");
    refused(&["model", "inspect", file.to_str().unwrap()], "nowhere", &["not a directory"]);
    refused(&["model", "inspect", "Cargo.toml"], "a file", &["Cargo.toml is not a directory"]);
}

/// Adds a number to the toy's logits that takes very much of something.
fn add(toy: &Toy, nodes: impl IntoIterator<Item = support::onnx::Node>, shape: &[i64]) {
    toy.graph(|model| {
        model.finish(nodes.into_iter().chain([node("Add", &["plain", "more"], &["logits"], &[])]));
        model.graph().initializers.push(integers("shape", &[shape.len() as i64], shape));
    });
}

fn refused_in(toy: &Toy, name: &str, within: Duration, expected: &[&str]) {
    let start = Instant::now();
    let seconds = "4";
    refused(&["model", "inspect", toy.path().to_str().unwrap(), "--timeout", seconds], name, expected);
    let took = start.elapsed();
    println!("{name}: {took:?}");
    assert!(took < within, "{name}: {took:?}");
}

#[test]
fn a_graph_that_takes_all_memory_is_refused() {
    for elements in [1 << 40, 3 << 30] {
        let toy = Toy::new();
        let sum = node("ReduceMean", &["many"], &["more"], &[number("keepdims", 0)]);
        add(&toy, [node("ConstantOfShape", &["shape"], &["many"], &[]), sum], &[elements]);
        refused_in(&toy, &format!("{elements} elements"), Duration::from_mins(1), &["model.onnx"]);
    }
}

#[test]
fn a_graph_that_never_ends_is_refused() {
    let toy = Toy::new();
    let body = Graph {
        name: "body".into(),
        nodes: vec![node("Identity", &["go"], &["go_on"], &[]), node("Mul", &["x", "x"], &["y"], &[])],
        inputs: vec![value("number", INT64, &[]), value("go", BOOL, &[]), value("x", FLOAT32, &["1"])],
        outputs: vec![value("go_on", BOOL, &[]), value("y", FLOAT32, &["1"])],
        ..Graph::default()
    };
    toy.graph(|model| {
        model.finish([
            node("Loop", &["most", "", "start"], &["more"], &[subgraph("body", body)]),
            node("Add", &["plain", "more"], &["logits"], &[]),
        ]);
        model.graph().initializers.extend([integers("most", &[], &[i64::MAX]), floats("start", &[1], &[1.0])]);
    });
    refused_in(&toy, "a loop", Duration::from_mins(1), &["model.onnx", "more than 4 s"]);
}

#[test]
fn the_check_of_a_configuration_tries_its_models() {
    let toy = Toy::new();
    add(&toy, [node("ConstantOfShape", &["shape"], &["more"], &[])], &[1 << 40]);
    toy.write("config.yaml", format!("kafka: {{brokers: embedded}}\nmodel: {{path: {}}}\n", toy.path().display()));
    let output = tagbert(&["check", "--config", toy.path().join("config.yaml").to_str().unwrap()], b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("model.onnx"), "{said}");
}

#[test]
fn the_check_of_a_sound_graph_takes_no_time_worth_the_name() {
    let file = support::root().join("models/tagbert-small/model.onnx");
    let start = Instant::now();
    let parameters = GraphFile::open(&file).unwrap().graph.parameter_count();
    println!("{parameters} parameters are checked in {:?}", start.elapsed());
    assert!(parameters > 20_000_000 && start.elapsed() < Duration::from_secs(10));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Bytes changed, cut out and cut off anywhere.
    #[test]
    fn no_damage_makes_the_check_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..24),
        cut in any::<prop::sample::Index>(),
        gone in 0..64_usize,
    ) {
        let mut bytes = Model::toy().encode_to_vec();
        for (place, byte) in edits {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let place = cut.index(bytes.len());
        bytes.drain(place..(place + gone).min(bytes.len()));
        let _ = Read::read(&bytes);
        let _ = Read::read(&bytes[..place]);
    }

    #[test]
    fn no_bytes_make_the_check_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        fs::write(&file, bytes).unwrap();
        let _ = GraphFile::open(&file);
    }
}
