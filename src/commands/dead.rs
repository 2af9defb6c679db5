//! How many records of a job are dead letters, whoever made them so and however often.

use std::collections::HashSet;
use std::ops::ControlFlow;

use anyhow::{Context, Result};

use super::manifest::of_record;
use crate::config::Config;
use crate::kafka::scan::Topics;
use crate::kafka::tally::Part;
use crate::record::headers;

/// How many of those on the dead-letter topic are of a record of the job, each counted once. Where there can't be more than
/// `most`, nobody has to look.
///
/// # Errors
/// When the topic can't be read.
pub(super) fn of_job(config: &Config, job: &[Part], most: u64) -> Result<u64> {
    let records: i64 = job.iter().map(|part| part.to - part.from).sum();
    if u64::try_from(records)? <= most {
        return Ok(0);
    }
    let topic = &config.output.dead_letters;
    count(config, job).with_context(|| {
        format!("the job is done; how many dead letters came of it can't be told, which takes Read on `{topic}`")
    })
}

fn count(config: &Config, job: &[Part]) -> Result<u64> {
    let scan = Topics::of(config)?.scan(&config.output.dead_letters).context("output.dead_letters")?;
    let mut dead = HashSet::new();
    for partition in scan.bounds().keys() {
        scan.each(*partition, 0, |_, headers| {
            let id = headers.and_then(|headers| headers::last(headers, headers::RECORD_ID)).and_then(of_record);
            dead.extend(id.filter(|(key, offset)| job.iter().any(|part| part.has(key, *offset))));
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(dead.len() as u64)
}
