use ort::memory::{AllocationDevice, AllocatorType, MemoryType};

use super::*;
use crate::model::files::manifest::Manifest;
use crate::model::tokenize::tokenizer;

const SINGLE: &str = "tests/fixtures/tiny-distilbert/model.onnx";
/// The same by `models/recipe/gpu.py`: ids of int32, logits of fp16.
const HALF: &str = "tests/fixtures/tiny-fp16/model.onnx";

/// A session of the tiny model on the CPU, as a GPU would have it: bound or not, with few widths or all.
fn session(graph: &str, widths: Widths, bound: bool) -> Session {
    let directory = Path::new("tests/fixtures/tiny-distilbert");
    let manifest = Manifest::load(directory, "tiny".into()).unwrap();
    let frame = tokenizer::load(directory).unwrap().frame(manifest.pad).unwrap();
    let inner = runtime::cpu(1).unwrap().commit_from_file(graph).unwrap();
    let mut session = Session::new(inner, &manifest.heads, frame, widths).unwrap();
    if bound {
        let cpu = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput).unwrap();
        session.bind(Allocator::default(), cpu).unwrap();
    }
    session
}

/// Large ones, small ones and large ones again, so that buffers are too large, and grow.
fn batches() -> Vec<Vec<Vec<u32>>> {
    let row = |seed: u32, length: u32| (0..length).map(|at| 5 + (seed * 31 + at * 7) % 500).collect::<Vec<_>>();
    [(3, 100), (1, 1), (7, 30), (2, 510), (5, 0), (9, 64), (3, 100)]
        .map(|(rows, longest)| (0..rows).map(|seed| row(seed, longest * (seed + 1) / rows)).collect())
        .to_vec()
}

fn infer(session: &mut Session, batch: &[Vec<u32>]) -> Vec<Vec<Logits>> {
    session.infer(&batch.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()
}

fn bits(logits: &[Vec<Logits>]) -> Vec<u32> {
    logits.iter().flatten().flatten().map(|logit| logit.to_bits()).collect()
}

#[test]
fn bound_buffers_give_what_a_plain_run_gives_bit_for_bit() {
    for (graph, widths) in
        [SINGLE, HALF].into_iter().flat_map(|graph| [Widths::exact(), Widths::few(512)].map(|widths| (graph, widths)))
    {
        let (mut plain, mut bound) = (session(graph, widths, false), session(graph, widths, true));
        for batch in batches() {
            let (plain, bound) = (infer(&mut plain, &batch), infer(&mut bound, &batch));
            assert_eq!(plain.len(), batch.len());
            assert_eq!(bits(&plain), bits(&bound), "{graph}");
        }
    }
}

/// Logits that are no further from each other than this, for each 1 of their size.
fn assert_alike(one: &[Vec<Logits>], other: &[Vec<Logits>], tolerance: f32) {
    let flat = |logits: &[Vec<Logits>]| logits.concat().concat();
    let (one, other) = (flat(one), flat(other));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert!((one - other).abs() <= tolerance * one.abs().max(1.0), "{one} is not {other}");
    }
}

#[test]
fn rounded_widths_and_parts_of_a_batch_change_no_answer() {
    let mut exact = session(SINGLE, Widths::exact(), false);
    let mut other = session(SINGLE, Widths::few(512), true);
    other.most_rows = 2;
    for batch in batches() {
        assert_alike(&infer(&mut exact, &batch), &infer(&mut other, &batch), 1e-4);
    }
}

#[test]
fn a_graph_of_int32_ids_and_fp16_logits_answers_as_the_fp32_graph_does() {
    let (mut single, mut half) = (session(SINGLE, Widths::exact(), false), session(HALF, Widths::exact(), false));
    for batch in batches() {
        // The weights are random and large: of a trained model, logits are closer.
        assert_alike(&infer(&mut single, &batch), &infer(&mut half, &batch), 3e-2);
    }
}
