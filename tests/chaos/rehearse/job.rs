//! A Job: pods that share what there is, and end.

use std::time::{Duration, Instant};

use super::stage::{LIMIT, Stage};
use crate::fleet::last_words;

/// `completions` and `parallelism`.
const PODS: usize = 3;

/// How long Kubernetes waits before it replaces the first pod that failed.
const BACKOFF: Duration = Duration::from_secs(10);

/// Records that can't be tagged are among the documents, and are no failure.
const ARGS: [&str; 3] = ["--until-end", "--max-dead", "1000000"];

fn start(stage: &mut Stage<'_>) {
    let pod = stage.arena.fleet.apart(&ARGS);
    stage.apart.push(pod);
}

/// Three pods do all there is; one of them dies on the way.
pub fn job(stage: &mut Stage<'_>) {
    let documents = stage.options.documents;
    stage.write(documents);
    stage.event(format!("{PODS} pods for {documents} documents"));
    let started = Instant::now();
    (0..PODS).for_each(|_| start(stage));
    let (mut completions, mut to_be_killed, mut due) = (0, true, None);
    stage.wait_until("the job is done", 10 * LIMIT, |stage| {
        if to_be_killed && stage.lag().is_some_and(|lag| lag > 0 && lag < documents as i64 * 2 / 3) {
            stage.event("one dies");
            // Dropping it kills it.
            drop(stage.apart.remove(0));
            (to_be_killed, due) = (false, Some(Instant::now() + BACKOFF));
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            stage.event("it is replaced");
            due = None;
            start(stage);
        }
        let failed = &mut stage.failed;
        stage.apart.retain_mut(|pod| match pod.ended() {
            None => true,
            Some(status) => {
                completions += 1;
                if !status.success() {
                    failed.push(format!("a pod of the job ended with {status}: {}", last_words(pod)));
                }
                false
            }
        });
        completions == PODS
    });
    if to_be_killed {
        stage.failed.push("the job was done before one could die".into());
    }
    let took = started.elapsed().as_secs_f32();
    stage.event("the job is done");
    stage.notes.push(format!(
        "{documents} documents in {took:.0} s, {:.0} a second, the dead pod's session ({} s) and the Job's back-off included",
        documents as f32 / took,
        crate::arena::SESSION.as_secs()
    ));
}
