//! JSON lines: objects, which stay byte for byte what they were, with one member more.

use std::collections::HashMap;
use std::io::{BufRead, Read as _, Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use super::stream::{Packer, Packing, Share};
use super::{BYTES, LONGEST, ROWS, Rows, Style};
use crate::config::mark::without_mark;
use crate::lake::output::Output;
use crate::lake::place::Found;
use crate::lake::tags::Schema;

pub struct Reader {
    bytes: Box<dyn BufRead + Send>,
    packing: Packing,
    share: Share,
}

impl Reader {
    pub fn open(found: &Found, packing: Packing, runtime: &Handle) -> Result<Self> {
        let (bytes, share) = packing.read(found, runtime)?;
        Ok(Self { bytes, packing, share })
    }

    pub fn next(&mut self) -> Result<Option<Rows>> {
        let (mut lines, mut size) = (Vec::new(), 0);
        while lines.len() < ROWS && size < BYTES {
            let mut line = Vec::new();
            let read = (&mut self.bytes).take(LONGEST as u64).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            ensure!(read < LONGEST, "a line of more than {} MiB", LONGEST >> 20);
            let line = without_mark(&line).trim_ascii();
            if !line.is_empty() {
                size += line.len();
                lines.push(line.to_vec());
            }
        }
        Ok(Some(lines).filter(|lines| !lines.is_empty()).map(Rows::Lines))
    }

    pub fn share(&self) -> (u64, u64) {
        self.share.now()
    }

    pub fn writer(&self, output: Output, style: &Style, tags: &Schema) -> Result<Writer> {
        let names = if style.flat { tags.flat_names()? } else { vec![style.tags.clone()] };
        Ok(Writer { to: self.packing.write(output)?, names, flat: style.flat })
    }
}

pub struct Writer {
    to: Packer,
    /// The members with the tags.
    names: Vec<String>,
    flat: bool,
}

/// What is taken from an enriched record.
#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(borrow)]
    tags: &'a RawValue,
}

impl Writer {
    pub fn write(&mut self, lines: &[Vec<u8>], enriched: &[Option<Vec<u8>>], tags: &Schema) -> Result<()> {
        for (line, enriched) in lines.iter().zip(enriched) {
            self.check(line)?;
            let given = match enriched {
                Some(record) => serde_json::from_slice::<Tagged>(record).context("an enriched record")?.tags.get(),
                None => "null",
            };
            let members = if self.flat {
                let values = tags.flat_values(Some(&serde_json::from_str(given)?));
                values.into_iter().map(|(name, value)| (name, value.to_string())).collect()
            } else {
                vec![(self.names[0].clone(), given.to_owned())]
            };
            // It is an object: what is none was refused.
            let mut open = line.strip_suffix(b"}").context("a line that is no object")?.trim_ascii_end();
            self.to.write_all(open)?;
            for (name, value) in members {
                let comma = if open == b"{" { "" } else { "," };
                write!(self.to, "{comma}{}:{value}", serde_json::to_string(&name)?)?;
                open = b"";
            }
            self.to.write_all(b"}\n")?;
        }
        Ok(())
    }

    /// Two members of one name would be read as either.
    fn check(&self, line: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(line)?;
        // A name may be written with escapes; then only reading it tells.
        if self.names.iter().any(|name| text.contains(name.as_str())) || text.contains('\\') {
            let members: HashMap<String, &RawValue> = serde_json::from_str(text)?;
            if let Some(name) = self.names.iter().find(|name| members.contains_key(*name)) {
                bail!("there is a member `{name}` already: `--tags NAME` names another");
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Output> {
        Ok(self.to.finish()?)
    }
}
