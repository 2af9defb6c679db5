//! `tagbert model`.

mod inspection;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::cli::{Inspect, Model};
use super::output;
use crate::config::{Config, Device, LongDocuments, Model as ModelConfig};
use crate::model::vet::{self, Limits};

pub(super) fn run(args: Model) -> Result<ExitCode> {
    match args {
        Model::Inspect(args) => inspect(&args)?,
        Model::Vet(args) => {
            let limits = Limits { memory: args.memory, cpu: args.cpu };
            vet::on_trial(args.directory, args.variant.as_deref(), args.max_tokens, limits)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(args: &Inspect) -> Result<()> {
    let model = ModelConfig {
        path: args.model.clone(),
        variant: args.variant.clone(),
        device: Device::Cpu,
        long_documents: LongDocuments::Truncate,
        ..ModelConfig::default()
    };
    let config = Config { model, ..Config::default() };
    for tagger in config.taggers() {
        vet::vet_within(&tagger.model, Duration::from_secs(args.timeout))?;
    }
    let inspection = inspection::of(&config)?;
    if args.json {
        output::print(serde_json::to_string(&inspection)?)?;
    } else {
        output::print(super::plain(&show::text(&inspection)).trim_end_matches('\n'))?;
    }
    Ok(())
}
