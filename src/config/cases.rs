//! Cases that a configuration is tried with (`tagbert test`): a record, and what is to become of it. A case that would check
//! nothing is a mistake.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::refuse;
use super::mistakes::Mistakes;
use super::{Config, ConfigError, layers, template};

/// A record, and what is to become of it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    #[schemars(example = &"a prize is spam")]
    pub name: String,
    /// The record.
    pub input: CaseRecord,
    /// What is to become of it: only what is said is looked at, and something must be.
    pub expect: Expect,
}

/// A record as it would come from Kafka: with `json`, `text`, `base64`, `file` or `tombstone`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CaseRecord {
    /// Its value: a text that is JSON.
    #[schemars(with = "String", example = &r#"{"id": "1", "body": "Hi"}"#)]
    pub json: Option<String>,
    /// Its value: any text.
    #[schemars(with = "String", example = &"Hi")]
    pub text: Option<String>,
    /// Its value: any bytes.
    #[schemars(with = "String", example = &"SGk=")]
    pub base64: Option<String>,
    /// The file that has its value, beside the configuration.
    #[schemars(with = "String", example = &"mail.json")]
    pub file: Option<PathBuf>,
    /// Whether it has no value.
    pub tombstone: bool,
    /// Its key.
    #[schemars(with = "String", example = &"customer-7")]
    pub key: Option<String>,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// The topic that it comes from, instead of the first of `input.topics`.
    #[schemars(with = "String", example = &"documents")]
    pub topic: Option<String>,
}

/// What is to become of a record.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// The topic that it goes to; null: to none.
    #[serde(deserialize_with = "said")]
    #[schemars(with = "Option<String>", example = &"documents.tagged")]
    pub topic: Option<Said>,
    /// The topics that it goes to, if there are several: exactly these, in any order.
    #[serde(deserialize_with = "layers::some_list")]
    #[schemars(with = "Vec<String>", example = ["documents.tagged", "documents.spam"])]
    pub topics: Option<Vec<String>>,
    /// The class of the error, if it is to be a dead letter, such as `NotJson`.
    #[schemars(with = "String", example = &"NotJson")]
    pub dead_letter: Option<String>,
    /// Its tags, by their names; others may be there.
    pub tags: BTreeMap<String, ExpectTag>,
    /// Headers that it has in the end, with their values; null: there is none of that name. Others may be there. Of several
    /// topics, in one of them.
    pub headers: BTreeMap<String, Option<String>>,
    /// Its key; null: it has none. Of several topics, in one of them.
    #[serde(deserialize_with = "said")]
    #[schemars(with = "Option<String>", example = &"customer-7")]
    pub key: Option<Said>,
    /// The partition that a route chooses.
    pub partition: Option<u32>,
    /// What stands in the document that is written, by JSON pointers: a text, or something else as JSON has it; null: nothing.
    #[schemars(example = serde_json::json!({"/body": "[PER] has called"}))]
    pub document: BTreeMap<String, Option<String>>,
    /// Texts that stand nowhere in what is written, neither in a key, nor in a header, nor in a value.
    #[serde(deserialize_with = "layers::list")]
    #[schemars(example = ["Ada Lovelace"])]
    pub without: Vec<String>,
}

/// What a tag is to be.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectTag {
    /// The label of a class; null: its score is below the threshold.
    #[serde(deserialize_with = "said")]
    #[schemars(with = "Option<String>", example = &"spam")]
    pub label: Option<Said>,
    /// The score of a class.
    #[schemars(with = "String", example = &">= 0.9")]
    pub score: Option<Numbers>,
    /// The value of a regression.
    #[schemars(with = "String", example = &"1 .. 2.5")]
    pub value: Option<Numbers>,
    /// The labels of a head that may give several: exactly these, in any order.
    #[serde(deserialize_with = "layers::some_list")]
    #[schemars(with = "Vec<String>", example = ["urgent"])]
    pub labels: Option<Vec<String>>,
    /// The entities: exactly these, in the order of the text.
    #[schemars(with = "Vec<ExpectEntity>")]
    pub entities: Option<Vec<ExpectEntity>>,
    /// Some of the entities, in any order.
    #[schemars(with = "Vec<ExpectEntity>")]
    pub contains: Option<Vec<ExpectEntity>>,
}

/// An entity that is to be found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectEntity {
    /// Its type.
    #[serde(rename = "type")]
    #[schemars(example = &"PER")]
    pub kind: String,
    /// Its text.
    #[schemars(example = &"Ada Lovelace")]
    pub text: String,
}

/// Numbers that will do: `>= 0.9`, `< 0.5`, or `0.4 .. 0.6`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Numbers {
    /// This or more.
    AtLeast(f64),
    /// More than this.
    Above(f64),
    /// This or less.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// These two, and what is between them.
    Between(f64, f64),
}

impl TryFrom<String> for Numbers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let begun = |sign: &str| text.trim().strip_prefix(sign).and_then(number);
        let between = || {
            let (least, most) = text.split_once("..")?;
            let (least, most) = (number(least)?, number(most)?);
            (least <= most).then_some(Self::Between(least, most))
        };
        begun(">=")
            .map(Self::AtLeast)
            .or_else(|| begun("<=").map(Self::AtMost))
            .or_else(|| begun(">").map(Self::Above))
            .or_else(|| begun("<").map(Self::Below))
            .or_else(between)
            .ok_or_else(|| {
                format!("is `{text}`: must be a range of numbers, such as `>= 0.9`, `< 0.5` or `0.4 .. 0.6`")
            })
    }
}

impl From<Numbers> for String {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::AtLeast(number) => format!(">= {number}"),
            Numbers::Above(number) => format!("> {number}"),
            Numbers::AtMost(number) => format!("<= {number}"),
            Numbers::Below(number) => format!("< {number}"),
            Numbers::Between(least, most) => format!("{least} .. {most}"),
        }
    }
}

impl Numbers {
    /// Whether a number is one of them.
    #[must_use]
    pub fn has(self, number: f64) -> bool {
        match self {
            Self::AtLeast(least) => number >= least,
            Self::Above(least) => number > least,
            Self::AtMost(most) => number <= most,
            Self::Below(most) => number < most,
            Self::Between(least, most) => (least..=most).contains(&number),
        }
    }
}

/// A name, or null: that null is said is not that nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Said(pub Option<String>);

fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Said>, D::Error> {
    Option::<String>::deserialize(from).map(|name| Some(Said(name)))
}

impl CaseRecord {
    /// The bytes of its value; `None` for a tombstone.
    ///
    /// # Errors
    /// With the reason, when it has none, or several, or it is not what it is called.
    pub fn value(&self, folder: &Path) -> Result<Option<Vec<u8>>, String> {
        let Self { json, text, base64, file, tombstone, .. } = self;
        match (json, text, base64, file, tombstone) {
            (Some(json), None, None, None, false) => match serde_json::from_str::<serde::de::IgnoredAny>(json) {
                Ok(_) => Ok(Some(json.clone().into_bytes())),
                Err(error) => Err(format!("has a `json` that is none ({error}): what is to be none is a `text`")),
            },
            (None, Some(text), None, None, false) => Ok(Some(text.clone().into_bytes())),
            (None, None, Some(base64), None, false) => {
                let bytes = BASE64_STANDARD.decode(base64.split_whitespace().collect::<String>());
                bytes.map(Some).map_err(|error| format!("has a `base64` that is none: {error}"))
            }
            (None, None, None, Some(file), false) => {
                let bytes = std::fs::read(folder.join(file));
                bytes.map(Some).map_err(|error| format!("names the file {}: {error}", file.display()))
            }
            (None, None, None, None, true) => Ok(None),
            _ => Err("must have one of `json`, `text`, `base64`, `file` and `tombstone: true`".into()),
        }
    }
}

impl Config {
    /// The cases of a file that has nothing else in it.
    ///
    /// # Errors
    /// As for [`Config::load`], when there are none, or there is anything else.
    pub fn cases(file: &Path) -> Result<Vec<Case>, ConfigError> {
        let yaml = layers::read(file)?;
        let (config, layers) = Self::with_layers(&yaml, layers::environment(), &[])?;
        if let Some(other) = layers.keys_of_file().find(|key| *key != "tests") {
            return refuse(other, "has no place in a file of cases: there is only `tests`");
        }
        if config.tests.is_empty() {
            return refuse("tests", "is empty: there is nothing to try");
        }
        Ok(config.tests)
    }

    pub(super) fn validate_cases(&self, mistakes: &mut Mistakes) {
        for (n, case) in self.tests.iter().enumerate() {
            mistakes.check(&["tests"], validate_case(case, &format!("tests[{n}]")));
            if self.tests[..n].iter().any(|earlier| earlier.name == case.name) {
                let why = format!("is `{}` again: no two cases have one name", case.name);
                mistakes.check(&["tests"], refuse(&format!("tests[{n}].name"), why));
            }
        }
    }
}

fn validate_case(case: &Case, key: &str) -> Result<(), ConfigError> {
    let Expect { topic, topics, dead_letter, tags, headers, key: of_record, partition, document, without } =
        &case.expect;
    if case.name.trim().is_empty() {
        return refuse(&format!("{key}.name"), "is empty");
    }
    // What a file has is known to who runs the case.
    if case.input.file.is_none()
        && let Err(why) = case.input.value(Path::new(""))
    {
        return refuse(&format!("{key}.input"), why);
    }
    if topic.is_some() && topics.is_some() {
        return refuse(&format!("{key}.expect"), "has `topic`, and `topics`: one of them says where it goes");
    }
    let says_where = topic.is_some() || topics.is_some() || dead_letter.is_some() || partition.is_some();
    let has_maps = !tags.is_empty() || !headers.is_empty() || !document.is_empty();
    if !says_where && !has_maps && of_record.is_none() && without.is_empty() {
        return refuse(&format!("{key}.expect"), "says nothing, so that nothing would be checked");
    }
    for pointer in document.keys() {
        template::pointer(pointer).or_else(|why| refuse(&format!("{key}.expect.document"), why))?;
    }
    if without.iter().any(|text| text.trim().is_empty()) {
        return refuse(&format!("{key}.expect.without"), "has an empty text, which stands everywhere");
    }
    if dead_letter.is_some() && !tags.is_empty() {
        return refuse(&format!("{key}.expect"), "has tags, and `dead_letter`: what is a dead letter has none");
    }
    for (name, ExpectTag { label, score, value, labels, entities, contains }) in tags {
        let is_class = label.is_some() || score.is_some();
        let kinds = [is_class, value.is_some(), labels.is_some(), entities.is_some() || contains.is_some()];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            let why = "must say what a class is (`label`, `score`), or a number (`value`), or several labels (`labels`), or \
                       entities (`entities`, `contains`)";
            return refuse(&format!("{key}.expect.tags.{name}"), why);
        }
        if contains.as_ref().is_some_and(Vec::is_empty) {
            return refuse(
                &format!("{key}.expect.tags.{name}.contains"),
                "has none: that none are there is `entities: []`",
            );
        }
    }
    Ok(())
}
