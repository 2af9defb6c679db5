//! Protocol Buffers, as they are written to topics: a message behind the place of its type in the schema.

mod json;
mod known;
pub mod read;
pub mod schema;
pub(super) mod write;

#[cfg(test)]
mod tests;
