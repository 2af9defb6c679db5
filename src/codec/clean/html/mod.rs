//! The text that people see of HTML, without its markup, and without what is hidden.

mod page;
mod references;
mod style;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, State, Tokenizer, naive_next_state};

use self::page::Page;
use self::style::Style;
use super::traced::Traced;

/// The visible text; `None` where there is neither a tag nor a reference to a character.
pub(super) fn clean(html: &str) -> Option<Traced> {
    if !html.contains(['<', '&']) {
        return None;
    }
    let mut page = Page::new(html);
    let mut tag = Tag::default();
    // How what comes next is read, and where the last start tag ended.
    let (mut state, mut inner) = (State::Data, 0);
    let see = |event: CallbackEvent<'_>, span: Span<usize>| {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                tag = Tag { name: lossy(name), start: span.start, ..Tag::default() }
            }
            CallbackEvent::AttributeName { name } => tag.begin_attribute(name),
            CallbackEvent::AttributeValue { value } if tag.is_in_style => tag.style = Some(Style::of(&lossy(value))),
            CallbackEvent::CloseStartTag { .. } => {
                page.open(&tag.name, tag.style.unwrap_or_default(), tag.has_hidden, tag.start..span.end);
                (state, inner) = (state_within(&tag.name), span.end);
                return Some(state);
            }
            CallbackEvent::EndTag { name } => {
                page.close(&lossy(name), span.start..span.end);
                state = State::Data;
            }
            CallbackEvent::String { value } => {
                // The library marks where a text begins only in the state that it chose by itself.
                let start = if state == State::Data { span.start } else { inner };
                page.read(&lossy(value), state, start..span.end);
            }
            CallbackEvent::AttributeValue { .. }
            | CallbackEvent::Comment { .. }
            | CallbackEvent::Doctype { .. }
            | CallbackEvent::Error(_) => {}
        }
        None
    };
    let mut tokenizer = Tokenizer::new_with_emitter(html, CallbackEmitter::new(see));
    while let Some(Ok(state)) = tokenizer.next() {
        tokenizer.set_state(state);
    }
    drop(tokenizer);
    Some(page.text())
}

/// How what is in an element is read: what is in scripts and styles is no markup.
fn state_within(name: &str) -> State {
    match name {
        // Who has no scripts, as a reader of mails, sees its markup.
        "noscript" => State::Data,
        // The library leaves it out.
        "noframes" => State::RawText,
        name => naive_next_state(name.as_bytes()).unwrap_or(State::Data),
    }
}

/// A tag that has begun.
#[derive(Default)]
struct Tag {
    name: String,
    start: usize,
    has_hidden: bool,
    /// That of its first `style`, if that has a value; those behind it don't count.
    style: Option<Style>,
    has_style: bool,
    /// Whether the attribute that was read last is that `style`.
    is_in_style: bool,
}

impl Tag {
    fn begin_attribute(&mut self, name: &[u8]) {
        self.has_hidden |= name == b"hidden";
        self.is_in_style = name == b"style" && !self.has_style;
        self.has_style |= self.is_in_style;
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
