//! The fuzz targets on stable: the committed corpus, and mutations of it. The same seed gives the same inputs.
//!
//! `FUZZ_SEED=7 FUZZ_ROUNDS=100000 cargo test --release --test fuzz -- --nocapture` looks further.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use fastrand::Rng;

mod support;

#[path = "../fuzz/harness.rs"]
mod harness;

/// Bytes that parsers stumble over.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"\\ud800",
    b"\\u0000",
    b"\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xf0\x9f\x91\x8d",
    b"\n%%\n",
    b"&a [*a]",
    b"0.00000000000000000000001",
    b"\"\"",
    b"{{{{{{{{{{",
];

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text}")))
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Rng) {
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..=input.len());
        let end = (at + random.usize(0..32)).min(input.len());
        match random.u8(0..7) {
            0 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, input[at..end].to_vec())),
            3 => drop(input.splice(at..end, random.choice(TOKENS).unwrap_or_default().to_vec())),
            4 => drop(input.splice(at..at, random.choice(TOKENS).unwrap_or_default().to_vec())),
            5 => {
                let other = random.choice(corpus).unwrap();
                let from = random.usize(0..=other.len());
                input.splice(at.., other[from..].to_vec());
            }
            _ => input.insert(at, random.u8(..)),
        }
    }
    input.truncate(1 << 16);
}

fn fuzz(name: &str) {
    let (_, target) = harness::TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let directory = support::root().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let (seed, rounds) = (number("FUZZ_SEED", 1), number("FUZZ_ROUNDS", 3000));
    println!("{name}: FUZZ_SEED={seed} FUZZ_ROUNDS={rounds}");
    let mut random = Rng::with_seed(seed);
    let mutated = (0..rounds).map(|_| {
        let mut input = random.choice(&corpus).unwrap().clone();
        mutate(&mut input, &corpus, &mut random);
        input
    });
    // Written before it is run: a stack that overflows takes the process with it.
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    for input in corpus.iter().cloned().chain(mutated) {
        fs::write(&last, &input).unwrap();
        let done = catch_unwind(|| target(&input));
        assert!(done.is_ok(), "FUZZ_SEED={seed}: this input panics: {}", last.display());
    }
}

#[test]
fn no_record_panics_the_decoder() {
    fuzz("record");
}

#[test]
fn no_configuration_panics_the_reader() {
    fuzz("configuration");
}

#[test]
fn no_manifest_panics_the_reader() {
    fuzz("manifest");
}

#[test]
fn no_tokenizer_panics_the_reader() {
    fuzz("tokenizer");
}

#[test]
fn no_graph_panics_the_reader() {
    fuzz("graph");
}
