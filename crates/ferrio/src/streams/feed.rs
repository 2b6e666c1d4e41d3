//! What ferrio's own transports call a `StreamReaderProtocol` with, past Python.
//!
//! A transport may do so as long as [`StreamReaderProtocol::direct`] says yes, and asks each time: a method may be
//! replaced, or the reader may go away, between one event and the next.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;

use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;

impl StreamReaderProtocol {
    /// The reader to feed natively: ours, of ours, and nothing replaced. With `None` the protocol's methods have to
    /// be called in Python.
    #[inline]
    pub(crate) fn direct(this: &Obj<Self>, py: Python<'_>) -> Option<Obj<StreamReader>> {
        if this.base().replaced.get() {
            return None;
        }
        this.reader(py)?.cast_into::<StreamReader>().ok().filter(|reader| !reader.replaced.get())
    }

    /// `eof_received()`: whether the transport stays open for writing.
    ///
    /// # Errors
    /// What a reader that is not ours raises.
    pub(crate) fn eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<bool> {
        if let Some(reader) = this.reader(py) {
            match reader.cast::<StreamReader>().filter(|ours| !ours.replaced.get()) {
                Some(ours) => ours.end(py)?,
                None => drop(reader.bind(py).call_method0(intern!(py, "feed_eof"))?),
            }
        }
        // TLS closes both directions; true would only bring a warning from the TLS protocol.
        Ok(!this.over_ssl())
    }
}
