//! The subject and the text of a mail (MIME), whatever they are encoded in.

use std::borrow::Cow;
use std::sync::LazyLock;

use mail_parser::{Encoding, HeaderName, MessageParser, MessagePart, MimeHeaders as _, PartType};

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

/// The subject, and the parts that are read as its text; of what is HTML alone, what is seen of it.
///
/// # Errors
/// When it is no mail, or its text can't be decoded.
pub(super) fn read(mail: &str) -> Result<String, Rejection> {
    // As mailboxes have it before each of their mails.
    let mail = match mail.strip_prefix("From ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, mail)| mail),
        None => mail,
    };
    let message = PARSER
        .parse(mail.as_bytes())
        .filter(|message| TELLING.iter().any(|name| message.header(name.clone()).is_some()));
    let message = message.ok_or_else(|| {
        reject("NotAMail", "is no mail: it does not begin with headers such as `From:` or `Subject:`")
    })?;
    if message.parts.iter().any(is_broken) {
        return Err(reject(
            "MailBroken",
            "is a mail whose text can't be decoded: its Base64 or quoted-printable is broken",
        ));
    }
    let subject = message.subject().map(Cow::Borrowed);
    let bodies = message.text_bodies().filter_map(|part| body(part, mail));
    let all = subject.into_iter().chain(bodies).map(|text| text.replace("\r\n", "\n").trim().to_owned());
    Ok(all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"))
}

fn is_broken(part: &MessagePart) -> bool {
    let is_text = part.content_type().is_none_or(|kind| kind.ctype().eq_ignore_ascii_case("text"));
    let is_empty = matches!(&part.body, PartType::Text(text) if text.trim().is_empty());
    part.is_encoding_problem && is_text && !is_empty
}

fn body<'a>(part: &'a MessagePart, mail: &'a str) -> Option<Cow<'a, str>> {
    let (PartType::Text(text) | PartType::Html(text)) = &part.body else { return None };
    // What is not encoded is text already, whatever charset it once had.
    let as_it_is = || mail.get(part.offset_body as usize..part.offset_end as usize);
    let text =
        Some(part.encoding).filter(|encoding| *encoding == Encoding::None).and_then(|_| as_it_is()).unwrap_or(text);
    match &part.body {
        PartType::Html(_) => Some(html::clean(text).map_or(Cow::Borrowed(text), |seen| seen.text.into())),
        _ => Some(Cow::Borrowed(text)),
    }
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
    fn of_several_parts_the_text_is_read_and_of_html_alone_what_is_seen() {
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
        assert_eq!(text(&parts(&both)), "S\na <b> c");
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

    proptest! {
        #[test]
        fn nothing_panics(mail in "(Subject: x\r\n|Content-Type: multipart/mixed; boundary=x\r\n)?(\r\n--x|[ -~é\r\n=]){0,60}") {
            drop(read(&mail));
        }
    }
}
