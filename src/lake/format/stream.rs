//! The bytes of a file one after the other, unpacked.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore as _};
use tokio::runtime::Handle;

use crate::lake::output::Output;
use crate::lake::place::Found;

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// What a name says, and the name without it.
    pub fn of(name: &str) -> (&str, Self) {
        let known = [(".gz", Self::Gzip), (".zst", Self::Zstd), (".zstd", Self::Zstd)];
        let packed = known.into_iter().find_map(|(ending, packing)| Some((name.strip_suffix(ending)?, packing)));
        packed.unwrap_or((name, Self::Plain))
    }

    /// The bytes of a file, unpacked. A packed file may be several, one after the other.
    pub fn read(self, found: &Found, runtime: &Handle) -> Result<(Box<dyn BufRead + Send>, Share)> {
        let share = Share { read: Arc::default(), size: found.meta.size };
        let bytes = BufReader::with_capacity(1 << 16, Counted { inner: bytes(found, runtime)?, share: share.clone() });
        let unpacked: Box<dyn BufRead + Send> = match self {
            Self::Plain => Box::new(bytes),
            Self::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(bytes))),
            Self::Zstd => Box::new(BufReader::new(zstd::Decoder::with_buffer(bytes)?)),
        };
        Ok((unpacked, share))
    }

    /// What packs the bytes that are written.
    pub fn write(self, output: Output) -> Result<Packer> {
        Ok(match self {
            Self::Plain => Packer::Plain(BufWriter::new(output)),
            Self::Gzip => Packer::Gzip(GzEncoder::new(output, flate2::Compression::default())),
            Self::Zstd => Packer::Zstd(zstd::Encoder::new(output, 0)?),
        })
    }
}

/// How much of a file has been read.
#[derive(Clone)]
pub struct Share {
    read: Arc<AtomicU64>,
    size: u64,
}

impl Share {
    /// Bytes that were read, and all.
    pub fn now(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.size)
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    share: Share,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.share.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Packs what is written.
pub enum Packer {
    Plain(BufWriter<Output>),
    Gzip(GzEncoder<Output>),
    Zstd(zstd::Encoder<'static, Output>),
}

impl Packer {
    /// Writes what is left.
    pub fn finish(self) -> io::Result<Output> {
        match self {
            Self::Plain(buffer) => buffer.into_inner().map_err(io::IntoInnerError::into_error),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(buffer) => buffer.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An entity tag as it can be asked for: quoted, and of the very bytes.
pub fn strong(e_tag: Option<String>) -> Option<String> {
    let e_tag = e_tag.filter(|tag| !tag.starts_with("W/"))?;
    Some(if e_tag.starts_with('"') { e_tag } else { format!("\"{e_tag}\"") })
}

/// The file, as long as it is still the one that was found.
async fn get(found: &Found) -> object_store::Result<GetResult> {
    let e_tag = strong(found.meta.e_tag.clone().filter(|_| !found.place.is_local));
    let options = GetOptions { if_match: e_tag, ..GetOptions::default() };
    found.place.store.get_opts(&found.place.path, options).await
}

/// The bytes of a file as they are.
fn bytes(found: &Found, runtime: &Handle) -> Result<Box<dyn Read + Send>> {
    let got = runtime.block_on(get(found))?;
    Ok(match got.payload {
        GetResultPayload::File(file, _) => Box::new(file),
        GetResultPayload::Stream(stream) => Box::new(Fetched { stream, next: Bytes::new(), runtime: runtime.clone() }),
    })
}

/// A file that can be read from any place: a remote one is fetched first.
pub fn seekable(found: &Found, runtime: &Handle) -> Result<File> {
    let got = runtime.block_on(get(found))?;
    match got.payload {
        GetResultPayload::File(file, _) => Ok(file),
        GetResultPayload::Stream(stream) => {
            let mut copy = tempfile::tempfile()?;
            io::copy(&mut Fetched { stream, next: Bytes::new(), runtime: runtime.clone() }, &mut copy)?;
            Ok(copy)
        }
    }
}

/// Bytes as they come.
struct Fetched {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    next: Bytes,
    runtime: Handle,
}

impl Read for Fetched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.next.has_remaining() {
            match self.runtime.block_on(self.stream.next()) {
                Some(bytes) => self.next = bytes?,
                None => return Ok(0),
            }
        }
        let size = self.next.remaining().min(buffer.len());
        self.next.copy_to_slice(&mut buffer[..size]);
        Ok(size)
    }
}
