//! `asyncio.locks`: one file per class, and what they have in common.
//!
//! A waiter is a future queued in a [`Line`]; resolving it wakes the task: no callback, no handle, and
//! the order is the one in which asyncio would wake it. What need not wait makes neither a future nor a coroutine
//! object of its own (`coro::ready`). Both go through the same state machine, one per operation, so that a
//! cancellation has one place at which it can arrive.
//!
//! Where the versions of asyncio differ (3.11 to 3.15 mended several races), this is the newest on every Python.

mod barrier;
mod bound;
mod condition;
mod event;
mod line;
mod lock;
mod semaphore;
mod state;

pub(crate) use barrier::Barrier;
pub(crate) use bound::LoopBound;
pub(crate) use condition::Condition;
pub(crate) use event::Event;
pub(crate) use line::{Line, Waiters};
pub(crate) use lock::Lock;
pub(crate) use semaphore::{BoundedSemaphore, Semaphore};
pub(crate) use state::{Stateful, define as define_state};

use ferrio_object::{ClassDef, Obj, Signature};
use pyo3::prelude::*;

/// `object.__repr__(obj)` with the state of the primitive behind it: `<asyncio.locks.Lock object at 0x… [unlocked]>`.
///
/// # Errors
/// What the class's name raises.
pub(crate) fn describe(py: Python<'_>, obj: &Obj, state: &str) -> PyResult<String> {
    let plain = py.get_type::<PyAny>().call_method1(pyo3::intern!(py, "__repr__"), (obj,))?.to_string();
    Ok(format!("{} [{state}]>", plain.strip_suffix('>').unwrap_or(&plain)))
}

/// Of every `__aexit__` here but the barrier's.
const AEXIT: Signature<3> = Signature::new("__aexit__", ["exc_type", "exc", "tb"]);

/// What `describe` says of those who wait, if any do.
pub(crate) fn waiters(line: &Line) -> String {
    match line.len() {
        0 => String::new(),
        n => format!(", waiters:{n}"),
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Waiters>(module)?;
    ClassDef::add::<Lock>(module)?;
    ClassDef::add::<Event>(module)?;
    ClassDef::add::<Condition>(module)?;
    ClassDef::add::<Semaphore>(module)?;
    ClassDef::add::<BoundedSemaphore>(module)?;
    ClassDef::add::<Barrier>(module)
}
