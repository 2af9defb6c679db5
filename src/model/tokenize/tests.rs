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
        for tokenizer in &*TOKENIZERS {
            prop_assert!(tokenizer.divisible);
            let whole = tokenizer.encode_by_library(&text, 0).unwrap();
            prop_assert_eq!(tokenizer.encode_in_parts(&text, bytes).unwrap(), whole);
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
fn added_tokens_are_left_to_the_library() {
    let encode = |tokenizer: &Tokenizer, text| tokenizer.fast.as_ref().unwrap().encode(text, 0);
    let tokenizer = &TOKENIZERS[0];
    assert!(encode(tokenizer, "a [SEP] b").is_none());
    assert!(encode(tokenizer, "a [SEP b").is_some());
    let mut inner = tokenizer.inner.clone();
    inner.add_tokens([AddedToken::from("norvik", false)]).unwrap();
    assert!(Tokenizer::new(inner).unwrap().fast.is_none(), "it is found in what is normalized");
}
