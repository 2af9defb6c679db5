//! Copies of remote files, and the directories made of them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use url::Url;

use super::{Remote, redact};
use crate::model::files::fetch::quietly;

/// A file that is there.
pub struct Found {
    /// Its path within the model.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// What changes with its content. Where a server gives nothing of the kind, it is the content's hash, once that is
    /// known.
    pub stamp: Option<String>,
}

/// Where copies are kept: `files/` has each by the hash of where it is from and what it was like then, and beside it
/// are the models, as hard links.
pub struct Cache<'a> {
    root: &'a Path,
    /// Where the files are from.
    origin: &'a Url,
}

impl<'a> Cache<'a> {
    pub fn new(root: &'a Path, origin: &'a Url) -> Self {
        Self { root, origin }
    }

    /// Takes a copy of a file, unless there is one.
    pub async fn fetch(&self, file: &mut Found, remote: &Remote) -> Result<()> {
        if file.stamp.is_some() && self.place(file).is_file() {
            return Ok(());
        }
        let files = self.root.join("files");
        fs::create_dir_all(&files).with_context(|| unwritable(&files))?;
        // Never under its own name before it is whole.
        let mut partial = NamedTempFile::new_in(&files).with_context(|| unwritable(&files))?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut stream = remote.read(file).await?.into_stream();
        while let Some(bytes) = quietly(stream.next()).await {
            let bytes = bytes.map_err(|error| remote.explain(&error))?;
            size += bytes.len() as u64;
            hash.update(&bytes);
            partial.write_all(&bytes).with_context(|| unwritable(&files))?;
        }
        ensure!(size == file.size, "{size} bytes came instead of {}", file.size);
        file.stamp.get_or_insert_with(|| hex::encode(hash.finalize()));
        partial.persist(self.place(file)).with_context(|| unwritable(&files))?;
        Ok(())
    }

    /// The directory of a model, all of whose files have been fetched.
    pub fn assemble(&self, files: &[Found]) -> Result<PathBuf> {
        let directory = self.root.join(digest([self.origin.as_str(), &revision(files)]));
        if directory.is_dir() {
            return Ok(directory);
        }
        let partial = tempfile::tempdir_in(self.root).with_context(|| unwritable(self.root))?;
        for file in files {
            let (from, to) = (self.place(file), partial.path().join(&file.name));
            let link = || {
                fs::create_dir_all(to.parent().unwrap_or(self.root))?;
                // Not every file system has links.
                fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))
            };
            link().with_context(|| unwritable(&to))?;
        }
        let partial = partial.keep();
        if let Err(error) = fs::rename(&partial, &directory) {
            let _ = fs::remove_dir_all(&partial);
            // Another process may have been faster.
            ensure!(directory.is_dir(), "{}: {}", unwritable(&directory), redact::cause(&error));
        }
        Ok(directory)
    }

    fn place(&self, file: &Found) -> PathBuf {
        let (size, stamp) = (file.size.to_string(), file.stamp.as_deref().unwrap_or_default());
        self.root.join("files").join(digest([self.origin.as_str(), &file.name, &size, stamp]))
    }
}

/// What stands for this state of all files.
pub fn revision(files: &[Found]) -> String {
    let each = files.iter().map(|file| {
        let stamp = file.stamp.as_deref().unwrap_or_default();
        digest([&file.name, &file.size.to_string(), stamp])
    });
    digest(each)[..16].to_owned()
}

fn digest(parts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_ref().len().to_le_bytes());
        hash.update(part.as_ref());
    }
    hex::encode(&hash.finalize()[..16])
}

fn unwritable(path: &Path) -> String {
    format!("{}: can't be written: set TAGBERT_CACHE to a directory with room", path.display())
}
