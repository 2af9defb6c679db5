//! SIGTERM and SIGINT: the first asks for a clean stop (G-5), the second ends the process (G-12). SIGHUP asks for a
//! reload.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::record::stop::Stop;
use crate::tagger::reload::Reloads;

/// The two that ask for an end, as they come.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes them from the system, which ends the process no more by itself. Within a runtime.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
        })
    }

    /// The next one's name and number.
    pub async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", libc::SIGTERM),
            _ = self.interrupt.recv() => ("SIGINT", libc::SIGINT),
        }
    }
}

/// Lets the signals stop what looks at `stop`; before that has begun, the process is left with the code `early`.
///
/// # Errors
/// When the system refuses a handler.
pub fn stop_on_signals(runtime: &Runtime, stop: Arc<Stop>, timeout: Duration, early: i32) -> Result<()> {
    let _inside = runtime.enter();
    let mut signals = StopSignals::listen()?;
    runtime.spawn(async move {
        let (name, _) = signals.next().await;
        // Start-up waits for others, in more places than could be told to stop; nothing of it has to be ended.
        if !stop.has_begun() {
            tracing::info!("{name} while starting: leaving at once; no record was read");
            leave(early);
        }
        let seconds = timeout.as_secs_f32();
        tracing::info!("{name}: draining, for {seconds} s at most; again to leave at once");
        stop.request();
        let (name, number) = signals.next().await;
        tracing::warn!("{name} again: leaving at once; what is not committed will be read again");
        leave(128 + number);
    });
    Ok(())
}

/// Lets SIGHUP reload the models, instead of ending the process.
///
/// # Errors
/// When the system refuses a handler.
pub fn reload_on_hangup(runtime: &Runtime, reloads: Reloads) -> Result<()> {
    let _inside = runtime.enter();
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    runtime.spawn(async move {
        while hangup.recv().await.is_some() {
            if reloads.ask("SIGHUP").is_err() {
                tracing::warn!("SIGHUP: too many reloads wait already: they will load what is there");
            }
        }
    });
    Ok(())
}

/// Ends the process without tidying up: destructors would take ONNX Runtime away from the thread that runs it, whose
/// documents would then look like the model's failures.
#[expect(unsafe_code, reason = "std has no exit without destructors")]
pub fn leave(code: i32) -> ! {
    // SAFETY: it only ends the process.
    unsafe { libc::_exit(code) }
}
