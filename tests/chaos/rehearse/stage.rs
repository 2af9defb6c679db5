//! Where an act takes place: an arena, and those who look at it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::message::OwnedMessage;
use serde_json::Value;

use super::Act;
use super::meter::Meter;
use super::scene::Scene;
use super::watch::Watch;
use crate::arena::{Arena, Protocol};
use crate::documents::Corpus;
use crate::options::Rehearsal;
use crate::reader::read_all;
use crate::soak::every;
use crate::support::cluster::Cluster;
use crate::support::tagbert::Worker;

/// How often pods are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How long anything may take to come about.
pub const LIMIT: Duration = Duration::from_mins(2);

/// So many documents are written at once; the client has room for some more.
const PORTION: usize = 20_000;

/// Where an act takes place.
pub struct Stage<'a> {
    /// Topics, pods and documents.
    pub arena: Arena<'a>,
    /// What was asked for.
    pub options: &'a Rehearsal,
    /// The documents.
    pub corpus: &'a Corpus,
    /// Pods that are none of the fleet: nobody replaces them.
    pub apart: Vec<Worker>,
    /// What is worth telling.
    pub notes: Vec<String>,
    /// What was not as it should be.
    pub failed: Vec<String>,
    act: &'a Act,
    /// Whether the act could be played here.
    played: bool,
    started: Instant,
    meter: Meter,
    watch: Watch,
    /// Looks before this one may be older than what was written last.
    fresh: usize,
    /// So much lag is none.
    none: i64,
    /// What happened, and when.
    events: Vec<(Duration, String)>,
}

impl<'a> Stage<'a> {
    /// With topics of its own, and so many pods as the act begins with, which are ready.
    pub fn open(cluster: &'a mut Cluster, corpus: &'a Corpus, options: &'a Rehearsal, act: &'a Act) -> Self {
        let name = format!("rehearsal-{}", act.name);
        let cooperative = Protocol::Classic("cooperative-sticky");
        let arena = Arena::open(cluster, corpus, &options.options(), &name, 6, act.pods, cooperative);
        let started = Instant::now();
        let meter = Meter::start(&arena, started);
        let (apart, watch, fresh, none, notes, failed, events) = <_>::default();
        let mut stage = Self {
            arena,
            options,
            corpus,
            apart,
            notes,
            failed,
            act,
            played: true,
            started,
            meter,
            watch,
            fresh,
            none,
            events,
        };
        stage.wait_until_ready(act.pods);
        stage
    }

    /// Lets time pass, while whoever ends is replaced, and pods are looked at.
    pub fn sleep(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.meter.set_pods(self.watch.look(self.arena.fleet.workers().iter().chain(&self.apart)));
            self.arena.fleet.sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Lets time pass until something holds.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !holds(self) {
            if Instant::now() > deadline {
                self.failed.push(format!("not within {} s: {what}", limit.as_secs()));
                return false;
            }
            self.sleep(LOOK);
        }
        true
    }

    /// Waits until so many pods are ready.
    pub fn wait_until_ready(&mut self, count: usize) {
        self.wait_until(&format!("{count} pods are ready"), LIMIT, |stage| {
            let pods = stage.arena.fleet.workers();
            pods.len() == count && pods.iter().all(|pod| stage.watch.is_ready(pod))
        });
    }

    /// Takes note of what happens now.
    pub fn event(&mut self, what: impl Into<String>) {
        let what = what.into();
        let at = self.started.elapsed();
        eprintln!("  {:>5.1} s {what}", at.as_secs_f32());
        self.events.push((at, what));
    }

    /// The act can't be played here.
    pub fn skip(&mut self, why: &str) {
        self.event("not played");
        self.notes.push(format!("Not played: {why}"));
        self.played = false;
    }

    /// The records that are not committed; `None` while that is not known.
    pub fn lag(&self) -> Option<i64> {
        self.meter.lag().filter(|_| self.meter.looks() >= self.fresh)
    }

    /// Writes so many documents, and waits until they are there.
    pub fn write(&mut self, count: usize) {
        let writer = self.arena.writer();
        let writer = &mut writer.lock().unwrap();
        for first in (0..count).step_by(PORTION) {
            writer.write(PORTION.min(count - first));
            writer.flush();
        }
        self.fresh = self.meter.looks() + 2;
    }

    /// Plays, while so many documents a second are written; a few seconds before, and until the lag is back to none.
    pub fn under_load(&mut self, play: impl FnOnce(&mut Self)) {
        // Offsets are committed once a second.
        self.none = 3 * self.options.rate as i64;
        let (writer, rate, over) = (self.arena.writer(), self.options.rate, AtomicBool::new(false));
        thread::scope(|scope| {
            scope
                .spawn(|| every(Duration::from_millis(100), &over, || writer.lock().unwrap().write(rate.div_ceil(10))));
            // However it ends.
            let _over = scopeguard::guard(&over, |over| over.store(true, Ordering::Release));
            self.sleep(Duration::from_secs(4));
            play(self);
            let none = self.none;
            self.wait_until("the lag is back to none", LIMIT, |stage| stage.lag().is_some_and(|lag| lag <= none));
            self.sleep(Duration::from_secs(3));
        });
    }

    /// Waits until nothing is left to do.
    pub fn drain(&mut self) {
        self.wait_until("nothing is left to do", 2 * LIMIT, |stage| stage.lag() == Some(0));
    }

    /// The versions of the model that the results name.
    pub fn versions(&self) -> BTreeSet<String> {
        let results = read_all(self.arena.cluster, &self.arena.output, self.arena.partitions).unwrap_or_default();
        let version = |result: &OwnedMessage| -> Option<String> {
            let value: Value = serde_json::from_slice(result.payload()?).ok()?;
            Some(value["model"]["version"].as_str()?.to_owned())
        };
        results.iter().filter_map(version).collect()
    }

    /// Lets the pods come to the end, and draws up the account.
    pub fn close(mut self) -> Scene {
        self.drain();
        let samples = self.meter.finish();
        let outcome = self.arena.close();
        self.failed.extend(self.watch.hung());
        let (none, notes, failed, events) = (self.none, self.notes, self.failed, self.events);
        Scene::new(
            self.act,
            self.options.delivery,
            none,
            samples,
            events,
            outcome,
            self.watch.first_records(),
            notes,
            failed,
            self.played,
        )
    }
}
