//! The way into the line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::Sender;

use crate::record::envelope::Envelope;

/// Where records enter the line, from the source or a second time.
///
/// The line ends when nobody has it any more. Those who may still send something have it: the source, records that are to
/// be prepared (they may become a claim), and the claims of documents that are being tagged.
#[derive(Debug)]
pub(crate) struct Feed {
    to_prepare: Sender<Fed>,
    /// How many are on their way to the model.
    pub(crate) upstream: Arc<AtomicUsize>,
}

/// A record that is to be prepared.
#[derive(Debug)]
pub(crate) struct Fed {
    pub envelope: Envelope<()>,
    /// Whether it is tagged by itself, though others may have the same text.
    pub alone: bool,
    pub feed: Arc<Feed>,
}

impl Feed {
    pub(crate) fn new(to_prepare: Sender<Fed>, upstream: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self { to_prepare, upstream })
    }

    pub(crate) fn send(self: &Arc<Self>, envelope: Envelope<()>, alone: bool) {
        self.upstream.fetch_add(1, Ordering::AcqRel);
        // The receivers are gone only if they panicked, and then the worker stops.
        drop(self.to_prepare.send(Fed { envelope, alone, feed: Arc::clone(self) }));
    }
}
