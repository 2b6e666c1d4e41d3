//! What a registered descriptor belongs to, and what waits for it.
//!
//! An event names a token, not a descriptor. Tokens carry a generation, so an event for something that was closed
//! since is stale and finds nothing, even if the descriptor's number is in use again (uvloop #763, #738, #645).
//!
//! Transports and servers stand above this room, so their objects are kept erased: `base_events/io.rs` knows the classes.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, Readiness};
use ferrio_object::{Erased, Obj, ObjCell};
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use smallvec::SmallVec;

use super::Handle;
use crate::future::Future;

/// What a registered descriptor belongs to.
pub(crate) enum Source {
    /// `add_reader`, `add_writer`.
    Watch(Watch),
    /// A socket that `sock_recv()` and `sock_sendall()` wait for.
    Kept(Kept),
    /// A stream transport.
    Stream(Erased),
    /// A listening socket of a server.
    Listener(Erased),
    /// The pipe that signals are written to.
    Signals,
    /// File operations have completed.
    Files,
}

ferrio_object::traverse!(
    enum Source {
        Watch(watch),
        Kept(kept),
        Stream(transport),
        Listener(listener),
        Signals,
        Files,
    }
);

/// What is called when a descriptor is ready.
pub(crate) struct Watch {
    pub(crate) fd: RawFd,
    /// What it was given as by the user. Held, as a selector holds it, and found again by it when it is closed.
    pub(crate) file: ObjCell,
    pub(crate) reader: RefCell<Option<Waiter>>,
    pub(crate) writer: RefCell<Option<Waiter>>,
    pub(crate) interest: Cell<Interest>,
    /// The polls that there had been when the waiter of each side came. An event out of the last of them is older than
    /// the waiter, and meant for the one before it.
    pub(crate) reader_since: Cell<u32>,
    pub(crate) writer_since: Cell<u32>,
}

ferrio_object::traverse!(struct Watch { fd, file, reader, writer, interest, reader_since, writer_since });

impl Watch {
    pub(crate) fn new(fd: RawFd, interest: Interest) -> Self {
        Watch {
            fd,
            file: ObjCell::empty(),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            interest: Cell::new(interest),
            reader_since: Cell::new(0),
            writer_since: Cell::new(0),
        }
    }

    pub(crate) fn since(&self, side: Interest) -> &Cell<u32> {
        if side.is_readable() { &self.reader_since } else { &self.writer_since }
    }

    /// The waiter that an event is for, which was there before poll number `polls`.
    #[inline]
    pub(crate) fn meant(&self, side: Interest, polls: u32) -> Option<Waiter> {
        let waiter = self.side(side).borrow().clone();
        // An operation only tries once more, and its like may have waited before.
        waiter.filter(|waiter| matches!(waiter, Waiter::Futures(_)) || self.since(side).get() != polls)
    }

    pub(crate) fn side(&self, side: Interest) -> &RefCell<Option<Waiter>> {
        if side.is_readable() { &self.reader } else { &self.writer }
    }
}

/// Futures of operations that wait for one direction of a descriptor: mostly one.
pub(crate) type Futures = SmallVec<[Obj<Future>; 1]>;

/// What waits for one direction of a descriptor.
#[derive(Clone)]
pub(crate) enum Waiter {
    /// A callback of the user's, called again and again.
    Handle(Obj<Handle>),
    /// Operations like `sock_recv()`, each of which tries again when its future is done.
    Futures(Futures),
    /// A transport that waits here like a callback of the user's would: a pipe or a datagram endpoint. A pipe's descriptor
    /// may be shared (a terminal is read by one transport and written by another), and only this table can say which of
    /// them has which side.
    Transport(Erased),
}

ferrio_object::traverse!(
    enum Waiter {
        Handle(handle),
        Futures(futures),
        Transport(transport),
    }
);

/// A socket that stays known to the kernel between operations (`base_events/kept.rs`).
pub(crate) struct Kept {
    /// A weak reference to the socket object.
    pub(crate) owner: Obj,
    pub(crate) reader: RefCell<Futures>,
    pub(crate) writer: RefCell<Futures>,
}

ferrio_object::traverse!(struct Kept { owner, reader, writer });

impl Kept {
    pub(crate) fn is_of(&self, py: Python<'_>, sock: &Obj) -> bool {
        let owner = self.owner.bind(py).cast::<PyWeakrefReference>().ok().and_then(PyWeakrefMethods::upgrade);
        owner.is_some_and(|owner| std::ptr::eq(owner.as_ptr(), sock.as_ptr()))
    }

    pub(crate) fn side(&self, side: Interest) -> &RefCell<Futures> {
        if side.is_readable() { &self.reader } else { &self.writer }
    }

    /// Who waited for what is ready now.
    pub(crate) fn woken(&self, readiness: Readiness) -> (Futures, Futures) {
        let reader = if readiness.readable { self.reader.take() } else { Futures::new() };
        let writer = if readiness.writable { self.writer.take() } else { Futures::new() };
        (reader, writer)
    }
}
