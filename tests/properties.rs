//! What must hold for any text: the decoder, the tokenizer, the model and the spans, one after the other.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use tagbert::codec::decode::{Decoded, Decoder};
use tagbert::config::{Config, Device};
use tagbert::record::document::Document;
use tagbert::record::envelope::Record;
use tagbert::record::tag::{Entity, Tag};
use tagbert::tagger::gather::run_alone;
use tagbert::tagger::taggers::Taggers;

mod support;

/// Windows so short that most texts have several.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let mut config = Config::default();
    config.model.path = support::root().join("tests/fixtures/tiny-distilbert").to_str().unwrap().parse().unwrap();
    config.model.device = Device::Cpu;
    config.model.window = 64.try_into().ok();
    config.model.stride = Some(16);
    config
});

static TAGGERS: LazyLock<Arc<Taggers>> = LazyLock::new(|| Arc::new(Taggers::load(&CONFIG).unwrap()));

/// Of each kind of tokenizer and head, with long and short windows.
static KINDS: LazyLock<Vec<Arc<Taggers>>> = LazyLock::new(|| {
    let models = ["distilbert-bio-cased", "distilbert-plain", "roberta-bio", "roberta-single-label", "xlm-roberta-bio"];
    let cases = models.iter().flat_map(|model| [(model, None), (model, Some(9))]);
    let load = |(model, window): (&&str, Option<usize>)| {
        let mut config = Config::default();
        let directory = support::root().join("tests/fixtures/parity").join(model);
        config.model.path = directory.to_str().unwrap().parse().unwrap();
        config.model.device = Device::Cpu;
        config.model.window = window.and_then(|window| window.try_into().ok());
        config.model.stride = window.map(|_| 5);
        Arc::new(Taggers::load(&config).unwrap())
    };
    cases.map(load).collect()
});

/// Takes a record's value through all stages; gives the tags' entities with the text, or `None` for a dead letter.
fn tag(value: Vec<u8>) -> Option<(String, Vec<Entity>)> {
    let record = Record { key: None, value: Some(value), headers: None, timestamp: None };
    let Decoded::Document(document) = Decoder::new(&CONFIG).unwrap().decode(&record).ok()? else { return None };
    let text = document.texts[0].as_ref()?.as_str().to_owned();
    let mut work = TAGGERS.encode(document).ok()?;
    run_alone(&mut work).unwrap();
    assert!(!work.is_truncated());
    let mut entities = Vec::new();
    for (name, tag) in work.tags() {
        match tag {
            Tag::Entities(found) => entities.extend(found),
            Tag::Class(class) => assert!((0.0..=1.0).contains(&class.score)),
            other => panic!("{name}: {other:?}"),
        }
    }
    Some((text, entities))
}

fn check(value: Vec<u8>) {
    let Some((text, entities)) = tag(value) else { return };
    let code_points: Vec<char> = text.chars().collect();
    let mut last = 0;
    for entity in entities {
        let (start, end) = (entity.start as usize, entity.end as usize);
        assert!(last <= start && start < end && end <= code_points.len(), "{entity:?} in {text:?}");
        assert_eq!(entity.text, code_points[start..end].iter().collect::<String>());
        last = end;
    }
}

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        "\\PC{0,12}",
        "[\u{0}-\u{1f}\u{7f}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{feff}]{1,6}",
        "[\u{300}-\u{36f}]{1,8}",
        "[אבגדهوي一二三ก-ฮ]{1,6}",
        Just("👩‍👩‍👧‍👦".to_owned()),
        Just("[CLS] [SEP] [PAD] [MASK] [UNK]".to_owned()),
        Just("ﬁ ß İ ǅ".to_owned()),
        Just("\r\n".to_owned()),
        "[a-z]{100,130}",
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_document_needs_more_than_was_expected(text in nasty()) {
        for taggers in &*KINDS {
            let Ok(work) = taggers.encode(Document::unnamed(vec![Some(text.as_str().into())])) else { continue };
            let most = taggers.most_for_a_byte * text.len();
            // A text of nothing has a window, too.
            prop_assert!(work.size() <= most + 1024, "{} bytes of {most}, {:?}", work.size(), taggers.models());
        }
    }

    #[test]
    fn any_text_is_tagged_with_exact_spans_or_refused(text in nasty()) {
        check(serde_json::json!({ "id": 1, "body": text }).to_string().into_bytes());
    }

    #[test]
    fn any_escapes_are_tagged_or_refused(escapes in prop::collection::vec(any::<u16>(), 0..40)) {
        let body: String = escapes.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        check(format!(r#"{{"body":"{body}"}}"#).into_bytes());
    }
}

#[test]
fn a_hundred_thousand_characters_without_a_space_are_tagged() {
    for text in
        ["x".repeat(100_000), "é".repeat(100_000), "漢".repeat(100_000), "🎉".repeat(100_000), "!".repeat(100_000)]
    {
        check(serde_json::json!({ "body": text }).to_string().into_bytes());
    }
}
