//! A file that is written: it is there whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};

use anyhow::{Context as _, Result};
use object_store::{ObjectStoreExt as _, WriteMultipart};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::place::Place;

/// So many parts of an object are sent at a time.
const AT_ONCE: usize = 4;

/// A part of an object has so many bytes, or more of a large one.
const PART: usize = 8 << 20;

/// Of 10,000 parts, which are the most that S3 takes, so many are used for as many bytes as the input has.
const PARTS: usize = 2500;

/// What is written, and not there yet.
pub struct Output {
    to: Place,
    body: Body,
    size: u64,
}

enum Body {
    /// Under another name, in a directory of its own.
    Local(Place, File),
    /// Parts that are one object once they are complete.
    Remote(Option<WriteMultipart>, Handle),
}

impl Output {
    /// Begins a file of about `like` bytes. On this machine it lies in `scratch` until it is whole.
    ///
    /// # Errors
    /// When it can't be written there.
    pub fn create(to: Place, scratch: &Place, like: u64, runtime: &Handle) -> Result<Self> {
        let body = if to.is_local {
            let part = scratch.below(&format!(".{}.part", Uuid::new_v4()));
            let path = part.on_disk().context("no path")?;
            let create = || {
                fs::create_dir_all(path.parent().unwrap_or(&path))?;
                File::create(&path)
            };
            Body::Local(part, create().with_context(|| format!("{to} can't be written"))?)
        } else {
            let upload = runtime.block_on(to.store.put_multipart(&to.path));
            let upload = upload.with_context(|| format!("{to} can't be written"))?;
            let part = usize::try_from(like).unwrap_or(usize::MAX).div_ceil(PARTS).max(PART);
            Body::Remote(Some(WriteMultipart::new_with_chunk_size(upload, part)), runtime.clone())
        };
        Ok(Self { to, body, size: 0 })
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes it be there.
    ///
    /// # Errors
    /// When it could not be written whole.
    pub fn finish(mut self) -> Result<()> {
        let mut finish = || -> Result<()> {
            match &mut self.body {
                Body::Local(part, file) => {
                    file.sync_all()?;
                    let (from, to) = (part.on_disk().context("no path")?, self.to.on_disk().context("no path")?);
                    fs::create_dir_all(to.parent().unwrap_or(&to))?;
                    fs::rename(from, &to)?;
                    // So that its name outlives a power failure, too.
                    if let Some(directory) = to.parent() {
                        File::open(directory)?.sync_all()?;
                    }
                }
                Body::Remote(upload, runtime) => {
                    if let Some(upload) = upload.take() {
                        runtime.block_on(upload.finish())?;
                    }
                }
            }
            Ok(())
        };
        let to = self.to.clone();
        finish().with_context(|| format!("{to} can't be written"))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.body {
            Body::Local(_, file) => file.write(bytes)?,
            Body::Remote(Some(upload), runtime) => {
                let _inside = runtime.enter();
                runtime.block_on(upload.wait_for_capacity(AT_ONCE))?;
                upload.write(bytes);
                bytes.len()
            }
            Body::Remote(None, _) => 0,
        };
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    /// Nothing is left of what was not finished.
    fn drop(&mut self) {
        match &mut self.body {
            Body::Local(part, _) => drop(part.on_disk().map(fs::remove_file)),
            Body::Remote(upload, runtime) => drop(upload.take().map(|upload| runtime.block_on(upload.abort()))),
        }
    }
}
