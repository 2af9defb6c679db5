//! Arrow IPC, as a file or as a stream (Feather is the same file). A remote file is fetched first.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _};
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use tokio::runtime::Handle;

use super::{BYTES, Compression, ROWS, Style, stream};
use crate::lake::output::Output;
use crate::lake::place::Found;
use crate::lake::tags::Schema;

const MAGIC: &[u8] = b"ARROW1";

pub struct Reader {
    rows: Source,
    /// What is left of a batch, and so many rows of it are given at a time.
    rest: Option<(RecordBatch, usize)>,
    /// The size of the file.
    size: u64,
}

enum Source {
    File(Box<FileReader<BufReader<File>>>),
    Stream(Box<StreamReader<BufReader<File>>>),
}

impl Reader {
    pub fn open(found: &Found, runtime: &Handle) -> Result<Self> {
        let mut file = stream::seekable(found, runtime)?;
        file.rewind()?;
        let mut begin = Vec::new();
        (&file).take(MAGIC.len() as u64).read_to_end(&mut begin)?;
        file.rewind()?;
        let rows = if begin == MAGIC {
            Source::File(Box::new(FileReader::try_new(BufReader::new(file), None)?))
        } else {
            Source::Stream(Box::new(StreamReader::try_new(BufReader::new(file), None)?))
        };
        Ok(Self { rows, rest: None, size: found.meta.size })
    }

    pub fn schema(&self) -> SchemaRef {
        match &self.rows {
            Source::File(rows) => rows.schema(),
            Source::Stream(rows) => rows.schema(),
        }
    }

    /// The batches of the file, in pieces where they are large.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        let (batch, rows) = if let Some(rest) = self.rest.take() {
            rest
        } else {
            let next = match &mut self.rows {
                Source::File(rows) => rows.next(),
                Source::Stream(rows) => rows.next(),
            };
            let Some(batch) = next.transpose()? else { return Ok(None) };
            let each = batch.get_array_memory_size().checked_div(batch.num_rows()).unwrap_or(1).max(1);
            (batch, (BYTES / each).clamp(1, ROWS))
        };
        if batch.num_rows() <= rows {
            return Ok(Some(compact(&batch)?));
        }
        let part = compact(&batch.slice(0, rows))?;
        self.rest = Some((batch.slice(rows, batch.num_rows() - rows), rows));
        Ok(Some(part))
    }

    /// How many bytes of how many were read.
    pub fn share(&self) -> (u64, u64) {
        let mut file = match &self.rows {
            Source::File(rows) => rows.get_ref().get_ref(),
            Source::Stream(rows) => rows.get_ref().get_ref(),
        };
        (file.stream_position().unwrap_or_default(), self.size)
    }

    pub fn writer(&self, output: Output, style: &Style, tags: &Schema) -> Result<Writer> {
        let schema = tags.beside(&self.schema())?;
        let compression = match style.compression {
            None | Some(Compression::None) => None,
            Some(Compression::Zstd) => Some(CompressionType::ZSTD),
            Some(Compression::Lz4) => Some(CompressionType::LZ4_FRAME),
            Some(other) => bail!("Arrow IPC has no compression `{other:?}`: zstd or lz4"),
        };
        let options = IpcWriteOptions::default().try_with_compression(compression)?;
        let writer = match &self.rows {
            Source::File(_) => To::File(Box::new(FileWriter::try_new_with_options(output, &schema, options)?)),
            Source::Stream(_) => To::Stream(Box::new(StreamWriter::try_new_with_options(output, &schema, options)?)),
        };
        Ok(Writer { to: writer, schema })
    }
}

pub struct Writer {
    to: To,
    schema: SchemaRef,
}

enum To {
    File(Box<FileWriter<Output>>),
    Stream(Box<StreamWriter<Output>>),
}

impl Writer {
    pub fn write(&mut self, batch: &RecordBatch, enriched: &[Option<Vec<u8>>], tags: &Schema) -> Result<()> {
        let batch = tags.add(batch, enriched, &self.schema)?;
        match &mut self.to {
            To::File(writer) => writer.write(&batch)?,
            To::Stream(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Output> {
        Ok(match self.to {
            To::File(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
            To::Stream(mut writer) => {
                writer.finish()?;
                writer.into_inner()?
            }
        })
    }
}

/// A part of a batch without what it does not need of the batch's texts: else all of them would be written with each part.
fn compact(part: &RecordBatch) -> Result<RecordBatch> {
    let compact = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        }
    };
    let columns = part.columns().iter().map(compact).collect();
    Ok(RecordBatch::try_new(part.schema(), columns)?)
}
