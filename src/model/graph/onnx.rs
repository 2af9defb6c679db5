//! What an ONNX file says of itself, and whether it can be true: read before ONNX Runtime sees the file (G-53).
//!
//! The numbers are those of the fields in `onnx.proto3`.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use super::protobuf::{Value, fields};

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
        self.parameters.values().sum()
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
        let count = |kinds: &[&str]| kinds.iter().filter_map(|kind| self.parameters.get(*kind)).sum::<u64>();
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
        *self.parameters.entry(tensor.kind.name).or_default() += elements;
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

/// A type of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    /// 0 for texts, whose sizes differ.
    bits: u64,
}

/// The types by their numbers in `TensorProto.DataType`, from 1 on.
const KINDS: [(&str, u64); 26] = [
    ("float32", 32),
    ("uint8", 8),
    ("int8", 8),
    ("uint16", 16),
    ("int16", 16),
    ("int32", 32),
    ("int64", 64),
    ("string", 0),
    ("bool", 8),
    ("float16", 16),
    ("float64", 64),
    ("uint32", 32),
    ("uint64", 64),
    ("complex64", 64),
    ("complex128", 128),
    ("bfloat16", 16),
    ("float8e4m3fn", 8),
    ("float8e4m3fnuz", 8),
    ("float8e5m2", 8),
    ("float8e5m2fnuz", 8),
    ("uint4", 4),
    ("int4", 4),
    ("float4e2m1", 4),
    ("float8e8m0", 8),
    ("uint2", 2),
    ("int2", 2),
];

impl Kind {
    fn of(number: u64) -> Result<Self> {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let (name, bits) = place.and_then(|place| KINDS.get(place)).with_context(|| format!("no type {number}"))?;
        Ok(Self { name, bits: *bits })
    }
}

/// A tensor with data.
struct Weights<'a> {
    name: &'a str,
    kind: Kind,
    /// The product of its axes.
    elements: u64,
    /// Its data as bytes.
    raw: Option<u64>,
    /// Its data as numbers or texts.
    typed: u64,
    external: Option<Range<'a>>,
}

/// Where the data of a tensor is in another file.
#[derive(Default)]
struct Range<'a> {
    file: &'a str,
    offset: u64,
    length: Option<u64>,
}

impl<'a> Weights<'a> {
    fn read(message: &'a [u8]) -> Result<Self> {
        let (mut name, mut kind, mut raw, mut typed, mut elsewhere) = ("", 0, None, 0_u64, false);
        let (mut elements, mut empty, mut range) = (Some(1_u64), false, Range::default());
        for field in fields(message) {
            match field? {
                (1, shape) => {
                    for axis in shape.numbers() {
                        let axis = axis?;
                        ensure!(i64::try_from(axis).is_ok(), "an axis of negative length");
                        empty |= axis == 0;
                        elements = elements.and_then(|elements| elements.checked_mul(axis));
                    }
                }
                (2, number) => kind = number.number()?,
                (4, Value::Bytes(floats)) => typed += floats.len() as u64 / 4,
                (10, Value::Bytes(doubles)) => typed += doubles.len() as u64 / 8,
                // A number ends with the byte whose highest bit is not set.
                (5 | 7 | 11, Value::Bytes(numbers)) => {
                    typed += numbers.iter().filter(|byte| **byte < 0x80).count() as u64;
                }
                (6, _) | (4 | 5 | 7 | 10 | 11, Value::Number(_)) => typed += 1,
                (8, text) => name = text.text()?,
                (9, data) => raw = Some(data.bytes()?.len() as u64),
                (13, entry) => range.add(entry.bytes()?)?,
                (14, place) => elsewhere = place.number()? == 1,
                _ => (),
            }
        }
        let elements = if empty { Some(0) } else { elements };
        let elements = elements.with_context(|| format!("tensor `{name}` has more elements than can be counted"))?;
        let kind = Kind::of(kind).with_context(|| format!("tensor `{name}`"))?;
        Ok(Self { name, kind, elements, raw, typed, external: elsewhere.then_some(range) })
    }

    /// How many bytes it should have, and how many elements, if its data is as long as that.
    fn size(&self) -> Result<(u64, u64)> {
        let Kind { name, bits } = self.kind;
        let elements = self.elements;
        let bits_of_all = elements.checked_mul(bits).context("it has more elements than can be counted")?;
        let bytes = bits_of_all.div_ceil(8);
        if self.external.is_some() {
            return Ok((bytes, elements));
        }
        if let Some(raw) = self.raw.filter(|_| self.typed == 0) {
            ensure!(raw == bytes, "{elements} elements of type {name} are {bytes} bytes, and its data has {raw}");
            return Ok((bytes, elements));
        }
        let typed = match name {
            "complex64" | "complex128" => self.typed / 2,
            // An int32 holds one, or as many as fit into a byte.
            _ if bits > 0 && bits < 8 && self.typed < elements => self.typed.saturating_mul(8 / bits).min(elements),
            _ => self.typed,
        };
        ensure!(typed == elements, "it has {elements} elements of type {name}, and data for {typed}");
        Ok((bytes, elements))
    }
}

impl<'a> Range<'a> {
    fn add(&mut self, entry: &'a [u8]) -> Result<()> {
        let (mut key, mut value) = ("", "");
        for field in fields(entry) {
            match field? {
                (1, text) => key = text.text()?,
                (2, text) => value = text.text()?,
                _ => (),
            }
        }
        let number = || value.parse::<u64>().with_context(|| format!("the {key} of external data is `{value}`"));
        match key {
            "location" => self.file = value,
            "offset" => self.offset = number()?,
            "length" => self.length = Some(number()?),
            _ => (),
        }
        Ok(())
    }

    fn file_and_end(&self, bytes: u64) -> Result<(&'a str, u64)> {
        let length = self.length.unwrap_or(bytes);
        ensure!(length == bytes, "it needs {bytes} bytes, and has {length} in `{}`", self.file);
        let end = self.offset.checked_add(length).context("its external data ends nowhere")?;
        Ok((self.file, end))
    }
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
