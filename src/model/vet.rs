//! A trial of a model in a process of its own, so that whatever the file does there ends with that process (G-54).

use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::files::{fetch, layout};
use super::graph::graph_file::GraphFile;
use super::loaded::Model;
use super::session::runtime;
use crate::config::location::Location;
use crate::config::{Config, Device, ModelSettings};
use crate::telemetry::memory;

/// How long loading and warming up may take: long, since a worker that uses all processors may run beside it.
const DEADLINE: Duration = Duration::from_mins(5);

/// Address space for code, stacks and buffers; sound models of any size stay far below.
const LEAST_MEMORY: u64 = 4 << 30;

/// Address space for each byte of the files: ONNX Runtime reads, copies, converts and packs weights.
const MEMORY_PER_BYTE: u64 = 8;

/// A trial is ended when the container has no more than this left: some kernels' settings kill all of a container at its limit
/// (`memory.oom.group`, as Kubernetes has it), and that would be the worker, too.
const SPARE_MEMORY: u64 = 32 << 20;

/// What is kept of what the process says.
const MOST_SAID: u64 = 64 << 10;

/// How the process' own line begins: that of [`crate::commands::run`].
const ERROR: &str = "tagbert: ";

/// The limits of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: u64,
    /// Seconds of one processor.
    pub cpu: u64,
}

/// Vets all models of a configuration.
///
/// # Errors
/// As for [`vet_within`], of the first that is refused.
pub fn all(config: &Config) -> Result<()> {
    let mut vetted = Vec::new();
    for model in config.taggers().into_iter().map(|tagger| tagger.model) {
        if !vetted.contains(&model) {
            vet_within(&model, DEADLINE)?;
            vetted.push(model);
        }
    }
    Ok(())
}

/// Fetches the model if it is elsewhere, then loads it and warms it up in another process (on the CPU).
///
/// # Errors
/// When the model can't be used, or that process crashes, hangs, takes too much memory or longer than the deadline.
pub fn vet_within(settings: &ModelSettings, deadline: Duration) -> Result<()> {
    let variant = settings.variant.as_deref();
    let directory = fetch::fetch(&settings.path, variant)?.directory;
    ensure!(directory.is_dir(), "model.path: {} is not a directory", directory.display());
    let graph = layout::find_graph(&directory, variant)?;
    let sizes = GraphFile::open(&graph)?;
    let threads = runtime::cores() as u64;
    let bytes = sizes.bytes + sizes.external_bytes;
    let left = memory::left();
    if let Some(left) = left.filter(|left| *left < bytes.saturating_add(SPARE_MEMORY)) {
        let [needed, left] = [bytes + SPARE_MEMORY, left].map(|bytes| bytes >> 20);
        bail!(
            "{}: to try it takes {needed} MiB at least, and the container (its control group) has {left} left: raise its limit",
            graph.display()
        );
    }
    let limits = Limits {
        memory: LEAST_MEMORY.saturating_add(bytes.saturating_mul(MEMORY_PER_BYTE)),
        // The deadline is there for a process that waits, this for one whose parent is gone.
        cpu: (deadline.as_secs() + 1).saturating_mul(threads),
    };
    let child = start(&directory, settings, limits)?;
    match outcome(child, deadline, memory::left)? {
        Outcome::Done => Ok(()),
        Outcome::Refused(why) => bail!("{why}"),
        Outcome::Broken(how) => bail!("{}: it can't be used: {how}", graph.display()),
    }
}

/// The other process' part: limits itself, and does what may go wrong.
///
/// # Errors
/// When the model can't be used.
pub fn on_trial(directory: PathBuf, variant: Option<&str>, max_tokens: Option<usize>, limits: Limits) -> Result<()> {
    limit(libc::RLIMIT_AS, limits.memory)?;
    limit(libc::RLIMIT_CPU, limits.cpu)?;
    limit(libc::RLIMIT_CORE, 0)?;
    // Where memory is scarcer than that, the system shall take it from here, not from a worker.
    let _ = std::fs::File::options()
        .write(true)
        .open("/proc/self/oom_score_adj")
        .and_then(|mut file| file.write_all(b"1000"));
    let max_tokens = max_tokens.and_then(NonZeroUsize::new);
    let (path, variant) = (Location::Directory(directory), variant.map(str::to_owned));
    let sessions = Some(NonZeroUsize::MIN);
    let usual = Config::default().model.tagger(&[]).model;
    Model::load(&ModelSettings { path, variant, device: Device::Cpu, sessions, max_tokens, ..usual }).map(drop)
}

#[expect(unsafe_code, reason = "the standard library sets no limits")]
fn limit(resource: libc::__rlimit_resource_t, most: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: both are given a whole `rlimit`; getrlimit only writes it, and setrlimit only reads it.
    let done = unsafe {
        let mut set = limit;
        // A stricter limit that is there already stays.
        if libc::getrlimit(resource, &raw mut set) == 0 {
            limit.rlim_max = most.min(set.rlim_max);
            limit.rlim_cur = limit.rlim_max;
        }
        libc::setrlimit(resource, &raw const limit)
    };
    ensure!(done == 0, "a limit of {most} can't be set: {}", std::io::Error::last_os_error());
    Ok(())
}

fn start(directory: &Path, settings: &ModelSettings, limits: Limits) -> Result<Child> {
    // Not by its path, where a newer version may be by now.
    let mut command = Command::new("/proc/self/exe");
    command.args(["model", "vet"]).arg(directory);
    if let Some(variant) = &settings.variant {
        command.args(["--variant", variant]);
    }
    if let Some(max_tokens) = settings.max_tokens {
        command.args(["--max-tokens", &max_tokens.to_string()]);
    }
    command.args(["--memory", &limits.memory.to_string(), "--cpu", &limits.cpu.to_string()]);
    // Each thread would reserve address space for a heap of its own.
    command.env("MALLOC_ARENA_MAX", "2").env("RAYON_NUM_THREADS", "1").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().context("the process that tries the model can't be started")
}

enum Outcome {
    Done,
    /// It said why.
    Refused(String),
    /// It could not.
    Broken(String),
}

fn outcome(mut child: Child, deadline: Duration, left: impl Fn() -> Option<u64>) -> Result<Outcome> {
    let mut stderr = child.stderr.take().context("the process has no stderr")?;
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        // The rest is read, too, or the process would wait for it to be.
        let _ = stderr.by_ref().take(MOST_SAID).read_to_end(&mut said);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        String::from_utf8_lossy(&said).into_owned()
    });
    let status = wait(&mut child, deadline, left);
    let said = reader.join().unwrap_or_default();
    let status = match status? {
        Ok(status) => status,
        Err(how) => return Ok(Outcome::Broken(how)),
    };
    if status.success() {
        return Ok(Outcome::Done);
    }
    let why = said.lines().find_map(|line| line.strip_prefix(ERROR));
    Ok(match why.filter(|_| status.code() == Some(1)) {
        Some(why) => Outcome::Refused(why.to_owned()),
        None => Outcome::Broken(crash(status, said.lines().rfind(|line| !line.trim().is_empty()))),
    })
}

/// Waits for the end. At the deadline, or when the container's memory runs out, the process is killed, and there is no status but
/// the reason.
fn wait(child: &mut Child, deadline: Duration, left: impl Fn() -> Option<u64>) -> Result<Result<ExitStatus, String>> {
    let (end, at_first) = (Instant::now() + deadline, left().unwrap_or_default());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ok(status));
        }
        let why = if Instant::now() >= end {
            format!("loading and a first run took more than {} s", deadline.as_secs())
        } else if left().is_some_and(|left| left < SPARE_MEMORY) {
            format!(
                "loading and a first run took more memory than the container (its control group) has to spare, of {} MiB that it had \
                 left: raise its limit",
                at_first >> 20
            )
        } else {
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        child.kill()?;
        child.wait()?;
        return Ok(Err(why));
    }
}

fn crash(status: ExitStatus, last: Option<&str>) -> String {
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => format!("it took too much time or memory ({status}){last}"),
        Some(signal) => format!("ONNX Runtime crashed on it (signal {signal}){last}"),
        None => format!("its trial ended with {status}{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(script: &str, deadline: Duration) -> String {
        outcome_with(script, deadline, None)
    }

    fn outcome_with(script: &str, deadline: Duration, left: Option<u64>) -> String {
        let mut command = Command::new("sh");
        let child = command.args(["-c", script]).stderr(Stdio::piped()).spawn().unwrap();
        match outcome(child, deadline, || left).unwrap() {
            Outcome::Done => "done".into(),
            Outcome::Refused(why) => format!("refused: {why}"),
            Outcome::Broken(how) => format!("broken: {how}"),
        }
    }

    #[test]
    fn whatever_becomes_of_the_process_is_told() {
        let long = Duration::from_mins(1);
        assert_eq!(outcome_of("exit 0", long), "done");
        assert_eq!(outcome_of("echo a log >&2; echo tagbert: no >&2; exit 1", long), "refused: no");
        assert_eq!(
            outcome_of("echo why >&2; kill -SEGV $$", long),
            "broken: ONNX Runtime crashed on it (signal 11): why"
        );
        let killed = outcome_of("kill -KILL $$", long);
        assert!(killed.contains("too much time or memory"), "{killed}");
        let panicked = outcome_of("echo panicked >&2; exit 101", long);
        assert!(panicked.contains("101") && panicked.ends_with("panicked"), "{panicked}");
    }

    #[test]
    fn a_process_that_would_take_the_containers_last_memory_is_ended() {
        let (long, start) = (Duration::from_mins(10), Instant::now());
        let said = outcome_with("exec sleep 600", long, Some(SPARE_MEMORY - 1));
        assert!(said.contains("took more memory than the container") && said.contains("31 MiB"), "{said}");
        assert!(start.elapsed() < Duration::from_mins(1));
        assert_eq!(outcome_with("exit 0", long, Some(SPARE_MEMORY)), "done");
    }

    #[test]
    fn a_process_that_says_very_much_or_nothing_is_ended() {
        let start = Instant::now();
        assert!(outcome_of("exec sleep 600", Duration::from_millis(100)).contains("took more than"));
        assert!(outcome_of("exec yes >&2", Duration::from_millis(500)).contains("took more than"));
        assert!(start.elapsed() < Duration::from_mins(1));
    }
}
