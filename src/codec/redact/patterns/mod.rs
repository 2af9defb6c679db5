//! What has a form by which it is known. A form alone is met by chance: so whatever has a checksum, a range or a grammar is held
//! against it.
//!
//! All of it is looked for in small letters ([`Plain`](super::plain::Plain)).

mod internet;
mod numbers;

use std::ops::Range;

use regex::Regex;

use crate::config::Pattern;

/// Finds a pattern in a text of small letters.
pub(super) fn find(pattern: Pattern, text: &str) -> Vec<Range<usize>> {
    match pattern {
        Pattern::Email => internet::emails(text),
        Pattern::Phone => numbers::phones(text),
        Pattern::Iban => numbers::ibans(text),
        Pattern::CreditCard => numbers::cards(text),
        Pattern::Ip => internet::addresses(text),
        Pattern::Url => internet::urls(text),
    }
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Whether a letter or a digit stands before a place.
fn is_behind_word(text: &str, at: usize) -> bool {
    text[..at].chars().next_back().is_some_and(char::is_alphanumeric)
}

/// Whether a letter or a digit stands at a place.
fn is_before_word(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: Pattern, text: &str) -> Vec<&str> {
        find(pattern, text).into_iter().map(|span| &text[span]).collect()
    }

    fn assert_found(pattern: Pattern, cases: &[(&str, &[&str])]) {
        for (text, expected) in cases {
            assert_eq!(found(pattern, text), *expected, "{text}");
        }
    }

    #[test]
    fn emails_are_found_with_all_that_belongs_to_them() {
        assert_found(
            Pattern::Email,
            &[
                ("to anna.meyer+news@mail.example.org.", &["anna.meyer+news@mail.example.org"]),
                ("<anna@example.org>, bob@example.com;", &["anna@example.org", "bob@example.com"]),
                ("o'brien@example.ie", &["o'brien@example.ie"]),
                ("\"anna meyer\"@example.org", &["\"anna meyer\"@example.org"]),
                ("zoë@müller.de or 用户@例子.公司", &["zoë@müller.de", "用户@例子.公司"]),
                ("/?mail=anna%40example.org&x=1", &["anna%40example.org"]),
                ("me@home, @anna, a@b, 3 @ 4.50", &[]),
            ],
        );
    }

    #[test]
    fn urls_end_where_the_sentence_goes_on() {
        assert_found(
            Pattern::Url,
            &[
                ("see https://example.org/a?b=c#d.", &["https://example.org/a?b=c#d"]),
                ("(see www.example.org/a_(b)), then", &["www.example.org/a_(b)"]),
                ("ftp://anna:secret@example.org/x", &["ftp://anna:secret@example.org/x"]),
                ("<a href=\"https://example.org\">", &["https://example.org"]),
                ("either://or is http:// www. and/or", &["either://or"]),
            ],
        );
    }

    #[test]
    fn addresses_are_those_that_can_be_addresses() {
        assert_found(
            Pattern::Ip,
            &[
                ("from 192.168.1.20:8080,", &["192.168.1.20"]),
                ("from 192.168.001.020.", &["192.168.001.020"]),
                ("to [2001:db8::8a2e:370:7334]:443", &["2001:db8::8a2e:370:7334"]),
                ("fe80::1%eth0 and ::1.", &["fe80::1", "::1"]),
                ("::ffff:10.0.0.1", &["::ffff:10.0.0.1", "10.0.0.1"]),
                ("300.1.1.1, 1.2.3, 1.2.3.4.5, v1.2.3.4", &[]),
                ("12:30:45, std::vec, a::b, ::, 10:20", &[]),
                ("00:1a:2b:3c:4d:5e", &[]),
            ],
        );
    }

    #[test]
    fn cards_have_a_known_beginning_and_luhns_digit() {
        assert_found(
            Pattern::CreditCard,
            &[
                ("4111 1111 1111 1111", &["4111 1111 1111 1111"]),
                ("order 12 4111-1111-1111-1111 thanks", &["4111-1111-1111-1111"]),
                ("4111  1111 - 1111  1111", &["4111  1111 - 1111  1111"]),
                ("378282246310005, 6011577631711174", &["378282246310005", "6011577631711174"]),
                ("2221000000000009", &["2221000000000009"]),
                ("4111 1111 1111 1112", &[]),
                ("1748503543012 1748503543020 0000000000000000", &[]),
                ("x4111111111111111", &[]),
                ("41111111111111110", &[]),
            ],
        );
    }

    #[test]
    fn ibans_end_where_their_country_says() {
        assert_found(
            Pattern::Iban,
            &[
                ("to de89 3704 0044 0532 0130 00 please", &["de89 3704 0044 0532 0130 00"]),
                (
                    "de89370400440532013000, gb82 west 1234 5698 7654 32.",
                    &["de89370400440532013000", "gb82 west 1234 5698 7654 32"],
                ),
                ("no93 8601 1117 947 12 noon", &["no93 8601 1117 947"]),
                ("de88 3704 0044 0532 0130 00", &[]),
                ("xx12 3456 7890 1234", &[]),
            ],
        );
    }

    #[test]
    fn phones_are_told_from_other_numbers() {
        assert_found(
            Pattern::Phone,
            &[
                ("call +49 (0) 30 123456-78!", &["+49 (0) 30 123456-78"]),
                ("+14155550132 or (415) 555-0132", &["+14155550132", "(415) 555-0132"]),
                ("0049 30 1234567, 415.555.0132", &["0049 30 1234567", "415.555.0132"]),
                ("030/1234567; 0171-1234567; 01 23 45 67 89", &["030/1234567", "0171-1234567", "01 23 45 67 89"]),
                ("tel: 12345678, mobile 5551234567", &["12345678", "5551234567"]),
                ("order 0012345678 of 2026-11-29, 29-11-2026, 01.02.2026 12:30", &[]),
                ("invoice 4711-2026-0815, 1748503543012, 2024 2025 2026", &[]),
                ("+100 points, 250 300 1000, utc+0100, 3.14159265358", &[]),
                ("01-02-2026, 05/06/2026 10:00", &[]),
            ],
        );
    }
}
