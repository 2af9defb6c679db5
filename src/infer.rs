//! The thread that owns the model's session: it batches what waits, and runs it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::anyhow;
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

/// So many failures in a row are the model's fault, not the documents'.
const BROKEN: usize = 20;

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
    let mut failed_in_a_row = 0;
    while !stop.is_abandoned() {
        while let Ok(document) = documents.try_recv() {
            wait_for(&mut batcher, document);
        }
        let more_coming = upstream.load(Ordering::Acquire) > 0;
        let patience = match batcher.next(Instant::now(), more_coming) {
            Next::Batch(mut batch) => {
                batch.retain(|document| !document.origin.lease.is_over());
                for result in run_batch(&mut model, batch, metrics) {
                    failed_in_a_row = if matches!(result, Finished::Tagged(_)) { 0 } else { failed_in_a_row + 1 };
                    if failed_in_a_row >= BROKEN {
                        return stop
                            .fail(anyhow!("the model failed on {BROKEN} documents in a row, so it is the model"));
                    }
                    // The receiver is gone only when the worker has failed, and then the document is fetched again.
                    drop(finished.send(result));
                }
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
fn run_batch<I: Infer>(model: &mut I, batch: Vec<Ready>, metrics: &Metrics) -> Vec<Finished> {
    if batch.is_empty() {
        return Vec::new();
    }
    let since = Instant::now();
    let ids: Vec<&[u32]> = batch.iter().map(|document| document.body.1.ids.as_slice()).collect();
    let result = model.infer(&ids);
    metrics.took("infer", since);
    metrics.ran(ids.iter().map(|ids| ids.len()));
    match result {
        Ok(logits) => batch.into_iter().zip(logits).map(|(document, logits)| tagged(document, logits)).collect(),
        Err(error) if batch.len() == 1 => {
            tracing::warn!("the model failed on a document: {error:#}");
            let message = format!("the model failed: {error:#}");
            let rejection = Rejection { stage: Stage::Infer, class: "ModelError", message };
            let dead = |document: Ready| Finished::Outcome(Outcome::DeadLetter(document.map(|_| rejection.clone())));
            batch.into_iter().map(dead).collect()
        }
        Err(error) => {
            tracing::warn!("the model failed on a batch of {}, trying each alone: {error:#}", batch.len());
            batch.into_iter().flat_map(|document| run_batch(model, vec![document], metrics)).collect()
        }
    }
}

fn tagged(document: Ready, logits: Vec<Logits>) -> Finished {
    Finished::Tagged(document.map(|(document, encoded)| Tagged { document, encoded, logits }))
}
