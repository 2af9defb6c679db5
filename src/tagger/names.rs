//! Whether the names that readers are to see can be given: labels by other names, and tags as columns.

use std::collections::HashSet;

use anyhow::{Result, bail, ensure};

use crate::config::{Output, Shape};
use crate::model::files::manifest::{Head, Task};

/// Checks what the output calls the tags of these heads, each with its tag's name.
///
/// # Errors
/// When there is no such tag or label, or two would be called the same.
pub(super) fn check(output: &Output, heads: &[(&str, &Head)]) -> Result<()> {
    for (tag, names) in &output.labels {
        let Some((_, head)) = heads.iter().find(|(name, _)| name == tag) else {
            let known: Vec<_> = heads.iter().map(|(name, _)| *name).collect();
            bail!("`output.labels` has `{tag}`, and no tag is called so, but {}", known.join(", "));
        };
        // Without aggregation, entities have the labels of tokens.
        let mut labels = head.names();
        labels.extend(head.labels.iter().filter(|label| !head.names().contains(label)));
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
    if output.shape == Shape::Flat {
        let mut columns = HashSet::new();
        for (name, head) in heads {
            let parts: &[&str] = if head.task == Task::SingleLabel { &["", "_score", "_scores"] } else { &[""] };
            let twice =
                parts.iter().map(|part| format!("tags_{name}{part}")).find(|column| !columns.insert(column.clone()));
            ensure!(
                twice.is_none(),
                "two tags would be `{}` under `output.shape: flat`: give a tagger another `name`",
                twice.unwrap_or_default()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::config::Config;

    fn checked(output: &str) -> String {
        let head = |labels: &[&str]| Head {
            name: "head".into(),
            output: None,
            labels: labels.iter().map(|&label| label.into()).collect(),
            task: Task::SingleLabel,
            temperature: 1.0,
            thresholds: BTreeMap::new(),
        };
        let (spam, score) = (head(&["ham", "spam"]), head(&["low", "high"]));
        let config = Config::parse(&format!("output: {output}"), HashMap::new(), &[]).unwrap();
        let checked = check(&config.output, &[("spam", &spam), ("spam_score", &score)]);
        checked.map_or_else(|error| error.to_string(), |()| "fine".into())
    }

    #[test]
    fn a_name_for_what_is_not_there_and_one_name_for_two_are_refused() {
        for (output, expected) in [
            ("{labels: {spam: {ham: OK, spam: ham}}}", "fine"),
            ("{labels: {spam: {ham: ok}, topic: {sport: s}}}", "no tag is called so, but spam, spam_score"),
            ("{labels: {spam: {eggs: ok}}}", "has `eggs`, which is none of its labels: ham, spam"),
            ("{labels: {spam: {ham: spam}}}", "calls two labels `spam`"),
            ("{shape: flat}", "two tags would be `tags_spam_score`"),
        ] {
            let found = checked(output);
            assert!(found.contains(expected), "{output}: {found}");
        }
    }
}
