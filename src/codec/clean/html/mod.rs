//! The text that people see of HTML, without its markup, and without what is hidden.

mod page;
mod references;
mod style;

use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use self::page::Page;
use super::traced::Traced;

/// The visible text; `None` where there is neither a tag nor a reference to a character.
pub(super) fn clean(html: &str) -> Option<Traced> {
    if !html.contains(['<', '&']) {
        return None;
    }
    let mut page = Page::new(html);
    let mut tag = Tag::default();
    let see = |event: CallbackEvent<'_>, span: Span<usize>| {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                tag = Tag { name: lossy(name), start: span.start, ..Tag::default() }
            }
            CallbackEvent::AttributeName { name } => {
                tag.is_hidden |= name.eq_ignore_ascii_case(b"hidden");
                tag.attribute = lossy(name);
            }
            CallbackEvent::AttributeValue { value } => {
                tag.is_hidden |= tag.attribute.eq_ignore_ascii_case("style") && style::hides(&lossy(value));
            }
            CallbackEvent::CloseStartTag { .. } => page.open(&tag.name, tag.is_hidden, tag.start..span.end),
            CallbackEvent::EndTag { name } => page.close(&lossy(name), span.start..span.end),
            CallbackEvent::String { value } => page.read(&lossy(value), span.start..span.end),
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
        }
        None::<Infallible>
    };
    let mut emitter = CallbackEmitter::new(see);
    // What is in scripts and styles is no markup.
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(html, emitter).for_each(drop);
    Some(page.text())
}

/// A tag that has begun.
#[derive(Default)]
struct Tag {
    name: String,
    start: usize,
    /// The attribute that was read last.
    attribute: String,
    is_hidden: bool,
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
