//! Feeding a native stream reader: received bytes go from the loop's scratch buffer into the reader's own, and the
//! task that waits for them onto the ready queue, without a Python object in between.

use ferrio_object::{Obj, Visit};
use pyo3::prelude::*;

use crate::streams::StreamReaderProtocol;

/// A protocol that can be fed natively, as long as nothing about it is replaced.
pub(crate) type Reader = Obj<StreamReaderProtocol>;

/// The protocol as a native one.
pub(crate) fn of(protocol: &Bound<'_, PyAny>) -> Option<Reader> {
    Obj::<StreamReaderProtocol>::from_bound(protocol).cloned()
}

/// `data_received(data)`, where that means no more than feeding the reader. False: it has to be called.
///
/// The data lies in the loop's scratch buffer and is copied. No context is entered: no code of the protocol's runs.
///
/// # Errors
/// What `data_received` would raise.
#[inline]
pub(crate) fn feed(reader: &Reader, py: Python<'_>, data: &[u8]) -> PyResult<bool> {
    StreamReaderProtocol::feed(reader, py, data)
}

/// As [`feed`], with a `bytes` object, which the reader keeps instead of a copy if it can.
///
/// # Errors
/// What `data_received` would raise.
#[inline]
pub(crate) fn feed_whole(reader: &Reader, py: Python<'_>, data: &Obj) -> PyResult<bool> {
    StreamReaderProtocol::feed_whole(reader, py, data)
}

pub(crate) fn traverse(reader: &Reader, visit: &mut Visit<'_>) {
    visit.obj(reader);
}
