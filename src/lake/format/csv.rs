//! CSV with a header. Fields stay what they were; tags are columns of their own, and entities JSON.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use csv::{ByteRecord, ReaderBuilder, Terminator, WriterBuilder};
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
    /// Bytes that were taken since the last row.
    taken: Arc<AtomicUsize>,
    header: Arc<ByteRecord>,
    packing: Packing,
    share: Share,
}

impl Reader {
    pub fn open(found: &Found, packing: Packing, escape: Option<u8>, runtime: &Handle) -> Result<Self> {
        let (mut bytes, share) = packing.read(found, runtime)?;
        if bytes.fill_buf()?.starts_with(MARK.as_bytes()) {
            bytes.consume(MARK.len());
        }
        // A row with too few fields, or too many, is refused by itself.
        let taken = Arc::<AtomicUsize>::default();
        let quotes = Quotes { escape, at: At::Start, line: 1 };
        let bytes: Box<dyn Read + Send> = Box::new(Checked { bytes, taken: Arc::clone(&taken), quotes });
        let mut records = ReaderBuilder::new().flexible(true).escape(escape).from_reader(bytes);
        let header = Arc::new(records.byte_headers()?.clone());
        Ok(Self { records, taken, header, packing, share })
    }

    pub fn next(&mut self) -> Result<Option<Rows>> {
        let (mut rows, mut size) = (Vec::new(), 0);
        let mut record = ByteRecord::new();
        while rows.len() < ROWS && size < BYTES && self.records.read_byte_record(&mut record)? {
            self.taken.store(0, Ordering::Relaxed);
            size += record.as_slice().len();
            rows.push(record.clone());
        }
        Ok(Some(rows).filter(|rows| !rows.is_empty()).map(|rows| Rows::Records(Arc::clone(&self.header), rows)))
    }

    pub fn share(&self) -> (u64, u64) {
        self.share.now()
    }

    pub fn writer(&self, output: Output, style: &Style, tags: &Schema) -> Result<Writer> {
        let mut to = WriterBuilder::new().terminator(Terminator::Any(b'\n')).from_writer(self.packing.write(output)?);
        let names = tags.flat_names()?;
        for name in &names {
            let is_there = self.header.iter().any(|known| known == name.as_bytes());
            ensure!(
                !is_there,
                "there is a column `{name}` already: `--tags NAME` names those of the tags ({})",
                style.tags
            );
        }
        let mut header = (*self.header).clone();
        for name in &names {
            header.push_field(name.as_bytes());
        }
        to.write_byte_record(&header)?;
        Ok(Writer { to })
    }
}

/// Ends with an error where rows can't be told apart: at a quote that is never closed, or one that does not end its field.
struct Checked {
    bytes: Box<dyn BufRead + Send>,
    taken: Arc<AtomicUsize>,
    quotes: Quotes,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        if self.taken.fetch_add(read, Ordering::Relaxed) > LONGEST {
            let why = format!("a row of more than {} MiB: is there a quote that is never closed?", LONGEST >> 20);
            return Err(io::Error::other(why));
        }
        self.quotes.follow(&buffer[..read])?;
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
}

pub struct Writer {
    to: csv::Writer<Packer>,
}

impl Writer {
    pub fn write(&mut self, records: &[ByteRecord], enriched: &[Option<Vec<u8>>], tags: &Schema) -> Result<()> {
        for (record, enriched) in records.iter().zip(enriched) {
            let enriched: Option<Value> = enriched.as_deref().map(serde_json::from_slice).transpose()?;
            let mut record = record.clone();
            for field in tags.flat_fields(enriched.as_ref().and_then(|enriched| enriched.get("tags"))) {
                record.push_field(field.as_bytes());
            }
            self.to.write_byte_record(&record)?;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Output> {
        self.to.flush()?;
        let packer = self.to.into_inner().map_err(|error| anyhow::anyhow!("{}", error.error()))?;
        packer.finish().context("the file")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(bytes: &[u8], escape: Option<u8>) -> Result<(), String> {
        let mut quotes = Quotes { escape, at: At::Start, line: 1 };
        bytes.chunks(3).try_for_each(|part| quotes.follow(part)).map_err(|error| error.to_string())
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
    }
}
