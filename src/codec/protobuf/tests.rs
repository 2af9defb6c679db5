use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::prost::bytes::Bytes;
use prost_reflect::prost_types::Any;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value as Field};
use serde_json::{Value, json};

use super::read;
use super::schema::Schema;
use crate::codec::registry::Named;
use crate::codec::registry::schemas::Readable as _;

const ODD: &str = r#"syntax = "proto3"; package a;
    import "google/protobuf/any.proto"; import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
    import "google/protobuf/field_mask.proto"; import "google/type/date.proto"; import "nobody/has/options.proto";
    message Odd {
        option (nobody.knows) = { what: "this is" };
        string text = 1 [(validate.rules).string.max_len = 9, debug_redact = true];
        Odd next = 2;
        repeated bool flags = 3;
        google.protobuf.Any any = 4;
        google.protobuf.Value value = 5;
        google.protobuf.Timestamp at = 6;
        google.type.Date day = 7;
        repeated Wide wide = 8;
        google.protobuf.FieldMask mask = 9;
        map<bool, double> map = 10;
    }
    message Wide { map<string, int32> a_field_whose_name_is_much_longer_than_all_that_it_ever_has_to_say = 1; message In { int32 x = 1; } repeated In in = 2; }"#;

fn schema(text: &str) -> Schema {
    Schema::read(text, &[]).unwrap()
}

fn odd(place: &[usize]) -> DynamicMessage {
    DynamicMessage::new(schema(ODD).message(place).unwrap())
}

fn read(schema: &Schema, framed: &[u8]) -> Result<Value, String> {
    let (kind, bytes) = read::message(schema, framed)?;
    Ok(serde_json::from_str(&read::to_json(kind, bytes)?).expect("JSON"))
}

/// What a message of the first type of [`ODD`] is in JSON, without fields that have no value.
fn said(message: &DynamicMessage) -> Result<Value, String> {
    let mut said = read(&schema(ODD), &[&[0], &*message.encode_to_vec()].concat())?;
    if let Some(fields) = said.as_object_mut() {
        fields.retain(|_, value| ![json!(""), json!([]), json!({})].contains(value));
    }
    Ok(said)
}

fn with(field: &str, value: Field) -> DynamicMessage {
    let mut message = odd(&[0]);
    message.set_field_by_name(field, value);
    message
}

fn any(kind: &str, value: Vec<u8>) -> Vec<u8> {
    Any { type_url: format!("type.googleapis.com/{kind}"), value }.encode_to_vec()
}

/// A message with this `Any`.
fn with_any(any: &[u8]) -> DynamicMessage {
    let field = odd(&[0]).descriptor().get_field_by_name("any").unwrap();
    let kind = field.kind().as_message().unwrap().clone();
    with("any", Field::Message(DynamicMessage::decode(kind, any).unwrap()))
}

#[test]
fn the_place_of_a_type_is_read_in_its_short_and_its_long_form() {
    let schema = schema(ODD);
    for (place, expected) in [
        (&[0][..], "a.Odd"),
        (&[2, 0], "a.Odd"),
        (&[2, 2], "a.Wide"),
        // The entry of the map is the first within it.
        (&[4, 2, 2], "a.Wide.In"),
    ] {
        let (kind, rest) =
            read::message(&schema, &[place, b"\x08\x01"].concat()).map(|(k, r)| (k, r.to_vec())).unwrap();
        assert_eq!((kind.full_name(), &*rest), (expected, &b"\x08\x01"[..]), "{place:?}");
    }
    for (place, expected) in [
        (&[][..], "is not there"),
        (&[0x80], "is not there"),
        (&[2], "is not there"),
        (&[1], "can't have a -1"),
        (&[2, 1], "can't have a -1"),
        (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "can't have a 9223372036854775807"),
        (&[2, 4], "no message at [2]"),
        (&[4, 0, 0], "no message at [0, 0]"),
        // The entry itself is no record.
        (&[4, 2, 0], "no message at [1, 0]"),
    ] {
        let error = read::message(&schema, place).unwrap_err();
        assert!(error.contains(expected), "{place:?}: {error}");
    }
}

#[test]
fn what_has_no_words_in_json_stays_the_message_that_it_is() {
    let at = |seconds: i64| {
        let field = odd(&[0]).descriptor().get_field_by_name("at").unwrap();
        let mut at = DynamicMessage::new(field.kind().as_message().unwrap().clone());
        at.set_field_by_name("seconds", Field::I64(seconds));
        said(&with("at", Field::Message(at))).unwrap()["at"].clone()
    };
    assert_eq!(at(0), "1970-01-01T00:00:00Z");
    assert_eq!(at(253_402_300_799), "9999-12-31T23:59:59Z");
    assert_eq!(at(i64::MAX), json!({ "seconds": "9223372036854775807", "nanos": 0 }));
    let unknown = said(&with_any(&any("no.body.Knows", b"\x08\x01".to_vec()))).unwrap();
    assert_eq!(unknown["any"], json!({ "type_url": "type.googleapis.com/no.body.Knows", "value": "CAE=" }));
    let broken = said(&with_any(&any("a.Odd", b"\x0a\x7f".to_vec()))).unwrap();
    assert_eq!(broken["any"]["value"], "Cn8=");
    let known = said(&with_any(&any("a.Wide.In", b"\x08\x05".to_vec()))).unwrap();
    assert_eq!(known["any"], json!({ "@type": "type.googleapis.com/a.Wide.In", "x": 5 }));
    let mask = |path: &str| {
        let field = odd(&[0]).descriptor().get_field_by_name("mask").unwrap();
        let mut mask = DynamicMessage::new(field.kind().as_message().unwrap().clone());
        mask.set_field_by_name("paths", Field::List(vec![Field::String(path.into()), Field::String("b".into())]));
        said(&with("mask", Field::Message(mask))).unwrap()["mask"].clone()
    };
    assert_eq!(mask("reply_to.from"), "replyTo.from,b");
    assert_eq!(mask("replyTo"), json!({ "paths": ["replyTo", "b"] }));
    let map = Field::Map([(prost_reflect::MapKey::Bool(true), Field::F64(f64::NAN))].into());
    assert_eq!(said(&with("map", map)).unwrap()["map"], json!({ "true": "NaN" }));
}

#[test]
fn fields_that_always_have_a_value_are_there_and_others_only_with_one() {
    let said = read(&schema(ODD), b"\0").unwrap();
    assert_eq!(said, json!({ "text": "", "flags": [], "wide": [], "map": {} }));
}

#[test]
fn neither_depth_nor_lengths_hurt_nor_what_comes_to_more_than_it_was() {
    let nested = |levels: usize| {
        let mut bytes = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![0x12];
            prost_reflect::prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend(&bytes);
            bytes = outer;
        }
        [vec![0], bytes].concat()
    };
    let schema = schema(ODD);
    assert!(read(&schema, &nested(90)).is_ok());
    let error = read(&schema, &nested(10_000)).unwrap_err();
    assert!(error.contains("recursion limit"), "{error}");
    // Each is in a message of its own, which no limit of the wire format counts.
    let boxed = |levels: usize| {
        let mut bytes = any("a.Wide.In", Vec::new());
        for _ in 0..levels {
            bytes = any("google.protobuf.Any", bytes);
        }
        said(&with_any(&bytes))
    };
    assert!(boxed(90).is_ok());
    assert!(boxed(5_000).unwrap_err().contains("nests deeper than 100 levels"));
    let endless: [(&[u8], &str); 4] = [
        (b"\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "buffer underflow"),
        (b"\0\x0a\x02\xff\xff", "UTF-8"),
        (b"\0\x0f", "wire type"),
        (b"\0\x03\x04", "invalid tag value"),
    ];
    for (bytes, expected) in endless {
        let error = read(&schema, bytes).unwrap_err();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    }
    let many = [&[0][..], &[0x42, 0].repeat(50_000)].concat();
    let error = read(&schema, &many).map(drop).unwrap_err();
    assert!(error.contains("more than 3200"), "{error}");
}

#[test]
fn a_schema_is_read_from_text_and_from_its_descriptor_with_what_it_refers_to() {
    let person =
        Named { name: "p/person.proto".into(), text: "syntax = \"proto3\"; message P { int64 n = 1; }".into() };
    let text = "syntax = \"proto3\"; import \"p/person.proto\"; message M { P p = 1; map<string, P> all = 2; }";
    let of_text = Schema::read(text, std::slice::from_ref(&person)).unwrap();
    let descriptor = |schema: &Schema, name: &str| {
        let pool = schema.message(&[0]).unwrap().parent_pool().clone();
        let file = pool.files().find(|file| file.name() == name).unwrap();
        STANDARD.encode(file.file_descriptor_proto().encode_to_vec())
    };
    let persons = Named { name: person.name.clone(), text: descriptor(&of_text, "p/person.proto") };
    let of_descriptor = Schema::read(&descriptor(&of_text, "the schema itself"), &[persons]).unwrap();
    for schema in [&of_text, &of_descriptor] {
        assert_eq!(read(schema, b"\0\x0a\x02\x08\x07").unwrap(), json!({ "p": { "n": "7" }, "all": {} }));
    }
    let missing = Schema::read(text, &[]).unwrap_err();
    assert!(missing.contains('P'), "{missing}");
}

/// Confluent's registry wrote maps out like that before it wrote them as maps.
#[test]
fn a_map_that_is_written_out_as_messages_is_a_map() {
    let text = r#"syntax = "proto3"; message M { repeated MapEntry map = 1;
        message MapEntry { option map_entry = true; string key = 1; int32 value = 2; } }"#;
    let said = read(&schema(text), b"\0\x0a\x05\x0a\x01k\x10\x05").unwrap();
    assert_eq!(said, json!({ "map": { "k": 5 } }));
}

#[test]
fn what_is_no_schema_says_why_and_never_panics() {
    let deep = "message a {".repeat(50_000);
    for (broken, expected) in [
        ("", "no message"),
        ("message", ""),
        ("{\"type\":\"string\"}", ""),
        ("syntax = \"proto3\"; message A { B b = 1; }", "B"),
        ("import \"the schema itself\";", "cycle"),
        (&*deep, "nests deeper"),
    ] {
        let read = Schema::read(broken, &[]).and_then(|schema| schema.message(&[0]).map(drop));
        let error = read.unwrap_err();
        assert!(error.contains(expected), "{broken:.40}: {error}");
    }
}

/// A type of such a name that is about itself once ended the process.
#[test]
fn a_type_that_only_has_the_name_of_one_that_all_know_is_read_as_what_it_is() {
    for (fields, bytes, expected) in [
        ("BoolValue b = 2;", &b"\0\x12\0"[..], json!({ "b": {} })),
        ("BoolValue b = 2;", b"\0\x12\x02\x0a\0", json!({ "b": { "value": {} } })),
        ("Struct b = 2;", b"\0\x12\0", json!({ "b": {} })),
        ("ListValue b = 2;", b"\0\x12\0", json!({ "b": {} })),
        ("Value b = 2;", b"\0\x12\x04\x0a\x02\x0a\0", json!({ "b": null })),
    ] {
        let text = format!(
            "syntax = \"proto3\"; package google.protobuf; message M {{ {fields} }} message BoolValue {{ BoolValue value = 1; }} \
             message Struct {{ Struct fields = 1; }} message ListValue {{ BoolValue first = 2; }} message Value {{ Value v = 1; }}"
        );
        assert_eq!(read(&schema(&text), bytes).unwrap(), expected, "{fields}");
    }
}

/// Those around it need some of the 128 levels that readers of JSON have.
#[test]
fn no_document_nests_as_deep_as_readers_of_json_stop() {
    let schema = schema("syntax = \"proto3\"; message M { repeated M r = 3; }");
    let nested = |levels: usize| {
        let bytes = (0..levels).fold(Vec::new(), |inner, _| {
            let mut outer = vec![0x1a];
            prost_reflect::prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            [outer, inner].concat()
        });
        read(&schema, &[vec![0], bytes].concat())
    };
    assert!(nested(49).is_ok());
    let error = nested(63).unwrap_err();
    assert!(error.contains("nests deeper than 100 levels"), "{error}");
}

#[test]
fn what_says_that_it_is_the_entry_of_a_map_and_is_none_is_a_message() {
    for (fields, bytes, expected) in [
        ("", &b"\0\x12\0"[..], json!({ "e": [{}] })),
        ("optional string k = 1;", b"\0\x12\x03\x0a\x01x", json!({ "e": [{ "k": "x" }] })),
        ("optional string k = 2; optional string v = 3;", b"\0\x12\0", json!({ "e": [{}] })),
        ("optional M k = 1; optional string v = 2;", b"\0\x12\x02\x0a\0", json!({ "e": [{ "k": { "e": [] } }] })),
        ("optional double k = 1; optional string v = 2;", b"\0\x12\0", json!({ "e": [{}] })),
        ("optional bytes k = 1; optional string v = 2;", b"\0\x12\0", json!({ "e": [{}] })),
        ("repeated string k = 1; optional string v = 2;", b"\0\x12\0", json!({ "e": [{ "k": [] }] })),
        ("optional string k = 1; repeated string v = 2;", b"\0\x12\0", json!({ "e": [{ "v": [] }] })),
        ("optional string k = 1; optional string v = 2;", b"\0\x12\x03\x0a\x01x", json!({ "e": { "x": "" } })),
    ] {
        let text = format!(
            "syntax = \"proto3\"; message M {{ repeated E e = 2; }} message E {{ option map_entry = true; {fields} }}"
        );
        assert_eq!(read(&schema(&text), bytes).unwrap(), expected, "{fields}");
    }
}

#[test]
fn brackets_in_comments_and_strings_and_those_of_comparisons_are_no_depth() {
    let message = "message M { string text = 1; }";
    let many = |text: &str| text.repeat(120);
    for begins in [
        format!("// {}\n", many("a < b ")),
        format!("// {}\n", many("{[(")),
        format!("/* {}\n */", many("a < b {[(")),
        format!("option (a.b) = \"{}\\\"{{\";", many("{[(")),
        format!("option (a.b) = '{}\\\\';", many("{\"[(")),
    ] {
        let read = Schema::read(&format!("syntax = \"proto3\"; {begins} {message}"), &[]);
        assert!(read.is_ok(), "{begins:.40}: {read:?}");
    }
    // Nothing hides what is one.
    let deep = "message a {".repeat(50_000);
    for begins in ["# /*\n", "\"\n", "'\\\n", "/**/", "/* /* */", "// /*\n", "\"//\"", "'\\x'"] {
        let error = Schema::read(&format!("{begins}{deep}"), &[]).unwrap_err();
        assert!(error.contains("nests deeper"), "{begins:?}: {error}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any_byte(), 0..80)) {
        drop(read(&schema(ODD), &bytes));
    }

    #[test]
    fn no_message_panics(bytes in prop::collection::vec(any_byte(), 0..80)) {
        let Ok(message) = DynamicMessage::decode(schema(ODD).message(&[0]).unwrap(), Bytes::from(bytes)) else {
            return Ok(());
        };
        let once = said(&message);
        prop_assert_eq!(once, said(&message));
    }
}

/// Mostly bytes that begin fields, and are short lengths.
fn any_byte() -> impl Strategy<Value = u8> {
    prop_oneof![0u8..0x60, prop::num::u8::ANY]
}
