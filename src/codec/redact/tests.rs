use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use proptest::prelude::*;
use rdkafka::message::{Header, OwnedHeaders};

mod leaks;
mod record;

use super::*;
use crate::codec::clean::restore;
use crate::codec::decode::{Decoded, Decoder};
use crate::record::answer::{Answer, Given, Identity, Secret};
use crate::record::budget::Budget;
use crate::record::document::Document;
use crate::record::envelope::{Envelope, Lease, Origin, Record};
use crate::record::rejection::{Rejection, Stage};
use crate::record::tag::{Entity, Tag};
use crate::record::trace::RecordSpan;

fn config(rules: &str) -> Config {
    Config::parse(&format!("redact: {rules}\ndead_letters: {{redact: true}}"), HashMap::new(), &[]).unwrap()
}

fn envelope<T>(value: &[u8], body: T) -> Envelope<T> {
    let record = Record { key: None, value: Some(value.into()), headers: None, timestamp: None };
    let origin = Origin { topic: "t".into(), partition: 0, offset: 0, epoch: 0, seq: 0, lease: Lease::default() };
    let permit = Budget::new(1 << 20).take(1);
    Envelope { origin, record, body, fetched: Instant::now(), span: RecordSpan::default(), permit }
}

/// The names that stand in the texts, as taggers would find them.
fn found(document: &Document, names: &[(&str, &str)]) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for (number, text) in document.texts.iter().enumerate() {
        let Some(text) = text else { continue };
        for (kind, name) in names {
            for (at, _) in text.as_str().match_indices(name) {
                let start = text.as_str()[..at].chars().count() as u32;
                let end = start + name.chars().count() as u32;
                secrets.push(Secret { text: number, kind: (*kind).into(), start, end, score: 0.5, is_tagged: true });
            }
        }
    }
    secrets
}

fn decode(config: &Config, value: &str) -> Document {
    let record = Record { key: None, value: Some(value.into()), headers: None, timestamp: None };
    match Decoder::new(config).unwrap().decode(&record).unwrap() {
        Decoded::Document(document) => document,
        other => panic!("no document: {other:?}"),
    }
}

/// The document and its entities, masked.
fn redact(rules: &str, value: &str, names: &[(&str, &str)]) -> (String, Vec<(u32, u32, String)>, Document) {
    let config = config(rules);
    let redactor = Redactor::new(&config).unwrap().unwrap();
    let document = decode(&config, value);
    let secrets = found(&document, names);
    let text = document.texts[0].as_ref().unwrap().as_str().to_owned();
    let entity = |secret: &Secret| Entity {
        kind: Arc::clone(&secret.kind),
        text: text.chars().skip(secret.start as usize).take((secret.end - secret.start) as usize).collect(),
        start: secret.start,
        end: secret.end,
        score: secret.score,
    };
    let tag = Tag::Entities(secrets.iter().filter(|secret| secret.text == 0).map(entity).collect());
    let answer = Answer {
        load: 0,
        tags: vec![Given { name: "entities".into(), text: 0, tag }],
        absent: vec![],
        secrets,
        models: vec![Identity { name: "m".into(), version: "1".into() }],
        tokens: 1,
        truncated: false,
    };
    let (masked, answer, as_it_came) = redactor.tagged(envelope(value.as_bytes(), document), &answer);
    assert!(as_it_came.is_none(), "dead letters are masked");
    let Tag::Entities(entities) = &answer.tags[0].tag else { panic!("entities") };
    let text = masked.body.texts[0].as_ref().unwrap().as_str();
    for entity in entities {
        let slice: String =
            text.chars().skip(entity.start as usize).take((entity.end - entity.start) as usize).collect();
        assert_eq!(entity.text, slice, "a span is its slice of the masked text");
    }
    let entities = entities.iter().map(|entity| (entity.start, entity.end, entity.text.clone())).collect();
    (String::from_utf8(masked.record.value.unwrap()).unwrap(), entities, masked.body)
}

fn document(rules: &str, value: &str, names: &[(&str, &str)]) -> String {
    redact(rules, value, names).0
}

const PEOPLE: &str = "[{entities: [PER]}]";

#[test]
fn what_is_not_masked_stays_byte_for_byte() {
    let value =
        r#" {"id" : 1.10, "subject":"\u0048i", "body":"Zo\u00eb \"M\u00fcller\" \/ came\n", "n":[1e400,"\ud800"] } "#;
    let (masked, entities, body) = redact(PEOPLE, value, &[("PER", "Zoë \"Müller")]);
    assert_eq!(masked, r#"{"id" : 1.10, "subject":"\u0048i", "body":"[PER]\" \/ came\n", "n":[1e400,"\ud800"] }"#);
    assert_eq!(entities, [(3, 8, "[PER]".into())]);
    assert_eq!(body.id.get(), "1.10");
    assert_eq!(body.texts[0].as_ref().unwrap().as_str(), "Hi\n[PER]\" / came\n");
}

#[test]
fn a_name_that_comes_again_is_masked_there_too() {
    let value = r#"{"id":"Anna Meyer","body":"Anna Meyer wrote","from":{"name":"ANNA MEYER","note":"Anna Meyers, anna"},
        "Anna Meyer":[["Anna\u00a0Meyer"],"Hannah"]}"#;
    let expected = r#"{"id":"[PER]","body":"[PER] wrote","from":{"name":"[PER]","note":"Anna Meyers, anna"},
        "[PER]":[["[PER]"],"Hannah"]}"#;
    let (masked, _, body) = redact(PEOPLE, value, &[("PER", "Anna Meyer")]);
    assert_eq!(masked, expected);
    assert_eq!(body.id.get(), "\"[PER]\"");
}

#[test]
fn a_name_of_one_word_is_not_every_word_that_reads_like_it() {
    let value = r#"{"body":"Will came","note":"he will, WILL he","Will":1}"#;
    assert_eq!(
        document(PEOPLE, value, &[("PER", "Will")]),
        r#"{"body":"[PER] came","note":"he will, [PER] he","Will":1}"#
    );
}

#[test]
fn half_a_name_masks_all_of_it() {
    let value = r#"{"subject":"re: Ann","body":"Anna-Lena Müller's @anna_m An\u200bnika"}"#;
    let (masked, entities, _) =
        redact(PEOPLE, value, &[("PER", "Ann"), ("PER", "Müll"), ("PER", "anna_m"), ("PER", "nika")]);
    assert_eq!(masked, r#"{"subject":"re: [PER]","body":"[PER] [PER]'s [PER] [PER]"}"#);
    assert_eq!(entities.len(), 5);
}

#[test]
fn a_name_over_two_fields_is_masked_in_both() {
    let value = r#"{"subject":"from Anna","body":"Meyer with love"}"#;
    let (masked, entities, _) = redact(PEOPLE, value, &[("PER", "Anna\nMeyer")]);
    assert_eq!(masked, r#"{"subject":"from [PER]","body":"[PER] with love"}"#);
    assert_eq!(entities, [(5, 16, "[PER]\n[PER]".into())]);
}

#[test]
fn another_entity_beside_a_masked_name_is_where_it_is_now() {
    let value = r#"{"body":"🎉 Anna Meyer in Berlin, Anna-Meyer-Platz"}"#;
    let names = [("PER", "Anna Meyer"), ("LOC", "Berlin"), ("LOC", "Meyer-Platz")];
    let (masked, entities, _) = redact("[{entities: [PER], with: mask}]", value, &names);
    assert_eq!(masked, r#"{"body":"🎉 ********** in Berlin, Anna-Meyer-Platz"}"#);
    assert_eq!(entities[1..], [(16, 22, "Berlin".into()), (29, 40, "Meyer-Platz".into())]);
    let (_, entities, _) = redact(PEOPLE, value, &names);
    assert_eq!(entities[1], (11, 17, "Berlin".into()));
}

#[test]
fn what_two_rules_find_leaves_no_rest() {
    let rules = "[{patterns: [email]}, {patterns: [url], with: '[LINK]'}, {entities: [PER]}]";
    let value = r#"{"body":"https://x.org/anna.meyer@example.org/Anna Meyer"}"#;
    assert_eq!(document(rules, value, &[("PER", "Anna Meyer")]), r#"{"body":"[EMAIL]"}"#);
}

#[test]
fn a_field_is_masked_whatever_it_is_and_its_text_elsewhere_too() {
    let rules = "[{fields: [/user, /n, '/list/*/mail'], with: '[X]'}]";
    let value = r#"{"user":{"name":["a"]},"n":-1.5e3,"list":[{"mail":"Ann@home","x":1},{"mail":null}],"body":"by ann@home, -1.5e3","a":true}"#;
    let expected =
        r#"{"user":"[X]","n":"[X]","list":[{"mail":"[X]","x":1},{"mail":null}],"body":"by [X], [X]","a":true}"#;
    assert_eq!(document(rules, value, &[]), expected);
}

#[test]
fn patterns_are_found_in_strings_numbers_and_names_of_fields() {
    let rules = "[{patterns: [email, credit-card]}]";
    let value = r#"{"body":"a","by":{"ann@x.org":1,"n":"4111\u00201111 1111\u20111111"},"card":4111111111111111,"at":1748503543012}"#;
    let expected = r#"{"body":"a","by":{"[EMAIL]":1,"n":"[CREDIT_CARD]"},"card":"[CREDIT_CARD]","at":1748503543012}"#;
    assert_eq!(document(rules, value, &[]), expected);
    let within = "[{patterns: [email], fields: [/body]}]";
    assert_eq!(document(within, r#"{"body":"a@x.org","to":"b@x.org"}"#, &[]), r#"{"body":"[EMAIL]","to":"b@x.org"}"#);
}

#[test]
fn words_of_a_list_are_whole_and_in_any_case() {
    let rules = "[{words: [Project Falcon, Zoë], with: '#'}]";
    let value = r#"{"body":"PROJECT FALCON's zoe\u0308 Zoës project-falcon Falcon"}"#;
    assert_eq!(document(rules, value, &[]), r##"{"body":"#'s # Zoës project-falcon Falcon"}"##);
}

#[test]
fn of_two_fields_of_one_name_that_which_no_tagger_has_read_is_masked_whole() {
    let value = r#"{"body":"Bob Jones came","body":"Ann came"}"#;
    assert_eq!(document(PEOPLE, value, &[("PER", "Ann")]), r#"{"body":"[REDACTED]","body":"[PER] came"}"#);
}

#[test]
fn equal_names_stay_equal_as_hashes() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&key, "0123456789abcdef").unwrap();
    let rules = format!("[{{entities: [PER], with: hash, key_file: {}}}]", key.path().display());
    let value = r#"{"body":"Anna Meyer, ANNA  MEYER's, Bob"}"#;
    let masked = document(&rules, value, &[("PER", "Anna Meyer"), ("PER", "ANNA  MEYER"), ("PER", "Bob")]);
    let words: Vec<&str> =
        masked[9..].split(|letter: char| !letter.is_ascii_hexdigit()).filter(|word| word.len() == 16).collect();
    assert!(words.len() == 3 && words[0] == words[1] && words[1] != words[2], "{masked}");
}

#[test]
fn scores_decide_what_is_masked() {
    let value = r#"{"body":"Anna came"}"#;
    assert_eq!(document("[{entities: [PER], min_score: 0.6}]", value, &[("PER", "Anna")]), value);
    assert_ne!(document("[{entities: [PER], min_score: 0.5}]", value, &[("PER", "Anna")]), value);
    assert_eq!(document("[{entities: [ORG]}]", value, &[("PER", "Anna")]), value);
}

fn letter(rules: &str, value: &[u8]) -> (String, String) {
    let redactor = Redactor::new(&config(rules)).unwrap().unwrap();
    let rejection = Rejection::new(Stage::Infer, "ModelFailed", "it failed".into());
    let letter = redactor.dead_letter(envelope(value, rejection));
    (String::from_utf8_lossy(&letter.record.value.unwrap()).into_owned(), letter.body.message)
}

#[test]
fn a_dead_letter_has_no_text_that_no_tagger_has_read() {
    let (value, message) = letter(PEOPLE, br#"{"id":7,"subject":"Anna","body":5,"n":"x"}"#);
    assert_eq!(value, r#"{"id":7,"subject":"[REDACTED]","body":"[REDACTED]","n":"x"}"#);
    assert_eq!(message, "it failed");
    let emails = "[{patterns: [email]}]";
    assert_eq!(letter(emails, br#"{"body":"by a@x.org"}"#).0, r#"{"body":"by [EMAIL]"}"#);
}

#[test]
fn what_can_not_be_masked_in_a_dead_letter_is_left_out_with_the_reason() {
    let emails = "[{patterns: [email]}]";
    assert_eq!(letter(emails, b"{broken: a@x.org").0, "{broken: [EMAIL]");
    for (rules, value, expected) in [
        (emails, &b"{broken: a\\u0040x.org"[..], "not JSON"),
        (emails, b"a@x.org \xff", "not UTF-8"),
        (PEOPLE, b"{broken: Anna", "not JSON"),
        ("[{fields: [/a]}]", b"{broken", "not JSON"),
    ] {
        let (masked, message) = letter(rules, value);
        assert_eq!(masked, "");
        let expected = format!("the record's {} bytes are left out, since what is {expected}", value.len());
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_hostile_document_takes_no_more_time_than_its_size() {
    let names: String = (0..4_000).map(|n| format!("Aa{n:x} ")).collect();
    let marks = "A\u{301}\u{200b}".repeat(20_000);
    let value = serde_json::json!({ "body": names, "marks": marks, "deep": "x" }).to_string();
    let all: Vec<String> = names.split(' ').take(2_000).map(ToOwned::to_owned).collect();
    let all: Vec<(&str, &str)> =
        all.iter().filter(|name| !name.is_empty()).map(|name| ("PER", name.as_str())).collect();
    let began = Instant::now();
    document("[{entities: [PER]}, {patterns: [email, phone, iban, credit-card, ip, url]}]", &value, &all[..20]);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// Letters in which names are written: none of them stands in what replaces them.
const LETTERS: &str = "[A-DÄßяйë\u{4e00}\u{301}\u{200b}\\-'.]";

fn name() -> impl Strategy<Value = String> {
    let pattern = format!("[A-DÄя]{LETTERS}{{1,6}}( [A-D]{LETTERS}{{1,5}})?");
    prop::string::string_regex(&pattern).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_name_that_was_masked_stands_in_what_is_written(
        names in prop::collection::vec(name(), 1..4),
        between in prop::collection::vec("[ ,(]{0,2}[h-p ,\"\\\\/é🎉]{0,8}[ ,)]{0,2}", 4),
        escape in any::<bool>(),
        with in prop::sample::select(vec!["'[]'", "mask"]),
    ) {
        let names: Vec<String> = names.iter().map(|name| name.trim_end_matches(['-', '\'', '.']).to_owned()).collect();
        prop_assume!(names.iter().all(|name| Plain::of(name).text.chars().count() > 1));
        let body: String = between.iter().zip(names.iter().map(String::as_str).chain([""])).map(|(a, b)| format!("{a} {b} ")).collect();
        let mut value = serde_json::json!({ "id": names[0], "subject": "hi", "body": body, "again": { "x": [names.last(), body] } }).to_string();
        if escape {
            value = value.chars().flat_map(|c| if c.is_ascii() { vec![c] } else { c.encode_utf16(&mut [0; 2]).iter().flat_map(|u| format!("\\u{u:04X}").chars().collect::<Vec<_>>()).collect() }).collect();
        }
        let config = config(&format!("[{{entities: [PER], with: {with}}}]"));
        let document = decode(&config, &value);
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| ("PER", name.as_str())).collect();
        let secrets = found(&document, &pairs);
        let redactor = Redactor::new(&config).unwrap().unwrap();
        let answer = Answer { load: 0, tags: vec![], absent: vec![], secrets, models: vec![], tokens: 1, truncated: false };
        let (masked, ..) = redactor.tagged(envelope(value.as_bytes(), document), &answer);
        let written: serde_json::Value = serde_json::from_slice(masked.record.value.as_deref().unwrap()).unwrap();
        let texts = [written.to_string(), masked.body.id.get().to_owned(), masked.body.texts[0].as_ref().unwrap().as_str().to_owned()];
        for (text, name) in texts.iter().flat_map(|text| names.iter().map(move |name| (text, name))) {
            prop_assert!(!text.contains(name.as_str()), "{name:?} stands in {text}");
        }
    }

    #[test]
    fn nothing_panics_and_json_stays_json(value in any::<String>(), json in any::<bool>()) {
        let rules = "[{entities: [PER]}, {patterns: [email, phone, iban, credit-card, ip, url], with: mask}, {words: [a b, é]}, {fields: [/x]}]";
        let is_blank = value.trim().is_empty();
        let value = if json { serde_json::json!({ "body": value, "x": value, (value.clone()): [value] }).to_string() } else { value };
        let (masked, _) = letter(rules, value.as_bytes());
        if json {
            let is_left_out = is_blank && masked.is_empty();
            prop_assert!(is_left_out || serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "{masked}");
        }
    }
}

#[test]
fn an_event_that_is_a_dead_letter_is_masked_in_its_own_mode() {
    let yaml = "input: {format: cloudevents, text: /data/body}\nredact: [{patterns: [email]}, {fields: [/data/login]}]\n\
                dead_letters: {redact: true}";
    let redactor = Redactor::new(&Config::parse(yaml, HashMap::new(), &[]).unwrap()).unwrap().unwrap();
    let masked = |content_type: &str, is_binary: bool, value: &[u8]| {
        let attributes = [("ce_id", "1"), ("ce_source", "/s"), ("ce_type", "t"), ("ce_specversion", "1.0")];
        let attributes = attributes.into_iter().take(if is_binary { 4 } else { 0 });
        let headers = attributes.chain([("content-type", content_type)]);
        let headers =
            headers.fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let mut letter = envelope(value, Rejection::new(Stage::Infer, "ModelError", String::new()));
        letter.record.headers = Some(headers);
        let letter = redactor.dead_letter(letter);
        (String::from_utf8(letter.record.value.unwrap()).unwrap(), letter.body.message)
    };
    let (json, _) = masked("application/json", true, br#"{"login":"anna", "body":"to a@example.org, Anna"}"#);
    assert_eq!(json, r#"{"login":"[REDACTED]", "body":"to [EMAIL], [REDACTED]"}"#);
    assert_eq!(masked("text/plain", true, b"to a@example.org").0, "to [EMAIL]");
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data_base64":"YUBleGFtcGxlLm9yZw=="}"#;
    assert!(masked("application/cloudevents+json", false, event.as_bytes()).0.contains(r#""data":"[EMAIL]""#));
    for (content_type, is_binary, value) in [
        ("text/plain; charset=latin1", true, &b"to a@example.org"[..]),
        ("image/png", true, b"a@example.org"),
        ("application/json", false, b"a@example.org"),
    ] {
        let (value, message) = masked(content_type, is_binary, value);
        assert!(value.is_empty() && message.contains("can't be redacted"), "{content_type}: {value} {message}");
    }
}

#[test]
fn a_name_that_hides_is_masked_whole_and_elsewhere_too() {
    let yaml = "input: {clean: [unicode]}\nredact: [{entities: [PER]}]\ndead_letters: {redact: true}";
    let config = Config::parse(yaml, HashMap::new(), &[]).unwrap();
    let value = "{\"body\":\"met \u{422}\u{200b}ony Bl\u{2060}air\u{200b}, Tony\",\"from\":\"TONY BLAIR\"}";
    let document = decode(&config, value);
    let secrets = found(&document, &[("PER", "Tony Blair")]);
    assert_eq!((document.texts[0].as_ref().unwrap().as_str(), secrets.len()), ("met Tony Blair, Tony", 1));
    let answer = Answer { load: 0, tags: vec![], absent: vec![], secrets, models: vec![], tokens: 1, truncated: false };
    let (document, answer) = restore(envelope(value.as_bytes(), document), &answer);
    let redactor = Redactor::new(&config).unwrap().unwrap();
    let masked = redactor.tagged(document, &answer.unwrap()).0.record.value.unwrap();
    assert_eq!(String::from_utf8(masked).unwrap(), r#"{"body":"met [PER], Tony","from":"[PER]"}"#);
}
