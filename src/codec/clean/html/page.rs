//! The elements that are open, and the text that is seen so far.

use std::collections::HashMap;
use std::ops::Range;

use html5gum::State;

use super::super::traced::Traced;
use super::references::aligned;
use super::style::Style;

/// So many elements may be in each other, as in browsers; what is deeper counts as what is around it.
const DEEPEST: usize = 512;

/// What has no end tag.
const VOID: [&str; 14] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// What is never seen.
const UNSEEN: [&str; 13] = [
    "head", "script", "style", "template", "title", "iframe", "object", "audio", "video", "canvas", "datalist",
    "noembed", "noframes",
];

/// What may be in a head.
const OF_HEADS: [&str; 9] = ["base", "basefont", "link", "meta", "noscript", "script", "style", "template", "title"];

/// What stands on lines of its own.
const BLOCKS: [&str; 38] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];

/// Those of them that a paragraph goes on around.
const WITHIN_PARAGRAPHS: [&str; 8] = ["body", "caption", "dd", "dt", "html", "legend", "li", "tr"];

#[derive(Debug)]
struct Element {
    name: String,
    look: Look,
}

/// Whether what is in an element is seen.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    /// It is not there at all, nor can what is in it be.
    is_gone: bool,
    /// It has its place, but is not drawn; what is in it may be.
    is_unseen: bool,
    /// Its letters have no size; those of what is in it may have one.
    is_tiny: bool,
}

impl Look {
    fn is_hidden(self) -> bool {
        self.is_gone || self.is_unseen || self.is_tiny
    }
}

/// A page as far as it was read.
#[derive(Debug)]
pub(super) struct Page<'a> {
    html: &'a str,
    open: Vec<Element>,
    /// How many elements of a name have begun in the last one, too deep to be among them.
    deeper: HashMap<String, usize>,
    text: Traced,
    /// A blank or an end of a line that is to come before the next letter, and its bytes.
    pending: Option<(char, Range<usize>)>,
    /// The last bytes whose code points were counted, and which those are.
    counted: (Range<usize>, Range<u32>),
}

impl<'a> Page<'a> {
    pub fn new(html: &'a str) -> Self {
        Self {
            html,
            open: Vec::new(),
            deeper: HashMap::new(),
            text: Traced::default(),
            pending: None,
            counted: (0..0, 0..0),
        }
    }

    /// All that is seen.
    pub fn text(self) -> Traced {
        self.text
    }

    /// An element begins.
    pub fn open(&mut self, name: &str, style: Style, has_hidden: bool, tag: Range<usize>) {
        if self.open.last().is_some_and(|last| last.name == "head") && !OF_HEADS.contains(&name) {
            self.end_from(self.open.len() - 1);
        }
        self.imply_ends(name);
        let around = self.look();
        let look = Look {
            is_gone: style.gone.unwrap_or(has_hidden) || around.is_gone || UNSEEN.contains(&name),
            is_unseen: style.unseen.unwrap_or(around.is_unseen),
            is_tiny: style.tiny.unwrap_or(around.is_tiny),
        };
        if !look.is_gone {
            self.part(name, tag);
        }
        if VOID.contains(&name) {
            return;
        }
        if self.open.len() < DEEPEST || (look.is_hidden() && !around.is_hidden()) {
            self.open.push(Element { name: name.into(), look });
            self.deeper.clear();
        } else {
            *self.deeper.entry(name.into()).or_default() += 1;
        }
    }

    /// An element ends, and all that is open within it.
    pub fn close(&mut self, name: &str, tag: Range<usize>) {
        let look = match self.deeper.get_mut(name) {
            Some(count) if *count > 0 => {
                *count -= 1;
                self.look()
            }
            _ => {
                let Some(at) = self.open.iter().rposition(|element| element.name == name) else { return };
                let look = self.open[at].look;
                self.end_from(at);
                look
            }
        };
        if !look.is_gone {
            self.part(name, tag);
        }
    }

    /// Ends the element at this depth, and all within it.
    fn end_from(&mut self, depth: usize) {
        self.open.truncate(depth);
        self.deeper.clear();
    }

    /// Text, of this part of the markup, which was read in this state.
    pub fn read(&mut self, text: &str, state: State, place: Range<usize>) {
        if self.open.last().is_some_and(|last| last.name == "head") && !text.trim().is_empty() {
            self.end_from(self.open.len() - 1);
        }
        if self.look().is_hidden() {
            return;
        }
        let Some(markup) = self.html.get(place.clone()) else { return };
        let keeps = |element: &Element| matches!(&*element.name, "pre" | "textarea" | "listing" | "xmp" | "plaintext");
        let is_kept = self.open.iter().any(keeps);
        for (letter, within) in aligned(markup, text, state) {
            let place = place.start + within.start..place.start + within.end;
            match letter {
                '\n' if is_kept => self.pending = Some(('\n', place)),
                letter if !is_kept && letter.is_ascii_whitespace() => {
                    self.pending.get_or_insert((' ', place));
                }
                letter => self.show(letter, place),
            }
        }
    }

    /// What parts texts where an element begins or ends.
    fn part(&mut self, name: &str, tag: Range<usize>) {
        if name == "br" || BLOCKS.contains(&name) {
            self.pending = Some(('\n', tag));
        } else if matches!(name, "td" | "th" | "option") {
            self.pending.get_or_insert((' ', tag));
        }
    }

    fn show(&mut self, letter: char, place: Range<usize>) {
        if let Some((between, place)) = self.pending.take()
            && !self.text.text.is_empty()
        {
            let place = self.code_points(place);
            self.text.push(between, place);
        }
        let place = self.code_points(place);
        self.text.push(letter, place);
    }

    /// Which code points of the page its bytes are. They are asked for in their order, so that each is counted once.
    fn code_points(&mut self, bytes: Range<usize>) -> Range<u32> {
        // One character of the markup may be several of the text.
        if self.counted.0 != bytes {
            let count = |part: &str| part.chars().count() as u32;
            debug_assert!(self.counted.0.end <= bytes.start, "{bytes:?} is asked for behind {:?}", self.counted.0);
            let start = self.counted.1.end + count(&self.html[self.counted.0.end..bytes.start]);
            let end = start + count(&self.html[bytes.clone()]);
            self.counted = (bytes, start..end);
        }
        self.counted.1.clone()
    }

    /// How what comes next looks.
    fn look(&self) -> Look {
        self.open.last().map_or_else(Look::default, |element| element.look)
    }

    /// Closes what ends by itself where another element begins.
    fn imply_ends(&mut self, name: &str) {
        let (ends, within): (&[&str], &[&str]) = match name {
            "li" => (&["li"], &["ul", "ol", "menu"]),
            "dd" | "dt" => (&["dd", "dt"], &["dl"]),
            "tr" => (&["tr"], &["table"]),
            "td" | "th" => (&["td", "th"], &["tr", "table"]),
            "tbody" | "thead" | "tfoot" => (&["tbody", "thead", "tfoot"], &["table"]),
            "option" | "optgroup" => (&["option"], &["select"]),
            name if BLOCKS.contains(&name) && !WITHIN_PARAGRAPHS.contains(&name) => {
                (&["p"], &["button", "caption", "table", "td", "th", "object"])
            }
            _ => return,
        };
        let inner = self.open.iter().rposition(|element| within.contains(&&*element.name)).map_or(0, |at| at + 1);
        if let Some(at) = self.open[inner..].iter().position(|element| ends.contains(&&*element.name)) {
            self.end_from(inner + at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_cannot_be_told_apart_count_their_markup_once() {
        let html = "é".to_owned() + &"x".repeat(1000) + "<br>y";
        let mut page = Page::new(&html);
        // That the bytes are counted in their order, and so once, is asserted there.
        page.read(&"a b".repeat(1000), State::Data, 2..1002);
        page.read("y", State::Data, 1006..1007);
        let text = page.text();
        assert_eq!(
            (&text.places[0], &text.places[1999], text.places.last()),
            (&(1..1001), &(1..1001), Some(&(1005..1006)))
        );
    }
}
