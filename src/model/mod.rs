//! A model: its files, its tokenizer, its graph, and the sessions that run it. This wing turns text into token ids and
//! token ids into logits; what logits mean for a document is the tagger's affair.

pub mod files;
pub mod graph;
pub mod loaded;
pub mod session;
pub mod tokenize;
pub mod vet;
pub mod vocabulary;
