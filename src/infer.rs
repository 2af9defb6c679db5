//! The thread that owns the model's session: it batches what waits, and runs it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use crate::batch::{Batcher, Next};
use crate::decode::Document;
use crate::envelope::{Envelope, Outcome, Rejection, Stage};
use crate::metrics::Metrics;
use crate::model::{Infer, Logits};
use crate::pipeline::Finished;
use crate::record::Tagged;
use crate::stop::Stop;
use crate::tokenize::Encoded;

/// A document that is ready for the model.
pub type Ready = Envelope<(Document, Encoded)>;

/// Runs the model until no more documents come, or the work is abandoned.
pub(crate) fn run<I: Infer>(
    mut model: I,
    mut batcher: Batcher<Ready>,
    documents: &Receiver<Ready>,
    upstream: &AtomicUsize,
    finished: &Sender<Finished>,
    metrics: &Metrics,
    stop: &Stop,
) {
    while !stop.is_abandoned() {
        while let Ok(document) = documents.try_recv() {
            wait_for(&mut batcher, document);
        }
        let more_coming = upstream.load(Ordering::Acquire) > 0;
        let patience = match batcher.next(Instant::now(), more_coming) {
            Next::Batch(batch) => {
                run_batch(&mut model, batch, finished, metrics);
                continue;
            }
            Next::Until(due) => due.saturating_duration_since(Instant::now()),
            Next::Idle => Duration::from_secs(1),
        };
        match documents.recv_timeout(patience) {
            Ok(document) => wait_for(&mut batcher, document),
            Err(RecvTimeoutError::Disconnected) if batcher.is_empty() => return,
            Err(_) => {}
        }
    }
}

fn wait_for(batcher: &mut Batcher<Ready>, document: Ready) {
    let tokens = document.body.1.ids.len();
    batcher.push(document, tokens, Instant::now());
}

/// Runs a batch. If it fails, each document is tried alone, so that only the culprit becomes a dead letter.
fn run_batch<I: Infer>(model: &mut I, batch: Vec<Ready>, finished: &Sender<Finished>, metrics: &Metrics) {
    let since = Instant::now();
    let ids: Vec<&[u32]> = batch.iter().map(|document| document.body.1.ids.as_slice()).collect();
    let result = model.infer(&ids);
    metrics.took("infer", since);
    metrics.ran(ids.iter().map(|ids| ids.len()));
    match result {
        Ok(logits) => {
            for (document, logits) in batch.into_iter().zip(logits) {
                send(finished, tagged(document, logits));
            }
        }
        Err(error) if batch.len() == 1 => {
            tracing::warn!("the model failed on a document: {error:#}");
            for document in batch {
                let message = format!("the model failed: {error:#}");
                let rejection = Rejection { stage: Stage::Infer, class: "ModelError", message };
                send(finished, Finished::Outcome(Outcome::DeadLetter(document.map(|_| rejection))));
            }
        }
        Err(error) => {
            tracing::warn!("the model failed on a batch of {}, trying each alone: {error:#}", batch.len());
            for document in batch {
                run_batch(model, vec![document], finished, metrics);
            }
        }
    }
}

fn tagged(document: Ready, logits: Vec<Logits>) -> Finished {
    Finished::Tagged(document.map(|(document, encoded)| Tagged { document, encoded, logits }))
}

/// The receiver is gone only when the worker has failed; then the document is dropped, and fetched again by the next.
fn send(finished: &Sender<Finished>, what: Finished) {
    drop(finished.send(what));
}
