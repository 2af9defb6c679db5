//! Where a value stands, and how the line is shown that it stands in: without a secret, whichever that is.

use std::fmt::{self, Display};
use std::ops::Range;
use std::str::FromStr;

use config::{Value, ValueKind};
use saphyr_parser::Span;

use super::dotted::dotted;
use super::secrets::{MASK, is_secret, looks_secret};

/// Characters of a line that are shown before a mistake, and behind it.
const AROUND: usize = 60;

/// Where a mistake is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the file.
    File {
        /// The file's name, if it has one.
        file: Option<String>,
        /// The line, from 1 on.
        line: usize,
        /// The character of the line, from 1 on.
        column: usize,
        /// The line itself and a caret, or nothing where the line is not to be shown.
        excerpt: String,
    },
    /// In this variable, or in an option.
    Elsewhere(String),
}

impl Place {
    pub(super) fn in_file(self, name: &str) -> Self {
        match self {
            Self::File { line, column, excerpt, .. } => Self::File { file: Some(name.into()), line, column, excerpt },
            elsewhere @ Self::Elsewhere(_) => elsewhere,
        }
    }

    pub(super) fn without_excerpt(self) -> Self {
        match self {
            Self::File { file, line, column, .. } => Self::File { file, line, column, excerpt: String::new() },
            elsewhere @ Self::Elsewhere(_) => elsewhere,
        }
    }

    pub(super) fn excerpt(&self) -> &str {
        match self {
            Self::File { excerpt, .. } => excerpt,
            Self::Elsewhere(_) => "",
        }
    }

    /// What comes first is told first: the file, line by line, and then the layers above it.
    pub(super) fn order(&self) -> (usize, usize, &str) {
        match self {
            Self::File { line, column, .. } => (*line, *column, ""),
            Self::Elsewhere(place) => (usize::MAX, 0, place),
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file: Some(file), line, column, .. } => write!(f, "{file}:{line}:{column}"),
            Self::File { file: None, line, column, .. } => write!(f, "line {line}:{column}"),
            Self::Elsewhere(place) => f.write_str(place),
        }
    }
}

/// A stretch of the file, in characters: from this one of this line on (both from 1 on, as editors count), so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
    /// From the beginning of the file on.
    index: usize,
    length: usize,
}

impl From<Span> for Mark {
    fn from(span: Span) -> Self {
        Self {
            line: span.start.line(),
            column: span.start.col() + 1,
            index: span.start.index(),
            length: span.end.index().saturating_sub(span.start.index()),
        }
    }
}

/// Where a value of the file stands, and its key. The library keeps such an origin with each value, as a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub key: Mark,
    pub value: Mark,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [self.key, self.value].map(|m| format!("{} {} {} {}", m.line, m.column, m.index, m.length));
        f.write_str(&numbers.join(" "))
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers: Vec<usize> = text.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(|_| ())?;
        let mark = |of: Range<usize>| match numbers.get(of) {
            Some(&[line, column, index, length]) => Ok(Mark { line, column, index, length }),
            _ => Err(()),
        };
        Ok(Self { key: mark(0..4)?, value: mark(4..8)? })
    }
}

/// The text of the file, and which of its characters are not for showing.
pub(super) struct Lines<'y> {
    yaml: &'y str,
    secrets: Vec<Range<usize>>,
    /// Whether it was read to its end, so that all secrets are known.
    is_known: bool,
}

impl<'y> Lines<'y> {
    /// A file that is no YAML: what is a secret there can't be told.
    pub fn unread(yaml: &'y str) -> Self {
        Self { yaml, secrets: Vec::new(), is_known: false }
    }

    /// A file with these keys and values.
    pub fn new(yaml: &'y str, table: &Value) -> Self {
        let mut source = Self { yaml, secrets: Vec::new(), is_known: true };
        source.hide(table, "");
        source.secrets.sort_by_key(|secret| secret.start);
        source
    }

    fn hide(&mut self, value: &Value, key: &str) {
        let origin = value.origin().and_then(|origin| origin.parse::<Origin>().ok());
        let range = |mark: Mark| mark.index..mark.index + mark.length.max(1);
        // Without a blank behind the colon, the value has become a part of the name.
        if let Some(origin) = origin
            && key.rsplit('.').next().is_some_and(|name| name.contains(':'))
        {
            self.secrets.push(range(origin.key));
        }
        match &value.kind {
            ValueKind::Table(table) => {
                for (name, below) in table {
                    self.hide(below, &dotted(key, name));
                }
            }
            ValueKind::Array(elements) if !is_secret(key) => {
                for one in elements {
                    self.hide(one, key);
                }
            }
            kind => {
                let is_hidden = is_secret(key) || looks_secret(&kind.to_string());
                self.secrets.extend(origin.filter(|_| is_hidden).map(|origin| range(origin.value)));
            }
        }
    }

    /// The place of a value, and its line: up to a secret, if there is one, or a comment, which may say anything.
    pub fn place(&self, mark: Mark) -> Place {
        let comment = |line: &[char]| {
            let behind = (mark.column - 1 + mark.length).min(line.len());
            line[behind..].windows(2).position(|pair| pair == [' ', '#']).map(|comment| (behind + comment, ""))
        };
        self.up_to(mark, comment)
    }

    /// The place of a key that nobody knows, and its line up to there: what it was given may be a secret.
    pub fn place_of_key(&self, mark: Mark) -> Place {
        self.up_to(mark, |line| Some((colon(line, mark.column - 1 + mark.length), " …")))
    }

    /// The line up to a place of which something else is shown.
    fn up_to(&self, mark: Mark, end: impl Fn(&[char]) -> Option<(usize, &'static str)>) -> Place {
        let line = self.yaml.lines().nth(mark.line.saturating_sub(1)).unwrap_or_default();
        let line: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let begin = mark.index.saturating_sub(mark.column - 1);
        let hidden = |secret: &&Range<usize>| secret.start < begin + line.len() && secret.end > begin;
        let secret = self.secrets.iter().find(hidden).map(|secret| (secret.start.saturating_sub(begin), MASK));
        // Of a file that is no YAML a key is shown, and no value.
        let end = if self.is_known { end(&line) } else { Some((colon(&line, 0), " …")) };
        let (end, tail) = secret.into_iter().chain(end).min_by_key(|(end, _)| *end).unwrap_or((line.len(), ""));
        let excerpt = excerpt(mark, &line[..end], tail).unwrap_or_default();
        Place::File { file: None, line: mark.line, column: mark.column, excerpt }
    }
}

/// Behind the first colon from this character on; without one, nothing is to be shown.
fn colon(line: &[char], from: usize) -> usize {
    let from = from.min(line.len());
    line[from..].iter().position(|&c| c == ':').map_or(0, |colon| from + colon + 1)
}

/// The line up to where it may be shown, and a caret, as compilers show them.
fn excerpt(mark: Mark, line: &[char], tail: &str) -> Option<String> {
    let at = (mark.column - 1).min(line.len());
    let from = at.saturating_sub(AROUND);
    let to = line.len().min(from + 2 * AROUND);
    let shown: String = line[from..to].iter().collect();
    if shown.trim().is_empty() {
        return None;
    }
    let shown = if to == line.len() { format!("{shown}{tail}") } else { shown };
    let shown = shown.trim_end();
    let number = mark.line.to_string();
    let margin = " ".repeat(number.len());
    let carets = "^".repeat(mark.length.clamp(1, shown.chars().count().saturating_sub(at - from).max(1)));
    Some(format!("\n  {number} | {shown}\n  {margin} | {}{carets}", " ".repeat(at - from)))
}
