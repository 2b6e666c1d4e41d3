//! One listening socket: accepting connections and making transports of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use ferrio_core::driver::{Address, Interest, Token, socket};
use ferrio_object::{Any, Class, ClassBuilder, Erased, Obj, ObjCell, ThreadState, socket_descriptor};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

use super::Server;
use crate::event_loop::registration::ensure_driver_watched;
use crate::event_loop::{ExceptionContext, Loop, Source};
use crate::exceptions::{self, FromIo};
use crate::log::{self, Level};
use crate::native_fn;
use crate::tls::{self, TlsParams};
use crate::transports::{Connected, Opening, SocketKind, StreamTransport, address};

/// Seconds to wait when the process has run out of descriptors: asyncio's `constants.ACCEPT_RETRY_DELAY`.
const RETRY_DELAY: i32 = 1;
/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM` of Linux.
const OUT_OF_RESOURCES: [i32; 4] = [24, 23, 105, 12];

/// The contents of a listener.
pub struct Listener {
    event_loop: ObjCell<Loop>,
    sock: ObjCell,
    fd: Cell<RawFd>,
    /// The number of the poll that last brought a connection.
    last_poll: Cell<u32>,
    /// What accepted connections are; found out with the first.
    kind: Cell<Option<SocketKind>>,
    token: Cell<Option<Token>>,
    protocol_factory: ObjCell,
    tls: RefCell<Option<TlsParams>>,
    server: ObjCell<Server>,
    backlog: i32,
    /// Each connection gets a copy.
    context: ObjCell,
    stopped: Cell<bool>,
}

/// What is done with accepted connections.
pub(crate) struct Accepting {
    pub(super) protocol_factory: Obj,
    pub(super) tls: Option<TlsParams>,
    pub(super) server: Obj<Server>,
    pub(super) backlog: i32,
    /// Each connection gets a copy.
    pub(super) context: Obj,
}

impl Listener {
    /// Accepts connections on `sock`, which listens already.
    ///
    /// # Errors
    /// `OSError` from the driver, `RuntimeError` if the descriptor is a transport's.
    pub(crate) fn start(
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        sock: &Obj,
        accepting: Accepting,
    ) -> PyResult<()> {
        crate::imported::ready_to_report(py)?;
        let fd: RawFd = sock.bind(py).call_method0(intern!(py, "fileno"))?.extract()?;
        // While it is surely open: see there.
        socket_descriptor(py, sock);
        let contents = Listener {
            event_loop: ObjCell::new(event_loop.clone()),
            sock: ObjCell::new(sock.clone()),
            fd: Cell::new(fd),
            last_poll: Cell::new(0),
            kind: Cell::new(None),
            token: Cell::new(None),
            protocol_factory: ObjCell::new(accepting.protocol_factory),
            tls: RefCell::new(accepting.tls),
            server: ObjCell::new(accepting.server),
            backlog: accepting.backlog,
            context: ObjCell::new(accepting.context),
            stopped: Cell::new(false),
        };
        let this: Obj<Listener> = Obj::create(py, ((), contents))?;
        Self::listen(&this)?;
        let old = event_loop.sockets.listeners.borrow_mut().insert(fd, Erased::new(this));
        drop(old);
        Ok(())
    }

    fn listen(this: &Obj<Self>) -> PyResult<()> {
        if this.stopped.get() || this.token.get().is_some() {
            return Ok(());
        }
        let Some(event_loop) = this.event_loop.get() else { return Ok(()) };
        if event_loop.is_closed() {
            return Ok(());
        }
        ensure_driver_watched(&event_loop)?;
        let token = event_loop.register(
            this.fd.get(),
            Interest::READABLE,
            Source::Listener(Erased::new(this.clone())),
        )?;
        this.token.set(Some(token));
        Ok(())
    }

    /// The descriptor for a syscall: -1 if the socket was closed without a word. Its number may be another server's.
    fn live_fd(&self, py: Python<'_>) -> RawFd {
        let Some(sock) = self.sock.get() else { return -1 };
        socket_descriptor(py, &sock).unwrap_or_else(|| self.fd.get())
    }

    fn pause(&self) {
        if let (Some(token), Some(event_loop)) = (self.token.take(), self.event_loop.get()) {
            event_loop.deregister(self.fd.get(), token);
        }
    }

    /// Accepts nothing more. The socket is still open.
    pub(crate) fn stop(this: &Obj<Self>) {
        this.stopped.set(true);
        this.pause();
        for cell in [&this.protocol_factory, &this.context] {
            cell.set(None);
        }
        let tls = this.tls.take();
        drop(tls);
        this.server.set(None);
    }

    /// Accepts what has arrived: one connection, since looking for another costs a syscall and there mostly is none; as
    /// many as the backlog holds where the poll before this one brought some too.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let poll = this.event_loop.get().map_or(0, |event_loop| event_loop.poll_count());
        let in_a_row = this.last_poll.replace(poll).wrapping_add(1) == poll;
        let most = if in_a_row { this.backlog.max(1) } else { 1 };
        for _ in 0..most {
            // The protocol factory may have closed the server.
            if this.stopped.get() {
                return Ok(());
            }
            match this.accept(py) {
                Ok((fd, peer)) => match Self::accepted(this, py, fd, peer) {
                    Err(err) if !exceptions::is_exit(py, &err) => return Self::report(this, py, FAILED, err),
                    outcome => outcome?,
                },
                Err(err) => {
                    use io::ErrorKind::{ConnectionAborted, WouldBlock};
                    if matches!(err.kind(), WouldBlock | ConnectionAborted) {
                        return Ok(());
                    }
                    return Self::failed(this, py, err);
                }
            }
        }
        Ok(())
    }

    fn accept(&self, py: Python<'_>) -> io::Result<(OwnedFd, Address)> {
        let fd = self.live_fd(py);
        if socket::is_nonblocking(fd)? {
            return socket::accept(fd);
        }
        // Somebody has made the socket blocking, through a duplicate perhaps.
        py.detach(|| socket::accept_waiting(fd))
    }

    fn accepted(this: &Obj<Self>, py: Python<'_>, fd: OwnedFd, peer: Address) -> PyResult<()> {
        let (Some(event_loop), Some(factory), Some(context), Some(listening)) =
            (this.event_loop.get(), this.protocol_factory.get(), this.context.get(), this.sock.get())
        else {
            return Ok(());
        };
        let kind = match this.kind.get() {
            Some(kind) => kind,
            None => SocketKind::of(listening.bind(py))?,
        };
        this.kind.set(Some(kind));
        // The log shows a Python socket; else there is none until somebody asks.
        let shown = ObjCell::empty();
        let connected = if event_loop.debug.get() {
            let sock = kind.python_socket(py, fd)?;
            shown.set(Some(sock.clone()));
            log_connection(this, py, &peer, &sock)?;
            Connected::Socket(sock)
        } else {
            Connected::Descriptor(fd, kind)
        };
        let context: Obj = context.bind(py).call_method0(intern!(py, "copy"))?.into();
        let protocol: ObjCell = ObjCell::empty();
        let tls = this.tls.borrow().clone();
        let made = ThreadState::in_context(py, &context, || {
            let made: Obj = factory.bind(py).call0()?.into();
            protocol.set(Some(made.clone()));
            let opening = Opening {
                sock: connected,
                protocol: &made,
                waiter: None,
                peer: Some(peer),
                extra: None,
                server: this.server.get().map(Obj::into_any),
                context: Some(context.clone()),
            };
            match tls {
                Some(tls) => tls::open_accepted(py, &event_loop, opening, &tls),
                None => StreamTransport::open(py, &event_loop, opening).map(drop),
            }
        });
        let Err(err) = made else { return Ok(()) };
        // Nobody owns the socket now. A bare descriptor has gone with its owner.
        if let Some(sock) = shown.take() {
            sock.bind(py).call_method0(intern!(py, "close"))?;
        }
        if exceptions::is_exit(py, &err) {
            return Err(err);
        }
        if !event_loop.debug.get() {
            ferrio_object::swallow(py, err);
            return Ok(());
        }
        ExceptionContext::new(py)
            .with("message", "Error on transport creation for incoming connection")?
            .with("exception", exceptions::value_of(py, err))?
            .with_any("protocol", protocol.take())?
            .report_to(&event_loop)
    }

    fn report(this: &Obj<Self>, py: Python<'_>, message: &str, err: PyErr) -> PyResult<()> {
        let (Some(event_loop), Some(sock)) = (this.event_loop.get(), this.sock.get()) else { return Ok(()) };
        ExceptionContext::new(py)
            .with("message", message)?
            .with("exception", exceptions::value_of(py, err))?
            .with("socket", crate::trsock::TransportSocket::wrap(py, &sock)?)?
            .report_to(&event_loop)
    }

    /// There is nowhere to send an error of `accept()` but the exception handler. When descriptors or memory have
    /// run out, the driver would report the socket as ready for ever, so it is left alone for a while.
    #[cold]
    fn failed(this: &Obj<Self>, py: Python<'_>, err: io::Error) -> PyResult<()> {
        let Some(event_loop) = this.event_loop.get() else { return Ok(()) };
        let exhausted = err.raw_os_error().is_some_and(|errno| OUT_OF_RESOURCES.contains(&errno));
        let message = if exhausted { "socket.accept() out of system resource" } else { FAILED };
        Self::report(this, py, message, PyOSError::new_err_from_io(err))?;
        if exhausted {
            this.pause();
            let again =
                native_fn::function(py, "_start_serving", vec![this.as_any().clone()], |_py, held, _| {
                    held[0].cast::<Listener>().map_or(Ok(()), Self::listen)
                })?;
            event_loop.bind(py).call_method1(intern!(py, "call_later"), (RETRY_DELAY, again))?;
        }
        Ok(())
    }
}

/// What is said when a connection cannot be accepted, or cannot be made a socket of.
const FAILED: &str = "socket.accept() failed";

fn log_connection(this: &Obj<Listener>, py: Python<'_>, peer: &Address, sock: &Obj) -> PyResult<()> {
    let message = "%r got a new connection from %r: %r";
    let peer = address::shown(py, peer)?.unwrap_or_else(|| Obj::none(py));
    let server = this.server.get().map_or_else(|| Obj::none(py), Obj::into_any);
    log::write(py, "ferrio.selector_events", Level::Debug, (message, server, peer, sock))
}

impl Class for Listener {
    type Base = Any;
    ferrio_object::fields!(Listener {
        event_loop,
        sock,
        fd,
        last_poll,
        kind,
        token,
        protocol_factory,
        tls,
        server,
        backlog,
        context,
        stopped
    });
    const NAME: &'static str = "ferrio._ferrio._Listener";
    const DOC: &'static str = "A listening socket of a server.";
    const NEW: bool = false;
    const SUBCLASS: bool = false;

    fn blank() -> Self {
        Listener {
            event_loop: ObjCell::empty(),
            sock: ObjCell::empty(),
            fd: Cell::new(-1),
            last_poll: Cell::new(0),
            kind: Cell::new(None),
            token: Cell::new(None),
            protocol_factory: ObjCell::empty(),
            tls: RefCell::new(None),
            server: ObjCell::empty(),
            backlog: 0,
            context: ObjCell::empty(),
            stopped: Cell::new(true),
        }
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}
