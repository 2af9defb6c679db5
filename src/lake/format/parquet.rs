//! Parquet. Of a file on this machine pages are read one after the other, of a remote one a row group at a time.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema as Columns, SchemaRef, TimeUnit};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, OBJECT_STORE_COALESCE_DEFAULT, ObjectStore, coalesce_ranges};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, ParquetRecordBatchStreamBuilder};
use parquet::basic::{Compression, ConvertedType, GzipLevel, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::errors::{ParquetError, Result as Fetched};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use tokio::runtime::Handle;

use super::{BYTES, ROWS, Style, stream};
use crate::lake::format;
use crate::lake::output::Output;
use crate::lake::place::Found;
use crate::lake::tags::Schema;

/// Notes in which writers keep the schema in a form of their own: readers that find one see the columns that it names, and not
/// the tags beside them. The Parquet schema says all that is needed; that of Arrow is written anew.
const SCHEMAS: [&str; 5] = [
    "ARROW:schema",
    "org.apache.spark.sql.parquet.row.metadata",
    "parquet.avro.schema",
    "avro.schema",
    "iceberg.schema",
];

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
            let file = File::open(path)?;
            let metadata = readable(ArrowReaderMetadata::load(&file, ArrowReaderOptions::default())?)?;
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
            let (schema, metadata) = (Arc::clone(builder.schema()), Arc::clone(builder.metadata()));
            let rows = builder.with_batch_size(at_a_time(&metadata)).build()?;
            return Ok(Self { rows: Source::Local(rows), schema, metadata, read: 0 });
        }
        let (store, path) = (Arc::clone(&found.place.store), found.place.path.clone());
        let mut object = Object { store, path, size: found.meta.size, e_tag: found.meta.e_tag.clone() };
        let metadata = runtime.block_on(ArrowReaderMetadata::load_async(&mut object, ArrowReaderOptions::default()))?;
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(object, readable(metadata)?);
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
        let notes = notes.into_iter().filter(|note| !SCHEMAS.contains(&note.key.as_str())).collect();
        let properties = properties.set_key_value_metadata(Some(notes)).build();
        let schema = tags.beside(&self.schema)?;
        let columns = annotated(&schema, self.metadata.file_metadata().schema_descr())?;
        let options = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(columns);
        Ok(Writer { to: ArrowWriter::try_new_with_options(output, Arc::clone(&schema), options)?, schema })
    }
}

/// A file that is not on this machine.
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// The version that is read: parts of two would be of none.
    e_tag: Option<String>,
}

impl Object {
    async fn get(&self, range: Range<u64>) -> object_store::Result<Bytes> {
        let options = GetOptions {
            range: Some(range.into()),
            if_match: stream::strong(self.e_tag.clone()),
            ..GetOptions::default()
        };
        self.store.get_opts(&self.path, options).await?.bytes().await
    }
}

impl AsyncFileReader for Object {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Fetched<Bytes>> {
        async move { self.get(range).await.map_err(failed) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Fetched<Vec<Bytes>>> {
        let get = async move {
            coalesce_ranges(&ranges, |range| self.get(range), OBJECT_STORE_COALESCE_DEFAULT).await.map_err(failed)
        };
        get.boxed()
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

/// Timestamps of 96 bits (Spark's and Impala's of old) as microseconds: as nanoseconds, those before 1677 or after 2262 would
/// become others.
fn readable(metadata: ArrowReaderMetadata) -> Result<ArrowReaderMetadata> {
    let columns = metadata.parquet_schema().columns();
    let notes = metadata.metadata().file_metadata().key_value_metadata();
    let is_arrows = notes.is_some_and(|notes| notes.iter().any(|note| note.key == SCHEMAS[0]));
    let interval = columns.iter().find(|column| column.converted_type() == ConvertedType::INTERVAL);
    if let Some(column) = interval.filter(|_| !is_arrows) {
        bail!("column `{}` is an interval, whose months would be lost", column.path());
    }
    let old: Vec<_> = columns.iter().map(|column| column.physical_type() == PhysicalType::INT96).collect();
    if !old.contains(&true) {
        return Ok(metadata);
    }
    let mut old = old.into_iter();
    let fields: Vec<_> = metadata.schema().fields().iter().map(|field| wider(field, &mut old)).collect();
    let schema = Arc::new(Columns::new_with_metadata(fields, metadata.schema().metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    Ok(ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?)
}

/// A field with its timestamps of 96 bits in microseconds. Old: for each leaf in Parquet's order, which is Arrow's, whether it is one.
fn wider(field: &Arc<Field>, old: &mut impl Iterator<Item = bool>) -> Arc<Field> {
    let kind = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| wider(field, old)).collect()),
        DataType::List(item) => DataType::List(wider(item, old)),
        DataType::LargeList(item) => DataType::LargeList(wider(item, old)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(wider(item, old), *size),
        DataType::ListView(item) => DataType::ListView(wider(item, old)),
        DataType::LargeListView(item) => DataType::LargeListView(wider(item, old)),
        DataType::Map(entries, is_sorted) => DataType::Map(wider(entries, old), *is_sorted),
        leaf => match (old.next(), leaf) {
            (Some(true), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
                DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
            }
            _ => leaf.clone(),
        },
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// The columns as Parquet has them, each of those that were there as it was called: Arrow knows no ENUM, BSON or geometry.
fn annotated(schema: &Columns, then: &SchemaDescriptor) -> Result<SchemaDescriptor> {
    let now = ArrowSchemaConverter::new().convert(schema)?;
    Ok(SchemaDescriptor::new(as_it_was(now.root_schema_ptr(), Some(then.root_schema()))))
}

fn as_it_was(now: TypePtr, then: Option<&Type>) -> TypePtr {
    match (&*now, then) {
        (Type::GroupType { basic_info, fields }, Some(Type::GroupType { fields: known, .. })) => {
            let known = |name: &str| known.iter().find(|field| field.name() == name).map(Arc::as_ref);
            let fields = fields.iter().map(|field| as_it_was(Arc::clone(field), known(field.name()))).collect();
            Arc::new(Type::GroupType { basic_info: basic_info.clone(), fields })
        }
        (Type::PrimitiveType { .. }, Some(then)) if kept(&now) == kept(then) => Arc::new(then.clone()),
        _ => now,
    }
}

/// What of a column must be the same, for its name to be.
fn kept(column: &Type) -> Option<(PhysicalType, Repetition)> {
    column.is_primitive().then(|| (column.get_physical_type(), column.get_basic_info().repetition()))
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

#[cfg(test)]
mod tests {
    use parquet::arrow::parquet_to_arrow_schema;
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::printer::print_schema;

    use super::*;

    #[test]
    fn old_timestamps_are_microseconds_however_deep() {
        let then = "message m {
            OPTIONAL INT96 plain;
            OPTIONAL group of { OPTIONAL BYTE_ARRAY text (STRING); OPTIONAL INT96 at; OPTIONAL INT64 now (TIMESTAMP(NANOS,true)); }
            OPTIONAL group many (LIST) { REPEATED group list { OPTIONAL group element { OPTIONAL INT96 at; } } }
            OPTIONAL group known (MAP) { REPEATED group key_value { REQUIRED BYTE_ARRAY key (STRING); OPTIONAL INT96 value; } }
        }";
        let then = SchemaDescriptor::new(Arc::new(parse_message_type(then).unwrap()));
        let schema = parquet_to_arrow_schema(&then, None).unwrap();
        let mut old = then.columns().iter().map(|column| column.physical_type() == PhysicalType::INT96);
        let fields: Vec<_> = schema.fields().iter().map(|field| wider(field, &mut old)).collect();
        assert_eq!(old.next(), None, "each leaf had its turn");
        let written = format!("{fields:?}");
        assert_eq!(written.matches("Microsecond").count(), 4, "{written}");
        assert_eq!(written.matches("Nanosecond").count(), 1, "the column that says so itself: {written}");
    }

    #[test]
    fn columns_keep_what_parquet_calls_them() {
        let then = "message m {
            REQUIRED BYTE_ARRAY kind (ENUM);
            OPTIONAL BYTE_ARRAY extra (BSON);
            REQUIRED INT64 at (TIME(MICROS,true));
            OPTIONAL INT64 seen (TIMESTAMP(MILLIS,false));
            OPTIONAL INT96 old;
            OPTIONAL BYTE_ARRAY text (STRING);
            OPTIONAL FIXED_LEN_BYTE_ARRAY (16) id (UUID);
            OPTIONAL group many (LIST) { REPEATED group list { OPTIONAL BYTE_ARRAY element (ENUM); } }
        }";
        let then = SchemaDescriptor::new(Arc::new(parse_message_type(then).unwrap()));
        let schema = parquet_to_arrow_schema(&then, None).unwrap();
        let mut printed = Vec::new();
        print_schema(&mut printed, annotated(&schema, &then).unwrap().root_schema());
        let printed = String::from_utf8(printed).unwrap();
        for kept in [
            "REQUIRED BYTE_ARRAY kind (ENUM);",
            "OPTIONAL BYTE_ARRAY extra (BSON);",
            "REQUIRED INT64 at (TIME(MICROS,true));",
            "OPTIONAL INT64 seen (TIMESTAMP(MILLIS,false));",
            "OPTIONAL INT64 old",
            "OPTIONAL BYTE_ARRAY text (STRING);",
            "OPTIONAL FIXED_LEN_BYTE_ARRAY (16) id (UUID);",
            "OPTIONAL BYTE_ARRAY element (ENUM);",
        ] {
            assert!(printed.contains(kept), "{kept} in {printed}");
        }
    }
}
