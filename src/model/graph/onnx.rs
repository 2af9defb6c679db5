//! What an ONNX file says of itself, and whether it can be true: read before ONNX Runtime sees the file (G-53).
//!
//! The numbers are those of the fields in `onnx.proto3`.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::protobuf::fields;
use super::weights::{Kind, Weights};

/// Graphs within graphs: the branches of an `If`, the body of a `Loop`. Real ones have two or three levels.
const MOST_LEVELS: usize = 16;

/// Opsets and versions of the format count up by one a release, about twice a year.
const HIGHEST_VERSION: u64 = 1000;

/// More of anything that is listed is no encoder, and would take memory.
const MOST_LISTED: usize = 4096;

/// Operators that multiply matrices of integers of eight bits, or make such integers of activations.
pub const INTEGER: [&str; 8] = [
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QAttention",
    "QGemm",
    "QLinearMatMul",
    "QuantizeLinear",
];

/// What is known of a graph without running it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Graph {
    /// The version of the format.
    pub ir_version: u64,
    /// What wrote the file.
    pub producer: String,
    /// The versions of the operators, by domain.
    pub opsets: BTreeMap<String, u64>,
    /// How often each operator is used; those of other domains than ONNX's own have it before their name.
    pub operators: BTreeMap<String, usize>,
    /// The inputs.
    pub inputs: Vec<Tensor>,
    /// The outputs.
    pub outputs: Vec<Tensor>,
    /// How many numbers the initializers hold, by type.
    pub parameters: BTreeMap<&'static str, u64>,
    /// The other files that hold weights.
    pub external: BTreeMap<String, External>,
}

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its axes: a number, or the name of what varies; null if the file does not say.
    pub shape: Option<Vec<Axis>>,
}

/// How long an axis is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Axis {
    /// Always the same.
    Fixed(u64),
    /// As the input is; some have no name.
    Named(String),
}

/// What the graph reads of another file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct External {
    /// The end of the last tensor.
    pub end: u64,
    /// The sizes of all tensors.
    pub bytes: u64,
}

impl Graph {
    /// Reads an ONNX file's bytes.
    ///
    /// # Errors
    /// When they are no ONNX model, or the sizes of its tensors are not those of its data.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut graph = Self::default();
        let (mut main, mut initialized) = (false, HashSet::new());
        for field in fields(bytes) {
            match field? {
                (1, version) => graph.ir_version = version.number()?,
                (2, name) => name.text()?.clone_into(&mut graph.producer),
                (3, version) if !version.text()?.is_empty() => {
                    graph.producer = format!("{} {}", graph.producer, version.text()?);
                }
                (7, message) => {
                    main = true;
                    graph.add_main(message.bytes()?, &mut initialized)?;
                }
                (8, message) => graph.add_opset(message.bytes()?)?,
                // A function of the model's own.
                (25, message) => graph.add_nodes(message.bytes()?, 7, 0)?,
                _ => (),
            }
        }
        ensure!(main, "it holds no graph");
        let plausible = |version: u64| (1..=HIGHEST_VERSION).contains(&version);
        ensure!(plausible(graph.ir_version), "its format has the version {}", graph.ir_version);
        ensure!(graph.opsets.contains_key("ai.onnx"), "it does not say which version of ONNX's operators it needs");
        let odd = graph.opsets.iter().find(|(_, version)| !plausible(**version));
        ensure!(odd.is_none(), "its operators have the version {odd:?}");
        // Old files list initializers as inputs, too.
        graph.inputs.retain(|input| !initialized.contains(input.name.as_str()));
        ensure!(!graph.inputs.is_empty(), "its graph has no inputs");
        ensure!(!graph.outputs.is_empty(), "its graph has no outputs");
        Ok(graph)
    }

    /// How many parameters there are.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        total(self.parameters.values())
    }

    /// How many nodes use one of these operators, whatever its domain.
    #[must_use]
    pub fn count(&self, operators: &[&str]) -> usize {
        let named = |name: &str| operators.contains(&name.rsplit('.').next().unwrap_or(name));
        self.operators.iter().filter(|(name, _)| named(name)).map(|(_, count)| count).sum()
    }

    /// Whether it multiplies matrices of integers of eight bits, as graphs for CPUs do.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        self.count(&INTEGER) > 0
    }

    /// How its weights are kept: `fp32`, `fp16` or `int8`, as variants are called.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        let count = |kinds: &[&str]| total(kinds.iter().filter_map(|kind| self.parameters.get(*kind)));
        // A full graph has integers, too: few, for shapes and axes, of 64 bits.
        if count(&["int8", "uint8", "int4", "uint4"]) > count(&["float32", "float16", "bfloat16"]) || self.is_integer()
        {
            "int8"
        } else if count(&["float16"]) > count(&["float32", "bfloat16"]) {
            "fp16"
        } else {
            "fp32"
        }
    }

    /// Whether activations are quantised by a scale that each batch decides anew: then a row's logits depend on the rows
    /// beside it.
    #[must_use]
    pub fn is_scaled_by_batch(&self) -> bool {
        self.count(&["DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"]) > 0
    }

    fn add_opset(&mut self, message: &[u8]) -> Result<()> {
        let (mut domain, mut version) = ("", 0);
        for field in fields(message) {
            match field? {
                (1, name) => domain = name.text()?,
                (2, number) => version = number.number()?,
                _ => (),
            }
        }
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        self.opsets.insert(domain.into(), version);
        Ok(())
    }

    fn add_main<'a>(&mut self, message: &'a [u8], initialized: &mut HashSet<&'a str>) -> Result<()> {
        for field in fields(message) {
            match field? {
                (5, weights) => {
                    initialized.insert(self.add_tensor(weights.bytes()?).context("an initializer")?);
                }
                (11, input) => list(&mut self.inputs, described(input.bytes()?).context("an input")?)?,
                (12, output) => list(&mut self.outputs, described(output.bytes()?).context("an output")?)?,
                (15, _) => bail!("it has sparse initializers, which tagbert does not take"),
                _ => (),
            }
        }
        self.add_nodes(message, 1, 0)
    }

    /// Adds the nodes of a graph or a function, which are its fields of this number.
    fn add_nodes(&mut self, message: &[u8], number: u64, level: usize) -> Result<()> {
        ensure!(level < MOST_LEVELS, "its graphs are nested more than {MOST_LEVELS} deep");
        for field in fields(message) {
            match field? {
                (field, node) if field == number => self.add_node(node.bytes()?, level)?,
                // The main graph's were counted before.
                (5, weights) if level > 0 => drop(self.add_tensor(weights.bytes()?)?),
                _ => (),
            }
        }
        Ok(())
    }

    fn add_node(&mut self, message: &[u8], level: usize) -> Result<()> {
        let (mut operator, mut domain) = ("", "");
        for field in fields(message) {
            match field? {
                (4, name) => operator = name.text()?,
                (7, name) => domain = name.text()?,
                (5, attribute) => self.add_attribute(attribute.bytes()?, level)?,
                _ => (),
            }
        }
        let own = domain.is_empty() || domain == "ai.onnx";
        let name = if own { operator.to_owned() } else { format!("{domain}.{operator}") };
        *self.operators.entry(name).or_default() += 1;
        ensure!(self.operators.len() <= MOST_LISTED, "it has more than {MOST_LISTED} different operators");
        Ok(())
    }

    fn add_attribute(&mut self, message: &[u8], level: usize) -> Result<()> {
        for field in fields(message) {
            match field? {
                // The value of a `Constant`: weights are there, too, in some exports.
                (5 | 10, tensor) => drop(self.add_tensor(tensor.bytes()?).context("an attribute")?),
                (6 | 11, graph) => self.add_nodes(graph.bytes()?, 1, level + 1)?,
                (22 | 23, _) => bail!("it has sparse tensors, which tagbert does not take"),
                _ => (),
            }
        }
        Ok(())
    }

    /// Counts a tensor's elements, and compares them with its data. Gives its name.
    fn add_tensor<'a>(&mut self, message: &'a [u8]) -> Result<&'a str> {
        let tensor = Weights::read(message)?;
        let about = || format!("tensor `{}`", tensor.name);
        let (bytes, elements) = tensor.size().with_context(about)?;
        let all = self.parameters.entry(tensor.kind.name).or_default();
        *all = all.saturating_add(elements);
        if let Some(range) = &tensor.external {
            let (file, end) = range.file_and_end(bytes).with_context(about)?;
            let external = self.external.entry(file.to_owned()).or_default();
            external.end = external.end.max(end);
            external.bytes = external.bytes.saturating_add(bytes);
            ensure!(self.external.len() <= MOST_LISTED, "its weights are in more than {MOST_LISTED} files");
        }
        Ok(tensor.name)
    }
}

/// Tensors in other files cost nothing to name, so all of them may be more than can be counted.
fn total<'c>(counts: impl Iterator<Item = &'c u64>) -> u64 {
    counts.fold(0, |all, count| all.saturating_add(*count))
}

fn list<T>(all: &mut Vec<T>, one: T) -> Result<()> {
    ensure!(all.len() < MOST_LISTED, "there are more than {MOST_LISTED}");
    all.push(one);
    Ok(())
}

fn described(message: &[u8]) -> Result<Tensor> {
    let mut tensor = Tensor { name: String::new(), kind: "unknown", shape: None };
    for field in fields(message) {
        match field? {
            (1, name) => name.text()?.clone_into(&mut tensor.name),
            (2, ty) => {
                for field in fields(ty.bytes()?) {
                    if let (1, of) = field? {
                        add_type(&mut tensor, of.bytes()?)?;
                    }
                }
            }
            _ => (),
        }
    }
    Ok(tensor)
}

fn add_type(tensor: &mut Tensor, message: &[u8]) -> Result<()> {
    for field in fields(message) {
        match field? {
            (1, kind) => tensor.kind = Kind::of(kind.number()?)?.name,
            (2, shape) => {
                let mut axes = Vec::new();
                for field in fields(shape.bytes()?) {
                    if let (1, length) = field? {
                        list(&mut axes, axis(length.bytes()?)?)?;
                    }
                }
                tensor.shape = Some(axes);
            }
            _ => (),
        }
    }
    Ok(())
}

fn axis(message: &[u8]) -> Result<Axis> {
    let mut axis = Axis::Named("?".into());
    for field in fields(message) {
        match field? {
            (1, length) => axis = Axis::Fixed(length.number()?),
            (2, name) => axis = Axis::Named(name.text()?.into()),
            _ => (),
        }
    }
    Ok(axis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that holds bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    /// A field that holds a number.
    fn number(number: u8, mut value: u64) -> Vec<u8> {
        let mut bytes = vec![number << 3];
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    #[test]
    fn more_parameters_than_can_be_counted_are_as_many_as_can_be() {
        for (kind, elements, times) in [(3, 1 << 60, 17), (1, 1 << 58, 65), (8, 1 << 62, 5)] {
            let location = [field(1, b"location"), field(2, b"weights")].concat();
            let tensor = [number(1, elements), number(2, kind), field(13, &location), number(14, 1)].concat();
            let value = field(1, b"x");
            let ends = [[11 << 3 | 2, 3], [12 << 3 | 2, 3]].map(|head| [&head[..], &value].concat()).concat();
            let main = [field(5, &tensor).repeat(times), ends].concat();
            let length = u16::try_from(main.len()).unwrap();
            let length = [length as u8 | 0x80, (length >> 7) as u8];
            let opset = field(8, &number(2, 17));
            let graph = Graph::read(&[number(1, 8), opset, [&[7 << 3 | 2], &length[..], &main].concat()].concat());
            let graph = graph.unwrap();
            assert_eq!(graph.parameter_count(), u64::MAX, "{kind}");
            assert!(["int8", "fp32"].contains(&graph.precision()));
        }
    }
}
