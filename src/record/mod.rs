//! What flows, as plain data: all other wings hand it on, and it knows none of them.

pub mod answer;
pub mod budget;
pub mod document;
pub mod envelope;
pub mod feed;
pub mod headers;
pub mod outcome;
pub mod partition;
pub mod rejection;
pub mod stop;
pub mod tag;
pub mod trace;
