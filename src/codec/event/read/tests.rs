use rdkafka::message::Header;
use serde_json::{Value, json};

use super::*;

const REQUIRED_HEADERS: [(&str, &str); 4] =
    [("ce_specversion", "1.0"), ("ce_id", "7"), ("ce_source", "/mails"), ("ce_type", "mail")];

fn headers(all: &[(&str, &str)]) -> OwnedHeaders {
    let header = |all: OwnedHeaders, (key, value): &(&str, &str)| all.insert(Header { key, value: Some(*value) });
    all.iter().fold(OwnedHeaders::new(), header)
}

fn read(all: &[(&str, &str)], value: &[u8]) -> Result<Value, Rejection> {
    json(Some(&headers(all)), value).map(|json| serde_json::from_str(&json).unwrap())
}

fn binary_with(more: &[(&str, &str)], value: &[u8]) -> Result<Value, Rejection> {
    read(&[&REQUIRED_HEADERS[..], more].concat(), value)
}

fn refused(read: Result<Value, Rejection>) -> (&'static str, String) {
    let rejection = read.unwrap_err();
    (rejection.class, rejection.message)
}

#[test]
fn an_event_is_the_same_whether_it_is_structured_or_binary() {
    let event = json!({
        "specversion": "1.0", "id": "7", "source": "/mails", "type": "mail", "subject": "Grüße", "tenant": "a",
        "datacontenttype": "application/json", "data": {"body": "Lunch?"},
    });
    let attributes =
        [("content-type", "application/json"), ("ce_subject", "Grüße"), ("ce_tenant", "a"), ("other", "x")];
    assert_eq!(binary_with(&attributes, br#"{"body": "Lunch?"}"#).unwrap(), event);
    let value = event.to_string();
    for content_type in ["application/cloudevents+json", "Application/CloudEvents+JSON; charset=UTF-8"] {
        // What is structured is so, whatever other headers there are.
        let headers = [("Content-Type", content_type), ("ce_id", "8")];
        assert_eq!(read(&headers, value.as_bytes()).unwrap(), event);
    }
    assert_eq!(read(&[], value.as_bytes()).unwrap(), event, "as in files, which have no headers");
    let borrowed = json(None, value.as_bytes()).unwrap();
    assert!(matches!(borrowed, Cow::Borrowed(_)), "as it came");
}

#[test]
fn headers_are_attributes_in_any_case_and_the_last_of_a_name_counts() {
    let headers = [
        ("CE_SpecVersion", "1.0"),
        ("Ce_Id", "6"),
        ("ce_id", "7"),
        ("CE_SOURCE", "/s"),
        ("ce_type", "t"),
        ("ce_data", "x"),
    ];
    let event = read(&headers, b"").unwrap();
    assert_eq!(event, json!({"specversion": "1.0", "id": "7", "source": "/s", "type": "t"}));
    let content_types = [("ce_datacontenttype", "text/plain"), ("content-type", "application/json")];
    assert_eq!(binary_with(&content_types, b"[1.10]").unwrap()["datacontenttype"], "application/json");
    assert_eq!(binary_with(&content_types[..1], b"[1]").unwrap()["data"], "[1]");
}

#[test]
fn data_are_what_their_content_type_says() {
    let data = |content_type: &str, bytes: &[u8]| binary_with(&[("content-type", content_type)], bytes).unwrap();
    assert_eq!(data("application/vnd.mail+json; v=1", b"\xef\xbb\xbf{\"a\":1}")["data"], json!({"a": 1}));
    assert_eq!(data("text/plain", "Zoë".as_bytes())["data"], "Zoë");
    assert_eq!(data("TEXT/PLAIN; Charset=\"windows-1252\"", b"Zo\xeb")["data"], "Zoë");
    assert_eq!(data("application/xml", b"<a/>")["data"], "<a/>");
    assert_eq!(data("application/octet-stream", b"\x01")["data_base64"], "AQ==");
    assert_eq!(binary_with(&[], b"[1]").unwrap()["data"], json!([1]));
    assert_eq!(binary_with(&[], b"Lunch?").unwrap()["data"], "Lunch?");
    assert_eq!(binary_with(&[], b"\xff").unwrap()["data_base64"], "/w==");

    let structured = |kind: &str, base64: &str| {
        let event = json!({"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "datacontenttype": kind,
            "data_base64": base64});
        read(&[], event.to_string().as_bytes())
    };
    let event = structured("application/json", "eyJhIjoxfQ==").unwrap();
    assert_eq!((&event["data"], event.get("data_base64")), (&json!({"a": 1}), None));
    assert_eq!(structured("text/plain", "WsOr").unwrap()["data"], "Zë");
    assert_eq!(structured("image/png", "AQ==").unwrap()["data_base64"], "AQ==");
    assert!(refused(structured("text/plain", "%")).1.contains("not Base64"));
}

#[test]
fn a_mark_says_which_utf_16_a_text_is_and_is_no_part_of_it() {
    let data = |charset: &str, bytes: &[u8]| {
        let content_type = format!("text/plain; charset={charset}");
        binary_with(&[("content-type", &content_type)], bytes).unwrap()["data"].clone()
    };
    assert_eq!(data("utf-16", b"\xfe\xff\0H\0i"), "Hi");
    assert_eq!(data("utf-16", b"\xff\xfeH\0i\0"), "Hi");
    assert_eq!(data("UTF-16BE", b"\xfe\xff\0H\0i"), "Hi");
    assert_eq!(data("utf-16be", b"\0H\0i"), "Hi");
    assert_eq!(data("utf-16", b"H\0i\0"), "Hi");
    assert_eq!(data("windows-1252", b"\xff\xfeHi"), "ÿþHi");
}

#[test]
fn what_is_no_event_says_why() {
    let without = |name: &str| {
        let rest: Vec<_> = REQUIRED_HEADERS.into_iter().filter(|(other, _)| *other != name).collect();
        refused(read(&rest, b"{}"))
    };
    for name in ["id", "source", "specversion", "type"] {
        let (class, message) = without(&format!("ce_{name}"));
        assert_eq!(class, "CloudEventInvalid");
        assert!(message.ends_with(&format!("`{name}` is missing")), "{message}");
        let mut event = json!({"specversion": "1.0", "id": "7", "source": "/s", "type": "t"});
        for (wrong, expected) in [(json!(null), "is missing"), (json!(""), "is empty"), (json!(1.0), "not a string")] {
            event[name] = wrong;
            let structured = [("content-type", "application/cloudevents+json")];
            let (class, message) = refused(read(&structured, event.to_string().as_bytes()));
            assert_eq!(class, "CloudEventInvalid");
            assert!(message.contains(name) && message.contains(expected), "{message}");
        }
    }
    assert!(refused(binary_with(&[("ce_specversion", "0.3")], b"{}")).1.contains("another than `1.0`"));
    assert_eq!(refused(binary_with(&[("content-type", "application/json")], b"{")).0, "NotJson");
    assert_eq!(refused(binary_with(&[("content-type", "text/plain; charset=utf-8")], b"\xff")).0, "NotText");
    let of = |content_type: &str, value: &[u8]| refused(read(&[("content-type", content_type)], value));
    assert_eq!(of("application/cloudevents-batch+json", b"[]").0, "CloudEventBatch");
    assert_eq!(of("application/cloudevents+avro", b"\x01").0, "CloudEventFormat");
    assert_eq!(of("application/cloudevents+json", b"{").0, "NotJson");
    assert_eq!(of("application/cloudevents+json", b"[]").0, "CloudEventInvalid");
    let twice = br#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#;
    assert!(of("application/cloudevents+json", twice).1.contains("stands once"));
    let both = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":""}"#;
    assert!(of("application/cloudevents+json", both).1.contains("of which it may have one"));
    for value in [&b"{\"body\":\"x\"}"[..], b"hello", b"[]"] {
        assert_eq!(refused(read(&[("content-type", "application/json")], value)).0, "NotACloudEvent");
    }
}
