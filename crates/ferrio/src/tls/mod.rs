//! TLS over a transport: `asyncio.sslproto`.
//!
//! An `SSLProtocol` stands between a transport and the program's protocol. It is itself the protocol of the transport
//! below, and gives the program an `_SSLProtocolTransport`. What comes from below is ciphertext, and goes to an engine;
//! what the engine decrypts goes to the program's protocol, or straight into a stream reader.
//!
//! * `protocol.rs`: the class, what it holds, and what Python sees of it; `transport.rs`: the transport on top.
//! * `handshake.rs`, `reading.rs`, `writing.rs`, `shutdown.rs`: what is done in
//!   each state (`ferrio_core::tls_state`).
//! * `engine.rs`: what an engine does; `portable.rs`: the one that asks Python's `SSLObject` for everything;
//!   `direct.rs`: the one that asks OpenSSL for the data; `choice.rs`: which one a connection has.
//!
//! Transports know nothing of TLS: they hand what they receive to a function that this room registers
//! (`transports::receive_natively`).

mod choice;
mod direct;
mod engine;
mod handshake;
mod open;
mod portable;
mod protocol;
mod reading;
mod shutdown;
mod ssl_module;
mod transport;
mod writing;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

use protocol::SslProtocol;
use transport::SslTransport;

pub(crate) use choice::report;
pub(crate) use open::{Side, TlsParams, app_transport, open_accepted};
pub(crate) use reading::receive_early;
pub(crate) use ssl_module::{context_class, default_context};

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<SslTransport>(module)?;
    ClassDef::add::<SslProtocol>(module)?;
    crate::transports::receive_natively(module.py(), reading::receiver);
    Ok(())
}
