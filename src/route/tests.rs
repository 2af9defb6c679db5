use std::collections::HashMap;

use rdkafka::message::{Header, OwnedHeaders};

use super::*;
use crate::record::envelope::Lease;
use crate::record::tag::{Class, Entity, Label, Number, Tag};

fn kinds() -> Vec<(Arc<str>, TagKind)> {
    let labels = |labels: &[&str]| labels.iter().map(|label| Arc::from(*label)).collect::<Vec<Arc<str>>>();
    vec![
        ("topic".into(), TagKind::Class(labels(&["business", "sport"]))),
        ("spam".into(), TagKind::Class(labels(&["ham", "spam"]))),
        ("stars".into(), TagKind::Number),
        ("entities".into(), TagKind::Entities(labels(&["LOC", "ORG", "PER"]))),
    ]
}

fn tags(topic: Option<&str>, spam: &str, score: f32) -> Vec<Given> {
    let class =
        |label: Option<&str>, score| Tag::Class(Class { label: label.map(Arc::from), score, scores: Vec::new() });
    let ann = Entity { kind: "PER".into(), text: "Ann".into(), start: 0, end: 3, score: 0.95 };
    let tags = [
        ("topic", class(topic, 0.5)),
        ("spam", class(Some(spam), score)),
        ("stars", Tag::Number(Number { value: 4.2 })),
        ("entities", Tag::Entities(vec![ann])),
    ];
    tags.into_iter().map(|(name, tag)| Given { name: name.into(), text: 0, tag }).collect()
}

fn router(yaml: &str) -> Result<Router, String> {
    let usual = "output: {topic: out, dead_letters: dead}\n".to_owned();
    let yaml = if yaml.contains("output:") { yaml.to_owned() } else { usual + yaml };
    let config = Config::parse(&yaml, HashMap::new(), &[]).map_err(|error| error.to_string())?;
    // Where it stands is for the tests of the configuration.
    let unplaced = |error: ConfigError| match error {
        ConfigError::Placed { error, .. } => error.to_string(),
        error => error.to_string(),
    };
    Router::new(&config, &kinds()).map_err(unplaced)
}

fn record(value: &str) -> Record {
    let headers = OwnedHeaders::new()
        .insert(Header { key: "lang", value: Some("xx") })
        .insert(Header { key: "lang", value: Some("de") })
        .insert(Header::<&str> { key: "empty", value: None });
    Record { key: Some(b"k1".to_vec()), value: Some(value.into()), headers: Some(headers), timestamp: None }
}

/// As a record of JSON is decoded.
fn plain() -> Document {
    Document::unnamed(Vec::new())
}

fn origin() -> Origin {
    Origin { topic: "documents".into(), partition: 3, offset: 42, epoch: 0, seq: 0, lease: Lease::default() }
}

/// A document that is ham, of no topic.
const DOCUMENT: &str = r#"{"id":7,"n":12345678901234567890,"user":{"id":"u1"},"lang":"de","items":[{"a":1}],"f":0.5}"#;

fn decide(yaml: &str, tags: &[Given]) -> Result<Vec<Destination>, String> {
    match router(yaml)?.decide(tags, &plain(), &record(DOCUMENT), &origin()) {
        Ok(Decision::To(to)) => Ok(to.all().cloned().collect()),
        Ok(Decision::Drop) => Ok(Vec::new()),
        Err(rejection) => {
            assert_eq!((rejection.stage, rejection.class), (Stage::Route, "RouteError"));
            Err(rejection.message)
        }
    }
}

fn topics(yaml: &str, tags: &[Given]) -> Vec<String> {
    decide(yaml, tags).unwrap().iter().map(|to| to.topic.to_string()).collect()
}

/// Whether a condition holds of a document that is spam with this score, and of no topic.
fn holds(condition: &str, score: f32) -> Result<bool, String> {
    let yaml = format!("routes:\n- when: |-\n    {condition}\n  to: there");
    Ok(decide(&yaml, &tags(None, "spam", score))?[0].topic == "there".into())
}

#[test]
fn the_first_rule_that_holds_counts_and_copies_go_on() {
    let yaml = "routes:\n\
                - {when: 'tags.topic.label == null', to: review, copy: true}\n\
                - {when: 'tags.spam.label == \"spam\"', to: quarantine}\n\
                - {when: 'tags.topic.label == \"sport\"', drop: true}\n\
                - {when: 'true', to: review, key: '\"another\"', copy: true}";
    assert_eq!(topics(yaml, &tags(None, "spam", 0.9)), ["review", "quarantine"]);
    assert_eq!(topics(yaml, &tags(Some("business"), "spam", 0.9)), ["quarantine"]);
    assert!(topics(yaml, &tags(Some("sport"), "ham", 0.9)).is_empty());
    assert_eq!(topics(yaml, &tags(Some("business"), "ham", 0.9)), ["review", "out"]);
    // Twice to a topic is once, as the first rule says.
    let to = decide(yaml, &tags(None, "ham", 0.9)).unwrap();
    assert_eq!(
        to.iter().map(|to| (&*to.topic, &to.key)).collect::<Vec<_>>(),
        [("review", &Key::Kept), ("out", &Key::Kept)]
    );
}

#[test]
fn without_rules_all_goes_to_the_output_topic_and_otherwise_may_drop() {
    assert_eq!(topics("", &tags(None, "ham", 0.9)), ["out"]);
    let yaml = "output: {topic: out, dead_letters: dead, otherwise: drop}\n\
                routes: [{when: 'tags.spam.label == \"spam\"', to: spam}]";
    assert!(topics(yaml, &tags(None, "ham", 0.9)).is_empty());
    assert_eq!(topics(yaml, &tags(None, "spam", 0.9)), ["spam"]);
}

#[test]
fn conditions_ask_tags_document_headers_key_and_source() {
    for (condition, expected) in [
        ("tags.spam.score > 0.9", false),
        ("tags.spam.score >= 0.9", true),
        ("tags.spam.score == 0.9", true),
        ("tags.spam.score < 1", true),
        ("tags.spam.score > 1", false),
        ("1 > tags.spam.score", true),
        ("tags.topic.label == null", true),
        ("tags.topic.label != 'sport'", true),
        ("tags['spam'].label == 'spam'", true),
        ("tags.spam.label in ['spam', 'ham']", true),
        ("has(tags.spam)", true),
        ("'spam' in tags", true),
        ("tags.stars.value == 4.2", true),
        ("tags.stars.value < 90", true),
        ("tags.entities.exists(e, e.type == 'PER' && e.score > 0.9)", true),
        ("tags.entities.all(e, e.type in ['LOC'])", false),
        ("tags.entities.filter(e, e.type == 'PER').size() == 1", true),
        ("size(tags.entities) == 1", true),
        ("tags.entities[0].text.startsWith('An')", true),
        ("document.lang == 'de' && document.user.id == 'u1'", true),
        ("document.id == 7 && document.id == 7.0", true),
        ("document.n == 12345678901234567890u", true),
        ("document.f == 0.5", true),
        ("document.items[0].a == 1", true),
        ("has(document.nothing)", false),
        ("has(document.nothing) && document.nothing == 1", false),
        ("has(document.user.id)", true),
        ("headers.lang == 'de'", true),
        ("headers['lang'].matches('^d.$')", true),
        ("headers.empty == null", true),
        ("'none' in headers", false),
        ("key == 'k1'", true),
        ("source.topic == 'documents' && source.partition == 3 && source.offset > 41", true),
        ("source.timestamp == null", true),
        ("source.topic.matches('^doc') ? true : false", true),
        ("string(source.offset) + '!' == '42!'", true),
        ("'größer' == 'größer'", true),
    ] {
        assert_eq!(holds(condition, 0.9), Ok(expected), "{condition}");
    }
}

#[test]
fn a_slip_is_found_before_there_is_a_document_and_shown_where_it_is() {
    for (condition, at, expected) in [
        ("tag.spam.label == 'spam'", "tag", "names `tag`, which is not there; there are tags, document, headers"),
        ("tags.spamm.label == 'spam'", "", "names `spamm` of `tags`, which is not there; there are topic, spam"),
        ("tags.spam.lable == 'spam'", "", "names `lable` of `tags.spam`, which is not there; there are label, score"),
        ("tags.spam.label == 'Spam'", "'Spam'", "has `Spam`, which `tags.spam.label` never is; there are ham, spam"),
        ("'SPAM' == tags.spam.label", "'SPAM'", "has `SPAM`"),
        ("tags.topic.label in ['sport', 'sports']", "'sports'", "has `sports`"),
        ("tags.entities.exists(e, e.type == 'PERSON')", "'PERSON'", "has `PERSON`"),
        ("tags.entities.exists(e, e.typ == 'PER')", "", "names `typ` of `e`"),
        ("tags.entities.type == 'PER'", "", "asks a list for `.type`"),
        ("tags.spam.score > 90", "90", "compares a score, which is from 0 to 1, with 90"),
        ("1.5 <= tags.spam.score", "1.5", "compares a score"),
        ("tags.entities.exists(e, e.score > 50)", "50", "compares a score"),
        ("tags.spam.score > '0.9'", ">", "puts a number and a text in an order"),
        ("tags.spam.score == null", "==", "compares a number with null, which are never alike"),
        ("tags.spam.score == 'x'", "==", "compares a number with a text"),
        ("tags.spam", "", "gives a map, and must give true or false"),
        ("tags.spam.score", "", "gives a number, and must give true or false"),
        ("tags.spam.score + 1 > 1.5", "+", "uses `+` on a whole number and one that is not"),
        ("'a' + 1 == 'a1'", "+", "joins a text with a whole number: `string(…)`"),
        ("tags.spam.score && true", "", "has a number where true or false is wanted"),
        ("source.topic == 'document'", "'document'", "has `document`"),
        ("source.off == 1", "", "names `off` of `source`"),
        ("headers.lang == 5", "==", "compares a text with a whole number"),
        ("key == 5", "==", "compares a text with a whole number"),
        ("lower(key) == 'a'", "", "uses `lower`, which is no function; there are contains, startsWith"),
        ("key.matches('(')", "'('", "has a pattern that can't be read"),
        ("key.matches(document.pattern)", "", "must be written out"),
        ("tags.spam.label == ", "", "is no expression of CEL"),
        ("tags.spam.label = 'spam'", "", "is no expression of CEL"),
        ("document.?lang == 'de'", "", "is no expression of CEL"),
    ] {
        let error = router(&format!("routes:\n- when: |-\n    {condition}\n  to: there")).unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert!(lines[0].starts_with("`routes[0].when` ") && lines[0].contains(expected), "{condition}: {error}");
        assert_eq!(lines[1].trim(), condition.trim(), "{error}");
        if !at.is_empty() {
            let caret = lines[2].find('^').unwrap();
            assert!(lines[1][caret..].starts_with(at), "{error}");
        }
    }
    let error =
        router("routes:\n- to: a\n  copy: true\n- when: |\n    true &&\n    tags.nothing.label == null\n  to: b")
            .unwrap_err();
    assert!(error.starts_with("`routes[1].when`") && error.contains("\n    tags.nothing.label == null\n"), "{error}");
}

#[test]
fn all_slips_are_told_at_once_each_with_its_place() {
    let yaml = "output: {topic: out, dead_letters: dead}\nroutes:\n- when: tags.spm.label == 'spam'\n  to: a\n  key: tags\n  headers:\n    \
                who: nobody\n- when: key == 'a'\n  to: b\n- when: >-\n    tags.spam.label\n    == 'Spam'\n  to: \"'c' + 1\"\n  topics: [c1]\n";
    let config = Config::parse(yaml, HashMap::new(), &[]).unwrap();
    let error = Router::new(&config, &kinds()).unwrap_err();
    let report = error.in_file("mine.yaml").report();
    let places: Vec<_> = report.lines().filter(|line| line.contains("`routes[")).collect();
    let expected = [
        "mine.yaml:3:9: `routes[0].when` names `spm`",
        "mine.yaml:5:8: `routes[0].key` gives a map",
        "mine.yaml:7:10: `routes[0].headers.who` names `nobody`",
        "mine.yaml:11:5: `routes[2].when` has `Spam`",
        "mine.yaml:13:7: `routes[2].to` joins a text",
    ];
    assert!(report.starts_with("5 mistakes in the configuration\n") && places.len() == expected.len(), "{report}");
    for (place, expected) in places.iter().zip(expected) {
        assert!(place.starts_with(expected), "{expected}\n{report}");
    }
}

#[test]
fn what_needs_no_expression_to_be_wrong_is_refused_as_well() {
    for (yaml, expected) in [
        ("routes: [{when: 'true'}]", "routes[0]` says not where to"),
        ("routes: [{to: a, drop: true}]", "routes[0].drop` and `to` exclude each other"),
        ("routes: [{drop: true, copy: true}]", "routes[0].copy` makes no sense with `drop`"),
        ("routes: [{drop: true, key: '\"k\"'}]", "routes[0].drop` writes nothing"),
        ("routes: [{to: 'a b'}]", "routes[0].to` is `a b`, no topic's name"),
        ("routes: [{to: '\"a\" + tags.topic.label'}]", "`topics` must name all that it may give"),
        ("routes: [{to: documents}]", "routes[0].to` `documents` is an input topic too"),
        ("routes: [{to: key, topics: [documents]}]", "routes[0].topics` `documents` is an input topic too"),
        ("routes: [{to: dead}]", "`dead` is `output.dead_letters`"),
        ("routes: [{to: a}, {to: b}]", "routes[0]` takes every document"),
        ("routes: [{to: a, headers: {tagbert.record.id: key}}]", "tagbert's own"),
        ("routes: [{to: a, headers: {traceparent: key}}]", "tagbert's own"),
        ("routes: [{too: a}]", "unknown key `routes[0].too`: did you mean `routes.to`?"),
        ("routes: [{to: key, topics: [a b]}]", "routes[0].topics` has `a b`, no topic's name"),
        ("routes: [{to: 'tags.spam.score', topics: [a]}]", "routes[0].to` gives a number, and must give a text"),
        ("routes: [{to: a, partition: key}]", "routes[0].partition` gives a text, and must give a whole number"),
        ("routes: [{to: a, key: tags.spam.score}]", "routes[0].key` gives a number, and must give"),
        ("routes: [{to: a, headers: {x: tags.spam}}]", "routes[0].headers.x` gives a map"),
        ("output: {topic: out, dead_letters: dead, otherwise: drop}", "output.otherwise` drops every document"),
        (
            "output: {topic: out, dead_letters: dead, otherwise: drop, on_route_error: otherwise}\n\
             routes: [{when: 'true', to: a}]",
            "output.on_route_error` can't be `otherwise`",
        ),
    ] {
        let error = router(yaml).unwrap_err();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

#[test]
fn what_fails_on_a_document_is_a_dead_letter_without_its_text_or_goes_where_the_rest_goes() {
    let fails = |condition: &str| holds(condition, 0.9).unwrap_err();
    let why = fails("document.nothing == 'de'");
    assert_eq!(
        why,
        "routes[0].when (`document.nothing == 'de'`) asks for `nothing`, which is not there; `has(…)` tells whether it is"
    );
    for condition in [
        "document.lang > 5",
        "document.lang",
        "document[document.lang] == 1",
        "document.user.id + document.id == 'u1'",
        "document.items[5] == 1",
        "document.id / 0 == 1",
        "int(document.lang) == 1",
        "document.lang.matches('x') && document.id.matches('x') || document.id.startsWith('u')",
    ] {
        let why = fails(condition);
        let quoted = why.replace(condition, "");
        assert!(!quoted.contains("u1") && !quoted.contains("\"de\""), "{why}");
    }
    let yaml = "output: {topic: out, dead_letters: dead, on_route_error: otherwise}\n\
                routes: [{to: all, copy: true}, {when: 'document.x == 1', to: a}, {when: 'true', to: b}]";
    assert_eq!(topics(yaml, &tags(None, "ham", 0.9)), ["all", "out"]);
}

#[test]
fn other_labels_have_scores_where_they_are_wanted() {
    let rule = "routes: [{when: \"tags.topic.scores.exists(one, one.label == 'sport' && one.score > 0.3)\", to: a}]";
    let mut tags = tags(Some("business"), "ham", 0.9);
    let scores = [("business", 0.5), ("sport", 0.4)].map(|(label, score)| Label { label: label.into(), score });
    tags[0].tag = Tag::Class(Class { label: Some("business".into()), score: 0.5, scores: scores.into() });
    let yaml = format!("output: {{topic: out, dead_letters: dead, scores: all}}\n{rule}");
    assert_eq!(topics(&yaml, &tags), ["a"]);
    assert!(router(rule).unwrap_err().contains("names `scores` of `tags.topic`, which is not there"));
}

#[test]
fn a_tag_that_a_document_lacks_is_asked_for_by_has() {
    let mut tags = tags(None, "spam", 0.9);
    tags.retain(|given| &*given.name != "topic");
    let yaml = |when: &str| format!("routes: [{{when: \"{when}\", to: a}}]");
    assert!(decide(&yaml("tags.topic.label == null"), &tags).unwrap_err().contains("asks for `topic`"));
    assert_eq!(topics(&yaml("!has(tags.topic) || tags.topic.label == null"), &tags), ["a"]);
    assert_eq!(topics(&yaml("has(tags.topic) && tags.topic.label == null"), &tags), ["out"]);
}

#[test]
fn a_document_chooses_among_topics_and_invents_none() {
    let yaml =
        "routes: [{when: 'tags.topic.label != null', to: '\"of.\" + tags.topic.label', topics: [of.sport, of.x]}]";
    assert_eq!(topics(yaml, &tags(Some("sport"), "ham", 0.9)), ["of.sport"]);
    assert_eq!(topics(yaml, &tags(None, "ham", 0.9)), ["out"]);
    let why = decide(yaml, &tags(Some("business"), "ham", 0.9)).unwrap_err();
    assert!(why.contains("routes[0].to (") && why.contains("gives a topic that `topics` does not have"), "{why}");
    let why = decide("routes: [{to: document.lang, topics: [a]}]", &tags(None, "ham", 0.9)).unwrap_err();
    assert!(!why.replace("document.lang", "").contains("de"), "{why}");
}

#[test]
fn key_partition_and_headers_are_those_of_the_expressions() {
    let yaml = "routes: [{to: a, key: document.user.id, partition: source.partition, headers: \
                {topic: tags.topic.label, score: tags.spam.score, where: '\"x\"', n: source.offset, t: 'true'}}]";
    let to = decide(yaml, &tags(None, "ham", 0.9)).unwrap().remove(0);
    assert_eq!((to.key, to.partition), (Key::Own(Some(b"u1".to_vec())), Some(3)));
    let headers: Vec<_> = to.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
    let expected = [
        ("n", Some(&b"42"[..])),
        ("score", Some(b"0.9")),
        ("t", Some(b"true")),
        ("topic", None),
        ("where", Some(b"x")),
    ];
    assert_eq!(headers, expected, "null is none, also of the record's own");
    let key = |key: &str| decide(&format!("routes: [{{to: a, key: '{key}'}}]"), &tags(None, "ham", 0.9));
    assert_eq!(key("null").unwrap()[0].key, Key::Own(None));
    assert_eq!(key("document.id").unwrap()[0].key, Key::Own(Some(b"7".to_vec())));
    assert!(key("document.f").unwrap_err().contains("is no text, and no whole number"));
    assert!(key("document.user").unwrap_err().contains("is neither a text nor a number"));
    for bad in ["0 - 1", "document.lang", "3000000000", "document.f"] {
        let yaml = format!("routes: [{{to: a, partition: '{bad}'}}]");
        assert!(decide(&yaml, &tags(None, "ham", 0.9)).unwrap_err().contains("is no partition's number"), "{bad}");
    }
}

#[test]
fn a_tombstone_goes_wherever_the_document_may_be_under_the_same_key() {
    let of = |yaml: &str| {
        let router = router(yaml).unwrap();
        let to = router.of_tombstone().into_iter().flat_map(Destinations::all).map(|to| to.topic.to_string());
        to.collect::<Vec<_>>()
    };
    assert_eq!(of(""), ["out"]);
    let yaml = "routes: [{to: a, copy: true}, {to: b, key: document.user, copy: true}, {when: 'true', drop: true}, \
                {when: 'true', to: key, topics: [c, a, d]}]";
    assert_eq!(of(yaml), ["out", "a", "c", "d"]);
    assert_eq!(of("routes: [{to: a}]"), ["a"], "none is left for the output topic");
    assert!(of("routes: [{to: a, partition: source.partition}]").is_empty());
}

#[test]
fn a_document_that_can_not_be_read_as_values_is_said_to_be_so() {
    let router = router("routes: [{when: 'document.a == 1', to: a}]").unwrap();
    for value in [r#"{"a":1e400}"#.to_owned(), format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))] {
        let rejection = router.decide(&tags(None, "ham", 0.9), &plain(), &record(&value), &origin()).unwrap_err();
        assert!(rejection.message.contains("asks for the document, which can't be read"), "{rejection}");
    }
    assert!(router.decide(&tags(None, "ham", 0.9), &plain(), &record("\u{feff}{\"a\":1}"), &origin()).is_ok());
}

#[test]
fn no_value_of_a_document_is_too_much() {
    let value = r#"{"min":-9223372036854775808,"neg":-1,"max":18446744073709551615,"zero":0,"big":1e308,"s":"é",
                    "list":[1,"a",null],"m":{"":1},"deep":[[[[{"a":[]}]]]],"t":true,"n":null}"#;
    for expression in [
        "document.min / document.neg > 0",
        "document.min % document.neg > 0",
        "-document.min > 0",
        "document.min - 1 > 0",
        "document.min * document.neg > 0",
        "document.max + 1u > 0u",
        "document.max + document.max > 0u",
        "document.zero / document.zero == 1",
        "document.big * document.big > 1.0",
        "document.big / 0.0 > 1.0",
        "document.list[document.neg] == 1",
        "document.list[document.max] == 1",
        "document.list[document.big] == 1",
        "document.list[document.s] == 1",
        "document.s[0] == 'a'",
        "document.m[document.list] == 1",
        "document.m[document.n] == 1",
        "document[document.s] == 1",
        "int(document.big) == 1",
        "uint(document.neg) == 1u",
        "int(document.s) == 1",
        "double(document.s) == 1.0",
        "int(document.list) == 1",
        "string(document.list) == 'a'",
        "string(document.deep) == 'a'",
        "bytes(document.s) == b'a'",
        "string(bytes(document.n)) == 'a'",
        "document.list.all(x, x > 0)",
        "document.list.exists_one(x, x == document.deep)",
        "document.list + document.deep == []",
        "document.list < document.deep",
        "document.m == document.deep",
        "document.t > document.n",
        "document.n.x == 1",
        "document.n.contains('x')",
        "size(document.n) == 1",
        "document.min in document.list",
        "document.list in document.m",
        "type(document.n) == type(document.t)",
        "document.t ? document.n : document.t",
        "!document.s",
        "document.s && document.n",
    ] {
        let router = router(&format!("routes: [{{when: \"{expression}\", to: a}}]"))
            .unwrap_or_else(|error| panic!("{expression}: {error}"));
        drop(router.decide(&tags(None, "ham", 0.9), &plain(), &record(value), &origin()));
    }
}
