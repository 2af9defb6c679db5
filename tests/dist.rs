//! What a release brings along, as far as it can be seen without making one; `make dist-test` does the rest.

mod support;

use std::fs;
use std::process::Command;

use clap::CommandFactory as _;
use support::root;
use support::tagbert::tagbert;
use tagbert::commands::cli::Cli;

/// Each command that people see, as the words after `tagbert`.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], found: &mut Vec<Vec<String>>) {
        for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
            let words = [words, &[child.get_name().to_owned()]].concat();
            below(child, &words, found);
            found.push(words);
        }
    }
    let mut found = Vec::new();
    below(&Cli::command(), &[], &mut found);
    found
}

#[test]
fn each_command_has_a_man_page_that_names_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man/man1");
    let made = tagbert(&["man", directory.to_str().unwrap()], b"");
    assert!(made.status.success(), "{made:?}");
    let page = |words: &[String]| {
        let name = [&["tagbert".to_owned()], words].concat().join("-");
        fs::read_to_string(directory.join(format!("{name}.1"))).unwrap_or_else(|e| panic!("{name}.1: {e}"))
    };
    assert!(page(&[]).contains(&format!("tagbert {}", env!("CARGO_PKG_VERSION"))));
    let commands = commands();
    assert!(commands.contains(&vec!["model".into(), "inspect".into()]), "{commands:?}");
    let cli = Cli::command();
    for words in &commands {
        let command = words.iter().fold(&cli, |command, word| command.find_subcommand(word).unwrap());
        let text = page(words);
        for long in command.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(text.contains(&long.replace('-', "\\-")), "tagbert {}: no --{long}", words.join(" "));
        }
    }
    // `help` has none of its own, nor has what is hidden.
    assert!(!directory.join("tagbert-model-vet.1").exists());
}

#[test]
fn each_shell_completes_each_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(tagbert(&["completions", shell], b"").stdout).unwrap();
        for word in commands().concat().iter().map(String::as_str).chain(["until-end", "csv-escape"]) {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let bash = tagbert(&["completions", "bash"], b"").stdout;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tagbert");
    fs::write(&script, bash).unwrap();
    let complete = "source \"$0\"; COMP_WORDS=(tagbert dead-letters re); COMP_CWORD=2; \
                    _tagbert tagbert re dead-letters; echo \"${COMPREPLY[@]}\"";
    let done = Command::new("bash").args(["--norc", "-c", complete]).arg(&script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "replay", "{done:?}");
}

#[test]
fn the_service_may_do_little() {
    let unit = root().join("deploy/systemd/tagbert.service");
    // In tenths: at most 2.0.
    let checked = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit)
        .output();
    let Ok(checked) = checked else {
        return support::skip("the_service_may_do_little", "no systemd-analyze");
    };
    let table = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{table}{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_service_is_not_killed_while_it_drains() {
    let unit = fs::read_to_string(root().join("deploy/systemd/tagbert.service")).unwrap();
    let setting = |name: &str| {
        let found = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name}=")).to_owned()
    };
    let config = root().join("configs/production.yaml");
    let config = tagbert::config::Config::load(&config, &[]).unwrap();
    let stop: u64 = setting("TimeoutStopSec").trim_end_matches('s').parse().unwrap();
    // shutdown.timeout, and half a minute for leaving brokers that don't answer.
    assert!(stop > config.shutdown.timeout.as_secs() + 30, "TimeoutStopSec={stop}s");
    // Exit code 2: starting again and again with a bad configuration is of no use.
    assert_eq!(setting("RestartPreventExitStatus"), "2");
    // What tries a model sets its own limits.
    assert!(!unit.lines().any(|line| line.starts_with("SystemCallFilter=~") && line.contains("@resources")));
}
