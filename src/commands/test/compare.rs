//! What was to be against what is: each difference, in lines that can be read.

use std::collections::BTreeMap;

use super::contents::{self, differ};
use super::line::End;
use crate::config::cases::{Expect, ExpectEntity, ExpectTag};
use crate::record::tag::{Tag, as_written};

/// What is not as it was to be.
///
/// `nested` is how the record would end if its tags were written in the usual shape.
pub(super) fn faults(expect: &Expect, end: &End, nested: &End) -> Vec<String> {
    let mut faults = Vec::new();
    let mut topics: Vec<_> = end.messages.iter().map(|message| message.topic.clone()).collect();
    if let Some(expected) = &expect.topic
        && topics.as_slice() != expected.0.as_slice()
    {
        let found = if topics.is_empty() { "none".to_owned() } else { topics.join(", ") };
        faults.push(differ("topic", expected.0.as_deref().unwrap_or("none"), &found));
    }
    if let Some(expected) = &expect.topics {
        let mut expected = expected.clone();
        expected.sort();
        topics.sort();
        if topics != expected {
            faults.push(format!("topics\n{}", lines(&expected, &topics)));
        }
    }
    match (&expect.dead_letter, &end.rejection) {
        (Some(class), Some(rejection)) if class != rejection.class => {
            faults.push(differ("dead_letter", class, &format!("{}: {}", rejection.class, rejection.message)));
        }
        (Some(class), None) => faults.push(differ("dead_letter", class, "no dead letter")),
        // Whatever else is wrong then follows from it.
        (None, Some(rejection)) if !says_where(expect) || !faults.is_empty() || !expect.tags.is_empty() => {
            faults.push(format!("it is a dead letter: {}: {}", rejection.class, rejection.message));
            return faults;
        }
        _ => {}
    }
    contents::faults(expect, end, nested, &mut faults);
    if !expect.tags.is_empty() {
        tags(&expect.tags, nested, &mut faults);
    }
    faults
}

fn says_where(expect: &Expect) -> bool {
    expect.topic.is_some() || expect.topics.is_some()
}

fn tags(expected: &BTreeMap<String, ExpectTag>, end: &End, faults: &mut Vec<String>) {
    let value = end.messages.first().and_then(|message| message.value.as_deref()).unwrap_or_default();
    let record: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
    let tags: BTreeMap<String, Tag> = serde_json::from_value(record["tags"].clone()).unwrap_or_default();
    for (name, expected) in expected {
        let key = format!("tags.{name}");
        if let Some(tag) = tags.get(name) {
            tag_faults(&key, expected, tag, faults);
            continue;
        }
        let others: Vec<_> = tags.keys().map(String::as_str).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        faults.push(format!("{key}: there is no such tag; there are: {others}"));
    }
}

fn tag_faults(key: &str, expected: &ExpectTag, tag: &Tag, faults: &mut Vec<String>) {
    let ExpectTag { label, score, value, labels, entities, contains } = expected;
    // As it is written, an empty list may be either.
    let none = Tag::Entities(Vec::new());
    let tag = match tag {
        Tag::Labels(found) if found.is_empty() && (entities.is_some() || contains.is_some()) => &none,
        tag => tag,
    };
    match tag {
        Tag::Class(class) if label.is_some() || score.is_some() => {
            let (found, certain) = (class.label.as_deref(), class.score);
            if let Some(label) = label.as_ref().filter(|label| label.0.as_deref() != found) {
                let found = format!("{} (score {certain})", found.unwrap_or("null"));
                faults.push(differ(&format!("{key}.label"), label.0.as_deref().unwrap_or("null"), &found));
            }
            if let Some(score) = score.filter(|score| !score.has(as_written(certain))) {
                faults.push(differ(&format!("{key}.score"), &String::from(score), &certain.to_string()));
            }
        }
        Tag::Number(number) if value.is_some() => {
            if let Some(value) = value.filter(|value| !value.has(as_written(number.value))) {
                faults.push(differ(&format!("{key}.value"), &String::from(value), &number.value.to_string()));
            }
        }
        Tag::Labels(found) if labels.is_some() => {
            let mut found: Vec<_> = found.iter().map(|label| label.label.to_string()).collect();
            let mut expected = labels.clone().unwrap_or_default();
            found.sort();
            expected.sort();
            if found != expected {
                faults.push(format!("{key}.labels\n{}", lines(&expected, &found)));
            }
        }
        Tag::Entities(found) if entities.is_some() || contains.is_some() => {
            let shown = |entity: &ExpectEntity| format!("{} {}", entity.kind, entity.text);
            let found: Vec<_> = found.iter().map(|entity| format!("{} {}", entity.kind, entity.text)).collect();
            if let Some(entities) = entities {
                let expected: Vec<_> = entities.iter().map(shown).collect();
                if expected != found {
                    faults.push(format!("{key}.entities\n{}", lines(&expected, &found)));
                }
            }
            let contained: Vec<_> = contains.iter().flatten().map(shown).collect();
            let mut rest = found.clone();
            let mut missing = Vec::new();
            for entity in contained {
                match rest.iter().position(|one| *one == entity) {
                    Some(at) => drop(rest.remove(at)),
                    None => missing.push(entity),
                }
            }
            if !missing.is_empty() {
                faults.push(format!("{key}.contains\n{}", lines(&[missing, rest.clone()].concat(), &rest)));
            }
        }
        Tag::Class(_) => faults.push(format!("{key}: it is a class, which has `label` and `score`")),
        Tag::Number(_) => faults.push(format!("{key}: it is a number, which has `value`")),
        Tag::Labels(_) => faults.push(format!("{key}: it has several labels: `labels`")),
        Tag::Entities(_) => faults.push(format!("{key}: it has entities: `entities` or `contains`")),
    }
}

/// What is missing, what is too much, and what is as it was to be, in the order of what was found.
fn lines(expected: &[String], found: &[String]) -> String {
    let mut lines = Vec::new();
    let mut due = expected.iter().peekable();
    for one in found {
        if !due.clone().any(|other| other == one) {
            lines.push(format!("  + {one}"));
            continue;
        }
        while let Some(missing) = due.next_if(|other| *other != one) {
            lines.push(format!("  - {missing}"));
        }
        due.next();
        lines.push(format!("    {one}"));
    }
    lines.extend(due.map(|missing| format!("  - {missing}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_of_lists_shows_what_is_missing_and_what_is_too_much() {
        let list = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
        for (expected, found, shown) in [
            ("a b c", "a c d", "    a\n  - b\n    c\n  + d"),
            ("a", "", "  - a"),
            ("", "a", "  + a"),
            ("a b", "b a", "  - a\n    b\n  + a"),
        ] {
            assert_eq!(lines(&list(expected), &list(found)), shown);
        }
    }
}
