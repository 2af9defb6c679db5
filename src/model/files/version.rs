//! Which files decide what a model's tags are, and the hash of them that is its version.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::layout::{self, CONFIG, HEADS, TOKENIZER_FILES};

/// The files that decide what the tags are; not all have to be there.
#[must_use]
pub fn files(directory: &Path, graph: &Path) -> Vec<PathBuf> {
    let name = graph.strip_prefix(directory).unwrap_or(graph).to_string_lossy();
    let beside = [&TOKENIZER_FILES[..], &[CONFIG, HEADS]].concat();
    let weights = layout::weights(&name).map(|name| directory.join(name));
    beside.iter().map(|name| directory.join(name)).chain([graph.to_owned()]).chain(weights).collect()
}

/// A hash of files of the directory, as far as they are there: of their names and what is in them.
///
/// # Errors
/// When one can't be read.
pub fn hash_of(directory: &Path, files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in files {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.with_context(|| path.display().to_string())?,
        };
        let name = path.strip_prefix(directory).unwrap_or(path).to_string_lossy();
        hash.update(name.as_bytes());
        hash.update(file.metadata()?.len().to_le_bytes());
        add_content(&mut hash, file).with_context(|| path.display().to_string())?;
    }
    Ok(hex::encode(&hash.finalize()[..8]))
}

/// Adds what is in a file to a hash.
///
/// # Errors
/// When it can't be read.
pub fn add_content(hash: &mut Sha256, file: File) -> io::Result<()> {
    let mut file = BufReader::with_capacity(1 << 20, file);
    loop {
        let block = file.fill_buf()?;
        if block.is_empty() {
            return Ok(());
        }
        hash.update(block);
        let length = block.len();
        file.consume(length);
    }
}
