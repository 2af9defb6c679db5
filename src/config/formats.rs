//! What records are made of, coming in and going out.

use std::num::NonZeroUsize;

use encoding_rs::Encoding;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::refuse;
use super::mistakes::Mistakes;
use super::{Config, ConfigError, Input, KeepDocument, Output, template};

/// What the values of records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON object.
    #[default]
    Json,
    /// The same behind a schema registry's five bytes, as its serializers for JSON Schema write it.
    JsonSchema,
    /// Avro behind such bytes; `registry` has its schema.
    Avro,
    /// A message of Protocol Buffers behind such bytes, and the place of its type in the schema.
    Protobuf,
    /// The text itself, which stands at `/text` of the document that is made of it.
    Text,
    /// A `CloudEvent`, structured or binary. The document is the event in its JSON form.
    #[serde(rename = "cloudevents")]
    CloudEvents,
}

impl Format {
    /// Whether a schema registry's five bytes come first.
    #[must_use]
    pub fn has_schema(self) -> bool {
        matches!(self, Self::JsonSchema | Self::Avro | Self::Protobuf)
    }

    /// Its name, if values can't be read without their schema.
    pub(super) fn asks_the_registry(self) -> Option<&'static str> {
        match self {
            Self::Avro => Some("avro"),
            Self::Protobuf => Some("protobuf"),
            Self::Json | Self::JsonSchema | Self::Text | Self::CloudEvents => None,
        }
    }
}

/// What the values of enriched records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputFormat {
    /// JSON.
    #[default]
    Json,
    /// The same behind a schema registry's header.
    JsonSchema,
    /// Avro behind such a header; an original in Avro stands within as what it is.
    Avro,
    /// Protocol Buffers behind such a header; an original in Protobuf stands within as an `Any`.
    Protobuf,
    /// A `CloudEvent`, whose data are the record in JSON.
    #[serde(rename = "cloudevents")]
    CloudEvents,
}

impl OutputFormat {
    /// Its name, if records have a schema that is registered.
    #[must_use]
    pub fn with_schema(self) -> Option<&'static str> {
        match self {
            Self::JsonSchema => Some("json-schema"),
            Self::Avro => Some("avro"),
            Self::Protobuf => Some("protobuf"),
            Self::Json | Self::CloudEvents => None,
        }
    }
}

/// How the enriched record is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A JSON object with the tags under `tags`.
    #[default]
    Nested,
    /// A JSON object without objects in it, but for the document and the entities: `tags_spam`, `tags_spam_score`.
    Flat,
    /// The tags alone, by name.
    TagsOnly,
    /// The value is that of the input, byte for byte; the tags are headers: `tagbert.spam`, `tagbert.spam.score`.
    Headers,
}

/// What the offsets of entities count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Offsets {
    /// Unicode code points, as Python does.
    #[default]
    CodePoints,
    /// Units of UTF-16, as Java and JavaScript do.
    Utf16,
    /// Bytes of UTF-8, as Go and Rust do.
    Utf8,
}

/// Which scores the tag of a class has beside that of the best label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scores {
    /// None.
    #[default]
    Best,
    /// Those of all labels.
    All,
    /// So many of the highest.
    Top(NonZeroUsize),
}

impl Scores {
    /// How many there are, if that is said.
    #[must_use]
    pub fn most(self) -> Option<usize> {
        match self {
            Self::Best => Some(0),
            Self::All => None,
            Self::Top(most) => Some(most.get()),
        }
    }
}

/// As it is written: scalars of a configuration are texts.
#[derive(Deserialize, Serialize)]
#[serde(untagged, deny_unknown_fields)]
enum WrittenScores {
    Word(String),
    Top { top: String },
}

impl<'de> Deserialize<'de> for Scores {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match WrittenScores::deserialize(from)? {
            WrittenScores::Word(word) if word == "best" => Ok(Self::Best),
            WrittenScores::Word(word) if word == "all" => Ok(Self::All),
            WrittenScores::Word(_) => Err(serde::de::Error::custom("neither `best` nor `all`")),
            WrittenScores::Top { top } => top.parse().map(Self::Top).map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Scores {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Best => WrittenScores::Word("best".into()),
            Self::All => WrittenScores::Word("all".into()),
            Self::Top(most) => WrittenScores::Top { top: most.to_string() },
        }
        .serialize(to)
    }
}

/// An encoding of text, by one of its names in the Encoding Standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    /// The encoding.
    #[must_use]
    pub fn encoding(self) -> &'static Encoding {
        self.0
    }

    /// Whether a character is two bytes at least; so an end of a line is none that can be looked for byte by byte.
    #[must_use]
    pub fn is_utf_16(self) -> bool {
        [encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&self.0)
    }
}

impl Default for Charset {
    fn default() -> Self {
        Self(encoding_rs::UTF_8)
    }
}

impl<'de> Deserialize<'de> for Charset {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        // The one that decodes nothing stands for those that are no longer to be decoded.
        let known = Encoding::for_label(name.as_bytes()).filter(|known| *known != encoding_rs::REPLACEMENT);
        known.map(Self).ok_or_else(|| {
            let why = "is no encoding that is known, such as `utf-8`, `windows-1252`, `shift_jis` or `utf-16le`";
            serde::de::Error::custom(why)
        })
    }
}

impl Serialize for Charset {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.name().to_lowercase())
    }
}

impl Input {
    /// Where the text of documents is, if a tagger does not say otherwise.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self.format {
            Format::Json | Format::JsonSchema | Format::Avro | Format::Protobuf | Format::CloudEvents => {
                self.text.clone()
            }
            Format::Text => vec!["/text".into()],
        }
    }
}

impl Output {
    /// Whether records are of the shape that has all that there is to say, in JSON.
    #[must_use]
    pub fn is_nested_json(&self) -> bool {
        self.shape == Shape::Nested && self.format == OutputFormat::Json
    }

    /// Gives them that shape.
    pub fn make_nested_json(&mut self) {
        (self.shape, self.format) = (Shape::Nested, OutputFormat::Json);
    }
}

impl Config {
    pub(super) fn validate_texts(&self, mistakes: &mut Mistakes) {
        let Input { id, text, .. } = &self.input;
        if text.is_empty() {
            mistakes.check(&["input.text"], refuse("input.text", "names no field"));
        }
        for text in text {
            mistakes.check(&["input.text"], validate_text("input.text", text));
        }
        for (n, tagger) in self.taggers.iter().enumerate() {
            for text in tagger.text.iter().flatten() {
                mistakes.check(&["taggers"], validate_text(&format!("taggers[{n}].text"), text));
            }
        }
        let found = template::pointer(id).map(drop).or_else(|why| refuse("input.id", why));
        mistakes.check(&["input.id"], found);
        if id.split('/').any(|name| name == "*") {
            let why = format!("`{id}` may name several values (`*`): an id is one");
            mistakes.check(&["input.id"], refuse("input.id", why));
        }
    }

    pub(super) fn validate_formats(&self) -> Result<(), ConfigError> {
        let Input { id, text, format, charset, lenient, .. } = &self.input;
        let own = self.taggers.iter().filter_map(|tagger| tagger.text.as_ref()).flatten();
        let own = own.map(|text| ("taggers", text));
        if let Some(format) = self.output.format.with_schema()
            && self.output.shape != Shape::Nested
        {
            return refuse("output.shape", format!("must be `nested` under `output.format: {format}`"));
        }
        self.validate_events()?;
        if self.output.shape == Shape::Headers && self.output.document == KeepDocument::Drop {
            let why =
                "is `drop`, but under `output.shape: headers` the value is the document: `keep`, or another shape";
            return refuse("output.document", why);
        }
        match format {
            Format::Json | Format::JsonSchema | Format::Avro | Format::Protobuf | Format::CloudEvents
                if *charset != Charset::default() =>
            {
                refuse("input.charset", "is for `input.format: text` alone: all others are UTF-8")
            }
            Format::Text if *id != Input::default().id => refuse(
                "input.id",
                format!("is `{id}`, but under `input.format: text` the value has no fields, and no id"),
            ),
            Format::Text | Format::Avro | Format::Protobuf | Format::CloudEvents if *lenient => {
                refuse("input.lenient", "is for JSON alone")
            }
            Format::Text => {
                let given = Some(("input.text", text)).filter(|_| *text != Input::default().text);
                let given = given.into_iter().flat_map(|(key, all)| all.iter().map(move |text| (key, text)));
                match own.chain(given).find(|(_, text)| *text != "/text") {
                    Some((key, text)) => refuse(
                        key,
                        format!(
                            "has `{text}`, but under `input.format: text` the value is the text, and has no fields"
                        ),
                    ),
                    None => Ok(()),
                }
            }
            Format::Json | Format::JsonSchema | Format::Avro | Format::Protobuf | Format::CloudEvents => Ok(()),
        }
    }
}

fn validate_text(key: &str, text: &str) -> Result<(), ConfigError> {
    template::pieces(text).map(drop).or_else(|why| refuse(key, why))
}
