//! One session of ONNX Runtime: token ids in, logits out.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::f16;
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use super::{Head, Infer, Logits, runtime};
use crate::config::Device;
use crate::tokenize::Frame;

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
/// Which of two texts a token is part of. There is only one: all are 0.
const TOKEN_TYPE_IDS: &str = "token_type_ids";
const INPUTS: [&str; 3] = [INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS];

/// What makes a graph that fits.
const EXPORT: &str = "export it with `optimum-cli export onnx`";

/// A session and the buffers of its inputs. It has one owner, since ONNX Runtime runs it by `&mut`.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    frame: Frame,
    outputs: Vec<Output>,
    /// Those of [`INPUTS`] that the graph wants.
    inputs: Vec<&'static str>,
    input_ids: Vec<i64>,
    attention_mask: Vec<i64>,
    token_type_ids: Vec<i64>,
}

/// The output of a head.
#[derive(Debug)]
struct Output {
    name: String,
    labels: usize,
    by_token: bool,
}

impl Session {
    /// Opens the graph on the device, for runs on so many threads where that is the CPU, and checks that its inputs and outputs are what the heads say.
    ///
    /// # Errors
    /// When the file is no graph, or another than the manifest describes.
    pub fn open(file: &Path, heads: &[Head], frame: Frame, device: Device, threads: usize) -> Result<Self> {
        let session = runtime::session_builder(device, threads)?.commit_from_file(file)?;
        let mut inputs = Vec::new();
        for input in session.inputs() {
            let known = INPUTS.into_iter().find(|name| *name == input.name());
            inputs.push(known.with_context(|| {
                format!("the graph has an input `{}`; tagbert feeds {}: {EXPORT}", input.name(), INPUTS.join(", "))
            })?);
            check_input(input.name(), input.dtype())?;
        }
        for name in [INPUT_IDS, ATTENTION_MASK] {
            ensure!(inputs.contains(&name), "the graph has no input `{name}`: {EXPORT}");
        }
        let outputs = heads.iter().map(|head| output_of(head, session.outputs())).collect::<Result<_>>()?;
        let (input_ids, attention_mask, token_type_ids) = Default::default();
        Ok(Self { inner: session, frame, outputs, inputs, input_ids, attention_mask, token_type_ids })
    }
}

fn check_input(name: &str, ty: &ValueType) -> Result<()> {
    let ValueType::Tensor { ty: TensorElementType::Int64, shape, .. } = ty else {
        bail!("input `{name}` is {ty}; expected int64 of shape [batch, tokens]: {EXPORT}");
    };
    ensure!(shape.len() == 2, "input `{name}` has rank {}; expected [batch, tokens]", shape.len());
    let fixed = shape.iter().any(|&axis| axis >= 0);
    ensure!(!fixed, "input `{name}` has the fixed shape {shape:?}; export it with dynamic axes for batch and tokens");
    Ok(())
}

fn output_of(head: &Head, outputs: &[ort::value::Outlet]) -> Result<Output> {
    let name = &head.name;
    let output = match &head.output {
        Some(wanted) => {
            let found = outputs.iter().find(|output| output.name() == wanted);
            found.with_context(|| {
                format!("the graph has no output `{wanted}`, which heads.json names for head `{name}`")
            })?
        }
        None => match outputs {
            [only] => only,
            several => several
                .iter()
                .find(|output| output.name() == "logits")
                .context("the graph has several outputs, and none is named `logits`")?,
        },
    };
    let labels = head.labels.len();
    let by_token = head.is_by_token();
    let rank = if by_token { 3 } else { 2 };
    let output_name = output.name();
    match output.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32 | TensorElementType::Float16, shape, .. } => {
            // What the graph does not say shows at the warm-up.
            let found = shape.len();
            let expected = if by_token { "[batch, tokens, labels]" } else { "[batch, labels]" };
            ensure!(
                found == rank || found == 0,
                "output `{output_name}` has rank {found}; head `{name}` needs {rank}: {expected}"
            );
            let logits = shape.last().copied().unwrap_or(-1);
            let fits = logits < 0 || logits == labels as i64;
            ensure!(fits, "head `{name}` has {labels} labels, but output `{output_name}` has {logits} logits");
        }
        other => bail!("output `{output_name}` is {other}; expected float32 or float16: {EXPORT}"),
    }
    Ok(Output { name: output_name.to_owned(), labels, by_token })
}

impl Infer for Session {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        let Frame { prefix, suffix, pad } = &self.frame;
        let width = self.frame.len() + batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        self.input_ids.clear();
        self.attention_mask.clear();
        for (row, ids) in batch.iter().enumerate() {
            let framed = prefix.iter().chain(*ids).chain(suffix);
            self.input_ids.extend(framed.map(|&id| i64::from(id)));
            self.attention_mask.resize(self.input_ids.len(), 1);
            self.input_ids.resize((row + 1) * width, i64::from(*pad));
            self.attention_mask.resize((row + 1) * width, 0);
        }
        self.token_type_ids.resize(self.input_ids.len(), 0);
        let shape = [batch.len(), width];
        let mut inputs: Vec<(Cow<str>, SessionInputValue)> = Vec::with_capacity(self.inputs.len());
        for &name in &self.inputs {
            let values = match name {
                INPUT_IDS => &self.input_ids,
                ATTENTION_MASK => &self.attention_mask,
                _ => &self.token_type_ids,
            };
            inputs.push((name.into(), TensorRef::from_array_view((shape, values.as_slice()))?.into()));
        }
        let outputs = self.inner.run(inputs)?;
        let mut logits: Vec<Vec<Logits>> = batch.iter().map(|_| Vec::with_capacity(self.outputs.len())).collect();
        for Output { name, labels, by_token } in &self.outputs {
            let (found, values) = floats(&outputs[name.as_str()])?;
            let rows = if *by_token { width } else { 1 };
            let tokens = by_token.then_some(width);
            let expected: Vec<_> = [Some(batch.len()), tokens, Some(*labels)].into_iter().flatten().collect();
            ensure!(
                found.iter().copied().eq(expected.iter().map(|&axis| axis as i64)),
                "output `{name}` has the shape {found:?} for a batch of {shape:?}; its head of {labels} labels needs \
                 {expected:?}"
            );
            for (row, ids) in batch.iter().enumerate() {
                let (first, used) = if *by_token { (prefix.len(), ids.len()) } else { (0, 1) };
                let start = (row * rows + first) * labels;
                let own = &values[start..start + used * labels];
                ensure!(own.iter().all(|logit| logit.is_finite()), "output `{name}` has a logit that is not finite");
                logits[row].push(own.to_vec());
            }
        }
        Ok(logits)
    }
}

fn floats(value: &DynValue) -> Result<(&[i64], Cow<'_, [f32]>)> {
    if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
        return Ok((shape, values.iter().map(|value| value.to_f32()).collect()));
    }
    let (shape, values) = value.try_extract_tensor::<f32>()?;
    Ok((shape, values.into()))
}
