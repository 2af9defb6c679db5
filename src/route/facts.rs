//! What expressions can ask of a document. It is made into values when it is asked for, and once.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cel::Value;
use cel::common::types::{CelDouble, CelInt, CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::objects::{Key, Map};
use serde_json::Value as Json;

use crate::config::mark::without_mark;
use crate::record::answer::Given;
use crate::record::document::Document;
use crate::record::envelope::{Origin, Record};
use crate::record::headers;
use crate::record::tag::{Entity, Label, Tag, as_written};

/// A tagged document, as expressions see it.
pub(super) struct Facts<'a> {
    tags: &'a [Given],
    read: &'a Document,
    record: &'a Record,
    origin: &'a Origin,
    all_tags: OnceLock<Box<dyn Val>>,
    /// `None` where the value can't be read so.
    document: OnceLock<Option<Box<dyn Val>>>,
    headers: OnceLock<Box<dyn Val>>,
}

impl<'a> Facts<'a> {
    pub fn new(tags: &'a [Given], read: &'a Document, record: &'a Record, origin: &'a Origin) -> Self {
        let (all_tags, document, headers) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { tags, read, record, origin, all_tags, document, headers }
    }

    /// Whether the document was asked for and can't be read.
    pub fn lacks_document(&self) -> bool {
        matches!(self.document.get(), Some(None))
    }

    /// `tags.spam.score` and its like, of which most conditions are made: nothing is built for them.
    fn of_tag(&self, path: &str) -> Option<CowVal<'_, '_>> {
        let (name, member) = path.split_once('.')?;
        let given = self.tags.iter().find(|given| *given.name == *name)?;
        Some(match (&given.tag, member) {
            (Tag::Class(class), "label") => match &class.label {
                Some(label) => CowVal::owned(CelString::from(&**label)),
                None => CowVal::owned(CelNull),
            },
            (Tag::Class(class), "score") => CowVal::owned(CelDouble::from(as_written(class.score))),
            (Tag::Number(number), "value") => CowVal::owned(CelDouble::from(as_written(number.value))),
            _ => return None,
        })
    }

    fn of_source(&self, member: &str) -> Option<CowVal<'_, '_>> {
        Some(match member {
            "topic" => CowVal::owned(CelString::from(&*self.origin.topic)),
            "partition" => CowVal::owned(CelInt::from(i64::from(self.origin.partition))),
            "offset" => CowVal::owned(CelInt::from(self.origin.offset)),
            "timestamp" => match self.record.timestamp {
                Some(timestamp) => CowVal::owned(CelInt::from(timestamp)),
                None => CowVal::owned(CelNull),
            },
            _ => return None,
        })
    }

    fn document(&self) -> Option<Box<dyn Val>> {
        let value = match &self.read.json {
            Some(json) => json.get().as_bytes(),
            None => without_mark(self.record.value.as_deref()?),
        };
        made(json(serde_json::from_slice(value).ok()?))
    }
}

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match name {
            "tags" => Some(CowVal::Borrowed(&**self.all_tags.get_or_init(|| object(tags(self.tags))))),
            "document" => {
                self.document.get_or_init(|| self.document()).as_ref().map(|document| CowVal::Borrowed(&**document))
            }
            "headers" => {
                let all = || object(headers_of(self.record));
                Some(CowVal::Borrowed(&**self.headers.get_or_init(all)))
            }
            "key" => made(self.record.key.as_deref().map_or(Value::Null, text_or_bytes)).map(CowVal::Owned),
            "source" => {
                let member = |name| Some((name, Value::try_from(&*self.of_source(name)?).ok()?));
                let all = ["topic", "partition", "offset", "timestamp"].into_iter().filter_map(member);
                made(map(all)).map(CowVal::Owned)
            }
            _ => match name.split_once('.')? {
                ("tags", path) => self.of_tag(path),
                ("source", member) => self.of_source(member),
                _ => None,
            },
        }
    }
}

fn made(value: Value) -> Option<Box<dyn Val>> {
    value.try_into().ok()
}

fn object(value: Value) -> Box<dyn Val> {
    made(value).unwrap_or_else(|| Box::new(CelNull))
}

fn map<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let key = |name: &str| Key::String(Arc::new(name.to_owned()));
    let members: HashMap<_, _> = members.into_iter().map(|(name, value)| (key(name), value)).collect();
    Value::Map(Map { map: Arc::new(members) })
}

fn tags(all: &[Given]) -> Value {
    map(all.iter().map(|given| (&*given.name, of(&given.tag))))
}

fn of(tag: &Tag) -> Value {
    let label = |Label { label, score }: &Label| {
        map([("label", (&**label).into()), ("score", Value::Float(as_written(*score)))])
    };
    let entity = |Entity { kind, text, start, end, score }: &Entity| {
        map([
            ("type", (&**kind).into()),
            ("text", text.as_str().into()),
            ("start", Value::Int((*start).into())),
            ("end", Value::Int((*end).into())),
            ("score", Value::Float(as_written(*score))),
        ])
    };
    match tag {
        Tag::Class(class) => map([
            ("label", class.label.as_deref().map_or(Value::Null, Value::from)),
            ("score", Value::Float(as_written(class.score))),
            ("scores", Value::List(Arc::new(class.scores.iter().map(label).collect()))),
        ]),
        Tag::Number(number) => map([("value", Value::Float(as_written(number.value)))]),
        Tag::Labels(labels) => Value::List(Arc::new(labels.iter().map(label).collect())),
        Tag::Entities(entities) => Value::List(Arc::new(entities.iter().map(entity).collect())),
    }
}

/// Of several headers of one name, the last.
fn headers_of(record: &Record) -> Value {
    let all = record.headers.iter().flat_map(headers::iter);
    let text = |name| std::str::from_utf8(name).ok();
    map(all.filter_map(|(name, value)| Some((text(name)?, value.map_or(Value::Null, text_or_bytes)))))
}

fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => Value::Bytes(Arc::new(bytes.to_vec())),
    }
}

fn json(value: Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => text.into(),
        Json::Array(elements) => Value::List(Arc::new(elements.into_iter().map(json).collect())),
        Json::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (Key::String(Arc::new(name)), json(value)));
            Value::Map(Map { map: Arc::new(members.collect()) })
        }
    }
}
