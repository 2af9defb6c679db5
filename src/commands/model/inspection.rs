//! What `tagbert model inspect` tells of a model.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::config::Config;
use crate::model::files::layout::onnx_files;
use crate::model::files::manifest::{Head, Task};
use crate::model::files::token_label::TokenLabel;
use crate::model::graph::graph_file::GraphFile;
use crate::model::graph::onnx::Graph;
use crate::model::loaded::{Model, PROBE};
use crate::model::tokenize::About;
use crate::record::answer::Identity;
use crate::record::tag::Tag;
use crate::tagger::gather::run_alone;
use crate::tagger::probe;
use crate::tagger::taggers::{Lane, Taggers};

/// Operators that compute on integers, or turn them back into floats.
const QUANTIZED: [&str; 14] = [
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulBnb4",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "QAttention",
    "QEmbedLayerNormalization",
    "QGemm",
    "QLinearMatMul",
    "QMultiHeadAttention",
    "QOrderedMatMul",
    "QuantizeLinear",
];

/// Operators that are a whole layer's attention.
const ATTENTION: [&str; 7] = [
    "Attention",
    "GroupQueryAttention",
    "MultiHeadAttention",
    "PackedAttention",
    "PackedMultiHeadAttention",
    "QAttention",
    "QMultiHeadAttention",
];

/// All of it.
#[derive(Serialize)]
pub struct Inspection {
    #[serde(flatten)]
    pub identity: Identity,
    pub model_type: String,
    pub architectures: Vec<String>,
    pub directory: String,
    pub max_tokens: usize,
    pub graph: GraphFacts,
    pub heads: Vec<HeadFacts>,
    pub tokenizer: About,
    /// A line for what decides about tokens and labels: what, and the file that says so.
    pub taken: Vec<String>,
    /// A line for what a file says in vain.
    pub unheeded: Vec<String>,
    pub fed: Fed,
}

/// The graph.
#[derive(Serialize)]
pub struct GraphFacts {
    pub file: String,
    pub bytes: u64,
    pub external_bytes: u64,
    /// All that are there.
    pub variants: Vec<String>,
    pub parameter_count: u64,
    pub quantized: bool,
    /// Whether a text has the same scores whatever else is in its batch.
    pub consistent: bool,
    /// Nodes that are a whole attention; 0 where it is made of small operators.
    pub fused_attention: usize,
    #[serde(flatten)]
    pub graph: Graph,
}

/// A head.
#[derive(Serialize)]
pub struct HeadFacts {
    pub name: Arc<str>,
    pub output: Option<String>,
    pub task: &'static str,
    /// For token classification.
    pub scheme: Option<&'static str>,
    pub labels: Vec<Arc<str>>,
    pub temperature: f32,
    pub thresholds: BTreeMap<Arc<str>, f32>,
}

/// What a text becomes, in and out.
#[derive(Serialize)]
pub struct Fed {
    pub text: String,
    pub ids: Vec<u32>,
    pub tokens: Vec<String>,
    pub tensors: Vec<Fact>,
    pub tags: BTreeMap<Arc<str>, Tag>,
}

/// A tensor as it is fed.
#[derive(Serialize)]
pub struct Fact {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub shape: [usize; 2],
}

/// Loads the configuration's model, which should have been vetted, and looks at it.
pub fn of(config: &Config) -> Result<Inspection> {
    let taggers = Arc::new(Taggers::load(config)?);
    let lane = taggers.lanes.first().context("there is no model")?;
    let model = &lane.model;
    let graph = GraphFacts::of(model)?;
    Ok(Inspection {
        identity: model.identity.clone(),
        model_type: model.manifest.model_type.clone(),
        architectures: model.manifest.architectures.clone(),
        directory: model.directory.display().to_string(),
        max_tokens: model.max_tokens,
        heads: model.manifest.heads.iter().map(HeadFacts::of).collect(),
        tokenizer: model.tokenizer.about(),
        taken: model.notes.taken.clone(),
        unheeded: model.notes.unheeded.clone(),
        fed: Fed::of(&taggers, lane, &graph.graph)?,
        graph,
    })
}

impl GraphFacts {
    fn of(model: &Model) -> Result<Self> {
        let GraphFile { graph, bytes, external_bytes } = GraphFile::open(&model.graph)?;
        let file = model.graph.strip_prefix(&model.directory).unwrap_or(&model.graph);
        Ok(Self {
            file: file.display().to_string(),
            bytes,
            external_bytes,
            variants: onnx_files(&model.directory),
            parameter_count: graph.parameter_count(),
            quantized: graph.count(&QUANTIZED) > 0,
            consistent: !graph.is_scaled_by_batch(),
            fused_attention: graph.count(&ATTENTION),
            graph,
        })
    }
}

impl HeadFacts {
    fn of(head: &Head) -> Self {
        let task = match head.task {
            Task::SingleLabel => "single-label classification",
            Task::MultiLabel => "multi-label classification",
            Task::Regression => "regression",
            Task::Tokens(_) => "token classification",
        };
        Self {
            name: Arc::clone(&head.name),
            output: head.output.clone(),
            task,
            scheme: head.is_by_token().then(|| TokenLabel::scheme(&head.labels)),
            labels: head.labels.clone(),
            temperature: head.temperature,
            thresholds: head.thresholds.clone(),
        }
    }
}

impl Fed {
    fn of(taggers: &Arc<Taggers>, lane: &Lane, graph: &Graph) -> Result<Self> {
        let model = &lane.model;
        let (text, mut work) = probe::encode(taggers, PROBE, 1)?;
        run_alone(&mut work)?;
        let ids = &lane.tokens(&work).context("the probe has no tokens")?.ids;
        let seen = &ids[..lane.windows.seen(ids.len())];
        let ids = [&model.frame.prefix, seen, &model.frame.suffix].concat();
        let shape = [1, ids.len()];
        let tensor = |name: &String| Fact { name: name.clone(), kind: "int64", shape };
        Ok(Self {
            text,
            tokens: ids.iter().map(|id| model.tokenizer.token(*id).unwrap_or_default()).collect(),
            ids,
            tensors: graph.inputs.iter().map(|input| tensor(&input.name)).collect(),
            tags: work.tags().into_iter().map(|(name, tag)| (Arc::clone(name), tag)).collect(),
        })
    }
}
