//! What models run on.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// What the model runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// CUDA if library and device are there, else CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, or none.
    Cuda(u32),
    /// `TensorRT` on the CUDA device of this number, or none. What it can't run, CUDA does.
    TensorRt(u32),
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, number.parse().ok()),
            None => (text.as_str(), Some(0)),
        };
        match (kind, number) {
            ("cuda", Some(number)) => Ok(Self::Cuda(number)),
            ("tensorrt", Some(number)) => Ok(Self::TensorRt(number)),
            _ if text == "auto" => Ok(Self::Auto),
            _ if text == "cpu" => Ok(Self::Cpu),
            _ => Err(format!("is `{text}`, which is no device: use auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N")),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        match device {
            Device::Auto => "auto".into(),
            Device::Cpu => "cpu".into(),
            Device::Cuda(number) => format!("cuda:{number}"),
            Device::TensorRt(number) => format!("tensorrt:{number}"),
        }
    }
}

/// What a model on a GPU is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuSettings {
    /// The most device memory for activations; without it, all there is.
    pub memory: Option<ByteSize>,
    /// The budget of a batch, in tokens.
    pub batch_tokens: usize,
}
