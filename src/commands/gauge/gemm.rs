//! What the machine can do at best: the matrix products of a layer and nothing else, run by the same ONNX Runtime.
//!
//! The graph is written here: a few hundred bytes. Its weights are the outputs of `ConstantOfShape`, which ONNX Runtime
//! computes once, when it opens the graph; so they are packed for the processor as a model's are.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;
use serde::Serialize;

use super::shape::Shape;
use crate::model::session::runtime;

/// What is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// Bytes: unsigned ones by signed ones, summed in 32 bits.
    Int8,
}

/// Rows at a time: fewer do not fill the cores, and the results of more do not fit into their caches.
const ROWS: [usize; 3] = [128, 512, 2048];

/// How long a shape is run at least.
const AT_LEAST: Duration = Duration::from_millis(30);

/// The products of one layer.
#[derive(Debug)]
pub struct Gemm {
    session: Session,
    precision: Precision,
    /// The widths of the two inputs.
    widths: [usize; 2],
    /// Operations for each row.
    operations: f64,
}

impl Gemm {
    /// Those of a layer of this shape, on the CPU.
    ///
    /// # Errors
    /// When ONNX Runtime can't be had.
    pub fn open(shape: Shape, precision: Precision) -> Result<Self> {
        let mut builder = runtime::cpu(runtime::cores())?;
        let session = builder.commit_from_memory(&graph(shape, precision)).map_err(|error| anyhow!("{error}"))?;
        let widths = [shape.hidden as usize, shape.intermediate as usize];
        Ok(Self { session, precision, widths, operations: 2.0 * (shape.weights() / shape.layers) as f64 })
    }

    /// Operations a second, at the number of rows that is best.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn measure(&mut self) -> Result<f64> {
        ROWS.iter().try_fold(0.0, |best: f64, &rows| Ok(best.max(self.rate(rows)?)))
    }

    fn rate(&mut self, rows: usize) -> Result<f64> {
        self.run(rows)?;
        let (started, mut runs) = (Instant::now(), 0);
        while started.elapsed() < AT_LEAST {
            self.run(rows)?;
            runs += 1;
        }
        Ok(self.operations * rows as f64 * f64::from(runs) / started.elapsed().as_secs_f64())
    }

    fn run(&mut self, rows: usize) -> Result<()> {
        let [narrow, wide] = self.widths;
        let (shape, wide_shape) = ([rows, narrow], [rows, wide]);
        let (floats, bytes);
        let inputs: [SessionInputValue; 2] = match self.precision {
            Precision::Fp32 => {
                floats = vec![0.5_f32; rows * wide.max(narrow)];
                let of = |shape: [usize; 2]| TensorRef::from_array_view((shape, &floats[..shape[0] * shape[1]]));
                [of(shape)?.into(), of(wide_shape)?.into()]
            }
            Precision::Int8 => {
                bytes = vec![77_u8; rows * wide.max(narrow)];
                let of = |shape: [usize; 2]| TensorRef::from_array_view((shape, &bytes[..shape[0] * shape[1]]));
                [of(shape)?.into(), of(wide_shape)?.into()]
            }
        };
        self.session.run(inputs)?;
        Ok(())
    }
}

/// An ONNX model: query, key and value in one, what the attention gives, up and down.
fn graph(Shape { hidden, intermediate, .. }: Shape, precision: Precision) -> Vec<u8> {
    let products =
        [("x", hidden, 3 * hidden), ("x", hidden, hidden), ("x", hidden, intermediate), ("wide", intermediate, hidden)];
    // Numbers of `TensorProto.DataType`.
    let (fp32, uint8, int8, int32, int64) = (1, 2, 3, 6, 7);
    let (from, weight, to, operator) = match precision {
        Precision::Fp32 => (fp32, fp32, fp32, "MatMul"),
        Precision::Int8 => (uint8, int8, int32, "MatMulInteger"),
    };
    let mut graph = text(2, "gemm");
    for (number, &(input, rows, columns)) in products.iter().enumerate() {
        // Each has another value, or two could become one.
        let value = match precision {
            Precision::Fp32 => (1.0 / (number as f32 + 3.0)).to_le_bytes().to_vec(),
            Precision::Int8 => vec![number as u8 + 3],
        };
        let shape = [rows.to_le_bytes(), columns.to_le_bytes()].concat();
        let [of_shape, weights, output] = ["s", "w", "y"].map(|letter| format!("{letter}{number}"));
        graph.extend(node("Constant", &[], &of_shape, Some(&tensor(int64, 2, &shape))));
        graph.extend(node("ConstantOfShape", &[&of_shape], &weights, Some(&tensor(weight, 1, &value))));
        graph.extend(node(operator, &[input, &weights], &output, None));
        graph.extend(bytes(12, &described(&output, to, columns)));
    }
    graph.extend(bytes(11, &described("x", from, hidden)));
    graph.extend(bytes(11, &described("wide", from, intermediate)));
    [number(1, 8), bytes(7, &graph), bytes(8, &number(2, 17))].concat()
}

/// A field of a graph: a node with one output, and perhaps one attribute, its value.
fn node(operator: &str, inputs: &[&str], output: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| text(1, input)).collect();
    node.extend([text(2, output), text(4, operator)].concat());
    // 4: the attribute is a tensor.
    node.extend(value.iter().flat_map(|value| bytes(5, &[text(1, "value"), bytes(5, value), number(20, 4)].concat())));
    bytes(1, &node)
}

fn tensor(kind: u64, elements: u64, data: &[u8]) -> Vec<u8> {
    [number(1, elements), number(2, kind), bytes(9, data)].concat()
}

/// An input or output of `[rows, width]`.
fn described(name: &str, kind: u64, width: u64) -> Vec<u8> {
    let axes = [bytes(1, &text(2, "rows")), bytes(1, &number(1, width))].concat();
    let tensor = [number(1, kind), bytes(2, &axes)].concat();
    [text(1, name), bytes(2, &bytes(1, &tensor))].concat()
}

fn text(field: u64, text: &str) -> Vec<u8> {
    bytes(field, text.as_bytes())
}

fn bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
    [&variable(field << 3 | 2), &variable(bytes.len() as u64), bytes].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [variable(field << 3), variable(value)].concat()
}

fn variable(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::graph::onnx::Graph;

    const SHAPE: Shape = Shape { layers: 2, hidden: 32, intermediate: 64 };

    #[test]
    fn the_graph_is_what_onnx_says_and_has_no_weights() {
        for (precision, operator) in [(Precision::Fp32, "MatMul"), (Precision::Int8, "MatMulInteger")] {
            let file = graph(SHAPE, precision);
            assert!(file.len() < 1500, "{} bytes", file.len());
            let read = Graph::read(&file).unwrap();
            assert_eq!(read.operators[operator], 4);
            assert!(read.parameter_count() <= 12, "shapes and single values alone");
        }
    }

    #[test]
    fn onnx_runtime_computes_the_weights_once_when_it_opens_the_graph() {
        for precision in [Precision::Fp32, Precision::Int8] {
            let folder = tempfile::tempdir().unwrap();
            let optimized = folder.path().join("optimized.onnx");
            let builder = runtime::cpu(1).unwrap();
            let mut builder = builder.with_optimized_model_path(&optimized).unwrap();
            builder.commit_from_memory(&graph(SHAPE, precision)).unwrap();
            let read = Graph::read(&std::fs::read(optimized).unwrap()).unwrap();
            assert!(!read.operators.contains_key("ConstantOfShape"), "{:?}", read.operators);
            assert_eq!(read.parameter_count(), SHAPE.weights() / SHAPE.layers);
        }
    }

    #[test]
    fn it_runs_in_either_precision() {
        for precision in [Precision::Fp32, Precision::Int8] {
            assert!(Gemm::open(SHAPE, precision).unwrap().measure().unwrap() > 0.0);
        }
    }
}
