//! `tagbert check`.

use std::process::ExitCode;

use anyhow::Result;
use rdkafka::producer::BaseProducer;

use super::cli::ConfigArgs;
use super::output;
use crate::codec::outputs::Outputs;
use crate::codec::registry::Registry;
use crate::config::Inputs;
use crate::kafka::{clients, reach};
use crate::model::vet;
use crate::route::Router;
use crate::tagger::shadow;
use crate::tagger::taggers::Taggers;

pub(super) fn run(args: &ConfigArgs) -> Result<ExitCode> {
    let config = super::config(args)?;
    output::print(config.masked())?;
    if let Some(unsaid) = config.unsaid() {
        output::say(unsaid);
    }
    vet::all(&config)?;
    let taggers = Taggers::load(&config)?;
    for model in taggers.models() {
        output::say(format_args!("model: {model}"));
    }
    Router::new(&config, &taggers.kinds())?;
    if let Some(of_shadow) = config.of_shadow() {
        shadow::vet(&of_shadow)?;
        for model in shadow::load(&of_shadow, &taggers)?.models() {
            output::say(format_args!("shadow: {model}"));
        }
    }
    if let Some(registry) = Registry::new(&config.registry)? {
        registry.probe()?;
        output::say("registry: it answers");
        if let Some(outputs) = Outputs::new(&config, registry.into()) {
            outputs.prove()?;
            output::say("registry: enriched records can be written by their schema");
        }
    }
    if config.kafka.brokers == "embedded" {
        output::say("brokers: embedded, so there are no topics to look for");
        return Ok(ExitCode::SUCCESS);
    }
    let _: BaseProducer = clients::producer(&config).create().map_err(clients::refused)?;
    let (topics, _) = clients::check_topics(&config, &reach::metadata(&config)?)?;
    output::say(format_args!("topics: all there on {}", config.kafka.brokers));
    if Inputs::of(&config).has_patterns() {
        let topics = if topics.is_empty() { "none yet".into() } else { topics.join(", ") };
        output::say(format_args!("topics that are read now: {topics}"));
    }
    Ok(ExitCode::SUCCESS)
}
