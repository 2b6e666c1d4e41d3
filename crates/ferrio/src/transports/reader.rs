//! Feeding a native stream reader: received bytes go from the loop's scratch buffer into the reader without a Python
//! object in between.

use ferrio_object::Visit;
use pyo3::prelude::*;

/// A protocol that can be fed natively.
#[derive(Clone, Copy)]
pub(crate) enum Reader {}

/// The protocol as a native reader, if feeding it means the same as calling its `data_received()`.
pub(crate) fn of(_protocol: &Bound<'_, PyAny>) -> Option<Reader> {
    None
}

/// `data_received(data)`. The data lies in the loop's scratch buffer and has to be copied.
///
/// # Errors
/// What `data_received` would raise.
pub(crate) fn feed(reader: &Reader, _py: Python<'_>, _data: &[u8]) -> PyResult<()> {
    match *reader {}
}

pub(crate) fn traverse(reader: &Reader, _visit: &mut Visit<'_>) {
    match *reader {}
}
