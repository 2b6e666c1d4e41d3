//! What `StreamWriter.drain` does before it waits, if it waits at all.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;

use super::protocol::plain;
use super::writer::StreamWriter;

/// How a drain goes on.
pub(super) enum Drained {
    /// There is nothing to wait for.
    Nothing,
    /// The transport is closing: the loop turns once, so that `connection_lost` can be called. A program that does
    /// nothing but `write(); await drain()` would never learn of the end.
    Turn,
    /// The protocol is asked.
    Paused,
}

/// The beginning of `drain`.
///
/// # Errors
/// The exception with which the reader has failed; what transports and readers that are not ours raise.
#[inline]
pub(super) fn begin(writer: &StreamWriter, py: Python<'_>) -> PyResult<Drained> {
    if let Some(reader) = writer.reader.get() {
        check_reader(&reader, py)?;
    }
    if writer.drain_transport(py)? {
        return Ok(Drained::Turn);
    }
    match writer.plain_protocol() {
        Some(protocol) if !protocol.paused.get() && !protocol.lost.get() => Ok(Drained::Nothing),
        _ => Ok(Drained::Paused),
    }
}

#[inline]
fn check_reader(reader: &Obj, py: Python<'_>) -> PyResult<()> {
    if let Some(ours) = plain(reader) {
        return ours.check(py);
    }
    let exception = reader.bind(py).call_method0(intern!(py, "exception"))?;
    if exception.is_none() { Ok(()) } else { Err(PyErr::from_value(exception)) }
}
