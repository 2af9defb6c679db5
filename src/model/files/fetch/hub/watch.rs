//! Tells a slow transfer from a dead one: the library itself waits forever.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hf_hub::progress::{DownloadEvent, ProgressEvent, ProgressHandler};
use tokio::time::timeout;

/// What is known of a transfer.
#[derive(Default)]
pub struct Watch {
    /// Bytes that are to come, as the hub says.
    expected: AtomicU64,
    /// Bytes that have come.
    arrived: AtomicU64,
}

impl Watch {
    /// The file's size, or 0 if it is not known.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    /// Waits for a transfer, for as long as it makes progress; `None` if there was none for `patience`.
    pub async fn until_it_stalls<F: Future>(&self, patience: Duration, transfer: F) -> Option<F::Output> {
        let mut transfer = pin!(transfer);
        loop {
            let before = self.arrived.load(Ordering::Relaxed);
            if let Ok(output) = timeout(patience, &mut transfer).await {
                return Some(output);
            }
            if self.arrived.load(Ordering::Relaxed) == before {
                return None;
            }
        }
    }
}

impl ProgressHandler for Watch {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        match event {
            DownloadEvent::Start { total_bytes, .. } => self.expected.store(*total_bytes, Ordering::Relaxed),
            DownloadEvent::Progress { files } => {
                let bytes = files.iter().map(|file| file.bytes_completed).sum();
                self.arrived.fetch_max(bytes, Ordering::Relaxed);
            }
            DownloadEvent::AggregateProgress { bytes_completed, .. } => {
                self.arrived.fetch_max(*bytes_completed, Ordering::Relaxed);
            }
            DownloadEvent::Complete => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(bytes: u64) -> ProgressEvent {
        let event = DownloadEvent::AggregateProgress { bytes_completed: bytes, total_bytes: 9, bytes_per_sec: None };
        ProgressEvent::Download(event)
    }

    #[tokio::test]
    async fn a_slow_transfer_is_waited_for() {
        let watch = Watch::default();
        let slow = async {
            for bytes in 1..6 {
                tokio::time::sleep(Duration::from_millis(40)).await;
                watch.on_progress(&arrived(bytes));
            }
        };
        assert_eq!(watch.until_it_stalls(Duration::from_millis(100), slow).await, Some(()));
    }

    #[tokio::test]
    async fn a_dead_transfer_is_given_up() {
        let watch = Watch::default();
        let dead = async {
            watch.on_progress(&arrived(1));
            std::future::pending::<()>().await;
        };
        assert_eq!(watch.until_it_stalls(Duration::from_millis(20), dead).await, None);
    }
}
