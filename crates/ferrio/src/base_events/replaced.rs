//! Turns of a loop of which parts are replaced in Python: a virtual clock, a selector of its own, `_process_events`.
//!
//! Same turn, but each replaced part is asked through Python. The timers stay ours; a subclass that replaces
//! `call_at` keeps its own if it wants to.

use ferrio_core::clock;
use ferrio_object::{ClassBuilder, Obj};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{io, turn};
use crate::event_loop::{Hooks, Loop, Ready, Timer};

const REPLACES_TURN: ferrio_object::MethodSet = Hooks::TIME.or(Hooks::PROCESS_EVENTS);

/// Whether this module has to run the turns.
#[inline]
pub(super) fn any(this: &Obj<Loop>) -> bool {
    this.own_selector.get() || this.replaces(REPLACES_TURN)
}

/// `loop.time()`, asked in Python if replaced.
pub(super) fn time(this: &Obj<Loop>, py: Python<'_>) -> PyResult<f64> {
    if this.replaces(Hooks::TIME) {
        this.bind(py).call_method0(intern!(py, "time"))?.extract()
    } else {
        Ok(clock::monotonic())
    }
}

/// One iteration.
pub(super) fn run_once(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    if !this.own_selector.get() && !this.replaces(Hooks::TIME) {
        turn::run_once(this, py)?;
        return Ok(());
    }
    let next = this.timers.borrow_mut().next_deadline();
    let timeout = if !this.ready.borrow().is_empty() || this.stopping.get() {
        Some(0.0)
    } else {
        match next {
            Some(when) => Some((when - time(this, py)?).clamp(0.0, 24.0 * 3600.0)),
            None => None,
        }
    };
    let event_list = match this.selector.get() {
        Some(selector) => selector.bind(py).call_method1(intern!(py, "select"), (timeout,))?,
        // A virtual clock over our own driver: nothing real is waited for, the clock jumps by itself.
        None => {
            io::poll_now(this, py)?;
            PyList::empty(py).into_any()
        }
    };
    this.bind(py).call_method1(intern!(py, "_process_events"), (event_list,))?;
    let until = time(this, py)? + this.clock_resolution.get();
    turn::queue_due_timers(this, until);
    turn::run_ready(this, py)
}

fn process_events(_this: &Obj<Loop>, _py: Python<'_>, _event_list: &Bound<'_, PyAny>) {
    // Events of the driver never come this way; a selector put in by a test gives none that are ours.
}

fn ready(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj> {
    // Truthy when work waits, which is what people look at; the handles among it as they are.
    let list = PyList::empty(py);
    let handles: Vec<Obj> = this
        .ready
        .borrow()
        .iter()
        .map(|item| match item {
            Ready::Call(handle) => handle.as_any().clone(),
            Ready::Step(task) => task.as_any().clone(),
            _ => Obj::none(py),
        })
        .collect();
    for handle in handles {
        list.append(handle)?;
    }
    Ok(list.into())
}

fn scheduled(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj> {
    let timers: Vec<Obj> = this
        .timers
        .borrow()
        .iter()
        .map(|timer| match timer {
            Timer::Call(handle) => handle.as_any().clone(),
            Timer::Resolve(fut) => fut.as_any().clone(),
            Timer::Timeout(timeout) => timeout.as_any().clone(),
        })
        .collect();
    Ok(PyList::new(py, timers)?.into())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method1("_process_events", process_events, "")
        .getter("_ready", ready, "")
        .getter("_scheduled", scheduled, "")
        .getset(
            "_clock_resolution",
            |this: &Obj<Loop>, _py: Python<'_>| this.clock_resolution.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                if let Some(value) = value {
                    this.clock_resolution.set(value.extract()?);
                }
                Ok(())
            },
            "",
        );
}
