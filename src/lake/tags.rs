//! Tags as typed columns: a struct with one for each tagger, or with `--flat` columns of their own.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StructArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema as Columns, SchemaRef};
use arrow::json::ReaderBuilder;
use serde_json::Value;

use crate::model::files::manifest::Task;
use crate::tagger::taggers::Taggers;

/// The tags that the taggers give, and what they are called.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The column with all of them, or what the names of the columns begin with.
    name: String,
    flat: bool,
    tags: Fields,
}

impl Schema {
    /// What these taggers give.
    #[must_use]
    pub fn new(name: &str, flat: bool, taggers: &Taggers) -> Self {
        let tags = taggers.tags_and_tasks().map(|(name, task)| Field::new(&**name, kind(task), true));
        Self { name: name.to_owned(), flat, tags: tags.collect() }
    }

    /// The columns of a table, and beside them the tags.
    ///
    /// # Errors
    /// When it has one of such a name already.
    pub fn beside(&self, table: &Columns) -> Result<SchemaRef> {
        let mut fields = table.fields().to_vec();
        for field in self.fields() {
            // Spark and Hive know no capitals.
            let is_there = fields.iter().any(|known| known.name().eq_ignore_ascii_case(field.name()));
            let (name, tags) = (field.name(), &self.name);
            ensure!(!is_there, "there is a column `{name}` already: `--tags NAME` names those of the tags ({tags})");
            fields.push(Arc::new(field));
        }
        Ok(Arc::new(Columns::new_with_metadata(fields, table.metadata().clone())))
    }

    /// The rows with their tags, of the given schema. Null where there is no enriched record.
    ///
    /// # Errors
    /// When a record is none.
    pub fn add(&self, rows: &RecordBatch, enriched: &[Option<Vec<u8>>], schema: &SchemaRef) -> Result<RecordBatch> {
        let columns = [rows.columns(), &self.columns(enriched)?].concat();
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }

    /// The columns of the tags alone, as [`fields`](Self::fields) describes them. Null where there is no enriched record.
    ///
    /// # Errors
    /// When a record is none.
    pub fn columns(&self, enriched: &[Option<Vec<u8>>]) -> Result<Vec<ArrayRef>> {
        let tags = self.read(enriched)?;
        if !self.flat {
            return Ok(vec![Arc::new(tags)]);
        }
        let of_each = tags.columns().iter().zip(&self.tags);
        Ok(of_each.flat_map(|(array, field)| flattened(array, field, tags.nulls())).collect())
    }

    /// The tags of enriched records. Numbers are read as exactly those that were written.
    fn read(&self, enriched: &[Option<Vec<u8>>]) -> Result<StructArray> {
        let all = Field::new("tags", DataType::Struct(self.tags.clone()), true);
        let schema = Arc::new(Columns::new(vec![all]));
        let mut reader = ReaderBuilder::new(schema).with_batch_size(enriched.len().max(1)).build_decoder()?;
        for record in enriched {
            let mut bytes = record.as_deref().unwrap_or(b"{}");
            while !bytes.is_empty() {
                let read = reader.decode(bytes)?;
                ensure!(read > 0, "more records than rows");
                bytes = &bytes[read..];
            }
        }
        let batch = reader.flush()?;
        let tags = batch.map(|batch| batch.column(0).as_struct().clone());
        let tags = tags.unwrap_or_else(|| StructArray::new_null(self.tags.clone(), 0));
        ensure!(tags.len() == enriched.len(), "{} records of {} rows", tags.len(), enriched.len());
        Ok(tags)
    }

    /// What the columns of the tags are called, and what is in them.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        if !self.flat {
            return vec![Field::new(&self.name, DataType::Struct(self.tags.clone()), true)];
        }
        self.flat_parts().into_iter().map(|(name, _, kind)| Field::new(name, kind.clone(), true)).collect()
    }

    /// The names of all columns, one for each value.
    ///
    /// # Errors
    /// When two are of one name: tagger `spam` has a score, and another is called `spam_score`.
    pub fn flat_names(&self) -> Result<Vec<String>> {
        let names: Vec<_> = self.flat_parts().into_iter().map(|(name, ..)| name).collect();
        let mut known = HashSet::new();
        if let Some(name) = names.iter().find(|name| !known.insert(name.to_lowercase())) {
            bail!("two tags would be in one column `{name}`: give one of the taggers another `name`");
        }
        Ok(names)
    }

    /// What stands in these columns, as text; lists are JSON.
    #[must_use]
    pub fn flat_fields(&self, tags: Option<&Value>) -> Vec<String> {
        let shown = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.flat_values(tags).into_iter().map(|(_, value)| shown(&value)).collect()
    }

    /// Names and values.
    #[must_use]
    pub fn flat_values(&self, tags: Option<&Value>) -> Vec<(String, Value)> {
        let value = |pointer: &[&str]| pointer.iter().try_fold(tags?, |value, part| value.get(part)).cloned();
        self.flat_parts().into_iter().map(|(name, path, _)| (name, value(&path).unwrap_or_default())).collect()
    }

    /// The columns that the tags become, such as `tags_spam` and `tags_spam_score`: where in the tags each has its value, and
    /// of which kind that is.
    fn flat_parts(&self) -> Vec<(String, Vec<&str>, &DataType)> {
        let mut all = Vec::new();
        for field in &self.tags {
            let tag = field.name().as_str();
            let name = format!("{}_{tag}", self.name);
            let DataType::Struct(parts) = field.data_type() else {
                all.push((name, vec![tag], field.data_type()));
                continue;
            };
            for (place, part) in parts.iter().enumerate() {
                let within = part.name().as_str();
                let name = if place == 0 { name.clone() } else { format!("{name}_{within}") };
                all.push((name, vec![tag, within], part.data_type()));
            }
        }
        all
    }
}

/// How a tag is kept.
fn kind(task: &Task) -> DataType {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str, kind: DataType| Field::new(name, kind, true);
    let list =
        |fields: Vec<Field>| DataType::List(Arc::new(Field::new_list_field(DataType::Struct(fields.into()), true)));
    match task {
        Task::SingleLabel => DataType::Struct(vec![text("label"), number("score", DataType::Float32)].into()),
        Task::Regression => DataType::Struct(vec![number("value", DataType::Float32)].into()),
        Task::MultiLabel => list(vec![text("label"), number("score", DataType::Float32)]),
        Task::Tokens(_) => list(vec![
            text("type"),
            text("text"),
            number("start", DataType::Int32),
            number("end", DataType::Int32),
            number("score", DataType::Float32),
            text("field"),
            number("field_start", DataType::Int32),
            number("field_end", DataType::Int32),
        ]),
    }
}

/// The columns of a tag; what is null around it is null in it.
fn flattened(array: &ArrayRef, field: &Field, nulls: Option<&NullBuffer>) -> Vec<ArrayRef> {
    let within = |array: &ArrayRef, nulls: Option<&NullBuffer>| {
        let nulls = NullBuffer::union(array.nulls(), nulls);
        let data = array.to_data().into_builder().nulls(nulls).build();
        data.map_or_else(|_| Arc::clone(array), make_array)
    };
    match field.data_type() {
        DataType::Struct(_) => {
            let outer = array.as_struct();
            let nulls = NullBuffer::union(outer.nulls(), nulls);
            outer.columns().iter().map(|inner| within(inner, nulls.as_ref())).collect()
        }
        _ => vec![within(array, nulls)],
    }
}
