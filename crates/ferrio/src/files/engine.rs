//! A loop's engine for file operations: what waits for which, and what is done when one completes.
//!
//! The engine is made with the loop's first file; its eventfd is a source like any descriptor. An operation on a file
//! changes the file's buffers when it *completes*, not when its waiter is resumed: a waiter that was cancelled
//! meanwhile changes nothing about where the file is.

use std::io;
use std::rc::Rc;

use ferrio_core::driver::Interest;
use ferrio_core::driver::files::{Completed, Files, FilesKind, Operation, Value};
use ferrio_object::{Erased, Obj};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use super::file::File;
use crate::coro::{Co, Local};
use crate::event_loop::registration::ensure_driver_watched;
use crate::event_loop::{Engine, Loop, LoopRef, OutcomeSlot, Pending, Ready, Source};
use crate::exceptions::FromIo;
use crate::future::{self, Future};

/// The slot in a coroutine's frame.
struct Outcome {
    slot: OutcomeSlot,
}

// It holds no objects; only threads keep it from being `Send`.
ferrio_object::traverse!(
    struct Outcome {
        slot: unowned,
    }
);

const ECANCELED: i32 = 125;

impl Engine {
    fn begin(this: &Obj<Loop>, py: Python<'_>, operation: Operation, pending: Pending) -> PyResult<u64> {
        this.check_closed()?;
        Self::leave_to_parent(this, py)?;
        let engine = &this.files;
        if engine.files.borrow().is_none() {
            let kind = FilesKind::from_env().map_err(|err| PyValueError::new_err(err.to_string()))?;
            let files = Files::new(kind).map_err(PyOSError::new_err_from_io)?;
            ensure_driver_watched(this)?;
            engine.token.set(Some(this.register(files.fd(), Interest::READABLE, Source::Files)?));
            *engine.files.borrow_mut() = Some(files);
        }
        let submitted = engine.files.borrow_mut().as_mut().map(|files| files.submit(operation));
        let id = submitted.unwrap_or(Err(io::ErrorKind::NotConnected.into()));
        let id = id.map_err(PyOSError::new_err_from_io)?;
        engine.pending.borrow_mut().insert(id, pending);
        Ok(id)
    }

    /// In a forked child, which makes an engine of its own: gives up its parent's. What that one has under way is not
    /// done here as well, and what waits for it in the child gets `ECANCELED`.
    ///
    /// # Errors
    /// `MemoryError`.
    fn leave_to_parent(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
        let engine = &this.files;
        if engine.files.borrow().as_ref().is_none_or(Files::is_ours) {
            return Ok(());
        }
        let files = engine.files.take();
        let mut pending = engine.pending.take();
        let Some(files) = files else { return Ok(()) };
        if let Some(token) = engine.token.take() {
            this.deregister(files.fd(), token);
        }
        let copies =
            files.into_copies().into_iter().map(|(id, operation)| (pending.remove(&id), Some(operation)));
        let copies: Vec<_> = copies.collect();
        let others = pending.into_values().map(|pending| (Some(pending), None));
        for (pending, operation) in copies.into_iter().chain(others) {
            let Some(Pending { fut, outcome, file }) = pending else { continue };
            if let Some(file) = file.as_ref().and_then(Erased::get) {
                match operation {
                    // What is ahead of the position was in its buffer.
                    Some(operation @ Operation::Read { .. }) => File::operated(file, py, operation),
                    // What it writes, its parent writes.
                    _ => File::left_to_parent(file, py),
                }
            }
            outcome.set(Some(Err(io::Error::from_raw_os_error(ECANCELED))));
            if let Some(fut) = fut {
                future::wake(&fut, py)?;
            }
        }
        Ok(())
    }

    /// Does `operation` and waits for it. With a file, its buffers are brought up to date and it is told when nothing
    /// is under way any more. `endless` operations are ended when the waiter is cancelled.
    ///
    /// # Errors
    /// What is thrown in; the outer result. The inner one is the operation's own.
    pub(super) async fn perform(
        co: &Co,
        this: &Local<Loop>,
        operation: Operation,
        file: Option<&Local<File>>,
        endless: bool,
    ) -> PyResult<io::Result<Value>> {
        let (wait, outcome, id) = {
            let (py, this, file) = (co.py(), this.get(), file.map(Local::get));
            let slot = OutcomeSlot::default();
            let fut = Future::create(py, LoopRef::Native(this.clone()))?;
            let pending = Pending {
                fut: Some(fut.clone()),
                outcome: Rc::clone(&slot),
                file: file.clone().map(Erased::new),
            };
            let id = Self::begin(&this, py, operation, pending)?;
            if let Some(file) = file {
                file.in_flight.set(true);
            }
            // What the page cache has is read already. It is handed out in the next turn all the same: a task that
            // reads a large file would otherwise keep the loop to itself.
            drain(&this, py, |fut| {
                this.push(|| Ready::Resolve(fut));
                Ok(())
            })?;
            (co.wait(fut), co.keep(Outcome { slot }), id)
        };
        if let Err(err) = wait.await {
            if endless {
                this.get().files.cancel(id);
            }
            return Err(err);
        }
        Ok(outcome.get().slot.take().unwrap_or(Err(io::ErrorKind::NotConnected.into())))
    }

    /// Begins an operation that nobody waits for.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed, `OSError` if it could not be begun.
    pub(super) fn detach(this: &Obj<Loop>, operation: Operation) -> PyResult<()> {
        let pending = Pending { fut: None, outcome: OutcomeSlot::default(), file: None };
        Self::begin(this, this.py(), operation, pending).map(drop)
    }
}

/// The eventfd was readable.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn arrived(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    Engine::leave_to_parent(this, py)?;
    if let Some(files) = &mut *this.files.files.borrow_mut() {
        files.acknowledge();
    }
    drain(this, py, |fut| future::wake(&fut, py).map(drop))
}

/// Takes in what has completed, and has `tell` tell each waiter.
///
/// # Errors
/// Those of `tell`.
fn drain(this: &Obj<Loop>, py: Python<'_>, tell: impl Fn(Obj<Future>) -> PyResult<()>) -> PyResult<()> {
    loop {
        let completed = this.files.files.borrow_mut().as_mut().and_then(Files::completed);
        let Some(Completed { id, operation, result }) = completed else { return Ok(()) };
        let pending = this.files.pending.borrow_mut().remove(&id);
        let Some(Pending { fut, outcome, file }) = pending else { continue };
        if let Some(file) = file.as_ref().and_then(Erased::get) {
            File::operated(file, py, operation);
        }
        outcome.set(Some(result));
        if let Some(fut) = fut {
            tell(fut)?;
        }
    }
}
