//! A document's logits, gathered window by window.

use anyhow::{Result, ensure};

use super::taggers::{Lane, Work};
use super::windows::Window;
use crate::model::session::Logits;

/// What came of a document's windows so far, in whatever order they are run.
#[derive(Debug)]
pub struct Gathered {
    /// For each head `[windows, labels]` or `[tokens, labels]`; empty until the first window is done, so that waiting
    /// documents are small.
    logits: Vec<Logits>,
    windows: usize,
    left: usize,
}

impl Gathered {
    /// Nothing yet of so many windows.
    #[must_use]
    pub fn nothing_of(windows: usize) -> Self {
        Self { logits: Vec::new(), windows, left: windows }
    }

    /// Puts a window's logits in their place: a class score for each window, a token's from the window that owns it.
    pub fn add(&mut self, number: usize, window: &Window, logits: &[Logits], lane: &Lane, tokens: usize) {
        let heads = &lane.model.manifest.heads;
        if self.logits.is_empty() {
            let rows = |by_token| if by_token { lane.windows.seen(tokens) } else { self.windows };
            self.logits = heads.iter().map(|head| vec![0.0; rows(head.is_by_token()) * head.labels.len()]).collect();
        }
        for ((all, part), head) in self.logits.iter_mut().zip(logits).zip(heads) {
            let labels = head.labels.len();
            let (to, from) = if head.is_by_token() {
                (window.own.clone(), window.own.start - window.tokens.start)
            } else {
                (number..number + 1, 0)
            };
            let (start, length) = (to.start * labels, to.len() * labels);
            all[start..start + length].copy_from_slice(&part[from * labels..from * labels + length]);
        }
        self.left -= 1;
    }

    /// True once all windows are done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// The document's logits.
    #[must_use]
    pub fn into_logits(self) -> Vec<Logits> {
        self.logits
    }
}

/// Runs all lanes on one document, a window at a time: for what is not on the line (probes, the shadow, tests).
///
/// # Errors
/// When a model fails.
pub fn run_alone(work: &mut Work) -> Result<()> {
    run_alone_while(work, || true)
}

/// The same as long as it is wanted: that is asked before each window.
///
/// # Errors
/// When a model fails, or it is no longer wanted.
pub fn run_alone_while(work: &mut Work, is_wanted: impl Fn() -> bool) -> Result<()> {
    let taggers = std::sync::Arc::clone(&work.taggers);
    for lane in &taggers.lanes {
        let Some(encoded) = lane.tokens(work) else {
            work.logits.push(Vec::new());
            continue;
        };
        let tokens = encoded.ids.len();
        let mut gathered = Gathered::nothing_of(lane.windows.count(tokens));
        for (number, window) in lane.windows.of(tokens).enumerate() {
            ensure!(is_wanted(), "given up");
            let logits = lane.model.infer(&[&encoded.ids[window.tokens.clone()]])?;
            gathered.add(number, &window, &logits[0], lane, tokens);
        }
        work.logits.push(gathered.into_logits());
    }
    Ok(())
}
