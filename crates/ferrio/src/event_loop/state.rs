//! What a loop holds beside its queues and sources: whose the driver's registrations are, calls on threads, signal
//! handlers, file operations. What is done with each stands elsewhere: `registration.rs`, `base_events/`, `files/`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use ferrio_core::completions::Completions;
use ferrio_core::driver::Token;
use ferrio_core::driver::files::{Files, Value};
use ferrio_core::signal::SignalPipe;
use ferrio_object::{Erased, Obj, ObjCell};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::future::Future;

/// What a loop knows about the driver's registrations.
#[derive(Default)]
pub(crate) struct Registrations {
    /// The owner by descriptor; `Token::WAKE`, which is nobody's, where there is none.
    pub(super) owners: RefCell<Vec<Token>>,
    /// Polls so far: its events are not for a waiter that came after the last one.
    pub(super) polls: Cell<u32>,
}

impl Registrations {
    pub(super) fn owner(&self, fd: RawFd) -> Token {
        let owners = self.owners.borrow();
        usize::try_from(fd).ok().and_then(|fd| owners.get(fd)).copied().unwrap_or(Token::WAKE)
    }

    pub(super) fn set_owner(&self, fd: RawFd, token: Token) {
        let Ok(fd) = usize::try_from(fd) else { return };
        let mut owners = self.owners.borrow_mut();
        if fd >= owners.len() {
            owners.resize(fd + 1, Token::WAKE);
        }
        owners[fd] = token;
    }

    /// The descriptor of a token.
    pub(crate) fn descriptor(&self, token: Token) -> Option<RawFd> {
        let place = self.owners.borrow().iter().position(|owner| *owner == token)?;
        RawFd::try_from(place).ok()
    }

    /// All descriptors that have an owner.
    pub(crate) fn all(&self) -> Vec<(RawFd, Token)> {
        let owners = self.owners.borrow();
        let all = (0..).zip(owners.iter().copied());
        all.filter(|(_, token)| *token != Token::WAKE).collect()
    }

    #[inline]
    pub(crate) fn poll_count(&self) -> u32 {
        self.polls.get()
    }

    #[inline]
    pub(crate) fn note_poll(&self) {
        self.polls.set(self.polls.get().wrapping_add(1));
    }

    pub(crate) fn clear(&self) {
        let owners = self.owners.take();
        drop(owners);
    }
}

/// The calls of a loop that somebody waits for.
#[derive(Default)]
pub(crate) struct Calls {
    /// Made with the first call. It keeps the waker's descriptor open, so a closed loop has none.
    pub(crate) completions: RefCell<Option<Arc<Completions>>>,
    pub(crate) waiting: RefCell<HashMap<u64, Obj<Future>>>,
    pub(crate) next: Cell<u64>,
}

ferrio_object::traverse!(struct Calls { completions, waiting, next }, clear = Calls::clear);

impl Calls {
    /// Nobody waits any more.
    pub(crate) fn clear(&self) {
        let completions = self.completions.borrow_mut().take();
        drop(completions);
        let waiting = self.waiting.try_borrow_mut().map(|mut waiting| std::mem::take(&mut *waiting));
        drop(waiting);
    }
}

/// A loop's signal handlers.
#[derive(Default)]
pub(crate) struct Signals {
    /// Signal number -> Handle; a dict, since people look into it.
    pub(crate) handlers: ObjCell,
    pub(crate) pipe: RefCell<Option<Pipe>>,
    /// The descriptor to be set while the loop waits, if it runs on the main thread.
    pub(crate) guard: Cell<Option<i32>>,
    /// `_ssock` and `_csock`, the ends of the pipe as socket objects, once somebody has asked for them.
    pub(crate) ends: [ObjCell; 2],
}

ferrio_object::traverse!(struct Signals { handlers, pipe: unowned, guard, ends });

pub(crate) struct Pipe {
    pub(crate) pipe: Rc<SignalPipe>,
    pub(crate) token: Token,
}

impl Signals {
    pub(crate) fn handlers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let handlers = if let Some(handlers) = self.handlers.get() {
            handlers
        } else {
            let handlers = Obj::from(PyDict::new(py).into_any());
            self.handlers.set(Some(handlers.clone()));
            handlers
        };
        Ok(handlers.into_bound(py).cast_into()?)
    }

    pub(crate) fn has_handlers(&self, py: Python<'_>) -> bool {
        self.handlers.get().is_some_and(|handlers| handlers.bind(py).is_truthy().unwrap_or(false))
    }
}

/// Where an outcome is put for its waiter.
pub(crate) type OutcomeSlot = Rc<Cell<Option<io::Result<Value>>>>;

/// What waits for a file operation, and what it is done to.
pub(crate) struct Pending {
    pub(crate) fut: Option<Obj<Future>>,
    pub(crate) outcome: OutcomeSlot,
    pub(crate) file: Option<Erased>,
}

ferrio_object::traverse!(struct Pending { fut, outcome: unowned, file });

/// File operations of a loop; empty until its first file (`files/engine.rs`).
#[derive(Default)]
pub(crate) struct Engine {
    pub(crate) files: RefCell<Option<Files>>,
    pub(crate) token: Cell<Option<Token>>,
    pub(crate) pending: RefCell<HashMap<u64, Pending>>,
}

ferrio_object::traverse!(struct Engine { files, token, pending: kept });

impl Engine {
    /// The loop is closed. What is under way is ended or waited for, so that no buffer is left to the kernel.
    pub(crate) fn close(&self, py: Python<'_>) {
        let files = self.files.take();
        // To end what is under way may take seconds.
        py.detach(move || drop(files));
        let pending = self.pending.take();
        drop(pending);
    }

    /// Which engine it is.
    pub(crate) fn name(&self) -> Option<&'static str> {
        self.files.borrow().as_ref().map(Files::name)
    }

    pub(crate) fn cancel(&self, id: u64) {
        if let Some(files) = &mut *self.files.borrow_mut() {
            files.cancel(id);
        }
    }
}
