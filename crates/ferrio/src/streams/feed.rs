//! What ferrio's own transports call a `StreamReaderProtocol` with, past Python.
//!
//! Whether that means the same as calling its methods is asked each time: a method may be replaced, or the reader may
//! go away, between one event and the next.

use ferrio_object::Obj;
use pyo3::prelude::*;

use super::protocol::{StreamReaderProtocol, plain};

impl StreamReaderProtocol {
    /// `data_received(data)`, where that means no more than feeding the reader. False: the method has to be called.
    ///
    /// # Errors
    /// What it raises.
    #[inline]
    pub(crate) fn feed(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<bool> {
        if !this.base().replaced.get()
            && let Some(reader) = this.reader(py)
            && let Some(reader) = plain(&reader)
        {
            reader.feed(py, data)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// As [`Self::feed`], with a `bytes` object.
    ///
    /// # Errors
    /// What it raises.
    pub(crate) fn feed_whole(this: &Obj<Self>, py: Python<'_>, data: &Obj) -> PyResult<bool> {
        if !this.base().replaced.get()
            && let Some(reader) = this.reader(py)
            && let Some(reader) = plain(&reader)
        {
            reader.feed_whole(py, data)?;
            return Ok(true);
        }
        Ok(false)
    }
}
