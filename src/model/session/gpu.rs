//! Sessions on a GPU: by CUDA, or by `TensorRT` with CUDA behind it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytesize::ByteSize;
use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider, ExecutionProviderDispatch, TensorRT};
use ort::logging::LogLevel;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::runtime::environment;
use super::widths::Widths;
use crate::config::GpuSettings;
use crate::model::files::fetch;
use crate::model::graph::onnx::{Graph, INTEGER};

/// What a GPU is to be prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// What the file says of the graph.
    pub graph: &'a Graph,
    /// A hash of the model's files.
    pub version: &'a str,
    /// The most tokens of a row, special ones included.
    pub max_tokens: usize,
    /// What the configuration says.
    pub settings: GpuSettings,
}

/// The least that is a graph: `y = Identity(x)`.
const NOTHING: &[u8] = b"\x08\x08\x42\x02\x10\x0d\x3a\x2b\
    \x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity\x12\x01g\
    \x5a\x09\x0a\x01x\x12\x04\x0a\x02\x08\x01\x62\x09\x0a\x01y\x12\x04\x0a\x02\x08\x01";

/// `TensorRT` reserves memory for its most rows of its most tokens at once. Batches of more rows, which are short, are
/// run in parts: batches of rows this long still go in one.
const TENSORRT_WIDTH: usize = 64;

/// How long documents usually are: what `TensorRT` tunes itself for.
const TENSORRT_USUAL_WIDTH: usize = 128;

/// A GPU, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number.
    pub number: u32,
    /// Whether by `TensorRT`.
    pub tensorrt: bool,
}

impl Gpu {
    /// The most rows that it runs at once.
    #[must_use]
    pub fn most_rows(self, settings: GpuSettings) -> usize {
        if self.tensorrt { (settings.batch_tokens / TENSORRT_WIDTH).max(1) } else { usize::MAX }
    }

    /// Checks that the device and the libraries of CUDA are there. That shows only when a graph is put on it.
    ///
    /// # Errors
    /// When they are not, with what to do.
    pub fn check(self) -> Result<()> {
        ensure!(CUDA::is_available()?, "this ONNX Runtime library has no CUDA provider; `make ort-gpu` fetches one");
        let builder = builder([self.cuda(None)?])?;
        told(builder.with_log_level(LogLevel::Fatal).map_err(ort::Error::<()>::from)?.commit_from_memory(NOTHING))?;
        Ok(())
    }

    /// Opens a graph on it.
    ///
    /// # Errors
    /// When the graph, or what `TensorRT` needs, can't be used.
    pub fn open(self, file: &Path, plan: Plan) -> Result<Session> {
        let cuda = self.cuda(plan.settings.memory)?;
        let builder = if self.tensorrt {
            let builder = self.tensorrt(plan).and_then(|tensorrt| builder([tensorrt, cuda]));
            builder.with_context(|| format!("{self} can't be used"))?
        } else {
            builder([cuda])?
        };
        // A plan of memory for each shape would only pile up; and weights don't have to share the arena of activations.
        let builder = builder.with_memory_pattern(false).map_err(ort::Error::<()>::from)?;
        let mut builder = builder.with_device_allocated_initializers().map_err(ort::Error::<()>::from)?;
        told(builder.commit_from_file(file))
    }

    // TF32 stays off, as it is by default: an fp32 graph gives the answers of fp32. For speed there is fp16.
    fn cuda(self, memory: Option<ByteSize>) -> Result<ExecutionProviderDispatch> {
        let mut cuda = CUDA::default()
            .with_device_id(i32::try_from(self.number)?)
            // Powers of two would take up to twice the memory; and the largest batches of the warm-up come first.
            .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
        if let Some(memory) = memory {
            cuda = cuda.with_memory_limit(usize::try_from(memory.as_u64())?);
        }
        // Without `error_on_failure` it would fall back to the CPU without a word.
        Ok(cuda.build().error_on_failure())
    }

    fn tensorrt(self, plan: Plan) -> Result<ExecutionProviderDispatch> {
        ensure!(
            TensorRT::is_available()?,
            "this ONNX Runtime library has no TensorRT provider; `make ort-gpu` fetches one"
        );
        vet_for_tensorrt(plan.graph)?;
        let cache = engines(plan)?;
        let [least, usual, most] = self.profile(plan);
        let mut tensorrt = TensorRT::default()
            .with_device_id(i32::try_from(self.number)?)
            .with_fp16(true)
            .with_layer_norm_fp32_fallback(true)
            .with_profile_min_shapes(least)
            .with_profile_opt_shapes(usual)
            .with_profile_max_shapes(most)
            .with_engine_cache(true)
            .with_engine_cache_path(cache.display())
            .with_timing_cache(true)
            .with_timing_cache_path(cache.display());
        if let Some(memory) = plan.settings.memory {
            tensorrt = tensorrt.with_max_workspace_size(usize::try_from(memory.as_u64())?);
        }
        Ok(tensorrt.build().error_on_failure())
    }

    /// The least, the usual and the largest shape of each input. One profile for all: of several, ONNX Runtime used
    /// only the first (its pull request 31624), and without any, each new shape would build the engine anew.
    fn profile(self, plan: Plan) -> [String; 3] {
        let widths = Widths::few(plan.max_tokens);
        let usual = widths.of(TENSORRT_USUAL_WIDTH.min(plan.max_tokens));
        let most_rows = self.most_rows(plan.settings);
        let rows = (plan.settings.batch_tokens / usual).clamp(1, most_rows);
        [(1, widths.of(1)), (rows, usual), (most_rows, plan.max_tokens)].map(|(rows, width)| {
            let shapes = plan.graph.inputs.iter().map(|input| format!("{}:{rows}x{width}", input.name));
            shapes.collect::<Vec<_>>().join(",")
        })
    }

    /// Host memory that the GPU reads and writes by itself, and how outputs are to be bound to it.
    ///
    /// # Errors
    /// When there is none.
    pub fn pinned_memory(self, session: &Session) -> Result<(Allocator, MemoryInfo<'static>)> {
        let info = |kind| {
            MemoryInfo::new(AllocationDevice::CUDA_PINNED, self.number.cast_signed(), AllocatorType::Device, kind)
        };
        let allocator = Allocator::new(session, info(MemoryType::CPUInput)?)
            .with_context(|| format!("pinned memory of cuda:{} can't be had", self.number))?;
        Ok((allocator, info(MemoryType::CPUOutput)?))
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", if self.tensorrt { "tensorrt" } else { "cuda" }, self.number)
    }
}

/// A graph in pieces, some by `TensorRT` and some not, would need a profile for each of them.
fn vet_for_tensorrt(graph: &Graph) -> Result<()> {
    let mut operators = graph.operators.keys();
    if let Some(name) = operators.find(|name| name.starts_with("com.microsoft.") || INTEGER.contains(&name.as_str())) {
        bail!(
            "the graph has {name}, which TensorRT can't run: use the fp32 graph as it was exported (`model.variant`), or \
             `model.device: cuda`"
        );
    }
    Ok(())
}

fn builder<const N: usize>(providers: [ExecutionProviderDispatch; N]) -> Result<SessionBuilder> {
    told(SessionBuilder::new(environment()?)?.with_execution_providers(providers))
}

fn told<T, E: fmt::Display>(result: Result<T, E>) -> Result<T> {
    result.map_err(|error| anyhow!(reason(&error.to_string())))
}

/// Where `TensorRT` keeps what it builds. ONNX Runtime knows an engine by its graph's shape, not by its weights, so each
/// version of a model has a directory of its own.
fn engines(plan: Plan) -> Result<PathBuf> {
    let cache = fetch::Settings::from_environment().cache;
    let cache = cache.context("there is no place for TensorRT's engines: set TAGBERT_CACHE to a directory")?;
    let engines = cache.join("tensorrt").join(plan.version);
    std::fs::create_dir_all(&engines).with_context(|| {
        format!(
            "{}: can't be made, for TensorRT's engines: set TAGBERT_CACHE to a directory with room",
            engines.display()
        )
    })?;
    Ok(engines)
}

/// What ONNX Runtime means, in one line, and what to do.
fn reason(error: &str) -> String {
    if let Some((before, _)) = error.split_once(": cannot open shared object file") {
        let library = before.rsplit([' ', '/']).next().unwrap_or(before);
        let what = if library.starts_with("libonnxruntime") {
            "run `make ort-gpu`, which puts it beside libonnxruntime.so"
        } else if library.starts_with("libcuda.so") {
            "install the NVIDIA driver"
        } else if library.starts_with("libnvinfer") || library.starts_with("libnvonnxparser") {
            "install TensorRT 10"
        } else {
            "install CUDA 13 and cuDNN 9"
        };
        return format!("{library} is missing: {what} (docs/GPU.md)");
    }
    match error.find("CUDA failure") {
        Some(at) => error[at..].split(';').next().unwrap_or_default().trim_end().to_owned(),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::graph::onnx::Tensor;

    /// As ONNX Runtime 1.31.1 says it, the first two on a machine without a GPU.
    #[test]
    fn a_reason_names_what_is_missing_and_what_to_do() {
        let bridge = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                      onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library \
                      /opt/tagbert/libonnxruntime_providers_cuda.so with error: ";
        for (error, expected) in [
            (
                "libcublasLt.so.13: cannot open shared object file: No such file",
                "libcublasLt.so.13 is missing: install CUDA 13 and cuDNN 9",
            ),
            (
                "/opt/tagbert/libonnxruntime_providers_shared.so: cannot open shared object file: No",
                "libonnxruntime_providers_shared.so is missing: run `make ort-gpu`",
            ),
            (
                "libcuda.so.1: cannot open shared object file: No such file",
                "libcuda.so.1 is missing: install the NVIDIA driver",
            ),
            (
                "libnvinfer.so.10: cannot open shared object file: No such file",
                "libnvinfer.so.10 is missing: install TensorRT 10",
            ),
        ] {
            let reason = reason(&format!("{bridge}{error}"));
            assert!(reason.starts_with(expected), "{reason}");
        }
        let device = "CudaCall: CUDA failure 100: no CUDA-capable device is detected ; GPU=0 ; hostname=h ; expr=cudaSetDevice(0);";
        assert_eq!(reason(device), "CUDA failure 100: no CUDA-capable device is detected");
        assert_eq!(reason("Load model failed"), "Load model failed");
    }

    fn plan(graph: &Graph, batch_tokens: usize) -> Plan<'_> {
        Plan { graph, version: "v", max_tokens: 512, settings: GpuSettings { memory: None, batch_tokens } }
    }

    #[test]
    fn a_profile_of_tensorrt_has_all_inputs_and_every_shape_that_is_run() {
        let input = |name: &str| Tensor { name: name.into(), kind: "int64", shape: None };
        let graph = Graph { inputs: vec![input("input_ids"), input("attention_mask")], ..Graph::default() };
        let gpu = Gpu { number: 0, tensorrt: true };
        let profile = gpu.profile(plan(&graph, 8192));
        assert_eq!(
            profile,
            [
                "input_ids:1x8,attention_mask:1x8",
                "input_ids:64x128,attention_mask:64x128",
                "input_ids:128x512,attention_mask:128x512"
            ]
        );
        assert_eq!(gpu.most_rows(plan(&graph, 8192).settings), 128);
        // A budget below the longest row: it goes alone.
        assert_eq!(gpu.profile(plan(&graph, 1))[2], "input_ids:1x512,attention_mask:1x512");
        assert_eq!(Gpu { number: 0, tensorrt: false }.most_rows(plan(&graph, 1).settings), usize::MAX);
    }

    #[test]
    fn tensorrt_is_not_given_operators_that_it_does_not_know() {
        for name in ["com.microsoft.Attention", "MatMulInteger"] {
            let mut graph = Graph::default();
            graph.operators.insert("MatMul".into(), 6);
            assert!(vet_for_tensorrt(&graph).is_ok());
            graph.operators.insert(name.into(), 6);
            let error = vet_for_tensorrt(&graph).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("model.device: cuda"), "{error}");
        }
    }

    #[test]
    fn the_graph_that_tries_a_device_is_one() {
        let session = super::super::runtime::cpu(1).unwrap().commit_from_memory(NOTHING).unwrap();
        assert_eq!((session.inputs()[0].name(), session.outputs()[0].name()), ("x", "y"));
    }
}
