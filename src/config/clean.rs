//! What is done to texts before they are tagged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::refuse;
use super::{Config, ConfigError, OutputFormat};

/// A step of cleaning texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clean {
    /// Letters that look like others, styled letters and what hides between letters become what people read. Texts in other
    /// scripts than Latin, and emoji, stay as they are.
    Unicode,
    /// The text of HTML that is seen: without markup, scripts, styles and what is hidden.
    Html,
    /// The subject and the text of a mail, decoded; of a mail that is HTML alone, what is seen of it. Entities stand in that
    /// text, which the enriched record has under `texts`.
    Mail,
}

impl Config {
    pub(super) fn validate_clean(&self) -> Result<(), ConfigError> {
        let steps = &self.input.clean;
        if (1..steps.len()).any(|n| steps[..n].contains(&steps[n])) {
            return refuse("input.clean", "has a step twice, of which the second would find nothing left to do");
        }
        if steps.contains(&Clean::Mail) {
            if steps[0] != Clean::Mail {
                return refuse(
                    "input.clean",
                    "has a step before `mail`, which is to read the mail as it came: put `mail` first",
                );
            }
            if steps.contains(&Clean::Html) {
                let why = "has `html` behind `mail`, which gives the text of HTML already: it would take for markup what is text";
                return refuse("input.clean", why);
            }
            if self.output.format == OutputFormat::Avro {
                let why = "has `mail`, whose texts have no place in this `output.format`, `avro`: all others have one";
                return refuse("input.clean", why);
            }
        }
        let leaves_out = steps.iter().any(|step| matches!(step, Clean::Html | Clean::Mail));
        if leaves_out && !self.redact.is_empty() {
            let why = "leaves out what is not seen (`html`, `mail`), and in the document that stays: names there would not be masked. \
                       Leave out `redact`, or make texts of documents before they come here";
            return refuse("input.clean", why);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn steps_are_a_list_and_each_stands_once() {
        let parsed = |yaml: &str, sets: &[(&str, &str)]| {
            let sets: Vec<_> = sets.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Config::parse(yaml, HashMap::new(), &sets)
        };
        assert_eq!(parsed("input: {clean: [unicode]}", &[]).unwrap().input.clean, [Clean::Unicode]);
        assert_eq!(parsed("", &[("input.clean", "unicode")]).unwrap().input.clean, [Clean::Unicode]);
        assert!(parsed("input: {clean: [unicode, unicode]}", &[]).unwrap_err().to_string().contains("twice"));
        assert_eq!(parsed("", &[("input.clean", "html,unicode")]).unwrap().input.clean, [Clean::Html, Clean::Unicode]);
        let masked = "redact: [{entities: [PER]}]\ninput: {clean: [html]}";
        assert!(parsed(masked, &[]).unwrap_err().to_string().contains("names there would not be masked"));
        assert!(parsed(&masked.replace("html", "unicode"), &[]).is_ok());
        for (yaml, expected) in [
            ("input: {clean: [unicode, mail]}", "put `mail` first"),
            ("input: {clean: [mail, html]}", "take for markup what is text"),
            ("input: {clean: [mail]}\nredact: [{patterns: [email]}]", "names there would not be masked"),
            (
                "input: {clean: [mail]}\noutput: {format: avro}\nregistry: {url: 'http://r'}",
                "no place in this `output.format`",
            ),
        ] {
            assert!(parsed(yaml, &[]).unwrap_err().to_string().contains(expected), "{yaml}");
        }
        assert!(parsed("input: {clean: [mail, unicode]}", &[]).is_ok());
        assert!(parsed("input: {clean: [unicod]}", &[]).unwrap_err().to_string().contains("did you mean `unicode`"));
    }
}
