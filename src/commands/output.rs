//! What commands write for people and for pipes. Whoever reads it may have seen enough: `tagbert tag | head -1` is no
//! mistake, and nothing is said of it (`println!` and `eprintln!` would panic).

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use anyhow::{Context as _, Result};

/// Nobody reads the output any more, so there is nothing left to do.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(super) struct Unread;

/// Why output that goes on and on can't be written.
pub(super) fn unwritten(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Unread.into(),
        _ => anyhow::Error::from(error).context("output"),
    }
}

/// Writes a text and a newline to standard output. What else the command does, and its exit code, do not depend on who
/// reads it.
pub(super) fn print(text: impl Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("output"),
    }
}

/// Writes a line to standard error, if anybody reads it.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
