#![no_main]
#[path = "../fuzzer.rs"]
mod fuzzer;

libfuzzer_sys::fuzz_target!(init: fuzzer::keep_panics(), |input: &[u8]| fuzzer::run("record", input));
