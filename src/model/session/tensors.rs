//! The tensors of a batch: inputs in memory that is used again, and outputs of which only what counts is read.

use std::ops::Range;

use anyhow::Result;
use half::f16;
use ort::memory::Allocator;
use ort::value::{DynTensor, DynValue, TensorElementType};

use crate::model::tokenize::Frame;

/// What an input says of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Its id.
    Id,
    /// 1, and 0 of padding.
    IsThere,
    /// Which of two texts it is part of. There is only one: all are 0.
    Text,
}

/// An input of the graph.
#[derive(Debug)]
pub(super) struct Input {
    pub name: &'static str,
    says: Says,
    is_int32: bool,
    /// The last batch's, which the next one of its shape uses again.
    ///
    /// It is a whole tensor and no view of a larger one: `ort` (2.0.0-rc.15) copies what is borrowed when it binds it, and
    /// waits for ever for a lock that it holds itself.
    tensor: Option<DynTensor>,
}

impl Input {
    /// An input of int32, or else of int64.
    pub fn new(name: &'static str, says: Says, is_int32: bool) -> Self {
        Self { name, says, is_int32, tensor: None }
    }

    /// A batch as a tensor in that memory.
    pub fn tensor(&mut self, memory: &Allocator, batch: &[&[u32]], frame: &Frame, width: usize) -> Result<&DynTensor> {
        let shape = [batch.len() as i64, width as i64];
        let kind = if self.is_int32 { TensorElementType::Int32 } else { TensorElementType::Int64 };
        let tensor = match self.tensor.take().filter(|last| **last.shape() == shape) {
            Some(last) => last,
            None => DynTensor::new(memory, kind, shape)?,
        };
        let tensor = self.tensor.insert(tensor);
        if self.is_int32 {
            write(tensor.try_extract_tensor_mut()?.1, self.says, batch, frame, width, u32::cast_signed);
        } else {
            write(tensor.try_extract_tensor_mut()?.1, self.says, batch, frame, width, i64::from);
        }
        Ok(tensor)
    }
}

fn write<T: Copy>(to: &mut [T], says: Says, batch: &[&[u32]], frame: &Frame, width: usize, of: impl Fn(u32) -> T) {
    for (row, ids) in to.chunks_exact_mut(width.max(1)).zip(batch) {
        let (used, padding) = row.split_at_mut(frame.len() + ids.len());
        match says {
            Says::Id => {
                let framed = frame.prefix.iter().chain(*ids).chain(&frame.suffix);
                used.iter_mut().zip(framed).for_each(|(to, id)| *to = of(*id));
                padding.fill(of(frame.pad));
            }
            Says::IsThere => {
                used.fill(of(1));
                padding.fill(of(0));
            }
            Says::Text => row.fill(of(0)),
        }
    }
}

/// An output's values.
pub(super) enum Floats<'a> {
    Single(&'a [f32]),
    Half(&'a [f16]),
}

impl<'a> Floats<'a> {
    /// Its shape and its values.
    pub fn of(value: &'a DynValue) -> Result<(&'a [i64], Self)> {
        if let Ok((shape, values)) = value.try_extract_tensor::<f16>() {
            return Ok((shape, Self::Half(values)));
        }
        let (shape, values) = value.try_extract_tensor::<f32>()?;
        Ok((shape, Self::Single(values)))
    }

    /// A part of them.
    pub fn part(&self, part: Range<usize>) -> Vec<f32> {
        match self {
            Self::Single(values) => values[part].to_vec(),
            Self::Half(values) => values[part].iter().map(|value| value.to_f32()).collect(),
        }
    }
}
