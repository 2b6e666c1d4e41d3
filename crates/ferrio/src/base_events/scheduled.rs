//! `loop._scheduled` for loops that are written in Python on asyncio's parts: a list of `TimerHandle`s in heapq's order.
//!
//! It has to be a real list, because `heapq` takes nothing else. So from when a program asks for it the loop's timers
//! are in it: what is set natively goes there before each turn and whenever it is asked for again. Timers that have no
//! handle get one.

use ferrio_object::{Args, ClassBuilder, Obj};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

use super::queue_view;
use crate::event_loop::{Handle, HandleArgs, Loop, Ready, Timer, TimerHandle};
use crate::native_fn;

/// The list, if a program has asked for it and it is one.
fn list<'py>(this: &Obj<Loop>, py: Python<'py>) -> Option<Bound<'py, PyList>> {
    this.scheduled.get()?.into_bound(py).cast_into::<PyList>().ok()
}

/// Moves what is set natively to the list.
fn move_timers(this: &Obj<Loop>, py: Python<'_>, list: &Bound<'_, PyList>) -> PyResult<()> {
    if this.timers.borrow().is_empty() {
        return Ok(());
    }
    let push = py.import("heapq")?.getattr("heappush")?;
    let taken = this.timers.borrow_mut().take_all();
    for (key, when, timer) in taken {
        let handle = match timer {
            Timer::Call(handle) => {
                handle.key.set(None);
                handle
            }
            timer => {
                let item = match timer {
                    Timer::Timeout(timeout) => {
                        let setting = timeout.setting();
                        Ready::Expire(timeout, setting)
                    }
                    Timer::Resolve(fut) => Ready::Resolve(fut),
                    Timer::Call(handle) => Ready::Call(handle.into_base()),
                };
                let inner = queue_view::handle_of(this, py, item)?;
                let number = Obj::from(PyInt::new(py, key.to_u64()).into_any());
                let held = vec![inner, this.as_any().clone(), number];
                let callback = native_fn::function(py, "_run_timer", held, run_moved)?;
                let handle = Handle::new(callback, HandleArgs::None, None, this.clone());
                let handle: Obj<TimerHandle> = Obj::create(py, (((), handle), TimerHandle::new(when)))?;
                let old = this.moved.borrow_mut().insert(key.to_u64(), handle.clone());
                drop(old);
                handle
            }
        };
        handle.scheduled.set(true);
        handle.track();
        push.call1((list, handle))?;
    }
    Ok(())
}

/// What the handle of a timer calls that had none.
fn run_moved(py: Python<'_>, held: &[Obj], _args: Args<'_, '_>) -> PyResult<()> {
    let [inner, event_loop, key] = held else { return Ok(()) };
    if let Some(event_loop) = event_loop.cast::<Loop>() {
        let old = event_loop.moved.borrow_mut().remove(&key.bind(py).extract()?);
        drop(old);
    }
    queue_view::run_object(py, inner)
}

fn is_cancelled(py: Python<'_>, handle: &Bound<'_, PyAny>) -> PyResult<bool> {
    handle.getattr(intern!(py, "_cancelled"))?.is_truthy()
}

fn pop<'py>(py: Python<'py>, list: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyAny>> {
    let handle = py.import("heapq")?.call_method1("heappop", (list,))?;
    handle.setattr(intern!(py, "_scheduled"), false)?;
    Ok(handle)
}

/// When the next timer is due, of ours and of the list.
///
/// # Errors
/// What the program's own handles raise.
pub(super) fn next_deadline(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Option<f64>> {
    let Some(list) = list(this, py) else { return Ok(this.timers.borrow_mut().next_deadline()) };
    move_timers(this, py, &list)?;
    while let Ok(first) = list.get_item(0) {
        if !is_cancelled(py, &first)? {
            return first.getattr(intern!(py, "_when"))?.extract().map(Some);
        }
        drop(pop(py, &list)?);
    }
    Ok(None)
}

/// Queues the timers of the list that are due at `until`.
///
/// # Errors
/// As [`next_deadline`].
pub(super) fn queue_due(this: &Obj<Loop>, py: Python<'_>, until: f64) -> PyResult<()> {
    let Some(list) = list(this, py) else { return Ok(()) };
    while let Ok(first) = list.get_item(0) {
        if first.getattr(intern!(py, "_when"))?.extract::<f64>()? >= until {
            break;
        }
        queue_view::append(this, &pop(py, &list)?);
    }
    Ok(())
}

fn get(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj> {
    if this.scheduled.is_none() {
        this.scheduled.set(Some(PyList::empty(py).into_any().into()));
        this.lists.set(true);
    }
    if let Some(list) = list(this, py) {
        move_timers(this, py, &list)?;
    }
    this.scheduled.get().ok_or_else(crate::event_loop::closed_error)
}

fn set(this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    this.scheduled.set(value.map(Obj::from));
    this.lists.set(true);
    Ok(())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class.getset("_scheduled", get, set, "");
}
