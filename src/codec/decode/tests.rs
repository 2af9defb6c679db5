use proptest::prelude::*;

use super::*;
use crate::codec::enriched::Assembler;
use crate::config;
use crate::record::answer::{Answer, Identity};
use crate::record::budget::Budget;
use crate::record::envelope::{Envelope, Origin};

fn decoder(limit: u64) -> Decoder {
    let limits = config::Limits { document: bytesize::ByteSize(limit), ..config::Limits::default() };
    Decoder::new(&Config { limits, ..Config::default() }).unwrap()
}

fn decode(value: impl Into<Vec<u8>>) -> Result<Decoded, Rejection> {
    let record = Record { key: None, value: Some(value.into()), headers: None, timestamp: None };
    decoder(1000).decode(&record)
}

fn class(value: impl Into<Vec<u8>>) -> &'static str {
    decode(value).expect_err("is rejected").class
}

/// The id, as it is written, and the text.
fn parts(value: &str) -> (String, String) {
    match decode(value) {
        Ok(Decoded::Document(document)) => {
            let texts = document.texts.iter().flatten().map(Text::as_str);
            (document.id.get().to_owned(), texts.collect())
        }
        other => panic!("{value}: {other:?}"),
    }
}

fn both(id: &str, text: &str) -> (String, String) {
    (id.into(), text.into())
}

#[test]
fn texts_are_joined_by_a_newline() {
    assert_eq!(parts(r#"{"id":"7","subject":"Hi","body":"there"}"#), both("\"7\"", "Hi\nthere"));
    assert_eq!(parts(r#"{"id":7,"body":"there","subject":null}"#), both("7", "there"));
    assert_eq!(parts(r#" {"subject":"","body":"there"}"#), both("null", "there"));
}

/// What is made of a value by a decoder with these settings.
fn decoded(settings: &str, value: &[u8]) -> Result<Document, Rejection> {
    let config = Config::parse(settings, std::collections::HashMap::new(), &[]).unwrap();
    let record = Record { key: None, value: Some(value.into()), headers: None, timestamp: None };
    match Decoder::new(&config).unwrap().decode(&record)? {
        Decoded::Document(document) => Ok(document),
        other => panic!("{other:?}"),
    }
}

/// The text, and what each field has brought to it.
fn fields(settings: &str, value: &str) -> (String, Vec<(String, String)>) {
    let text = decoded(settings, value.as_bytes()).unwrap().texts.remove(0).unwrap();
    let parts = text.parts().iter();
    let parts = parts.map(|part| (part.field.to_string(), text.as_str()[part.range.clone()].to_owned()));
    (text.as_str().to_owned(), parts.collect())
}

fn of(parts: &[(&str, &str)]) -> Vec<(String, String)> {
    parts.iter().map(|(field, text)| ((*field).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn a_text_knows_which_field_each_of_its_parts_is_of() {
    let value = r#"{"subject":"Hi \u00e9","body":["one","",null,"two"],"by":[{"name":"Ann"},{},{"name":"Bob"}]}"#;
    let expected = of(&[("/subject", "Hi é"), ("/body/0", "one"), ("/body/3", "two")]);
    assert_eq!(fields("input: {text: [/subject, /body]}", value), ("Hi é\none\ntwo".into(), expected));
    let expected = of(&[("/subject", "Hi é"), ("/by/0/name", "Ann"), ("/by/2/name", "Bob")]);
    let template = r#"input: {text: "{/subject}, {{from}} {/by/*/name}!"}"#;
    assert_eq!(fields(template, value), ("Hi é, {from} Ann\nBob!".into(), expected));
}

#[test]
fn a_template_without_any_of_its_fields_is_left_out() {
    let settings = r#"input: {text: ["{/a}: {/b}", /c]}"#;
    assert_eq!(fields(settings, r#"{"b":"x","c":"y"}"#), (": x\ny".into(), of(&[("/b", "x"), ("/c", "y")])));
    assert_eq!(fields(settings, r#"{"a":"","c":"y"}"#), ("y".into(), of(&[("/c", "y")])));
    let class = |value: &str| decoded(settings, value.as_bytes()).unwrap_err().class;
    assert_eq!((class(r#"{"d":1}"#), class(r#"{"a":""}"#)), ("TextMissing", "TextEmpty"));
}

#[test]
fn an_array_of_something_else_than_text_is_refused_with_its_place() {
    let message = |value: &str| decoded("input: {text: /a}", value.as_bytes()).unwrap_err().message;
    assert_eq!(message(r#"{"a":["x",7]}"#), "the value at `/a/1` is not a string");
    assert!(message(r#"{"a":[{"text":"x"}]}"#).contains("name their field, as in `/a/*/text`"));
}

#[test]
fn a_text_is_a_document_of_its_own_and_wrong_bytes_are_never_replaced() {
    let latin = "input: {format: text, charset: latin1}";
    let document = decoded(latin, b"Zo\xeb \"said\"\n\x93so\x94").unwrap();
    assert_eq!(document.texts[0].as_ref().unwrap().as_str(), "Zoë \"said\"\n“so”");
    assert_eq!(document.json.unwrap().get(), r#"{"text":"Zoë \"said\"\n“so”"}"#);
    assert_eq!(document.id.get(), "null");
    let utf_16 = decoded("input: {format: text, charset: utf-16le}", b"\xff\xfeH\0i\0").unwrap();
    assert_eq!(utf_16.texts[0].as_ref().unwrap().as_str(), "Hi");
    let class = |settings: &str, value: &[u8]| decoded(settings, value).unwrap_err().class;
    let text = "input: {format: text}";
    assert_eq!(class(text, b"Zo\xeb"), "NotText");
    assert_eq!(class("input: {format: text, charset: shift_jis}", b"\x81"), "NotText");
    assert_eq!(class(text, b"\0\0\0\0\x07text"), "SchemaRegistry");
    assert_eq!(class(latin, b"\x1f\x8b\x08text"), "Compressed");
    for (settings, value) in [
        (text, &b"H\0i\0"[..]),
        (text, b"\xff\xfeH\0i\0"),
        (latin, b"\xef\xbb\xbfZo\xc3\xab"),
        ("input: {format: text, charset: utf-16le}", b"\xfe\xff\0H\0i"),
    ] {
        assert_eq!(class(settings, value), "NotText", "{value:?}: it is of another encoding");
    }
    assert_eq!((class(text, b""), class(text, b" \n")), ("TextEmpty", "TextEmpty"));
    let marked = decoded(text, b"\xef\xbb\xbfHi").unwrap();
    assert_eq!(marked.texts[0].as_ref().unwrap().as_str(), "Hi");
}

#[test]
fn what_is_dropped_is_not_held() {
    let document = decoded("input: {format: text}\noutput: {document: drop}", b"Hi").unwrap();
    assert!(document.json.is_none());
}

#[test]
fn what_is_dropped_is_there_for_routes_and_is_not_written() {
    let settings =
        "input: {format: text}\noutput: {document: drop}\nroutes: [{when: document.text == 'Hi', to: greetings}]";
    let document = decoded(settings, b"Hi").unwrap();
    assert_eq!(document.json.as_ref().unwrap().get(), r#"{"text":"Hi"}"#);
    let lenient = "input: {lenient: true}\noutput: {document: drop}\nroutes: [{when: document.n == 'NaN', to: odd}]";
    assert_eq!(decoded(lenient, br#"{"body":"x","n":NaN}"#).unwrap().json.unwrap().get(), r#"{"body":"x","n":"NaN"}"#);
    let config = Config::parse(settings, std::collections::HashMap::new(), &[]).unwrap();
    let origin = Origin::elsewhere("t".into(), 0, 0);
    let envelope = Envelope::begin(origin, Record::of(b"Hi".into()), &Budget::new(1000)).map(|()| document);
    let models = vec![Identity { name: "m".into(), version: "1".into() }];
    let (tags, absent, secrets) = Default::default();
    let answer = Answer { load: 0, tags, absent, secrets, models, tokens: 1, truncated: false };
    let written = Assembler::new(&config).assemble(&envelope, &answer).value;
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert!(written.get("source").is_some() && written.get("document").is_none(), "{written}");
}

#[test]
fn lenient_json_becomes_strict_json_and_no_other_value_changes() {
    let value = br#"{"body":"a, }NaN","n":[NaN,-Infinity,1.10,12345678901234567890,],}"#;
    assert_eq!(decoded("", value).unwrap_err().class, "NotJson");
    let json = decoded("input: {lenient: true}", value).unwrap().json.unwrap();
    assert_eq!(json.get(), r#"{"body":"a, }NaN","n":["NaN","-Infinity",1.10,12345678901234567890]}"#);
    let strict = decoded("input: {lenient: true}", br#"{"body":"x"}"#).unwrap();
    assert!(strict.json.is_none(), "strict JSON stays as it is");
}

#[test]
fn a_text_or_an_id_that_is_not_a_number_is_none_and_never_the_word() {
    let lenient = |value: &str| decoded("input: {lenient: true}", value.as_bytes());
    let document = lenient(r#"{"id":NaN,"subject":NaN,"body":"x"}"#).unwrap();
    assert_eq!((document.id.get(), document.texts[0].as_ref().unwrap().as_str()), ("null", "x"));
    assert_eq!(document.json.unwrap().get(), r#"{"id":"NaN","subject":"NaN","body":"x"}"#);
    assert_eq!(lenient(r#"{"id":1,"body":-Infinity}"#).unwrap_err().class, "TextEmpty");
}

#[test]
fn a_byte_order_mark_before_a_document_is_passed_over() {
    assert_eq!(parts("\u{feff}{\"id\":7,\"body\":\"x\"}"), both("7", "x"));
    assert_eq!(parts("\u{feff} {\"body\":\"\u{feff}x\"}"), both("null", "\u{feff}x"));
    assert_eq!(class("\u{feff}\u{feff}{\"body\":\"x\"}"), "NotJson", "one is a mark, two are not");
    assert_eq!(class("\u{feff}"), "NotJson");
}

#[test]
fn an_id_stays_as_it_was_and_nothing_else_matters() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let value = format!(r#"{{"id":123456789012345678901234567890.10,"n":1e400,"deep":{deep},"body":"x"}}"#);
    assert_eq!(parts(&value), both("123456789012345678901234567890.10", "x"));
}

#[test]
fn each_kind_of_bad_input_has_its_class() {
    assert_eq!(class("{"), "NotJson");
    assert_eq!(class(r#"{"body":"\ud800"}"#), "NotJson", "a lone surrogate is no text");
    assert_eq!(class(*b"{\"body\":\"\xff\"}"), "NotUtf8");
    assert_eq!(class(r#"["body"]"#), "NotAnObject");
    assert_eq!(class(*b"\0\0\0\0\x2a{\"body\":\"x\"}"), "SchemaRegistry");
    assert_eq!(class(r#"{"id":1}"#), "TextMissing");
    assert_eq!(class(r#"{"body":5}"#), "TextNotAString");
    assert_eq!(class(r#"{"body":" \n"}"#), "TextEmpty");
    assert_eq!(class(r#"{"body":null}"#), "TextEmpty");
    assert_eq!(class(format!(r#"{{"body":"{}"}}"#, "x".repeat(1000))), "DocumentTooLarge");
}

#[test]
fn a_null_value_is_a_tombstone() {
    let record = Record { key: Some(vec![1]), value: None, headers: None, timestamp: None };
    assert!(matches!(decoder(10).decode(&record), Ok(Decoded::Tombstone)));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(bytes));
    }

    #[test]
    fn no_text_is_quoted_in_the_message(secret in "[a-z]{12}", tail in ".{0,20}") {
        if let Err(rejection) = decode(format!(r#"{{"body": {secret}, {tail}"#)) {
            prop_assert!(!rejection.message.contains(&secret));
        }
    }
}
