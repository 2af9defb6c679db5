//! What flows, and what it carries with it: its headers, its trace, its share of memory. All other wings hand it on, and it
//! imports none of them.

pub mod answer;
pub mod budget;
pub mod destination;
pub mod document;
pub mod enriched;
pub mod envelope;
pub mod headers;
pub mod origin;
pub mod outcome;
pub mod partition;
pub mod rejection;
pub mod stop;
pub(crate) mod sync;
pub mod tag;
pub mod text;
pub mod trace;
