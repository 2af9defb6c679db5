//! One session of ONNX Runtime: token ids in, logits out.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::runtime;
use super::{Head, HeadKind, Infer, Logits};
use crate::config::Device;

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";

/// A session and the buffers of its inputs. It has one owner, since ONNX Runtime runs it by `&mut`.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    heads: Vec<Head>,
    input_ids: Vec<i64>,
    attention_mask: Vec<i64>,
}

impl Session {
    /// Opens the graph on the device, and checks that its inputs and outputs are what the heads say.
    ///
    /// # Errors
    /// When the file is no graph, or another than the manifest describes.
    pub fn open(file: &Path, heads: &[Head], device: Device) -> Result<Self> {
        let session = runtime::session_builder(device)?.commit_from_file(file)?;
        for input in session.inputs() {
            let known = [INPUT_IDS, ATTENTION_MASK].contains(&input.name());
            ensure!(known, "the graph has an input `{}` that a DistilBERT has not", input.name());
        }
        for name in [INPUT_IDS, ATTENTION_MASK] {
            let input = session.inputs().iter().find(|input| input.name() == name);
            let input = input.with_context(|| format!("the graph has no input `{name}`"))?;
            let ty = input.dtype();
            let expected =
                matches!(ty, ValueType::Tensor { ty: TensorElementType::Int64, shape, .. } if shape.len() == 2);
            ensure!(expected, "input `{name}` is {ty:?}; expected int64 of shape [batch, tokens]");
        }
        for head in heads {
            let output = session.outputs().iter().find(|output| output.name() == head.output);
            check_output(head, output.map(ort::value::Outlet::dtype))?;
        }
        Ok(Self { inner: session, heads: heads.to_vec(), input_ids: Vec::new(), attention_mask: Vec::new() })
    }
}

fn check_output(head: &Head, ty: Option<&ValueType>) -> Result<()> {
    let Head { name, output, .. } = head;
    let rank = match head.kind {
        HeadKind::TextClassification => 2,
        HeadKind::TokenClassification => 3,
    };
    match ty {
        None => bail!("the graph has no output `{output}`, which heads.json names for head `{name}`"),
        Some(ValueType::Tensor { ty: TensorElementType::Float32, shape, .. }) => {
            ensure!(shape.len() == rank, "output `{output}` has rank {}; head `{name}` needs {rank}", shape.len());
            let (labels, logits) = (head.labels.len(), shape[rank - 1]);
            let fits = logits < 0 || logits == labels as i64;
            ensure!(fits, "head `{name}` has {labels} labels, but output `{output}` has {logits} logits");
            Ok(())
        }
        Some(other) => bail!("output `{output}` is {other:?}; expected float32"),
    }
}

impl Infer for Session {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        let width = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        self.input_ids.clear();
        self.attention_mask.clear();
        for (row, ids) in batch.iter().enumerate() {
            self.input_ids.extend(ids.iter().map(|&id| i64::from(id)));
            self.attention_mask.resize(self.input_ids.len(), 1);
            self.input_ids.resize((row + 1) * width, 0);
            self.attention_mask.resize((row + 1) * width, 0);
        }
        let shape = [batch.len(), width];
        let outputs = self.inner.run(ort::inputs! {
            INPUT_IDS => TensorRef::from_array_view((shape, self.input_ids.as_slice()))?,
            ATTENTION_MASK => TensorRef::from_array_view((shape, self.attention_mask.as_slice()))?,
        })?;
        let mut logits: Vec<Vec<Logits>> = batch.iter().map(|_| Vec::with_capacity(self.heads.len())).collect();
        for head in &self.heads {
            let (_, values) = outputs[head.output.as_str()].try_extract_tensor::<f32>()?;
            let labels = head.labels.len();
            let rows_of = |ids: &[u32]| match head.kind {
                HeadKind::TextClassification => (1, 1),
                HeadKind::TokenClassification => (ids.len(), width),
            };
            let expected: usize = batch.iter().map(|ids| rows_of(ids).1 * labels).sum();
            let (name, found) = (&head.name, values.len());
            ensure!(found == expected, "head `{name}`: {found} logits for a batch of {shape:?} and {labels} labels");
            for (row, ids) in batch.iter().enumerate() {
                let (used, padded) = rows_of(ids);
                let start = row * padded * labels;
                logits[row].push(values[start..start + used * labels].to_vec());
            }
        }
        Ok(logits)
    }
}
