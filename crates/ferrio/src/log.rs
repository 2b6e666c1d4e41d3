//! `asyncio.log`: lines for a logger of asyncio's.
//!
//! Each of asyncio's modules has a global `logger`. It is looked up when there is something to log, in the module that
//! has it in asyncio: tests and programs replace it.

use pyo3::call::PyCallArgs;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// What a line is logged as.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    /// The logger's method.
    fn method(self, py: Python<'_>) -> &Bound<'_, PyString> {
        match self {
            Level::Debug => intern!(py, "debug"),
            Level::Info => intern!(py, "info"),
            Level::Warning => intern!(py, "warning"),
            Level::Error => intern!(py, "error"),
        }
    }
}

/// The `logger` that `module` has at this moment.
fn logger<'py>(py: Python<'py>, module: &'static str) -> PyResult<Bound<'py, PyAny>> {
    crate::imported::module(py, module)?.getattr(intern!(py, "logger"))
}

/// Logs a line through the logger of `module`. `args` are the format and what goes into it.
///
/// # Errors
/// What the logger raises.
pub(crate) fn write<'py>(
    py: Python<'py>,
    module: &'static str,
    level: Level,
    args: impl PyCallArgs<'py>,
) -> PyResult<()> {
    logger(py, module)?.call_method1(level.method(py), args).map(drop)
}

/// As [`write()`], with an exception: `exc_info` is what `logging` documents for the argument of that name.
///
/// # Errors
/// What the logger raises.
pub(crate) fn write_exception<'py>(
    py: Python<'py>,
    module: &'static str,
    level: Level,
    args: impl PyCallArgs<'py>,
    exc_info: impl IntoPyObject<'py>,
) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "exc_info"), exc_info)?;
    logger(py, module)?.call_method(level.method(py), args, Some(&kwargs)).map(drop)
}
