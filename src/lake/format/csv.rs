//! CSV with a header. Rows stay byte for byte what they were, since a field in quotes is another to many readers than one without
//! (`""` is a text, and nothing is NULL); tags are columns of their own behind them, and entities JSON.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write as _};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use csv::{ByteRecord, ReaderBuilder};
use serde_json::Value;
use tokio::runtime::Handle;

use super::stream::{Packer, Packing, Share};
use super::{BYTES, LONGEST, ROWS, Rows, Style};
use crate::config::mark::MARK;
use crate::lake::output::Output;
use crate::lake::place::Found;
use crate::lake::tags::Schema;

pub struct Reader {
    records: csv::Reader<Box<dyn Read + Send>>,
    taken: Arc<Mutex<Taken>>,
    header: Arc<ByteRecord>,
    /// The header as it is written.
    line: Vec<u8>,
    escape: Option<u8>,
    packing: Packing,
    share: Share,
}

/// A row: its fields, and its bytes without the end of the line.
#[derive(Debug)]
pub struct Row {
    pub fields: ByteRecord,
    bytes: Vec<u8>,
}

impl Row {
    /// How much memory it takes.
    pub fn size(&self) -> usize {
        self.fields.as_slice().len() + self.bytes.len()
    }
}

impl Reader {
    pub fn open(found: &Found, packing: Packing, escape: Option<u8>, runtime: &Handle) -> Result<Self> {
        let (mut bytes, share) = packing.read(found, runtime)?;
        if bytes.fill_buf()?.starts_with(MARK.as_bytes()) {
            bytes.consume(MARK.len());
        }
        // A row with too few fields, or too many, is refused by itself.
        let taken = Arc::<Mutex<Taken>>::default();
        let quotes = Quotes { escape, at: At::Start, line: 1 };
        let bytes: Box<dyn Read + Send> = Box::new(Checked { bytes, taken: Arc::clone(&taken), quotes });
        let mut records = ReaderBuilder::new().flexible(true).escape(escape).from_reader(bytes);
        let header = Arc::new(records.byte_headers()?.clone());
        let line = lock(&taken).up_to(records.position().byte());
        Ok(Self { records, taken, header, line, escape, packing, share })
    }

    pub fn next(&mut self) -> Result<Option<Rows>> {
        let (mut rows, mut size) = (Vec::new(), 0);
        let mut record = ByteRecord::new();
        while rows.len() < ROWS && size < BYTES && self.records.read_byte_record(&mut record)? {
            let bytes = lock(&self.taken).up_to(self.records.position().byte());
            let row = Row { fields: record.clone(), bytes };
            size += row.size();
            rows.push(row);
        }
        Ok(Some(rows).filter(|rows| !rows.is_empty()).map(|rows| Rows::Records(Arc::clone(&self.header), rows)))
    }

    pub fn share(&self) -> (u64, u64) {
        self.share.now()
    }

    pub fn writer(&self, output: Output, style: &Style, tags: &Schema) -> Result<Writer> {
        let names = tags.flat_names()?;
        for name in &names {
            let is_there = self.header.iter().any(|known| known == name.as_bytes());
            ensure!(
                !is_there,
                "there is a column `{name}` already: `--tags NAME` names those of the tags ({})",
                style.tags
            );
        }
        let mut writer = Writer { to: self.packing.write(output)?, escape: self.escape };
        writer.row(&self.line, &names)?;
        Ok(writer)
    }
}

/// Bytes that the parser has taken, and rows have not: it takes more than the row that it is at.
#[derive(Default)]
struct Taken {
    bytes: VecDeque<u8>,
    /// Where they begin in the file.
    from: u64,
}

impl Taken {
    /// Those of the row that ends here. The end of a line belongs to neither row, and blank lines are no rows.
    fn up_to(&mut self, end: u64) -> Vec<u8> {
        let bytes: Vec<u8> = self.bytes.drain(..(end - self.from) as usize).collect();
        self.from = end;
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let start = bytes.iter().position(|byte| !is_end(byte)).unwrap_or(bytes.len());
        let end = bytes.iter().rposition(|byte| !is_end(byte)).map_or(start, |last| last + 1);
        bytes[start..end].to_vec()
    }
}

fn lock(taken: &Mutex<Taken>) -> std::sync::MutexGuard<'_, Taken> {
    taken.lock().expect("nobody panics with it")
}

/// Ends with an error where rows can't be told apart: at a quote that is never closed, or one that does not end its field.
struct Checked {
    bytes: Box<dyn BufRead + Send>,
    taken: Arc<Mutex<Taken>>,
    quotes: Quotes,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        let mut taken = lock(&self.taken);
        taken.bytes.extend(&buffer[..read]);
        if taken.bytes.len() > LONGEST {
            let why = format!("a row of more than {} MiB: is there a quote that is never closed?", LONGEST >> 20);
            return Err(io::Error::other(why));
        }
        self.quotes.follow(&buffer[..read])?;
        if read == 0 && !buffer.is_empty() {
            self.quotes.end()?;
        }
        Ok(read)
    }
}

/// Follows the quotes of RFC 4180. Readers that are less strict make other fields of what another dialect has written, and
/// nobody would notice.
struct Quotes {
    escape: Option<u8>,
    at: At,
    line: u64,
}

#[derive(Clone, Copy)]
enum At {
    /// The start of a field.
    Start,
    /// A field without quotes.
    Bare,
    /// A field within quotes.
    Quoted,
    /// Behind the escape in such a field.
    Escaped,
    /// Behind a quote in it: its end, or half of a doubled one.
    Quote,
}

impl Quotes {
    fn follow(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.at = match (self.at, byte) {
                (At::Quoted, byte) if Some(*byte) == self.escape => At::Escaped,
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted | At::Escaped, _) | (At::Start | At::Quote, b'"') => At::Quoted,
                (_, b',' | b'\n' | b'\r') => At::Start,
                (At::Start | At::Bare, _) => At::Bare,
                (At::Quote, _) => {
                    let why = format!(
                        "line {}: a quote neither ends its field nor is doubled; does the file write \\\" for it? \
                         Then say --csv-escape '\\'",
                        self.line
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
            };
            self.line += u64::from(*byte == b'\n');
        }
        Ok(())
    }

    /// What is written behind such a row would be in its quotes.
    fn end(&self) -> io::Result<()> {
        match self.at {
            At::Quoted | At::Escaped => {
                let why = format!("line {}: the file ends within quotes: is it cut off?", self.line);
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
            At::Start | At::Bare | At::Quote => Ok(()),
        }
    }
}

pub struct Writer {
    to: Packer,
    escape: Option<u8>,
}

impl Writer {
    pub fn write(&mut self, rows: &[Row], enriched: &[Option<Vec<u8>>], tags: &Schema) -> Result<()> {
        for (row, enriched) in rows.iter().zip(enriched) {
            let enriched: Option<Value> = enriched.as_deref().map(serde_json::from_slice).transpose()?;
            let tags = tags.flat_fields(enriched.as_ref().and_then(|enriched| enriched.get("tags")));
            self.row(&row.bytes, &tags)?;
        }
        Ok(())
    }

    /// What was there, and more fields, in the same dialect.
    fn row(&mut self, bytes: &[u8], fields: &[String]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        for (place, field) in fields.iter().enumerate() {
            // A file without a header has no column to be behind.
            if place > 0 || !bytes.is_empty() {
                self.to.write_all(b",")?;
            }
            self.to.write_all(quoted(field, self.escape).as_bytes())?;
        }
        self.to.write_all(b"\n")
    }

    pub fn finish(self) -> Result<Output> {
        self.to.finish().context("the file")
    }
}

/// A field in quotes, if it takes them (RFC 4180, or with an escape before quotes and before itself).
fn quoted(field: &str, escape: Option<u8>) -> Cow<'_, str> {
    let escape = escape.map(char::from);
    if !field.contains([',', '"', '\n', '\r']) && !escape.is_some_and(|escape| field.contains(escape)) {
        return field.into();
    }
    let inner: String = match escape {
        None => field.replace('"', "\"\""),
        Some(escape) => field
            .chars()
            .flat_map(|char| Some(escape).filter(|_| char == '"' || char == escape).into_iter().chain([char]))
            .collect(),
    };
    format!("\"{inner}\"").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(bytes: &[u8], escape: Option<u8>) -> Result<(), String> {
        let mut quotes = Quotes { escape, at: At::Start, line: 1 };
        bytes
            .chunks(3)
            .try_for_each(|part| quotes.follow(part))
            .and_then(|()| quotes.end())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn quotes_of_another_dialect_are_an_error_and_no_other_fields() {
        let spark = b"id,text\n1,\"he said \\\"hi, you\\\"\"\n";
        let why = follow(spark, None).unwrap_err();
        assert!(why.starts_with("line 2") && why.contains("--csv-escape"), "{why}");
        follow(spark, Some(b'\\')).unwrap();
        for fine in [
            &b"a,\"b \"\"c\"\"\",\r\n,\"\",x\n"[..],
            b"5\" pipe,it's \"so\"\n",
            b"\"a\nb\",\"ends in \\\"\n",
            b"no end",
        ] {
            follow(fine, None).unwrap();
        }
        assert!(follow(b"\"a\" ,b\n", None).is_err());
        for cut in [&b"a\n1,\"open"[..], b"a\n\"open\n2,b\n"] {
            let why = follow(cut, None).unwrap_err();
            assert!(why.contains("ends within quotes"), "{why}");
        }
    }
}
