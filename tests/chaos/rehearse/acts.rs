//! Acts of a Deployment: an update, a machine that is lost, another model.

use std::time::Duration;

use super::stage::{LIMIT, Stage};
use super::volume::Volume;

/// Pods are replaced, one after the other.
pub fn rolling_update(stage: &mut Stage<'_>) {
    stage.under_load(|stage| {
        stage.event("the update begins");
        roll(stage);
        stage.event("the update is done");
    });
}

/// As a Deployment does it with `maxSurge: 1` and `maxUnavailable: 0`.
fn roll(stage: &mut Stage<'_>) {
    let pods = stage.arena.fleet.workers().len();
    for _ in 0..pods {
        stage.arena.fleet.grow(pods + 1);
        stage.wait_until_ready(pods + 1);
        stage.arena.fleet.terminate(0);
    }
    stage.wait_until_ready(pods);
}

/// With a machine go two pods and a node of Kafka.
pub fn node_lost(stage: &mut Stage<'_>) {
    stage.under_load(|stage| {
        stage.event("the machine goes");
        stage.arena.cluster.stop_node(0, "KILL");
        stage.arena.fleet.kill(0);
        stage.arena.fleet.kill(0);
        // Kubernetes takes 350 s unless told otherwise, until it gives a machine up.
        stage.sleep(Duration::from_secs(5));
        stage.event("two pods elsewhere");
        stage.arena.fleet.grow(4);
        stage.wait_until_ready(4);
        stage.sleep(Duration::from_secs(5));
        stage.arena.cluster.start_node(0);
        stage.arena.cluster.wait_until_whole();
        stage.event("the node is back");
    });
}

/// Another model comes with the volume, and then with the configuration.
pub fn model_changed(stage: &mut Stage<'_>) {
    let mut volume = Volume::lay_out(&stage.options.model);
    stage.arena.fleet.set(format!("model.path={}", volume.path()));
    stage.arena.fleet.set("model.watch=1s".into());
    roll(stage);
    stage.under_load(|stage| {
        stage.event("the volume changes");
        volume.change();
        let pods = stage.arena.fleet.workers().len();
        stage.wait_until("each pod has the volume's new model", LIMIT, |stage| {
            stage.arena.fleet.said(", instead of ") >= pods
        });
        stage.event("each pod has loaded it");
        stage.sleep(Duration::from_secs(2));
        let other = volume.another();
        stage.arena.fleet.set(format!("model.path={other}"));
        stage.event("the ConfigMap names another");
        roll(stage);
        stage.event("all pods are new");
    });
    stage.drain();
    let versions = stage.versions();
    stage.notes.push(format!("The results name {} versions of the model", versions.len()));
    if versions.len() != 3 {
        stage.failed.push(format!("results of {} versions of the model, not of 3: {versions:?}", versions.len()));
    }
}
