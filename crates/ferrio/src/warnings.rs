//! `warnings.warn()`, by its name in the module: programs and tests replace it, and it is there when the interpreter
//! exits.

use ferrio_object::Obj;
use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Warns in the category `W`, at the line that has called us.
///
/// # Errors
/// The warning itself, where a filter makes it an error.
pub(crate) fn warn<W: PyTypeInfo>(py: Python<'_>, message: &str) -> PyResult<()> {
    let warnings = crate::imported::module(py, "warnings")?;
    warnings.call_method1(intern!(py, "warn"), (message, py.get_type::<W>())).map(drop)
}

/// As [`warn`], of an object: where `tracemalloc` runs, the warning shows where it was made.
///
/// # Errors
/// The warning itself, where a filter makes it an error.
pub(crate) fn warn_of<W: PyTypeInfo>(py: Python<'_>, message: &str, source: &Obj) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item(intern!(py, "source"), source)?;
    let warnings = crate::imported::module(py, "warnings")?;
    warnings.call_method(intern!(py, "warn"), (message, py.get_type::<W>()), Some(&kwargs)).map(drop)
}
