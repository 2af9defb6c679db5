//! How much came of what: counted by who writes results, and counted again from the topics by who checks it.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::record::tag::Tag;

/// How much came of what, and which tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Records of the input: the sum of what came of them.
    #[serde(rename = "in")]
    pub input: u64,
    /// Enriched records.
    #[serde(rename = "out")]
    pub enriched: u64,
    /// Tombstones that were passed on.
    pub tombstones: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Records of which nothing was written (`dead_letters.policy: skip`).
    pub skipped: u64,
    /// Records of which nothing was written, as a route says.
    #[serde(default)]
    pub filtered: u64,
    /// How many results went to each topic; with `routes`, one may go to several.
    #[serde(default)]
    pub topics: BTreeMap<String, u64>,
    /// How often each label was given, by tag; of entities, each type. No label (below its threshold) is `null`.
    pub labels: BTreeMap<String, BTreeMap<String, u64>>,
    /// The sum, modulo 2^128, of a hash of each result: of its record's id and its tags, or of that and what else became of
    /// it. Neither order nor repetition change it.
    pub checksum: Checksum,
}

/// A number of 128 bits, in hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(u128);

impl From<Checksum> for String {
    fn from(Checksum(sum): Checksum) -> Self {
        format!("{sum:032x}")
    }
}

impl TryFrom<String> for Checksum {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self).map_err(|_| "not 32 hexadecimal digits")
    }
}

impl AddAssign for Checksum {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl JsonSchema for Checksum {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Checksum".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
    }
}

/// The part of an enriched record that says what it is about.
#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(borrow)]
    tags: &'a RawValue,
}

impl Account {
    /// A document was tagged: its record's id, and the value of the enriched record.
    pub fn enriched(&mut self, id: &str, value: &[u8]) {
        self.enriched += 1;
        let tags = serde_json::from_slice(value).map_or("", |Tagged { tags }| tags.get());
        for (name, tag) in serde_json::from_str::<BTreeMap<String, Tag>>(tags).unwrap_or_default() {
            let given = self.labels.entry(name).or_default();
            let mut count = |label: &str| *given.entry(label.to_owned()).or_default() += 1;
            match tag {
                Tag::Class(class) => count(class.label.as_deref().unwrap_or("null")),
                Tag::Labels(labels) => labels.iter().for_each(|label| count(&label.label)),
                Tag::Entities(entities) => entities.iter().for_each(|entity| count(&entity.kind)),
                Tag::Number(_) => {}
            }
        }
        self.add(id, "enriched", tags);
    }

    /// A tombstone was passed on.
    pub fn tombstone(&mut self, id: &str) {
        self.tombstones += 1;
        self.add(id, "tombstone", "");
    }

    /// A record became a dead letter.
    pub fn dead_letter(&mut self, id: &str) {
        self.dead_letters += 1;
        self.add(id, "dead letter", "");
    }

    /// Nothing was written of a record.
    pub fn skipped(&mut self) {
        self.skipped += 1;
        self.input += 1;
    }

    /// Nothing was written of a record, as a route says.
    pub fn filtered(&mut self) {
        self.filtered += 1;
        self.input += 1;
    }

    /// A result went to these topics.
    pub fn went<'t>(&mut self, topics: impl IntoIterator<Item = &'t str>) {
        for topic in topics {
            *self.topics.entry(topic.to_owned()).or_default() += 1;
        }
    }

    fn add(&mut self, id: &str, what: &str, tags: &str) {
        self.input += 1;
        let digest = Sha256::digest([id, what, tags].join("\0"));
        let first = digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte));
        self.checksum.0 = self.checksum.0.wrapping_add(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = br#"{"id":1,"tags":{"topic":{"label":"sport","score":0.9},"spam":{"label":null,"score":0.5},
        "entities":[{"type":"PER","text":"Ann","start":0,"end":3,"score":0.9}]},"tagged_at":"2026-11-28T00:00:00Z"}"#;

    #[test]
    fn the_sum_depends_on_the_tags_and_not_on_the_order_or_the_time() {
        let later = String::from_utf8(VALUE.to_vec()).unwrap().replace("00:00:00Z", "09:00:00Z");
        let (mut one, mut other) = (Account::default(), Account::default());
        one.enriched("in-0-1", VALUE);
        one.dead_letter("in-0-2");
        other.dead_letter("in-0-2");
        other.enriched("in-0-1", later.as_bytes());
        assert_eq!(one, other);
        assert_eq!(one.labels["topic"]["sport"], 1);
        assert_eq!(one.labels["spam"]["null"], 1);
        assert_eq!(one.labels["entities"]["PER"], 1);
        let changed = later.replace("0.9", "0.8");
        let mut third = Account::default();
        third.dead_letter("in-0-2");
        third.enriched("in-0-1", changed.as_bytes());
        assert_ne!(one.checksum, third.checksum);
    }

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let mut account = Account::default();
        account.enriched("in-0-1", VALUE);
        account.skipped();
        let text = serde_json::to_string(&account).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
        assert_eq!(account.input, 2);
    }
}
