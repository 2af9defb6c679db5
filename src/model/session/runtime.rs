//! ONNX Runtime itself: its library, loaded when it is first needed, and the device it runs on.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;

use super::gpu::{self, Gpu};
use crate::config::Device;
use crate::model::graph::onnx::Graph;

const LIBRARY: &str = "libonnxruntime.so";

/// A model has no more sessions on a CPU, unless it is told to.
const MOST_SESSIONS: usize = 4;

/// The process' ONNX Runtime environment.
///
/// # Errors
/// When the library can't be found or is too old.
pub fn environment() -> Result<&'static Environment> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let loaded = ENVIRONMENT.get_or_init(|| {
        let library = library();
        let builder = ort::init_from(&library).map_err(|error| format!("{}: {error}", library.display()))?;
        builder.with_name("tagbert").with_telemetry(false).build().map_err(|error| error.to_string())
    });
    loaded.as_ref().map_err(|error| {
        anyhow!("ONNX Runtime can't be loaded: {error}. Run `make build`, or set ORT_DYLIB_PATH to {LIBRARY}")
    })
}

/// `ORT_DYLIB_PATH`, or the library beside the executable, or whatever the system's loader finds.
fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return path.into();
    }
    let beside = std::env::current_exe().ok().and_then(|executable| Some(executable.parent()?.join(LIBRARY)));
    beside.filter(|path| path.exists()).unwrap_or_else(|| LIBRARY.into())
}

/// The library's version.
///
/// # Errors
/// When the library can't be loaded.
#[expect(unsafe_code, reason = "ort keeps the version to itself, so the library is asked through its C interface")]
pub fn version() -> Result<String> {
    environment()?;
    // SAFETY: the environment has loaded the very same library, and checked that it is ONNX Runtime; its interface is
    // `const OrtApiBase* OrtGetApiBase(void)`, and the version is a string that lives as long as the library.
    unsafe {
        let library = libloading::Library::new(library())?;
        let base = library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")?;
        let version = CStr::from_ptr(((*base()).GetVersionString)());
        Ok(version.to_str()?.to_owned())
    }
}

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
    let for_cpus = gpu::is_for_cpus(graph);
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

/// Not ONNX Runtime's own count, which is of the machine's cores: this one knows the container's share.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A builder of sessions on the CPU, with so many threads.
///
/// # Errors
/// When ONNX Runtime can't be loaded.
pub fn cpu(threads: usize) -> Result<SessionBuilder> {
    let builder = SessionBuilder::new(environment()?)?;
    // Batches differ in shape; a plan of memory for each shape would only pile up.
    let builder = builder.with_memory_pattern(false).map_err(ort::Error::<()>::from)?;
    // Threads that spin while they wait take the cores from who has work.
    let builder = builder.with_intra_op_spinning(false).map_err(ort::Error::<()>::from)?;
    builder.with_intra_threads(threads).map_err(|error| anyhow!("{error}"))
}
