//! Taggers on probation: what is loaded beside others has to tag a text before it is used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::gather::run_alone;
use super::taggers::Taggers;
use crate::config::Config;
use crate::record::document::Document;
use crate::record::tag::Tag;

/// What a new model has to tag before it is used.
const PROBE: &str = "Subject: lunch\nAngela Merkel met Tim Cook of Apple in Berlin. Win a FREE prize now!";

/// Loads models for use beside others, and tries them on a text.
///
/// # Errors
/// When they can't be used. Then nothing has changed.
pub fn load(config: &Config) -> Result<Arc<Taggers>> {
    let tried = catch_unwind(AssertUnwindSafe(|| {
        let taggers = Arc::new(Taggers::load(config)?);
        probe(&taggers, config.texts().len()).context("on a probe text")?;
        Ok(taggers)
    }));
    tried.unwrap_or_else(|_| Err(anyhow!("loading it panicked")))
}

/// Tags a text; every tagger has to say something of it.
fn probe(taggers: &Arc<Taggers>, texts: usize) -> Result<()> {
    let mut work = taggers.encode(Document::unnamed(vec![Some(PROBE.into()); texts]))?;
    run_alone(&mut work)?;
    let tags = work.tags();
    ensure!(tags.len() == taggers.names().len(), "there are {} tags of {}", tags.len(), taggers.names().len());
    let wrong = tags.iter().find(|(_, tag)| !is_finite(tag));
    if let Some((name, _)) = wrong {
        bail!("tag `{name}` has a score that is no number");
    }
    Ok(())
}

fn is_finite(tag: &Tag) -> bool {
    match tag {
        Tag::Class(class) => class.score.is_finite(),
        Tag::Number(number) => number.value.is_finite(),
        Tag::Labels(labels) => labels.iter().all(|label| label.score.is_finite()),
        Tag::Entities(entities) => entities.iter().all(|entity| entity.score.is_finite()),
    }
}
