//! tagbert reads documents from Kafka, tags each with a DistilBERT, and writes enriched records.
//!
//! The house has wings, from the top floor down; each imports only from below (`tests/architecture.rs` keeps it so):
//!
//! | wing | knows |
//! |---|---|
//! | [`commands`] | the command line, one file a command; measuring for `bench` and `plan` |
//! | [`worker`] | a configuration made into a running line, its HTTP port, and its clean stop |
//! | [`kafka`] | clients, source, sink, and the ledger of offsets |
//! | [`lake`] | files and objects: formats, and who works on which |
//! | [`pipeline`] | the stages joined |
//! | [`tagger`] | documents → answers |
//! | [`codec`] | bytes → documents, answers → bytes |
//! | [`model`] | files, tokenizer, graph and session of a model |
//! | [`route`] | tags and a record → topics |
//! | [`telemetry`] | what is counted, traced and told |
//! | [`record`] | what flows, and what it carries with it |
//! | [`config`] | the configuration |
//!
//! A document's journey through them:
//!
//! | stage | module | gives |
//! |---|---|---|
//! | fetch | [`kafka::source`] | an [`Envelope`](record::envelope::Envelope) with the record as it was |
//! | decode | [`codec::decode`] | a document: its id and its text |
//! | look up | [`tagger::cache`] | the answer to the same text, if it is known: the document then goes straight to mask |
//! | tokenize | [`tagger::taggers`], [`model::tokenize`] | [`Encoded`](model::tokenize::Encoded): token ids and their places |
//! | batch | [`tagger::windows`], [`tagger::batch`] | rows of like length, under a budget of tokens |
//! | infer | [`tagger::infer`], [`model::session`] | logits |
//! | read | [`tagger::tags`], [`tagger::spans`] | labels and entities |
//! | mask | [`codec::redact`] | the document without what nobody may see |
//! | route | [`route`] | the topics that it goes to |
//! | assemble | [`codec::enriched`] | the enriched record |
//! | reorder | [`pipeline`] | the input order of each partition |
//! | deliver | [`kafka::sink`], [`codec::dead_letter`] | a record on an output topic |
//! | commit | [`kafka::ledger`], [`kafka::source`] | the offset, once all before it is acknowledged |
//!
//! [`tagger::reload`] exchanges the models meanwhile, and [`tagger::shadow`] tries another one. `docs/ARCHITECTURE.md` is
//! the tour.

pub mod codec;
pub mod commands;
pub mod config;
pub mod kafka;
pub mod lake;
pub mod model;
pub mod pipeline;
pub mod record;
pub mod route;
pub mod tagger;
pub mod telemetry;
pub mod worker;
