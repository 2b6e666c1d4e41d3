//! Transports: what a protocol is called with.

pub(crate) mod address;
mod chunk;
mod end;
mod protocol;
mod read;
pub(crate) mod reader;
mod stream;
mod write;

pub(crate) use stream::Opening;
pub use stream::StreamTransport;
