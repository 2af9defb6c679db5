//! ONNX Runtime itself: its library, loaded when it is first needed, and the device it runs on.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;

use crate::config::most_cores;

const LIBRARY: &str = "libonnxruntime.so";

/// Where a program that is no executable of ours has it.
static BROUGHT: OnceLock<PathBuf> = OnceLock::new();

/// Says where the library is that came with us, if that is not beside the executable. It is of use before the first model.
pub fn brought(library: PathBuf) {
    let _ = BROUGHT.set(library);
}

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

/// `ORT_DYLIB_PATH`, or the library that came with us, or the one beside the executable, or whatever the system's loader finds.
fn library() -> PathBuf {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH") {
        return path.into();
    }
    if let Some(brought) = BROUGHT.get() {
        return brought.clone();
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

/// Not ONNX Runtime's own count, which is of the machine's cores: this one knows the container's share.
#[must_use]
pub fn cores() -> usize {
    let given = std::thread::available_parallelism().map_or(1, usize::from);
    most_cores().map_or(given, |most| most.min(given))
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
