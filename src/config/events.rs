//! How records are `CloudEvents`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::refuse;
use super::{Config, ConfigError, Format, Input, OutputFormat, Shape};

/// What the events of enriched records say of themselves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// Whether the event is the value, or headers and a value.
    pub content_mode: ContentMode,
    /// Their `source`, a URI reference. Without it, `/tagbert/` and the consumer group: together with their ids, it tells them
    /// from all others.
    #[schemars(example = &"https://example.com/tagbert/mails")]
    pub source: Option<String>,
    /// Their `type`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { content_mode: ContentMode::default(), source: None, kind: "tagbert.document.enriched".into() }
    }
}

/// How an event is a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContentMode {
    /// The value is the event, in JSON.
    #[default]
    Structured,
    /// Its attributes are headers (`ce_id`), and the value is its data.
    Binary,
}

impl Config {
    /// The `source` of the events that are written.
    #[must_use]
    pub fn event_source(&self) -> String {
        let group = || percent_encoding::utf8_percent_encode(&self.kafka.group, percent_encoding::NON_ALPHANUMERIC);
        self.output.cloudevents.source.clone().unwrap_or_else(|| format!("/tagbert/{}", group()))
    }

    pub(super) fn validate_events(&self) -> Result<(), ConfigError> {
        let EventSettings { source, kind, .. } = &self.output.cloudevents;
        let is_event = self.output.format == OutputFormat::CloudEvents;
        if self.input.format == Format::CloudEvents && self.input.text == Input::default().text {
            let why = "must name the texts within the event, such as `/data/body`, under `input.format: cloudevents`";
            return refuse("input.text", why);
        }
        if !is_event && self.output.cloudevents != EventSettings::default() {
            return refuse("output.cloudevents", "is for `output.format: cloudevents` alone");
        }
        if is_event && self.output.shape == Shape::Headers {
            let why = "is `headers`, which leaves the value as it came, and `output.format: cloudevents` makes an event of it: \
                       one or the other";
            return refuse("output.shape", why);
        }
        if kind.trim().is_empty() {
            return refuse("output.cloudevents.type", "is empty, and every event has one");
        }
        // A reference that is good behind any address is good.
        let base = Url::parse("https://example.com").map_err(|_| ()).ok();
        let is_reference = |source: &String| {
            let is_plain = |letter: char| letter.is_ascii_graphic() && !"<>\"{}|\\^`".contains(letter);
            !source.is_empty()
                && source.chars().all(is_plain)
                && base.as_ref().is_some_and(|base| base.join(source).is_ok())
        };
        if source.as_ref().is_some_and(|source| !is_reference(source)) {
            return refuse(
                "output.cloudevents.source",
                "is no URI reference, such as `https://example.com/tagbert/mails`",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn parsed(yaml: &str) -> Result<Config, ConfigError> {
        Config::parse(yaml, HashMap::new(), &[])
    }

    #[test]
    fn what_no_event_can_be_is_refused() {
        let event = "output: {format: cloudevents, cloudevents: ";
        for (yaml, expected) in [
            ("input: {format: cloudevents}", "such as `/data/body`"),
            ("input: {format: cloudevents, text: /data, lenient: true}", "is for JSON alone"),
            ("output: {cloudevents: {content_mode: binary}}", "is for `output.format: cloudevents` alone"),
            ("output: {format: cloudevents, shape: headers}", "one or the other"),
            (&format!("{event}{{type: ''}}}}"), "is empty"),
            (&format!("{event}{{source: 'my source'}}}}"), "is no URI reference"),
            (&format!("{event}{{source: 'http://['}}}}"), "is no URI reference"),
            (&format!("{event}{{content_mode: Binary}}}}"), "did you mean `binary`"),
        ] {
            let error = parsed(yaml).expect_err(yaml).to_string();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
        for source in ["/tagbert", "urn:example:tagbert", "https://example.com/a?b#c", "//x/y", "mails"] {
            assert!(parsed(&format!("{event}{{source: '{source}'}}}}")).is_ok(), "{source}");
        }
    }

    #[test]
    fn events_of_different_groups_have_different_sources() {
        let source = |yaml: &str| parsed(yaml).unwrap().event_source();
        assert_eq!(source("kafka: {group: 'mails of x'}"), "/tagbert/mails%20of%20x");
        assert_eq!(source("output: {format: cloudevents, cloudevents: {source: /mine}}"), "/mine");
    }
}
