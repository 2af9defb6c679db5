//! The worker's own files.

#[path = "../../../src/tagger/cache/mod.rs"]
pub mod cache;
#[path = "../../../src/tagger/feed.rs"]
pub mod feed;
