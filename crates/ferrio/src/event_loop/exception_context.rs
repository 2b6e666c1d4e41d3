//! What a loop's exception handler is called with.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// asyncio's `context` of an exception handler: a dict that has at least `message`, in the order in which asyncio
/// fills it.
pub(crate) struct ExceptionContext<'py>(Bound<'py, PyDict>);

impl<'py> ExceptionContext<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        ExceptionContext(PyDict::new(py))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn with(self, key: &'static str, value: impl IntoPyObject<'py>) -> PyResult<Self> {
        self.0.set_item(PyString::intern(self.0.py(), key), value)?;
        Ok(self)
    }

    /// Adds an entry if there is a value.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn with_any(self, key: &'static str, value: Option<impl IntoPyObject<'py>>) -> PyResult<Self> {
        match value {
            Some(value) => self.with(key, value),
            None => Ok(self),
        }
    }

    /// Calls `call_exception_handler()` of a loop, which may be replaced or foreign.
    ///
    /// # Errors
    /// What the handler raises.
    pub(crate) fn report_to<T: 'static>(self, event_loop: &Obj<T>) -> PyResult<()> {
        let event_loop = event_loop.bind(self.0.py());
        event_loop.call_method1(intern!(self.0.py(), "call_exception_handler"), (self.0,)).map(drop)
    }

    pub(crate) fn into_dict(self) -> Bound<'py, PyDict> {
        self.0
    }
}
