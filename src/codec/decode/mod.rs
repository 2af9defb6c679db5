//! From bytes to a document: the id and the texts to tag, found by JSON pointers. What is no JSON is made JSON first.

mod foreign;
mod lenient;
mod pointers;
mod schemas;
mod texts;

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::Result;
use encoding_rs::Encoding;
use rdkafka::message::OwnedHeaders;
use serde_json::value::RawValue;

use self::lenient::NotANumber;
use self::pointers::{Found, NotFound, Pointers};
use self::schemas::BySchema;
use self::texts::{Made, Source};
use super::clean::Cleaner;
use super::event;
use super::outputs::Outputs;
use super::registry::{Missing, Registry, unframed};
use crate::config::mark::without_mark;
use crate::config::{Charset, Config, Format, Input, KeepDocument};
use crate::record::document::Document;
use crate::record::envelope::Record;
use crate::record::rejection::{Rejection, Stage, TEXT_EMPTY, TEXT_MISSING};
use crate::record::text::Text;

/// What a record holds.
#[derive(Clone, Debug)]
pub enum Decoded {
    /// A document.
    Document(Document),
    /// A null value: on a compacted topic, the key is deleted.
    Tombstone,
    /// Nobody can tell now what it is: it is to be read again.
    Unreadable(Arc<anyhow::Error>),
}

/// What documents are, where they have their id and their texts, and how large they may be.
#[derive(Clone, Debug)]
pub struct Decoder {
    format: Format,
    charset: Charset,
    lenient: bool,
    /// The schemas of values, if they have such.
    schemas: Option<Arc<BySchema>>,
    /// The schemas of enriched records, if they have such.
    outputs: Option<Arc<Outputs>>,
    /// Whether the document is wanted as JSON once its texts are known: to be written, masked, or asked by routes.
    keep: bool,
    /// Which of the pointers is the id's.
    id: usize,
    texts: Vec<Source>,
    cleaner: Cleaner,
    pointers: Pointers,
    limit: usize,
}

impl Decoder {
    /// A decoder for the documents that the configuration describes.
    ///
    /// # Errors
    /// When the schema registry can't be spoken to as it says.
    pub fn new(config: &Config) -> Result<Self> {
        let limit = config.limits.document.as_u64() as usize;
        let mut pointers = Pointers::default();
        let texts = config.texts().iter().map(|entries| Source::new(entries, &mut pointers)).collect();
        let id = pointers.add(&config.input.id);
        let Input { format, charset, lenient, .. } = config.input;
        // What is masked is masked in the document, and what a route asks is asked of it, whether it is written or not.
        let keep =
            config.output.document == KeepDocument::Keep || !config.redact.is_empty() || !config.routes.is_empty();
        let registry = Registry::new(&config.registry)?.map(Arc::new);
        let schemas = registry.as_ref().and_then(|registry| BySchema::new(format, registry)).map(Arc::new);
        let outputs = registry.and_then(|registry| Outputs::new(config, registry)).map(Arc::new);
        let cleaner = Cleaner::new(&config.input.clean);
        Ok(Self { format, charset, lenient, schemas, outputs, keep, id, texts, cleaner, pointers, limit })
    }

    /// Decodes a record.
    ///
    /// # Errors
    /// With the class of what is wrong; the message never holds any of the document's text (G-28).
    pub fn decode(&self, record: &Record) -> Result<Decoded, Rejection> {
        if let Some(name) = record.headers.as_ref().and_then(crate::record::headers::first_name_not_utf8) {
            let name = String::from_utf8_lossy(&name[..name.len().min(64)]);
            return Err(reject("InvalidHeaderName", format!("the name of header {name:?} is not UTF-8")));
        }
        let Some(bytes) = &record.value else { return Ok(Decoded::Tombstone) };
        if bytes.len() > self.limit {
            let (size, limit) = (bytes.len(), self.limit);
            return Err(reject("DocumentTooLarge", format!("{size} bytes are over limits.document, {limit} bytes")));
        }
        match self.read(record.headers.as_ref(), bytes) {
            Ok(document) => Ok(Decoded::Document(document)),
            Err(Wrong::Rejected(rejection)) => Err(rejection),
            Err(Wrong::Unanswered(error)) => Ok(Decoded::Unreadable(Arc::new(error))),
        }
    }

    fn read(&self, headers: Option<&OwnedHeaders>, bytes: &[u8]) -> Result<Document, Wrong> {
        let mut writer = None;
        let mut document = match self.format {
            Format::Json => self.of_json(without_mark(bytes))?,
            Format::Text => self.of_text(bytes)?,
            Format::CloudEvents => match event::read::json(headers, bytes)? {
                Cow::Borrowed(json) => self.document(json)?,
                Cow::Owned(json) => self.made(json)?,
            },
            Format::JsonSchema => {
                let (_, json) = framed(bytes)?;
                self.with_json(self.of_json(json)?, json)
            }
            Format::Avro | Format::Protobuf => {
                let schemas = self.schemas.as_ref();
                let schemas = schemas.ok_or_else(|| reject("SchemaMissing", "there is no registry".into()))?;
                let (json, by) = schemas.read(bytes)?;
                writer = Some(by);
                self.made(json)?
            }
        };
        if let Some(outputs) = &self.outputs {
            document.target = Some(outputs.target(writer.as_ref())?);
        }
        Ok(document)
    }

    fn of_json(&self, bytes: &[u8]) -> Result<Document, Rejection> {
        if let Some((class, what)) = foreign::format(bytes) {
            return Err(reject(class, format!("the value is not plain JSON: {what}")));
        }
        let value = std::str::from_utf8(bytes)
            .map_err(|error| reject("NotUtf8", format!("the value is not UTF-8: {error}")))?;
        match self.document(value) {
            Err(rejection) if self.lenient && rejection.class == "NotJson" => {
                let Some(strict) = lenient::strict(value, NotANumber::IsNull) else { return Err(rejection) };
                // A text that is not there is not the word NaN; in the document, that it was NaN is kept.
                let document = self.document(&strict)?;
                Ok(self.holding(document, lenient::strict(value, NotANumber::IsAWord).unwrap_or(strict)))
            }
            read => read,
        }
    }

    fn of_text(&self, bytes: &[u8]) -> Result<Document, Rejection> {
        let encoding = self.charset.encoding();
        let not_text = |why: String| reject("NotText", format!("the value is not {}: {why}", encoding.name()));
        let marked = match Encoding::for_bom(bytes) {
            Some((marked, length)) if marked == encoding => length,
            Some((marked, _)) => return Err(not_text(format!("its byte order mark is of {}", marked.name()))),
            None => 0,
        };
        if !self.charset.is_utf_16() {
            let foreign = foreign::format(bytes).filter(|(class, _)| *class != "NotUtf8");
            if let Some((class, what)) = foreign {
                return Err(reject(class, format!("the value is not plain text: {what}")));
            }
            // Which is a character in all of them; but what has it is UTF-16, or no text.
            if bytes.contains(&0) {
                return Err(not_text("it has zero bytes, as UTF-16 has (`input.charset`)".into()));
            }
        }
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes[marked..]);
        let text = text.ok_or_else(|| not_text("it has bytes that are no characters".into()))?;
        self.made(serde_json::json!({ "text": text }).to_string())
    }

    /// The document with the JSON that it is, unless that is known already.
    fn with_json(&self, mut document: Document, json: &[u8]) -> Document {
        if self.keep && document.json.is_none() {
            document.json = serde_json::from_slice(json).ok();
        }
        document
    }

    /// The document that was made JSON.
    fn made(&self, json: String) -> Result<Document, Rejection> {
        let document = self.document(&json)?;
        Ok(self.holding(document, json))
    }

    /// The document with what it was made into.
    fn holding(&self, mut document: Document, json: String) -> Document {
        if self.keep {
            document.json = RawValue::from_string(json).ok();
        }
        document
    }

    /// The document of a JSON object.
    fn document(&self, json: &str) -> Result<Document, Rejection> {
        let found = self.pointers.find(json).map_err(|error| match error {
            NotFound::NotJson(error) => reject("NotJson", format!("the value is not JSON: {}", without_text(&error))),
            NotFound::NotAnObject => reject("NotAnObject", foreign::instead_of_an_object(json)),
        })?;
        let texts = self.texts(&found)?;
        let id = found[self.id].first().map_or(RawValue::NULL, |found| found.value).to_owned();
        Ok(Document { id, texts, json: None, target: None })
    }

    fn texts(&self, found: &[Vec<Found>]) -> Result<Vec<Option<Text>>, Rejection> {
        let made: Vec<Made> =
            self.texts.iter().map(|text| text.make(found, &self.cleaner)).collect::<Result<_, _>>()?;
        if !made.iter().any(|text| matches!(text, Made::Text(_))) {
            let named: Vec<_> = self.texts.iter().flat_map(Source::fields).collect();
            let named = named.join("`, `");
            return Err(if made.iter().all(|text| matches!(text, Made::Missing)) {
                reject(TEXT_MISSING, format!("there is no value at `{named}`"))
            } else {
                reject(TEXT_EMPTY, format!("the text at `{named}` is empty"))
            });
        }
        let some = |text| if let Made::Text(text) = text { Some(text) } else { None };
        Ok(made.into_iter().map(some).collect())
    }
}

/// What `serde_json` says, but for the parts of the document that some of its messages quote.
fn without_text(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => "syntax error",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

/// Why there is no document.
enum Wrong {
    Rejected(Rejection),
    Unanswered(anyhow::Error),
}

impl From<Rejection> for Wrong {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Missing> for Wrong {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Nothing(why) => Self::Rejected(reject("SchemaMissing", why)),
            Missing::Unanswered(error) => Self::Unanswered(error),
        }
    }
}

/// The number of a value's schema, and what is behind it.
fn framed(bytes: &[u8]) -> Result<(u32, &[u8]), Rejection> {
    unframed(bytes).ok_or_else(|| {
        let why = "the value does not begin with a schema registry's header (a zero byte and the schema's number)";
        reject("NotFramed", why.into())
    })
}

fn reject(class: &'static str, message: String) -> Rejection {
    Rejection::new(Stage::Decode, class, message)
}

#[cfg(test)]
mod tests;
