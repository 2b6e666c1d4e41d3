//! Calls that block, on native threads (`ferrio_core::blocking`), awaited by coroutines of ours.
//!
//! The thread touches nothing of Python: it neither has nor wants the GIL. It leaves its result where the coroutine
//! looks for it, and the number of the call with the loop's [`Completions`]. The coroutine's future is kept here under
//! that number, and only as long as somebody waits: a call that was given up, or whose loop was closed, ends on its
//! thread unheard.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use ferrio_core::blocking;
use ferrio_core::completions::{self, Completions};
use ferrio_object::{Obj, Visit};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use super::Loop;
use crate::coro::Co;
use crate::exceptions::FromIo;
use crate::future::{self, Future};
use crate::loop_ref::LoopRef;

/// The calls of a loop that somebody waits for.
#[derive(Default)]
pub(super) struct Calls {
    /// Made with the first call. It keeps the waker's descriptor open, so a closed loop has none.
    completions: RefCell<Option<Arc<Completions>>>,
    waiting: RefCell<HashMap<u64, Obj<Future>>>,
    next: Cell<u64>,
}

impl Calls {
    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(waiting) = self.waiting.try_borrow() {
            waiting.values().for_each(|fut| visit.obj(fut));
        }
    }

    /// Nobody waits any more.
    pub(super) fn clear(&self) {
        let completions = self.completions.borrow_mut().take();
        drop(completions);
        let waiting = self.waiting.try_borrow_mut().map(|mut waiting| std::mem::take(&mut *waiting));
        drop(waiting);
    }
}

/// Forgets the call if its coroutine waits no more.
struct Waiting<'a> {
    event_loop: &'a Obj<Loop>,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let fut = self.event_loop.calls.waiting.borrow_mut().remove(&self.number);
        drop(fut);
    }
}

/// Has `work` run on a native thread, and waits for what comes of it.
///
/// # Errors
/// `CancelledError`, after which the work goes on and its result is dropped; `RuntimeError` if the loop is closed or
/// the work panicked; `OSError` if there is no thread to be had.
pub(super) async fn on_thread<T: Send + 'static>(
    co: &Co,
    this: &Obj<Loop>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (fut, slot, _waiting) = {
        let py = co.py();
        let driver = this.driver()?;
        let number = this.calls.next.get();
        this.calls.next.set(number + 1);
        let completions = Arc::clone(
            this.calls.completions.borrow_mut().get_or_insert_with(|| Completions::new(driver.waker())),
        );
        let (ticket, slot) = completions.ticket(number);
        let fut = Future::create(py, LoopRef::Native(this.clone()))?;
        let old = this.calls.waiting.borrow_mut().insert(number, fut.clone());
        drop(old);
        let waiting = Waiting { event_loop: this, number };
        blocking::shared()
            .spawn(Box::new(move || ticket.complete(work())))
            .map_err(PyOSError::new_err_from_io)?;
        (fut, slot, waiting)
    };
    co.wait(fut).await?;
    completions::result(&slot).ok_or_else(|| PyRuntimeError::new_err("the call on a native thread failed"))
}

/// Tells those whose calls are done. To be called after the driver was woken.
pub(super) fn deliver(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let Some(completions) = this.calls.completions.borrow().clone() else { return Ok(()) };
    for number in completions.take() {
        let fut = this.calls.waiting.borrow_mut().remove(&number);
        if let Some(fut) = fut
            && !fut.is_done()
        {
            future::set_result(&fut, py, Obj::none(py))?;
        }
    }
    Ok(())
}
