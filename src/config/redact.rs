//! What is masked before it is written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::refuse;
pub use super::key::Key;
use super::mistakes::Mistakes;
use super::{Config, ConfigError, Format, Shape, layers, template};

/// What is masked, and with what. It says one of `entities`, `patterns`, `words` and `fields` alone; `fields` beside `patterns` or
/// `words` says where these are looked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// Types of names that the taggers find in the texts that they read. What is found there is masked wherever it comes again
    /// in the document.
    #[serde(deserialize_with = "layers::some_list")]
    #[schemars(example = ["PER", "ORG"])]
    pub entities: Option<Vec<String>>,
    /// The least score of a name that is masked, 0 to 1. Below the model's own threshold, more is masked than is tagged. Without
    /// it, what is tagged is masked.
    #[schemars(example = 0.3)]
    pub min_score: Option<f32>,
    /// What has a form.
    #[serde(deserialize_with = "layers::some_words")]
    #[schemars(example = ["email", "iban"])]
    pub patterns: Option<Vec<Pattern>>,
    /// Words and names that are masked in any case, whatever the taggers find.
    #[serde(deserialize_with = "layers::some_list")]
    #[schemars(example = ["Project Falcon"])]
    pub words: Option<Vec<String>>,
    /// A file with such words, one on each line.
    #[schemars(example = &"/run/secrets/names.txt")]
    pub words_file: Option<PathBuf>,
    /// JSON pointers to what is masked, or where patterns and words are looked for. Without it, or with `all`, these are looked for
    /// in all strings, numbers and names of fields.
    #[serde(deserialize_with = "layers::some_list")]
    #[schemars(example = ["/user/email"])]
    pub fields: Option<Vec<String>>,
    /// What stands in its place: `mask` (a `*` for each character), `hash` (16 digits, the same for the same name), or a text.
    /// Without it, the type in brackets, such as `[PER]`, `[EMAIL]` or `[REDACTED]`.
    #[schemars(example = &"[PER]")]
    pub with: Option<String>,
    /// The file with the key that `hash` takes: without it, nobody can tell names by trying them. `openssl rand -hex 32` makes one.
    #[schemars(example = &"/run/secrets/redact")]
    pub key_file: Option<PathBuf>,
    /// What the file has.
    #[serde(skip)]
    pub key: Key,
}

/// Which text the offsets of entities are of, where something is masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Spans {
    /// The masked text, as it is written.
    #[default]
    Masked,
    /// The text as it came. They tell how long was what is masked.
    Original,
}

/// What becomes of a record's key, where something is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordKey {
    /// It is passed on as it came.
    Keep,
    /// It becomes 32 digits, by the key of the first rule `with: hash`: equal ones stay equal.
    Hash,
}

/// What has a form, and often a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Mail addresses.
    Email,
    /// Phone numbers with a country's code, or as North America and Europe group them, or behind a word such as `tel`.
    Phone,
    /// Numbers of bank accounts, by the length and the remainder that ISO 13616 gives them.
    Iban,
    /// Numbers of payment cards, by how they begin and their check digit (Luhn).
    CreditCard,
    /// IPv4 and IPv6 addresses.
    Ip,
    /// Links.
    Url,
}

impl Pattern {
    /// Its name in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Iban => "IBAN",
            Self::CreditCard => "CREDIT_CARD",
            Self::Ip => "IP",
            Self::Url => "URL",
        }
    }
}

/// What a rule masks.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Names of these types, from this score on or, without it, those that are tagged.
    Entities(Vec<String>, Option<f32>),
    /// What has one of these forms.
    Patterns(Vec<Pattern>, Where),
    /// These words.
    Words(Vec<String>, Where),
    /// What stands at these pointers.
    Fields(Vec<String>),
}

/// Where something is looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// In all of the document.
    Everywhere,
    /// At these pointers, and below them.
    Fields(Vec<String>),
}

/// What stands in the place of what is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum With {
    /// Its type, in brackets.
    Type,
    /// This text.
    Text(String),
    /// A `*` for each character.
    Mask,
    /// A hash with this key.
    Hash(Key),
}

/// As long as a text may be that stands in the place of another.
const LONGEST_MASK: usize = 64;

/// As short as a key may be: less can be tried out.
const SHORTEST_KEY: usize = 16;

impl Redact {
    /// What it masks.
    #[must_use]
    pub fn what(&self) -> What {
        let place = || match self.fields.as_deref() {
            None => Where::Everywhere,
            Some([all]) if all == "all" => Where::Everywhere,
            Some(fields) => Where::Fields(fields.to_vec()),
        };
        match (&self.entities, &self.patterns, &self.words) {
            (Some(types), ..) => What::Entities(types.clone(), self.min_score),
            (_, Some(patterns), _) => What::Patterns(patterns.clone(), place()),
            (.., Some(words)) => What::Words(words.clone(), place()),
            _ => What::Fields(self.fields.clone().unwrap_or_default()),
        }
    }

    /// With what.
    #[must_use]
    pub fn with(&self) -> With {
        match self.with.as_deref() {
            None => With::Type,
            Some("mask") => With::Mask,
            Some("hash") => With::Hash(self.key.clone()),
            Some(text) => With::Text(text.to_owned()),
        }
    }

    fn validate(&self, key: &str) -> Result<(), ConfigError> {
        let has_words = self.words.is_some();
        let what = [self.entities.is_some(), self.patterns.is_some(), has_words].iter().filter(|is| **is).count();
        if what > 1 {
            return refuse(key, "has several of `entities`, `patterns` and `words`: make each a rule of its own");
        }
        if what == 0 && self.fields.is_none() {
            return refuse(
                key,
                "says nothing that is masked: `entities`, `patterns`, `words`, `words_file` or `fields`",
            );
        }
        let lists = [
            ("entities", self.entities.as_ref().map(Vec::len)),
            ("patterns", self.patterns.as_ref().map(Vec::len)),
            ("words", self.words.as_ref().map(Vec::len)),
            ("fields", self.fields.as_ref().map(Vec::len)),
        ];
        if let Some((list, _)) = lists.iter().find(|(_, length)| *length == Some(0)) {
            return refuse(&format!("{key}.{list}"), "is empty, so that nothing would be masked");
        }
        if self.entities.is_some() && self.fields.is_some() {
            let why = "is for patterns and words: names are found in the texts that the taggers read";
            return refuse(&format!("{key}.fields"), why);
        }
        if self.min_score.is_some_and(|score| self.entities.is_none() || !(0.0..=1.0).contains(&score)) {
            return refuse(&format!("{key}.min_score"), "is a score of `entities`, 0 to 1");
        }
        if self.words.iter().flatten().any(|word| !word.contains(char::is_alphanumeric)) {
            return refuse(&format!("{key}.words"), "has a word without a letter or a digit");
        }
        let is_all = what == 1 && self.fields.as_deref().is_some_and(|fields| fields == ["all"]);
        for field in self.fields.iter().flatten().filter(|_| !is_all) {
            template::pointer(field).or_else(|why| refuse(&format!("{key}.fields"), why))?;
        }
        self.validate_with(key)
    }

    fn validate_with(&self, key: &str) -> Result<(), ConfigError> {
        let with = self.with.as_deref();
        if let Some(near) = with
            .filter(|with| ["mask", "hash"].contains(&with.to_lowercase().as_str()) && !["mask", "hash"].contains(with))
        {
            return refuse(&format!("{key}.with"), format!("is `{near}`: did you mean `{}`?", near.to_lowercase()));
        }
        if with.is_some_and(|with| with.trim().is_empty()) {
            return refuse(&format!("{key}.with"), "is empty: say what stands in the place of what is masked");
        }
        if with.is_some_and(|with| with.chars().count() > LONGEST_MASK) {
            let why = format!("is longer than {LONGEST_MASK} characters, of which a document may take very many");
            return refuse(&format!("{key}.with"), why);
        }
        match (with == Some("hash"), &self.key_file) {
            (true, None) => {
                let why = "is missing: a hash without a key can be undone by trying names. `openssl rand -hex 32 > FILE` makes one";
                refuse(&format!("{key}.key_file"), why)
            }
            (false, Some(_)) => refuse(&format!("{key}.key_file"), "is for `with: hash` alone"),
            (true, Some(path)) if self.key.0.len() < SHORTEST_KEY => {
                let why = format!("names {}, whose key has less than {SHORTEST_KEY} characters", path.display());
                refuse(&format!("{key}.key_file"), why)
            }
            _ => Ok(()),
        }
    }
}

impl Config {
    pub(super) fn validate_redact(&self, mistakes: &mut Mistakes) {
        for (number, rule) in self.redact.iter().enumerate() {
            let key = format!("redact[{number}]");
            mistakes.check(&[&key], rule.validate(&key));
        }
        mistakes.check(&["redact", "dead_letters.redact", "input", "output"], self.validate_masked());
    }

    fn validate_masked(&self) -> Result<(), ConfigError> {
        if self.dead_letters.redact && self.redact.is_empty() {
            return refuse("dead_letters.redact", "is true, but there is no `redact` that says what is masked");
        }
        if self.output.key == Some(RecordKey::Hash) && self.key_of_hashes().is_none() {
            let why =
                "is `hash`, which takes the `key_file` of a rule of `redact` that has `with: hash`, and there is none";
            return refuse("output.key", why);
        }
        let (input, output) = (self.input.format, &self.output);
        let is_framed = input.has_schema();
        if !self.redact.is_empty() && is_framed && output.shape == Shape::Headers {
            let why = "`headers` leaves the value as it came, and what has a schema is not masked in its own format: \
                       `nested` or `flat` masks it as JSON";
            return refuse("output.shape", why);
        }
        if !self.redact.is_empty() && input == Format::CloudEvents && output.shape == Shape::Headers {
            let why = "`headers` leaves the attributes of an event as they came, which are not masked: `nested` or `flat` has \
                       them masked";
            return refuse("output.shape", why);
        }
        let encoding = self.input.charset.encoding();
        let is_written = self.dead_letters.redact || self.output.shape == Shape::Headers;
        if !self.redact.is_empty() && is_written && encoding.output_encoding() != encoding {
            let why = "is read, but not written: a value that is masked in dead letters, or written as it came \
                       (`output.shape: headers`), needs another, such as `utf-8`";
            return refuse("input.charset", why);
        }
        Ok(())
    }

    /// The key of the first rule that hashes.
    #[must_use]
    pub fn key_of_hashes(&self) -> Option<Key> {
        self.redact.iter().find_map(|rule| if let With::Hash(key) = rule.with() { Some(key) } else { None })
    }

    /// What whoever masks should know, and has not said that they do.
    #[must_use]
    pub fn unsaid(&self) -> Option<&'static str> {
        (!self.redact.is_empty() && self.output.key.is_none()).then_some(
            "`redact` leaves the keys of records as they came: `output.key: hash` hides them, `output.key: keep` says that they \
             may be seen",
        )
    }

    /// The types of names that are masked, each with the least score that a rule asks for; none: those that are tagged.
    pub fn masked_types(&self) -> impl Iterator<Item = (&str, Option<f32>)> {
        let rules = self.redact.iter().filter_map(|rule| Some((rule.entities.as_ref()?, rule.min_score)));
        rules.flat_map(|(types, score)| types.iter().map(move |kind| (kind.as_str(), score)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn parse(yaml: &str) -> Result<Config, ConfigError> {
        Config::parse(yaml, HashMap::new(), &[])
    }

    fn refused(yaml: &str) -> String {
        parse(yaml).expect_err(yaml).to_string()
    }

    #[test]
    fn a_rule_says_what_and_with_what() {
        let config = parse(
            "redact:\n- {entities: [PER, ORG], min_score: 0.3, with: '[NAME]'}\n- {patterns: [email, credit-card], fields: all}\n\
             - {words: [Falcon], fields: [/body], with: mask}\n- {fields: [/user/email]}",
        );
        let rules = config.unwrap().redact;
        let whats: Vec<_> = rules.iter().map(|rule| (rule.what(), rule.with())).collect();
        let expected = [
            (What::Entities(vec!["PER".into(), "ORG".into()], Some(0.3)), With::Text("[NAME]".into())),
            (What::Patterns(vec![Pattern::Email, Pattern::CreditCard], Where::Everywhere), With::Type),
            (What::Words(vec!["Falcon".into()], Where::Fields(vec!["/body".into()])), With::Mask),
            (What::Fields(vec!["/user/email".into()]), With::Type),
        ];
        assert_eq!(whats, expected);
    }

    #[test]
    fn a_rule_that_would_mask_nothing_is_refused() {
        for (rule, expected) in [
            ("{with: mask}", "says nothing that is masked"),
            ("{entities: []}", "is empty"),
            ("{entities: [PER], patterns: [email]}", "several of"),
            ("{entities: [PER], fields: [/body]}", "names are found in the texts"),
            ("{patterns: [email], min_score: 0.5}", "is a score of `entities`"),
            ("{entities: [PER], min_score: 2}", "0 to 1"),
            ("{patterns: [mail]}", "did you mean `email`"),
            ("{fields: [user]}", "no JSON pointer"),
            ("{fields: all}", "no JSON pointer"),
            ("{entities: [PER], with: Hash}", "did you mean `hash`"),
            ("{entities: [PER], with: hash}", "key_file` is missing"),
            ("{entities: [PER], with: ''}", "is empty"),
            ("{entities: [PER], key_file: x}", "names x"),
            ("{words: ['--']}", "without a letter"),
            ("{entity: [PER]}", "did you mean `redact.entities`"),
        ] {
            let message = refused(&format!("redact: [{rule}]"));
            assert!(message.contains(expected), "{rule}: {message}");
        }
        let utf_16 =
            "input: {format: text, charset: utf-16le}\nredact: [{patterns: [email]}]\noutput: {shape: headers}";
        assert!(refused(utf_16).contains("is read, but not written"));
        let avro = "registry: {url: 'http://r'}\nredact: [{patterns: [email]}]\ninput: {format: avro}\n";
        assert!(refused(&format!("{avro}output: {{shape: headers}}")).contains("is not masked in its own format"));
        assert!(parse(&format!("{avro}output: {{format: avro}}")).is_ok(), "the document is JSON then");
        assert!(refused("dead_letters: {redact: true}").contains("there is no `redact`"));
        assert!(refused("output: {key: hash}\nredact: [{patterns: [email]}]").contains("`key_file` of a rule"));
        assert!(refused("output: {key: drop}").contains("must be `keep` or `hash`"));
    }

    #[test]
    fn each_rule_has_its_own_mistake() {
        let message =
            refused("redact: [{fields: [user]}, {words: ['--']}, {entities: []}]\ndead_letters: {redact: true}");
        for key in ["redact[0].fields", "redact[1].words", "redact[2].entities"] {
            assert!(message.contains(key), "{message}");
        }
    }

    #[test]
    fn key_and_words_come_from_files_and_are_not_shown() {
        let key = tempfile::NamedTempFile::new().unwrap();
        let names = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&key, "0123456789abcdef-secret\n").unwrap();
        std::fs::write(&names, "Anna Meyer\n\n  Project Falcon \n").unwrap();
        let (key, names) = (key.path().display(), names.path().display());
        let config =
            parse(&format!("redact: [{{words_file: {names}, with: hash, key_file: {key}}}, {{words: [Bob]}}]"))
                .unwrap();
        assert_eq!(config.redact[0].with(), With::Hash(Key("0123456789abcdef-secret".into())));
        let words = vec!["Anna Meyer".to_owned(), "Project Falcon".into()];
        assert_eq!(config.redact[0].what(), What::Words(words, Where::Everywhere));
        let shown = format!("{}{config:?}", config.masked());
        assert!(!shown.contains("-secret"), "{shown}");
        for word in ["Anna", "Falcon", "Bob"] {
            assert!(!config.masked().contains(word));
        }
        let again = parse(&config.masked()).unwrap();
        assert_eq!(again.masked(), config.masked(), "what is shown is a configuration");
        assert_eq!(again.redact[0].what(), config.redact[0].what(), "the file says the words again");
    }
}
