//! The worker's own files, but for `envelope` and `sync`.

#[path = "../../../src/record/answer.rs"]
pub mod answer;
#[path = "../../../src/record/budget.rs"]
pub mod budget;
#[path = "../../../src/record/document.rs"]
pub mod document;
pub mod envelope;
#[path = "../../../src/record/origin.rs"]
pub mod origin;
#[path = "../../../src/record/partition.rs"]
pub mod partition;
#[path = "../../../src/record/stop.rs"]
pub mod stop;
pub mod sync;
#[path = "../../../src/record/tag.rs"]
pub mod tag;
#[path = "../../../src/record/text.rs"]
pub mod text;
