//! What `tagbert/` has in Rust: loaded models, and a line for tables. Python decides how many of them a process has.

mod own;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow_pyarrow::PyArrowType;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use tagbert::commands::cli::OfflineArgs;
use tagbert::commands::offline;
use tagbert::config::Config;
use tagbert::config::location::Location;
use tagbert::lake::tables::Tables;
use tagbert::model::session::runtime;
use tagbert::tagger::live::Live;
use tagbert::telemetry;

use self::own::Own;

create_exception!(_tagbert, TagbertError, PyException, "What went wrong, where, and what to do.");

/// Models that are loaded, as a configuration describes them.
#[pyclass(frozen)]
struct Models {
    config: Config,
    live: Own<Arc<Live>>,
}

#[pymethods]
impl Models {
    #[new]
    fn new(
        py: Python,
        model: Option<String>,
        variant: Option<String>,
        config: Option<PathBuf>,
        set: Vec<String>,
    ) -> PyResult<Self> {
        py.detach(|| {
            let model = model.map(|place| place.parse::<Location>().map_err(|why| anyhow!("the model's place {why}")));
            let config = offline::configured(&OfflineArgs { config, set, model: model.transpose()?, variant })?;
            let live = Own::new(Live::load(&config)?);
            Ok(Self { config, live })
        })
        .map_err(raised)
    }

    /// Name and version of each.
    fn versions(&self, py: Python) -> PyResult<Vec<(String, String)>> {
        let versions = || {
            self.live.with(|live| {
                let taggers = live.current();
                let models = taggers.models().into_iter();
                Ok(models.map(|model| (model.name.to_string(), model.version.to_string())).collect())
            })
        };
        py.detach(versions).map_err(raised)
    }

    /// A line that reads such columns; none are those of the configuration.
    #[expect(clippy::needless_pass_by_value, reason = "a list of Python's can't be borrowed as strings")]
    fn line(&self, py: Python, text: Vec<String>) -> PyResult<Line> {
        let mut config = self.config.clone();
        offline::read(&mut config, &text);
        let tables = py.detach(|| self.live.with(|live| Tables::start(&config, live))).map_err(raised)?;
        Ok(Line(Own::new(tables)))
    }
}

/// A line that tags tables, for any number of threads. Whoever waits for its lock holds no other: the interpreter's is free.
#[pyclass(frozen)]
struct Line(Own<Tables>);

#[pymethods]
impl Line {
    /// The columns that it reads.
    fn columns(&self, py: Python) -> PyResult<Vec<String>> {
        let columns = || self.0.with(|tables| Ok(tables.columns().into_iter().map(str::to_owned).collect()));
        py.detach(columns).map_err(raised)
    }

    /// Whether it has ended, since a model failed for good.
    fn is_over(&self, py: Python) -> PyResult<bool> {
        py.detach(|| self.0.with(|tables| Ok(tables.is_over()))).map_err(raised)
    }

    /// The columns of the tags.
    fn schema(&self, py: Python, name: &str, flat: bool) -> PyResult<PyArrowType<Schema>> {
        let schema = || self.0.with(|tables| Ok(Schema::new(tables.tags(name, flat)?.fields())));
        py.detach(schema).map(PyArrowType).map_err(raised)
    }

    /// The tags of a table's rows, and why a row has none.
    fn tag(
        &self,
        py: Python,
        table: PyArrowType<RecordBatch>,
        name: &str,
        flat: bool,
    ) -> PyResult<PyArrowType<RecordBatch>> {
        let PyArrowType(table) = table;
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is of one lifetime")]
        let go_on = || Python::attach(|py| py.check_signals()).map_err(anyhow::Error::from);
        let tagged = py.detach(|| self.0.with(|tables| tables.tag(&table, name, flat, go_on)));
        tagged.map(PyArrowType).map_err(raised)
    }

    /// Ends it; whoever waits for it gets an error.
    fn end(&self, py: Python) {
        py.detach(|| self.0.end());
    }
}

/// Where ONNX Runtime is that came with the package.
#[pyfunction]
fn brought(onnxruntime: PathBuf) {
    runtime::brought(onnxruntime);
}

/// What Python raised itself (Ctrl-C) is raised as it is.
fn raised(error: anyhow::Error) -> PyErr {
    error.downcast::<PyErr>().unwrap_or_else(|error| {
        // ONNX Runtime's own errors may have several lines.
        let line = format!("{error:#}").lines().map(str::trim).collect::<Vec<_>>().join(" ");
        TagbertError::new_err(line)
    })
}

#[pymodule]
fn _tagbert(module: &Bound<PyModule>) -> PyResult<()> {
    telemetry::log("warn,ort::logging=off");
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("TagbertError", module.py().get_type::<TagbertError>())?;
    module.add_class::<Models>()?;
    module.add_class::<Line>()?;
    module.add_function(wrap_pyfunction!(brought, module)?)
}
