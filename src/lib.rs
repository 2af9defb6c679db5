//! tagbert reads documents from Kafka, tags each with a DistilBERT, and writes enriched records.
//!
//! A document's journey, in the order of the modules:
//!
//! | stage | module | gives |
//! |---|---|---|
//! | fetch | [`source`] | an [`Envelope`](envelope::Envelope) with the record as it was |
//! | decode | [`decode`] | a [`Document`](decode::Document): its id and its text |
//! | look up | [`cache`] | what was said of the same text before, if it was: then it skips the next four |
//! | tokenize | [`taggers`], [`tokenize`] | [`Encoded`](tokenize::Encoded): token ids and their places |
//! | batch | [`windows`], [`batch`] | rows of like length, under a budget of tokens |
//! | infer | [`infer`], [`model`] | logits |
//! | assemble | [`record`], [`tags`], [`spans`] | the enriched record |
//! | reorder | [`reorder`] | the input order of each partition |
//! | deliver | [`sink`], [`dead_letter`] | a record on an output topic |
//! | commit | [`ledger`], [`source`] | the offset, once all before it is acknowledged |
//!
//! [`pipeline`] joins them, [`worker`] starts and stops the whole. [`reload`] exchanges the models meanwhile, and
//! [`shadow`] tries another one; [`gauge`] measures how fast all of it is. `docs/ARCHITECTURE.md` has the picture.

pub mod assignment;
pub mod batch;
pub mod budget;
pub mod cache;
pub mod cli;
pub mod commands;
pub mod config;
pub mod dead_letter;
pub mod decode;
pub mod end;
pub mod envelope;
pub mod gather;
pub mod gauge;
pub mod headers;
pub mod health;
pub mod http;
pub mod infer;
pub mod kafka;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod model;
pub mod pipeline;
mod prefetched;
pub mod record;
pub mod reload;
pub mod reorder;
pub mod shadow;
pub mod signals;
pub mod sink;
pub mod source;
pub mod spans;
pub mod stop;
pub mod summary;
pub mod taggers;
pub mod tags;
pub mod telemetry;
pub mod tokenize;
pub mod watch;
pub mod watchdog;
pub mod windows;
pub mod worker;
