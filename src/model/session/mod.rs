//! One session of ONNX Runtime: token ids in, logits out.

pub mod device;
pub mod gpu;
pub mod runtime;
mod tensors;
pub mod widths;

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ort::memory::{Allocator, MemoryInfo};
use ort::session::{IoBinding, SessionInputValue, SessionOutputs};
use ort::value::{TensorElementType, ValueType};

use self::gpu::{Gpu, Plan};
use self::tensors::{Floats, Input, Says};
use self::widths::Widths;
use super::files::manifest::Head;
use super::tokenize::Frame;

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const INPUTS: [(&str, Says); 3] =
    [(INPUT_IDS, Says::Id), (ATTENTION_MASK, Says::IsThere), ("token_type_ids", Says::Text)];

/// What makes a graph that fits.
const EXPORT: &str = "export it with `optimum-cli export onnx`";

/// What one head gives for one row: shape `[labels]` for a text head, `[tokens, labels]` for a token head, row by row.
/// Special tokens have none.
pub type Logits = Vec<f32>;

/// Something that turns token ids into logits. It is the seam between the taggers and ONNX Runtime.
pub trait Infer: Send {
    /// Runs a batch of token ids without special ones; gives for each row the logits of each head, in the order of the
    /// manifest.
    ///
    /// # Errors
    /// When the batch can't be run. None of its rows has logits then.
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>>;
}

/// A session and the buffers of its inputs. It has one owner, since ONNX Runtime runs it by `&mut` (G-42).
#[derive(Debug)]
pub struct Session {
    frame: Frame,
    widths: Widths,
    /// The most rows that are run at once.
    most_rows: usize,
    outputs: Vec<Output>,
    /// Those of [`INPUTS`] that the graph wants.
    inputs: Vec<Input>,
    /// Where the inputs are written, and what binds them to the session; a plain run is as fast on the CPU.
    memory: Allocator,
    binding: Option<(IoBinding, MemoryInfo<'static>)>,
    /// The last to go: the buffers are its memory.
    inner: ort::session::Session,
}

/// The output of a head.
#[derive(Debug)]
struct Output {
    name: String,
    labels: usize,
    by_token: bool,
}

/// What a session runs on.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// So many threads.
    Cpu {
        /// How many.
        threads: usize,
    },
    /// A GPU, and what it is prepared for.
    Gpu(Gpu, Plan<'a>),
}

impl Place<'_> {
    /// How wide batches are there.
    #[must_use]
    pub fn widths(self) -> Widths {
        match self {
            Self::Cpu { .. } => Widths::exact(),
            Self::Gpu(_, plan) => Widths::few(plan.max_tokens),
        }
    }
}

impl Session {
    /// Opens the graph there, and checks that its inputs and outputs are what the heads say.
    ///
    /// # Errors
    /// When the file is no graph, or another than the manifest describes, or can't be run there.
    pub fn open(file: &Path, heads: &[Head], frame: Frame, place: Place) -> Result<Self> {
        match place {
            Place::Cpu { threads } => {
                Self::new(runtime::cpu(threads)?.commit_from_file(file)?, heads, frame, place.widths())
            }
            Place::Gpu(gpu, plan) => {
                let mut session = Self::new(gpu.open(file, plan)?, heads, frame, place.widths())?;
                session.most_rows = gpu.most_rows(plan.settings);
                match gpu.pinned_memory(&session.inner) {
                    Ok((memory, of_outputs)) => session.bind(memory, of_outputs)?,
                    Err(error) => tracing::warn!("copies to and from the GPU are slow: {error:#}"),
                }
                Ok(session)
            }
        }
    }

    fn new(inner: ort::session::Session, heads: &[Head], frame: Frame, widths: Widths) -> Result<Self> {
        let inputs = inner.inputs().iter().map(input_of).collect::<Result<Vec<_>>>()?;
        for name in [INPUT_IDS, ATTENTION_MASK] {
            ensure!(inputs.iter().any(|input| input.name == name), "the graph has no input `{name}`: {EXPORT}");
        }
        let outputs = heads.iter().map(|head| output_of(head, inner.outputs())).collect::<Result<_>>()?;
        let memory = Allocator::default();
        Ok(Self { frame, widths, most_rows: usize::MAX, outputs, inputs, memory, binding: None, inner })
    }

    /// From now on, inputs are written to this memory and go from there to the device, and outputs go to memory of that
    /// kind.
    fn bind(&mut self, memory: Allocator, of_outputs: MemoryInfo<'static>) -> Result<()> {
        self.binding = Some((self.inner.create_binding()?, of_outputs));
        self.memory = memory;
        Ok(())
    }

    fn run(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let width = self.widths.of(self.frame.len() + longest);
        let inputs = self.inputs.iter_mut().map(|input| {
            let name = input.name;
            Ok((name, input.tensor(&self.memory, batch, &self.frame, width)?))
        });
        let outputs = match &mut self.binding {
            None => {
                let inputs = inputs.map(|input| input.map(|(name, tensor)| (name.into(), tensor.into())));
                self.inner.run(inputs.collect::<Result<Vec<(Cow<str>, SessionInputValue)>>>()?)?
            }
            Some((binding, of_outputs)) => {
                for input in inputs {
                    let (name, tensor) = input?;
                    binding.bind_input(name, tensor)?;
                }
                // Each time: a binding holds on to the tensors of its last run, which have that run's shape.
                for output in &self.outputs {
                    binding.bind_output_to_device(&output.name, of_outputs)?;
                }
                let outputs = self.inner.run_binding(binding)?;
                binding.synchronize_outputs()?;
                outputs
            }
        };
        logits(&self.outputs, &outputs, batch, [batch.len(), width], self.frame.prefix.len())
    }
}

/// The logits of the tokens that are there.
fn logits(
    heads: &[Output],
    outputs: &SessionOutputs,
    batch: &[&[u32]],
    shape: [usize; 2],
    prefix: usize,
) -> Result<Vec<Vec<Logits>>> {
    let width = shape[1];
    let mut logits: Vec<Vec<Logits>> = batch.iter().map(|_| Vec::with_capacity(heads.len())).collect();
    for Output { name, labels, by_token } in heads {
        let (found, values) = Floats::of(&outputs[name.as_str()])?;
        let rows = if *by_token { width } else { 1 };
        let tokens = by_token.then_some(width);
        let expected: Vec<_> = [Some(batch.len()), tokens, Some(*labels)].into_iter().flatten().collect();
        ensure!(
            found.iter().copied().eq(expected.iter().map(|&axis| axis as i64)),
            "output `{name}` has the shape {found:?} for a batch of {shape:?}; its head of {labels} labels needs \
             {expected:?}"
        );
        for (row, ids) in batch.iter().enumerate() {
            let (first, used) = if *by_token { (prefix, ids.len()) } else { (0, 1) };
            let start = (row * rows + first) * labels;
            let own = values.part(start..start + used * labels);
            ensure!(own.iter().all(|logit| logit.is_finite()), "output `{name}` has a logit that is not finite");
            logits[row].push(own);
        }
    }
    Ok(logits)
}

fn input_of(input: &ort::value::Outlet) -> Result<Input> {
    let known = INPUTS.into_iter().find(|(name, _)| *name == input.name());
    let (name, says) = known.with_context(|| {
        let names = INPUTS.map(|(name, _)| name).join(", ");
        format!("the graph has an input `{}`; tagbert feeds {names}: {EXPORT}", input.name())
    })?;
    Ok(Input::new(name, says, check_input(name, input.dtype())? == TensorElementType::Int32))
}

fn check_input(name: &str, ty: &ValueType) -> Result<TensorElementType> {
    let ValueType::Tensor { ty: kind @ (TensorElementType::Int64 | TensorElementType::Int32), shape, .. } = ty else {
        bail!("input `{name}` is {ty}; expected int64 or int32 of shape [batch, tokens]: {EXPORT}");
    };
    ensure!(shape.len() == 2, "input `{name}` has rank {}; expected [batch, tokens]", shape.len());
    let fixed = shape.iter().any(|&axis| axis >= 0);
    ensure!(!fixed, "input `{name}` has the fixed shape {shape:?}; export it with dynamic axes for batch and tokens");
    Ok(*kind)
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
            ensure!(
                fits,
                "head `{name}` has {labels} labels, but output `{output_name}` has {logits} logits: name each of them {}",
                if head.output.is_some() {
                    "in heads.json"
                } else {
                    r#"in config.json, as in "id2label": {"0": "no", "1": "yes"}"#
                }
            );
        }
        other => bail!("output `{output_name}` is {other}; expected float32 or float16: {EXPORT}"),
    }
    Ok(Output { name: output_name.to_owned(), labels, by_token })
}

impl Infer for Session {
    fn infer(&mut self, batch: &[&[u32]]) -> Result<Vec<Vec<Logits>>> {
        let mut logits = Vec::with_capacity(batch.len());
        for rows in batch.chunks(self.most_rows) {
            logits.extend(self.run(rows)?);
        }
        Ok(logits)
    }
}

#[cfg(test)]
mod tests;
