//! What is to be done: the files that `--input` names, and where `--output` puts them.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};

use super::book::Input;
use super::format::{Format, Style};
use super::place::{Found, Place, Search};

/// What is asked for.
#[derive(Debug)]
pub struct Order {
    /// Files, directories, patterns.
    pub inputs: Vec<String>,
    /// A directory; or a file, if one is read.
    pub output: String,
    /// How files are read and written.
    pub style: Style,
}

/// A file of the job.
pub struct Task {
    /// Where it is.
    pub found: Found,
    /// What it is.
    pub format: Format,
    /// As it is now.
    pub input: Input,
}

/// Where results go.
pub enum Destination {
    /// Files of the same names.
    Directory(Place),
    /// That of the only file.
    File(Place),
}

/// Looks for the files, and where they go.
///
/// # Errors
/// When there are none, or results would replace what is read or each other.
pub async fn look(order: &Order) -> Result<(Vec<Task>, Destination)> {
    let searches =
        order.inputs.iter().map(|input| Search::parse(input)).collect::<Result<Vec<_>>>().context("--input")?;
    let (tasks, is_named) = tasks(&searches).await.context("--input")?;
    let output = Place::parse(&order.output).context("--output")?;
    let is_directory = order.output.ends_with('/') || output.on_disk().is_some_and(|path| path.is_dir());
    if let ([one], true, false, Ok(wanted)) = (&tasks[..], is_named, is_directory, Format::of(&output.name())) {
        ensure!(one.format == wanted, "--output: {output} is to be like {}, and so named", one.found.place);
        ensure!(!output.is_within(&one.found.place), "--output is the file of --input");
        return Ok((tasks, Destination::File(output)));
    }
    for Task { found, .. } in &tasks {
        let target = output.below(&found.relative);
        ensure!(!target.is_within(&found.place), "--output: {target} would replace what is read");
        let again = searches.iter().any(|search| search.would_find(&target));
        ensure!(!again, "--output: {target} would be read the next time: --input names it, too");
    }
    Ok((tasks, Destination::Directory(output)))
}

/// The files of all searches, and whether each was named.
async fn tasks(searches: &[Search]) -> Result<(Vec<Task>, bool)> {
    let (mut tasks, mut known, mut is_named) = (Vec::new(), HashMap::new(), true);
    for search in searches {
        let found = search.find().await?;
        let (data, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| found.is_named || Format::of(&found.relative).is_ok());
        if let Some(other) = others.first() {
            if data.is_empty() {
                Format::of(&other.relative)?;
            }
            tracing::warn!(
                "--input: {} files are of no known format and left out, such as {}",
                others.len(),
                other.place
            );
        }
        for found in data {
            is_named &= found.is_named;
            if let Some(other) = known.insert(found.relative.clone(), found.place.clone()) {
                bail!("{other} and {} would both become {}", found.place, found.relative);
            }
            let format = Format::of(&found.relative)?;
            tasks.push(Task { input: Input::of(&found), found, format });
        }
    }
    Ok((tasks, is_named))
}
