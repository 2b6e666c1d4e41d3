//! What a loop knows about its sockets: buffers that all of them share, and which transport has which descriptor.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;

use ferrio_core::driver::PageBuffer;
use ferrio_core::driver::datagram::Inbox;
use ferrio_object::{Erased, Obj, ObjCell, SpareBytes};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;

/// Size of the buffer that all connections of a loop receive into, in bytes; also what asyncio reads at most at once.
pub(crate) const SCRATCH_LEN: usize = 256 * 1024;

/// What a loop knows about its sockets.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Empty until the first read, and while it is in use.
    scratch: Cell<PageBuffer>,
    /// What `bytes` are made of.
    pub(crate) spare: SpareBytes,
    /// Whether the last `sock_recv()` brought much.
    pub(crate) bulk: Cell<bool>,
    /// What all datagram endpoints receive into; made with the first datagram.
    inbox: Cell<Option<Box<Inbox>>>,
    /// Weak references to the transports by descriptor: asked when somebody else wants to use the same one.
    transports: RefCell<HashMap<RawFd, Obj>>,
    /// What a loop written in Python has put in their place (`_transports = ...`).
    pub(crate) own_transports: ObjCell,
    /// The `Listener` of each listening socket, by descriptor.
    pub(crate) listeners: RefCell<HashMap<RawFd, Erased>>,
    /// Paths (and their inodes) to remove when the server on a descriptor stops.
    pub(crate) unix_paths: RefCell<HashMap<RawFd, (Obj, u64)>>,
}

ferrio_object::traverse!(struct Sockets {
    scratch,
    spare: unowned,
    bulk,
    inbox: unowned,
    transports: kept,
    own_transports,
    listeners: kept,
    unix_paths: kept,
});

impl Sockets {
    /// The scratch buffer, to be put back before any Python code runs.
    #[inline]
    pub(crate) fn take_scratch(&self) -> PageBuffer {
        let scratch = self.scratch.take();
        if scratch.is_empty() { PageBuffer::new(SCRATCH_LEN) } else { scratch }
    }

    #[inline]
    pub(crate) fn put_scratch(&self, scratch: PageBuffer) {
        self.scratch.set(scratch);
    }

    /// Where datagrams are received into. To be put back when they are delivered; a caller that asks meanwhile gets
    /// another.
    #[inline]
    pub(crate) fn take_inbox(&self) -> Box<Inbox> {
        self.inbox.take().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn put_inbox(&self, inbox: Box<Inbox>) {
        self.inbox.set(Some(inbox));
    }

    /// Notes that `transport` uses `fd`.
    ///
    /// # Errors
    /// `RuntimeError` if another transport that is not closing uses it.
    pub(crate) fn claim<T: 'static>(&self, py: Python<'_>, fd: RawFd, transport: &Obj<T>) -> PyResult<()> {
        self.ensure_unused(py, fd, &fd.to_string())?;
        let weak = PyWeakrefReference::new(transport.bind(py))?.into_any().into();
        let old = self.transports.borrow_mut().insert(fd, weak);
        drop(old);
        Ok(())
    }

    /// Forgets that `transport` uses `fd`. Call it before the descriptor is closed.
    pub(crate) fn release<T: 'static>(&self, py: Python<'_>, fd: RawFd, transport: &Obj<T>) {
        let Some(weak) = self.transports.borrow().get(&fd).cloned() else { return };
        // The descriptor may have been closed before, and its number be another transport's by now.
        let ours = weak.bind(py).call0().is_ok_and(|user| user.is_none() || user.is(transport.bind(py)));
        if ours {
            let old = self.transports.borrow_mut().remove(&fd);
            drop(old);
        }
    }

    /// # Errors
    /// `RuntimeError` if a transport that is not closing uses `fd`.
    pub(crate) fn ensure_unused(&self, py: Python<'_>, fd: RawFd, shown: &str) -> PyResult<()> {
        let Some(weak) = self.transports.borrow().get(&fd).cloned() else { return Ok(()) };
        let transport = weak.bind(py).call0()?;
        if transport.is_none() || transport.call_method0(intern!(py, "is_closing"))?.is_truthy()? {
            return Ok(());
        }
        let transport = transport.repr()?;
        Err(PyRuntimeError::new_err(format!("File descriptor {shown} is used by transport {transport}")))
    }

    /// asyncio's `_transports`: a `weakref.WeakValueDictionary` of the transports by descriptor, made anew each time.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn show_transports(&self, py: Python<'_>) -> PyResult<Obj> {
        if let Some(own) = self.own_transports.get() {
            return Ok(own);
        }
        let shown = py.import("weakref")?.call_method0("WeakValueDictionary")?;
        let transports: Vec<(RawFd, Obj)> =
            self.transports.borrow().iter().map(|(fd, weak)| (*fd, weak.clone())).collect();
        for (fd, weak) in transports {
            let transport = weak.bind(py).call0()?;
            if !transport.is_none() {
                shown.set_item(fd, transport)?;
            }
        }
        Ok(shown.into())
    }

    /// Whether a transport has the descriptor, or had it and has not let go of it.
    pub(crate) fn is_used(&self, fd: RawFd) -> bool {
        self.transports.borrow().contains_key(&fd)
    }

    pub(crate) fn clear(&self) {
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        drop(listeners);
        let paths = std::mem::take(&mut *self.unix_paths.borrow_mut());
        drop(paths);
        self.spare.clear();
    }
}
