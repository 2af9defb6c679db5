//! A rehearsal of a cluster on one machine: what Kubernetes and KEDA would do, act by act, with the real binary and three real
//! nodes of Apache Kafka. docs/REHEARSAL.md says what came of it.

use std::time::Instant;

use crate::documents::Corpus;
use crate::options::Rehearsal;
use crate::support::cluster::Cluster;

mod acts;
mod disks;
mod job;
mod limits;
mod meter;
mod report;
mod scaler;
mod scaling;
mod scene;
mod stage;
mod volume;
mod watch;

pub use scaler::the_scaler_wants_what_keda_would;
use scene::{Scene, Verdict};
use stage::Stage;

/// One thing that Kubernetes does, or that happens to it.
struct Act {
    /// Its name, by which it can be asked for.
    name: &'static str,
    /// What happens, for the table.
    what: &'static str,
    /// Pods when it begins.
    pods: usize,
    play: fn(&mut Stage<'_>),
}

const ACTS: [Act; 9] = [
    Act {
        name: "rolling-update",
        what: "under load, three pods are replaced, one after the other, each when its successor is ready",
        pods: 3,
        play: acts::rolling_update,
    },
    Act {
        name: "scale-by-lag",
        what: "KEDA's formula scales from 1 to 4, to 0, and to 1",
        pods: 1,
        play: scaling::scale_by_lag,
    },
    Act {
        name: "node-lost",
        what: "under load, a machine goes (kill -9): two of four pods, and a node of Kafka; five seconds later the pods are \
               elsewhere, later the node is back",
        pods: 4,
        play: acts::node_lost,
    },
    Act {
        name: "job",
        what: "three pods of a Job (`--until-end`) share what is there; one dies (kill -9), and is replaced",
        pods: 0,
        play: job::job,
    },
    Act {
        name: "model-changed",
        what: "under load, a mounted volume has another model (`model.watch`), then the configuration names another (pods roll)",
        pods: 3,
        play: acts::model_changed,
    },
    Act {
        name: "disk-full",
        what: "under load, the disk of two pods' logs is full for ten seconds",
        pods: 1,
        play: disks::disk_full,
    },
    Act {
        name: "broker-disk-full",
        what: "under load, the disk of a node of Kafka is full, which ends it; it has room again, and is back",
        pods: 3,
        play: disks::broker_disk_full,
    },
    Act {
        name: "half-a-core",
        what: "a pod has a CPU limit of 500m, and then none, for as many documents",
        pods: 0,
        play: limits::half_a_core,
    },
    Act {
        name: "out-of-memory",
        what: "under load, one of three pods is over its memory limit, and the kernel kills it; it is replaced",
        pods: 2,
        play: limits::out_of_memory,
    },
];

/// Plays all acts, prints the table, and tells whether each that can be played here kept what is promised.
pub fn rehearse(options: &Rehearsal) -> bool {
    let started = Instant::now();
    println!("delivery {}, model {}", options.delivery, options.model);
    let corpus = Corpus::tagged(&options.model);
    let mut cluster = Cluster::start();
    let wanted = |act: &&Act| options.only.split(',').any(|part| act.name.contains(part));
    let scenes: Vec<Scene> = ACTS
        .iter()
        .filter(wanted)
        .map(|act| {
            eprintln!("{} s: {}", started.elapsed().as_secs(), act.name);
            let mut stage = Stage::open(&mut cluster, &corpus, options, act);
            (act.play)(&mut stage);
            let scene = stage.close();
            eprint!("{}", report::details(&scene));
            scene
        })
        .collect();
    assert!(!scenes.is_empty(), "no act has any of {:?} in its name", options.only);
    report::publish(&scenes, options);
    let count = |verdict| scenes.iter().filter(|scene| scene.verdict() == verdict).count();
    let [kept, broken, not_played] = [Verdict::Kept, Verdict::Broken, Verdict::NotPlayed].map(count);
    println!("{} s: {kept} acts kept, {broken} broken, {not_played} not played", started.elapsed().as_secs());
    // Where none was played, nothing is shown.
    broken == 0 && kept > 0
}
