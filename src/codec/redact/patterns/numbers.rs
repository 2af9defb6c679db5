//! Numbers of cards, accounts and phones.

use std::ops::Range;
use std::sync::LazyLock;

use iban::Iban;
use regex::Regex;

use super::{is_before_word, is_behind_word, regex};

/// Digits in groups.
static DIGITS: LazyLock<Regex> = LazyLock::new(|| regex(r"[0-9]+(?:[ .-]{1,3}[0-9]+)*"));

/// Card numbers, ISO/IEC 7812: whole groups of digits, of all that stand in a row the first that make one.
pub(super) fn cards(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for run in DIGITS.find_iter(text) {
        let groups: Vec<Range<usize>> = groups(run.as_str(), run.start());
        let mut first = 0;
        while first < groups.len() {
            // Of those that begin here, the longest. No card has more digits than 19, so not more groups either.
            let ends = (first..groups.len().min(first + 19)).rev();
            let card = ends.map(|last| (last, groups[first].start..groups[last].end)).find(|(_, span)| {
                let digits: Vec<u32> = text[span.clone()].chars().filter_map(|digit| digit.to_digit(10)).collect();
                !is_behind_word(text, span.start) && !is_before_word(text, span.end) && is_card(&digits)
            });
            first = card.as_ref().map_or(first, |(last, _)| *last) + 1;
            found.extend(card.map(|(_, span)| span));
        }
    }
    found
}

fn groups(run: &str, at: usize) -> Vec<Range<usize>> {
    let mut start = at;
    let group = |group: &str| {
        let span = start..start + group.len();
        start = span.end + 1;
        (!group.is_empty()).then_some(span)
    };
    run.split([' ', '.', '-']).filter_map(group).collect()
}

/// How those that are issued begin, how many digits they have, and Luhn's.
fn is_card(digits: &[u32]) -> bool {
    if !(12..=19).contains(&digits.len()) {
        return false;
    }
    let begins = digits[..4].iter().fold(0, |number, digit| number * 10 + digit);
    let lengths = match begins {
        2200..=2204 | 6000..=6999 | 5000..=5099 | 5600..=5899 => 12..=19,
        2221..=2720 | 5100..=5599 | 9792 => 16..=16,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => 14..=19,
        3400..=3499 | 3700..=3799 => 15..=15,
        3528..=3589 | 8100..=8299 => 16..=19,
        4000..=4999 => 13..=19,
        _ => return false,
    };
    lengths.contains(&digits.len()) && luhn(digits)
}

fn luhn(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weigh = |(place, digit): (usize, &u32)| if place % 2 == 1 { doubled(*digit) } else { *digit };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

static IBAN: LazyLock<Regex> = LazyLock::new(|| regex(r"[a-z]{2}[0-9]{2}(?:[ -]?[a-z0-9]){11,30}"));

/// Account numbers: as long as their country has them, and with the remainder 1 by 97.
pub(super) fn ibans(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(run) = IBAN.find_at(text, from) {
        // What comes behind a number looks as if it belonged to it.
        let ends = run.as_str().char_indices().filter(|(_, letter)| letter.is_ascii_alphanumeric()).take(34);
        let mut letters = String::with_capacity(34);
        let mut span = None;
        for (at, letter) in ends {
            letters.push(letter.to_ascii_uppercase());
            let end = run.start() + at + 1;
            if !is_before_word(text, end) && letters.parse::<Iban>().is_ok() {
                span = Some(run.start()..end);
            }
        }
        let span = span.filter(|_| !is_behind_word(text, run.start()));
        from = span.as_ref().map_or(run.start() + 2, |span| span.end);
        found.extend(span);
    }
    found
}

/// A sign that it is one: the code of a country before it.
static ABROAD: LazyLock<Regex> = LazyLock::new(|| regex(r"(?:\+|00)[ ]?[1-9](?:[ ./-]{0,2}\(?[ ]?[0-9][ ]?\)?)+"));
/// Or groups as they are usual: of North America, or with a zero before them.
static NATIONAL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"\([2-9][0-9]{2}\)[ .-]?[0-9]{3}[ .-][0-9]{4}|[2-9][0-9]{2}[.-][0-9]{3}[.-][0-9]{4}|\(?0[1-9][0-9]{0,4}\)?(?:[ ./-]{1,3}[0-9]{2,})+",
    )
});
/// Or a word that says so.
static CALLED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?:\b(?:tele(?:ph|f)on\w*|phone|tel|call|mobile?|mobil|cell|fax|handy|whatsapp|sms|text me)\b[^\w\n+]{1,4}(?:(?:at|on|no|nr|number|me)\b[^\w\n]{1,3}){0,2})([0-9](?:[ ./-]?[0-9])+)",
    )
});
static DATE: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^(?:[0-9]{1,2}([./-])[0-9]{1,2}[./-](?:[0-9]{4}|[0-9]{2})|[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[^0-9]|$)")
});

pub(super) fn phones(text: &str) -> Vec<Range<usize>> {
    let is_apart = |span: &Range<usize>| {
        let before = text[..span.start].chars().next_back();
        !before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '/' | '+'))
            && !is_before_word(text, span.end)
    };
    let counted = |span: &Range<usize>| text[span.clone()].bytes().filter(u8::is_ascii_digit).count();
    let trimmed = |span: Range<usize>| {
        span.start..span.start + text[span.clone()].trim_end_matches([' ', '.', '/', '-', '(']).len()
    };
    let abroad = ABROAD.find_iter(text).map(|found| trimmed(found.range())).filter(|span| {
        let digits = text[span.clone()].bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
        let (code, count) = match digits.strip_prefix(b"00") {
            Some(rest) if !text[span.clone()].starts_with('+') => (rest[0], rest.len()),
            _ => (digits[0], digits.len()),
        };
        // North America and Russia have numbers of one length.
        if matches!(code, b'1' | b'7') { count == 11 } else { (8..=15).contains(&count) }
    });
    // An order's number may begin with zeros, too: without a blank, no country begins like that.
    let abroad = abroad.filter(|span| text[span.start..].starts_with('+') || text[span.clone()].contains(' '));
    let national = NATIONAL.find_iter(text).map(|found| trimmed(found.range()));
    let national = national.filter(|span| (8..=13).contains(&counted(span)) && !DATE.is_match(&text[span.clone()]));
    let called = CALLED.captures_iter(text).filter_map(|found| found.get(1)).map(|found| trimmed(found.range()));
    let called = called.filter(|span| (6..=15).contains(&counted(span)) && !DATE.is_match(&text[span.clone()]));
    let mut spans: Vec<_> = abroad.chain(national).chain(called).filter(is_apart).collect();
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    spans
}
