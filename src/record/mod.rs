//! What flows, as plain data: all other wings hand it on, and it knows none of them.

pub mod budget;
pub mod envelope;
pub mod feed;
pub mod headers;
pub mod stop;
