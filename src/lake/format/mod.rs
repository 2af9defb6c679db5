//! The formats of files: rows that are read, and rows with their tags that are written.

mod csv;
mod ipc;
mod lines;
mod parquet;
mod stream;

use std::io::Write as _;
use std::sync::Arc;

use ::csv::ByteRecord;
use anyhow::{Context as _, Result, bail};
use arrow::array::{Array as _, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use tokio::runtime::Handle;

use self::stream::Packing;
use super::columns::Columns;
use super::output::Output;
use super::place::Found;
use super::tags::Schema;

/// So many rows are read at a time, at most.
const ROWS: usize = 1024;

/// So many bytes of rows are read at a time, as far as that can be foreseen.
const BYTES: usize = 4 << 20;

/// A longer row is no document, but a file that is something else.
const LONGEST: usize = 256 << 20;

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Parquet,
    Ipc,
    Lines(Packing),
    Csv(Packing),
}

/// How files are compressed, if not as those that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy (Parquet).
    Snappy,
    /// gzip (Parquet, JSON lines, CSV).
    Gzip,
    /// Zstandard.
    Zstd,
    /// LZ4 (Parquet, Arrow IPC).
    Lz4,
}

/// How files are read and written.
#[derive(Clone, Debug)]
pub struct Style {
    /// What stands before a quote within quotes, if they are not doubled (CSV).
    pub csv_escape: Option<u8>,
    /// The name of the column, or of the member, with the tags.
    pub tags: String,
    /// Tags are columns of their own.
    pub flat: bool,
    /// Another compression than that of the input (Parquet, Arrow IPC).
    pub compression: Option<Compression>,
    /// Another number of rows in a row group than that of the input (Parquet).
    pub row_group_rows: Option<usize>,
}

/// Some rows of a file.
pub enum Rows {
    /// Of Parquet and Arrow.
    Table(RecordBatch),
    /// JSON lines: the bytes of each.
    Lines(Vec<Vec<u8>>),
    /// Of CSV.
    Records(Arc<ByteRecord>, Vec<csv::Row>),
}

/// A file that is being read.
pub enum Reader {
    Parquet(parquet::Reader),
    Ipc(ipc::Reader),
    Lines(lines::Reader),
    Csv(csv::Reader),
}

/// A file that is being written.
pub enum Writer {
    Parquet(Box<parquet::Writer>),
    Ipc(ipc::Writer),
    Lines(Box<lines::Writer>),
    Csv(Box<csv::Writer>),
}

impl Format {
    /// What the ending of a name says.
    ///
    /// # Errors
    /// When it is none of those that are known.
    pub fn of(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let (stem, packing) = Packing::of(&lower);
        Ok(match (stem.rsplit_once('.').map(|(_, ending)| ending), packing) {
            (Some("parquet" | "parq" | "pq"), Packing::Plain) => Self::Parquet,
            (Some("arrow" | "ipc" | "feather"), Packing::Plain) => Self::Ipc,
            (Some("jsonl" | "ndjson" | "json"), packing) => Self::Lines(packing),
            (Some("csv"), packing) => Self::Csv(packing),
            _ => {
                bail!("{name}: it should end in .parquet, .arrow, .jsonl or .csv (the last two also with .gz or .zst)")
            }
        })
    }
}

impl Format {
    /// Whether rows may lack columns.
    pub fn is_free(self) -> bool {
        matches!(self, Self::Lines(_))
    }
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Table(batch) => batch.num_rows(),
            Self::Lines(lines) => lines.len(),
            Self::Records(_, rows) => rows.len(),
        }
    }

    /// How much memory they take.
    pub fn size(&self) -> usize {
        match self {
            // Of what others share only the part.
            Self::Table(batch) => {
                let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
                batch.columns().iter().map(size).sum()
            }
            Self::Lines(lines) => lines.iter().map(Vec::len).sum(),
            Self::Records(_, rows) => rows.iter().map(csv::Row::size).sum(),
        }
    }

    /// Each as a document, in JSON, with the texts that are tagged.
    ///
    /// # Errors
    /// When a column is missing, or holds no text.
    pub fn documents(&self, columns: &Columns) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::Table(batch) => columns.of_table(batch),
            Self::Lines(lines) => Ok(lines.clone()),
            Self::Records(header, rows) => columns.of_records(header, rows.iter().map(|row| &row.fields)),
        }
    }

    /// Those that are to be kept.
    ///
    /// # Errors
    /// When Arrow can't do that.
    pub fn kept(self, keep: &[bool]) -> Result<Self> {
        if keep.iter().all(|keep| *keep) {
            return Ok(self);
        }
        Ok(match self {
            Self::Table(batch) => Self::Table(filter_record_batch(&batch, &BooleanArray::from(keep.to_vec()))?),
            Self::Lines(lines) => Self::Lines(those(lines, keep)),
            Self::Records(header, rows) => Self::Records(header, those(rows, keep)),
        })
    }

    /// One row as JSON, for people to read.
    pub fn show(&self, row: usize) -> serde_json::Value {
        match self {
            Self::Table(batch) => {
                let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
                let written = writer.write(&batch.slice(row, 1)).and_then(|()| writer.finish());
                written.ok().and_then(|()| serde_json::from_slice(&writer.into_inner()).ok()).unwrap_or_default()
            }
            Self::Lines(lines) => match std::str::from_utf8(&lines[row]) {
                Ok(text) => text.into(),
                Err(_) => {
                    serde_json::json!({ "base64": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &lines[row]) })
                }
            },
            Self::Records(_, rows) => {
                rows[row].fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
            }
        }
    }
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    /// When it can't be read, or is not what its name says.
    pub fn open(found: &Found, format: Format, style: &Style, runtime: &Handle) -> Result<Self> {
        let opened = match format {
            Format::Parquet => parquet::Reader::open(found, runtime).map(Self::Parquet),
            Format::Ipc => ipc::Reader::open(found, runtime).map(Self::Ipc),
            Format::Lines(packing) => lines::Reader::open(found, packing, runtime).map(Self::Lines),
            Format::Csv(packing) => csv::Reader::open(found, packing, style.csv_escape, runtime).map(Self::Csv),
        };
        opened.with_context(|| found.place.to_string())
    }

    /// The columns, if the format says what they are.
    pub fn schema(&self) -> Option<SchemaRef> {
        match self {
            Self::Parquet(reader) => Some(reader.schema()),
            Self::Ipc(reader) => Some(reader.schema()),
            Self::Lines(_) | Self::Csv(_) => None,
        }
    }

    /// The next rows; none at the end.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn next(&mut self) -> Result<Option<Rows>> {
        match self {
            Self::Parquet(reader) => Ok(reader.next()?.map(Rows::Table)),
            Self::Ipc(reader) => Ok(reader.next()?.map(Rows::Table)),
            Self::Lines(reader) => reader.next(),
            Self::Csv(reader) => reader.next(),
        }
    }

    /// How many of so many bytes have been read.
    pub fn read_of(&self, size: u64) -> u64 {
        let (read, all) = match self {
            Self::Parquet(reader) => reader.share(),
            Self::Ipc(reader) => reader.share(),
            Self::Lines(reader) => reader.share(),
            Self::Csv(reader) => reader.share(),
        };
        let read = u128::from(size) * u128::from(read.min(all)) / u128::from(all.max(1));
        u64::try_from(read).unwrap_or(size)
    }

    /// Begins a file like this one, with the tags.
    ///
    /// # Errors
    /// When it has a column of the tags' name.
    pub fn writer(&self, output: Output, style: &Style, tags: &Schema) -> Result<Writer> {
        Ok(match self {
            Self::Parquet(reader) => Writer::Parquet(Box::new(reader.writer(output, style, tags)?)),
            Self::Ipc(reader) => Writer::Ipc(reader.writer(output, style, tags)?),
            Self::Lines(reader) => Writer::Lines(Box::new(reader.writer(output, style, tags)?)),
            Self::Csv(reader) => Writer::Csv(Box::new(reader.writer(output, style, tags)?)),
        })
    }
}

impl Writer {
    /// Writes rows, each with the enriched record that was made of it; nothing where it had no text.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn write(&mut self, rows: &Rows, enriched: &[Option<Vec<u8>>], tags: &Schema) -> Result<()> {
        match (self, rows) {
            (Self::Parquet(writer), Rows::Table(batch)) => writer.write(batch, enriched, tags),
            (Self::Ipc(writer), Rows::Table(batch)) => writer.write(batch, enriched, tags),
            (Self::Lines(writer), Rows::Lines(lines)) => writer.write(lines, enriched, tags),
            (Self::Csv(writer), Rows::Records(_, rows)) => writer.write(rows, enriched, tags),
            _ => bail!("rows of another format"),
        }
    }

    /// Ends the file: from then on it is there. Gives its size.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(self) -> Result<u64> {
        let mut output = match self {
            Self::Parquet(writer) => writer.finish()?,
            Self::Ipc(writer) => writer.finish()?,
            Self::Lines(writer) => writer.finish()?,
            Self::Csv(writer) => writer.finish()?,
        };
        output.flush()?;
        let size = output.size();
        output.finish()?;
        Ok(size)
    }
}

fn those<T>(all: Vec<T>, keep: &[bool]) -> Vec<T> {
    all.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(one, _)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_is_in_it() {
        for (name, format) in [
            ("a.parquet", Format::Parquet),
            ("a.snappy.PARQUET", Format::Parquet),
            ("a.feather", Format::Ipc),
            ("a.jsonl.gz", Format::Lines(Packing::Gzip)),
            ("part-0.json", Format::Lines(Packing::Plain)),
            ("a.csv.zst", Format::Csv(Packing::Zstd)),
        ] {
            assert_eq!(Format::of(name).unwrap(), format, "{name}");
        }
        for name in ["a", "a.orc", "parquet", "a.parquet.gz", "a.gz"] {
            assert!(Format::of(name).is_err(), "{name}");
        }
    }
}
