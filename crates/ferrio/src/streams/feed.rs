//! What ferrio's own transports call a `StreamReaderProtocol` with, past Python.
//!
//! Whether that means the same as calling its methods is asked each time: a method may be replaced, or the reader may
//! go away, between one event and the next.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::protocol::{StreamReaderProtocol, plain};

impl StreamReaderProtocol {
    /// `data_received(data)`.
    ///
    /// # Errors
    /// What it raises.
    #[inline]
    pub(crate) fn received(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if !this.base().replaced.get()
            && let Some(reader) = this.reader(py)
            && let Some(reader) = plain(&reader)
        {
            return reader.feed(py, data);
        }
        let data = PyBytes::new(py, data);
        this.bind(py).call_method1(intern!(py, "data_received"), (data,)).map(drop)
    }
}
