//! One step of a task: run the coroutine until it yields, and see to what it yielded.
//!
//! This is the hottest code there is. What it yields is nearly always one of our futures, and then all that happens
//! is: the task is put on the future's list of waiters. When the future is done the task goes onto the ready queue.

use ferrio_object::{Obj, Raised, Sent, ThreadState, clear_recycled, send_none};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::{Task, registry};
use crate::event_loop::{LoopRef, Ready};
use crate::future::{self, Callback, Future, State};
use crate::gather::Gathering;
use crate::{coroutines, exceptions, future_likes};

/// Steps a task taken from the ready queue: it starts, or what it awaited is done.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` out of the coroutine.
#[inline]
pub(crate) fn run_ready(task: &Obj<Task>, py: Python<'_>) -> Result<(), Raised> {
    let Some(context) = task.context(py)? else { return run(task, py, None) };
    let outcome = ThreadState::in_context(py, &context, || run_ready_here(task, py));
    if task.base().is_done() {
        task.release_context(context);
    }
    outcome
}

/// As [`run_ready`], in the context that is current.
pub(super) fn run_ready_here(task: &Obj<Task>, py: Python<'_>) -> Result<(), Raised> {
    // If the future failed, its exception is thrown into the coroutine. If it has a result, the coroutine's own
    // `await` fetches it.
    let error = match task.fut_waiter.get() {
        None => None,
        Some(waiter) => match exact_future(&waiter).or_else(|| waiter.cast::<Future>()) {
            Some(fut) if fut.state.get() == State::Finished && fut.exception.is_none() => None,
            Some(fut) => fut.get_result(py).err(),
            None => waiter.bind(py).call_method0(intern!(py, "result")).err(),
        },
    };
    run(task, py, error)
}

/// One step in the context that is current; `error` is thrown in.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` out of the coroutine, `InvalidStateError` if the task is done.
#[inline]
pub(super) fn run(task: &Obj<Task>, py: Python<'_>, error: Option<PyErr>) -> Result<(), Raised> {
    if task.must_cancel.get() || error.is_some() {
        return run_with_error(task, py, error);
    }
    step(task, py, |coro| {
        let sent = send_none(py, coro);
        clear_recycled(py);
        sent
    })
}

/// A step that throws an error in, or a cancellation instead of it.
#[cold]
fn run_with_error(task: &Obj<Task>, py: Python<'_>, error: Option<PyErr>) -> Result<(), Raised> {
    let error = if task.must_cancel.get() && !task.base().is_done() {
        task.must_cancel.set(false);
        match error {
            Some(err) if exceptions::err_is_cancelled(py, &err) => Some(err),
            _ => Some(ferrio_object::raise(py, &task.base().make_cancelled(py)?)),
        }
    } else {
        error
    };
    step(task, py, |coro| {
        let sent = match error {
            Some(err) => coroutines::throw_into(py, coro, err)?,
            None => send_none(py, coro)?,
        };
        clear_recycled(py);
        Ok(sent)
    })
}

/// Enters the task, resumes its coroutine, and sees to what comes out.
#[inline]
fn step(
    task: &Obj<Task>,
    py: Python<'_>,
    resume: impl FnOnce(&Obj) -> Result<Sent, Raised>,
) -> Result<(), Raised> {
    let fut = task.base();
    if fut.is_done() {
        let shown = task.bind(py).repr()?;
        return Err(exceptions::invalid_state(py, &format!("_step(): already done: {shown}, None")).into());
    }
    let waiter = task.fut_waiter.take();
    let event_loop = fut.get_loop()?;
    let entered = registry::Entered::enter(py, event_loop, task)?;
    let outcome = match task.coro.get() {
        None => Err(PyRuntimeError::new_err("uninitialized Task object").into()),
        Some(coro) => resume(&coro),
    };
    let outcome = match outcome {
        Ok(Sent::Next(yielded)) => yielded_by(task, py, event_loop, yielded),
        Ok(Sent::Return(value)) => {
            if task.must_cancel.get() {
                // Cancelled just as it returned.
                task.must_cancel.set(false);
                future::cancel(fut, py, fut.cancel_message.get()).map(drop)
            } else {
                future::set_result(fut, py, value)
            }
        }
        Err(raised) => failed(task, py, raised.take(py)),
    };
    drop(waiter);
    entered.leave(py, event_loop, task)?;
    Ok(outcome?)
}

#[cold]
fn failed(task: &Obj<Task>, py: Python<'_>, err: PyErr) -> PyResult<()> {
    let fut = task.base();
    if exceptions::err_is_cancelled(py, &err) {
        // Kept, so that what awaits the task gets the original with its traceback.
        let exc = exceptions::value_of(py, err);
        fut.cancelled_exc.set(Some(exc));
        return future::cancel(fut, py, None).map(drop);
    }
    let exit = exceptions::is_exit(py, &err);
    let exc = exceptions::value_of(py, err);
    let raised = exc.clone();
    if exc.bind(py).is_instance_of::<pyo3::exceptions::PyStopIteration>() {
        future::set_exception(fut, py, exc.bind(py))?;
    } else {
        future::set_raised(fut, py, exc)?;
    }
    if exit { Err(ferrio_object::raise(py, &raised)) } else { Ok(()) }
}

/// Sees to what the coroutine yielded.
#[inline]
fn yielded_by(task: &Obj<Task>, py: Python<'_>, event_loop: &LoopRef, yielded: Obj) -> PyResult<()> {
    if let Some(awaited) = exact_future(&yielded) {
        if awaited.blocking.get() {
            if !awaited.get_loop()?.is(event_loop) {
                return different_loop(task, py, event_loop, &yielded);
            }
            if !yielded.is(task) {
                awaited.blocking.set(false);
                future::add_callback(awaited, py, Callback::Task(task.clone()))?;
                return waits_for(task, py, yielded);
            }
        }
        return misused(task, py, event_loop, &yielded);
    }
    if yielded.is_none() {
        if event_loop.push(|| Ready::Step(task.clone()))? {
            return Ok(());
        }
        return step_soon(task, py, event_loop, None);
    }
    yielded_other(task, py, event_loop, yielded)
}

/// One of our futures whose `add_done_callback` is surely ours.
#[inline]
fn exact_future(obj: &Obj) -> Option<&Obj<Future>> {
    if let Some(fut) = obj.cast_exact::<Future>() {
        return Some(fut);
    }
    if let Some(task) = obj.cast_exact::<Task>() {
        return Some(task.base());
    }
    obj.cast_exact::<Gathering>().map(ferrio_object::Obj::base)
}

/// Notes what the task waits for; a cancellation that came during the step is passed on to it.
#[inline]
fn waits_for(task: &Obj<Task>, py: Python<'_>, awaited: Obj) -> PyResult<()> {
    task.fut_waiter.set(Some(awaited.clone()));
    if task.must_cancel.get()
        && future_likes::cancel(py, &awaited, task.base().cancel_message.get().as_ref())?
    {
        task.must_cancel.set(false);
    }
    Ok(())
}

/// Anything but one of our own futures: subclasses, foreign futures, and mistakes.
fn yielded_other(task: &Obj<Task>, py: Python<'_>, event_loop: &LoopRef, yielded: Obj) -> PyResult<()> {
    let bound = yielded.bind(py);
    if let Some(blocking) =
        bound.getattr_opt(intern!(py, "_asyncio_future_blocking"))?.filter(|b| !b.is_none())
    {
        if !future_likes::loop_of(py, bound)?.is(event_loop) {
            return different_loop(task, py, event_loop, &yielded);
        }
        if yielded.is(task) || !blocking.is_truthy()? {
            return misused(task, py, event_loop, &yielded);
        }
        bound.setattr(intern!(py, "_asyncio_future_blocking"), false)?;
        let wakeup = super::wakeup_callable(py, task)?;
        let kwargs = pyo3::types::PyDict::new(py);
        if let Some(context) = task.context(py)? {
            kwargs.set_item(intern!(py, "context"), context)?;
        }
        bound.call_method(intern!(py, "add_done_callback"), (wakeup,), Some(&kwargs))?;
        return waits_for(task, py, yielded);
    }
    let shown = task.bind(py).repr()?;
    let what = bound.repr()?;
    let message = if ferrio_object::is_generator(&yielded) {
        format!("yield was used instead of yield from for generator in task {shown} with {what}")
    } else {
        format!("Task got bad yield: {what}")
    };
    raise_soon(task, py, event_loop, message)
}

#[cold]
fn different_loop(task: &Obj<Task>, py: Python<'_>, event_loop: &LoopRef, yielded: &Obj) -> PyResult<()> {
    let (shown, what) = (task.bind(py).repr()?, yielded.bind(py).repr()?);
    raise_soon(task, py, event_loop, format!("Task {shown} got Future {what} attached to a different loop"))
}

#[cold]
fn misused(task: &Obj<Task>, py: Python<'_>, event_loop: &LoopRef, yielded: &Obj) -> PyResult<()> {
    let shown = task.bind(py).repr()?;
    let message = if yielded.is(task) {
        format!("Task cannot await on itself: {shown}")
    } else {
        let what = yielded.bind(py).repr()?;
        format!("yield was used instead of yield from in task {shown} with {what}")
    };
    raise_soon(task, py, event_loop, message)
}

/// Throws a `RuntimeError` into the coroutine in its next step.
fn raise_soon(task: &Obj<Task>, py: Python<'_>, event_loop: &LoopRef, message: String) -> PyResult<()> {
    let exc = exceptions::value_of(py, PyRuntimeError::new_err(message));
    step_soon(task, py, event_loop, Some(exc))
}

/// Schedules a step through `call_soon`.
pub(super) fn step_soon(
    task: &Obj<Task>,
    py: Python<'_>,
    event_loop: &LoopRef,
    exc: Option<Obj>,
) -> PyResult<()> {
    let step = super::StepCallable::create(py, task, exc)?;
    event_loop.call_soon(py, &step, &[], task.context(py)?.as_ref())
}
