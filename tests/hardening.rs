//! What the worker shows at its port, and how little it needs of its machine.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

mod support;

use support::line::{Line, TINY, document};
use support::tagbert::Worker;
use support::{root, skip};

fn ready(line: &Line, args: &[&str]) -> Worker {
    let mut worker = Worker::start(&line.yaml(TINY), args);
    worker.wait_for_log("http: listening on ");
    worker.wait_until("ready", |worker| worker.get("/readyz").0 == 200);
    worker
}

#[test]
fn the_token_guards_all_but_probes_and_metrics() {
    let line = Line::create("token", 1);
    let token = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{}", std::process::id()));
    fs::write(&token, "hunter2\n").unwrap();
    let set = format!("http.token_file={}", token.display());
    let worker = ready(&line, &["--set", &set, "--set", "http.listen=0.0.0.0:0"]);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(worker.get(path).0, 200, "{path}");
    }
    let status = |method: &str, path: &str, authorization: &str| {
        let answer = worker.ask(&format!("{method} {path} HTTP/1.1\r\nHost: tagbert\r\n{authorization}"));
        assert!(answer.contains("401 Unauthorized") == answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let wrong = [
        "",
        "Authorization: Bearer hunter3\r\n",
        "Authorization: Bearer hunter22\r\n",
        "Authorization: Bearer hunter\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Basic hunter2\r\n",
        "Authorization: hunter2\r\n",
        "Authorization: \u{ff}\r\n",
    ];
    for wrong in wrong {
        assert_eq!(status("POST", "/models/reload", wrong), 401, "{wrong}");
        assert_eq!(status("GET", "/shadow", wrong), 401, "{wrong}");
    }
    for right in ["Authorization: Bearer hunter2\r\n", "authorization: bearer  hunter2\r\n"] {
        assert_eq!(status("POST", "/models/reload", right), 200);
        assert_eq!(status("GET", "/shadow", right), 404, "there is none");
    }
    assert!(!worker.log().contains("hunter2"), "{}", worker.log());
    assert!(!worker.log().contains("may reload the models"), "{}", worker.log());
}

#[test]
fn a_port_that_others_reach_without_a_token_is_warned_of() {
    let line = Line::create("warned", 1);
    let warned = |listen: &str| {
        let worker = ready(&line, &["--set", listen]);
        assert_eq!(worker.post("/models/reload").0, 200);
        worker.log().matches("set http.token").count()
    };
    assert_eq!(warned("http.listen=0.0.0.0:0"), 1);
    assert_eq!(warned("http.listen=127.0.0.1:0"), 0);
}

#[test]
fn requests_that_cost_too_much_are_refused_and_cost_others_nothing() {
    let line = Line::create("limits", 1);
    let worker = ready(&line, &[]);
    let status = |head: &str| worker.ask(head).split(' ').nth(1).map(ToOwned::to_owned);
    let head = "POST /models/reload HTTP/1.1\r\nHost: tagbert\r\n";
    assert_eq!(status(&format!("{head}Content-Length: 65537\r\n")).as_deref(), Some("413"));
    let long = format!("GET /livez HTTP/1.1\r\nHost: tagbert\r\nCookie: {}\r\n", "x".repeat(100_000));
    let mut stream = worker.connect();
    // It may be closed before all is written.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    for nonsense in ["\0\0\0\0\r\n", "GET\r\n", "GET / HTTP/9.9\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n"] {
        assert_eq!(status(nonsense).as_deref().unwrap_or("400"), "400", "{nonsense:?}");
    }

    // Silent ones are more than there is room for: after a while they are shown the door.
    let silent: Vec<_> = (0..200).map(|_| worker.connect()).collect();
    assert_eq!(worker.get("/livez").0, 200);
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        assert!(stream.read(&mut [0; 512]).is_ok(), "closed, perhaps after a 408");
    }
}

/// Runs its arguments as a user without rights, where all that is mounted is read-only.
const CONFINE: &str = "
mount --make-rprivate / || exit 99
for at in $(findmnt --raw --noheadings --output TARGET | tac); do mount -o remount,bind,ro \"$at\" 2>/dev/null; done
touch \"$1/written\" 2>/dev/null && exit 98
shift
exec setpriv --reuid=65532 --regid=65532 --clear-groups --bounding-set=-all --no-new-privs -- \"$@\"
";

#[test]
fn a_user_without_rights_runs_it_on_a_read_only_file_system() {
    let line = Line::create("confined", 1);
    line.produce(vec![document("Angela Merkel met Tim Cook in Berlin."); 20]);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    let yaml = line.yaml(TINY).replace(TINY, "model") + "http: {listen: '127.0.0.1:0'}\n";
    fs::write(&config, yaml).unwrap();
    fs::create_dir(directory.path().join("model")).unwrap();
    for file in fs::read_dir(root().join(TINY)).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), directory.path().join("model").join(file.file_name())).unwrap();
    }
    // What the image has: the worker and the library beside it.
    let worker = directory.path().join("tagbert");
    fs::copy(env!("CARGO_BIN_EXE_tagbert"), &worker).unwrap();
    let library = root().join(".cache/onnxruntime/libonnxruntime.so");
    fs::copy(library, directory.path().join("libonnxruntime.so")).unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();

    let run = ["run", "--until-end", "--config", "config.yaml"];
    let confine = ["--mount", "sh", "-c", CONFINE, "sh", directory.path().to_str().unwrap(), worker.to_str().unwrap()];
    let confined = Command::new("unshare")
        .args(confine)
        .args(run)
        .current_dir(directory.path())
        .env("HOME", "/nonexistent")
        .env_remove("ORT_DYLIB_PATH")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&confined.stderr);
    // Who is not root can't become nobody, nor mount; then the directory at least can't be written to.
    if [Some(1), Some(99)].contains(&confined.status.code()) && !said.contains("tagbert") {
        skip("a_user_without_rights_runs_it_on_a_read_only_file_system", said.trim());
        return;
    }
    assert!(confined.status.success(), "{}: {said}", confined.status);
    assert_eq!(line.tagged().len(), 20);
    line.assert_committed_to_the_end();
}
