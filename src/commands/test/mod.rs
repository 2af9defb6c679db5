//! `tagbert test`: a configuration's cases, through the line that a worker has, without Kafka.

mod compare;
mod contents;
mod junit;
mod line;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::cli::{ConfigArgs, Test};
use super::output;
use crate::config::cases::Case;
use crate::config::{Config, ConfigError};

/// What came of a case: nothing, or what is not as it was to be.
struct Tried {
    name: String,
    faults: Vec<String>,
}

/// What came of a configuration's cases.
struct Suite {
    name: String,
    cases: Vec<Tried>,
}

pub(super) fn run(args: &Test) -> Result<ExitCode> {
    // All files are read before the first case is tried: a mistake in the last one is no failure of the first.
    let files = configurations(&args.configs)?;
    let read = files.iter().map(|file| Ok((file, read(file, &args.set)?)));
    let mut suites = Vec::new();
    for (file, (config, cases)) in read.collect::<Result<Vec<_>>>()? {
        let suite = Suite { name: file.display().to_string(), cases: attempt(&config, &cases, file)? };
        say(&suite)?;
        suites.push(suite);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::report(&suites)).with_context(|| path.display().to_string())?;
    }
    let (mut all, mut failed) = (0, 0);
    for case in suites.iter().flat_map(|suite| &suite.cases) {
        (all, failed) = (all + 1, failed + usize::from(!case.faults.is_empty()));
    }
    output::print(format_args!("{all} cases, {failed} failed"))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// A configuration and its cases: its own, and those of the file beside it.
fn read(file: &Path, set: &[String]) -> Result<(Config, Vec<Case>)> {
    let config = super::config(&ConfigArgs { config: file.to_owned(), set: set.to_vec() })?;
    let mut cases = config.tests.clone();
    let beside = beside(file);
    if beside.exists() {
        let named = |error: ConfigError| error.in_file(&beside.display().to_string());
        let more = Config::cases(&beside).map_err(named)?;
        if let Some(twice) = more.iter().find(|case| cases.iter().any(|earlier| earlier.name == case.name)) {
            let why = format!("has `{}`, a case that {} has, too", twice.name, file.display());
            return Err(named(ConfigError::Value { key: "tests".into(), why }).into());
        }
        cases.extend(more);
    }
    if cases.is_empty() {
        let why = format!("is empty, and there is no {}: there is nothing to try", beside.display());
        return Err(ConfigError::Value { key: "tests".into(), why }.in_file(&file.display().to_string()).into());
    }
    Ok((config, cases))
}

/// The configurations that are meant, each once: `configs/*.yaml` names the files of cases, too. Taken for configurations, they
/// would be tried with defaults, and pass.
fn configurations(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> = Vec::new();
    for file in named {
        let stem = file.file_stem().map(Path::new).filter(|stem| stem.extension().is_some_and(|end| end == "test"));
        let config = match (stem.and_then(Path::file_stem), file.extension()) {
            (Some(name), Some(ending)) => file.with_file_name(name).with_extension(ending),
            _ => file.clone(),
        };
        if config != *file && !config.exists() {
            let why = format!("are those of {}, which is not there", config.display());
            return Err(ConfigError::Value { key: "tests".into(), why }.in_file(&file.display().to_string()).into());
        }
        if !all.contains(&config) {
            all.push(config);
        }
    }
    Ok(all)
}

/// `local.test.yaml` of `local.yaml`.
fn beside(file: &Path) -> PathBuf {
    let ending = file.extension().and_then(OsStr::to_str).unwrap_or("yaml");
    file.with_extension(format!("test.{ending}"))
}

fn attempt(config: &Config, cases: &[Case], file: &Path) -> Result<Vec<Tried>> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut records = Vec::new();
    for case in cases {
        let value = case
            .input
            .value(folder)
            .map_err(|why| ConfigError::Value { key: format!("tests: the input of `{}`", case.name), why });
        records.push((value.map_err(|error| error.in_file(&file.display().to_string()))?, &case.input));
    }
    let ends = line::run(config, &records)?;
    // In another shape tags are not what they are compared with.
    let nested = if config.output.is_nested_json() { None } else { Some(line::run(&nested(config), &records)?) };
    let nested = nested.as_ref().unwrap_or(&ends);
    let tried = cases.iter().zip(ends.iter().zip(nested));
    let faults = |case: &Case, (end, nested)| compare::faults(&case.expect, end, nested);
    Ok(tried.map(|(case, ends)| Tried { name: case.name.clone(), faults: faults(case, ends) }).collect())
}

/// The same, with records in the usual shape.
fn nested(config: &Config) -> Config {
    let mut config = config.clone();
    config.output.make_nested_json();
    config
}

fn say(suite: &Suite) -> Result<()> {
    output::print(&suite.name)?;
    for case in &suite.cases {
        output::print(format_args!("  {}  {}", if case.faults.is_empty() { "ok    " } else { "FAILED" }, case.name))?;
        for line in case.faults.iter().flat_map(|fault| fault.lines()) {
            output::print(format_args!("            {line}"))?;
        }
    }
    Ok(())
}
