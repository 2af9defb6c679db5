//! SIGTERM and SIGINT: the first asks for a clean stop, the second ends the process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::stop::Stop;

/// Lets the signals stop what looks at `stop`.
///
/// # Errors
/// When the system refuses a handler.
pub fn stop_on_signals(runtime: &Runtime, stop: Arc<Stop>, timeout: Duration) -> Result<()> {
    let _inside = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    runtime.spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => ("SIGTERM", libc::SIGTERM),
                _ = interrupt.recv() => ("SIGINT", libc::SIGINT),
            }
        };
        let (name, _) = next().await;
        let seconds = timeout.as_secs_f32();
        tracing::info!("{name}: draining, for {seconds} s at most; again to leave at once");
        stop.request();
        let (name, number) = next().await;
        tracing::warn!("{name} again: leaving at once; what is not committed will be read again");
        leave(128 + number);
    });
    Ok(())
}

/// Ends the process without tidying up: destructors would take ONNX Runtime away from the thread that runs it, whose
/// documents would then look like the model's failures.
#[expect(unsafe_code, reason = "std has no exit without destructors")]
fn leave(code: i32) -> ! {
    // SAFETY: it only ends the process.
    unsafe { libc::_exit(code) }
}
