//! Logits to scores.

/// The probabilities of labels that exclude each other.
#[must_use]
pub fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut powers: Vec<f32> = logits.iter().map(|logit| ((logit - highest) / temperature).exp()).collect();
    let sum: f32 = powers.iter().sum();
    for power in &mut powers {
        *power /= sum;
    }
    powers
}

/// The probability of a label that may stand beside others.
#[must_use]
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The place of the largest value (of equals, the first), and the value.
#[must_use]
pub fn argmax(values: &[f32]) -> (usize, f32) {
    let values = values.iter().copied().enumerate();
    values.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or_default()
}
