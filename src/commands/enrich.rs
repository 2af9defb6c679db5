//! `tagbert enrich`: the pipeline between files.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};

use super::cli::Enrich;
use super::progress::Bar;
use super::run::TOO_MANY_DEAD;
use super::{offline, output};
use crate::lake::job::{self, Counts, Order, Style};
use crate::record::stop::Stop;
use crate::worker::signals::{StopSignals, leave};

pub(super) fn run(args: &Enrich) -> Result<ExitCode> {
    let mut config = offline::configured(&args.offline)?;
    offline::read(&mut config, &args.text);
    config.read_rows()?;
    let order = Order {
        inputs: args.input.clone(),
        output: args.output.clone(),
        style: Style {
            csv_escape: args.csv_escape,
            tags: args.tags.clone(),
            flat: args.flat,
            compression: args.compression,
            row_group_rows: args.row_group_rows.map(|rows| rows as usize),
        },
    };
    let stop = Arc::<Stop>::default();
    stop_on_signals(&stop)?;
    let bar = Bar::new();
    let summary = job::run(&config, &order, &stop, |progress| bar.show(progress.read, progress.bytes, progress.rows))?;
    bar.finish();
    for (path, error) in &summary.failed {
        output::say(format_args!("tagbert: {path}: {error:#}"));
    }
    let Counts { rows, tagged, without_text, rejected, .. } = job::total(&summary);
    let (files, before) = (summary.done.len(), summary.by_others);
    output::print(format_args!(
        "{files} files done ({before} of them before, or by others): {rows} rows, {tagged} tagged, {without_text} without text, \
         {rejected} rejected"
    ))?;
    if stop.is_requested() {
        output::say("tagbert: stopped; the same command goes on");
        return Ok(ExitCode::FAILURE);
    }
    if !summary.failed.is_empty() {
        output::say(format_args!("tagbert: {} files failed; the same command tries them again", summary.failed.len()));
        return Ok(ExitCode::FAILURE);
    }
    if rejected > args.max_dead {
        let most = args.max_dead;
        output::say(format_args!(
            "tagbert: {rejected} rows were rejected, and --max-dead is {most}: see {}",
            summary.rejected
        ));
        return Ok(ExitCode::from(TOO_MANY_DEAD));
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing that is not whole counts, so a stop need not wait.
fn stop_on_signals(stop: &Arc<Stop>) -> Result<()> {
    let stop = Arc::clone(stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("signals")?;
    let wait = async move {
        if let Ok(mut signals) = StopSignals::listen() {
            signals.next().await;
            stop.request();
            stop.abandon();
            let (_, number) = signals.next().await;
            leave(128 + number);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait)).context("signals")?;
    Ok(())
}
