//! Which topics a tagged document goes to. What the expressions mean is for [`route`](crate::route) to say; here is what can
//! be wrong without reading them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::refuse;
use super::mistakes::Mistakes;
use super::topics::is_topic;
use super::{Config, ConfigError, layers};

/// A rule for tagged documents: the first one that holds says where a document goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// The condition, in CEL, over `tags`, `document`, `headers`, `key` and `source`. Without it, the rule holds for all.
    #[schemars(example = &"tags.spam.label == 'spam' && tags.spam.score > 0.9")]
    pub when: Option<String>,
    /// The topic; with `topics`, an expression that gives one of those.
    #[schemars(example = &"documents.spam")]
    pub to: Option<String>,
    /// The topics that `to` may give, if it is an expression: a document can't invent one.
    #[serde(deserialize_with = "layers::list")]
    #[schemars(example = serde_json::json!(["documents.sport", "documents.business"]))]
    pub topics: Vec<String>,
    /// Whether nothing is written of the document; it is counted as filtered.
    pub drop: bool,
    /// Whether the rules behind this one are looked at all the same: the document goes there, too.
    pub copy: bool,
    /// An expression for the record's key, in place of its own; null is no key.
    #[schemars(example = &"document.user")]
    pub key: Option<String>,
    /// An expression for the partition. Without it, the key says which.
    #[schemars(example = &"source.partition")]
    pub partition: Option<String>,
    /// Headers that are put in, by their names: expressions for their values. Null puts none in.
    #[schemars(example = serde_json::json!({"label": "tags.topic.label"}))]
    pub headers: BTreeMap<String, String>,
}

/// What takes a document that no route takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// `output.topic` does.
    #[default]
    Default,
    /// Nothing is written of it; it is counted as filtered.
    Drop,
}

/// What becomes of a document on which an expression of a route fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnRouteError {
    /// It becomes a dead letter of the class `RouteError`, and goes nowhere else.
    #[default]
    DeadLetter,
    /// It goes where documents go that no route takes, besides where earlier routes had it copied to.
    Otherwise,
}

impl Route {
    /// The topics that it may send a document to.
    #[must_use]
    pub fn targets(&self) -> &[String] {
        if self.topics.is_empty() { self.to.as_slice() } else { &self.topics }
    }
}

impl Config {
    /// Every topic that documents may go to, each once; `output.topic` is the first, if any can go there.
    #[must_use]
    pub fn output_topics(&self) -> Vec<&str> {
        let mut topics = Vec::new();
        let usual = self.takes_the_rest().then_some(&self.output.topic);
        for topic in usual.into_iter().chain(self.routes.iter().flat_map(Route::targets)) {
            if !topics.contains(&topic.as_str()) {
                topics.push(topic);
            }
        }
        topics
    }

    /// Whether a document may go to `output.topic` because no route takes it.
    #[must_use]
    pub fn takes_the_rest(&self) -> bool {
        let takes_all = |route: &Route| route.when.is_none() && !route.copy;
        let may_fail = self.output.on_route_error == OnRouteError::Otherwise;
        self.output.otherwise == Otherwise::Default && (may_fail || !self.routes.iter().any(takes_all))
    }

    pub(super) fn validate_routes(&self, mistakes: &mut Mistakes) {
        for (number, route) in self.routes.iter().enumerate() {
            mistakes.check(&["routes", "input.topics", "output"], self.validate_route(number, route));
        }
        if self.routes.is_empty() && self.output.otherwise == Otherwise::Drop {
            let why = "drops every document, since there are no `routes`";
            mistakes.check(&["routes", "output"], refuse("output.otherwise", why));
        }
        if self.output.on_route_error == OnRouteError::Otherwise && self.output.otherwise == Otherwise::Drop {
            let why =
                "can't be `otherwise` with `output.otherwise: drop`: a slip in an expression would lose documents";
            mistakes.check(&["output"], refuse("output.on_route_error", why));
        }
    }

    fn validate_route(&self, number: usize, route: &Route) -> Result<(), ConfigError> {
        let at = |name: &str| format!("routes[{number}]{}{name}", if name.is_empty() { "" } else { "." });
        match (&route.to, route.drop) {
            (None, false) => return refuse(&at(""), "says not where to: it must have `to`, or `drop: true`"),
            (Some(_), true) => return refuse(&at("drop"), "and `to` exclude each other"),
            (None, true) if route.copy => return refuse(&at("copy"), "makes no sense with `drop`"),
            (None, true) if !route.topics.is_empty() || has_own(route) => {
                return refuse(&at("drop"), "writes nothing: `topics`, `key`, `partition` and `headers` say how");
            }
            _ => {}
        }
        if let Some(to) = route.to.as_ref().filter(|to| route.topics.is_empty() && !is_topic(to)) {
            let why = format!(
                "is `{}`, no topic's name; if it is an expression, `topics` must name all that it may give",
                to.escape_debug()
            );
            return refuse(&at("to"), why);
        }
        for topic in route.targets() {
            let key = at(if route.topics.is_empty() { "to" } else { "topics" });
            if !is_topic(topic) {
                return refuse(&key, format!("has `{}`, no topic's name", topic.escape_debug()));
            }
            if self.input.topics.contains(topic) {
                return refuse(&key, format!("`{topic}` is an input topic too: its records would go round for ever"));
            }
            if *topic == self.output.dead_letters {
                return refuse(&key, format!("`{topic}` is `output.dead_letters`: who replays those takes them all"));
            }
        }
        if let Some(name) = route.headers.keys().find(|name| is_ours(name)) {
            let why = "can't be set: names that begin so are tagbert's own, and its readers go by them";
            return refuse(&at(&format!("headers.{}", name.escape_debug())), why);
        }
        if route.when.is_none() && !route.copy && number + 1 < self.routes.len() {
            return refuse(&at(""), "takes every document, so that none comes to the routes behind it");
        }
        Ok(())
    }
}

fn has_own(route: &Route) -> bool {
    route.key.is_some() || route.partition.is_some() || !route.headers.is_empty()
}

/// Whether a header says something that readers take from tagbert alone.
fn is_ours(name: &str) -> bool {
    let begins = ["tagbert.", "__connect.errors."].iter().any(|prefix| name.starts_with(prefix));
    name.is_empty() || name.contains('\0') || name == "traceparent" || begins
}
