//! The elements that are open, and the text that is seen so far.

use std::ops::Range;

use super::super::traced::Traced;
use super::references::aligned;

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
    is_hidden: bool,
}

/// A page as far as it was read.
#[derive(Debug)]
pub(super) struct Page<'a> {
    html: &'a str,
    open: Vec<Element>,
    text: Traced,
    /// A blank or an end of a line that is to come before the next letter, and its bytes.
    pending: Option<(char, Range<usize>)>,
    /// The last byte whose code points were counted, and how many they were.
    counted: (usize, u32),
}

impl<'a> Page<'a> {
    pub fn new(html: &'a str) -> Self {
        Self { html, open: Vec::new(), text: Traced::default(), pending: None, counted: (0, 0) }
    }

    /// All that is seen.
    pub fn text(self) -> Traced {
        self.text
    }

    /// An element begins.
    pub fn open(&mut self, name: &str, is_hidden: bool, tag: Range<usize>) {
        if self.open.last().is_some_and(|last| last.name == "head") && !OF_HEADS.contains(&name) {
            self.open.pop();
        }
        self.imply_ends(name);
        let is_hidden = is_hidden || self.is_hidden() || UNSEEN.contains(&name);
        if !is_hidden {
            self.part(name, tag);
        }
        if !VOID.contains(&name) && self.open.len() < DEEPEST {
            self.open.push(Element { name: name.into(), is_hidden });
        }
    }

    /// An element ends, and all that is open within it.
    pub fn close(&mut self, name: &str, tag: Range<usize>) {
        if let Some(at) = self.open.iter().rposition(|element| element.name == name) {
            let is_hidden = self.open[at].is_hidden;
            self.open.truncate(at);
            if !is_hidden {
                self.part(name, tag);
            }
        }
    }

    /// Text, of this part of the markup.
    pub fn read(&mut self, text: &str, place: Range<usize>) {
        if self.open.last().is_some_and(|last| last.name == "head") && !text.trim().is_empty() {
            self.open.pop();
        }
        if self.is_hidden() {
            return;
        }
        let Some(markup) = self.html.get(place.clone()) else { return };
        let is_kept = self.open.iter().any(|element| matches!(&*element.name, "pre" | "textarea" | "listing" | "xmp"));
        for (letter, within) in aligned(markup, text) {
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

    fn code_points(&mut self, bytes: Range<usize>) -> Range<u32> {
        let mut count = |to: usize| {
            let (from, counted) = self.counted;
            // One character of the markup may be several of the text.
            let counted = match self.html.get(from..to) {
                Some(between) => counted + between.chars().count() as u32,
                None => counted - self.html[to..from].chars().count() as u32,
            };
            self.counted = (to, counted);
            counted
        };
        count(bytes.start)..count(bytes.end)
    }

    fn is_hidden(&self) -> bool {
        self.open.last().is_some_and(|element| element.is_hidden)
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
            self.open.truncate(inner + at);
        }
    }
}
