//! The configuration of commands that need no Kafka.

use anyhow::Result;

use super::cli::{ConfigArgs, OfflineArgs};
use crate::config::{self, Config, Otherwise};

/// Where documents have their text, if no configuration says so.
const USUAL: &str = "input: {text: [/text]}";

/// The configuration of the file, the environment and the command line.
///
/// # Errors
/// When something in it is wrong.
pub(super) fn configured(args: &OfflineArgs) -> Result<Config> {
    let mut config = match &args.config {
        Some(file) => super::config(&ConfigArgs { config: file.clone(), set: args.set.clone() })?,
        None => without_kafka(&args.set)?,
    };
    // They have one output: no rule says where to.
    (config.routes, config.output.otherwise) = (Vec::new(), Otherwise::Default);
    if let Some(model) = &args.model {
        (config.model.path, config.model.variant) = (model.clone(), None);
    }
    if args.variant.is_some() {
        config.model.variant.clone_from(&args.variant);
    }
    Ok(config)
}

/// The configuration of the environment and the command line. What only the worker needs is not even looked at.
fn without_kafka(sets: &[String]) -> Result<Config> {
    let is_of_kafka = |name: &str| {
        name == "KAFKA_BOOTSTRAP_SERVERS" || name.to_uppercase().replace("__", "_").starts_with("TAGBERT_KAFKA_")
    };
    let environment = config::environment().into_iter().filter(|(name, _)| !is_of_kafka(name)).collect();
    Ok(Config::parse(USUAL, environment, sets)?)
}
