//! docs/GUARANTEES.md: each promise has a number and names the tests that hold it, and those tests are there. So it is
//! with decisions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod support;

use support::root;

/// Where numbers are cited.
const CITING: [&str; 5] = ["README.md", "CONTRIBUTING.md", "docs", "src", "tests"];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The file, or all files below the folder, whose name ends so: path and text.
fn files(path: &Path, endings: &[&str]) -> Vec<(String, String)> {
    if path.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        return entries.iter().flat_map(|entry| files(entry, endings)).collect();
    }
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    if path.exists() && endings.iter().any(|ending| name.ends_with(ending)) {
        let text = read(&name);
        vec![(name, text)]
    } else {
        Vec::new()
    }
}

/// The numbers that a text cites, as in G-1.
fn cited(text: &str) -> BTreeSet<usize> {
    let places = text.match_indices("G-").filter(|(at, _)| !text[..*at].ends_with(char::is_alphanumeric));
    let digits = places.filter_map(|(at, _)| text[at + 2..].split(|next: char| !next.is_ascii_digit()).next());
    digits.filter_map(|digits| digits.parse().ok()).collect()
}

/// The paragraph that says what holds a promise, or a decision.
fn held_by(text: &str) -> Option<&str> {
    text.split("\n\n").map(str::trim).find(|paragraph| paragraph.starts_with("Held by: "))
}

/// What is wrong with such a paragraph: a name that leads nowhere, or none and no word why.
fn complaints(held_by: &str) -> Vec<String> {
    let names = held_by.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
    let names: Vec<_> = names.collect();
    if names.is_empty() && !held_by.starts_with("Held by: nothing") {
        return vec!["is held by no test, and does not say \"nothing\"".into()];
    }
    let is_there = |place: &str, name: &str| if place == "chaos" { is_in_chaos(name) } else { is_test(place, name) };
    let missing = names.into_iter().filter(|(place, name)| !is_there(place, name));
    missing.map(|(place, name)| format!("names `{place}::{name}`, which is not there")).collect()
}

/// Whether the file, or one below the folder, has a test of this name: in tests/chaos/, which has a harness of its own, a
/// function.
fn is_test(place: &str, name: &str) -> bool {
    let (own_harness, function) = (place.starts_with("tests/chaos/"), format!("fn {name}("));
    files(&root().join(place), &[".rs"]).iter().any(|(_, text)| {
        text.match_indices(&function).any(|(at, _)| {
            // Between the attribute and the name there is no end of another item.
            let head = text[..at].rsplit(['}', ';']).next().unwrap_or_default();
            own_harness || head.contains("test]")
        })
    })
}

/// Whether the table of `make chaos` has a column of this name, or `ROW=name` finds a row.
fn is_in_chaos(name: &str) -> bool {
    let rows = read("tests/chaos/rows.rs");
    let literals: Vec<_> = rows.split('"').skip(1).step_by(2).filter(|literal| !literal.is_empty()).collect();
    let words: Vec<_> = literals.iter().copied().filter(|literal| !literal.contains('{')).collect();
    read("tests/chaos/report.rs").contains(&format!("| {name} |"))
        || literals.iter().any(|template| begins(name, template, &words))
}

/// Whether a template such as `aborted-{point}`, with words in the place of its braces, is this name or begins with it.
fn begins(name: &str, template: &str, words: &[&str]) -> bool {
    let Some((before, rest)) = template.split_once('{') else { return name == template };
    let (Some(name), Some((_, after))) = (name.strip_prefix(before), rest.split_once('}')) else { return false };
    words.iter().filter_map(|word| name.strip_prefix(word)).any(|rest| rest.is_empty() || begins(rest, after, words))
}

/// What is wrong with the guarantees, each with its number.
fn check(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, section) in text.split("\n## ").skip(1).enumerate() {
        let (number, heading) = (place + 1, section.lines().next().unwrap_or_default());
        if !heading.starts_with(&format!("G-{number}: ")) {
            wrong.push(format!("G-{number} should be here, not `{heading}`"));
        }
        match held_by(section) {
            Some(tests) => wrong.extend(complaints(tests).iter().map(|what| format!("G-{number} {what}"))),
            None => wrong.push(format!("G-{number} has no `Held by: `")),
        }
    }
    wrong
}

#[test]
fn each_guarantee_has_a_number_and_tests_that_are_there() {
    let wrong = check(&read("docs/GUARANTEES.md"));
    assert!(wrong.is_empty(), "docs/GUARANTEES.md:\n{}", wrong.join("\n"));
}

#[test]
fn each_decision_ends_with_the_tests_that_hold_it() {
    for (path, text) in files(&root().join("docs/decisions"), &[".md"]) {
        let last = text.trim_end().rsplit("\n\n").next().and_then(held_by);
        let last = last.unwrap_or_else(|| panic!("{path} does not end with `Held by: `"));
        assert_eq!(complaints(last), [""; 0], "{path}");
    }
}

#[test]
fn every_number_that_is_cited_is_defined() {
    let defined = 1..=read("docs/GUARANTEES.md").matches("\n## ").count();
    for (path, text) in CITING.iter().flat_map(|place| files(&root().join(place), &[".md", ".rs"])) {
        let unknown: Vec<_> = cited(&text).into_iter().filter(|number| !defined.contains(number)).collect();
        assert!(unknown.is_empty(), "{path} cites {unknown:?} of the guarantees, which docs/GUARANTEES.md has not");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_number() {
    let own = "`tests/guarantees.rs::what_is_wrong_is_told_with_its_number`";
    let good = format!(
        "# Guarantees\n\n## G-1: One\n\nIt holds.\n\nHeld by: {own}, `chaos::lost`, `chaos::hard-bounce-clients`.\n"
    );
    assert_eq!(check(&good), [""; 0]);
    for (held_by, expected) in [
        ("", "G-2 has no `Held by: `"),
        ("Held by: us.", "G-2 is held by no test"),
        ("Held by: `src::a_test_that_nobody_wrote`.", "G-2 names `src::a_test_that_nobody_wrote`"),
        ("Held by: `tests/nowhere.rs::check`.", "G-2 names `tests/nowhere.rs::check`"),
        ("Held by: `tests/guarantees.rs::check`.", "G-2 names `tests/guarantees.rs::check`"),
        ("Held by: `chaos::soft-bounce`.", "G-2 names `chaos::soft-bounce`"),
    ] {
        let wrong = check(&format!("{good}\n## G-2: Two\n\nIt holds.\n\n{held_by}\n"));
        assert!(wrong.len() == 1 && wrong[0].starts_with(expected), "{held_by}: {wrong:?}");
    }
    let wrong = check(&format!("{good}\n## G-1: Again\n\nHeld by: nothing yet.\n"));
    assert_eq!(wrong, ["G-2 should be here, not `G-1: Again`"]);
    assert!(cited("as G-1 says, and (G-2); not RPG-3, nor G-").into_iter().eq([1, 2]));
}
