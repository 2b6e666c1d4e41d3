//! The interpreter's own check: switches of threads, signal handlers, pending calls, the garbage collector (3.12 and
//! later).
//!
//! CPython makes it where Python functions begin and loops turn. A program of C-level callbacks, or of tasks that only
//! await (a coroutine resumed below an `await` does not check), never gets there, and stock gets there in its own
//! Python `_run_once`. So the loop enters a Python function now and then. Merely letting go of the GIL is not enough:
//! a thread that waits for it asks for a switch only after a whole switch interval in which nobody let go, so one that
//! wakes later than we are back, as on a busy machine, would starve.

use std::cell::{Cell, OnceCell};

use ferrio_object::{GilStatic, Obj};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Seconds of work after which the check is made.
const INTERVAL: f64 = 1e-3;

/// When the check was last made.
pub(crate) struct Checked(Cell<f64>);

impl Checked {
    pub(crate) const fn never() -> Self {
        Checked(Cell::new(0.0))
    }

    /// Makes the check if it is time to; `now` is the loop's clock, in seconds.
    ///
    /// # Errors
    /// What handlers of signals raise, as `KeyboardInterrupt`.
    #[inline]
    pub(crate) fn if_due(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        if now - self.0.get() <= INTERVAL {
            return Ok(());
        }
        self.0.set(now);
        check(py)
    }
}

static FUNCTION: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());

#[cold]
fn check(py: Python<'_>) -> PyResult<()> {
    // Before the function, so that the tracebacks of signal handlers do not show it.
    py.check_signals()?;
    let cell = FUNCTION.get(py);
    let function = match cell.get() {
        Some(function) => function,
        None => {
            let function = py.eval(c"lambda: None", Some(&PyDict::new(py)), None)?.into();
            cell.get_or_init(|| function)
        }
    };
    function.bind(py).call0()?;
    Ok(())
}
