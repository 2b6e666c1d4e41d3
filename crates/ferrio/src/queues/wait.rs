//! What waits on a queue: `put`, `get`, `join`.
//!
//! A task that is woken is taken out of the line and looks again: meanwhile another task may have taken the item, and
//! then it waits once more, at the end. A task that was woken and is cancelled before it runs wakes the next one, or
//! the item would lie there while others wait for one.

use ferrio_object::{MethodSet, Obj};
use pyo3::intern;
use pyo3::prelude::*;

use super::Queue;
use super::queue::{EMPTY, Exception, FULL, GET, GET_NOWAIT, Limit, PUT, PUT_NOWAIT, QSIZE, raise};
use crate::coro::{Given, Memory, Operation, Step, ready, ready_with};
use crate::locks::{Event, Line};
use crate::{exceptions, future_likes};

pub(super) fn put(this: &Obj<Queue>, py: Python<'_>, item: Obj) -> PyResult<Obj> {
    ready_with::<Put>(py, this, [Some(item), None])
}

pub(super) fn get(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Obj> {
    ready::<Get>(py, this)
}

pub(super) fn join(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Obj> {
    ready::<Join>(py, this)
}

/// What `put()` and `get()` call through `self`.
const PUTTING: MethodSet = FULL.or(QSIZE).or(PUT_NOWAIT).or(PUT);
const GETTING: MethodSet = EMPTY.or(GET_NOWAIT).or(GET);

/// What a task that puts has come to.
enum Putting {
    /// What `put_nowait()` has returned.
    Done(Obj),
    /// The queue is full; the item is handed back.
    Full(Obj),
}

impl Queue {
    /// What `put()` does when it looks: `self.full()`, then `self.put_nowait(item)`.
    ///
    /// # Errors
    /// As [`Queue::put_nowait`].
    #[inline]
    fn try_put(this: &Obj<Queue>, py: Python<'_>, item: Obj) -> PyResult<Putting> {
        let is_full = match this.limit.get() {
            // Where all of it is ours and in the ring, one look is as good as two.
            _ if this.replaces(PUTTING) || !this.items.is_ring() => {
                return Self::try_put_by_name(this, py, item);
            }
            Limit::None => false,
            Limit::Items(limit) => this.items.len(py)? >= limit,
            Limit::Foreign => return Self::try_put_by_name(this, py, item),
        };
        if is_full {
            return Ok(Putting::Full(item));
        }
        if this.shut_down.get() {
            return Err(raise(py, Exception::ShutDown));
        }
        this.items.put(py, this.items.order(), item)?;
        this.item_added(py)?;
        Ok(Putting::Done(Obj::none(py)))
    }

    #[cold]
    #[inline(never)]
    fn try_put_by_name(this: &Obj<Queue>, py: Python<'_>, item: Obj) -> PyResult<Putting> {
        if Self::is_full(this, py)? {
            return Ok(Putting::Full(item));
        }
        if this.replaces(PUT_NOWAIT) {
            let put = this.bind(py).call_method1(intern!(py, "put_nowait"), (item,))?;
            return Ok(Putting::Done(put.into()));
        }
        Self::put_nowait(this, py, item)?;
        Ok(Putting::Done(Obj::none(py)))
    }

    /// What `get()` does when it looks: `self.empty()`, then `self.get_nowait()`. `None` if there is no item.
    ///
    /// # Errors
    /// As [`Queue::get_nowait`].
    #[inline]
    fn try_get(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Option<Obj>> {
        if this.replaces(GETTING) || !this.items.is_ring() {
            return Self::try_get_by_name(this, py);
        }
        let Some(item) = this.items.pop() else { return Ok(None) };
        this.putters.wake_next(py)?;
        Ok(Some(item))
    }

    #[cold]
    #[inline(never)]
    fn try_get_by_name(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Option<Obj>> {
        if Self::is_empty(this, py)? {
            return Ok(None);
        }
        if this.replaces(GET_NOWAIT) {
            return Ok(Some(this.bind(py).call_method0(intern!(py, "get_nowait"))?.into()));
        }
        Self::get_nowait(this, py).map(Some)
    }
}

/// Waits at the end of `line`.
fn stand_in(this: &Obj<Queue>, py: Python<'_>, line: &Line, item: Option<Obj>) -> PyResult<Step> {
    let waiter = this.bound.waiter(py, this.as_any())?.into_any();
    let ticket = line.join(waiter.clone());
    Ok(Step::Park(waiter.clone(), Memory { kept: [item, Some(waiter)], number: ticket }))
}

/// Gives up waiting in `line`; `useless` says whether there is nothing there for the next one either.
fn give_up(
    py: Python<'_>,
    line: &Line,
    waiter: Option<&Obj>,
    ticket: u64,
    useless: impl FnOnce() -> PyResult<bool>,
) -> PyResult<()> {
    let Some(waiter) = waiter else { return Ok(()) };
    future_likes::cancel(py, waiter, None)?;
    let left = line.leave(ticket);
    drop(left);
    if !future_likes::is_cancelled(py, waiter)? && !useless()? {
        line.wake_next(py)?;
    }
    Ok(())
}

/// The error that ends a wait: the one that came in, unless giving up has failed with a worse one.
fn ended(py: Python<'_>, err: PyErr, given_up: PyResult<()>) -> PyErr {
    match given_up {
        Err(worse) if exceptions::err_is_cancelled(py, &err) => worse,
        Err(worse) => {
            // The coroutine is being closed and so is the loop: there is nobody left to wake.
            ferrio_object::swallow(py, worse);
            err
        }
        Ok(()) => err,
    }
}

struct Put;

impl Put {
    #[inline]
    fn attempt(this: &Obj<Queue>, py: Python<'_>, item: Obj) -> PyResult<Step> {
        let item = match Queue::try_put(this, py, item)? {
            Putting::Done(result) => return Ok(Step::Done(result)),
            Putting::Full(item) => item,
        };
        if this.shut_down.get() {
            return Err(raise(py, Exception::ShutDown));
        }
        stand_in(this, py, &this.putters, Some(item))
    }
}

impl Operation for Put {
    type On = Queue;
    const NAME: &'static str = "Queue.put";

    #[inline]
    fn begin(this: &Obj<Queue>, py: Python<'_>, given: Given) -> PyResult<Step> {
        let [item, _] = given;
        Self::attempt(this, py, item.unwrap_or_else(|| Obj::none(py)))
    }

    fn resume(this: &Obj<Queue>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        let Memory { kept: [item, waiter], number } = memory;
        match outcome {
            Ok(_) => Self::attempt(this, py, item.unwrap_or_else(|| Obj::none(py))),
            Err(err) => {
                let given_up =
                    give_up(py, &this.putters, waiter.as_ref(), number, || Queue::is_full(this, py));
                Err(ended(py, err, given_up))
            }
        }
    }
}

struct Get;

impl Get {
    #[inline]
    fn attempt(this: &Obj<Queue>, py: Python<'_>) -> PyResult<Step> {
        if let Some(item) = Queue::try_get(this, py)? {
            return Ok(Step::Done(item));
        }
        if this.shut_down.get() {
            return Err(raise(py, Exception::ShutDown));
        }
        stand_in(this, py, &this.getters, None)
    }
}

impl Operation for Get {
    type On = Queue;
    const NAME: &'static str = "Queue.get";

    #[inline]
    fn begin(this: &Obj<Queue>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Self::attempt(this, py)
    }

    fn resume(this: &Obj<Queue>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        match outcome {
            Ok(_) => Self::attempt(this, py),
            Err(err) => {
                let [_, waiter] = memory.kept;
                let given_up =
                    give_up(py, &this.getters, waiter.as_ref(), memory.number, || Queue::is_empty(this, py));
                Err(ended(py, err, given_up))
            }
        }
    }
}

struct Join;

impl Operation for Join {
    type On = Queue;
    const NAME: &'static str = "Queue.join";

    fn begin(this: &Obj<Queue>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        match this.unfinished(py)? {
            Some(finished) => Ok(Step::Park(Event::wait(&finished, py)?, Memory::default())),
            None => Step::none(py),
        }
    }

    fn resume(_this: &Obj<Queue>, py: Python<'_>, _memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        outcome?;
        Step::none(py)
    }
}
