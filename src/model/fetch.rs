//! From a location to a directory of this machine.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Location;

/// A model that is here.
#[derive(Debug)]
pub struct Fetched {
    /// Its directory.
    pub directory: PathBuf,
    /// What it was fetched from, more exactly than its location says.
    pub revision: Option<String>,
}

/// Fetches a model.
///
/// # Errors
/// When it can't be had.
pub fn fetch(location: &Location, _variant: Option<&str>) -> Result<Fetched> {
    let Location::Directory(directory) = location else { bail!("{location}: only directories, so far") };
    Ok(Fetched { directory: directory.clone(), revision: None })
}
