//! What the kubelet asks of each pod, and when a pod has tagged its first record.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::support::tagbert::{Worker, sum};

/// As in the chart.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often liveness is asked for, and after how many refusals in a row a pod would be killed. (In the chart: 10 s and 6.)
const PERIOD: Duration = Duration::from_secs(1);
const FAILURES: usize = 3;

/// All pods that there were.
#[derive(Default)]
pub struct Watch {
    pods: HashMap<u32, Pod>,
}

struct Pod {
    started: Instant,
    is_live: bool,
    is_ready: bool,
    first_record: Option<Duration>,
    asked: Instant,
    /// Liveness refused, so often in a row.
    refused: usize,
    hung: Option<String>,
}

impl Watch {
    /// Asks these pods; says how many there are.
    pub fn look<'a>(&mut self, workers: impl Iterator<Item = &'a Worker>) -> usize {
        workers.map(|worker| self.pods.entry(worker.id()).or_insert_with(Pod::new).ask(worker)).count()
    }

    /// Whether this pod was ready when it was last asked.
    pub fn is_ready(&self, worker: &Worker) -> bool {
        self.pods.get(&worker.id()).is_some_and(|pod| pod.is_ready)
    }

    /// From the start of a pod to its first record, of all that have come so far.
    pub fn first_records(&self) -> Vec<Duration> {
        let mut all: Vec<_> = self.pods.values().filter_map(|pod| pod.first_record).collect();
        all.sort();
        all
    }

    /// The pods that the kubelet would have killed.
    pub fn hung(&self) -> Vec<String> {
        self.pods.values().filter_map(|pod| pod.hung.clone()).collect()
    }
}

impl Pod {
    fn new() -> Self {
        let now = Instant::now();
        let (is_live, is_ready, first_record, refused, hung) = <_>::default();
        Self { started: now, is_live, is_ready, first_record, asked: now, refused, hung }
    }

    fn ask(&mut self, worker: &Worker) {
        if self.first_record.is_none() {
            let metrics = worker.probe("/metrics", TIMEOUT).unwrap_or_default().1;
            let records = sum(&metrics, "tagbert_records_out_total").unwrap_or_default();
            self.first_record = (records > 0.0).then(|| self.started.elapsed());
        }
        if !self.is_ready || self.asked.elapsed() > PERIOD {
            self.asked = Instant::now();
            let says_yes = |path: &str| worker.probe(path, TIMEOUT).is_some_and(|(status, _)| status == 200);
            let is_live = says_yes("/livez");
            self.is_ready = is_live && says_yes("/readyz");
            // Until it was live for the first time, it starts.
            self.refused = if is_live || !self.is_live { 0 } else { self.refused + 1 };
            self.is_live |= is_live;
            if self.refused >= FAILURES {
                self.hung = Some(format!("/livez did not answer {FAILURES} times ({})", worker.folder().display()));
            }
        }
    }
}
