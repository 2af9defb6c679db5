//! Keys, headers and offsets, where something is masked.

use rdkafka::message::{Header, OwnedHeaders};

use super::*;
use crate::record::headers;

const KEY: &str = "0123456789abcdef";

/// A redactor with these rules and settings; `KEY_FILE` in them is a file with the key.
fn redactor(yaml: &str) -> Redactor {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&key, KEY).unwrap();
    let yaml = yaml.replace("KEY_FILE", key.path().to_str().unwrap());
    Redactor::new(&Config::parse(&yaml, HashMap::new(), &[]).unwrap()).unwrap().unwrap()
}

fn with<T>(mut envelope: Envelope<T>, key: &str, all: &[(&str, &str)]) -> Envelope<T> {
    let headers =
        all.iter().fold(OwnedHeaders::new(), |made, (key, value)| made.insert(Header { key, value: Some(*value) }));
    (envelope.record.key, envelope.record.headers) = (Some(key.into()), Some(headers));
    envelope
}

fn beside(record: &Record) -> (String, Vec<(String, String)>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = record.headers.iter().flat_map(headers::iter);
    let all = all.map(|(name, value)| (text(name), text(value.unwrap_or_default())));
    (text(record.key.as_deref().unwrap()), all.collect())
}

const ALL: [(&str, &str); 6] = [
    ("from", "Anna  Meyer <anna@example.org>"),
    ("json", r#"{"to":["\u0041nna Meyer"],"n":4111111111111111}"#),
    ("login", "merkel54"),
    ("traceparent", "00-41111111111111114111111111111111-4111111111111111-01"),
    ("from", "someone"),
    ("n", "7"),
];

fn answer(secrets: Vec<Secret>) -> Answer {
    Answer { load: 0, tags: vec![], absent: vec![], secrets, models: vec![], tokens: 1, truncated: false }
}

#[test]
fn headers_have_nothing_that_is_masked_in_the_document() {
    let yaml = "redact: [{entities: [PER]}, {patterns: [email, credit-card]}, {fields: [/user]}]";
    let redactor = redactor(yaml);
    let value = r#"{"body":"Anna Meyer","user":"merkel54"}"#;
    let document = decode(&Config::parse(yaml, HashMap::new(), &[]).unwrap(), value);
    let secrets = found(&document, &[("PER", "Anna Meyer")]);
    let (masked, _, came) =
        redactor.tagged(with(envelope(value.as_bytes(), document), "Anna Meyer", &ALL), &answer(secrets));
    let (key, all) = beside(&masked.record);
    assert_eq!(key, "Anna Meyer", "a key stays, unless it is to be hashed");
    let expected = [
        ("from", "[PER] <[EMAIL]>"),
        ("json", r#"{"to":["[PER]"],"n":"[CREDIT_CARD]"}"#),
        ("login", "[REDACTED]"),
        ALL[3],
        ALL[4],
        ALL[5],
    ];
    assert!(all.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected), "{all:?}");
    let came = came.expect("dead letters have it as it came");
    assert_eq!(beside(&came).1.len(), 6);
    assert_eq!(beside(&came).1[0].1, ALL[0].1);
    assert_eq!(came.value.as_deref(), Some(value.as_bytes()));
}

#[test]
fn a_hashed_key_is_the_same_of_a_document_a_tombstone_and_a_dead_letter() {
    let yaml = "redact: [{patterns: [email], with: hash, key_file: KEY_FILE}]\noutput: {key: hash}\n";
    let redactor = redactor(&format!("{yaml}dead_letters: {{redact: true}}"));
    let keyed = |key: &str| {
        let tombstone = Envelope { record: Record { value: None, ..envelope(b"", ()).record }, ..envelope(b"", ()) };
        beside(&redactor.tombstone(with(tombstone, key, &ALL)).record)
    };
    let (key, all) = keyed("a@x.org");
    // As every other tool computes it: `printf 'a@x.org' | openssl dgst -sha256 -hmac 0123456789abcdef`.
    assert_eq!(key, "08dea52f80c8b76e28e9cbb597741531");
    assert!(!all[0].1.contains("example.org"), "{all:?}");
    assert_eq!(keyed("a@x.org").0, key);
    assert_ne!(keyed("A@x.org").0, key, "keys are bytes");
    let value = br#"{"body":"x"}"#;
    let rejection = Rejection::new(Stage::Infer, "ModelFailed", "it failed".into());
    let letter = redactor.dead_letter(with(envelope(value, rejection), "a@x.org", &ALL));
    assert_eq!(beside(&letter.record).0, key);
    assert!(!beside(&letter.record).1[0].1.contains("example.org"));
    let document = decode(&Config::parse("", HashMap::new(), &[]).unwrap(), r#"{"body":"x"}"#);
    let (masked, _, came) = redactor.tagged(with(envelope(value, document), "a@x.org", &[]), &answer(vec![]));
    assert_eq!(beside(&masked.record).0, key);
    assert!(came.is_none());
}

#[test]
fn dead_letters_that_are_not_masked_are_as_they_came() {
    let redactor = redactor("redact: [{patterns: [email], with: hash, key_file: KEY_FILE}]\noutput: {key: hash}");
    let rejection = Rejection::new(Stage::Infer, "ModelFailed", "it failed".into());
    let letter = redactor.dead_letter(with(envelope(b"a@x.org", rejection), "a@x.org", &ALL));
    assert_eq!((beside(&letter.record).0.as_str(), letter.record.value.as_deref()), ("a@x.org", Some(&b"a@x.org"[..])));
}

#[test]
fn a_name_of_a_header_that_is_not_utf_8_stays_as_it_came_beside_what_is_masked() {
    let redactor = redactor("redact: [{patterns: [email]}]\ndead_letters: {redact: true}");
    let rejection = Rejection::new(Stage::Decode, "InvalidHeaderName", "x".into());
    let mut letter = with(envelope(b"{}", rejection), "k", &[("a", "a@x.org")]);
    letter.record.headers =
        letter.record.headers.map(|own| headers::add(headers::add(own, b"\xff", Some(b"1")), b"b", None));
    let letter = redactor.dead_letter(letter);
    let all: Vec<_> = letter.record.headers.iter().flat_map(headers::iter).collect();
    assert_eq!(all, [(&b"a"[..], Some(&b"[EMAIL]"[..])), (b"\xff", Some(b"1")), (b"b", None)]);
}

#[test]
fn offsets_are_those_of_the_text_that_came_if_they_are_to_be() {
    let yaml = "redact: [{entities: [PER]}]\noutput: {spans: original, offsets: utf16}";
    let redactor = redactor(yaml);
    let config = Config::parse(yaml, HashMap::new(), &[]).unwrap();
    let value = r#"{"subject":"🎉 Anna-Lena","body":"Anna Meyer in Berlin"}"#;
    let document = decode(&config, value);
    let secrets = found(&document, &[("PER", "Lena"), ("PER", "Anna Meyer"), ("LOC", "Berlin")]);
    let entity = |it: &Secret| Entity {
        kind: Arc::clone(&it.kind),
        text: String::new(),
        start: it.start,
        end: it.end,
        score: 1.0,
    };
    let tag = Tag::Entities(secrets.iter().map(entity).collect());
    let answer = Answer {
        tags: vec![Given { name: "entities".into(), text: 0, tag }],
        models: vec![Identity { name: "m".into(), version: "1".into() }],
        ..answer(secrets)
    };
    let (masked, answer, _) = redactor.tagged(envelope(value.as_bytes(), document), &answer);
    let made = crate::codec::enriched::Assembler::new(&config).assemble(&masked, &answer);
    let record: serde_json::Value = serde_json::from_slice(&made.value).unwrap();
    let all: Vec<_> = record["tags"]["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| {
            let number = |name: &str| entity[name].as_u64().unwrap();
            (
                entity["text"].as_str().unwrap(),
                number("start"),
                number("end"),
                entity["field"].as_str().unwrap(),
                number("field_start"),
            )
        })
        .collect();
    let expected = [("[PER]", 8, 12, "/subject", 8), ("[PER]", 13, 23, "/body", 0), ("Berlin", 27, 33, "/body", 14)];
    assert_eq!(all, expected);
    assert_eq!(record["document"]["body"], "[PER] in Berlin");
}

/// The headers of a dead letter that no tagger has read.
fn dead(settings: &str, value: &str, all: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
    let redactor = redactor(&format!("{settings}\ndead_letters: {{redact: true}}"));
    let rejection = Rejection::new(Stage::Decode, "NotJson", "no JSON".into());
    let letter = redactor.dead_letter(with(envelope(value.as_bytes(), rejection), "k", all));
    (String::from_utf8_lossy(letter.record.value.as_deref().unwrap()).into_owned(), beside(&letter.record).1)
}

fn pairs<'a>(all: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    all.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn headers_of_a_dead_letter_have_no_text_that_is_masked_in_it() {
    let people = "redact: [{entities: [PER]}]";
    let sent = [("from", "Ann Lee"), ("json", " {\"n\":\"\\u0041nn Lee\"}"), ("n", "7")];
    let expected = pairs(&[("from", "[REDACTED]"), ("json", " {\"n\":\"[REDACTED]\"}"), ("n", "7")]);
    assert_eq!(dead(people, r#"{"subject":"Ann Lee","body":7}"#, &sent).1, expected);
    assert_eq!(dead(&format!("input: {{format: text}}\n{people}"), "Ann Lee", &sent).1, expected);
    let event = [("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "t"), ("ce_specversion", "1.0")];
    let event: Vec<_> =
        event.into_iter().chain([("content-type", "application/json"), ("ce_subject", "Ann Lee")]).collect();
    let settings = format!("input: {{format: cloudevents, text: /data/body}}\n{people}");
    let (value, masked) = dead(&settings, r#"{"body":"Ann Lee"}"#, &event);
    assert_eq!((value.as_str(), masked[5].1.as_str()), (r#"{"body":"[REDACTED]"}"#, "[REDACTED]"));
    assert_eq!(masked[..5], pairs(&event[..5]));
}

#[test]
fn headers_of_a_dead_letter_that_is_left_out_are_masked_whole() {
    let sent = [
        ("from", "Ann Lee"),
        ("ce_subject", "Ann Lee"),
        ("none", ""),
        ("tagbert.entities", "Ann Lee"),
        ("traceparent", ALL[3].1),
        ("Content-Type", "image/png"),
        ("ce_specversion", "1.0"),
        ("tagbert.replay.attempt", "2"),
    ];
    for (settings, value) in [
        ("redact: [{entities: [PER]}]", "[1]"),
        ("redact: [{entities: [PER]}]", r#"{"mail":"Ann Lee"}"#),
        ("input: {format: cloudevents, text: /data/body}\nredact: [{entities: [PER]}]", "\u{1}"),
        ("redact: [{fields: [/login]}]", "login"),
    ] {
        let (value, masked) = dead(settings, value, &sent);
        assert_eq!(value, "");
        assert!(masked[..2].iter().all(|(_, value)| value == "[REDACTED]"), "{masked:?}");
        assert_eq!(masked[3].1, "[REDACTED]", "it may be of a worker before this one");
        assert_eq!((&masked[2..3], &masked[4..]), (&pairs(&sent[2..3])[..], &pairs(&sent[4..])[..]));
    }
    let sent = [("from", "Ann Lee"), ("to", "a@x.org")];
    let (value, masked) = dead("redact: [{patterns: [email]}]", "\\", &sent);
    assert_eq!((value.as_str(), masked), ("", pairs(&[("from", "Ann Lee"), ("to", "[EMAIL]")])));
}
