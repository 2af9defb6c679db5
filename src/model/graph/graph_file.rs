//! The file of a graph and those beside it: whether they are what they should be, before ONNX Runtime reads them.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::onnx::{External, Graph};
use crate::model::files::layout;

/// Protocol buffers can't be longer.
const MOST_BYTES: u64 = 2 << 30;

/// Tensors may share their data; more of it than this many times is no model.
const SHARED: u64 = 4;

/// What files are that people take for a graph, by how they begin.
const NO_GRAPHS: [(&[u8], &str); 8] = [
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (b"PK\x03\x04", "it is a zip archive: unpack it"),
    (b"\x1f\x8b", "it is compressed by gzip: unpack it"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it"),
    (b"<!DOCTYPE", "it is a web page: download the file itself"),
    (b"<!doctype", "it is a web page: download the file itself"),
    (b"<html", "it is a web page: download the file itself"),
    (b"{", "it is JSON, such as a server's error: download the file itself"),
];

/// A graph, and how large it is with all of its weights.
#[derive(Debug)]
pub struct GraphFile {
    /// What it says of itself.
    pub graph: Graph,
    /// The file's bytes.
    pub bytes: u64,
    /// Those of the files that hold its weights.
    pub external_bytes: u64,
}

impl GraphFile {
    /// Reads the file, and checks that it can be what it says. It takes as much memory as the file, for a moment.
    ///
    /// # Errors
    /// When it is no ONNX model, is cut off, or names files that are not there or not its own.
    pub fn open(file: &Path) -> Result<Self> {
        let about = || file.display().to_string();
        let bytes = file.metadata().with_context(about)?.len();
        ensure!(bytes > 0, "{}: it is empty: download or export it again", about());
        ensure!(bytes <= MOST_BYTES, "{}: it has {bytes} bytes, and an ONNX file has 2 GiB at most", about());
        let content = std::fs::read(file).with_context(about)?;
        if let Some((_, what)) = NO_GRAPHS.iter().find(|(start, _)| content.trim_ascii_start().starts_with(start)) {
            bail!("{}: {what}", about());
        }
        let graph = Graph::read(&content)
            .with_context(|| format!("{}: it is damaged, or no ONNX model; download or export it again", about()))?;
        let directory = file.parent().unwrap_or(Path::new("."));
        let external = graph.external.iter().map(|(name, external)| size(directory, name, *external));
        let external_bytes = external.sum::<Result<u64>>().with_context(about)?;
        Ok(Self { graph, bytes, external_bytes })
    }
}

/// The size of a file with weights, which must be the model's own.
fn size(directory: &Path, name: &str, External { end, bytes }: External) -> Result<u64> {
    // ONNX Runtime takes a path of `*/_ORT_MEM_ADDR_/*` for an address in memory.
    ensure!(
        layout::is_inside(name) && !name.is_empty() && !name.contains(['*', '\0']),
        "its weights are in `{name}`, which is no file of the model's own directory"
    );
    let file = directory.join(name);
    let Some(length) = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len()) else {
        bail!("its weights are in {name}, which is not there: put that file beside it");
    };
    ensure!(end <= length, "its weights end at byte {end} of {name}, which has {length}: download that file again");
    let most = length.saturating_mul(SHARED);
    ensure!(bytes <= most, "its weights are {bytes} bytes, all from {name}, which has {length}");
    Ok(length)
}
