//! The socket that a transport owns: a bare descriptor at first where we accepted it, a Python object from when somebody
//! asks for one.
//!
//! Making the object costs a syscall and as much as a small message does, and most connections that a server accepts
//! live and end without anybody asking. While there is no object, nobody else can have closed the descriptor. With one,
//! the object is the owner, as in asyncio, and is asked before each use of the number.

use std::cell::Cell;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use ferrio_core::driver::socket;
use ferrio_object::{Obj, ObjCell, socket_descriptor};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::exceptions::FromIo;

/// Linux' `SOCK_NONBLOCK`: in the type given to `socket.socket` it says that the descriptor is non-blocking already.
const SOCK_NONBLOCK: i32 = 0o4000;

/// What the constructor of a Python socket wants to know.
#[derive(Clone, Copy, Default)]
pub(crate) struct SocketKind {
    family: i32,
    kind: i32,
    proto: i32,
}

impl SocketKind {
    /// That of a Python socket; a connection it accepts has the same.
    ///
    /// # Errors
    /// What asking for the attributes raises.
    pub(crate) fn of(sock: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = sock.py();
        Ok(SocketKind {
            family: sock.getattr(intern!(py, "family"))?.extract()?,
            kind: sock.getattr(intern!(py, "type"))?.extract()?,
            proto: sock.getattr(intern!(py, "proto"))?.extract()?,
        })
    }

    /// A Python socket for a descriptor, which is its from then on.
    ///
    /// # Errors
    /// What the constructor raises; the descriptor is closed then.
    pub(crate) fn python_socket(self, py: Python<'_>, fd: OwnedFd) -> PyResult<Obj> {
        let class = py.import(intern!(py, "socket"))?.getattr(intern!(py, "socket"))?;
        let sock = class.call1((self.family, self.kind | SOCK_NONBLOCK, self.proto, fd.as_raw_fd()))?;
        let _ = fd.into_raw_fd();
        Ok(sock.into())
    }

    /// A Python socket that is closed.
    fn closed_socket(self, py: Python<'_>) -> PyResult<Obj> {
        let class = py.import(intern!(py, "socket"))?.getattr(intern!(py, "socket"))?;
        let sock = class.call1((self.family, self.kind, self.proto))?;
        sock.call_method0(intern!(py, "close"))?;
        Ok(sock.into())
    }
}

/// What a transport begins with.
pub(crate) enum Connected {
    /// A Python socket.
    Socket(Obj),
    /// A descriptor that nobody else knows.
    Descriptor(OwnedFd, SocketKind),
}

impl Connected {
    /// The descriptor's number.
    ///
    /// # Errors
    /// What the object's `fileno()` raises.
    pub(super) fn number(&self, py: Python<'_>) -> PyResult<RawFd> {
        match self {
            Connected::Socket(sock) => sock.bind(py).call_method0(intern!(py, "fileno"))?.extract(),
            Connected::Descriptor(fd, _) => Ok(fd.as_raw_fd()),
        }
    }
}

/// The socket of a transport.
#[derive(Default)]
pub(super) struct HeldSocket {
    /// The descriptor, as long as there is no Python object for it.
    bare: Cell<Option<OwnedFd>>,
    kind: Cell<SocketKind>,
    /// The Python object. It stays when the socket is closed: `get_extra_info()` shows it after the end too.
    object: ObjCell,
    is_open: Cell<bool>,
}

ferrio_object::traverse!(struct HeldSocket { bare, kind, object, is_open });

impl HeldSocket {
    /// Takes the socket, which is open.
    pub(super) fn begin(&self, py: Python<'_>, connected: Connected) {
        match connected {
            Connected::Socket(sock) => {
                // While it is surely open: see there.
                socket_descriptor(py, &sock);
                self.object.set(Some(sock));
            }
            Connected::Descriptor(fd, kind) => {
                self.kind.set(kind);
                self.bare.set(Some(fd));
            }
        }
        self.is_open.set(true);
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// The descriptor for a syscall, `number` being what it was at the beginning. -1 if the socket is closed, also if
    /// that was not our doing: the number may be somebody else's by then, who would get our data.
    #[inline]
    pub(super) fn live_fd(&self, py: Python<'_>, number: RawFd) -> RawFd {
        if !self.is_open.get() {
            return -1;
        }
        match self.object.get() {
            Some(sock) => socket_descriptor(py, &sock).unwrap_or(number),
            None => number,
        }
    }

    /// The Python object; made if there was none, and a closed one after the end.
    ///
    /// # Errors
    /// What making one raises.
    pub(super) fn object(&self, py: Python<'_>) -> PyResult<Obj> {
        if let Some(sock) = self.object.get() {
            return Ok(sock);
        }
        let kind = self.kind.get();
        let sock = match self.bare.take() {
            Some(fd) => match kind.python_socket(py, fd) {
                Ok(sock) => sock,
                Err(err) => {
                    self.is_open.set(false);
                    return Err(err);
                }
            },
            None => kind.closed_socket(py)?,
        };
        // While it is surely open: see there.
        socket_descriptor(py, &sock);
        self.object.set(Some(sock.clone()));
        Ok(sock)
    }

    /// asyncio's `_sock`: `None` after the end.
    ///
    /// # Errors
    /// What making the object raises.
    pub(super) fn open_object(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        if self.is_open.get() { self.object(py).map(Some) } else { Ok(None) }
    }

    /// Tells the peer that nothing more will be sent.
    ///
    /// # Errors
    /// `OSError`, what the object's `shutdown()` raises.
    pub(super) fn shutdown_write(&self, py: Python<'_>, number: RawFd) -> PyResult<()> {
        if !self.is_open.get() {
            return Ok(());
        }
        match self.object.get() {
            // SHUT_WR, through the socket object: there are programs that put their own in its place.
            Some(sock) => sock.bind(py).call_method1(intern!(py, "shutdown"), (1,)).map(drop),
            None => socket::shutdown_write(number).map_err(PyOSError::new_err_from_io),
        }
    }

    /// Closes the socket.
    ///
    /// # Errors
    /// What the object's `close()` raises.
    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_open.replace(false) {
            return Ok(());
        }
        match self.bare.take() {
            // A connection inherits the option from the listening socket.
            Some(fd) if socket::lingers(fd.as_raw_fd()) => py.detach(|| drop(fd)),
            Some(fd) => drop(fd),
            None => {
                if let Some(sock) = self.object.get() {
                    sock.bind(py).call_method0(intern!(py, "close"))?;
                }
            }
        }
        Ok(())
    }
}
