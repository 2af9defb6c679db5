//! What the five targets have in common.

use std::panic::{catch_unwind, resume_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

#[path = "harness.rs"]
mod harness;

static LAST: Mutex<String> = Mutex::new(String::new());

/// Keeps what a panic says. (libFuzzer's own hook ends the process at each panic, and so at those of libraries that the
/// worker catches.)
pub fn keep_panics() {
    set_hook(Box::new(|panic| *LAST.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string()));
}

/// Runs the target of this name. A panic that nobody has caught is a fault.
pub fn run(name: &str, input: &[u8]) {
    let (_, target) = harness::TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    if let Err(panic) = catch_unwind(|| target(input)) {
        eprintln!("{}", LAST.lock().unwrap_or_else(PoisonError::into_inner));
        resume_unwind(panic);
    }
}
