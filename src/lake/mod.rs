//! Files and objects instead of topics: what `tagbert enrich` reads, tags and writes.
//!
//! ```text
//! place ─▶ format (read) ─▶ columns ─▶ pipeline ─▶ sink ─▶ tags ─▶ format (write) ─▶ place
//! ```
//!
//! Engines that read and write by themselves hand their rows over as tables (`tables`); from `columns` to `tags` it is the same.
//!
//! A file is written whole or not at all. Who works on which file is settled by `claims`, and what is done stands in
//! `book`: both are files beside the results, so that processes need nothing else to share a job.

mod book;
mod claims;
mod columns;
mod format;
pub mod job;
mod look;
mod output;
pub mod place;
mod sink;
pub mod tables;
pub mod tags;
mod target;
