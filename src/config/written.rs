//! YAML as it is written: every scalar is text, so that nobody's password becomes a number. What a text means is for the
//! key to say.

use std::collections::HashMap;

use config::{Map, Value, ValueKind};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::ConfigError;
use super::mistakes::Mistakes;
use super::place::{Lines, Mark, Origin};

/// No configuration is deeper.
const DEPTH: usize = 64;

/// More than that is an alias of aliases gone wild.
const NODES: usize = 100_000;

/// The keys and values of a file, each with its [`Origin`].
///
/// # Errors
/// When it is no YAML, or none that a configuration can be.
pub(super) fn read(yaml: &str, mistakes: &mut Mistakes) -> Result<Map<String, Value>, ConfigError> {
    let anchors = HashMap::new();
    let mut reader = Reader { yaml, events: Parser::new_from_str(yaml), anchors, nodes: 0, depth: 0, mistakes };
    let root = reader.documents()?;
    match root.kind {
        ValueKind::Nil => Ok(Map::new()),
        ValueKind::Table(table) => Ok(table),
        _ => Err(ConfigError::Yaml("is no map of keys, such as `kafka: {brokers: localhost:9092}`".into())),
    }
}

/// A list of texts in one string, `["a", b]`; `None`: it is none.
pub(super) fn list(yaml: &str) -> Option<Vec<String>> {
    let yaml = yaml.trim();
    if !yaml.starts_with('[') {
        return None;
    }
    let mut mistakes = Mistakes::default();
    let mut table = read(&format!("list: {yaml}"), &mut mistakes).ok()?;
    let ValueKind::Array(elements) = table.remove("list")?.kind else { return None };
    let text = |element: Value| if let ValueKind::String(text) = element.kind { Some(text) } else { None };
    elements.into_iter().map(text).collect()
}

struct Reader<'y, 'm> {
    yaml: &'y str,
    /// What does not keep the rest from being read.
    mistakes: &'m mut Mistakes,
    events: Parser<'y, StrInput<'y>>,
    anchors: HashMap<usize, Value>,
    nodes: usize,
    depth: usize,
}

type Placed<'y> = (Event<'y>, Span);

impl<'y> Reader<'y, '_> {
    fn event(&mut self) -> Result<Placed<'y>, ConfigError> {
        let event = self.events.next().unwrap_or(Ok((Event::StreamEnd, Span::default())));
        event.map_err(|error: ScanError| {
            let mark = Span::empty(*error.marker()).into();
            self.fault(mark, &format!("no YAML: {}", error.info()))
        })
    }

    fn fault(&self, mark: Mark, what: &str) -> ConfigError {
        let place = Lines::unread(self.yaml).place(mark);
        ConfigError::Placed { place, error: Box::new(ConfigError::Yaml(format!("here is {what}"))) }
    }

    /// The one document of a file.
    fn documents(&mut self) -> Result<Value, ConfigError> {
        let mut root = None;
        loop {
            match self.event()? {
                (Event::StreamEnd, _) => return Ok(root.unwrap_or_default()),
                (Event::StreamStart | Event::Nothing | Event::DocumentStart(_) | Event::DocumentEnd, _) => {}
                (_, span) if root.is_some() => {
                    return Err(self.fault(span.into(), "a second document (`---`): a configuration is one"));
                }
                event => root = Some(self.node(event, None)?),
            }
        }
    }

    /// A node, which may have a key.
    fn node(&mut self, (event, span): Placed<'y>, key: Option<Mark>) -> Result<Value, ConfigError> {
        let value = Mark::from(span);
        let key = key.unwrap_or(value);
        self.admit(1, 0, key)?;
        self.depth += 1;
        let (kind, anchor, value) = match event {
            // Empty is null; only what is quoted is a text without characters.
            Event::Scalar(text, ScalarStyle::Plain, anchor, None) if is_null(&text) => {
                (ValueKind::Nil, anchor, if text.is_empty() { key } else { value })
            }
            Event::Scalar(text, _, anchor, _) => (ValueKind::String(text.into_owned()), anchor, value),
            Event::SequenceStart(anchor, _) => (self.list()?, anchor, key),
            Event::MappingStart(anchor, _) => (self.map()?, anchor, key),
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor) else {
                    return Err(self.fault(value, "an alias (`*name`) of what has not come yet"));
                };
                let (kind, (nodes, depth)) = (known.kind.clone(), extent(known));
                self.admit(nodes, depth, value)?;
                (kind, 0, value)
            }
            _ => return Err(self.fault(value, "no value where one is expected")),
        };
        self.depth -= 1;
        let value = Value::new(Some(&Origin { key, value }.to_string()), kind);
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    /// Counts nodes, that many levels below this one.
    fn admit(&mut self, nodes: usize, depth: usize, mark: Mark) -> Result<(), ConfigError> {
        self.nodes += nodes;
        if self.nodes > NODES || self.depth + depth > DEPTH {
            return Err(self.fault(mark, "more than a configuration can be"));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<ValueKind, ConfigError> {
        let mut elements = Vec::new();
        loop {
            match self.event()? {
                (Event::SequenceEnd, _) => return Ok(ValueKind::Array(elements)),
                event => elements.push(self.node(event, None)?),
            }
        }
    }

    fn map(&mut self) -> Result<ValueKind, ConfigError> {
        let mut table = Map::new();
        loop {
            let (key, mark) = match self.event()? {
                (Event::MappingEnd, _) => return Ok(ValueKind::Table(table)),
                (Event::Scalar(key, style, ..), span) => {
                    let mark = Mark::from(span);
                    if &*key == "<<" && style == ScalarStyle::Plain {
                        let what = "a merge (`<<`), which YAML 1.2 does not have: write the keys out";
                        return Err(self.fault(mark, what));
                    }
                    (key.into_owned(), mark)
                }
                (_, span) => return Err(self.fault(span.into(), "a key that is no text")),
            };
            let event = self.event()?;
            let value = self.node(event, Some(mark))?;
            if table.contains_key(&key) {
                let twice = self.fault(mark, &format!("`{}` a second time", key.escape_debug()));
                self.mistakes.note(twice);
                continue;
            }
            table.insert(key, value);
        }
    }
}

fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

/// How many nodes a value has, and how deep they are.
fn extent(value: &Value) -> (usize, usize) {
    let below: &mut dyn Iterator<Item = &Value> = match &value.kind {
        ValueKind::Table(table) => &mut table.values(),
        ValueKind::Array(elements) => &mut elements.iter(),
        _ => return (1, 1),
    };
    let (nodes, depth) = below.map(extent).fold((0, 0), |(all, most), (nodes, depth)| (all + nodes, most.max(depth)));
    (nodes + 1, depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Map<String, Value>, ConfigError> {
        let mut mistakes = Mistakes::default();
        let table = super::read(yaml, &mut mistakes)?;
        mistakes.end(|error| error).map(|()| table)
    }

    fn text(yaml: &str) -> Option<String> {
        match read(&format!("a: {yaml}")).unwrap().remove("a").unwrap().kind {
            ValueKind::String(text) => Some(text),
            ValueKind::Nil => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_scalar_is_the_text_that_it_is_written_as() {
        for plain in [
            "007",
            "0123",
            "0o17",
            "0x1F",
            "1e3",
            "1.10",
            "-0",
            "+1",
            ".5",
            ".inf",
            ".nan",
            "1_000",
            "12:30:45",
            "12345678901234567890",
            "true",
            "True",
            "no",
            "on",
            "y",
            "2026-11-28",
            "NaN",
            "0.1e-7",
        ] {
            assert_eq!(text(plain).as_deref(), Some(plain));
        }
        assert_eq!(text("'it''s'").as_deref(), Some("it's"));
        assert_eq!(text(r#""\u0041 # b""#).as_deref(), Some("A # b"));
        assert_eq!(text("!!int '7'").as_deref(), Some("7"));
        assert_eq!(text("|\n  one\n  two").as_deref(), Some("one\ntwo\n"));
    }

    #[test]
    fn what_is_empty_is_null_and_what_is_quoted_is_text() {
        for null in ["", "~", "null", "# a comment"] {
            assert_eq!(text(null), None, "{null}");
        }
        assert_eq!(text("''").as_deref(), Some(""));
        assert_eq!(text("'null'").as_deref(), Some("null"));
        assert_eq!(text("!!str null").as_deref(), Some("null"));
    }

    #[test]
    fn keys_are_texts_too_and_anchors_are_followed() {
        let table = read("b: &b {007: 010, no: {1.10: x}}\na: *b").unwrap();
        assert_eq!(table["a"].kind, table["b"].kind);
        let ValueKind::Table(a) = &table["a"].kind else { panic!() };
        assert_eq!(a["007"].kind, ValueKind::String("010".into()));
        assert!(a.contains_key("no"));
        let origin: Origin = table["a"].origin().unwrap().parse().unwrap();
        assert_eq!([origin.key, origin.value].map(|mark| (mark.line, mark.column)), [(2, 1), (2, 4)]);
    }

    #[test]
    fn an_empty_file_is_no_mistake() {
        for yaml in ["", "# nothing", "---\n", "~"] {
            assert!(read(yaml).unwrap().is_empty(), "{yaml:?}");
        }
    }

    #[test]
    fn what_a_reader_could_mistake_is_refused_with_its_line() {
        for (yaml, expected) in [
            ("a: 1\na: 2", "line 2:1: here is `a` a second time"),
            ("a: 1\n---\nb: 2", "line 3:1: here is a second document"),
            ("a: &a {b: 1}\nc:\n  <<: *a", "line 3:3: here is a merge"),
            ("? [a]\n: b", "a key that is no text"),
            ("a: &a [*a]", "an alias"),
            ("- a", "is no map of keys"),
            ("a: 1\n\tb: 2", "found a tab"),
            ("a: [1", "line"),
            ("a: @secret", "line 1"),
        ] {
            let error = read(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml:?}: {error}");
        }
        assert!(read(&("a: ".to_owned() + &"[".repeat(200) + &"]".repeat(200))).is_err());
        let laughs = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect::<String>();
        assert!(read(&format!("a0: &a0 x\n{laughs}")).is_err());
    }

    #[test]
    fn aliases_make_nothing_deeper_than_a_configuration_is() {
        // Joining the layers copies all that is below at each level: this chain of maps kept `check` busy for minutes.
        for (open, close) in [("[", "]"), ("{b: ", "}")] {
            let (open, close) = (open.repeat(60), close.repeat(60));
            let chain: String = (1..40).map(|n| format!("a{n}: &a{n} {open}*a{}{close}\n", n - 1)).collect();
            let error = read(&format!("a0: &a0 x\n{chain}")).unwrap_err().to_string();
            assert!(error.contains("line 3:") && error.contains("here is more than a configuration can be"), "{error}");
        }
        assert!(read(&format!("a: &a {}x{}\nb: [*a]", "[".repeat(50), "]".repeat(50))).is_ok());
    }
}
