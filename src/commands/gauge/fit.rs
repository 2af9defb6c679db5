//! A model's time for a batch as a formula, found by a few runs.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::alone::in_each;
use super::median;
use crate::tagger::taggers::Lane;

/// Time for a batch: `a + b × tokens + c × tokens × width`, where `tokens = rows × width`. In seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Fit {
    /// For each batch.
    pub batch: f64,
    /// For each token.
    pub token: f64,
    /// For each token, by each of its row: the attention.
    pub pair: f64,
}

/// What a batch of `rows` rows of `width` tokens took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Rows.
    pub rows: usize,
    /// Tokens of each.
    pub width: usize,
    /// Seconds.
    pub seconds: f64,
}

/// Widths that are tried, special tokens included.
const WIDTHS: [usize; 6] = [16, 32, 64, 128, 256, 512];

/// Rounds, as far as there is time.
const ROUNDS: usize = 3;

/// Runs a lane's model on batches of a few shapes, in all its sessions at once. A row has up to `widest` tokens of the
/// documents, a batch up to `budget`. Each shape is run once, whatever time that takes, and again as long as there is time.
///
/// # Errors
/// When the model fails.
pub fn calibrate(lane: &Lane, ids: &[u32], widest: usize, budget: usize, time: Duration) -> Result<Fit> {
    let special = lane.model.frame.len();
    let widths = WIDTHS.into_iter().filter(|&width| width < widest && width > special).chain([widest]);
    let shapes: Vec<(usize, usize)> = widths
        .flat_map(|width| {
            let rows = (budget / width).max(1);
            [rows, rows.div_ceil(4)].map(|rows| (rows, width))
        })
        .collect();
    let started = Instant::now();
    let mut seconds = vec![Vec::new(); shapes.len()];
    for round in 0..ROUNDS {
        for (&(rows, width), seconds) in shapes.iter().zip(&mut seconds) {
            if round > 0 && started.elapsed() > time {
                break;
            }
            let row = |number: usize| {
                let length = width.saturating_sub(special);
                let start = number * length % (ids.len().saturating_sub(length) + 1);
                &ids[start..(start + length).min(ids.len())]
            };
            let batch: Vec<&[u32]> = (0..rows).map(row).collect();
            let (since, sessions) = (Instant::now(), lane.model.sessions());
            in_each(sessions, || lane.model.infer(&batch).map(drop))?;
            seconds.push(since.elapsed().as_secs_f64() / sessions as f64);
        }
    }
    let point =
        |(&(rows, width), seconds): (&(usize, usize), &Vec<f64>)| Point { rows, width, seconds: median(seconds) };
    Ok(Fit::of(&shapes.iter().zip(&seconds).map(point).collect::<Vec<_>>()))
}

impl Fit {
    /// The formula that is nearest to the points, by the squares of the relative differences. Nothing takes less than no
    /// time: a part that would is left out.
    #[must_use]
    pub fn of(points: &[Point]) -> Self {
        let fits = (1..8_u8).map(|parts| Self::of_parts(points, parts));
        let possible = fits.flatten().filter(|fit| [fit.batch, fit.token, fit.pair].iter().all(|part| *part >= 0.0));
        possible.min_by(|one, other| one.distance(points).total_cmp(&other.distance(points))).unwrap_or_default()
    }

    /// Seconds for a batch.
    #[must_use]
    pub fn seconds(&self, rows: usize, width: usize) -> f64 {
        let [batch, token, pair] = terms(rows, width);
        self.batch * batch + self.token * token + self.pair * pair
    }

    fn distance(&self, points: &[Point]) -> f64 {
        points.iter().map(|point| (self.seconds(point.rows, point.width) / point.seconds - 1.0).powi(2)).sum()
    }

    /// Least squares with some of the three parts, by their bits.
    fn of_parts(points: &[Point], parts: u8) -> Option<Self> {
        let parts: Vec<usize> = (0..3).filter(|part| parts & 1 << part != 0).collect();
        // The normal equations, each with its right side.
        let mut equations = vec![vec![0.0; parts.len() + 1]; parts.len()];
        for point in points {
            let terms = terms(point.rows, point.width).map(|term| term / point.seconds);
            for (equation, &part) in equations.iter_mut().zip(&parts) {
                for (sum, &other) in equation.iter_mut().zip(&parts) {
                    *sum += terms[part] * terms[other];
                }
                equation[parts.len()] += terms[part];
            }
        }
        let mut solution = [0.0; 3];
        for (part, value) in parts.into_iter().zip(solve(equations)?) {
            solution[part] = value;
        }
        // Without negative zeros.
        let [batch, token, pair] = solution.map(|part| part + 0.0);
        Some(Self { batch, token, pair })
    }
}

fn terms(rows: usize, width: usize) -> [f64; 3] {
    let (rows, width) = (rows as f64, width as f64);
    [1.0, rows * width, rows * width * width]
}

/// Gaussian elimination; `None` if there is not one solution.
fn solve(mut equations: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let count = equations.len();
    for column in 0..count {
        let largest = (column..count)
            .max_by(|&one, &other| equations[one][column].abs().total_cmp(&equations[other][column].abs()))?;
        equations.swap(column, largest);
        let pivot = equations[column].clone();
        if pivot[column] == 0.0 || !pivot[column].is_finite() {
            return None;
        }
        for (_, equation) in equations.iter_mut().enumerate().filter(|(number, _)| *number != column) {
            let factor = equation[column] / pivot[column];
            equation.iter_mut().zip(&pivot).for_each(|(value, of_pivot)| *value -= factor * of_pivot);
        }
    }
    Some((0..count).map(|number| equations[number][count] / equations[number][number]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(time: impl Fn(f64, f64) -> f64) -> Vec<Point> {
        let shapes = WIDTHS.iter().flat_map(|&width| [1, 4096 / width].map(|rows| (rows, width)));
        shapes.map(|(rows, width)| Point { rows, width, seconds: time((rows * width) as f64, width as f64) }).collect()
    }

    #[test]
    fn what_follows_the_formula_is_found() {
        let fit = Fit::of(&points(|tokens, width| 1e-3 + 7e-5 * tokens + 2e-8 * tokens * width));
        assert!((fit.batch / 1e-3 - 1.0).abs() < 1e-4, "{fit:?}");
        assert!((fit.token / 7e-5 - 1.0).abs() < 1e-4, "{fit:?}");
        assert!((fit.pair / 2e-8 - 1.0).abs() < 1e-4, "{fit:?}");
        assert!((fit.seconds(16, 200) / (1e-3 + 7e-5 * 3200.0 + 2e-8 * 3200.0 * 200.0) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn no_part_takes_less_than_no_time() {
        let fit = Fit::of(&points(|tokens, width| 7e-5 * tokens - 1e-8 * tokens * width));
        assert!(fit.batch >= 0.0 && fit.token > 0.0 && fit.pair >= 0.0, "{fit:?}");
    }

    #[test]
    fn one_shape_alone_is_met() {
        let fit = Fit::of(&[Point { rows: 2, width: 16, seconds: 0.5 }]);
        assert!((fit.seconds(2, 16) - 0.5).abs() < 1e-9, "{fit:?}");
    }
}
