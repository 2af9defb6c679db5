//! Limits of a pod: of cores, and of memory.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::stage::{LIMIT, Stage};
use crate::support::container::Container;
use crate::support::tagbert::Place;

/// The pod's limit: enough for the worker, and little more.
const MEMORY: usize = 640 << 20;

/// The same documents, once with half a core and once with all of them.
pub fn half_a_core(stage: &mut Stage<'_>) {
    let Some(container) = container(stage, Some(500), None) else { return };
    let documents = 20 * stage.options.rate;
    let mut speeds = Vec::new();
    for (what, place) in [("a limit of 500m", place(&container)), ("no limit", Place::default())] {
        stage.arena.fleet.lodge(place);
        stage.arena.fleet.grow(1);
        stage.wait_until_ready(1);
        stage.event(format!("{documents} documents, {what}"));
        let begun = Instant::now();
        stage.write(documents);
        stage.drain();
        speeds.push(documents as f32 / begun.elapsed().as_secs_f32());
        stage.arena.fleet.shrink(0);
    }
    stage.notes.push(format!(
        "{:.0} documents a second with half a core, {:.0} without the limit; the kernel held it back in {} periods of 100 ms",
        speeds[0],
        speeds[1],
        container.throttled()
    ));
}

/// What is written into a volume of memory (`emptyDir: {medium: Memory}`) counts for the pod: until the kernel kills what is
/// largest in it.
pub fn out_of_memory(stage: &mut Stage<'_>) {
    let Some(container) = container(stage, None, Some(MEMORY)) else { return };
    stage.arena.fleet.lodge(place(&container));
    stage.arena.fleet.grow(3);
    stage.wait_until_ready(3);
    let volume = Path::new("/dev/shm").join(format!("rehearsal-{}", std::process::id()));
    stage.under_load(|stage| {
        stage.event("a pod's volume of memory fills up");
        fill(&container, &volume);
        stage.wait_until("the kernel kills the pod", LIMIT, |stage| !stage.arena.fleet.exits.is_empty());
        // Before it is replaced: whoever takes its place would be killed, too.
        let _ = fs::remove_file(&volume);
        stage.event("the volume is empty");
        stage.wait_until_ready(3);
    });
    let killed = container.killed_for_memory();
    stage.notes.push(format!(
        "The kernel counts {killed} processes that it killed in the pod's group, the one that filled the volume among them"
    ));
    let (by_kill, others) = std::mem::take(&mut stage.arena.fleet.exits)
        .into_iter()
        .partition::<Vec<_>, _>(|exit| exit.contains("SIGKILL"));
    stage.arena.fleet.exits = others;
    if by_kill.len() != 1 || killed == 0 {
        stage.failed.push(format!("one pod was to be killed for memory, not {}: {by_kill:?}, {killed}", by_kill.len()));
    }
    // The groups can go when nobody is in them.
    stage.drain();
    stage.arena.fleet.shrink(0);
}

/// Writes more into the volume than the pod may have, as one of the pod.
fn fill(container: &Container, volume: &Path) {
    let enter: String =
        container.groups().iter().map(|group| format!("echo $$ >{}/cgroup.procs; ", group.display())).collect();
    let write = format!("{enter}exec head --bytes={} /dev/zero >{}", MEMORY, volume.display());
    // It is killed, too, once it is the largest that is left.
    let _ = Command::new("sh").args(["-c", &write]).process_group(0).status().unwrap();
}

/// With these limits; none, and a note, where the kernel's interface is out of reach.
fn container(stage: &mut Stage<'_>, millicores: Option<usize>, memory: Option<usize>) -> Option<Container> {
    let made = Container::create(&format!("rehearsal-{}", std::process::id()), millicores, memory);
    if made.is_none() {
        stage.skip("control groups can't be made here, it takes root");
    }
    made
}

fn place(container: &Container) -> Place {
    Place { groups: container.groups(), ..Place::default() }
}
