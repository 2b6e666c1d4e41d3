//! `asyncio.streams`: `StreamReader`, `StreamWriter`, the protocol between them and a transport, and the functions
//! that open and serve streams.
//!
//! Bytes go from the socket into the reader's `ReadBuffer` and from there into the `bytes` that a task gets; a task
//! that waits is pushed onto the ready queue by the feeding itself. No Python runs in between as long as nothing of
//! asyncio's own has been replaced; where a subclass or an instance replaces one of the methods that asyncio calls
//! through `self`, that method is called (`replaced.rs`).
//!
//! * `reader.rs`, `attributes.rs`: the reader; `read.rs`: what its `read*` methods do.
//! * `operation.rs`: the awaitable that `read*` and `drain` return; `drain.rs`: what `drain` does.
//! * `writer.rs`, `flow_control.rs`, `protocol.rs` (and what transports call on it), `open.rs`.

mod attributes;
mod dict_state;
mod drain;
mod flow_control;
mod open;
mod operation;
mod protocol;
mod read;
mod reader;
mod replaced;
mod whole;
mod writer;

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyTuple};

use crate::coroutines;

pub(crate) use flow_control::FlowControlMixin;
pub(crate) use protocol::{StreamReaderProtocol, plain};
pub(crate) use reader::{StreamReader, limit_of};
pub(crate) use writer::StreamWriter;

/// How many bytes a reader buffers, unless told otherwise, before its transport is paused (twice that) and the most
/// that a line may have.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// Adds the functions to the extension, and the classes that need nothing of the package.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<StreamReader>(module)?;
    ClassDef::add::<StreamWriter>(module)?;
    coroutines::add_class::<operation::StreamOperation>(module)?;
    ClassDef::add::<open::ProtocolFactory>(module)?;
    ClassDef::function(
        module,
        "_stream_protocols",
        py_stream_protocols,
        "_stream_protocols(protocol, /)\n--\n\nThe classes (FlowControlMixin, StreamReaderProtocol), derived from \
         `protocol`.",
    )?;
    ClassDef::coroutine_function(
        module,
        "open_connection",
        open::py_open_connection,
        "open_connection(host=None, port=None, *, limit=65536, **kwds)\n--\n\n\
         Coroutine: connect, and return a pair (StreamReader, StreamWriter).\n\n\
         limit: bytes that the reader buffers, and the longest line it reads.\n\n\
         All other arguments are those of loop.create_connection(), but for the protocol factory.",
    )?;
    ClassDef::coroutine_function(
        module,
        "start_server",
        open::py_start_server,
        "start_server(client_connected_cb, host=None, port=None, *, limit=65536, **kwds)\n--\n\n\
         Coroutine: listen, call `client_connected_cb(reader, writer)` for each connection, return the Server.\n\n\
         A coroutine function is run as a task per connection; what it raises goes to the loop's exception handler.\n\n\
         limit: bytes that each reader buffers, and the longest line it reads.\n\n\
         All other arguments are those of loop.create_server().",
    )?;
    ClassDef::coroutine_function(
        module,
        "open_unix_connection",
        open::py_open_unix_connection,
        "open_unix_connection(path=None, *, limit=65536, **kwds)\n--\n\n\
         As open_connection(), to a Unix socket; other arguments are those of loop.create_unix_connection().",
    )?;
    ClassDef::coroutine_function(
        module,
        "start_unix_server",
        open::py_start_unix_server,
        "start_unix_server(client_connected_cb, path=None, *, limit=65536, **kwds)\n--\n\n\
         As start_server(), on a Unix socket; other arguments are those of loop.create_unix_server().",
    )
}

/// `_stream_protocols(Protocol)`. Stream protocols derive from `asyncio.Protocol`, which is a Python class (one
/// family with stock's) and therefore not there yet when the extension is loaded: `ferrio.streams` hands it in.
fn py_stream_protocols(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [base] = args.bind(&Signature::new("_stream_protocols", ["protocol"]))?;
    let Some(base) = base else { return Err(PyTypeError::new_err("a class is required")) };
    if !ClassDef::is_added::<StreamReaderProtocol>() {
        let module = py.import("ferrio._ferrio")?;
        ClassDef::add_derived::<FlowControlMixin>(&module, base)?;
        ClassDef::add::<StreamReaderProtocol>(&module)?;
    }
    let classes =
        [ClassDef::type_object::<FlowControlMixin>(py), ClassDef::type_object::<StreamReaderProtocol>(py)];
    Ok(PyTuple::new(py, classes)?.into())
}

/// Takes what the reader of a stream protocol has buffered, if there is any.
///
/// # Errors
/// What a reader that is not ours raises.
pub(crate) fn take_buffered(py: Python<'_>, protocol: &Obj) -> PyResult<Option<Vec<u8>>> {
    let Some(protocol) = protocol.cast::<StreamReaderProtocol>() else { return Ok(None) };
    let Some(reader) = protocol.reader(py) else { return Ok(None) };
    let Some(reader) = reader.cast::<reader::StreamReader>() else { return Ok(None) };
    let taken = reader.with_buffer(py, |buffer| buffer.take(buffer.len()))?;
    Ok((!taken.is_empty()).then_some(taken))
}

/// Makes sure that the protocol classes are there, for callers who came past `ferrio.streams`.
fn ensure_protocols(py: Python<'_>) -> PyResult<()> {
    if !ClassDef::is_added::<StreamReaderProtocol>() {
        py.import("ferrio.streams")?;
    }
    Ok(())
}
