//! What an ONNX file says of its graph, read without running it.

pub mod graph_file;
pub mod onnx;
pub mod protobuf;
mod weights;
