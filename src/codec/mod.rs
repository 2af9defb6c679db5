//! Bytes to documents, and answers to bytes. This wing knows records and their formats, and nothing of models.

pub mod account;
pub mod dead_letter;
pub mod decode;
pub mod enriched;
mod nested;
mod ruler;
mod shape;
mod tags;
