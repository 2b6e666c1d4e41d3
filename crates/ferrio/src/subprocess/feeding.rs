//! From a child's pipe straight to the reader of its stream, as long as nobody can tell.
//!
//! asyncio hands what a pipe has brought from the pipe's protocol to the transport of the child, from there through
//! `call_soon()` to the protocol of the child, and from there to the reader. Where none of these methods is replaced, and
//! none of what was handed on in that way is still on its way, the reader gets it at once.

use ferrio_object::{MethodSet, Methods, Obj, Replaceable, Replaced};
use pyo3::prelude::*;

use super::pipes::ReadPipeProtocol;
use super::protocol::SubprocessStreamProtocol;
use super::transport::SubprocessTransport;
use crate::event_loop::{Hooks, LoopRef};
use crate::streams;

/// What is called through the transport of a child.
const TRANSPORT: [&str; 2] = ["_pipe_data_received", "_call"];

pub(super) const CALL: MethodSet = MethodSet::named(&TRANSPORT, "_call");

impl Replaceable for ReadPipeProtocol {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&["data_received"]);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Replaceable for SubprocessTransport {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&TRANSPORT);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Replaceable for SubprocessStreamProtocol {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&["pipe_data_received"]);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

/// What a pipe does with received bytes. False: its protocol has to be called.
///
/// # Errors
/// What feeding a reader raises.
pub(super) fn feed(protocol: &Obj, py: Python<'_>, data: &[u8]) -> PyResult<bool> {
    let Some(pipe) = protocol.cast::<ReadPipeProtocol>().filter(|pipe| !pipe.replaces_any()) else {
        return Ok(false);
    };
    let Some(transport) = pipe.base().transport() else { return Ok(false) };
    let Some(transport) = transport.cast::<SubprocessTransport>().filter(|ours| !ours.replaces_any()) else {
        return Ok(false);
    };
    if transport.pending.borrow().is_some() || transport.is_behind() {
        return Ok(false);
    }
    let Some(protocol) = transport.protocol.get() else { return Ok(false) };
    let Some(protocol) = protocol.cast::<SubprocessStreamProtocol>().filter(|ours| !ours.replaces_any())
    else {
        return Ok(false);
    };
    if !protocol.base().is_native() {
        return Ok(false);
    }
    let Some(reader) = pipe.base().number(py).and_then(|fd| protocol.reader(fd)) else { return Ok(false) };
    match streams::plain(&reader) {
        Some(reader) => reader.feed(py, data).map(|()| true),
        None => Ok(false),
    }
}

impl SubprocessTransport {
    /// Whether something was given to `call_soon()` in this turn, which comes first.
    fn is_behind(&self) -> bool {
        match &*self.event_loop.borrow() {
            Some(LoopRef::Native(event_loop)) if !event_loop.replaces(Hooks::CALL_SOON) => {
                self.called_in.get() == Some(event_loop.poll_count())
            }
            _ => true,
        }
    }

    /// Something is given to `call_soon()`.
    pub(super) fn note_call(&self) {
        if let Some(LoopRef::Native(event_loop)) = &*self.event_loop.borrow() {
            self.called_in.set(Some(event_loop.poll_count()));
        }
    }
}
