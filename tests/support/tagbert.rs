//! The `tagbert` binary as its user runs it: a process with a configuration file.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a worker may take for anything, on a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Runs a command to its end.
pub fn tagbert(args: &[&str], stdin: &[u8]) -> Output {
    tagbert_with(args, stdin, &[])
}

/// The same with environment variables.
pub fn tagbert_with(args: &[&str], stdin: &[u8], environment: &[(&str, &str)]) -> Output {
    let mut command = command(args);
    command.envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // From a thread of its own: the output may have to be read before the input is taken.
    let writer = thread::spawn(move || input.write_all(&stdin));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    output
}

/// Runs a command to its end; gives the most memory that it had resident, in bytes.
pub fn peak_memory(args: &[&str]) -> usize {
    let mut child = command(args).stdin(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(resident_peak(child.id()).unwrap_or_default());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    peak
}

/// The most that a process had resident up to now, in bytes; gone with the process.
pub fn resident_peak(process: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()?)
}

/// The command, to be run.
pub fn command(args: &[&str]) -> Command {
    let mut command = undisturbed(env!("CARGO_BIN_EXE_tagbert"));
    command.args(args);
    command
}

fn undisturbed(program: &str) -> Command {
    let mut command = Command::new(program);
    // The caller's own settings must not reach in.
    for (name, _) in std::env::vars() {
        if ["TAGBERT__", "TAGBERT_CPUS", "OTEL_", "KAFKA_", "RUST_LOG", "FAILPOINTS"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command.current_dir(super::root());
    command
}

/// Where on this machine a worker runs.
#[derive(Clone)]
pub struct Place {
    /// Its configuration, its log and its output are in a folder below this one.
    pub folder: PathBuf,
    /// The control groups that it is put into before it begins.
    pub groups: Vec<PathBuf>,
}

impl Default for Place {
    fn default() -> Self {
        Self { folder: env!("CARGO_TARGET_TMPDIR").into(), groups: Vec::new() }
    }
}

/// Joins the control groups, and becomes the command.
const ENTER: &str = r#"for group in $1; do echo $$ >"$group/cgroup.procs" || exit; done; shift; exec "$@""#;

impl Place {
    /// The command, to be run there.
    pub fn command(&self, args: &[&str]) -> Command {
        if self.groups.is_empty() {
            return command(args);
        }
        let groups: Vec<_> = self.groups.iter().map(|group| group.display().to_string()).collect();
        let mut entering = undisturbed("sh");
        entering.args(["-c", ENTER, "sh", &groups.join(" "), env!("CARGO_BIN_EXE_tagbert")]).args(args);
        entering
    }
}

/// A running worker; dropping it kills it.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts `tagbert run` with a configuration of these lines of YAML, and further arguments.
    pub fn start(yaml: &str, args: &[&str]) -> Self {
        Self::start_with(yaml, args, &[])
    }

    /// The same with environment variables.
    pub fn start_with(yaml: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_at(&Place::default(), yaml, args, environment)
    }

    /// The same somewhere else.
    pub fn start_at(place: &Place, yaml: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let name = format!("worker-{}-{:?}", std::process::id(), Instant::now()).replace([' ', '{', '}', ':', ','], "");
        let directory = place.folder.join(name);
        fs::create_dir_all(&directory).unwrap();
        let (config, log) = (directory.join("config.yaml"), directory.join("log"));
        fs::write(&config, yaml).unwrap();
        let mut all = vec!["run", "--config", config.to_str().unwrap(), "--set", "http.listen=127.0.0.1:0"];
        all.extend(args);
        let child = place
            .command(&all)
            .envs(environment.iter().copied())
            .stdout(File::create(directory.join("stdout")).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What it has printed.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.log.with_file_name("stdout")).unwrap()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The folder of its configuration, its log and its output.
    pub fn folder(&self) -> &Path {
        self.log.parent().unwrap()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it ends.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the worker did not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends, and expects that it went well.
    pub fn wait_for_success(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    /// Waits until it says something.
    pub fn wait_for_log(&mut self, text: &str) {
        self.wait_until(text, |worker| worker.log().contains(text));
    }

    /// The same, but looks every millisecond, for what is timed.
    pub fn wait_for_log_closely(&mut self, text: &str) {
        self.wait_until_closely(|worker| worker.log().contains(text));
    }

    /// Waits until something holds, and looks every millisecond.
    pub fn wait_until_closely(&mut self, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !holds(self) {
            assert!(Instant::now() < deadline, "never:\n{}", self.log());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until something holds.
    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "never: {what}\n{ended:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Status and body of a GET at its HTTP port.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path)
    }

    /// Status and body of a POST.
    pub fn post(&self, path: &str) -> (u16, String) {
        self.request("POST", path)
    }

    fn request(&self, method: &str, path: &str) -> (u16, String) {
        let answer = self.ask(&format!("{method} {path} HTTP/1.1\r\nHost: tagbert\r\nContent-Length: 0\r\n"));
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// The answer to a request whose head is this.
    pub fn ask(&self, head: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{head}Connection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A connection to its HTTP port.
    pub fn connect(&self) -> TcpStream {
        let address = self.address().unwrap_or_else(|| panic!("no HTTP port:\n{}", self.log()));
        TcpStream::connect(address).unwrap()
    }

    /// Where its HTTP port is, once it is open.
    fn address(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.split_once("http: listening on ")?;
        Some(rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect())
    }

    /// What a probe would get: status and body of a GET; `None` when there is no answer in this time.
    pub fn probe(&self, path: &str, timeout: Duration) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address()?.parse().ok()?, timeout).ok()?;
        stream.set_read_timeout(Some(timeout)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: tagbert\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a metric, summed over its series.
    pub fn metric(&self, name: &str) -> Option<f64> {
        sum(&self.get("/metrics").1, name)
    }
}

/// The value of a metric among what `/metrics` says, summed over its series.
pub fn sum(metrics: &str, name: &str) -> Option<f64> {
    let series =
        metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).reduce(|a, b| a + b)
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
