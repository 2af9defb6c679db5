//! `${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}` in the values of the file. What they stand for is text: it is
//! never read as YAML, and never expanded again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use config::{Value, ValueKind};

use super::ConfigError;
use super::dotted::dotted;
use super::mistakes::Mistakes;
use super::secrets;

/// Expands what is written in a file.
pub(super) struct Expansion<'a> {
    pub environment: &'a HashMap<String, String>,
    pub mistakes: &'a mut Mistakes,
    /// What values were written as that have a file's text in them, by their keys: it may be a secret, whatever its key.
    pub from_files: BTreeMap<String, String>,
}

impl Expansion<'_> {
    /// Expands a value and all below it.
    pub fn expand(&mut self, value: &mut Value, key: &str) {
        match &mut value.kind {
            ValueKind::Table(table) => {
                for (name, below) in table {
                    self.expand(below, &dotted(key, name));
                }
            }
            ValueKind::Array(elements) => {
                for (n, one) in elements.iter_mut().enumerate() {
                    self.expand(one, &format!("{key}[{n}]"));
                }
            }
            ValueKind::String(text) if text.contains("${") => {
                let expanded = self.text(text, key);
                if let Some(expanded) = self.mistakes.take(expanded) {
                    if has_file(text) {
                        self.from_files.insert(key.to_owned(), text.clone());
                    }
                    *text = expanded;
                }
            }
            _ => {}
        }
    }

    fn text(&self, written: &str, key: &str) -> Result<String, ConfigError> {
        let refuse = |why: String| ConfigError::Value { key: key.into(), why };
        let mut expanded = String::new();
        let mut rest = written;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                expanded.push_str(before);
                expanded.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            expanded.push_str(&rest[..at]);
            let Some((name, behind)) = rest[at + 2..].split_once('}') else {
                return Err(refuse("has a `${` without its `}`; `$${` is a `${` that stays".into()));
            };
            expanded.push_str(&self.reference(name, key)?);
            rest = behind;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// What stands for what is between the braces.
    fn reference(&self, within: &str, key: &str) -> Result<String, ConfigError> {
        let refuse = |why: String| ConfigError::Value { key: key.into(), why };
        if let Some(path) = within.strip_prefix("file:") {
            return secrets::read(key, Path::new(path));
        }
        let (name, usual) = within.split_once(":-").map_or((within, None), |(name, usual)| (name, Some(usual)));
        let is_name = |name: &str| {
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        if name.is_empty() || !is_name(name) {
            let what = "NAME, NAME:-default or file:/PATH must stand between the braces; `$${` is a `${` that stays";
            return Err(refuse(format!("has a `${{` that names no variable: {what}")));
        }
        if usual.is_some_and(|usual| usual.contains("${")) {
            return Err(refuse(format!("has a default of `{name}` with a `${{` in it: a default is a text")));
        }
        let given = self.environment.get(name).filter(|text| !text.is_empty()).map(String::as_str);
        if let Some(text) = given.or(usual) {
            return Ok(text.to_owned());
        }
        let is = if self.environment.contains_key(name) { "set to nothing" } else { "not set" };
        Err(refuse(format!("needs the variable {name}, which is {is}; `${{{name}:-}}` would be empty then")))
    }
}

/// Whether a file is named in it.
fn has_file(written: &str) -> bool {
    written.replace("$${", "").contains("${file:")
}

/// A text as it is to be written in a file, so that it stays as it is.
pub(super) fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(written: &str) -> Result<String, String> {
        let given = [("NAME", "value"), ("EMPTY", ""), ("NESTED", "${NAME} $${NAME}"), ("ODD", "a: b # [c\n'\"0123")];
        let environment = given.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let mut mistakes = Mistakes::default();
        let expansion = Expansion { environment: &environment, mistakes: &mut mistakes, from_files: BTreeMap::new() };
        expansion.text(written, "kafka.group").map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_stands_for_its_text_as_it_is_and_is_not_expanded_again() {
        for (written, expected) in [
            ("${NAME}", "value"),
            ("a${NAME}b${NAME}", "avaluebvalue"),
            ("${NESTED}", "${NAME} $${NAME}"),
            ("${ODD}", "a: b # [c\n'\"0123"),
            ("${NONE:-other}", "other"),
            ("${EMPTY:-other}", "other"),
            ("${NAME:-other}", "value"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${NAME}", "${NAME}"),
            ("$$${NAME}", "$${NAME}"),
            ("$NAME $ $$ }{", "$NAME $ $$ }{"),
            ("^logs\\..*$", "^logs\\..*$"),
        ] {
            assert_eq!(expand(written).as_deref(), Ok(expected), "{written}");
        }
        for text in ["${NAME}", "$${", "$", "${"] {
            assert_eq!(expand(&escaped(text)).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_not_there_is_a_mistake_and_not_an_empty_text() {
        for (written, expected) in [
            ("${NONE}", "`kafka.group` needs the variable NONE, which is not set"),
            ("${EMPTY}", "which is set to nothing"),
            ("${NAME", "without its `}`"),
            ("${}", "names no variable"),
            ("${1}", "names no variable"),
            ("${a b}", "names no variable"),
            ("${env:NAME}", "names no variable"),
            ("${NONE:-${NAME}}", "a default is a text"),
            ("${file:/no/such/file}", "names /no/such/file: No such file"),
        ] {
            assert!(expand(written).unwrap_err().contains(expected), "{written}: {:?}", expand(written));
        }
    }
}
