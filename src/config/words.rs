//! Holds what was configured against the schema, and answers mistakes in its words: what the key is, what it may be, an
//! example, the nearest valid value.

use config::{Value, ValueKind};
use schemars::schema_for;
use serde_json::Value as Json;

use super::mistakes::Mistakes;
use super::{Config, ConfigError, near};

/// The schema of the configuration.
pub(super) struct Words {
    schema: Json,
    /// Every key that there may be, dotted.
    known: Vec<String>,
}

impl Words {
    pub fn new() -> Self {
        let schema = schema_for!(Config).to_value();
        let mut words = Self { schema, known: Vec::new() };
        let mut known = Vec::new();
        words.add_known(&words.schema, "", &mut known);
        words.known = known;
        words
    }

    fn add_known(&self, schema: &Json, prefix: &str, known: &mut Vec<String>) {
        for (name, below) in properties(self.kind(schema)) {
            let key = format!("{prefix}{name}");
            let kind = self.kind(below);
            known.push(key.clone());
            self.add_known(kind.get("items").unwrap_or(kind), &format!("{key}."), known);
        }
    }

    /// What a schema comes to, behind references and `or null`.
    fn kind<'s>(&'s self, schema: &'s Json) -> &'s Json {
        let reference = schema["$ref"].as_str().and_then(|path| self.schema.pointer(path.strip_prefix('#')?));
        let some = || schema["anyOf"].as_array()?.iter().find(|one| one["type"] != "null");
        reference.or_else(some).map_or(schema, |found| self.kind(found))
    }

    /// The schema of a key, if it has one.
    fn of(&self, key: &str) -> Option<&Json> {
        let mut schema = &self.schema;
        for name in key.split('.') {
            let (name, index) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
            let kind = self.kind(schema);
            schema = kind["properties"].get(name).or_else(|| kind.get("additionalProperties"))?;
            if index {
                schema = self.kind(schema).get("items")?;
            }
        }
        Some(schema)
    }

    /// Looks for keys that are not there, and for values that can't be what their keys are.
    pub fn check(&self, tree: &Value, mistakes: &mut Mistakes) {
        self.check_at(tree, &self.schema, "", mistakes);
    }

    fn check_at(&self, value: &Value, schema: &Json, key: &str, mistakes: &mut Mistakes) {
        let kind = self.kind(schema);
        let within = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match &value.kind {
            // A section that is closed has no other keys; an open one has any.
            ValueKind::Table(table) if is(kind, "object") => {
                for (name, value) in table {
                    match (kind["properties"].get(name), kind.get("additionalProperties")) {
                        (Some(below), _) | (None, Some(below @ Json::Object(_))) => {
                            self.check_at(value, below, &within(name), mistakes);
                        }
                        (None, Some(Json::Bool(true))) => {}
                        (None, _) => mistakes.note(self.unknown(within(name))),
                    }
                }
            }
            ValueKind::Array(elements) if is(kind, "array") => {
                for (n, element) in elements.iter().enumerate() {
                    self.check_at(element, &kind["items"], &format!("{key}[{n}]"), mistakes);
                }
            }
            // A list of texts may be written in one, and so may one of words that are known.
            ValueKind::String(_) if is(kind, "array") && is(&kind["items"], "string") => {}
            ValueKind::String(text) if is(kind, "array") && !variants(self.kind(&kind["items"])).is_empty() => {
                for (n, word) in elements(text).enumerate() {
                    let word = ValueKind::String(word.to_owned());
                    self.check_at(&Value::new(None, word), &kind["items"], &format!("{key}[{n}]"), mistakes);
                }
            }
            ValueKind::Nil if is_optional(schema) || is_anything(kind) || key == "kafka.properties" => {}
            ValueKind::String(text) if takes(kind, text) => {}
            _ => mistakes.note(self.explain(key, value)),
        }
    }

    /// The key that a name of capitals and underscores was meant for, however many of those stand where.
    pub fn meant_by(&self, name: &str) -> Option<String> {
        let plain = |text: &str| text.replace(['.', '_'], "").to_lowercase();
        let (open, name) = ("kafka.properties", plain(name));
        let property = name.starts_with(&plain(open)).then_some(open);
        let known = self.known.iter().map(String::as_str).find(|known| plain(known) == name);
        known.or(property).map(ToOwned::to_owned)
    }

    fn unknown(&self, key: String) -> ConfigError {
        // In a list, the number of the element says nothing.
        let plain: String = key.split('[').map(|part| part.rsplit(']').next().unwrap_or(part)).collect();
        let plain = plain.to_lowercase();
        let alike = |candidate: &&String| strsim::damerau_levenshtein(candidate, &plain);
        let same_name = self.known.iter().find(|candidate| candidate.rsplit('.').next() == plain.rsplit('.').next());
        let near = |most| self.known.iter().min_by_key(alike).filter(|near| alike(near) <= most);
        let nearest = near(2).or(same_name).or_else(|| near(4));
        ConfigError::UnknownKey { nearest: nearest.cloned(), key }
    }

    /// What is wrong with a value, and what would be right.
    pub fn explain(&self, key: &str, value: &Value) -> ConfigError {
        let schema = self.of(key).unwrap_or(&Json::Null);
        let kind = self.kind(schema);
        let is = match &value.kind {
            ValueKind::Nil => "is empty: leave it out, or it".into(),
            ValueKind::Table(_) => "is a map:".into(),
            ValueKind::Array(_) => "is a list:".into(),
            // What stands where a map should be may hold a password.
            _ if is(kind, "object") || is(&kind["items"], "object") => "is a text:".into(),
            other => format!("is `{}`:", shown(&other.to_string())),
        };
        let nearest = match &value.kind {
            ValueKind::String(text) => near::value(text, &variants(kind), kind, example(schema, kind)),
            _ => None,
        };
        let why = format!("{is} {}must be {}", near::meant(nearest), self.right(key, schema));
        ConfigError::Value { key: key.into(), why }
    }

    /// What is said of a key that must be there.
    pub fn missing(&self, key: &str) -> ConfigError {
        let why = format!("is missing: it must be {}", self.right(key, self.of(key).unwrap_or(&Json::Null)));
        ConfigError::Value { key: key.into(), why }
    }

    /// Whether a key is of a kind that has words of its own.
    pub fn knows(&self, key: &str) -> bool {
        self.of(key).is_some_and(|schema| {
            let kind = self.kind(schema);
            !std::ptr::eq(kind, schema) && kind["description"].is_string() || near::name(kind) != "string"
        })
    }

    /// What a key must be, such as what, and what it is for.
    fn right(&self, key: &str, schema: &Json) -> String {
        let kind = self.kind(schema);
        let variants: Vec<_> = variants(kind).iter().map(|variant| format!("`{variant}`")).collect();
        let right = match (variants.split_last(), near::name(kind)) {
            (Some((last, [])), _) => last.clone(),
            (Some((last, others)), _) => format!("{} or {last}", others.join(", ")),
            (None, "integer") => format!("a whole number from {} on", near::bounds(kind).0),
            (None, "number") => "a number".into(),
            (None, "boolean") => "`true` or `false`".into(),
            (None, "array") => "a list".into(),
            (None, "object") => "a map".into(),
            // Of the kinds with words of their own, and of them alone, the description is what they must be.
            _ if !std::ptr::eq(kind, schema) && kind["description"].is_string() => sentence(&kind["description"]),
            _ => "a text".into(),
        };
        let example = match near::name(kind) {
            "object" => example(schema, kind).and_then(of_section).map(|inside| format!("{key}: {inside}")),
            _ => example(schema, kind).map(in_line),
        };
        let example = example.filter(|_| variants.is_empty() && near::name(kind) != "boolean");
        let example = example.map(|example| format!(", such as `{example}`")).unwrap_or_default();
        let what = Some(sentence(&schema["description"])).filter(|what| !what.is_empty());
        let what = what.map(|what| format!(". What it is: {what}")).unwrap_or_default();
        right + &example + &what
    }
}

/// The keys of a section.
fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn is(kind: &Json, name: &str) -> bool {
    kind["type"] == name || kind["type"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
}

fn is_anything(kind: &Json) -> bool {
    kind["type"].is_null() && variants(kind).is_empty()
}

fn is_optional(schema: &Json) -> bool {
    is(schema, "null") || schema["anyOf"].as_array().is_some_and(|any| any.iter().any(|one| one["type"] == "null"))
}

/// The words that a key may be, if it is one of a few.
fn variants(kind: &Json) -> Vec<&str> {
    let documented = kind["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
    documented.chain(kind["enum"].as_array().into_iter().flatten().filter_map(Json::as_str)).collect()
}

/// Whether a text reads as what the key must be. What only the key itself can tell is left to it.
fn takes(kind: &Json, text: &str) -> bool {
    let variants = variants(kind);
    if !variants.is_empty() {
        return variants.contains(&text);
    }
    if is(kind, "string") || is_anything(kind) {
        return true;
    }
    if is(kind, "integer") {
        let (least, most) = near::bounds(kind);
        return text.parse().is_ok_and(|number: u64| (least..=most).contains(&number));
    }
    if is(kind, "number") {
        return text.parse().is_ok_and(f64::is_finite);
    }
    // As the library takes them.
    is(kind, "boolean") && ["true", "false", "yes", "no", "on", "off", "1", "0"].contains(&text.to_lowercase().as_str())
}

/// An example of a key: one that is given, what it is by default, or one of its kind.
fn example<'s>(schema: &'s Json, kind: &'s Json) -> Option<&'s Json> {
    let own = schema.pointer("/examples/0").or_else(|| schema.get("default").filter(|usual| !is_nothing(usual)));
    own.or_else(|| kind.pointer("/examples/0"))
}

fn is_nothing(usual: &Json) -> bool {
    usual.is_null()
        || usual.as_array().is_some_and(Vec::is_empty)
        || usual.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The first key of a section that says something.
fn of_section(section: &Json) -> Option<String> {
    let (name, value) = section.as_object()?.iter().find(|(_, value)| !is_nothing(value) && !value.is_object())?;
    Some(format!("{{{name}: {}}}", in_line(value)))
}

/// A value as it is written in YAML, on one line.
fn in_line(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(elements) => format!("[{}]", elements.iter().map(in_line).collect::<Vec<_>>().join(", ")),
        Json::Object(_) => of_section(value).unwrap_or_else(|| "{}".into()),
        other => other.to_string(),
    }
}

/// The first sentence of a description, as it stands within another.
fn sentence(description: &Json) -> String {
    let text = description.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let first = text.split_once(". ").map_or(text.as_str(), |(first, _)| first).trim_end_matches('.');
    let mut letters = first.chars();
    match (letters.next(), letters.as_str()) {
        (Some(one), rest) if !rest.starts_with(char::is_uppercase) => one.to_lowercase().chain(rest.chars()).collect(),
        _ => first.to_owned(),
    }
}

/// A text of unknown origin, so long that it can be told.
pub(super) fn shown(text: &str) -> String {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() { format!("{shown}…") } else { shown }
}

/// The elements of a list that is written in one string.
pub(super) fn elements(joined: &str) -> impl Iterator<Item = &str> {
    // A bracket may also be a pattern's: `^logs-[ab]`.
    let inner = joined.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(joined);
    inner.split(',').map(|element| element.trim().trim_matches(['"', '\'']))
}
