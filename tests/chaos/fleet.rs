//! The workers, as an orchestrator keeps them: whoever ends is replaced.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::support::tagbert::{Place, Worker};

/// How long a worker may take to stop: it drains for ten seconds at most, and leaves the group.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// How long an orchestrator waits until it starts one again that has failed.
const BACKOFF: Duration = Duration::from_millis(500);

/// The workers of a group.
pub struct Fleet {
    yaml: String,
    settings: Vec<String>,
    place: Place,
    /// What those log that are started, as `RUST_LOG`.
    pub log: String,
    /// `FAILPOINTS` of all.
    always: String,
    /// `FAILPOINTS` of those that are started, on top of these.
    failpoints: String,
    workers: Vec<Worker>,
    /// When the next one that failed may be replaced.
    due: Vec<Instant>,
    folders: Vec<PathBuf>,
    /// What those said that ended by themselves, or not well.
    pub exits: Vec<String>,
    /// What those said last that did not stop in time.
    pub hung: Vec<String>,
}

impl Fleet {
    /// Starts so many with this configuration.
    pub fn start(yaml: String, options: &Options, count: usize) -> Self {
        let settings = options.set.iter().flat_map(|set| ["--set".into(), set.clone()]).collect();
        let (workers, due, folders, exits, hung) = <_>::default();
        let mut fleet = Self {
            yaml,
            settings,
            place: Place::default(),
            log: options.log.clone(),
            always: options.failpoints.clone(),
            failpoints: String::new(),
            workers,
            due,
            folders,
            exits,
            hung,
        };
        fleet.grow(count);
        fleet
    }

    /// How many there are, without those that are to be replaced.
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// Starts more, until there are so many.
    pub fn grow(&mut self, count: usize) {
        while self.workers.len() + self.due.len() < count {
            self.add();
        }
    }

    fn add(&mut self) {
        let worker = self.apart(&[]);
        self.workers.push(worker);
    }

    /// Starts one with these arguments that is like the others, but none of them: nobody replaces it.
    pub fn apart(&mut self, more: &[&str]) -> Worker {
        let args: Vec<_> = self.settings.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let failpoints = format!("{};{}", self.always, self.failpoints);
        let environment = [("FAILPOINTS", failpoints.as_str()), ("RUST_LOG", &self.log)];
        let worker = Worker::start_at(&self.place, &self.yaml, &args, &environment);
        self.folders.push(worker.folder().into());
        worker
    }

    /// Those that are started from now on are started there.
    pub fn lodge(&mut self, place: Place) {
        self.place = place;
    }

    /// Those that are started from now on have this setting.
    pub fn set(&mut self, setting: String) {
        self.settings.extend(["--set".into(), setting]);
    }

    /// Replaces those that have ended by themselves. To be called often.
    pub fn tend(&mut self) {
        for mut worker in std::mem::take(&mut self.workers) {
            match worker.ended() {
                None => self.workers.push(worker),
                Some(status) => {
                    self.exits.push(format!("{status}: {}", last_words(&worker)));
                    self.due.push(Instant::now() + BACKOFF);
                }
            }
        }
        let waiting = self.due.len();
        self.due.retain(|due| *due > Instant::now());
        for _ in self.due.len()..waiting {
            self.add();
        }
    }

    /// Waits, and replaces meanwhile.
    pub fn sleep(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.tend();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Sends a signal to one of them, if it is there.
    pub fn signal(&self, n: usize, name: &str) {
        if let Some(worker) = self.workers.get(n % self.workers.len().max(1)) {
            worker.signal(name);
        }
    }

    /// How often all of them, also those that are no more, have said this.
    pub fn said(&self, text: &str) -> usize {
        let logs = self.folders.iter().filter_map(|folder| fs::read_to_string(folder.join("log")).ok());
        logs.map(|log| log.matches(text).count()).sum()
    }

    /// Takes one away by kill -9.
    pub fn kill(&mut self, n: usize) {
        if !self.workers.is_empty() {
            // Dropping it kills it.
            drop(self.workers.remove(n % self.workers.len()));
        }
    }

    /// Takes one away by SIGTERM.
    pub fn terminate(&mut self, n: usize) {
        if !self.workers.is_empty() {
            let worker = self.workers.remove(n % self.workers.len());
            self.stop(vec![worker]);
        }
    }

    /// Takes all away by SIGTERM, at the same time.
    pub fn terminate_all(&mut self) {
        self.shrink(0);
    }

    /// Takes the latest ones away by SIGTERM, at the same time, until there are so many.
    pub fn shrink(&mut self, count: usize) {
        self.due.truncate(count.saturating_sub(self.workers.len()));
        let latest = self.workers.split_off(count.min(self.workers.len()));
        self.stop(latest);
    }

    fn stop(&mut self, mut workers: Vec<Worker>) {
        workers.iter().for_each(Worker::terminate);
        let deadline = Instant::now() + STOP_TIMEOUT;
        for worker in &mut workers {
            loop {
                match worker.ended() {
                    // One that has just been started may not hear the signal yet: then it ends by it, in silence.
                    Some(status) if status.success() || worker.log().is_empty() => break,
                    Some(status) => {
                        self.exits.push(format!("after SIGTERM, {status}: {}", last_words(worker)));
                        break;
                    }
                    None if Instant::now() > deadline => {
                        self.hung.push(format!("after SIGTERM, {STOP_TIMEOUT:?}: {}", last_words(worker)));
                        break;
                    }
                    None => thread::sleep(Duration::from_millis(20)),
                }
            }
        }
    }

    /// Stops all, and starts as many with these failpoints.
    pub fn restart_with(&mut self, failpoints: String) {
        let count = self.workers.len() + self.due.len();
        self.terminate_all();
        self.failpoints = failpoints;
        self.grow(count);
    }

    /// Removes the logs.
    pub fn forget(self) {
        drop(self.workers);
        for folder in self.folders {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// The end of a worker's log, and where all of it is.
pub fn last_words(worker: &Worker) -> String {
    let log = worker.log();
    let last = log.lines().rev().find(|line| line.starts_with("tagbert: ")).or_else(|| log.lines().last());
    format!("{} ({})", last.unwrap_or_default(), worker.folder().display())
}
