//! Documents to answers: tokens in windows, windows in batches, batches through models, logits to tags. This wing knows
//! neither bytes nor Kafka.

pub mod batch;
pub mod cache;
pub mod feed;
pub mod finished;
pub mod gather;
pub mod infer;
pub mod live;
mod names;
pub mod probe;
pub mod reload;
pub mod scores;
pub mod shadow;
pub mod spans;
pub mod taggers;
pub mod tags;
pub mod watch;
pub mod windows;
