//! What other threads wait for while a handle of `call_soon_threadsafe()` runs (Python 3.14 and later).
//!
//! asyncio has a lock in each such handle, which its callback holds. Here a lock is made only for a thread that has to
//! wait; all else is done under the GIL.

use std::cell::{Cell, RefCell};

use ferrio_object::{Obj, ThreadState};
use pyo3::intern;
use pyo3::prelude::*;

/// Whether a callback runs, and in which thread.
#[derive(Default)]
pub(super) struct RunLock {
    /// The thread that runs the callback, 0 while none does.
    runner: Cell<u64>,
    /// A lock for each thread that waits for the callback's end, which releases it.
    waiting: RefCell<Vec<Obj>>,
}

ferrio_object::traverse!(struct RunLock { runner, waiting });

impl RunLock {
    /// Runs `f`, which calls the callback; other threads wait for its end.
    ///
    /// # Errors
    /// What `f` raises.
    pub(super) fn hold<E: From<PyErr>>(
        &self,
        py: Python<'_>,
        f: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let outer = self.runner.replace(ThreadState::ident());
        let outcome = f();
        self.runner.set(outer);
        if outer == 0 {
            for lock in self.waiting.take() {
                lock.bind(py).call_method0(intern!(py, "release"))?;
            }
        }
        outcome
    }

    /// Waits while another thread runs the callback.
    ///
    /// # Errors
    /// What a signal handler raises meanwhile.
    pub(super) fn wait(&self, py: Python<'_>) -> PyResult<()> {
        let runs_elsewhere = || self.runner.get() != 0 && self.runner.get() != ThreadState::ident();
        while runs_elsewhere() {
            let lock = py.import(intern!(py, "_thread"))?.call_method0(intern!(py, "allocate_lock"))?;
            lock.call_method0(intern!(py, "acquire"))?;
            // To make the lock may have let other threads run. From here on none does before the lock is waited for.
            if !runs_elsewhere() {
                break;
            }
            self.waiting.borrow_mut().push(Obj::from(&lock));
            lock.call_method0(intern!(py, "acquire"))?;
        }
        Ok(())
    }
}
