//! Taggers on probation: what is loaded beside others has to tag a text before it is used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::gather::run_alone;
use super::taggers::{Taggers, Work};
use crate::config::Config;
use crate::record::document::Document;
use crate::record::tag::Tag;
use crate::record::text::Text;

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
    let (_, mut work) = encode(taggers, PROBE, texts)?;
    run_alone(&mut work)?;
    let tags = work.tags();
    ensure!(tags.len() == taggers.names().len(), "there are {} tags of {}", tags.len(), taggers.names().len());
    let wrong = tags.iter().find(|(_, tag)| !is_finite(tag));
    if let Some((name, _)) = wrong {
        bail!("tag `{name}` has a score that is no number");
    }
    Ok(())
}

/// The text as all of the document's texts; or as much of it as the models know. Of a token that an embedding has no row for,
/// nobody can tell what text it is, and only the documents that have it are refused.
///
/// # Errors
/// What is wrong with the whole text, when there is no word of it that will do.
pub fn encode(taggers: &Arc<Taggers>, text: &str, texts: usize) -> Result<(String, Work)> {
    let encoded = |text: &str| taggers.encode(Document::unnamed(vec![Some(Text::from(text)); texts]));
    let error = match encoded(text) {
        Ok(work) => return Ok((text.into(), work)),
        Err(error) => error,
    };
    let words: Vec<&str> = text.split_whitespace().filter(|word| encoded(word).is_ok()).collect();
    // Together they may be what none of them is.
    let known = [words.join(" ")].into_iter().chain(words.iter().map(|word| (*word).to_owned()));
    let known = known.filter(|text| !text.is_empty()).find_map(|text| Some((text.clone(), encoded(&text).ok()?)));
    known.ok_or_else(|| anyhow!(error).context("none of its words is known"))
}

fn is_finite(tag: &Tag) -> bool {
    match tag {
        Tag::Class(class) => class.score.is_finite(),
        Tag::Number(number) => number.value.is_finite(),
        Tag::Labels(labels) => labels.iter().all(|label| label.score.is_finite()),
        Tag::Entities(entities) => entities.iter().all(|entity| entity.score.is_finite()),
    }
}
