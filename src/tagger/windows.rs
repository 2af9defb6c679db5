//! Long documents in windows: which tokens each window has, and which of them it answers for.

use std::ops::Range;

/// How a document of any length is cut for a model that takes only so many tokens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of a window, without special ones; at least 1.
    size: usize,
    /// Tokens that a window shares with the next, less than `size`.
    stride: usize,
    /// Only the first window counts.
    truncate: bool,
}

/// One window of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The tokens that the model is fed.
    pub tokens: Range<usize>,
    /// Those of them whose labels count: where two windows overlap, each answers for the half that lies further from
    /// its own edge. The parts of all windows are the whole document (G-48).
    pub own: Range<usize>,
}

impl Windows {
    /// Windows of `size` tokens that overlap by `stride`. `None` if they would never get on.
    #[must_use]
    pub fn new(size: usize, stride: usize) -> Option<Self> {
        (stride < size).then_some(Self { size, stride, truncate: false })
    }

    /// Only the first `size` tokens.
    #[must_use]
    pub fn truncate(size: usize) -> Self {
        Self { size, stride: 0, truncate: true }
    }

    /// How many tokens behind the one before a window begins; `None` if there is only one.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        (!self.truncate).then_some(self.size - self.stride)
    }

    /// How many tokens of a document of `tokens` the model sees.
    #[must_use]
    pub fn seen(&self, tokens: usize) -> usize {
        if self.truncate { tokens.min(self.size) } else { tokens }
    }

    /// How many windows such a document has: one at least.
    #[must_use]
    pub fn count(&self, tokens: usize) -> usize {
        if self.truncate { 1 } else { 1 + tokens.saturating_sub(self.size).div_ceil(self.size - self.stride) }
    }

    /// The windows, in order. The last one is moved back, so that it is as long as the others and weighs as much.
    pub fn of(&self, tokens: usize) -> impl Iterator<Item = Window> {
        let Self { size, stride, .. } = *self;
        let (seen, count) = (self.seen(tokens), self.count(tokens));
        let start = move |number: usize| (number * (size - stride)).min(seen.saturating_sub(size));
        // Between a window and the next: the middle of what they share.
        let border = move |number: usize| usize::midpoint(start(number), start(number - 1) + size);
        (0..count).map(move |number| Window {
            tokens: start(number)..(start(number) + size).min(seen),
            own: if number == 0 { 0 } else { border(number) }..if number + 1 == count {
                seen
            } else {
                border(number + 1)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_document_is_one_window() {
        let windows = Windows::new(10, 3).unwrap();
        assert_eq!(windows.of(10).collect::<Vec<_>>(), [Window { tokens: 0..10, own: 0..10 }]);
        assert_eq!(windows.of(0).collect::<Vec<_>>(), [Window { tokens: 0..0, own: 0..0 }]);
    }

    #[test]
    fn windows_meet_in_the_middle_of_what_they_share() {
        let windows: Vec<_> = Windows::new(10, 4).unwrap().of(20).collect();
        let expected = [
            Window { tokens: 0..10, own: 0..8 },
            Window { tokens: 6..16, own: 8..13 },
            Window { tokens: 10..20, own: 13..20 },
        ];
        assert_eq!(windows, expected);
    }

    #[test]
    fn truncated_is_the_first_window_alone() {
        let windows = Windows::truncate(10);
        assert_eq!(windows.of(1000).collect::<Vec<_>>(), [Window { tokens: 0..10, own: 0..10 }]);
        assert_eq!((windows.seen(1000), windows.seen(7)), (10, 7));
    }

    #[test]
    fn windows_that_never_get_on_are_none() {
        assert_eq!(Windows::new(4, 4), None);
    }

    proptest! {
        #[test]
        fn every_token_is_owned_once_by_the_window_with_the_most_context(
            (size, stride) in (1usize..40).prop_flat_map(|size| (Just(size), 0..size)),
            tokens in 0usize..400,
        ) {
            let windows: Vec<_> = Windows::new(size, stride).unwrap().of(tokens).collect();
            let mut next = 0;
            for window in &windows {
                prop_assert_eq!(window.own.start, next);
                prop_assert!(window.tokens.start <= window.own.start && window.own.end <= window.tokens.end);
                prop_assert!(window.tokens.len() == size || windows.len() == 1);
                next = window.own.end;
            }
            prop_assert_eq!(next, tokens);
            for token in 0..tokens {
                let context = |window: &Window| {
                    let inside = window.tokens.contains(&token);
                    // The document's own edges hide nothing.
                    let left = if window.tokens.start == 0 { usize::MAX } else { token.wrapping_sub(window.tokens.start) };
                    let right = if window.tokens.end == tokens { usize::MAX } else { window.tokens.end.wrapping_sub(token + 1) };
                    inside.then(|| left.min(right))
                };
                let owner = windows.iter().find(|window| window.own.contains(&token)).unwrap();
                let most = windows.iter().filter_map(context).max().unwrap();
                prop_assert!(most.abs_diff(context(owner).unwrap()) <= 1 || windows.len() > 2);
            }
        }
    }
}
