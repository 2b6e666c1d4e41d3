//! What ferrio's own transports call a `StreamReaderProtocol` with, past Python.
//!
//! Whether that means the same as calling its methods is asked each time: a method may be replaced, or the reader may
//! go away, between one event and the next.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;

impl StreamReaderProtocol {
    /// The reader to feed natively: one of ours, and nothing replaced.
    #[inline]
    fn direct(this: &Obj<Self>, py: Python<'_>) -> Option<Obj<StreamReader>> {
        if this.base().replaced.get() {
            return None;
        }
        this.reader(py)?.cast_into::<StreamReader>().ok().filter(|reader| !reader.replaced.get())
    }

    /// `data_received(data)`.
    ///
    /// # Errors
    /// What it raises.
    #[inline]
    pub(crate) fn received(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        match Self::direct(this, py) {
            Some(reader) => reader.feed(py, data),
            None => this
                .bind(py)
                .call_method1(intern!(py, "data_received"), (PyBytes::new(py, data),))
                .map(drop),
        }
    }
}
