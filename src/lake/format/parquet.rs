//! Parquet. Of a file on this machine pages are read one after the other, of a remote one a row group at a time.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::errors::{ParquetError, Result as Fetched};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use tokio::runtime::Handle;

use super::{BYTES, ROWS, Style};
use crate::lake::format;
use crate::lake::output::Output;
use crate::lake::place::Found;
use crate::lake::tags::Schema;

/// What the writer keeps of Arrow's schema; it writes its own.
const ARROW: &str = "ARROW:schema";

pub struct Reader {
    rows: Source,
    schema: SchemaRef,
    metadata: Arc<ParquetMetaData>,
    /// How many rows were read.
    read: usize,
}

enum Source {
    Local(ParquetRecordBatchReader),
    Remote(Box<ParquetRecordBatchStream<Object>>, Handle),
}

impl Reader {
    pub fn open(found: &Found, runtime: &Handle) -> Result<Self> {
        if let Some(path) = found.place.on_disk() {
            let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
            let (schema, metadata) = (Arc::clone(builder.schema()), Arc::clone(builder.metadata()));
            let rows = builder.with_batch_size(at_a_time(&metadata)).build()?;
            return Ok(Self { rows: Source::Local(rows), schema, metadata, read: 0 });
        }
        let (store, path) = (Arc::clone(&found.place.store), found.place.path.clone());
        let object = Object { store, path, size: found.meta.size };
        let builder = runtime.block_on(ParquetRecordBatchStreamBuilder::new(object))?;
        let (schema, metadata) = (Arc::clone(builder.schema()), Arc::clone(builder.metadata()));
        let rows = builder.with_batch_size(at_a_time(&metadata)).build()?;
        Ok(Self { rows: Source::Remote(Box::new(rows), runtime.clone()), schema, metadata, read: 0 })
    }

    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = match &mut self.rows {
            Source::Local(rows) => rows.next().transpose()?,
            Source::Remote(rows, runtime) => runtime.block_on(rows.try_next())?,
        };
        self.read += batch.as_ref().map_or(0, RecordBatch::num_rows);
        Ok(batch)
    }

    /// How many rows of how many were read.
    pub fn share(&self) -> (u64, u64) {
        (self.read as u64, self.metadata.file_metadata().num_rows().unsigned_abs())
    }

    /// With the compression of each column, the size of row groups and the notes of this file.
    pub fn writer(&self, output: Output, style: &Style, tags: &Schema) -> Result<Writer> {
        let mut properties =
            WriterProperties::builder().set_created_by(concat!("tagbert ", env!("CARGO_PKG_VERSION")).into());
        let groups = self.metadata.row_groups();
        let usual =
            groups.first().and_then(|group| group.columns().first()).map(|column| lasting(column.compression()));
        let all = style.compression.map(compression).transpose()?;
        properties = properties.set_compression(all.or(usual).unwrap_or(Compression::SNAPPY));
        for column in groups.first().map(RowGroupMetaData::columns).unwrap_or_default() {
            let compression = all.unwrap_or_else(|| lasting(column.compression()));
            properties = properties.set_column_compression(column.column_path().clone(), compression);
        }
        let longest = groups.iter().filter_map(|group| usize::try_from(group.num_rows()).ok()).max();
        if let Some(rows) = style.row_group_rows.or(longest).filter(|rows| *rows > 0) {
            properties = properties.set_max_row_group_row_count(Some(rows));
        }
        let notes = self.metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
        let notes = notes.into_iter().filter(|note| note.key != ARROW).collect();
        let properties = properties.set_key_value_metadata(Some(notes)).build();
        let schema = tags.beside(&self.schema)?;
        Ok(Writer { to: ArrowWriter::try_new(output, Arc::clone(&schema), Some(properties))?, schema })
    }
}

/// A file that is not on this machine.
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Fetched<Bytes>> {
        self.store.get_range(&self.path, range).map_err(failed).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Fetched<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(failed) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Fetched<Arc<ParquetMetaData>>> {
        let size = self.size;
        async move { Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, size).await?)) }.boxed()
    }
}

fn failed(error: object_store::Error) -> ParquetError {
    ParquetError::External(error.into())
}

pub struct Writer {
    to: ArrowWriter<Output>,
    schema: SchemaRef,
}

impl Writer {
    pub fn write(&mut self, batch: &RecordBatch, enriched: &[Option<Vec<u8>>], tags: &Schema) -> Result<()> {
        Ok(self.to.write(&tags.add(batch, enriched, &self.schema)?)?)
    }

    pub fn finish(self) -> Result<Output> {
        Ok(self.to.into_inner()?)
    }
}

/// So many rows that they take about as many bytes as is wanted.
fn at_a_time(metadata: &ParquetMetaData) -> usize {
    let sum =
        |each: fn(&RowGroupMetaData) -> i64| metadata.row_groups().iter().map(each).map(i64::unsigned_abs).sum::<u64>();
    let (rows, bytes) = (sum(RowGroupMetaData::num_rows), sum(RowGroupMetaData::total_byte_size));
    let each = bytes.checked_div(rows).unwrap_or(1).max(1);
    (BYTES as u64 / each).clamp(1, ROWS as u64) as usize
}

/// As it was, but for what nobody writes any more.
fn lasting(compression: Compression) -> Compression {
    match compression {
        Compression::LZO => Compression::SNAPPY,
        Compression::LZ4 => Compression::LZ4_RAW,
        kept => kept,
    }
}

fn compression(wanted: format::Compression) -> Result<Compression> {
    Ok(match wanted {
        format::Compression::None => Compression::UNCOMPRESSED,
        format::Compression::Snappy => Compression::SNAPPY,
        format::Compression::Gzip => Compression::GZIP(GzipLevel::default()),
        format::Compression::Zstd => Compression::ZSTD(ZstdLevel::try_new(3).context("zstd")?),
        format::Compression::Lz4 => Compression::LZ4_RAW,
    })
}
