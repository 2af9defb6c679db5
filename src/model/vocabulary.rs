//! A tokenizer that has more tokens than the model's embedding has rows: people add tokens and forget to resize it.

use anyhow::{Result, ensure};

use super::session::Infer;
use super::tokenize::{Frame, Tokenizer};
use crate::record::rejection::{Rejection, Stage};

/// More missing words than one in so many, and the tokenizer is another model's.
const ONE_IN: usize = 100;

/// How many tokens have a row; `None` if all have.
///
/// # Errors
/// When so many have none, or such needed ones, that the tokenizer must be another model's.
pub fn rows(tokenizer: &Tokenizer, frame: &Frame, session: &mut dyn Infer) -> Result<Option<usize>> {
    let last = tokenizer.last_id();
    let Err(error) = session.infer(&[&[last]]) else { return Ok(None) };
    // The first that has none: all before it do.
    let (mut from, mut to) = (0, last);
    while from < to {
        let middle = from + (to - from) / 2;
        if session.infer(&[&[middle]]).is_ok() { from = middle + 1 } else { to = middle }
    }
    let rows = from as usize;
    let needed = frame.prefix.iter().chain(&frame.suffix).all(|id| (*id as usize) < rows);
    let (missing, words) = tokenizer.words_from(rows);
    ensure!(
        rows > 0 && needed && missing * ONE_IN <= words,
        "with token {last}, the last of the tokenizer (is it this model's own?): {error:#}"
    );
    Ok(Some(rows))
}

/// Refuses tokens without a row, which ONNX Runtime would on a CPU, and a GPU may not notice.
///
/// # Errors
/// When there is one.
pub fn check(ids: &[u32], rows: Option<usize>) -> Result<(), Rejection> {
    let Some(rows) = rows else { return Ok(()) };
    let Some(id) = ids.iter().find(|id| **id as usize >= rows) else { return Ok(()) };
    Err(Rejection::new(
        Stage::Tokenize,
        "TokenWithoutEmbedding",
        format!(
            "it has token {id}, and the model's embedding only rows for 0 to {}: resize it \
             (`model.resize_token_embeddings(len(tokenizer))`), train, and export it again",
            rows.saturating_sub(1)
        ),
    ))
}
