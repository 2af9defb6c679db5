//! ONNX Runtime itself: its library, loaded when it is first needed, and the device it runs on.

use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::session::builder::SessionBuilder;

use crate::config::Device;

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

/// The device that `auto` stands for here.
///
/// # Errors
/// When ONNX Runtime can't be loaded.
pub fn resolve(device: Device) -> Result<Device> {
    environment()?;
    if device != Device::Auto {
        return Ok(device);
    }
    match cuda(0) {
        Ok(_) => {
            tracing::info!("device: cuda:0");
            Ok(Device::Cuda(0))
        }
        Err(error) => {
            tracing::info!("device: cpu ({error})");
            Ok(Device::Cpu)
        }
    }
}

/// Whether sessions on the device run on a GPU.
#[must_use]
pub fn is_cuda(device: Device) -> bool {
    match device {
        Device::Cpu => false,
        Device::Cuda(_) => true,
        Device::Auto => cuda(0).is_ok(),
    }
}

/// How many sessions a model has on a device, and how many threads each, where the settings do not say.
///
/// Sessions of one thread each get most out of cores: threads that share a batch wait for each other after each of its
/// operators. But each has the weights in memory, so on many cores they share.
#[must_use]
pub fn sessions(device: Device, sessions: Option<NonZeroUsize>, threads: Option<NonZeroUsize>) -> (usize, usize) {
    let cores = cores();
    let usual = match (device, threads) {
        (Device::Cpu, None) => cores.min(MOST_SESSIONS),
        (Device::Cpu, Some(threads)) => cores.div_ceil(threads.get()).min(MOST_SESSIONS),
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

/// A builder of sessions on the device, with so many threads where that is the CPU.
///
/// # Errors
/// When a CUDA device was asked for and can't be had.
pub fn session_builder(device: Device, threads: usize) -> Result<SessionBuilder> {
    match resolve(device)? {
        Device::Cuda(number) => cuda(number),
        _ => cpu(threads),
    }
}

fn cpu(threads: usize) -> Result<SessionBuilder> {
    let builder = SessionBuilder::new(environment()?)?;
    // Batches differ in shape; a plan of memory for each shape would only pile up.
    let builder = builder.with_memory_pattern(false).map_err(ort::Error::<()>::from)?;
    // Threads that spin while they wait take the cores from who has work.
    let builder = builder.with_intra_op_spinning(false).map_err(ort::Error::<()>::from)?;
    builder.with_intra_threads(threads).map_err(|error| anyhow!("{error}"))
}

fn cuda(number: u32) -> Result<SessionBuilder> {
    let environment = environment()?;
    let provider = CUDA::default().with_device_id(i32::try_from(number)?);
    ensure!(CUDA::is_available()?, "this ONNX Runtime library has no CUDA provider");
    // Without `error_on_failure` it would fall back to the CPU without a word.
    let providers = [provider.build().error_on_failure()];
    let builder = SessionBuilder::new(environment)?.with_execution_providers(providers);
    builder.map_err(|error| anyhow!("{error}")).with_context(|| format!("cuda:{number} can't be used"))
}
