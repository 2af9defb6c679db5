//! What a model is run on, and in how many sessions.

use std::num::NonZeroUsize;

use anyhow::{Context, Result, anyhow};

use super::gpu::Gpu;
use super::runtime::{cores, environment};
use crate::config::Device;
use crate::model::graph::onnx::Graph;

/// A model has no more sessions on a CPU, unless it is told to.
const MOST_SESSIONS: usize = 4;

/// The GPU that a graph is run on; none is the CPU. `auto` is the first GPU if that can be used and the graph is for one.
///
/// # Errors
/// When the GPU that was asked for can't be used, or ONNX Runtime can't be loaded.
pub fn resolve(device: Device, graph: &Graph) -> Result<Option<Gpu>> {
    environment()?;
    let gpu = match device {
        Device::Cpu => return Ok(None),
        Device::Auto => Gpu { number: 0, tensorrt: false },
        Device::Cuda(number) => Gpu { number, tensorrt: false },
        Device::TensorRt(number) => Gpu { number, tensorrt: true },
    };
    // CUDA lacks some of its operators, which would run on the CPU after all.
    let for_cpus = graph.is_integer();
    if device == Device::Auto {
        let why = if for_cpus { Err(anyhow!("the graph is quantised for CPUs")) } else { gpu.check() };
        if let Err(why) = why {
            tracing::info!("device: cpu ({why:#})");
            return Ok(None);
        }
    } else {
        gpu.check().with_context(|| format!("{gpu} can't be used"))?;
        if for_cpus {
            tracing::warn!("the graph is quantised for CPUs, and parts of it don't run on a GPU: see docs/GPU.md");
        }
    }
    tracing::info!("device: {gpu}");
    Ok(Some(gpu))
}

/// How many sessions a model has on a GPU or the CPU, and how many threads each, where the settings do not say.
///
/// Sessions of one thread each get most out of cores: threads that share a batch wait for each other after each of its
/// operators. But each has the weights in memory, so on many cores they share.
#[must_use]
pub fn sessions(gpu: Option<Gpu>, sessions: Option<NonZeroUsize>, threads: Option<NonZeroUsize>) -> (usize, usize) {
    let cores = cores();
    let usual = match (gpu, threads) {
        (None, None) => cores.min(MOST_SESSIONS),
        (None, Some(threads)) => cores.div_ceil(threads.get()).min(MOST_SESSIONS),
        _ => 1,
    };
    let sessions = sessions.map_or(usual, Into::into);
    (sessions, threads.map_or((cores / sessions).max(1), Into::into))
}
