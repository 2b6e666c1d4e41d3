//! The loop that a primitive belongs to: the first one in which somebody had to wait.
//!
//! Operations that end at once ask for no loop, as with asyncio: a lock may be made, taken and released before there
//! is one.

use std::cell::RefCell;

use ferrio_object::Obj;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::event_loop::{LoopRef, running};
use crate::future::Future;

/// `_LoopBoundMixin`, as a field.
#[derive(Default)]
pub(crate) struct LoopBound {
    event_loop: RefCell<Option<LoopRef>>,
}

ferrio_object::traverse!(struct LoopBound { event_loop });

impl LoopBound {
    /// Bound to no loop yet.
    pub(crate) const fn new() -> Self {
        LoopBound { event_loop: RefCell::new(None) }
    }

    /// The running loop, to which the primitive is bound from now on.
    ///
    /// # Errors
    /// `RuntimeError` if it is bound to another one, or if none is running.
    #[inline]
    pub(crate) fn get_loop(&self, py: Python<'_>, primitive: &Obj) -> PyResult<LoopRef> {
        let running = running::get_running_loop(py)?;
        let bound = self.event_loop.borrow().clone();
        match bound {
            Some(bound) if bound.as_any().is(&running) => Ok(bound),
            Some(_) => Err(different_loop(py, primitive)),
            None => {
                let event_loop = LoopRef::new(running.bind(py));
                self.set(Some(event_loop.clone()));
                Ok(event_loop)
            }
        }
    }

    /// A future of the running loop, for a task that has to wait.
    ///
    /// # Errors
    /// As [`LoopBound::get_loop`], and what a replaced `create_future()` raises.
    #[inline]
    pub(crate) fn waiter(&self, py: Python<'_>, primitive: &Obj) -> PyResult<Obj<Future>> {
        let event_loop = self.get_loop(py, primitive)?;
        let made = event_loop.create_future(py)?;
        // A foreign loop makes futures of a class that we cannot wake directly; one of ours on that loop does as well.
        made.cast_into::<Future>().or_else(|_| Future::create(py, event_loop))
    }

    fn set(&self, event_loop: Option<LoopRef>) {
        let old = self.event_loop.replace(event_loop);
        drop(old);
    }

    /// `_loop`.
    pub(crate) fn get(&self) -> Option<Obj> {
        self.event_loop.borrow().as_ref().map(|event_loop| event_loop.as_any().clone())
    }

    /// Sets `_loop`; deleting it unbinds.
    pub(crate) fn set_any(&self, value: Option<&Bound<'_, PyAny>>) {
        self.set(value.filter(|value| !value.is_none()).map(LoopRef::new));
    }
}

#[cold]
fn different_loop(py: Python<'_>, primitive: &Obj) -> PyErr {
    match primitive.bind(py).repr() {
        Ok(shown) => PyRuntimeError::new_err(format!("{shown} is bound to a different event loop")),
        Err(err) => err,
    }
}
