//! The transports that are told of readiness through the table that `add_reader` uses (`io.rs`): pipes and datagram
//! endpoints.
//!
//! Stream transports and listeners are sources of their own, without the table in between. A pipe's descriptor may be
//! shared (a terminal is read by one transport and written by another), and only the table can tell who has which side.

use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_object::{Obj, Visit};
use pyo3::prelude::*;

use super::{Loop, io};
use crate::transports::{DatagramTransport, ReadPipe, WritePipe};

/// One of them.
#[derive(Clone)]
pub(crate) enum Polled {
    Datagram(Obj<DatagramTransport>),
    ReadPipe(Obj<ReadPipe>),
    WritePipe(Obj<WritePipe>),
}

impl Polled {
    fn as_any(&self) -> &Obj {
        match self {
            Polled::Datagram(transport) => transport.as_any(),
            Polled::ReadPipe(transport) => transport.as_any(),
            Polled::WritePipe(transport) => transport.as_any(),
        }
    }

    pub(super) fn is(&self, other: &Polled) -> bool {
        self.as_any().is(other.as_any())
    }

    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        visit.obj(self.as_any());
    }

    /// Asks to be told when `fd` is ready in one direction.
    ///
    /// # Errors
    /// `OSError` from the driver (`PermissionError` for a file that cannot be polled), `RuntimeError` if the loop is
    /// closed.
    pub(crate) fn watch(
        self,
        event_loop: &Obj<Loop>,
        py: Python<'_>,
        fd: RawFd,
        side: Interest,
    ) -> PyResult<()> {
        io::watch_transport(event_loop, py, fd, side, self)
    }

    /// Asks to be told no more.
    pub(crate) fn unwatch(&self, event_loop: &Obj<Loop>, fd: RawFd, side: Interest) {
        io::unwatch_transport(event_loop, fd, side, self);
    }

    /// Tells it.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    pub(super) fn ready(&self, py: Python<'_>, side: Interest) -> PyResult<()> {
        match self {
            Polled::Datagram(transport) => DatagramTransport::ready(transport, py, side),
            Polled::ReadPipe(transport) => ReadPipe::ready(transport, py),
            Polled::WritePipe(transport) => WritePipe::ready(transport, py, side),
        }
    }
}
