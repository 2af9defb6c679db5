//! How large an encoder is, for what it computes: the sizes in Hugging Face's `config.json`.

use std::path::Path;

use serde::Deserialize;

use crate::model::files::{json, layout};
use crate::model::graph::graph_file::GraphFile;

/// The sizes that decide how much an encoder computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Shape {
    /// Transformer layers.
    #[serde(alias = "n_layers", alias = "num_hidden_layers")]
    pub layers: u64,
    /// The width of a token.
    #[serde(alias = "dim", alias = "hidden_size")]
    pub hidden: u64,
    /// The width within the feed-forward part.
    #[serde(alias = "hidden_dim", alias = "intermediate_size")]
    pub intermediate: u64,
}

/// Wider than any of these encoders is.
const WIDEST: u64 = 1 << 16;

impl Shape {
    /// The model's, where its `config.json` says all of it.
    #[must_use]
    pub fn of(directory: &Path) -> Option<Self> {
        let shape: Self = json::read(&directory.join(layout::CONFIG)).ok()?;
        let Self { layers, hidden, intermediate } = shape;
        [layers, hidden, intermediate].iter().all(|size| (1..=WIDEST).contains(size)).then_some(shape)
    }

    /// Weights in the layers: four matrices of the attention, two of the feed-forward part.
    #[must_use]
    pub fn weights(&self) -> u64 {
        self.layers * (4 * self.hidden * self.hidden + 2 * self.hidden * self.intermediate)
    }

    /// Floating-point operations for a row of so many tokens: a multiplication and an addition for each weight and token,
    /// and the two products of the attention, of each token with each.
    #[must_use]
    pub fn operations(&self, tokens: usize) -> f64 {
        let tokens = tokens as f64;
        2.0 * self.weights() as f64 * tokens + 4.0 * (self.layers * self.hidden) as f64 * tokens * tokens
    }
}

/// Whether a model multiplies integers of eight bits. `None` if its file can't be read any more.
#[must_use]
pub fn is_integer(graph: &Path) -> Option<bool> {
    Some(GraphFile::open(graph).ok()?.graph.is_integer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_either_family_of_names() {
        let shape = Shape { layers: 6, hidden: 768, intermediate: 3072 };
        let distilbert = r#"{"n_layers": 6, "dim": 768, "hidden_dim": 3072, "n_heads": 12}"#;
        let bert = r#"{"num_hidden_layers": 6, "hidden_size": 768, "intermediate_size": 3072}"#;
        assert_eq!(serde_json::from_str::<Shape>(distilbert).unwrap(), shape);
        assert_eq!(serde_json::from_str::<Shape>(bert).unwrap(), shape);
        assert!(serde_json::from_str::<Shape>(r#"{"dim": 768}"#).is_err());
    }

    #[test]
    fn distilbert_takes_eleven_billion_operations_for_128_tokens() {
        let shape = Shape { layers: 6, hidden: 768, intermediate: 3072 };
        assert_eq!(shape.weights(), 42_467_328);
        assert!((11.1e9..11.3e9).contains(&shape.operations(128)), "{}", shape.operations(128));
    }
}
