//! What is done once, when a loop of ours begins to run in this process.

use std::cell::Cell;

use ferrio_object::GilStatic;
use pyo3::prelude::*;

type Then = fn(Python<'_>) -> PyResult<()>;

static THEN: GilStatic<Cell<Option<Then>>> = GilStatic::new(Cell::new(None));

/// Has `then` called when the next loop begins to run.
pub(crate) fn call_then(py: Python<'_>, then: Then) {
    THEN.get(py).set(Some(then));
}

/// A loop begins to run.
///
/// # Errors
/// What was to be called then raises.
#[inline]
pub(crate) fn begins(py: Python<'_>) -> PyResult<()> {
    match THEN.get(py).take() {
        Some(then) => then(py),
        None => Ok(()),
    }
}
