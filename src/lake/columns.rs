//! Where rows have the texts that are tagged: columns by name, nested ones by pointer. A row becomes a document with these alone.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use arrow::array::{Array, ArrayRef, AsArray as _, LargeStringArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields};
use csv::ByteRecord;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::config::template::{self, Piece};

/// The columns with text.
#[derive(Clone, Debug)]
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// Those that the configuration names.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let pieces = |text: String| template::pieces(&text).unwrap_or_default();
        let field = |piece| if let Piece::Field(pointer) = piece { Some(pointer) } else { None };
        let mut pointers: Vec<String> =
            config.texts().into_iter().flatten().flat_map(pieces).filter_map(field).collect();
        pointers.sort();
        pointers.dedup();
        let parts = |pointer: &String| {
            pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
        };
        Self(pointers.iter().map(parts).collect())
    }

    /// The names of a table's own columns that they are, or are in; each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let names: BTreeSet<_> = self.0.iter().map(|path| path[0].as_str()).collect();
        names.into_iter().collect()
    }

    /// Checks that a table has them, and that they are text.
    ///
    /// # Errors
    /// With the columns that it has.
    pub fn check(&self, fields: &Fields) -> Result<()> {
        for path in &self.0 {
            let (mut here, mut kind) = (fields.clone(), None);
            for (depth, name) in path.iter().enumerate() {
                if here.iter().filter(|field| field.name() == name).count() > 1 {
                    bail!("there is more than one column `{}`: which one is the text?", path[..=depth].join("."));
                }
                let Some((_, field)) = here.find(name) else {
                    let known: Vec<_> = here.iter().map(|field| field.name().as_str()).collect();
                    bail!(
                        "there is no column `{}`, but {} (`text` names those with text)",
                        path[..=depth].join("."),
                        known.join(", ")
                    );
                };
                let field = field.data_type().clone();
                here = if let DataType::Struct(inner) = &field { inner.clone() } else { Fields::empty() };
                kind = Some(field);
            }
            if let Some(kind) = kind.filter(|kind| !is_text(kind)) {
                bail!("column `{}` is {kind}, and no text (`text` names another)", path.join("."));
            }
        }
        Ok(())
    }

    /// Each row of a table as a document.
    ///
    /// # Errors
    /// When a column is missing, or holds no text.
    pub fn of_table(&self, batch: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        self.check(batch.schema().fields())?;
        let columns: Vec<(LargeStringArray, Vec<ArrayRef>)> =
            self.0.iter().map(|path| leaf(batch, path)).collect::<Result<_>>()?;
        let document = |row: usize| {
            let mut document = Map::new();
            for (path, (text, above)) in self.0.iter().zip(&columns) {
                if text.is_valid(row) && above.iter().all(|outer| outer.is_valid(row)) {
                    insert(&mut document, path, text.value(row).into());
                }
            }
            Value::Object(document).to_string().into_bytes()
        };
        Ok((0..batch.num_rows()).map(document).collect())
    }

    /// Each record of a CSV file as a document. Bytes that are no text are left to the decoder to refuse.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn of_records<'a>(
        &self,
        header: &ByteRecord,
        records: impl Iterator<Item = &'a ByteRecord>,
    ) -> Result<Vec<Vec<u8>>> {
        let mut places = Vec::new();
        for path in &self.0 {
            let name = path.join("/");
            let Some(place) = header.iter().position(|known| known == name.as_bytes()) else {
                let known: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
                bail!("there is no column `{name}`, but {} (`--text` names those with text)", known.join(", "));
            };
            if header.iter().filter(|known| *known == name.as_bytes()).count() > 1 {
                bail!("there is more than one column `{name}`: which one is the text?");
            }
            places.push(place);
        }
        let document = |record: &ByteRecord| {
            if record.len() != header.len() {
                return format!("{} fields, and the header has {}", record.len(), header.len()).into_bytes();
            }
            let mut document = Map::new();
            for (path, place) in self.0.iter().zip(&places) {
                match record.get(*place).map(std::str::from_utf8) {
                    Some(Ok(text)) => insert(&mut document, path, text.into()),
                    Some(Err(_)) => return record.as_slice().to_vec(),
                    None => {}
                }
            }
            Value::Object(document).to_string().into_bytes()
        };
        Ok(records.map(document).collect())
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// A column as text, and those around it, where a row may be null, too.
fn leaf(batch: &RecordBatch, path: &[String]) -> Result<(LargeStringArray, Vec<ArrayRef>)> {
    let mut above = Vec::new();
    let mut here = batch.column_by_name(&path[0]).cloned();
    for name in &path[1..] {
        let Some(outer) = here.take() else { break };
        here = outer.as_struct_opt().and_then(|outer| outer.column_by_name(name)).cloned();
        above.push(outer);
    }
    let Some(array) = here else { bail!("there is no column `{}`", path.join(".")) };
    Ok((cast(&array, &DataType::LargeUtf8)?.as_string::<i64>().clone(), above))
}

fn insert(document: &mut Map<String, Value>, path: &[String], text: Value) {
    match path {
        [] => {}
        [name] => drop(document.insert(name.clone(), text)),
        [name, rest @ ..] => {
            let inner = document.entry(name).or_insert_with(|| Map::new().into());
            if let Value::Object(inner) = inner {
                insert(inner, rest, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{BinaryArray, DictionaryArray, StringArray, StringViewArray, StructArray};
    use arrow::datatypes::{Field, Int32Type, Schema};

    use super::*;

    fn columns(texts: &str) -> Columns {
        Columns::new(&Config::parse(&format!("input: {{text: {texts}}}"), HashMap::new(), &[]).unwrap())
    }

    fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn documents(columns: &Columns, batch: &RecordBatch) -> Vec<String> {
        columns.of_table(batch).unwrap().into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    #[test]
    fn texts_of_every_kind_are_read_and_nulls_stay_out() {
        let dictionary: DictionaryArray<Int32Type> = [Some("a"), None, Some("a")].into_iter().collect();
        let batch = table(vec![
            ("plain", Arc::new(StringArray::from(vec![Some("1"), Some("é\"\n"), None]))),
            ("view", Arc::new(StringViewArray::from(vec![None, Some("2"), Some("")]))),
            ("dictionary", Arc::new(dictionary)),
        ]);
        assert_eq!(
            documents(&columns("[/plain, /view, /dictionary]"), &batch),
            [r#"{"dictionary":"a","plain":"1"}"#, r#"{"plain":"é\"\n","view":"2"}"#, r#"{"dictionary":"a","view":""}"#]
        );
    }

    #[test]
    fn a_text_in_a_null_struct_is_null() {
        let field = Arc::new(Field::new("body/x", DataType::Utf8, true));
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("1"), Some("hidden"), None]));
        let outer = StructArray::new(vec![field].into(), vec![inner], Some(vec![true, false, true].into()));
        let batch = table(vec![("message", Arc::new(outer))]);
        assert_eq!(documents(&columns("[/message/body~1x]"), &batch), [r#"{"message":{"body/x":"1"}}"#, "{}", "{}"]);
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        let fields = |fields: Vec<Field>| Schema::new(fields).fields;
        let found = fields(vec![Field::new("a", DataType::Binary, true), Field::new("b", DataType::Int64, true)]);
        let error = columns("[/a]").check(&found).unwrap_err().to_string();
        assert!(error.contains("`a` is Binary"), "{error}");
        let error = columns("[/c]").check(&found).unwrap_err().to_string();
        assert!(error.contains("no column `c`, but a, b"), "{error}");
        let error = columns("[/b/c]").check(&found).unwrap_err().to_string();
        assert!(error.contains("no column `b.c`"), "{error}");
        let batch = table(vec![("a", Arc::new(BinaryArray::from_vec(vec![b"x"])))]);
        assert!(columns("[/a]").of_table(&batch).is_err());
    }

    #[test]
    fn of_two_columns_of_one_name_none_is_taken() {
        let text = |name| Field::new(name, DataType::Utf8, true);
        let twice = Schema::new(vec![text("text"), text("text"), text("id")]).fields;
        let error = columns("[/text]").check(&twice).unwrap_err().to_string();
        assert!(error.contains("more than one column `text`"), "{error}");
        columns("[/id]").check(&twice).unwrap();
        let error = columns("[/text]").of_records(&ByteRecord::from(vec!["text", "text"]), [].iter()).unwrap_err();
        assert!(error.to_string().contains("more than one column `text`"), "{error}");
    }

    #[test]
    fn fields_of_csv_are_found_by_the_header() {
        let header = ByteRecord::from(vec!["id", "text"]);
        let records = [ByteRecord::from(vec!["1", "one"]), ByteRecord::from(vec![&b"2"[..], b"\xff"])];
        let documents = columns("[/text]").of_records(&header, records.iter()).unwrap();
        assert_eq!(documents, [&br#"{"text":"one"}"#[..], b"2\xff"]);
        assert!(columns("[/body]").of_records(&header, records.iter()).is_err());
    }
}
