//! What records may be made of, coming in and going out: docs/FORMATS.md.

use rdkafka::Message as _;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

mod support;

use support::kafka::Kafka;
use support::line::{Line, TINY, value};
use support::records::header;
use support::tagbert::tagbert;

/// The lines that come of this input under these settings.
fn tagged(settings: &[&str], input: &[u8]) -> Vec<Value> {
    let sets = settings.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["tag", "--model", TINY].into_iter().chain(sets).collect();
    let output = tagbert(&args, input);
    assert!(output.status.success(), "{output:?}");
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a command says that refuses these settings.
fn refused(settings: &[&str]) -> String {
    let sets = settings.iter().flat_map(|set| ["--set", set]);
    let args: Vec<&str> = ["tag", "--model", TINY].into_iter().chain(sets).collect();
    let output = tagbert(&args, b"");
    assert!(!output.status.success(), "{settings:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A slice of a text, as those count who have these offsets.
fn slice(text: &str, offsets: &str, start: usize, end: usize) -> String {
    match offsets {
        "utf16" => String::from_utf16(&text.encode_utf16().collect::<Vec<_>>()[start..end]).unwrap(),
        "utf8" => text[start..end].to_owned(),
        _ => text.chars().collect::<Vec<_>>()[start..end].iter().collect(),
    }
}

#[test]
fn an_entity_is_found_in_its_field_by_readers_of_any_language() {
    let document = json!({
        "subject": "🎉 Angela Merkel",
        "paragraphs": ["Zoë met Tim Cook", "in Berlin 東京, and so did Å"],
        "replies": [{"text": "Microsoft of New York"}, {"text": "Paris 🎉 Saint-Germain"}],
    });
    let text = "input.text={/subject}\n{/paragraphs}\n{/replies/*/text}";
    let mut in_fields = 0;
    for offsets in ["code-points", "utf16", "utf8"] {
        let set = format!("output.offsets={offsets}");
        let record = &tagged(&[text, &set], document.to_string().as_bytes())[0];
        let joined = "🎉 Angela Merkel\nZoë met Tim Cook\nin Berlin 東京, and so did Å\nMicrosoft of New York\n\
                      Paris 🎉 Saint-Germain";
        for entity in record["tags"]["entities"].as_array().unwrap() {
            let number = |name: &str| entity[name].as_u64().unwrap() as usize;
            assert_eq!(slice(joined, offsets, number("start"), number("end")), entity["text"].as_str().unwrap());
            // One that reaches from a field into the next is in none.
            let Some(field) = entity["field"].as_str() else {
                assert!(entity["text"].as_str().unwrap().contains('\n') && entity["field_start"].is_null());
                continue;
            };
            in_fields += 1;
            let value = document.pointer(field).and_then(Value::as_str).unwrap();
            assert_eq!(slice(value, offsets, number("field_start"), number("field_end")), entity["text"]);
        }
    }
    assert!(in_fields > 0);
}

#[test]
fn shapes_say_the_same_in_other_places() {
    let input = br#"{"id":7,"text":"Shares in Microsoft fell in New York."}"#;
    let nested = &tagged(&["output.scores=all"], input)[0];
    let flat = &tagged(&["output.scores=all", "output.shape=flat"], input)[0];
    let tags = &tagged(&["output.scores=all", "output.shape=tags-only"], input)[0];
    assert_eq!(*tags, nested["tags"]);
    assert_eq!(flat["tags_topic"], nested["tags"]["topic"]["label"]);
    assert_eq!(flat["tags_topic_score"], nested["tags"]["topic"]["score"]);
    assert_eq!(flat["tags_topic_scores"], nested["tags"]["topic"]["scores"]);
    assert_eq!(flat["tags_entities"], nested["tags"]["entities"]);
    assert_eq!((&flat["id"], &flat["document"]), (&nested["id"], &nested["document"]));
    assert_eq!(flat["source_offset"], nested["source"]["offset"]);
    assert_eq!(flat["model_version"], nested["model"]["version"]);
    for (name, part) in flat.as_object().unwrap() {
        assert!(!part.is_object() || name == "document", "{name} is not flat");
    }
    let scores = nested["tags"]["topic"]["scores"].as_array().unwrap();
    assert_eq!(scores[0]["score"], nested["tags"]["topic"]["score"]);
    let sum: f64 = scores.iter().map(|score| score["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    let two = &tagged(&["output.scores.top=2"], input)[0];
    assert_eq!(two["tags"]["topic"]["scores"].as_array().unwrap()[..], scores[..2]);
}

#[test]
fn records_of_each_shape_are_as_the_schema_says() {
    let python = support::root().join(".cache/tools-venv/bin/python");
    if !support::fetched("records_of_each_shape_are_as_the_schema_says", &python) {
        return;
    }
    let input =
        "{\"id\":7,\"text\":\"Shares in Microsoft fell in New York.\",\"more\":\"Angela Merkel\"}\n{\"text\":\"hi\"}\n";
    let mut records = Vec::new();
    for settings in [
        &["output.shape=nested"][..],
        &["output.scores=all"],
        &["output.document=drop", "output.scores.top=1"],
        // Labels are null, and entities reach from field to field.
        &["model.thresholds.spam=1", "model.thresholds.ham=1", "input.text=New\n{/more}{/text}{/more}"],
        &["output.shape=tags-only"],
        &["output.shape=tags-only", "output.scores=all"],
    ] {
        let shape = if settings[0].ends_with("tags-only") { "tags-only" } else { "nested" };
        records.extend(tagged(settings, input.as_bytes()).into_iter().map(|record| json!([shape, record]).to_string()));
    }
    let script = r#"
import json, sys, jsonschema
schema = json.load(open("schemas/record.json"))
jsonschema.Draft7Validator.check_schema(schema)
shapes = {"nested": schema, "tags-only": {**schema["properties"]["tags"], "definitions": schema["definitions"]}}
nulls = set()
for line in sys.argv[1:]:
    shape, record = json.loads(line)
    jsonschema.validate(record, shapes[shape])
    tags = record["tags"] if shape == "nested" else record
    nulls |= {name for tag in tags.values() for part in (tag if isinstance(tag, list) else [tag]) for name, value in part.items() if value is None}
assert "label" in nulls, nulls
for broken in [{}, {**record, "spam": {"score": 1}}]:
    assert not jsonschema.Draft7Validator(shapes["nested" if not broken else shape]).is_valid(broken), broken
"#;
    let mut checked = std::process::Command::new(python);
    let checked = checked.current_dir(support::root()).args(["-c", script]).args(&records).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn what_lines_cannot_be_is_refused_before_any_is_read() {
    let utf_16 = refused(&["input.format=text", "input.charset=utf-16le"]);
    assert!(utf_16.contains("`input.charset` is UTF-16"), "{utf_16}");
    let args =
        ["tag", "--model", TINY, "--format", "text", "--set", "input.format=text", "--set", "input.charset=latin1"];
    let output = tagbert(&args, b"Zo\xeb\n");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("input.charset"), "{output:?}");
}

#[test]
fn labels_have_the_names_that_readers_know() {
    let names = ["output.labels.spam.ham=OK", "output.labels.spam.spam=SPAM", "output.scores=all"];
    let record = &tagged(&names, br#"{"text":"Shares in Microsoft fell."}"#)[0];
    let label = |value: &Value| ["OK", "SPAM"].contains(&value["label"].as_str().unwrap());
    let spam = &record["tags"]["spam"];
    assert!(label(spam) && spam["scores"].as_array().unwrap().iter().all(label), "{spam}");
    assert!(refused(&["output.labels.spam.eggs=OK"]).contains("`eggs`, which is none of its labels: "));
    let aggregated = refused(&["output.labels.entities.B-PER=person"]);
    assert!(aggregated.contains("`B-PER`, which is none of its labels: "), "{aggregated}");
    tagged(&["output.labels.entities.B-PER=person", "model.aggregation=none"], br#"{"text":"Shares fell."}"#);
    assert!(refused(&["output.labels.sapm.ham=OK"]).contains("no tag is called so, but topic, spam, entities"));
    assert!(refused(&["output.shape=headers"]).contains("which lines have not"));
}

#[test]
fn lines_of_text_in_any_charset_become_documents() {
    let set = ["input.format=text", "input.charset=windows-1252"];
    let records = tagged(&set, b"Zo\xeb met Tim Cook\n\xabso\xbb \"said\"\n");
    assert_eq!(records[0]["document"], json!({ "text": "Zoë met Tim Cook" }));
    assert_eq!(records[1]["document"], json!({ "text": "«so» \"said\"" }));
}

#[test]
fn a_record_whose_tags_are_headers_stays_byte_for_byte_and_cannot_bring_them_itself() {
    let line = Line::create("tags-as-headers", 1);
    let bytes = b"\xef\xbb\xbf {\"body\" : \"Shares in Microsoft fell.\", \"n\":1.10 } ";
    let brought = OwnedHeaders::new()
        .insert(Header { key: "tagbert.spam", value: Some("mine") })
        .insert(Header { key: "tagbert.spam.scores", value: Some("mine") })
        .insert(Header { key: "mine", value: Some("1") });
    let record = || BaseRecord::<[u8], [u8]>::to(&line.input).key(b"0").headers(brought.clone());
    Kafka::shared().produce([record().payload(&bytes[..]), record().payload(b"no JSON"), record()]);
    line.worker().set("output.shape", "headers").run_to_the_end();

    let tagged = line.tagged();
    assert_eq!(tagged.len(), 2);
    let tombstone = |name: &str| header(&tagged[1], name);
    assert_eq!((tagged[1].payload(), tombstone("tagbert.spam"), tombstone("tagbert.spam.scores")), (None, None, None));
    assert_eq!(tombstone("mine").as_deref(), Some("1"));
    assert_eq!(tagged[0].payload(), Some(&bytes[..]));
    let of = |name: &str| header(&tagged[0], name);
    assert!(["ham", "spam"].contains(&of("tagbert.spam").unwrap().as_str()));
    assert!(of("tagbert.spam.score").unwrap().parse::<f32>().unwrap() >= 0.5);
    assert_eq!((of("tagbert.spam.scores"), of("mine").as_deref()), (None, Some("1")));
    assert!(of("tagbert.topic").is_some() && of("tagbert.record.id").is_some());
    let entities: Value = serde_json::from_str(&of("tagbert.entities").unwrap()).unwrap();
    assert!(entities.is_array());
    // A dead letter has no tags, and its own headers.
    let dead = line.dead();
    assert_eq!((dead[0].payload(), header(&dead[0], "mine").as_deref()), (Some(&b"no JSON"[..]), Some("1")));
}

#[test]
fn texts_that_are_no_texts_are_dead_letters_as_they_were() {
    let line = Line::create("text-values", 1);
    line.produce([&b"Zo\xc3\xab met Tim Cook"[..], b"Zo\xeb met Tim Cook", b""]);
    line.worker().set("input.format", "text").run_to_the_end();
    assert_eq!(value(&line.tagged()[0])["document"], json!({ "text": "Zoë met Tim Cook" }));
    let dead = line.dead();
    let class = |place: usize| header(&dead[place], "__connect.errors.exception.class.name").unwrap();
    assert_eq!((class(0).as_str(), class(1).as_str()), ("NotText", "TextEmpty"));
    assert_eq!(dead[0].payload(), Some(&b"Zo\xeb met Tim Cook"[..]));
}

#[test]
fn entities_of_clean_texts_stand_where_the_document_has_them() {
    let hidden = |text: &str| text.replace("im", "i\u{200b}m").replace('o', "\u{43e}");
    let document = json!({
        "subject": hidden("🎉 Angela Merkel and Tim Cook"),
        "body": hidden("Microsoft of New York met Zoë, and Tim of Paris"),
    });
    let plain =
        json!({"subject": "🎉 Angela Merkel and Tim Cook", "body": "Microsoft of New York met Zoë, and Tim of Paris"});
    let text = ["input.text=[/subject, /body]", "input.clean=unicode", "output.offsets=utf8"];
    let records = tagged(&text, format!("{document}\n{plain}\n").as_bytes());
    let (record, plain) = (&records[0], &records[1]);
    assert_eq!(record["document"], document, "as it came");
    assert_eq!(record["tags"]["spam"], plain["tags"]["spam"], "tagged as what people read");
    let joined = format!("{}\n{}", document["subject"].as_str().unwrap(), document["body"].as_str().unwrap());
    let all = |record: &Value| record["tags"]["entities"].as_array().unwrap().clone();
    assert_eq!(all(record).len(), all(plain).len());
    assert!(!all(record).is_empty());
    for (entity, same) in all(record).iter().zip(all(plain)) {
        let number = |name: &str| entity[name].as_u64().unwrap() as usize;
        assert_eq!(slice(&joined, "utf8", number("start"), number("end")), entity["text"].as_str().unwrap());
        assert_eq!(entity["text"].as_str().unwrap(), hidden(same["text"].as_str().unwrap()));
        if let Some(field) = entity["field"].as_str() {
            let value = document.pointer(field).and_then(Value::as_str).unwrap();
            assert_eq!(slice(value, "utf8", number("field_start"), number("field_end")), entity["text"]);
        }
    }
    let masked = &tagged(
        &[
            "input.text=[/subject, /body]",
            "input.clean=unicode",
            "redact[0].entities=[PER, ORG, LOC, MISC]",
            "redact[0].min_score=0",
        ],
        document.to_string().as_bytes(),
    )[0];
    let left = masked["document"].to_string();
    for half in ["i\u{200b}m", "T\u{456}", "Merkel", "C\u{43e}", "Micr"] {
        assert!(!left.contains(half), "{left}");
    }
}

#[test]
fn entities_of_html_stand_where_its_markup_has_them() {
    let html = "<div style='display:none'>hidden</div><p>Angela <b>Merkel</b> met Zo&euml;</p><p>in New<br>York &amp; Paris</p>";
    let document = json!({ "text": html });
    let read = json!({ "text": "Angela Merkel met Zoë\nin New\nYork & Paris" });
    let records = tagged(&["input.clean=html"], format!("{document}\n{read}\n").as_bytes());
    assert_eq!(records[0]["document"], document);
    assert_eq!(records[0]["tags"]["spam"], records[1]["tags"]["spam"], "tagged as what is seen");
    for (entity, same) in records[0]["tags"]["entities"]
        .as_array()
        .unwrap()
        .iter()
        .zip(records[1]["tags"]["entities"].as_array().unwrap())
    {
        let number = |name: &str| entity[name].as_u64().unwrap() as usize;
        let text = entity["text"].as_str().unwrap();
        assert_eq!(slice(html, "code-points", number("start"), number("end")), text);
        let seen = text
            .replace("<b>", "")
            .replace("</b>", "")
            .replace("&euml;", "ë")
            .replace("</p><p>", "\n")
            .replace("<br>", "\n");
        assert_eq!(seen.replace("&amp;", "&"), same["text"].as_str().unwrap());
    }
    assert!(refused(&["input.clean=html", "redact[0].entities=[PER]"]).contains("names there would not be masked"));
}

#[test]
fn entities_of_a_mail_stand_in_its_text_which_the_record_has() {
    let mail = "From: a@example.org\r\nSubject: =?utf-8?Q?Angela_Merkel?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
                Content-Transfer-Encoding: quoted-printable\r\n\r\nZo=EB met Tim Cook in New=\r\n York.\r\n";
    let read = "Angela Merkel\nZoë met Tim Cook in New York.";
    let lines = format!("{}\n{}\n", json!({ "text": mail }), json!({ "text": read }));
    let records = tagged(&["input.clean=[mail, unicode]"], format!("{}\n", json!({ "text": mail })).as_bytes());
    let plain = tagged(&[], lines.as_bytes());
    let record = &records[0];
    assert_eq!((&record["document"]["text"], &record["texts"]), (&json!(mail), &json!([read])));
    assert_eq!(record["tags"]["spam"], plain[1]["tags"]["spam"]);
    for entity in record["tags"]["entities"].as_array().unwrap() {
        let number = |name: &str| entity[name].as_u64().unwrap() as usize;
        assert_eq!(slice(read, "code-points", number("start"), number("end")), entity["text"].as_str().unwrap());
        assert_eq!(
            (&entity["field"], &entity["field_start"], &entity["field_end"]),
            (&json!("/text"), &Value::Null, &Value::Null)
        );
    }
    let dropped =
        &tagged(&["input.clean=mail", "output.document=drop"], json!({ "text": mail }).to_string().as_bytes())[0];
    assert!(dropped.get("texts").is_none() && plain[0].get("texts").is_none());
}

#[test]
fn what_is_no_mail_or_a_broken_one_is_a_dead_letter() {
    let line = Line::create("broken-mails", 1);
    let broken =
        "Subject: S\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n%%% no base64 %%%\r\n";
    line.produce([&b"Subject: Hi\r\n\r\nLunch in Berlin?\r\n"[..], b"Lunch in Berlin?", broken.as_bytes()]);
    line.worker().set("input.format", "text").set("input.clean", "mail").run_to_the_end();
    assert_eq!(value(&line.tagged()[0])["texts"], json!(["Hi\nLunch in Berlin?"]));
    let dead = line.dead();
    let class = |place: usize| header(&dead[place], "__connect.errors.exception.class.name").unwrap();
    assert_eq!((class(0).as_str(), class(1).as_str()), ("NotAMail", "MailBroken"));
    assert_eq!(dead[1].payload(), Some(broken.as_bytes()), "as it came");
}
