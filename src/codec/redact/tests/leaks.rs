//! How names got through in other programs that mask, tried here. (Each in our own words; the kind of fault is theirs.)

use super::*;

#[test]
fn a_name_that_is_broken_over_lines_or_styled_is_the_same_name() {
    let value = r#"{"body":"Anna\n  Weiß wrote","a":"ANNA WEISS","b":"𝐀𝐧𝐧𝐚 Weiß","c":"Anna\tWeiß","d":"Anna  Weiß","e":"Annas Weiß"}"#;
    let expected = r#"{"body":"[PER] wrote","a":"[PER]","b":"[PER]","c":"[PER]","d":"[PER]","e":"Annas Weiß"}"#;
    assert_eq!(document(PEOPLE, value, &[("PER", "Anna\n  Weiß")]), expected);
    let words = "[{words: [Project Falcon], with: '#'}]";
    let value = r#"{"body":"the Project\nFalcon, project   falcon and Project\r\n\tFalcon"}"#;
    assert_eq!(document(words, value, &[]), r#"{"body":"the #, # and #"}"#);
}

#[test]
fn a_number_goes_over_no_end_of_a_line() {
    let rules = "[{patterns: [phone, credit-card]}]";
    let value = r#"{"body":"+49 30 1234567\n2026 2027 2028\n4111 1111 1111 1111\n42"}"#;
    assert_eq!(document(rules, value, &[]), r#"{"body":"[PHONE]\n2026 2027 2028\n[CREDIT_CARD]\n42"}"#);
}

#[test]
fn numbers_in_digits_of_other_scripts_are_numbers() {
    let rules = "[{patterns: [phone, credit-card], with: '#'}]";
    let value = r#"{"body":"٤١١١ ١١١١ ١١١١ ١١١١ or +٤٩ ٣٠ ١٢٣٤٥٦٧"}"#;
    assert_eq!(document(rules, value, &[]), r##"{"body":"# or #"}"##);
}

#[test]
fn what_a_masked_field_does_not_say_is_not_masked_elsewhere() {
    let value = r#"{"user":{"email":null,"vip":true,"n":12345},"body":"null is true of 12345"}"#;
    let expected = r#"{"user":"[REDACTED]","body":"null is true of [REDACTED]"}"#;
    assert_eq!(document("[{fields: [/user]}]", value, &[]), expected);
}

#[test]
fn the_name_of_a_field_is_masked_unless_it_is_a_plain_word() {
    let rules = "[{fields: [/login, /role]}, {patterns: [email]}, {entities: [PER]}]";
    let value = r#"{"login":"merkel54","role":"admin","body":"Ann Lee","seen":{"merkel54":1,"admin":2,"Ann Lee":3,"a@x.org":4}}"#;
    let expected = r#"{"login":"[REDACTED]","role":"[REDACTED]","body":"[PER]","seen":{"[REDACTED]":1,"admin":2,"[PER]":3,"[EMAIL]":4}}"#;
    assert_eq!(document(rules, value, &[("PER", "Ann Lee")]), expected);
}

#[test]
fn of_words_that_begin_alike_the_longer_one_leaves_no_tail() {
    for words in ["[Falcon, Falcon Nine]", "[Falcon Nine, Falcon]"] {
        let rules = format!("[{{words: {words}, with: '#'}}]");
        assert_eq!(document(&rules, r#"{"body":"Falcon Nine, Falcon"}"#, &[]), r##"{"body":"#, #"}"##);
    }
}

#[test]
fn what_stands_side_by_side_is_masked_one_by_one() {
    let value = r#"{"body":"a@x.org b@x.org c@x.org","list":["d@x.org",{"e@x.org":["f@x.org"]}]}"#;
    let expected = r#"{"body":"[EMAIL] [EMAIL] [EMAIL]","list":["[EMAIL]",{"[EMAIL]":["[EMAIL]"]}]}"#;
    assert_eq!(document("[{patterns: [email]}]", value, &[]), expected);
}

#[test]
fn a_number_within_another_ones_row_is_masked_at_both_places() {
    let value = r#"{"body":"card 4111 1111 1111 1111, call tel 1111 1111 1111; 4111111111111111.com"}"#;
    let masked = document("[{patterns: [credit-card, phone]}]", value, &[]);
    assert!(!masked.contains("1111"), "{masked}");
}

#[test]
fn a_link_has_no_tail() {
    let value = r#"{"body":"https://me:pass@host/tok:SECRET?a=b#c and (see www.example.org/a_(b))."}"#;
    assert_eq!(document("[{patterns: [url], with: '#'}]", value, &[]), r##"{"body":"# and (see #)."}"##);
}

#[test]
fn what_is_masked_is_masked_again_without_harm() {
    let rules =
        "[{entities: [PER]}, {patterns: [email, phone, iban, credit-card, ip, url], with: mask}, {words: [Falcon]}]";
    let once = document(
        rules,
        r#"{"body":"Ann Lee, a@x.org, Falcon, +49 30 1234567","n":4111111111111111}"#,
        &[("PER", "Ann Lee")],
    );
    assert_eq!(document(rules, &once, &[]), once);
}

#[test]
fn a_dead_letter_that_is_no_object_has_no_fields_by_which_to_mask_it() {
    let twice = serde_json::json!(r#"{"body":"Angela"}"#).to_string();
    for value in [twice.as_str(), r#"[{"body":"Angela"}]"#] {
        let (masked, message) = letter(PEOPLE, value.as_bytes());
        assert!(masked.is_empty() && message.contains("no object"), "{masked}: {message}");
    }
    assert_eq!(letter("[{patterns: [email]}]", br#"[{"body":"a@x.org"}]"#).0, r#"[{"body":"[EMAIL]"}]"#);
}

#[test]
fn equal_names_are_equal_hashes_however_their_letters_are_written() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&key, "0123456789abcdef").unwrap();
    let rules = format!("[{{entities: [PER], with: hash, key_file: {}}}]", key.path().display());
    let hashes: Vec<_> = ["Zoë Weiß", "ZOË WEISS", "Zoe\u{308}\nWeiß"]
        .iter()
        .map(|name| document(&rules, &serde_json::json!({ "body": name }).to_string(), &[("PER", name)]))
        .collect();
    assert!(
        hashes[0].len() == r#"{"body":""}"#.len() + 16 && hashes.iter().all(|hash| *hash == hashes[0]),
        "{hashes:?}"
    );
}

#[test]
fn a_dead_letter_that_has_its_texts_elsewhere_is_left_out() {
    let of = |settings: &str, value: &str| {
        let yaml = format!("{settings}\nredact: {PEOPLE}\ndead_letters: {{redact: true}}");
        let redactor = Redactor::new(&Config::parse(&yaml, HashMap::new(), &[]).unwrap()).unwrap().unwrap();
        let rejection = Rejection::new(Stage::Decode, "TextMissing", "no text".into());
        let letter = redactor.dead_letter(envelope(value.as_bytes(), rejection));
        (String::from_utf8(letter.record.value.unwrap()).unwrap(), letter.body.message)
    };
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"mail":"Ann Lee"}}"#;
    for (settings, value) in [
        ("", r#"{"id":"1","mail":{"subject":"Visit","body":"Ann Lee met Bo Li."}}"#),
        ("", r#"{"id":"1","subject":" ","body":7,"mail":"Ann Lee"}"#),
        ("", r#"{"subject":"Visit","body":{"Ann Lee":1}}"#),
        ("", r#"{"subject":"Visit","body":["x",{"Ann Lee":1}]}"#),
        ("input: {text: /parts/*/text}", r#"{"parts":{"Ann Lee":{"text":"x"}}}"#),
        ("input: {text: /parts/*/text}", r#"{"parts":[{"text":{"Ann Lee":"x"}}]}"#),
        (r#"input: {text: "{/subject}: {/body}"}"#, r#"{"title":"Ann Lee"}"#),
        ("input: {format: cloudevents, text: /data/body}", event),
    ] {
        let (masked, message) = of(settings, value);
        assert!(masked.is_empty() && message.contains("has its texts elsewhere"), "{value} {masked}: {message}");
    }
    for (settings, value, expected) in [
        ("input: {text: /parts/*/text}", r#"{"parts":[{"text":"Ann"}]}"#, r#"{"parts":[{"text":"[REDACTED]"}]}"#),
        (r#"input: {text: "{/subject}: {/body}"}"#, r#"{"body":["Ann"]}"#, r#"{"body":["[REDACTED]"]}"#),
    ] {
        assert_eq!(of(settings, value).0, expected);
    }
    // Without rules for names, none is looked for.
    assert_eq!(letter("[{patterns: [email]}]", br#"{"mail":"a@x.org"}"#).0, r#"{"mail":"[EMAIL]"}"#);
}

#[test]
fn a_text_that_no_tagger_has_read_is_masked_wherever_it_comes_again() {
    let value = r#"{"id":"Ann Lee","subject":"Ann Lee","body":7,"from":"ANN LEE <x>","to":"Ann Leeds"}"#;
    let expected =
        r#"{"id":"[REDACTED]","subject":"[REDACTED]","body":"[REDACTED]","from":"[REDACTED] <x>","to":"Ann Leeds"}"#;
    assert_eq!(letter(PEOPLE, value.as_bytes()).0, expected);
}
