//! Calls that block, on native threads (`ferrio_core::blocking`), awaited by coroutines of ours.
//!
//! The thread touches nothing of Python: it neither has nor wants the GIL. It leaves its result where the coroutine
//! looks for it, and the number of the call with the loop's [`Completions`]. The coroutine's future is kept here under
//! that number, and only as long as somebody waits: a call that was given up, or whose loop was closed, ends on its
//! thread unheard.

use std::sync::Arc;

use ferrio_core::blocking;
use ferrio_core::completions::{self, Completions, Slot, Ticket};
use ferrio_object::Obj;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use crate::coro::{Co, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::exceptions::FromIo;
use crate::future::{self, Future};
use crate::future_likes;
use crate::native_fn::NativeFn;

/// Forgets the call if its coroutine waits no more.
struct CallGuard<'a> {
    event_loop: &'a Local<Loop>,
    number: u64,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        let fut = self.event_loop.get().calls.waiting.borrow_mut().remove(&self.number);
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
    event_loop: &Local<Loop>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (wait, slot, _guard) = {
        let (py, this) = (co.py(), event_loop.get());
        let (number, ticket, slot) = ticket(&this)?;
        let fut = Future::create(py, LoopRef::Native(this.clone()))?;
        let old = this.calls.waiting.borrow_mut().insert(number, fut.clone());
        drop(old);
        let guard = CallGuard { event_loop, number };
        blocking::shared()
            .spawn(Box::new(move || ticket.complete(work())))
            .map_err(PyOSError::new_err_from_io)?;
        (co.wait(fut), slot, guard)
    };
    wait.await?;
    completions::result(&slot).ok_or_else(|| PyRuntimeError::new_err("the call on a native thread failed"))
}

/// A number for a call, and what goes to the thread with it.
fn ticket<T>(this: &Obj<Loop>) -> PyResult<(u64, Ticket<T>, Slot<T>)> {
    let driver = this.driver()?;
    let number = this.calls.next.get();
    this.calls.next.set(number + 1);
    let completions = Arc::clone(
        this.calls.completions.borrow_mut().get_or_insert_with(|| Completions::new(driver.waker())),
    );
    let (ticket, slot) = completions.ticket(number);
    Ok((number, ticket, slot))
}

/// Has `callback` called when the ticket that `start` was given is used, or dropped.
///
/// # Errors
/// `OSError` from `start`, `RuntimeError` if the loop is closed.
pub(super) fn when_done(
    this: &Obj<Loop>,
    py: Python<'_>,
    callback: &Obj<NativeFn>,
    start: impl FnOnce(Ticket<()>) -> std::io::Result<()>,
) -> PyResult<()> {
    let (number, ticket, _slot) = ticket(this)?;
    let fut = Future::create(py, LoopRef::Native(this.clone()))?;
    future_likes::on_done(py, fut.as_any(), callback)?;
    let old = this.calls.waiting.borrow_mut().insert(number, fut);
    drop(old);
    if let Err(err) = start(ticket) {
        let fut = this.calls.waiting.borrow_mut().remove(&number);
        drop(fut);
        return Err(PyOSError::new_err_from_io(err));
    }
    Ok(())
}

/// Tells those whose calls are done. To be called after the driver was woken.
pub(super) fn deliver(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let Some(completions) = this.calls.completions.borrow().clone() else { return Ok(()) };
    for number in completions.take() {
        let fut = this.calls.waiting.borrow_mut().remove(&number);
        if let Some(fut) = fut {
            future::wake(&fut, py)?;
        }
    }
    Ok(())
}
