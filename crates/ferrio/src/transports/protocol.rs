//! What a protocol is called with.
//!
//! Methods are called by name each time, like in asyncio, so that one replaced on the instance is called. That costs
//! no bound method: the interpreter's method cache finds the function, and `self` is passed along.

use std::cell::OnceCell;

use ferrio_object::{Args, Buffer, GilStatic, Obj, Signature};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

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
    /// A `BufferedProtocol` of a room above, which takes what lies in a buffer of ours.
    Native(Obj, Received),
}

/// Takes data for a protocol. False: it did nothing, and `get_buffer()` and `buffer_updated()` have to be called.
pub(crate) type Received = fn(&Obj, Python<'_>, &[u8]) -> PyResult<bool>;

/// Says how a protocol takes data natively, if it does.
type Receiver = fn(&Obj) -> Option<Received>;

static RECEIVER: GilStatic<OnceCell<Receiver>> = GilStatic::new(OnceCell::new());

/// Has transports ask `receiver` of protocols that are neither plain nor stream readers.
pub(crate) fn receive_natively(py: Python<'_>, receiver: Receiver) {
    // Set once: a second import has the contents of the first.
    let _ = RECEIVER.get(py).set(receiver);
}

ferrio_object::traverse!(
    enum ProtocolKind {
        None,
        Plain,
        Buffered,
        Reader(protocol),
        Native(protocol, received),
    },
    default
);

impl ProtocolKind {
    /// How `protocol` takes it.
    ///
    /// # Errors
    /// What an `isinstance` on it raises.
    pub(crate) fn of(py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Some(reader) = Obj::<StreamReaderProtocol>::from_bound(protocol) {
            return Ok(Self::Reader(reader.clone()));
        }
        if let Some(receiver) = RECEIVER.get(py).get()
            && let Some(received) = receiver(Obj::of(protocol))
        {
            return Ok(Self::Native(protocol.into(), received));
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
    feed_data(py, protocol, &data)
}

/// Hands received bytes to a `BufferedProtocol`, as much at a time as the buffers that it gives can take.
///
/// # Errors
/// As [`py_feed_data`].
pub(crate) fn feed_data(py: Python<'_>, protocol: &Bound<'_, PyAny>, data: &[u8]) -> PyResult<()> {
    let mut left = data;
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
