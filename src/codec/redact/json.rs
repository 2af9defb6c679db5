//! The parts of a JSON text one after the other, with their places: what is masked is written anew, and all else stays byte for
//! byte. Neither depth nor size matters: it is one walk, without recursion.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A part of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The name of an object's member, within its quotes.
    Name(&'a str),
    /// A string, within its quotes.
    Text(&'a str),
    /// A number, `true`, `false` or `null`.
    Word(&'a str),
    /// An object or an array begins.
    Begin,
}

/// Walks through JSON that is known to be such.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    json: &'a str,
    at: usize,
    /// Where this part stands, as a JSON pointer.
    path: String,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    /// Of the path, the part that leads to the object or array.
    path: usize,
    is: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Whether the name of the next value has been read.
    Object {
        named: bool,
    },
    Array {
        next: usize,
    },
}

impl<'a> Walk<'a> {
    /// A walk through a value that stands at `path`.
    pub fn new(json: &'a str, path: &str) -> Self {
        Self { json, at: 0, path: path.to_owned(), open: Vec::new() }
    }

    /// Where the latest part stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The next part, and where it begins.
    pub fn next(&mut self) -> Option<(usize, Part<'a>)> {
        loop {
            let byte = *self.json.as_bytes().get(self.at)?;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => self.at += 1,
                b'}' | b']' => {
                    let open = self.open.pop()?;
                    self.path.truncate(open.path);
                    self.at += 1;
                }
                _ => break,
            }
        }
        let start = self.at;
        if self.json.as_bytes()[start] == b'"' {
            let end = end_of_string(self.json, start);
            self.at = end;
            let inside = self.json.get(start + 1..end - 1).unwrap_or_default();
            if let Some(Open { path, is: Kind::Object { named: named @ false } }) = self.open.last_mut() {
                *named = true;
                self.path.truncate(*path);
                self.path.push('/');
                self.path.push_str(&decoded(inside).replace('~', "~0").replace('/', "~1"));
                return Some((start + 1, Part::Name(inside)));
            }
            self.enter();
            return Some((start + 1, Part::Text(inside)));
        }
        self.enter();
        let is = match self.json.as_bytes()[start] {
            b'{' => Kind::Object { named: false },
            b'[' => Kind::Array { next: 0 },
            _ => {
                let rest = &self.json[start..];
                self.at += rest.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(rest.len()).max(1);
                return Some((start, Part::Word(self.json.get(start..self.at).unwrap_or_default())));
            }
        };
        self.at += 1;
        self.open.push(Open { path: self.path.len(), is });
        Some((start, Part::Begin))
    }

    /// Passes over the object or array that has just begun, and tells where it ends.
    pub fn skip(&mut self) -> usize {
        let mut depth = 1;
        while depth > 0
            && let Some(byte) = self.json.as_bytes().get(self.at)
        {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => self.at = end_of_string(self.json, self.at) - 1,
                _ => {}
            }
            self.at += 1;
        }
        self.open.pop();
        self.at
    }

    /// The path of a value that begins.
    fn enter(&mut self) {
        match self.open.last_mut() {
            Some(Open { is: Kind::Object { named }, .. }) => *named = false,
            Some(Open { path, is: Kind::Array { next } }) => {
                self.path.truncate(*path);
                let _ = write!(self.path, "/{next}");
                *next += 1;
            }
            None => {}
        }
    }
}

/// One past the quote that ends a string.
fn end_of_string(json: &str, start: usize) -> usize {
    let bytes = json.as_bytes();
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What a string says.
pub(super) fn decoded(inside: &str) -> Cow<'_, str> {
    if inside.contains('\\') { characters(inside).map(|(letter, _)| letter).collect() } else { inside.into() }
}

/// The characters of a string, and in how many bytes each is written. What is no character by itself (half of a pair) is read
/// as the one that stands for such.
pub(super) fn characters(inside: &str) -> impl Iterator<Item = (char, usize)> {
    let mut rest = inside;
    std::iter::from_fn(move || {
        let (letter, length) = match rest.strip_prefix('\\') {
            None => {
                let letter = rest.chars().next()?;
                (letter, letter.len_utf8())
            }
            Some(escape) => escaped(escape),
        };
        rest = rest.get(length..).unwrap_or_default();
        Some((letter, length))
    })
}

/// The character behind a backslash, and the length of both.
fn escaped(escape: &str) -> (char, usize) {
    let unit = |escape: &str| u32::from_str_radix(escape.strip_prefix('u')?.get(..4)?, 16).ok();
    let letter = match escape.chars().next() {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('r') => '\r',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('u') => {
            let first = unit(escape).unwrap_or(0xfffd);
            let second = escape.get(5..).and_then(|rest| unit(rest.strip_prefix('\\')?));
            return match (first, second) {
                (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
                    let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                    (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                _ => (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            };
        }
        Some(other) => other,
        None => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (letter, 1 + letter_length(escape))
}

/// Whether a word is a number.
pub(super) fn is_number(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit() || first == '-')
}

fn letter_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// A text as it is written within the quotes of a string.
pub(super) fn encoded(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(json: &str) -> Vec<(String, Part<'_>)> {
        let mut walk = Walk::new(json, "");
        let mut parts = Vec::new();
        while let Some((at, part)) = walk.next() {
            if let Part::Name(raw) | Part::Text(raw) | Part::Word(raw) = part {
                assert_eq!(&json[at..at + raw.len()], raw);
            }
            parts.push((walk.path().to_owned(), part));
        }
        parts
    }

    #[test]
    fn every_part_has_its_pointer() {
        let json = r#" {"a/b": [1, {"c~": "x\"y"}, []], "\u0064":{} , "a/b":null} "#;
        let expected = [
            ("", Part::Begin),
            ("/a~1b", Part::Name("a/b")),
            ("/a~1b", Part::Begin),
            ("/a~1b/0", Part::Word("1")),
            ("/a~1b/1", Part::Begin),
            ("/a~1b/1/c~0", Part::Name("c~")),
            ("/a~1b/1/c~0", Part::Text("x\\\"y")),
            ("/a~1b/2", Part::Begin),
            ("/d", Part::Name("\\u0064")),
            ("/d", Part::Begin),
            ("/a~1b", Part::Name("a/b")),
            ("/a~1b", Part::Word("null")),
        ];
        let found = parts(json);
        assert!(found.iter().map(|(path, part)| (path.as_str(), *part)).eq(expected), "{found:?}");
    }

    #[test]
    fn what_is_skipped_is_left_whole() {
        let json = r#"{"a":{"b":["]}",{}]},"c":1}"#;
        let mut walk = Walk::new(json, "");
        walk.next();
        walk.next();
        let (start, part) = walk.next().unwrap();
        assert_eq!((part, &json[start..walk.skip()]), (Part::Begin, r#"{"b":["]}",{}]}"#));
        assert_eq!(walk.next().unwrap().1, Part::Name("c"));
        assert_eq!(walk.path(), "/c");
    }

    #[test]
    fn depth_takes_neither_stack_nor_time() {
        let json = "[".repeat(200_000) + &"]".repeat(200_000);
        assert_eq!(parts_count(&json), 200_000);
    }

    fn parts_count(json: &str) -> usize {
        let mut walk = Walk::new(json, "");
        std::iter::from_fn(|| walk.next()).count()
    }

    proptest! {
        #[test]
        fn a_string_is_read_as_every_reader_reads_it(text in any::<String>(), ascii in any::<bool>()) {
            let mut inside = encoded(&text);
            if ascii {
                inside = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            }
            prop_assert_eq!(decoded(&inside), text.as_str());
            prop_assert_eq!(characters(&inside).map(|(_, length)| length).sum::<usize>(), inside.len());
        }

        #[test]
        fn nothing_panics(json in any::<String>()) {
            let mut walk = Walk::new(&json, "");
            while let Some((_, part)) = walk.next() {
                if let Part::Text(raw) | Part::Name(raw) = part {
                    drop(decoded(raw));
                }
            }
        }
    }
}
