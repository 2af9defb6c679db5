use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use tokenizers::AddedToken;

use super::tokenizer;
use super::*;

/// Uncased, cased, cased with accents, and one that neither cleans nor pads Chinese characters.
static TOKENIZERS: LazyLock<[Tokenizer; 4]> = LazyLock::new(|| {
    ["tiny-distilbert", "../../models/tagbert-tiny", "parity/distilbert-bio-cased", "parity/distilbert-one-logit"]
        .map(|directory| tokenizer::load(&Path::new("tests/fixtures").join(directory)).unwrap())
});

/// Byte-level BPE, with spaces that it adds and places that it does not trim; Unigram, with and without rules.
static OTHERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let own = ["roberta-bio", "roberta-single-label", "xlm-roberta-bio", "xlm-roberta-multi-label"];
    let varied = ["add_prefix_space", "trim_offsets"];
    let all = own.iter().map(|name| (name, None)).chain(varied.iter().map(|key| (&own[0], Some(key))));
    let tokenizer = |(name, key): (&&str, Option<&&str>)| {
        let copy = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            std::fs::copy(Path::new("tests/fixtures/parity").join(name).join(file), copy.path().join(file)).unwrap();
        }
        let file = copy.path().join("tokenizer_config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        if let Some(key) = key {
            config[*key] = (*key == "add_prefix_space").into();
        }
        std::fs::write(file, config.to_string()).unwrap();
        tokenizer::load(copy.path()).unwrap()
    };
    all.map(tokenizer).collect()
});

fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-zA-Z0-9]{1,9}",
        " {1,3}",
        r"[.,'\[\]\n-]",
        r"\[SEP\]",
        "[éßΣİ漢豈🎉\u{301}\u{323}\u{334}ज़ा한ﬁ≠\u{37e}]",
        "[\0\t\r\u{b}\u{85}\u{a0}\u{ad}\u{200b}\u{feff}\u{fffd}\u{2028}]",
        "[а-яα-ω\u{5d0}-\u{5ea}]{1,9}",
        // Marks that normalizing moves, and does not remove.
        "[\u{302e}\u{345}\u{1d15e}\u{1d165}\u{8d4}\u{f73}]",
        r"\PC",
        "[a-z]{90,110}",
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_text_in_parts_has_the_tokens_and_places_of_the_whole(text in nasty(), bytes in 1..40usize) {
        // XLM-RoBERTa's rules misplace all that follows a character that they drop at the very beginning.
        let text = format!("x{text}");
        for tokenizer in TOKENIZERS.iter().chain(&*OTHERS) {
            prop_assert!(tokenizer.cut.is_some());
            let whole = tokenizer.encode_by_library(&text, 0).unwrap();
            prop_assert_eq!(tokenizer.encode_in_parts(&text, bytes).unwrap(), whole);
        }
    }

    #[test]
    fn a_text_in_pieces_has_the_tokens_and_places_of_the_whole(
        text in "([a-zA-Zé東京한د]{9,60}|[a-z']{1,9}|don't| |<mask>|[0-9.,]{1,5}|\\PC){1,40}",
        bytes in 24..80usize,
    ) {
        for tokenizer in OTHERS.iter().filter(|tokenizer| tokenizer.has_pieces()) {
            let whole = tokenizer.encode_by_library(&text, 0).unwrap();
            prop_assert_eq!(tokenizer.encode_pieces(&text, 0, bytes).unwrap(), whole);
        }
    }

    #[test]
    fn in_one_pass_come_the_tokens_and_places_of_the_library(text in nasty(), before in 0..9u32) {
        for tokenizer in &*TOKENIZERS {
            let fast = tokenizer.fast.as_ref().unwrap().encode(&text, before);
            let library = tokenizer.encode_by_library(&text, before).unwrap();
            prop_assert!(fast.is_none_or(|fast| fast == library));
        }
    }
}

#[test]
fn each_character_alone_and_between_others_has_the_tokens_and_places_of_the_library() {
    for tokenizer in &*TOKENIZERS {
        let fast = tokenizer.fast.as_ref().unwrap();
        let mut refused = 0;
        for character in '\0'..'\u{20000}' {
            // Accents before and behind, of the highest and the lowest class.
            for text in [format!("{character}"), format!("x\u{345}{character}\u{334}y é{character}z")] {
                let found = fast.encode(&text, 0);
                refused += usize::from(found.is_none());
                let same = found.is_none_or(|found| found == tokenizer.encode_by_library(&text, 0).unwrap());
                assert!(same, "{text:?}");
            }
        }
        assert!(refused < 1000, "{refused} are left to the library");
    }
}

#[test]
fn a_text_without_a_place_to_cut_is_tokenized_in_pieces() {
    let tokenizers: Vec<_> = OTHERS.iter().filter(|tokenizer| tokenizer.has_pieces()).collect();
    assert!(tokenizers.len() >= 2);
    for text in ["東".repeat(40_000), "Donaudampfschifffahrtsgesellschaftskapitän".repeat(4_000)] {
        for tokenizer in &tokenizers {
            let encoded = tokenizer.encode_part(&text[..0], 0).unwrap();
            assert_eq!(encoded, Encoded::default());
            let (rest, before) = (&text[..], 0);
            let piece = tokenizer.encode_part(&rest[..rest.ceil_char_boundary(PART)], before).unwrap();
            assert!(tokenizer.border(rest, &piece, before).is_some(), "there is a border");
            assert_eq!(tokenizer.encode(&text).unwrap(), tokenizer.encode_by_library(&text, 0).unwrap());
        }
    }
}

#[test]
fn added_tokens_are_left_to_the_library() {
    let encode = |tokenizer: &Tokenizer, text| tokenizer.fast.as_ref().unwrap().encode(text, 0);
    let tokenizer = &TOKENIZERS[0];
    assert!(encode(tokenizer, "a [SEP] b").is_none());
    assert!(encode(tokenizer, "a [SEP b").is_some());
    let mut inner = tokenizer.inner.clone();
    inner.add_tokens([AddedToken::from("norvik", false)]).unwrap();
    assert!(Tokenizer::new(inner).unwrap().fast.is_none(), "it is found in what is normalized");
}

/// The words that transformers' rule makes of a text, with the characters that the tokenizer drops as if they weren't.
fn words(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let places = tokenizer.encode(text).unwrap().places;
    let slice = |from: u32, to: u32| text.chars().skip(from as usize).take((to - from) as usize).collect();
    places.chunk_by(|_, next| next.continues).map(|word| slice(word[0].start, word[word.len() - 1].end)).collect()
}

#[test]
fn characters_that_the_tokenizer_drops_make_no_other_word() {
    let drop = ["\u{200b}", "\u{feff}", "\u{ad}", "\u{200d}", "\u{2060}", "\u{301}"];
    for (tokenizer, strips) in TOKENIZERS[..3].iter().zip([true, true, false]) {
        for dropped in &drop[..drop.len() - usize::from(!strips)] {
            let plain = words(tokenizer, "in London today");
            assert_eq!(plain, ["in", "London", "today"]);
            for text in [format!("in Lon{dropped}don today"), format!("in L{dropped}o{dropped}ndon today")] {
                let found = words(tokenizer, &text);
                let found: Vec<_> = found.iter().map(|word| word.replace(*dropped, "")).collect();
                assert_eq!(found, plain, "{text:?}");
            }
        }
    }
    // XLM-RoBERTa's rules drop it; so "in" is not the beginning of what stands behind it.
    let unigram = &OTHERS[2];
    assert_eq!(words(unigram, "in London today"), ["in", "London", "today"]);
    assert_eq!(words(unigram, "in \u{200b}Lon\u{200b}don today"), ["in", "Lon\u{200b}don", "today"]);
}
