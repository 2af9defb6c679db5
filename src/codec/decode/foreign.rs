//! Formats that are taken for broken JSON, told by their first bytes: what producers write who mean JSON, or who have
//! another topic in mind.

/// The class and the name of a format that is not JSON, if it is one of those that are met on topics.
pub(super) fn format(bytes: &[u8]) -> Option<(&'static str, String)> {
    let registry = |id: String, body: &[u8]| {
        // What is behind the id tells how to get rid of it: a producer's serializer, or another format altogether.
        let what = match body.first() {
            Some(b'{' | b'[' | b'"') => "set `input.format: json-schema`",
            _ => "set `input.format: avro`, or `protobuf`, whichever comes behind it",
        };
        ("SchemaRegistry", format!("it starts with a schema registry's {id}: {what}"))
    };
    let unread = |by: &str| {
        let what = "tagbert reads the five bytes of Confluent's: let the serializer write those";
        ("SchemaRegistry", format!("it starts with {by}, and {what}"))
    };
    Some(match bytes {
        // First, since its zeros could be those of an id.
        [0xfe, 0xff, ..] | [0, b'{', 0, ..] => ("NotUtf8", utf_16("big")),
        [0, a, b, c, d, body @ ..] => {
            registry(format!("header (schema {})", u32::from_be_bytes([*a, *b, *c, *d])), body)
        }
        // A GUID in the place of the id, as newer serializers of Confluent write it; AWS Glue has a version before it.
        [1, rest @ ..] if rest.len() > 16 => unread("a schema's GUID in place of its number"),
        [3, 0 | 5, rest @ ..] if rest.len() > 16 => unread("the 18 bytes of AWS Glue's schema registry"),
        [0x1f, 0x8b, ..] => compressed("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => compressed("zstd"),
        [0xff, 0xfe, ..] | [b'{', 0, ..] => ("NotUtf8", utf_16("little")),
        _ => return None,
    })
}

fn compressed(by: &str) -> (&'static str, String) {
    let what = format!("it is compressed with {by}; Kafka's own compression (`compression.type`) is undone by Kafka");
    ("Compressed", what)
}

fn utf_16(end: &str) -> String {
    format!("it is UTF-16, {end} end first; JSON on topics is UTF-8")
}

/// What a JSON value is that is no object.
pub(super) fn instead_of_an_object(json: &str) -> String {
    let is = match json.trim_start().as_bytes().first() {
        Some(b'"') => "a string; if it holds a document, that was made JSON twice",
        Some(b'[') => "an array; a record is one document",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null; a tombstone is a record without a value",
        _ => "a number",
    };
    format!("the value is not a JSON object but {is}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_look_like_broken_json_are_told_by_their_names() {
        let json = b"{\"body\":\"x\"}";
        let cases: [(&[u8], &str, &str); 10] = [
            (&[0, 0, 0, 0, 0x2a], "SchemaRegistry", "header (schema 42)"),
            (&[0, 0, 1, 0, 0], "SchemaRegistry", "schema 65536"),
            (&[1; 17], "SchemaRegistry", "GUID"),
            (&[3, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], "SchemaRegistry", "Glue"),
            (&[0x1f, 0x8b, 8], "Compressed", "gzip"),
            (&[0x28, 0xb5, 0x2f, 0xfd], "Compressed", "zstd"),
            (&[0xff, 0xfe], "NotUtf8", "UTF-16"),
            (&[0xfe, 0xff], "NotUtf8", "UTF-16"),
            (b"\0{\0\"", "NotUtf8", "UTF-16, big"),
            (b"{\0\"\0", "NotUtf8", "UTF-16, little"),
        ];
        for (head, class, expected) in cases {
            let (found, what) = format(&[head, json].concat()).unwrap();
            assert!(found == class && what.contains(expected), "{head:?}: {found}: {what}");
        }
        assert!(format(&[&[0, 0, 0, 0, 7], &json[..]].concat()).unwrap().1.contains("input.format: json-schema"));
        assert!(format(b"\0\0\0\0\x07\x02\x0ahello").unwrap().1.contains("input.format: avro`, or `protobuf`"));
        assert_eq!(format(json), None);
        assert_eq!(format(b""), None);
        assert_eq!(format(b"\0\0"), None);
    }

    #[test]
    fn a_value_that_is_no_object_is_told_what_it_is() {
        for (json, expected) in [("\"{}\"", "twice"), (" [1]", "an array"), ("7", "a number"), ("null", "null")] {
            assert!(instead_of_an_object(json).contains(expected), "{json}");
        }
    }
}
