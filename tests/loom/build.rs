//! Leaves out the unit tests of the files that are shared with the worker: they use std's types. `RUSTFLAGS` would set it for
//! all crates, and some heed it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=loom");
}
