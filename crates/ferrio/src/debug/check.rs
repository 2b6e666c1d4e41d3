//! Whether debug mode is on, and what it refuses: coroutines given as callbacks.

use ferrio_object::{Args, Obj};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Whether debug mode is on by default: `-X dev`, or `PYTHONASYNCIODEBUG` unless the environment is ignored.
///
/// # Errors
/// What `sys.flags` or `os.environ` raise.
pub(crate) fn is_debug_mode(py: Python<'_>) -> PyResult<bool> {
    let flags = py.import("sys")?.getattr("flags")?;
    if flags.getattr("dev_mode")?.is_truthy()? {
        return Ok(true);
    }
    if flags.getattr("ignore_environment")?.is_truthy()? {
        return Ok(false);
    }
    let value = py.import("os")?.getattr("environ")?.call_method1("get", ("PYTHONASYNCIODEBUG",))?;
    value.is_truthy()
}

pub(crate) fn py_is_debug_mode(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    args.none("_is_debug_mode")?;
    is_debug_mode(py)
}

/// Refuses coroutines and coroutine functions as callbacks.
pub(crate) fn check_callback(py: Python<'_>, callback: &Obj, method: &str) -> PyResult<()> {
    let bound = callback.bind(py);
    let coroutine =
        crate::task::is_coroutine(py, bound)? || crate::coroutines::is_coroutine_function(py, bound)?;
    if coroutine {
        return Err(PyTypeError::new_err(format!("coroutines cannot be used with {method}()")));
    }
    if !bound.is_callable() {
        let shown = bound.repr()?;
        return Err(PyTypeError::new_err(format!(
            "a callable object was expected by {method}(), got {shown}"
        )));
    }
    Ok(())
}
