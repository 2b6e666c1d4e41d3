//! What a protocol is called with, and what becomes of its errors.
//!
//! Methods are called by name each time, like in asyncio, so that one replaced on the instance is called. That costs
//! no bound method: the interpreter's method cache finds the function, and `self` is passed along.

use std::cell::OnceCell;

use ferrio_object::{Args, Buffer, GilStatic, Obj, Signature, ThreadState};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::stream::StreamTransport;
use crate::exceptions;
use crate::streams::StreamReaderProtocol;

/// How a protocol takes what is received.
#[derive(Clone, Default)]
pub(crate) enum ProtocolKind {
    /// There is no protocol (any more).
    #[default]
    None,
    /// `data_received(bytes)`.
    Plain,
    /// `get_buffer()` and `buffer_updated()`.
    Buffered,
    /// A stream reader of ours, fed without a call as long as nothing about its protocol is replaced.
    Reader(Obj<StreamReaderProtocol>),
}

ferrio_object::traverse!(
    enum ProtocolKind {
        None,
        Plain,
        Buffered,
        Reader(protocol),
    },
    default
);

impl ProtocolKind {
    /// How `protocol` takes it.
    ///
    /// # Errors
    /// What an `isinstance` on it raises.
    pub(super) fn of(py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(reader) = Obj::<StreamReaderProtocol>::from_bound(protocol) {
            return Ok(Self::Reader(reader.clone()));
        }
        let buffered = protocol.is_instance(buffered_protocol(py)?.bind(py))?;
        Ok(if buffered { Self::Buffered } else { Self::Plain })
    }
}

fn buffered_protocol(py: Python<'_>) -> PyResult<&Obj> {
    static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
    let cell = CLASS.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = py.import("ferrio.protocols")?.getattr("BufferedProtocol")?;
    Ok(cell.get_or_init(|| class.into()))
}

/// `_feed_data_to_buffered_proto(proto, data)`: hands received bytes to a `BufferedProtocol`, as much at a time as the
/// buffers that it gives can take.
///
/// # Errors
/// What the protocol raises, `RuntimeError` for an empty buffer, `BufferError` for one that cannot be written to.
pub(crate) fn py_feed_data(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [protocol, data] = args.bind(&Signature::new("_feed_data_to_buffered_proto", ["proto", "data"]))?;
    let (Some(protocol), Some(data)) = (protocol, data) else { return Ok(()) };
    // A copy: the protocol's methods run in between, and may resize what they were given.
    let data = Buffer::get(py, &data.into(), false)?.to_vec(py);
    let mut left = data.as_slice();
    while !left.is_empty() {
        let given = protocol.call_method1(intern!(py, "get_buffer"), (left.len(),))?;
        let buffer = Buffer::get(py, &given.into(), true)?;
        if buffer.is_empty() {
            return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
        }
        let count = buffer.fill(py, left);
        // Let go of before the protocol is told: a bytearray cannot be resized while it is exported.
        drop(buffer);
        protocol.call_method1(intern!(py, "buffer_updated"), (count,))?;
        left = &left[count..];
    }
    Ok(())
}

impl StreamTransport {
    /// Runs `f` in the transport's own context; for calls that come from the loop and not from the protocol itself.
    #[inline]
    pub(super) fn in_context<R>(&self, py: Python<'_>, f: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
        match self.context.get() {
            Some(context) => ThreadState::in_context(py, &context, f),
            None => f(),
        }
    }

    /// Calls a protocol method that tells something; an error goes to the exception handler as
    /// `"protocol.NAME() failed"`.
    pub(super) fn tell(
        this: &Obj<Self>,
        py: Python<'_>,
        method: &Bound<'_, PyString>,
        from_loop: bool,
    ) -> PyResult<()> {
        let Some(protocol) = this.protocol.get() else { return Ok(()) };
        let call = || protocol.bind(py).call_method0(method).map(drop);
        let outcome = if from_loop { this.in_context(py, call) } else { call() };
        match outcome {
            Ok(()) => Ok(()),
            Err(err) if exceptions::is_exit(py, &err) => Err(err),
            Err(err) => this.report(this, py, &format!("protocol.{method}() failed"), err),
        }
    }

    /// Hands an error to the loop's exception handler.
    pub(super) fn report(&self, this: &Obj<Self>, py: Python<'_>, message: &str, err: PyErr) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        let Some(event_loop) = self.event_loop.get() else { return Ok(()) };
        let context = PyDict::new(py);
        context.set_item(intern!(py, "message"), message)?;
        context.set_item(intern!(py, "exception"), exc)?;
        context.set_item(intern!(py, "transport"), this)?;
        context.set_item(intern!(py, "protocol"), self.protocol.get().unwrap_or_else(|| Obj::none(py)))?;
        event_loop.bind(py).call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
    }

    /// Reports the error of a call that asyncio makes through a handle; `callback` gives the name to show.
    pub(super) fn report_callback(
        this: &Obj<Self>,
        py: Python<'_>,
        callback: impl FnOnce() -> PyResult<String>,
        outcome: PyResult<()>,
    ) -> PyResult<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(err) if exceptions::is_exit(py, &err) => Err(err),
            Err(err) => this.report(this, py, &format!("Exception in callback {}", callback()?), err),
        }
    }
}
