//! The tokenizer's files, read as `transformers` 5 reads them: most of its classes take the words from `tokenizer.json`
//! and all the rest from `tokenizer_config.json`, whatever `tokenizer.json` says (G-7).

mod added;
mod build;
mod class;
mod compare;
mod notes;
mod settings;

use std::path::Path;

use anyhow::{Context, Result};
use tokenizers::Tokenizer as HfTokenizer;

use self::added::Added;
use self::build::build;
use self::class::Class;
pub use self::notes::Notes;
use self::settings::Files;
use super::Tokenizer;

/// Reads the directory's tokenizer.
///
/// # Errors
/// When there is none, it is none, or of a class that tagbert does not have.
pub fn load(directory: &Path) -> Result<Tokenizer> {
    Ok(load_with_notes(directory)?.0)
}

/// The same, and what was taken from where.
///
/// # Errors
/// As for [`load`].
pub fn load_with_notes(directory: &Path) -> Result<(Tokenizer, Notes)> {
    let (inner, notes) = read(directory)?;
    let tokenizer = Tokenizer::new(inner).with_context(|| directory.join(notes.vocabulary).display().to_string())?;
    Ok((tokenizer, notes))
}

/// The library's tokenizer of the directory, which still may cut and pad.
///
/// # Errors
/// As for [`load`].
pub fn read(directory: &Path) -> Result<(HfTokenizer, Notes)> {
    let files = Files::read(directory)?;
    let class = Class::of(&files)?;
    let added = Added::of(&files)?;
    let vocabulary = files.vocabulary();
    let built = build(&class, &files, &added).with_context(|| directory.join(vocabulary).display().to_string())?;
    let notes = Notes::of(&class, &files, &added, &built);
    Ok((built, notes))
}

/// Which class of tokenizer the directory has: that and equal files make equal tokenizers.
///
/// # Errors
/// As for [`load`].
pub fn class(directory: &Path) -> Result<String> {
    Ok(Class::of(&Files::read_settings(directory)?)?.name)
}

#[cfg(test)]
mod tests;
