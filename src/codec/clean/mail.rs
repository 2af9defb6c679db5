//! The subject and the text of a mail (MIME), whatever they are encoded in.

use std::borrow::Cow;
use std::sync::LazyLock;

use encoding_rs::WINDOWS_1252;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{ContentType, Encoding, HeaderName, Message, MessageParser, MessagePart, MimeHeaders as _, PartType};

use super::html;
use crate::record::rejection::{Rejection, Stage};

static PARSER: LazyLock<MessageParser> = LazyLock::new(MessageParser::default);

/// What mails have, and other texts have not.
const TELLING: [HeaderName; 8] = [
    HeaderName::From,
    HeaderName::To,
    HeaderName::Subject,
    HeaderName::Date,
    HeaderName::Received,
    HeaderName::MessageId,
    HeaderName::MimeVersion,
    HeaderName::ContentType,
];

/// How deep the mails within a mail are read.
const FORWARDED: usize = 8;

/// How often a mail may name the media types of mails.
const NESTED: usize = 200;

/// The subject, and the parts that are shown as its text; of HTML, what is seen of it.
///
/// # Errors
/// When it is no mail, or its text can't be decoded.
pub(super) fn read(mail: &str) -> Result<String, Rejection> {
    // As mailboxes have it before each of their mails.
    let mail = match mail.strip_prefix("From ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, mail)| mail),
        None => mail,
    };
    // The parser nests mails as deep as they come, and its results are dropped one within the other, on the stack.
    let lower = mail.to_ascii_lowercase();
    let within = ["rfc822", "message/global", "digest"].iter().map(|kind| lower.matches(kind).count()).sum::<usize>();
    if within > NESTED {
        return Err(broken("there are too many mails within it"));
    }
    let whole;
    let mut message = PARSER.parse(mail.as_bytes());
    if let Some(closed) = message.as_ref().and_then(|message| closed(message, mail)) {
        whole = closed;
        message = PARSER.parse(whole.as_bytes());
    }
    let message = message.filter(|message| TELLING.iter().any(|name| message.header(name.clone()).is_some()));
    let message = message.ok_or_else(|| {
        reject("NotAMail", "is no mail: it does not begin with headers such as `From:` or `Subject:`")
    })?;
    let texts = texts(&message, FORWARDED)?;
    let is_other = matches!(&*message.parts, [part] if is_other(part));
    if is_other && texts.len() <= usize::from(message.subject().is_some()) {
        return Err(reject("MailNotText", "is a mail that has no text: all it has is of another media type"));
    }
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// The subject, what mail programs show, and the same of the mails that are forwarded within, to a depth.
fn texts(message: &Message, depth: usize) -> Result<Vec<String>, Rejection> {
    if message.parts.iter().any(is_broken) {
        return Err(broken("its Base64 or quoted-printable is broken"));
    }
    let raw = std::str::from_utf8(&message.raw_message).unwrap_or_default();
    // Of several forms the HTML is what is shown: the other may say something else, or nothing.
    let mut shown = bodies(message.html_bodies(), raw)?;
    if shown.is_empty() {
        shown = bodies(message.text_bodies(), raw)?;
    }
    if shown.is_empty() {
        let is_alone = message.parts.len() == 1;
        shown = bodies(message.parts.iter().filter(|part| is_alone || !is_attached(part)), raw)?;
    }
    let mut all: Vec<_> = message.subject().map(tidy).into_iter().chain(shown).collect();
    let forwarded = message.parts.iter().filter_map(MessagePart::message).filter(|_| depth > 0);
    for message in forwarded {
        all.extend(texts(message, depth - 1)?);
    }
    Ok(all)
}

fn bodies<'a>(parts: impl Iterator<Item = &'a MessagePart<'a>>, raw: &'a str) -> Result<Vec<String>, Rejection> {
    let texts = parts.filter_map(|part| body(part, raw).transpose()).map(|text| text.map(|text| tidy(&text)));
    texts.filter(|text| !text.as_ref().is_ok_and(String::is_empty)).collect()
}

fn tidy(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

fn is_attached(part: &MessagePart) -> bool {
    part.content_disposition().is_some_and(ContentType::is_attachment)
}

fn is_other(part: &MessagePart) -> bool {
    matches!(&part.body, PartType::Binary(bytes) | PartType::InlineBinary(bytes) if !bytes.trim_ascii().is_empty())
}

/// The mail with the closing lines that it lacks, without which the parser leaves its last part out.
fn closed(message: &Message, mail: &str) -> Option<String> {
    let kinds = message.parts.iter().filter_map(MessagePart::content_type);
    let boundaries = kinds.filter(|kind| kind.ctype().eq_ignore_ascii_case("multipart"));
    let open = boundaries.filter_map(|kind| kind.attribute("boundary")).map(|boundary| format!("--{boundary}"));
    let ends = open.filter(|open| mail.contains(open.as_str())).map(|open| format!("{open}--"));
    let missing = ends.filter(|end| !mail.contains(end.as_str())).collect::<Vec<_>>();
    // The innermost is closed first.
    let lines = missing.iter().rev().flat_map(|end| ["\r\n", end]);
    (!missing.is_empty()).then(|| [mail].into_iter().chain(lines).chain(["\r\n"]).collect())
}

/// Whether a text can't be decoded. What is attached is not read, so it may be whatever it is.
fn is_broken(part: &MessagePart) -> bool {
    let is_text = part.content_type().is_none_or(|kind| kind.ctype().eq_ignore_ascii_case("text"));
    let is_encoded = part.content_transfer_encoding().is_some_and(|encoding| {
        ["base64", "quoted-printable"].iter().any(|known| encoding.trim().eq_ignore_ascii_case(known))
    });
    let is_empty = matches!(&part.body, PartType::Text(text) if text.trim().is_empty());
    part.is_encoding_problem && is_encoded && is_text && !is_attached(part) && !is_empty
}

fn body<'a>(part: &'a MessagePart, mail: &'a str) -> Result<Option<Cow<'a, str>>, Rejection> {
    let kind = part.content_type();
    let is_xhtml = kind.is_some_and(|kind| kind.subtype() == Some("xhtml+xml"));
    // One without a boundary is the text that it has.
    let is_multipart = kind.is_some_and(|kind| kind.ctype() == "multipart");
    let text = match &part.body {
        PartType::Text(text) | PartType::Html(text) => decoded(part, text, mail)?,
        PartType::Binary(bytes) if is_xhtml || is_multipart => String::from_utf8_lossy(bytes),
        _ => return Ok(None),
    };
    let has_markup = is_xhtml || matches!(part.body, PartType::Html(_));
    Ok(Some(if has_markup { html::clean(&text).map_or(text.clone(), |seen| seen.text.into()) } else { text }))
}

/// A part's text, of which the parser has made what it could.
fn decoded<'a>(part: &MessagePart, text: &'a str, mail: &'a str) -> Result<Cow<'a, str>, Rejection> {
    let charset = part.content_type().and_then(|kind| kind.attribute("charset"));
    let raw = mail.get(part.offset_body as usize..part.offset_end as usize).unwrap_or(text);
    // What is not encoded is text already, whatever charset it once had, but for those that write all in ASCII.
    let is_text = !raw.is_ascii() || !charset.is_some_and(is_seven_bit);
    if part.encoding == Encoding::None && is_text {
        return Ok(Cow::Borrowed(raw));
    }
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = match part.encoding {
        Encoding::Base64 => base64_decode(raw.as_bytes()),
        Encoding::QuotedPrintable => quoted_printable_decode(raw.as_bytes()),
        Encoding::None => None,
    };
    let is_utf_8 = charset.is_some_and(|charset| charset.eq_ignore_ascii_case("utf-8"));
    let is_known = is_utf_8 || charset.is_some_and(|charset| charset_decoder(charset.as_bytes()).is_some());
    match bytes {
        // The character itself is written there.
        Some(bytes) if (is_utf_8 || !is_known) && std::str::from_utf8(&bytes).is_ok() => Ok(Cow::Borrowed(text)),
        // As browsers take what says nothing of its charset, or nothing that is known.
        Some(bytes) if !is_known => Ok(Cow::Owned(WINDOWS_1252.decode_without_bom_handling(&bytes).0.into_owned())),
        _ => Err(broken(&format!("it is not in the charset that it says, `{}`", charset.unwrap_or_default()))),
    }
}

fn is_seven_bit(charset: &str) -> bool {
    let charset = charset.to_ascii_lowercase();
    ["iso-2022-", "csiso2022", "utf-7", "hz-gb-2312"].iter().any(|known| charset.starts_with(known))
}

fn broken(why: &str) -> Rejection {
    reject("MailBroken", &format!("is a mail whose text can't be decoded: {why}"))
}

fn reject(class: &'static str, what: &str) -> Rejection {
    Rejection::new(Stage::Decode, class, format!("the value of a field of `input.text` {what} (`input.clean: mail`)"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(mail: &str) -> String {
        read(&mail.replace('\n', "\r\n")).unwrap()
    }

    #[test]
    fn the_subject_and_the_text_are_read_whatever_they_are_encoded_in() {
        let quoted = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= and =?iso-8859-1?B?Wm/r?=\n\
                      Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
                      Lunch with Zo=EB at th=\ne caf=E9?\n";
        assert_eq!(text(quoted), "Grüße and Zoë\nLunch with Zoë at the café?");
        let base64 = "From: a@example.org\nContent-Type: text/plain; charset=\"shift_jis\"\nContent-Transfer-Encoding: base64\n\n\
                      k4yLnoLF\n";
        assert_eq!(text(base64), "東京で");
        let as_it_is =
            "Subject: Hi\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nZoë 🎉\n";
        assert_eq!(text(as_it_is), "Hi\nZoë 🎉");
        assert_eq!(text("From mailer Mon Nov 30\nSubject: Hi\n\n Zoë \n"), "Hi\nZoë");
        assert_eq!(text("Subject: only\n one\n\n"), "only one");
    }

    #[test]
    fn of_several_parts_the_text_is_read_and_of_several_forms_what_is_shown() {
        let parts = |more: &str| {
            format!(
                "Subject: S\nContent-Type: multipart/mixed; boundary=x\n\n--x\n{more}\n--x\nContent-Type: application/pdf\n\
                 Content-Transfer-Encoding: base64\n\nJVBERg==\n--x--\n"
            )
        };
        let html = "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
                    <p>Click <b>he=\nre</b><br>now &amp; win<i style=3D\"display:none\">x</i></p>";
        assert_eq!(text(&parts(html)), "S\nClick here\nnow & win");
        let both = format!(
            "Content-Type: multipart/alternative; boundary=y\n\n--y\nContent-Type: text/plain\n\na <b> c\n--y\n{html}\n--y--\n"
        );
        assert_eq!(text(&parts(&both)), "S\nClick here\nnow & win", "the other form may say anything");
        let blank = both.replace(html, "Content-Type: text/html\n\n<p><img src=x></p>");
        assert_eq!(text(&parts(&blank)), "S\na <b> c");
    }

    #[test]
    fn what_is_no_mail_or_is_broken_is_refused() {
        for (mail, class) in [
            ("Hello: Zoë, how are you?", "NotAMail"),
            ("just a text", "NotAMail"),
            ("", "NotAMail"),
            (
                "Subject: S\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n%%%% no base64 %%%%\n",
                "MailBroken",
            ),
        ] {
            assert_eq!(read(mail).unwrap_err().class, class, "{mail}");
        }
    }

    #[test]
    fn a_text_in_a_charset_of_seven_bits_is_decoded_though_it_is_not_encoded() {
        let japanese = "Subject: S\nContent-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit\n\n\
                        \u{1b}$B%F%9%H\u{1b}(B ok\n";
        assert_eq!(text(japanese), "S\nテスト ok");
        let read_already = "Subject: S\nContent-Type: text/plain; charset=ISO-2022-JP\n\nテスト\n";
        assert_eq!(text(read_already), "S\nテスト");
        let unknown = "Subject: S\nContent-Type: text/plain; charset=iso-2022-kr\n\n\u{1b}$)C\u{e}0!\u{f}\n";
        assert_eq!(read(unknown).unwrap_err().class, "MailBroken");
    }

    #[test]
    fn bytes_without_a_known_charset_are_those_of_western_europe_and_a_false_charset_is_refused() {
        let quoted = |kind: &str, text: &str| {
            format!("Subject: S\nContent-Type: {kind}\nContent-Transfer-Encoding: quoted-printable\n\n{text}\n")
        };
        assert_eq!(text(&quoted("text/plain", "Zo=EB =80 5")), "S\nZoë € 5");
        assert_eq!(text(&quoted("text/plain; charset=x-nope", "Zo=EB")), "S\nZoë");
        assert_eq!(text(&quoted("text/plain; charset=x-nope", "Zo=C3=AB")), "S\nZoë");
        assert_eq!(text(&quoted("text/plain; charset=UTF-8", "Zo=EF=BF=BD")), "S\nZo\u{fffd}", "as it was written");
        let refused = read(&quoted("text/plain; charset=utf-8", "Zo=EB")).unwrap_err();
        assert_eq!(refused.class, "MailBroken");
        assert!(refused.message.contains("`utf-8`"), "{}", refused.message);
    }

    #[test]
    fn no_text_is_left_out_in_silence() {
        let of = |kind: &str, body: &str| format!("Subject: S\nContent-Type: {kind}\n\n{body}\n");
        assert_eq!(text(&of("text/enriched", "<bold>Hi</bold>")), "S\n<bold>Hi</bold>");
        assert_eq!(text(&of("text/calendar", "SUMMARY:Lunch")), "S\nSUMMARY:Lunch");
        assert_eq!(text(&of("application/xhtml+xml", "<html><body><p>Hi</p></body></html>")), "S\nHi");
        assert_eq!(text(&of("text/plain\nContent-Disposition: attachment", "Hi")), "S\nHi");
        assert_eq!(text(&of("multipart/mixed; boundary=wrong", "Hi")), "S\nHi");
        assert_eq!(text(&of("multipart/mixed", "Hi")), "S\nHi");
        let forwarded = "--x\nContent-Type: text/plain\n\nsee below\n--x\nContent-Type: message/rfc822\n\n\
                         Subject: Inner\nContent-Type: text/plain\n\nHello Zoë\n\n--x--";
        assert_eq!(text(&of("multipart/mixed; boundary=x", forwarded)), "S\nsee below\nInner\nHello Zoë");
        assert_eq!(read(&of("application/pdf", "%PDF")).unwrap_err().class, "MailNotText");
    }

    #[test]
    fn mails_within_mails_end_nothing() {
        let nested = |depth: usize| "Content-Type: message/rfc822\n\n".repeat(depth) + "Subject: last\n\nHi\n";
        assert_eq!(text(&format!("Subject: S\n{}", nested(3))), "S\nlast\nHi");
        assert_eq!(text(&format!("Subject: S\n{}", nested(100))), "S");
        assert_eq!(read(&nested(100_000)).unwrap_err().class, "MailBroken");
    }

    #[test]
    fn a_mail_that_ends_early_or_has_a_broken_attachment_is_read() {
        let head = "Subject: S\nContent-Type: multipart/mixed; boundary=x\n\n--x\n";
        assert_eq!(text(&format!("{head}Content-Type: text/plain\n\nHello Zoë\n")), "S\nHello Zoë");
        let second = "Content-Type: text/plain\n\nfirst\n--x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\nWm/Dqw==\n";
        assert_eq!(text(&format!("{head}{second}")), "S\nfirst\nZoë");
        let within = "Content-Type: multipart/alternative; boundary=y\n\n--y\nContent-Type: text/plain\n\ninner\n";
        assert_eq!(text(&format!("{head}{within}")), "S\ninner");
        let attached = "Content-Type: text/plain\n\nfirst\n--x\nContent-Type: text/csv\nContent-Disposition: attachment; filename=a.csv\n\
                        Content-Transfer-Encoding: base64\n\n%%%% no base64 %%%%\n--x--\n";
        assert_eq!(text(&format!("{head}{attached}")), "S\nfirst");
    }

    proptest! {
        #[test]
        fn nothing_panics(mail in "(Subject: x\r\n|Content-Type: multipart/mixed; boundary=x\r\n)?(\r\n--x|[ -~é\r\n=]){0,60}") {
            drop(read(&mail));
        }
    }
}
