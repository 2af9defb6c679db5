//! Whether the names that readers are to see can be given: labels by other names, and tags as columns.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::config::{Output, Shape};
use crate::model::files::manifest::{Head, Task};
use crate::record::headers;

/// A tag with its name.
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub head: &'a Head,
    /// The labels or entity types that it gives.
    pub labels: Vec<&'a Arc<str>>,
}

/// Checks what the output calls these tags.
///
/// # Errors
/// When there is no such tag or label, or two would be called the same.
pub(super) fn check(output: &Output, tags: &[Named]) -> Result<()> {
    for (tag, names) in &output.labels {
        let Some(Named { head, labels, .. }) = tags.iter().find(|known| known.name == tag) else {
            let known: Vec<_> = tags.iter().map(|known| known.name).collect();
            bail!("`output.labels` has `{tag}`, and no tag is called so, but {}", known.join(", "));
        };
        if let Some(label) = names.keys().find(|label| labels.iter().all(|known| ***known != ***label)) {
            let known = labels.iter().map(|label| &***label).collect::<Vec<_>>().join(", ");
            bail!("`output.labels.{tag}` has `{label}`, which is none of its labels: {known}");
        }
        let mut called = HashSet::new();
        let twice = labels.iter().map(|label| names.get(&***label).map_or(&***label, String::as_str));
        let twice = twice.filter(|_| !matches!(head.task, Task::Tokens(_))).find(|name| !called.insert(*name));
        if let Some(name) = twice {
            bail!("`output.labels.{tag}` calls two labels `{name}`: readers of their scores could not tell them apart");
        }
    }
    let (names, mut taken): (Vec<String>, HashSet<String>) = match output.shape {
        Shape::Nested | Shape::TagsOnly => return Ok(()),
        Shape::Flat => (tags.iter().flat_map(columns).collect(), HashSet::new()),
        Shape::Headers => {
            // They stand beside the tags, or tell a dead letter from others.
            let own = [headers::RECORD_ID, headers::TIMESTAMP, headers::ATTEMPTS, headers::REPLAY_ATTEMPT];
            (tags.iter().flat_map(|tag| headers::of_tag(tag.name)).collect(), own.map(Into::into).into())
        }
    };
    if let Some(name) = names.into_iter().find(|name| !taken.insert(name.clone())) {
        bail!("two would be `{name}` under this `output.shape`: give a tagger another `name`");
    }
    Ok(())
}

/// The columns that a tag may have.
fn columns(tag: &Named) -> Vec<String> {
    let may_be = if tag.head.task == Task::SingleLabel { 3 } else { 1 };
    headers::columns_of_tag(tag.name).into_iter().take(may_be).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::config::Config;

    /// What is said of these tags, which have two labels each.
    fn checked(output: &str, tags: &[&str]) -> String {
        let head = Head {
            name: "head".into(),
            output: None,
            labels: vec!["ham".into(), "spam".into()],
            task: Task::SingleLabel,
            temperature: 1.0,
            thresholds: BTreeMap::new(),
        };
        let config = Config::parse(&format!("output: {output}"), HashMap::new(), &[]).unwrap();
        let tags: Vec<_> = tags.iter().map(|name| Named { name, head: &head, labels: head.names() }).collect();
        check(&config.output, &tags).map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    #[test]
    fn a_name_for_what_is_not_there_and_one_name_for_two_are_refused() {
        for (output, expected) in [
            ("{labels: {spam: {ham: OK, spam: ham}}}", "fine"),
            ("{labels: {spam: {ham: ok}, topic: {sport: s}}}", "no tag is called so, but spam, spam_score"),
            ("{labels: {spam: {eggs: ok}}}", "has `eggs`, which is none of its labels: ham, spam"),
            ("{labels: {spam: {ham: spam}}}", "calls two labels `spam`"),
            ("{shape: flat}", "two would be `tags_spam_score`"),
        ] {
            let found = checked(output, &["spam", "spam_score"]);
            assert!(found.contains(expected), "{output}: {found}");
        }
    }

    #[test]
    fn a_tag_takes_no_header_that_something_else_is_in() {
        assert_eq!(checked("{shape: headers}", &["spam", "spam_score", "record"]), "fine");
        for (tags, expected) in [
            (["spam", "spam.score"], "two would be `tagbert.spam.score`"),
            (["spam", "record.id"], "two would be `tagbert.record.id`"),
            (["timestamp", "spam"], "two would be `tagbert.timestamp`"),
        ] {
            let found = checked("{shape: headers}", &tags);
            assert!(found.contains(expected), "{tags:?}: {found}");
        }
    }
}
