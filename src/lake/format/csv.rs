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
    pub fn open(found: &Found, packing: Packing, runtime: &Handle) -> Result<Self> {
        let (mut bytes, share) = packing.read(found, runtime)?;
        if bytes.fill_buf()?.starts_with(MARK.as_bytes()) {
            bytes.consume(MARK.len());
        }
        // A row with too few fields, or too many, is refused by itself.
        let taken = Arc::<AtomicUsize>::default();
        let bytes: Box<dyn Read + Send> = Box::new(Bounded { bytes, taken: Arc::clone(&taken) });
        let mut records = ReaderBuilder::new().flexible(true).from_reader(bytes);
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
        let names = tags.flat_names();
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

/// Ends with an error where a row does not end: at a quote that is never closed.
struct Bounded {
    bytes: Box<dyn BufRead + Send>,
    taken: Arc<AtomicUsize>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        if self.taken.fetch_add(read, Ordering::Relaxed) > LONGEST {
            let why = format!("a row of more than {} MiB: is there a quote that is never closed?", LONGEST >> 20);
            return Err(io::Error::other(why));
        }
        Ok(read)
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
