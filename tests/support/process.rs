//! A process that does not outlive the test process, however that ends.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Runs a command, sends it the signals that standard input names, and kills it when standard input ends.
///
/// The other end of standard input is held by the test process alone, so no destructor has to run.
const SUPERVISOR: &str = r#"
trap '' INT # Ctrl-C ends the test process, and by that the command
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{ while read -r signal; do kill -s "$signal" $child; done; kill -s KILL $child; } <&3 &
orders=$!
exec 3<&-
wait $child
status=$?
kill $orders
exit $status
"#;

/// A running process; dropping it kills it.
pub struct Process {
    supervisor: Child,
}

impl Process {
    /// Starts a command, whose output is added to `log`.
    pub fn start(command: &[&str], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { supervisor }
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&mut self, name: &str) {
        // It may have ended by itself.
        let _ = writeln!(self.supervisor.stdin.as_mut().unwrap(), "{name}");
    }

    /// Waits until it ends.
    pub fn wait(&mut self) -> ExitStatus {
        // Not `Child::wait`, which would close standard input first.
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.supervisor.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The supervisor takes the end of its input for an order to kill.
        let _ = self.supervisor.wait();
    }
}
