//! Transports: what a protocol is called with.

mod stream;

use std::os::fd::RawFd;

use ferrio_object::Obj;

pub use stream::StreamTransport;

use crate::event_loop::{Loop, Source};

/// The transport of `event_loop` that uses a descriptor, if any.
pub(crate) fn using(event_loop: &Obj<Loop>, fd: RawFd) -> Option<Obj<StreamTransport>> {
    event_loop.sources.borrow().iter().find_map(|(_, source)| match source {
        Source::Stream(transport) if transport.fd.get() == fd => Some(transport.clone()),
        _ => None,
    })
}
