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
pub fn configured(args: &OfflineArgs) -> Result<Config> {
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

/// Has the taggers read these columns, whatever the configuration says: each a name, or a pointer as it is. None leave it so.
pub fn read(config: &mut Config, columns: &[String]) {
    if !columns.is_empty() {
        config.input.text = columns.iter().map(|column| pointer(column)).collect();
        config.taggers.iter_mut().for_each(|tagger| tagger.text = None);
    }
}

fn pointer(column: &str) -> String {
    if column.starts_with('/') {
        column.to_owned()
    } else {
        format!("/{}", column.replace('~', "~0").replace('/', "~1"))
    }
}

/// The configuration of the environment and the command line. What only the worker needs is not even looked at.
fn without_kafka(sets: &[String]) -> Result<Config> {
    let is_of_kafka = |name: &str| {
        name == "KAFKA_BOOTSTRAP_SERVERS" || name.to_uppercase().replace("__", "_").starts_with("TAGBERT_KAFKA_")
    };
    let environment = config::environment().into_iter().filter(|(name, _)| !is_of_kafka(name)).collect();
    Ok(Config::parse(USUAL, environment, sets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_a_name_or_a_pointer() {
        for (column, expected) in [("body", "/body"), ("/message/body", "/message/body"), ("a/b~c", "/a~1b~0c")] {
            assert_eq!(pointer(column), expected);
        }
    }
}
