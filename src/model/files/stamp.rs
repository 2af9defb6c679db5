//! What tells that a file was written or replaced, without reading it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file as it is now: device, inode, length and time of change. Links are followed, since Kubernetes swaps those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// That of a file; `None` if there is none.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        let stamp = |about: Metadata| Self {
            file: (about.dev(), about.ino()),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        };
        std::fs::metadata(file).ok().map(stamp)
    }

    /// Those of several files.
    #[must_use]
    pub fn of_all<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Stamps {
        files.into_iter().map(|file| (file.clone(), Self::of(file))).collect()
    }
}

/// Files and their stamps.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;
