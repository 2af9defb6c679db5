//! Disks that are full: of pods, and of a node of Kafka.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::stage::{LIMIT, Stage};
use crate::support::tagbert::Place;

/// Two pods write their logs, a line for each record and more, to a disk that is full.
pub fn disk_full(stage: &mut Stage<'_>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}", std::process::id()));
    let Some(disk) = disk(stage, folder, 16) else { return };
    let log = std::mem::replace(&mut stage.arena.fleet.log, "debug".into());
    stage.arena.fleet.lodge(Place { folder: disk.folder.clone(), groups: Vec::new() });
    stage.arena.fleet.grow(3);
    stage.wait_until_ready(3);
    stage.under_load(|stage| {
        stage.event("the disk is full");
        disk.fill();
        let before = disk.logs();
        stage.sleep(Duration::from_secs(10));
        let after = disk.logs();
        disk.free();
        // The end of a page may have been free.
        if before == 0 || after > before + 2 * 4096 {
            stage.failed.push(format!("the logs went on, from {before} to {after} bytes: the disk was not full"));
        }
        stage.event("the disk has room");
    });
    stage.drain();
    // Nobody may hold the disk when it goes.
    stage.arena.fleet.shrink(1);
    stage.arena.fleet.lodge(Place::default());
    stage.arena.fleet.log = log;
}

/// A node's records are on a disk that is full.
pub fn broker_disk_full(stage: &mut Stage<'_>) {
    let data = stage.arena.cluster.data(0);
    let kept = data.with_file_name("data-elsewhere");
    stage.arena.cluster.stop_node(0, "TERM");
    fs::rename(&data, &kept).unwrap();
    let disk = disk(stage, data.clone(), 256);
    if disk.is_some() {
        copy(&kept, &data);
    } else {
        fs::rename(&kept, &data).unwrap();
    }
    stage.arena.cluster.start_node(0);
    stage.arena.cluster.wait_until_whole();
    let Some(disk) = disk else { return };
    stage.under_load(|stage| {
        stage.event("the node's disk is full");
        disk.fill();
        stage.wait_until("the node ends", LIMIT, |stage| {
            // Its other files have room for a while.
            disk.fill();
            stage.arena.cluster.has_ended(0)
        });
        stage.event("the node has ended");
        stage.sleep(Duration::from_secs(5));
        disk.free();
        stage.arena.cluster.wait_until_whole();
        stage.event("the node is back");
    });
    stage.drain();
    stage.arena.cluster.stop_node(0, "TERM");
    let _ = fs::remove_dir_all(&kept);
    copy(&data, &kept);
    drop(disk);
    let _ = fs::remove_dir(&data);
    fs::rename(&kept, &data).unwrap();
    stage.arena.cluster.start_node(0);
    stage.arena.cluster.wait_until_whole();
}

/// All files of a folder. Those that have holes keep them: Kafka's indexes are large, and empty.
fn copy(from: &Path, to: &Path) {
    let status =
        Command::new("cp").args(["--archive", "--sparse=always"]).arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success(), "{} could not be copied", from.display());
}

/// A disk of its own, of memory; dropping it takes it away.
struct Disk {
    folder: PathBuf,
}

/// Of so many MiB; none, and a note, where none can be mounted.
fn disk(stage: &mut Stage<'_>, folder: PathBuf, mebibytes: usize) -> Option<Disk> {
    fs::create_dir_all(&folder).unwrap();
    let size = format!("size={mebibytes}m");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "rehearsal"]).arg(&folder).status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(Disk { folder });
    }
    let _ = fs::remove_dir(&folder);
    stage.skip("a disk can't be mounted here, it takes root");
    None
}

impl Disk {
    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 4096] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// How large the pods' logs are, together.
    fn logs(&self) -> u64 {
        let entries = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path().join("log"));
        entries.filter_map(|log| Some(fs::metadata(log).ok()?.len())).sum()
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        let _ = fs::remove_dir(&self.folder);
    }
}
