//! Turns of a loop of which parts are replaced in Python: a virtual clock, a selector of its own, `_process_events`.
//!
//! Same turn, but each replaced part is asked through Python. The timers stay ours; a subclass that replaces
//! `call_at` keeps its own if it wants to.

use ferrio_core::clock;
use ferrio_object::{ClassBuilder, MethodSet, Obj};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{io, queue_view, scheduled, selector, turn};
use crate::event_loop::{Hooks, Loop};

const REPLACES_TURN: MethodSet = Hooks::TIME.or(Hooks::PROCESS_EVENTS);

/// Whether this module has to run the turns, or one of `others` is replaced too.
#[inline]
pub(super) fn replaces_turn(this: &Obj<Loop>, others: MethodSet) -> bool {
    this.own_selector.get() || this.lists.get() || this.replaces(REPLACES_TURN.or(others))
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
    if !this.own_selector.get() && !this.lists.get() && !this.replaces(Hooks::TIME) {
        turn::run_once(this, py)?;
        return Ok(());
    }
    let own = this.own_ready.get();
    let waits = match &own {
        Some(own) => {
            queue_view::move_to_own(this, py, own)?;
            own.bind(py).is_truthy()?
        }
        None => !this.ready.borrow().is_empty(),
    };
    let next = scheduled::next_deadline(this, py)?;
    let timeout = if waits || this.stopping.get() {
        Some(0.0)
    } else {
        match next {
            Some(when) => Some((when - time(this, py)?).clamp(0.0, 24.0 * 3600.0)),
            None => None,
        }
    };
    let event_list = match this.selector.get().filter(|_| this.own_selector.get()) {
        Some(selector) => selector::wait(this, py, &selector, timeout)?,
        None if this.replaces(Hooks::TIME) => {
            // A virtual clock over our own driver: nothing real is waited for, the clock jumps by itself.
            io::poll_now(this, py)?;
            PyList::empty(py).into_any()
        }
        None => {
            turn::wait_and_queue(this, py, timeout)?;
            PyList::empty(py).into_any()
        }
    };
    this.bind(py).call_method1(intern!(py, "_process_events"), (event_list,))?;
    let until = time(this, py)? + this.clock_resolution.get();
    turn::queue_due_timers(this, until);
    scheduled::queue_due(this, py, until)?;
    match &own {
        Some(own) => {
            queue_view::move_to_own(this, py, own)?;
            queue_view::run_own(py, own)
        }
        None => turn::run_ready(this, py),
    }
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class.getset(
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
