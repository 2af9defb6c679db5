//! Mail addresses, links and IP addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{is_before_word, is_behind_word, regex};

/// As people write them, with letters of any script, and `@` also as links have it.
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    let name = r#"(?:"[^"\n]{1,64}"|[\p{L}\p{M}\p{N}_%+-][\p{L}\p{M}\p{N}_%+.'!#$*~^-]*)"#;
    let label = r"[\p{L}\p{M}\p{N}](?:[\p{L}\p{M}\p{N}-]*[\p{L}\p{M}\p{N}])?";
    regex(&format!(r"{name}(?:@|%40){label}(?:\.{label})+"))
});

pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    if !text.contains('@') && !text.contains("%40") {
        return Vec::new();
    }
    EMAIL.find_iter(text).map(|found| found.range()).collect()
}

static URL: LazyLock<Regex> = LazyLock::new(|| regex(r#"(?:[a-z][a-z0-9+.-]*://|\bwww\.)[^\s<>"]+"#));

pub(super) fn urls(text: &str) -> Vec<Range<usize>> {
    let found = URL.find_iter(text).map(|found| found.start()..found.start() + without_sentence(found.as_str()).len());
    found.filter(|span| !text[span.clone()].ends_with("://") && &text[span.clone()] != "www").collect()
}

/// Without the signs behind it, which are the sentence's. A bracket is the link's if it opens one.
fn without_sentence(link: &str) -> &str {
    let count = |brackets: [char; 3]| link.matches(brackets).count();
    let (opened, mut closed) = (count(['(', '[', '{']), count([')', ']', '}']));
    link.trim_end_matches(|sign| match sign {
        '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '|' => true,
        ')' | ']' | '}' => {
            let is_of_sentence = closed > opened;
            closed -= usize::from(is_of_sentence);
            is_of_sentence
        }
        _ => false,
    })
}

static IPV4: LazyLock<Regex> = LazyLock::new(|| regex(r"[0-9]+(?:\.[0-9]+)+"));
static IPV6: LazyLock<Regex> = LazyLock::new(|| regex(r"[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*"));

pub(super) fn addresses(text: &str) -> Vec<Range<usize>> {
    let apart = |span: &Range<usize>| !is_behind_word(text, span.start) && !is_before_word(text, span.end);
    let old =
        IPV4.find_iter(text).map(|found| found.range()).filter(|span| apart(span) && is_ipv4(&text[span.clone()]));
    let new = IPV6.find_iter(text).filter_map(|found| {
        // A full stop, or the colon before what is said of it.
        let candidate = found.as_str().trim_end_matches('.');
        let candidate = candidate.strip_suffix(':').filter(|rest| !rest.ends_with(':')).unwrap_or(candidate);
        let span = found.start()..found.start() + candidate.len();
        (apart(&span) && is_ipv6(candidate)).then_some(span)
    });
    let mut spans: Vec<_> = old.chain(new).collect();
    spans.sort_unstable_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    spans
}

fn is_ipv4(text: &str) -> bool {
    // Leading zeros are written, though `Ipv4Addr` does not take them.
    let parts = text.split('.').map(|part| match part.trim_start_matches('0') {
        "" => "0",
        plain => plain,
    });
    parts.collect::<Vec<_>>().join(".").parse::<Ipv4Addr>().is_ok()
}

/// Paths of some programming languages look like short ones.
fn is_ipv6(text: &str) -> bool {
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    text.parse::<Ipv6Addr>().is_ok() && (text.contains(|digit: char| digit.is_ascii_digit()) || groups > 2)
}
