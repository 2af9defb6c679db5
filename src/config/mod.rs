//! The configuration: its shape, its defaults, and what must hold of it.
//!
//! [`load`](Config::load) reads it in layers (defaults, file, environment, `--set`).

pub mod cases;
mod clean;
mod cluster;
mod cores;
mod delivery;
mod device;
mod dotted;
mod error;
mod events;
mod expand;
mod formats;
pub mod installed;
mod key;
mod kinds;
mod layers;
pub mod location;
pub mod mark;
mod mistakes;
mod near;
mod place;
mod places;
mod print;
pub mod redact;
mod registry;
mod routes;
mod rows;
mod secrets;
mod settings;
pub mod start;
mod taggers;
pub mod template;
mod topics;
mod tree;
mod twice;
mod words;
mod written;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::clean::Clean;
pub use self::cores::most_cores;
pub use self::delivery::{DeadLetters, Delivery, Policy, Retries, Transaction};
pub use self::device::{Device, GpuSettings};
pub use self::error::ConfigError;
use self::error::refuse;
pub use self::events::{ContentMode, EventSettings};
pub use self::formats::{Charset, Format, Offsets, OutputFormat, Scores, Shape};
use self::kinds::{Address, Size, Time};
pub(crate) use self::layers::environment;
use self::mistakes::Mistakes;
pub use self::place::Place;
pub use self::redact::{Pattern, RecordKey, Redact, Spans};
pub use self::registry::{Registry, Subjects};
pub use self::routes::{OnRouteError, Otherwise, Route};
pub use self::settings::{ModelSettings, TaggerSettings, WindowSettings};
use self::start::Start;
pub use self::taggers::{Aggregation, LongDocuments, Model, Shadow, Tagger, TaggerModel, WindowScores};
pub use self::topics::Inputs;

/// The configuration of `tagbert run`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The Kafka cluster and how to speak to it.
    pub kafka: Kafka,
    /// The documents to read.
    pub input: Input,
    /// The schema registry, of `format: avro`.
    pub registry: Registry,
    /// Where enriched records and dead letters go.
    pub output: Output,
    /// Where tagged documents go, if not to `output.topic`: rules, of which the first one that holds counts.
    pub routes: Vec<Route>,
    /// The model that tags.
    pub model: Model,
    /// Several taggers; without them, `model` is the only one, and its tags have its heads' names.
    pub taggers: Vec<Tagger>,
    /// A second model that is tried on the same documents, and publishes nothing: `GET /shadow` says how it differs.
    pub shadow: Option<Shadow>,
    /// How documents are batched for the model.
    pub batch: Batch,
    /// What readers of the output may count on.
    pub delivery: Delivery,
    /// Under `delivery: exactly-once`, when transactions are committed.
    pub transaction: Transaction,
    /// How often what failed is tried again.
    pub retries: Retries,
    /// What is done with records that can't be tagged or delivered.
    pub dead_letters: DeadLetters,
    /// What is masked before it is written.
    pub redact: Vec<Redact>,
    /// What spares the model texts that it has tagged before.
    pub cache: Cache,
    /// What bounds memory.
    pub limits: Limits,
    /// The HTTP port for probes, metrics, the shadow's report and reloads.
    pub http: Http,
    /// How the worker stops.
    pub shutdown: Shutdown,
    /// What it is tried with by `tagbert test`. They may also stand in a file beside it: `local.test.yaml` of `local.yaml`.
    #[serde(skip_serializing)]
    pub tests: Vec<cases::Case>,
    /// What was written for the values that have a file's text in them (`${file:…}`), by their keys.
    #[serde(skip)]
    pub from_files: BTreeMap<String, String>,
    /// Where expressions stand, by their keys: what is wrong with them is known only when the models are.
    #[serde(skip)]
    pub places: BTreeMap<String, Place>,
}

/// The Kafka cluster.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of one or more brokers, separated by commas. `KAFKA_BOOTSTRAP_SERVERS` sets it too. `embedded` is
    /// librdkafka's mock cluster within the process, for `tagbert demo` alone.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// Any property of librdkafka, for consumer and producer alike, such as `security.protocol` or `sasl.password`. With
    /// `_file` behind its name, as in `sasl.password_file`, it names the file that has the value.
    #[serde(deserialize_with = "layers::properties")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub properties: BTreeMap<String, String>,
    /// The files that properties were read from, by the `_file` key.
    #[serde(skip)]
    pub files: BTreeMap<String, PathBuf>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            group: "tagbert".into(),
            properties: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }
}

/// The documents to read.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// The topics: names, and patterns, which begin with `^` and match topics that come later, too (`^logs\..*`). What the
    /// worker writes to is never read.
    #[serde(deserialize_with = "layers::list")]
    pub topics: Vec<String>,
    /// Where a group begins that has committed nothing yet: `earliest`, `latest`, a time, or so long ago. Partitions that
    /// come later are read from their beginning.
    #[schemars(with = "Option<String>", example = &"2h ago")]
    pub start: Option<Start>,
    /// JSON pointer (RFC 6901) to the document's id.
    pub id: String,
    /// JSON pointers to the texts to tag, such as `/body` or `/comments/*/text`, or templates, such as `{/subject}: {/body}`;
    /// several are joined by a newline, those that a document lacks are passed over.
    #[serde(deserialize_with = "template::list")]
    pub text: Vec<String>,
    /// What the values of records are.
    pub format: Format,
    /// Of `format: text`, the encoding by its name, such as `windows-1252` or `shift_jis`.
    #[schemars(with = "String")]
    pub charset: Charset,
    /// Of `format: json`, whether `NaN`, `Infinity` and a comma behind the last element are passed.
    pub lenient: bool,
    /// What is done to texts before they are tagged, one step after the other. The document stays as it is, and entities
    /// stand where they stand in it.
    #[serde(deserialize_with = "layers::words")]
    pub clean: Vec<Clean>,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            topics: vec!["documents".into()],
            start: None,
            id: "/id".into(),
            text: vec!["/subject".into(), "/body".into()],
            format: Format::default(),
            charset: Charset::default(),
            lenient: false,
            clean: Vec::new(),
        }
    }
}

/// Where results go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// The topic of enriched records.
    pub topic: String,
    /// The topic of records that could not be tagged.
    pub dead_letters: String,
    /// Whether the enriched record holds the original document.
    pub document: KeepDocument,
    /// What the values of enriched records are.
    pub format: OutputFormat,
    /// Of `format: cloudevents`, how the events are.
    pub cloudevents: EventSettings,
    /// How the enriched record is built.
    pub shape: Shape,
    /// What `start` and `end` of entities count.
    pub offsets: Offsets,
    /// Where something is masked (`redact`), which text `start` and `end` of entities are of: the masked one, or the one that
    /// came.
    pub spans: Spans,
    /// Where something is masked, what becomes of the record's key. Routes and tombstones see it so, too.
    pub key: Option<RecordKey>,
    /// Which scores the tag of a class has beside that of the best label.
    #[schemars(with = "kinds::WhichScores")]
    pub scores: Scores,
    /// Other names for labels and entity types, by tag.
    #[schemars(example = serde_json::json!({"spam": {"ham": "OK", "spam": "SPAM"}}))]
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// What takes documents that none of `routes` takes: `output.topic`, or nothing.
    pub otherwise: Otherwise,
    /// What becomes of a document on which an expression of a route fails.
    pub on_route_error: OnRouteError,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            topic: "documents.tagged".into(),
            dead_letters: "documents.dead".into(),
            document: KeepDocument::default(),
            format: OutputFormat::default(),
            cloudevents: EventSettings::default(),
            shape: Shape::default(),
            offsets: Offsets::default(),
            spans: Spans::default(),
            key: None,
            scores: Scores::default(),
            labels: BTreeMap::new(),
            otherwise: Otherwise::default(),
            on_route_error: OnRouteError::default(),
        }
    }
}

/// Whether the enriched record holds the original document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeepDocument {
    /// It does, byte for byte.
    #[default]
    Keep,
    /// It does not.
    Drop,
}

/// How documents are batched.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// A batch's budget in tokens, padding included. Small ones stay in a core's cache; a GPU wants 16384 or more.
    pub tokens: usize,
    /// How long a document may wait for others that are on their way. An upper bound, not a toll.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub wait: Duration,
    /// Within what time a document is to be through a model, once it has been tokenized: batches are made so small that it
    /// is, as long as the model keeps up. None: they are as large as `tokens` lets them be.
    #[serde(with = "humantime_serde::option")]
    #[schemars(with = "Option<Time>", example = &"100ms")]
    pub latency_target: Option<Duration>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { tokens: 512, wait: Duration::from_millis(20), latency_target: None }
    }
}

/// The memory of what was tagged before.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Bytes for the tags of texts that may come again, as long as the same models are in use. A text that is in flight is
    /// tagged once, too. 0 tags each document anew.
    #[schemars(with = "Size")]
    pub size: ByteSize,
}

impl Default for Cache {
    fn default() -> Self {
        Self { size: ByteSize::mib(32) }
    }
}

/// To wait for longer than that is a slip.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A smaller cache would hold nothing of use: it is a slip, such as a unit left out.
const LEAST_CACHE: ByteSize = ByteSize::kib(64);

/// What bounds memory.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes on their way, until they are acknowledged; beyond it, nothing is taken. A quarter more is fetched ahead.
    #[schemars(with = "Size")]
    pub in_flight: ByteSize,
    /// A larger record goes to the dead-letter topic.
    #[schemars(with = "Size")]
    pub document: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: ByteSize::mib(64), document: ByteSize::mib(1) }
    }
}

/// The HTTP port.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Its address; port 0 takes any free one. Whoever reaches it can read `/livez`, `/readyz` and `/metrics`, and
    /// without a token also `/shadow`, and ask for a reload by `POST /models/reload`.
    #[schemars(with = "Address")]
    pub listen: SocketAddr,
    /// What `/shadow` and `/models/reload` are to be asked with: `Authorization: Bearer TOKEN`.
    pub token: Option<String>,
    /// The file that has the token.
    #[schemars(example = &"/run/secrets/token")]
    pub token_file: Option<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), token: None, token_file: None }
    }
}

/// How the worker stops.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long what is in flight may take to finish after SIGTERM or SIGINT.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Time")]
    pub timeout: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30) }
    }
}

impl Config {
    /// What deserializing can't check. Each check names the keys that it looks at, and finds one mistake at most.
    fn validate(&self, mistakes: &mut Mistakes) {
        self.validate_cluster(mistakes);
        self.validate_topics(mistakes);
        self.validate_texts(mistakes);
        self.validate_routes(mistakes);
        self.validate_taggers(mistakes);
        self.validate_delivery(mistakes);
        self.validate_cases(mistakes);
        mistakes.check(&["input.start", "kafka.properties.auto.offset.reset"], self.validate_start());
        mistakes.check(&["shadow", "model", "taggers"], self.validate_shadow());
        mistakes.check(&["input", "output", "taggers"], self.validate_formats());
        mistakes.check(&["input.clean", "redact", "output.format"], self.validate_clean());
        self.validate_redact(mistakes);
        mistakes.check(&["registry", "input.format", "output.format"], self.validate_registry());
        mistakes.check(&["http.token"], self.validate_token());
        mistakes.check(&["batch.tokens"], self.batch.validate_tokens());
        mistakes.check(&["batch.wait"], self.batch.validate_wait());
        mistakes.check(&["batch.latency_target"], self.batch.validate_latency_target());
        mistakes.check(&["limits"], self.limits.validate());
        mistakes.check(&["cache"], self.cache.validate());
    }

    fn validate_token(&self) -> Result<(), ConfigError> {
        let is_visible = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if self.http.token.as_ref().is_none_or(is_visible) {
            return Ok(());
        }
        refuse("http.token", "must be visible ASCII, without blanks: `openssl rand -hex 32` makes one")
    }
}

impl Batch {
    fn validate_tokens(&self) -> Result<(), ConfigError> {
        if self.tokens == 0 { refuse("batch.tokens", "must be 1 or more") } else { Ok(()) }
    }

    fn validate_wait(&self) -> Result<(), ConfigError> {
        if self.wait > LONGEST_WAIT { refuse("batch.wait", "must be an hour or less") } else { Ok(()) }
    }

    fn validate_latency_target(&self) -> Result<(), ConfigError> {
        if self.latency_target.is_some_and(|target| target.is_zero() || target > LONGEST_WAIT) {
            return refuse("batch.latency_target", "must be more than 0, and an hour or less");
        }
        Ok(())
    }
}

impl Limits {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.document.as_u64() == 0 || self.in_flight < self.document {
            return refuse("limits.in_flight", "must be `limits.document` or more, and that must not be 0");
        }
        Ok(())
    }
}

impl Cache {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.size.as_u64() != 0 && self.size < LEAST_CACHE {
            return refuse("cache.size", format!("is {}: must be {LEAST_CACHE} or more, or 0 for none", self.size));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
