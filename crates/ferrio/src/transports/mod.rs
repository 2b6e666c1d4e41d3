//! Transports: what a protocol is called with.

pub(crate) mod address;
mod attached;
mod base;
mod chunk;
mod datagram;
mod datagram_send;
mod end;
mod extra_info;
mod flow;
mod held_socket;
mod pipe;
mod pipe_read;
mod pipe_write;
mod protocol;
mod read;
mod send_file;
mod stream;
mod write;

pub(crate) use address::{has_null, host_text, is_abstract, refuse_null};
pub(crate) use chunk::{Chunk, Data};
pub use datagram::DatagramTransport;
pub(crate) use held_socket::{Connected, SocketKind};
pub(crate) use pipe::OverPipe;
pub use pipe_read::ReadPipe;
pub use pipe_write::WritePipe;
pub(crate) use protocol::{ProtocolKind, Received, feed_data, receive_natively};
pub(crate) use stream::Opening;
pub use stream::StreamTransport;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<StreamTransport>(module)?;
    ClassDef::add::<DatagramTransport>(module)?;
    ClassDef::add::<ReadPipe>(module)?;
    ClassDef::add::<WritePipe>(module)?;
    ClassDef::function(
        module,
        "_extra_info",
        base::py_extra_info,
        "_extra_info(transport, name, default)\n--\n\nWhat a transport knows under a name.",
    )?;
    ClassDef::function(
        module,
        "_own_method",
        base::py_own_method,
        "_own_method(function)\n--\n\nHave a method of a Python class count as the class's own.",
    )?;
    ClassDef::function(
        module,
        "_feed_data_to_buffered_proto",
        protocol::py_feed_data,
        "_feed_data_to_buffered_proto(proto, data)\n--\n\nHand received bytes to a BufferedProtocol.",
    )
}
