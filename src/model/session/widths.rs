//! How wide batches are: as wide as the longest row, or rounded up to one of a few widths.

/// The widths that a model is run with: all, or (by the most tokens of a row) few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths(Option<usize>);

/// The finest step, which a GPU's matrix units want anyway.
const STEP: usize = 8;

impl Widths {
    /// Each batch is as wide as its longest row.
    #[must_use]
    pub fn exact() -> Self {
        Self(None)
    }

    /// Batches are rounded up, to `most` tokens at most: by 8 up to 64 tokens, then four steps from a power of two to
    /// the next (80, 96, 112, 128, 160 …). A GPU that has seen them all neither tunes nor takes memory for another later.
    #[must_use]
    pub fn few(most: usize) -> Self {
        Self(Some(most))
    }

    /// True when only a few widths are used.
    #[must_use]
    pub fn are_few(self) -> bool {
        self.0.is_some()
    }

    /// The width of a batch whose longest row has so many tokens, special ones included.
    #[must_use]
    pub fn of(self, longest: usize) -> usize {
        let Some(most) = self.0 else { return longest };
        let step = (longest.next_power_of_two() / 8).max(STEP);
        // No row is longer than the most; but were one, the model should say so itself.
        longest.max(1).next_multiple_of(step).min(most).max(longest)
    }

    /// The largest batch of each of a few widths under a budget of tokens, as (rows, width), the widest first: later ones
    /// find memory that is large enough.
    pub fn largest(self, budget: usize) -> impl Iterator<Item = (usize, usize)> {
        let next = move |&width: &usize| (width > STEP).then(|| self.narrower(width));
        std::iter::successors(self.0, next).map(move |width| ((budget / width).max(1), width))
    }

    /// The next width below one that is above the finest step.
    fn narrower(self, width: usize) -> usize {
        let below = (1..width).rev().map(|tokens| self.of(tokens)).find(|narrower| *narrower < width);
        below.unwrap_or(STEP)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn widths_are_as_the_table_says() {
        let widths: Vec<_> = Widths::few(512).largest(8192).map(|(_, width)| width).collect();
        let expected = [512, 448, 384, 320, 256, 224, 192, 160, 128, 112, 96, 80, 64, 56, 48, 40, 32, 24, 16, 8];
        assert_eq!(widths, expected);
        assert_eq!(Widths::few(100).of(97), 100, "never more than the model takes");
        assert_eq!(Widths::exact().of(97), 97);
        assert_eq!(Widths::exact().largest(8192).count(), 0);
    }

    proptest! {
        #[test]
        fn every_length_has_a_width_that_was_warmed_up_and_pads_less_than_a_quarter(
            (most, longest) in (8usize..3000).prop_flat_map(|most| (Just(most), 1..=most)),
            budget in 1usize..20_000,
        ) {
            let widths = Widths::few(most);
            let width = widths.of(longest);
            prop_assert!(width >= longest && width <= most);
            prop_assert!(longest <= 32 || width * 4 < longest * 5);
            let warm: Vec<_> = widths.largest(budget).collect();
            prop_assert!(warm.iter().any(|(_, warm)| *warm == width), "{width} is not among {warm:?}");
            prop_assert!(warm.iter().all(|(rows, width)| *rows == 1 || rows * width <= budget));
            prop_assert!(warm.is_sorted_by(|one, next| one.1 > next.1));
        }
    }
}
