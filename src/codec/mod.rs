//! Bytes to documents, and answers to bytes. This wing knows records and their formats, and nothing of models.

pub mod account;
pub mod avro;
pub mod clean;
pub mod dead_letter;
pub mod decode;
pub mod enriched;
mod event;
mod nested;
mod number;
pub mod outputs;
pub mod protobuf;
pub mod redact;
pub mod registry;
mod ruler;
mod shape;
mod tags;
