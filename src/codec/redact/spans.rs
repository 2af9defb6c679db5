//! What of a text is masked: the union of all that was found, so that no rest of one is left beside another.

use std::ops::Range;
use std::sync::Arc;

/// A part of a text that is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// In bytes of the text.
    pub range: Range<usize>,
    /// Which rule says with what. Of several that overlap, the first.
    pub rule: usize,
    /// What it is, such as PER or EMAIL.
    pub kind: Arc<str>,
}

/// Spans that overlap as one; in the order of the text.
pub(super) fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| !span.range.is_empty());
    spans.sort_by_key(|span| (span.range.start, span.rule));
    let mut all: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match all.last_mut() {
            Some(last) if span.range.start < last.range.end => {
                last.range.end = last.range.end.max(span.range.end);
                if span.rule < last.rule {
                    (last.rule, last.kind) = (span.rule, span.kind);
                }
            }
            _ => all.push(span),
        }
    }
    all
}

/// How code points move when spans of a text are replaced.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// From where to where each was, and how long it is now; in the order of the text.
    replaced: Vec<(u32, u32, u32)>,
}

impl Moved {
    /// What stood in these code points takes so many now. It comes behind all that were noted before.
    pub fn note(&mut self, was: Range<u32>, is: u32) {
        self.replaced.push((was.start, was.end, is));
    }

    /// Where a span stands now. What it shares with a part that was replaced, it has all of.
    pub fn span(&self, was: Range<u32>) -> Range<u32> {
        self.place(was.start, false)..self.place(was.end, true)
    }

    fn place(&self, at: u32, is_end: bool) -> u32 {
        let (mut was, mut is) = (0, 0);
        for &(start, end, length) in &self.replaced {
            if at <= start {
                break;
            }
            is += start - was;
            if at < end {
                return if is_end { is + length } else { is };
            }
            (was, is) = (end, is + length);
        }
        is + (at - was)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(range: Range<usize>, rule: usize) -> Span {
        Span { range, rule, kind: "X".into() }
    }

    #[test]
    fn no_rest_of_one_is_left_beside_another() {
        let spans = vec![span(5..9, 1), span(0..3, 2), span(2..6, 0), span(9..10, 3), span(4..4, 0)];
        assert_eq!(union(spans), [span(0..9, 0), span(9..10, 3)]);
    }

    proptest! {
        #[test]
        fn a_span_is_where_its_text_is(
            pieces in prop::collection::vec((0usize..6, 1usize..5, 1usize..5), 0..6),
            tail in 0usize..6,
            (from, to) in (0u32..40, 0u32..40),
        ) {
            // Each letter is a number of its own, but for those that replace others.
            let (mut before, mut after, mut moved) = (Vec::new(), Vec::new(), Moved::default());
            for (between, was, is) in pieces {
                for _ in 0..between {
                    after.push(Some(before.len()));
                    before.push(true);
                }
                moved.note(before.len() as u32..(before.len() + was) as u32, is as u32);
                before.extend(std::iter::repeat_n(false, was));
                after.extend(std::iter::repeat_n(None, is));
            }
            for _ in 0..tail {
                after.push(Some(before.len()));
                before.push(true);
            }
            let (from, to) = (from.min(to), from.max(to).min(before.len() as u32));
            prop_assume!(from < to);
            let now = moved.span(from..to);
            prop_assert!(now.start < now.end && now.end as usize <= after.len());
            let kept: Vec<_> = (from as usize..to as usize).filter(|at| before[*at]).collect();
            let found: Vec<_> = after[now.start as usize..now.end as usize].iter().flatten().copied().collect();
            prop_assert_eq!(kept, found);
        }
    }
}
