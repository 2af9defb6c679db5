//! Apache Avro, as it is written to topics: a datum without its schema.
//!
//! It is read here, and not by a library, since records come from anybody: a datum may nest as deep as it likes, and claim as
//! many elements of no bytes as a number can count. Both end in an error here, and would end the process there.

pub(super) mod output;
pub mod read;
pub mod schema;
pub(super) mod write;
