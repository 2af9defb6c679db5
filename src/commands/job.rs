//! A bounded run as its user asks for it: which part of the topics, and in whose name.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cli::Run;
use super::keeper;
use crate::config::{Config, ConfigError};
use crate::kafka::source::bounds::{Bounds, Edge};
use crate::kafka::tally::Part;
use crate::worker::manifest::Range;

/// So many bytes of a digest tell the groups of jobs apart.
const BYTES: usize = 16;

/// What the run reads, if it is bounded.
///
/// # Errors
/// When something is asked for that only a bounded run can give.
pub(super) fn bounds(args: &Run) -> Result<Option<Bounds>> {
    let bounded = args.until_end || args.from.is_some() || args.to.is_some();
    if !bounded && args.manifest.is_some() {
        let why = "a run without an end has none; with --until-end, --from or --to it has".into();
        return Err(ConfigError::Value { key: "--manifest".into(), why }.into());
    }
    if let Some(path) = &args.manifest {
        keeper::check(path)?;
    }
    if let (Some(from), Some(to)) = (args.from, args.to)
        && is_behind(from, to)
    {
        let why = format!("{from} is behind --to, which is {to}");
        return Err(ConfigError::Value { key: "--from".into(), why }.into());
    }
    Ok(bounded.then_some(Bounds { from: args.from, to: args.to }))
}

/// Whether one is behind the other in each log there may be.
fn is_behind(from: Edge, to: Edge) -> bool {
    match (from, to) {
        (Edge::Offset(from), Edge::Offset(to)) => from > to,
        // Both are of now.
        (Edge::Ago(from), Edge::Ago(to)) => from < to,
        _ => from.time().zip(to.time()).is_some_and(|(from, to)| from > to),
    }
}

/// The group that it reads in. With `--from` or `--to` it is one of the job's own; and it is the same whenever the same is
/// asked for: from these topics to those, by these models, from here to there.
pub(super) fn group(args: &Run, config: &Config) -> String {
    let group = args.group.as_ref().unwrap_or(&config.kafka.group);
    if args.group.is_some() || args.from.is_none() && args.to.is_none() {
        return group.clone();
    }
    let Config { input, output, model, taggers, routes, .. } = config;
    let edges = [args.from, args.to].map(|edge| edge.map(|edge| edge.to_string()));
    let asked = json!([input, output, routes, [model.path, model.variant], taggers]);
    let usual = Config::default();
    let job = json!([said(asked, &json!([usual.input, usual.output])), edges]);
    format!("{group}-job-{}", hex::encode(&Sha256::digest(job.to_string())[..BYTES]))
}

/// The settings that are not as they usually are. So what a later version lets one set besides makes no other job of the same
/// configuration.
fn said(value: Value, usual: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let differs = |(name, value): (String, Value)| {
                let usual = usual.get(&name).unwrap_or(&Value::Null);
                (value != *usual && !(usual.is_null() && is_unset(&value))).then(|| (name, said(value, usual)))
            };
            // By their names, whatever order the library keeps.
            let said: BTreeMap<_, _> = members.into_iter().filter_map(differs).collect();
            said.into_iter().collect()
        }
        Value::Array(values) => {
            let usual = |place| usual.get(place).unwrap_or(&Value::Null);
            values.into_iter().enumerate().map(|(place, value)| said(value, usual(place))).collect()
        }
        value => value,
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// What was asked for, for the manifest.
pub(super) fn range(bounds: Bounds, parts: Vec<Part>) -> Range {
    let edge = |edge: Option<Edge>| edge.map(|edge| edge.to_string());
    Range { from: edge(bounds.from), to: edge(bounds.to), parts }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: Run,
    }

    fn group_of(yaml: &str, from: &str) -> String {
        let config = Config::parse(yaml, HashMap::new(), &[]).unwrap();
        let line = Line::try_parse_from(["run", "--config", "config.yaml", "--from", from]).unwrap();
        group(&line.run, &config)
    }

    const JOB: &str = "
kafka: {brokers: kafka:9092}
input: {topics: [mails], text: /body}
routes: [{when: tags.spam.label == 'spam', to: junk}]
taggers: [{name: spam, head: spam}]
";

    #[test]
    fn a_job_that_was_begun_by_an_earlier_version_goes_on() {
        // Never to be changed: whoever has such a job under way would begin it anew.
        assert_eq!(group_of(JOB, "10"), "tagbert-job-866a1f1040bd3d9f5e468af3ff1d6fd9");
    }

    #[test]
    fn what_is_said_as_it_is_by_default_makes_no_other_job() {
        let same = JOB
            .replace("topics: [mails]", "topics: [mails], lenient: false, format: json")
            .replace("head: spam", "head: spam, labels: null");
        assert_ne!(same, JOB);
        assert_eq!(group_of(&same, "10"), group_of(JOB, "10"));
    }

    #[test]
    fn another_job_has_another_group() {
        let others =
            [("[mails]", "[letters]"), ("/body", "/title"), ("to: junk", "to: spam"), ("head: spam", "head: topic")];
        for (old, new) in others {
            assert_ne!(group_of(&JOB.replace(old, new), "10"), group_of(JOB, "10"), "{new}");
        }
        assert_ne!(group_of(JOB, "11"), group_of(JOB, "10"));
    }
}
