//! Pods come and go with the lag, as KEDA has it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scaler::Scaler;
use super::stage::{LIMIT, Stage};
use crate::support::tagbert::tagbert;

/// Results may be so late; it is what `lagThreshold` is derived from.
const LATE: &str = "5s";

/// `pollingInterval`; 15 s in the chart. `cooldownPeriod` and the window of stabilization are five minutes there.
const POLL: Duration = Duration::from_secs(2);
const COOLDOWN: Duration = Duration::from_secs(10);

/// From one pod to four, to none, and to one.
pub fn scale_by_lag(stage: &mut Stage<'_>) {
    let threshold = lag_threshold(stage);
    stage.notes.push(format!("`tagbert plan --late {LATE}` says `lagThreshold: {threshold}`"));
    let partitions = i64::from(stage.arena.partitions);
    let mut keda = Keda {
        scaler: Scaler {
            threshold,
            activation: 0,
            partitions,
            least: 0,
            most: 4,
            cooldown: COOLDOWN,
            stabilization: COOLDOWN,
            active: Duration::ZERO,
            wanted: Vec::new(),
        },
        started: Instant::now(),
        polled: None,
    };
    let burst = usize::try_from(5 * threshold).unwrap();
    stage.event(format!("{burst} documents at once"));
    stage.write(burst);
    keda.follow(stage, "four pods", |pods, _| pods == 4);
    keda.follow(stage, "no lag", |_, lag| lag == 0);
    let idle = Instant::now();
    keda.follow(stage, "no pods", |pods, _| pods == 0);
    stage.notes.push(format!("Without lag, there are no pods after {:.1} s", idle.elapsed().as_secs_f32()));
    // It is for those who are gone that offsets are kept.
    stage.sleep(Duration::from_secs(3));
    let few = stage.options.rate;
    stage.event(format!("{few} documents"));
    let woken = Instant::now();
    stage.write(few);
    keda.follow(stage, "one pod", |pods, _| pods == 1);
    keda.follow(stage, "no lag", |_, lag| lag == 0);
    stage.notes.push(format!("From none, {few} documents are done after {:.1} s", woken.elapsed().as_secs_f32()));
}

/// Looks at the lag now and then, and has as many pods as it wants.
struct Keda {
    scaler: Scaler,
    started: Instant,
    polled: Option<Instant>,
}

impl Keda {
    /// Goes on until this holds of the pods and the lag.
    fn follow(&mut self, stage: &mut Stage<'_>, what: &str, holds: impl Fn(usize, i64) -> bool) {
        stage.wait_until(what, 2 * LIMIT, |stage| {
            let Some(lag) = stage.lag() else { return false };
            let pods = stage.arena.fleet.workers().len();
            if self.polled.is_none_or(|polled| polled.elapsed() >= POLL) {
                self.polled = Some(Instant::now());
                let wanted = self.scaler.replicas(self.started.elapsed(), lag, pods);
                if wanted != pods {
                    stage.event(format!("{pods} → {wanted} at a lag of {lag}"));
                }
                stage.arena.fleet.shrink(wanted);
                stage.arena.fleet.grow(wanted);
            }
            holds(stage.arena.fleet.workers().len(), lag)
        });
    }
}

/// What `tagbert plan` says of this model and these documents, on this machine.
fn lag_threshold(stage: &Stage<'_>) -> i64 {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plan-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (config, documents) = (folder.join("config.yaml"), folder.join("documents.jsonl"));
    fs::write(&config, format!("model: {{path: {}}}\n", stage.options.model)).unwrap();
    let lines = (0..1000).filter_map(|n| String::from_utf8(stage.corpus.value(n)?).ok());
    fs::write(&documents, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let (config, documents, rate) =
        (config.to_str().unwrap(), documents.to_str().unwrap(), stage.options.rate.to_string());
    let asked = ["plan", "--config", config, "--documents", documents, "--rate", &rate];
    let output = tagbert(&[&asked[..], &["--late", LATE, "--seconds", "5", "--json"]].concat(), b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let _ = fs::remove_dir_all(folder);
    plan["needs"]["lag_threshold"].as_i64().unwrap()
}
