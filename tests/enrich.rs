//! `tagbert enrich`: files in, files with tags out, whole or not at all, each once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BinaryArray, DictionaryArray, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, TimestampMicrosecondType};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArrayType, Int96, Int96Type};
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use serde_json::{Value, json};

#[path = "support/bucket.rs"]
mod bucket;
mod support;

use bucket::Bucket;

use support::root;
use support::tagbert::{command, tagbert, tagbert_with};

const TINY: &str = "tests/fixtures/tiny-distilbert";

fn text(row: usize) -> String {
    match row % 10 {
        3 => format!("Zoë met Ann in Århus, {row} \u{1f44d}\u{1f3fd} \"quoted\"\n{}", "and again ".repeat(row % 60)),
        7 => format!("WIN {row} prizes now!!! call 0800"),
        _ => format!("document {row} of a table about Berlin and sport"),
    }
}

/// A table with columns of many kinds; the text is in `message.body`, and every 11th is null.
fn table(rows: std::ops::Range<usize>) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.clone().map(|row| row as i64));
    let texts: StringArray = rows.clone().map(|row| (row % 11 != 5).then(|| text(row))).collect();
    let body = Arc::new(Field::new("body", DataType::Utf8, true));
    let message = StructArray::new(vec![body].into(), vec![Arc::new(texts)], None);
    let kinds: DictionaryArray<Int32Type> = rows.clone().map(|row| Some(["a", "b", "c"][row % 3])).collect();
    let times = TimestampMicrosecondArray::from_iter_values(rows.clone().map(|row| row as i64 * 1_000_003))
        .with_timezone("UTC");
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        rows.clone().map(|row| (row % 4 != 0).then(|| (0..row % 4).map(|n| Some(n as i32)))),
    );
    let bytes = BinaryArray::from_iter_values(rows.map(|row| vec![row as u8, 0xff]));
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(ids)),
        ("message", Arc::new(message)),
        ("kind", Arc::new(kinds)),
        ("time", Arc::new(times)),
        ("numbers", Arc::new(lists)),
        ("bytes", Arc::new(bytes)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn write_parquet(path: &Path, batch: &RecordBatch, properties: WriterProperties) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn read_parquet(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// Small files with a column `text`, in partitions as Hive has them.
fn lake(folder: &Path, files: usize, rows: usize) {
    for file in 0..files {
        let texts: StringArray = (0..rows).map(|row| Some(text(file * rows + row))).collect();
        let batch = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).unwrap();
        let path = folder.join(format!("day={}/part-{file}.parquet", file % 3));
        write_parquet(&path, &batch, WriterProperties::default());
    }
}

/// All files below a directory, without the notes, by their path.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "_tagbert" {
                    left.push(path);
                }
            } else {
                found.insert(path.strip_prefix(folder).unwrap().display().to_string(), path);
            }
        }
    }
    found
}

/// Each text is a batch of its own: the last bit of a score may depend on what stands beside it (G-58).
const ALONE: [&str; 2] = ["--set", "batch.tokens=1"];

fn enrich(args: &[&str]) -> Output {
    tagbert(&[&["enrich", "--model", TINY], &ALONE[..], args].concat(), b"")
}

/// With files in a bucket.
fn enrich_in(bucket: &Bucket, args: &[&str]) -> Output {
    let environment = bucket.environment();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    tagbert_with(&[&["enrich", "--model", TINY], &ALONE[..], args].concat(), b"", &environment)
}

fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn failed(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the stream says of these texts: the tags as they are written to the output topic.
fn tags_of_the_stream(texts: &[String]) -> Vec<Value> {
    let lines: String = texts.iter().map(|text| format!("{}\n", json!({ "text": text }))).collect();
    let output = tagbert(&[&["tag", "--model", TINY], &ALONE[..]].concat(), lines.as_bytes());
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tags"].take()).collect()
}

/// A row of the column with the tags, as JSON; numbers as they are.
fn tags_of(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Struct(fields) => {
            let inner = column.as_struct();
            let member = |(field, column): (&Arc<Field>, &ArrayRef)| (field.name().clone(), tags_of(column, row));
            Value::Object(fields.iter().zip(inner.columns()).map(member).collect())
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).map(|row| tags_of(&list, row)).collect()
        }
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        // As it is written in JSON: as short as a number of 32 bits can be.
        DataType::Float32 => {
            serde_json::from_str(&serde_json::to_string(&column.as_primitive::<Float32Type>().value(row)).unwrap())
                .unwrap()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn rows_stay_as_they_are_and_get_the_very_tags_of_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    let batch = table(0..700);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_column_compression(ColumnPath::from("id"), Compression::UNCOMPRESSED)
        .set_max_row_group_row_count(Some(300))
        .set_key_value_metadata(Some(vec![
            KeyValue::new("owner".into(), "somebody".to_owned()),
            // Spark would see the columns that are named here, and no other.
            KeyValue::new("org.apache.spark.sql.parquet.row.metadata".into(), "{}".to_owned()),
        ]));
    write_parquet(&input, &batch, properties.build());
    let said = succeeded(enrich(&["--input", shown(&input), "--output", shown(&output), "--text", "/message/body"]));
    assert!(said.contains("700 rows, 636 tagged, 64 without text, 0 rejected"), "{said}");

    let enriched = read_parquet(&output);
    assert_eq!(enriched.num_columns(), batch.num_columns() + 1);
    for column in 0..batch.num_columns() {
        assert_eq!(enriched.column(column), batch.column(column), "{}", batch.schema().field(column).name());
        assert_eq!(enriched.schema().field(column), batch.schema().field(column));
    }
    let with_text: Vec<_> = (0..700).filter(|row| row % 11 != 5).collect();
    let expected = tags_of_the_stream(&with_text.iter().map(|row| text(*row)).collect::<Vec<_>>());
    let tags = enriched.column_by_name("tags").unwrap();
    assert_eq!(tags.null_count(), 700 - with_text.len());
    // Entities name their field, which is another one in the stream.
    let moved = |tags: &Value| tags.to_string().replace(r#""field":"/text""#, r#""field":"/message/body""#);
    for (row, expected) in with_text.into_iter().zip(&expected) {
        assert_eq!(tags_of(tags, row).to_string(), moved(expected), "row {row}");
    }

    let metadata = |path: &Path| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let metadata = Arc::clone(reader.metadata());
        let groups = metadata.row_groups();
        let rows: Vec<_> = groups.iter().map(RowGroupMetaData::num_rows).collect();
        let codecs: Vec<_> = groups[0].columns().iter().map(ColumnChunkMetaData::compression).collect();
        let notes = metadata.file_metadata().key_value_metadata().unwrap();
        let mut names: Vec<_> = notes.iter().map(|note| note.key.clone()).collect();
        names.retain(|name| name != "ARROW:schema");
        (rows, codecs, names)
    };
    let ((rows, codecs, _), (new_rows, new_codecs, notes)) = (metadata(&input), metadata(&output));
    assert_eq!((new_rows, notes), (rows, vec!["owner".to_owned()]));
    assert_eq!(new_codecs[..codecs.len()], codecs[..]);
    assert!(
        new_codecs[codecs.len()..]
            .iter()
            .all(|codec| *codec == Compression::UNCOMPRESSED || matches!(codec, Compression::ZSTD(_)))
    );
}

#[test]
fn flat_tags_are_columns_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    lake(&folder.path().join("in"), 1, 50);
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    succeeded(enrich(&["--input", shown(&input), "--output", shown(&output), "--flat", "--compression", "zstd"]));
    let enriched = read_parquet(&output.join("day=0/part-0.parquet"));
    let expected = tags_of_the_stream(&(0..50).map(text).collect::<Vec<_>>());
    let schema = enriched.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert!(
        names.contains(&"tags_spam") && names.contains(&"tags_spam_score") && names.contains(&"tags_entities"),
        "{names:?}"
    );
    for (row, expected) in expected.iter().enumerate() {
        let value = |name: &str| tags_of(enriched.column_by_name(name).unwrap(), row);
        assert_eq!(value("tags_spam"), expected["spam"]["label"]);
        assert_eq!(value("tags_spam_score"), expected["spam"]["score"]);
        assert_eq!(value("tags_entities"), expected["entities"]);
    }
}

#[test]
fn every_format_comes_out_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("in").join(name);
    fs::create_dir_all(folder.path().join("in")).unwrap();
    let texts: Vec<_> = (0..40).map(text).collect();
    // Arrow.
    let batch = RecordBatch::try_from_iter([("text", Arc::new(StringArray::from(texts.clone())) as ArrayRef)]).unwrap();
    let mut writer = FileWriter::try_new(File::create(path("a.arrow")).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    // JSON lines, packed in two pieces; blank lines, a mark and odd numbers.
    let lines: Vec<_> = texts.iter().map(|text| format!("{{\"n\": 1.10, \"text\":{} }}", json!(text))).collect();
    let mut packed = Vec::new();
    for half in lines.chunks(20) {
        let mut encoder = GzEncoder::new(&mut packed, flate2::Compression::default());
        write!(encoder, "\u{feff}{}\n\n", half.join("\r\n")).unwrap();
        encoder.finish().unwrap();
    }
    fs::write(path("b.jsonl.gz"), packed).unwrap();
    // CSV.
    let quoted = |text: &String| format!("007,\"{}\"\n", text.replace('"', "\"\""));
    fs::write(path("c.csv"), format!("\u{feff}id,text\n{}", texts.iter().map(quoted).collect::<String>())).unwrap();
    let output = folder.path().join("out");
    let said = succeeded(enrich(&["--input", shown(&folder.path().join("in")), "--output", shown(&output)]));
    assert!(said.starts_with("3 files done") && said.contains("120 rows, 120 tagged"), "{said}");

    let expected = tags_of_the_stream(&texts);
    let mut reader = FileReader::try_new(File::open(output.join("a.arrow")).unwrap(), None).unwrap();
    let arrow = reader.next().unwrap().unwrap();
    assert_eq!(arrow.column(0), batch.column(0));
    let mut unpacked = String::new();
    MultiGzDecoder::new(File::open(output.join("b.jsonl.gz")).unwrap()).read_to_string(&mut unpacked).unwrap();
    let mut csv = csv::Reader::from_path(output.join("c.csv")).unwrap();
    let header: Vec<_> = csv.headers().unwrap().iter().map(ToOwned::to_owned).collect();
    assert_eq!(header[..3], ["id", "text", "tags_topic"]);
    let records: Vec<_> = csv.records().map(Result::unwrap).collect();
    let place = |name: &str| header.iter().position(|known| known == name).unwrap();
    for (row, expected) in expected.iter().enumerate() {
        assert_eq!(tags_of(arrow.column(1), row), *expected);
        let line = unpacked.lines().nth(row).unwrap();
        assert!(line.starts_with(lines[row].strip_suffix(" }").unwrap()), "{line}");
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["tags"], *expected);
        assert_eq!((&records[row][0], &records[row][1]), ("007", texts[row].as_str()));
        assert_eq!(records[row][place("tags_spam_score")], expected["spam"]["score"].to_string());
        assert_eq!(serde_json::from_str::<Value>(&records[row][place("tags_entities")]).unwrap(), expected["entities"]);
    }
}

#[test]
fn a_row_that_cannot_be_tagged_goes_to_a_file_of_its_own_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    let lines = [
        json!({ "text": "fine" }).to_string(),
        "{not json".into(),
        json!({ "text": "x".repeat(20_000) }).to_string(),
        json!({}).to_string(),
        json!({ "text": 7 }).to_string(),
    ];
    fs::write(&input, lines.join("\n")).unwrap();
    let output = folder.path().join("out.jsonl");
    let args = ["--input", shown(&input), "--output", shown(&output), "--set", "limits.document=16KiB"];
    let said = failed(enrich(&args), 3);
    let rejected = folder.path().join("_out.jsonl.rejected.jsonl");
    let expected = format!("3 rows were rejected, and --max-dead is 0: see {}\n", rejected.display());
    assert!(said.contains(&expected), "{said}");
    let out = fs::read_to_string(&output).unwrap();
    assert_eq!(out.lines().count(), 2);
    assert!(out.lines().nth(1).unwrap() == r#"{"tags":null}"#, "{out}");
    let rejected = fs::read_to_string(rejected).unwrap();
    let rejected: Vec<Value> = rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let about: Vec<_> =
        rejected.iter().map(|row| (row["row"].as_u64().unwrap(), row["class"].as_str().unwrap())).collect();
    assert_eq!(about, [(1, "NotJson"), (2, "DocumentTooLarge"), (4, "TextNotAString")]);
    assert_eq!(rejected[0]["content"], "{not json");
    succeeded(enrich(&[&args[..], &["--max-dead", "3"]].concat()));
}

/// The timestamps of old Sparks, which no writer of Arrow makes any more.
#[test]
fn timestamps_of_96_bits_are_the_same_moments_however_long_ago() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.parquet"), folder.path().join("out.parquet"));
    let schema =
        "message m { required int96 time; required group of { required int96 time; } required binary text (UTF8); }";
    let schema = parse_message_type(schema).unwrap();
    let mut writer =
        SerializedFileWriter::new(File::create(&input).unwrap(), Arc::new(schema), <_>::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    // The Julian days of 1600-01-01 and 1970-01-02, a second past midnight.
    let days = [2_305_448, 2_440_589].map(|day| {
        let mut value = Int96::new();
        value.set_data(1_000_000_000, 0, day);
        value
    });
    for _ in 0..2 {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int96Type>().write_batch(&days, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&["one".into(), "two".into()], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    succeeded(enrich(&["--input", shown(&input), "--output", shown(&output)]));
    let enriched = read_parquet(&output);
    for times in [enriched.column(0), enriched.column(1).as_struct().column(0)] {
        let times = times.as_primitive::<TimestampMicrosecondType>();
        assert_eq!(times.values()[..], [-11_676_096_000 * 1_000_000 + 1_000_000, 86_401 * 1_000_000]);
    }
}

#[test]
fn a_row_of_csv_with_other_fields_than_the_header_is_refused_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.csv"), folder.path().join("out/"));
    fs::write(&input, "id,text\n1,one\n2\n3,three,more\n4,four\n").unwrap();
    let args = ["--input", shown(&input), "--output", &format!("{}/", shown(&output)), "--max-dead", "2"];
    succeeded(enrich(&args));
    let rejected = output.join("_tagbert/rejected/in.csv.jsonl");
    assert_eq!(fs::read_to_string(&rejected).unwrap().lines().count(), 2);
    assert_eq!(fs::read_to_string(output.join("in.csv")).unwrap().lines().count(), 3);
    fs::write(&input, "id,text\n1,one\n").unwrap();
    succeeded(enrich(&args));
    assert!(!rejected.exists(), "they are of a file that is no more");
}

#[test]
fn a_row_of_csv_stays_byte_for_byte_so_that_nothing_and_an_empty_text_stay_two() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
    let run = |escape: &[&str]| {
        let there = ["--input", shown(&input), "--output", shown(&output), "--flat"];
        succeeded(enrich(&[&there[..], escape].concat()));
        fs::read_to_string(&output).unwrap()
    };
    let rows = ["id,\"text\",note", "1,one,", "2,\"two\",\"\"", "\"3\",\"a \"\"b\"\",\nc\", d ", "4,four,last"];
    // Ends of lines of both kinds, blank lines, and none at the end.
    fs::write(&input, format!("{}\r\n{}\n\n\n{}\r\n\r\n{}\n{}", rows[0], rows[1], rows[2], rows[3], rows[4])).unwrap();
    let written = run(&[]);
    for row in &rows[1..] {
        assert!(written.contains(&format!("\n{row},")), "{row}: {written}");
    }
    assert!(written.starts_with("id,\"text\",note,tags_") && !written.contains('\r'), "{written}");
    assert_eq!(csv::Reader::from_reader(written.as_bytes()).records().map(Result::unwrap).count(), 4);

    // In Spark's dialect, the tags are, too.
    let row = r#"1,"said \"Zoë Smith, of Berlin\" \\ here","""#;
    fs::write(&input, format!("id,text,note\n{row}\n")).unwrap();
    fs::remove_file(&output).unwrap();
    let written = run(&["--csv-escape", "\\"]);
    assert!(written.contains(&format!("\n{row},")), "{written}");
    let mut reader = csv::ReaderBuilder::new().escape(Some(b'\\')).double_quote(false).from_reader(written.as_bytes());
    let entities = reader.headers().unwrap().iter().position(|name| name == "tags_entities").unwrap();
    let record = reader.records().next().unwrap().unwrap();
    assert_eq!(&record[1], r#"said "Zoë Smith, of Berlin" \ here"#);
    serde_json::from_str::<Value>(&record[entities]).unwrap().as_array().unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_and_what_is_no_table_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in/day=1"), folder.path().join("out"));
    fs::create_dir_all(&input).unwrap();
    fs::write(input.join("a.jsonl"), "{\"body\":\"one\"}\n{\"body\":\"two\"}\n").unwrap();
    fs::write(input.join("README.md"), "about these files").unwrap();
    let run =
        |output: &Path, args: &[&str]| enrich(&[&["--input", shown(&input), "--output", shown(output)], args].concat());
    let error = failed(run(&output, &[]), 1);
    assert!(error.contains("none of its 2 rows has the text that `--text` names"), "{error}");
    let error = failed(run(&input.join("tagged"), &["--text", "body"]), 1);
    assert!(error.contains("would be read the next time"), "{error}");
    let alias = folder.path().join("alias");
    std::os::unix::fs::symlink(&input, &alias).unwrap();
    let error = failed(run(&alias, &["--text", "body"]), 1);
    assert!(error.contains("would be read the next time") || error.contains("would replace what is read"), "{error}");
    let done = run(&folder.path().join("more"), &["--text", "body"]);
    assert!(String::from_utf8_lossy(&done.stderr).contains("1 files are of no known format"), "{done:?}");
    succeeded(done);
    assert_eq!(files(&folder.path().join("more")).into_keys().collect::<Vec<_>>(), ["day=1/a.jsonl"]);
}

#[test]
fn what_can_be_known_before_is_said_before_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.parquet");
    write_parquet(&input, &table(0..10), WriterProperties::default());
    let output = folder.path().join("out");
    let run = |args: &[&str]| enrich(&[&["--input", shown(&input), "--output", shown(&output)], args].concat());
    let error = failed(run(&["--text", "body"]), 1);
    assert!(error.contains("there is no column `body`, but id, message, kind, time, numbers, bytes"), "{error}");
    let error = failed(run(&["--text", "id"]), 1);
    assert!(error.contains("column `id` is Int64"), "{error}");
    let error = failed(run(&["--text", "/message/body", "--tags", "kind"]), 1);
    assert!(error.contains("there is a column `kind` already"), "{error}");
    assert!(files(&output).is_empty(), "nothing half is there");
    let error = failed(enrich(&["--input", shown(&folder.path().join("none*")), "--output", shown(&output)]), 1);
    assert!(error.contains("names no file"), "{error}");
    let error = failed(enrich(&["--input", shown(&input), "--output", shown(folder.path()), "--text", "kind"]), 1);
    assert!(error.contains("would replace what is read"), "{error}");
    for (set, expected) in
        [("output.scores=all", "`output.scores` is not for"), ("input.lenient=true", "`input.lenient` is not")]
    {
        let error = failed(run(&["--text", "kind", "--set", set]), 2);
        assert!(error.contains(expected), "{error}");
    }
    fs::write(folder.path().join("broken.parquet"), "PAR1 no PAR1").unwrap();
    let both = folder.path().join("{broken,in}.parquet");
    let output = folder.path().join("both");
    let error = failed(enrich(&["--input", shown(&both), "--output", shown(&output), "--text", "kind"]), 1);
    assert!(error.contains("broken.parquet: ") && error.contains("1 files failed"), "{error}");
    assert_eq!(files(&output).into_keys().collect::<Vec<_>>(), ["in.parquet"], "others go on");
}

#[test]
fn another_model_or_another_column_is_another_job() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    lake(&input, 2, 5);
    let run = |args: &[&str]| enrich(&[&["--input", shown(&input), "--output", shown(&output)], args].concat());
    succeeded(run(&[]));
    assert!(succeeded(run(&[])).starts_with("2 files done (2 of them before"));
    let error = failed(run(&["--tags", "labels"]), 1);
    assert!(error.contains("other settings") && error.contains("another --output"), "{error}");
    let other = folder.path().join("model");
    fs::create_dir(&other).unwrap();
    for entry in fs::read_dir(root().join(TINY)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), other.join(entry.file_name())).unwrap();
    }
    let heads = other.join("heads.json");
    fs::write(&heads, fs::read_to_string(&heads).unwrap() + "\n").unwrap();
    let args = ["enrich", "--model", shown(&other), "--input", shown(&input), "--output", shown(&output)];
    let error = failed(tagbert(&args, b""), 1);
    assert!(error.contains("has results of"), "{error}");
    // One that somebody has removed is done again.
    fs::remove_file(output.join("day=1/part-1.parquet")).unwrap();
    assert!(succeeded(run(&[])).starts_with("2 files done (1 of them before"));
    let elsewhere = folder.path().join("elsewhere");
    lake(&elsewhere, 1, 9);
    let error = failed(enrich(&["--input", shown(&elsewhere), "--output", shown(&output)]), 1);
    assert!(error.contains("day=0/part-0.parquet is of /") && error.contains("another --output"), "{error}");
    // A file that has changed is done again.
    lake(&input, 1, 7);
    assert!(succeeded(run(&[])).starts_with("2 files done (1 of them before"));
    assert_eq!(read_parquet(&output.join("day=0/part-0.parquet")).num_rows(), 7);
}

fn spawn(args: &[&str]) -> Child {
    command(&[&["enrich", "--model", TINY], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_job_that_was_killed_goes_on_and_each_file_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    lake(&input, 30, 120);
    let args = ["--input", shown(&input), "--output", shown(&output)];
    for _ in 0..3 {
        let mut child = spawn(&args);
        let before = if output.exists() { files(&output).len() } else { 0 };
        let deadline = Instant::now() + Duration::from_mins(2);
        while !output.exists() || files(&output).len() < before + 3 {
            assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for path in files(&output).values() {
            assert_eq!(read_parquet(path).num_rows(), 120);
        }
    }
    let there = files(&output);
    let written = |path: &Path| path.metadata().unwrap().modified().unwrap();
    let times: BTreeMap<_, _> = there.iter().map(|(name, path)| (name.clone(), written(path))).collect();
    let since = Instant::now();
    let said = succeeded(enrich(&args));
    assert!(since.elapsed() < Duration::from_secs(25), "a dead process of this machine is not waited for");
    assert!(said.starts_with("30 files done") && said.contains("3600 rows, 3600 tagged"), "{said}");
    let again = times.iter().filter(|(name, time)| written(&files(&output)[*name]) != **time).count();
    assert!(again <= 1, "{again} files were done that were there");
    assert_eq!(files(&output).into_keys().collect::<Vec<_>>(), files(&input).into_keys().collect::<Vec<_>>());
    let left = |name: &str| {
        let directory = output.join("_tagbert").join(name);
        // What a kill leaves of a note that was being written (`NAME#1`) is no note.
        if directory.exists() { files(&directory).keys().filter(|name| !name.contains('#')).count() } else { 0 }
    };
    assert_eq!((left("scratch"), left("claims"), left("done")), (0, 0, 30));
    let manifest: Value = serde_json::from_slice(&fs::read(output.join("_tagbert/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["total"]["rows"], 3600);
    assert_eq!(manifest["files"].as_array().unwrap().len(), 30);
}

/// Files done by the process itself, of what it says.
fn own(said: &str) -> usize {
    let number = |text: &str| text.split_whitespace().next().unwrap().parse::<usize>().unwrap();
    number(said) - number(said.split('(').nth(1).unwrap())
}

#[test]
fn processes_share_a_job_without_doing_a_file_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    lake(&input, 24, 100);
    let args = ["--input", shown(&input), "--output", shown(&output)];
    let children: Vec<_> = (0..3).map(|_| spawn(&args)).collect();
    let said: Vec<_> = children.into_iter().map(|child| succeeded(child.wait_with_output().unwrap())).collect();
    assert!(
        said.iter().all(|said| said.starts_with("24 files done") && said.contains("2400 rows")),
        "each waits for all: {said:?}"
    );
    assert_eq!(said.iter().map(|said| own(said)).sum::<usize>(), 24, "{said:?}");
    assert_eq!(files(&output).len(), 24);
}

#[test]
fn a_store_that_refuses_one_file_does_not_end_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    lake(&input, 3, 40);
    let name = files(&input).into_keys().next().unwrap();
    // Where its claim should come to, there is a file.
    let in_the_way = output.join("_tagbert/claims").join(&name);
    fs::create_dir_all(in_the_way.parent().unwrap()).unwrap();
    fs::write(&in_the_way, "").unwrap();
    let args = ["--input", shown(&input), "--output", shown(&output)];
    let why = failed(enrich(&args), 1);
    assert!(why.contains(&name), "{why}");
    assert_eq!(files(&output).len(), 2, "the others are done");
    fs::remove_file(&in_the_way).unwrap();
    assert!(succeeded(enrich(&args)).starts_with("3 files done (2"));
}

#[test]
fn a_bucket_that_throttles_and_fails_is_tried_again() {
    let bucket = Bucket::start(false);
    lake(&bucket.root.join("in"), 6, 60);
    fs::write(bucket.root.join("in/day=1/more.jsonl"), "{\"text\":\"a line\"}\n".repeat(30)).unwrap();
    let args = ["--input", "s3://lake/in/day=*/*", "--output", "s3://lake/out"];
    let said = succeeded(enrich_in(&bucket, &args));
    assert!(said.starts_with("7 files done (0") && said.contains("390 rows, 390 tagged"), "{said}");
    assert!(bucket.stumbled.load(Ordering::Relaxed) > 5, "the server was steady");
    let (input, output) = (files(&bucket.root.join("in")), files(&bucket.root.join("out")));
    let keys = |files: &BTreeMap<String, PathBuf>| {
        files.keys().filter(|name| !name.contains(".s3s")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(&output), keys(&input));
    let expected = tags_of_the_stream(&(0..60).map(text).collect::<Vec<_>>());
    let enriched = read_parquet(&output["day=0/part-0.parquet"]);
    for (row, expected) in expected.iter().enumerate() {
        assert_eq!(tags_of(enriched.column_by_name("tags").unwrap(), row), *expected);
    }
    assert!(succeeded(enrich_in(&bucket, &args)).starts_with("7 files done (7"));
}

#[test]
fn memory_stays_within_bounds_whatever_the_size_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let peak = |rows: usize| {
        let (input, output) =
            (folder.path().join(format!("{rows}.parquet")), folder.path().join(format!("{rows}.out.parquet")));
        // Each with a payload that nobody asks for, and a text that the cache knows.
        let texts: StringArray = (0..rows).map(|row| Some(text(row % 50))).collect();
        let payload: StringArray = (0..rows).map(|row| Some(format!("{row} ").repeat(600))).collect();
        let columns: [(&str, ArrayRef); 2] = [("text", Arc::new(texts)), ("payload", Arc::new(payload))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties =
            WriterProperties::builder().set_max_row_group_row_count(Some(1000)).set_dictionary_enabled(false);
        write_parquet(&input, &batch, properties.build());
        support::tagbert::peak_memory(&[
            "enrich",
            "--model",
            TINY,
            "--input",
            shown(&input),
            "--output",
            shown(&output),
        ])
    };
    let (small, large) = (peak(2_000), peak(40_000));
    assert!(large < small + (64 << 20), "{} MiB for 40,000 rows, {} MiB for 2,000", large >> 20, small >> 20);
}

#[test]
fn other_readers_find_the_same_in_it() {
    let python = root().join(".cache/tools-venv/bin/python");
    let has_readers = Command::new(&python).args(["-c", "import pyarrow, duckdb, polars"]).output();
    if !has_readers.is_ok_and(|output| output.status.success()) {
        return support::skip(
            "other_readers_find_the_same_in_it",
            "pyarrow, duckdb and polars are not there (scripts/setup.sh tools)",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    lake(&input, 3, 40);
    succeeded(enrich(&["--input", shown(&input), "--output", shown(&output)]));
    let script = r"
import sys, json, pyarrow.dataset, duckdb, polars
folder = sys.argv[1]
arrow = pyarrow.dataset.dataset(folder, format='parquet', partitioning='hive').to_table().to_pylist()
pattern = folder + '/*/*.parquet'
duck = duckdb.sql(f'select text, tags.spam.label as spam, tags.spam.score as score, len(tags.entities) as entities, day from read_parquet(\'{pattern}\', hive_partitioning=true)').fetchall()
frame = polars.read_parquet(pattern, hive_partitioning=True)
rows = {row['text']: (row['tags']['spam']['label'], row['tags']['spam']['score'], len(row['tags']['entities']), int(row['day'])) for row in arrow}
assert len(rows) == 120 == len(duck) == len(frame), (len(rows), len(duck), len(frame))
for text, *rest in duck:
    assert rows[text] == (*rest[:3], int(rest[3])), (rows[text], rest)
for row in frame.to_dicts():
    assert row['tags'] == next(one['tags'] for one in arrow if one['text'] == row['text'])
print(json.dumps([rows[key] for key in sorted(rows)][:3]))
";
    let checked = Command::new(&python).args(["-c", script, shown(&output)]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
