//! `asyncio.Server`: listening sockets, and the connections that came of them.

mod listener;
mod serving;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ferrio_core::write_timing::Habit;
use ferrio_object::{Obj, ObjCell};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

use crate::event_loop::Loop;
use crate::future::{self, Future};
use crate::tls::TlsParams;

pub(crate) use listener::Listener;
pub(crate) use serving::{Serving, add};

/// The contents of a server.
pub struct Server {
    event_loop: ObjCell<Loop>,
    /// A list of the listening sockets until `close()`.
    sockets: ObjCell,
    protocol_factory: ObjCell,
    ssl_context: ObjCell,
    /// How connections talk TLS, if they do.
    tls: RefCell<Option<TlsParams>>,
    backlog: Cell<i32>,
    /// Weak references to the transports, by their address: a transport that is abandoned must be found out. Each
    /// leaves when it ends, also by its finalizer.
    clients: RefCell<HashMap<usize, Obj>>,
    /// Connections attached without saying who they are (asyncio to 3.12 did).
    unnamed: Cell<usize>,
    /// The waiters of `wait_closed()`; there can be none once the server is closed and its connections are gone.
    waiters: RefCell<Option<Vec<Obj<Future>>>>,
    /// How its connections write.
    write_habit: Rc<Cell<Habit>>,
    serving: Cell<bool>,
    serving_forever: ObjCell<Future>,
    /// The context in which the server was made; its connections get copies since 3.15.
    context: ObjCell,
}

/// `server._attach(transport)`.
///
/// # Errors
/// `AssertionError` if the server is closed.
pub(crate) fn attach(py: Python<'_>, server: &Obj, transport: &Obj) -> PyResult<()> {
    match server.cast::<Server>() {
        Some(ours) => Server::attach(ours, py, Some(transport)),
        None => server.bind(py).call_method1(intern!(py, "_attach"), (transport,)).map(drop),
    }
}

/// `server._detach(transport)`.
///
/// # Errors
/// What a foreign server raises.
pub(crate) fn detach(py: Python<'_>, server: &Obj, transport: &Obj) -> PyResult<()> {
    match server.cast::<Server>() {
        Some(ours) => Server::detach(ours, py, Some(transport)),
        None => server.bind(py).call_method1(intern!(py, "_detach"), (transport,)).map(drop),
    }
}

/// What the connections of a server have shown about their writes; `None` for a server that is not ours.
pub(crate) fn write_habit(server: &Obj) -> Option<Rc<Cell<Habit>>> {
    Some(server.cast::<Server>()?.write_habit.clone())
}

impl Server {
    fn get_loop(&self) -> PyResult<Obj<Loop>> {
        self.event_loop.get().ok_or_else(|| PyRuntimeError::new_err("the server is not initialized"))
    }

    fn attach(this: &Obj<Self>, py: Python<'_>, transport: Option<&Obj>) -> PyResult<()> {
        if this.sockets.is_none() {
            return Err(PyAssertionError::new_err("the server is closed"));
        }
        match transport {
            Some(transport) => {
                let weak = PyWeakrefReference::new(transport.bind(py))?.into_any().into();
                let old = this.clients.borrow_mut().insert(transport.as_ptr() as usize, weak);
                drop(old);
            }
            None => this.unnamed.set(this.unnamed.get() + 1),
        }
        Ok(())
    }

    fn detach(this: &Obj<Self>, py: Python<'_>, transport: Option<&Obj>) -> PyResult<()> {
        match transport {
            Some(transport) => {
                let old = this.clients.borrow_mut().remove(&(transport.as_ptr() as usize));
                drop(old);
            }
            None if this.unnamed.get() == 0 => {
                return Err(PyAssertionError::new_err("no connection is attached"));
            }
            None => this.unnamed.set(this.unnamed.get() - 1),
        }
        if this.sockets.is_none() { this.wake_if_over(py) } else { Ok(()) }
    }

    /// Wakes those in `wait_closed()` once the last connection of a closed server is gone.
    fn wake_if_over(&self, py: Python<'_>) -> PyResult<()> {
        if !self.clients.borrow().is_empty() || self.unnamed.get() > 0 {
            return Ok(());
        }
        let waiters = self.waiters.borrow_mut().take();
        for waiter in waiters.into_iter().flatten() {
            future::wake(&waiter, py)?;
        }
        Ok(())
    }
}
