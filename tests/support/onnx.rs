//! ONNX models made by hand: as much of `onnx.proto3` as the tests need, and a small graph to spoil.

use prost::Message;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    #[prost(string, tag = "2")]
    pub producer: String,
    #[prost(message, optional, boxed, tag = "7")]
    pub graph: Option<Box<Graph>>,
    #[prost(message, repeated, tag = "8")]
    pub opsets: Vec<Opset>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Opset {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<Node>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializers: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub inputs: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    pub outputs: Vec<Value>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    pub inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub outputs: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub operator: String,
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<Attribute>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, optional, tag = "3")]
    pub number: Option<i64>,
    #[prost(message, optional, boxed, tag = "6")]
    pub graph: Option<Box<Graph>>,
    #[prost(int64, repeated, tag = "8")]
    pub numbers: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub axes: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub kind: i32,
    #[prost(float, repeated, tag = "4")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, tag = "7")]
    pub numbers: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes, optional, tag = "9")]
    pub raw: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "13")]
    pub external: Vec<Entry>,
    #[prost(int32, tag = "14")]
    pub location: i32,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub ty: Option<Type>,
}

/// `TypeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub axes: Vec<Axis>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub struct Axis {
    #[prost(int64, optional, tag = "1")]
    pub length: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

pub const FLOAT32: i32 = 1;
pub const INT32: i32 = 6;
pub const INT64: i32 = 7;
pub const BOOL: i32 = 9;
pub const FLOAT64: i32 = 11;

/// An input or output; an axis is a number, or a name.
pub fn value(name: &str, kind: i32, shape: &[&str]) -> Value {
    let axis = |text: &&str| match text.parse() {
        Ok(length) => Axis { length: Some(length), name: None },
        Err(_) => Axis { length: None, name: Some((*text).to_owned()) },
    };
    let shape = Shape { axes: shape.iter().map(axis).collect() };
    Value { name: name.into(), ty: Some(Type { tensor: Some(TensorType { kind, shape: Some(shape) }) }) }
}

/// A node.
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Attribute]) -> Node {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Node {
        operator: operator.into(),
        inputs: owned(inputs),
        outputs: owned(outputs),
        attributes: attributes.to_vec(),
        ..Node::default()
    }
}

/// An attribute that is a number.
pub fn number(name: &str, number: i64) -> Attribute {
    Attribute { name: name.into(), number: Some(number), kind: 2, ..Attribute::default() }
}

/// An attribute that is a list of numbers.
pub fn numbers(name: &str, numbers: &[i64]) -> Attribute {
    Attribute { name: name.into(), numbers: numbers.to_vec(), kind: 7, ..Attribute::default() }
}

/// An attribute that is a graph.
pub fn subgraph(name: &str, graph: Graph) -> Attribute {
    Attribute { name: name.into(), graph: Some(Box::new(graph)), kind: 5, ..Attribute::default() }
}

/// Weights.
pub fn floats(name: &str, axes: &[i64], floats: &[f32]) -> Tensor {
    Tensor { name: name.into(), axes: axes.to_vec(), kind: FLOAT32, floats: floats.to_vec(), ..Tensor::default() }
}

/// Whole numbers.
pub fn integers(name: &str, axes: &[i64], numbers: &[i64]) -> Tensor {
    Tensor { name: name.into(), axes: axes.to_vec(), kind: INT64, numbers: numbers.to_vec(), ..Tensor::default() }
}

impl Model {
    /// A classifier of two labels: the mean of the token ids, once as it is and once negated.
    pub fn toy() -> Self {
        let graph = Graph {
            name: "toy".into(),
            nodes: vec![
                node("Mul", &["input_ids", "attention_mask"], &["seen"], &[]),
                node("Cast", &["seen"], &["floats"], &[number("to", FLOAT32.into())]),
                node("ReduceMean", &["floats"], &["mean"], &[numbers("axes", &[1]), number("keepdims", 1)]),
                node("MatMul", &["mean", "weights"], &["logits"], &[]),
            ],
            initializers: vec![floats("weights", &[1, 2], &[0.01, -0.01])],
            inputs: ["input_ids", "attention_mask"].map(|name| value(name, INT64, &["batch", "tokens"])).to_vec(),
            outputs: vec![value("logits", FLOAT32, &["batch", "2"])],
        };
        let opsets = vec![Opset { domain: String::new(), version: 13 }];
        Self { ir_version: 8, producer: "tests".into(), graph: Some(Box::new(graph)), opsets }
    }

    /// Its graph.
    pub fn graph(&mut self) -> &mut Graph {
        self.graph.as_mut().unwrap()
    }

    /// Puts nodes between the toy's result and its output: they make `logits` of `plain`.
    pub fn finish(&mut self, nodes: impl IntoIterator<Item = Node>) {
        self.graph().nodes.last_mut().unwrap().outputs = vec!["plain".into()];
        self.graph().nodes.extend(nodes);
    }
}
