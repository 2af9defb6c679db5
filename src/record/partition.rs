//! Which partition.

use std::sync::Arc;

/// A partition of a topic.
pub type TopicPartition = (Arc<str>, i32);
