//! What `await fut` drives: yields the future once, then gives its result.

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Sent};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::Future;

/// The contents of a `FutureIter`.
pub struct FutureIter {
    fut: ObjCell<Future>,
}

impl Future {
    /// What a coroutine that awaits the future makes of being driven: the future's outcome, an error if the driver left
    /// it with what was yielded, or nothing when the future is to be yielded.
    #[inline]
    pub(crate) fn resumed(&self, py: Python<'_>) -> Option<PyResult<Obj>> {
        if self.is_done() {
            return Some(self.get_result(py));
        }
        if self.blocking.replace(true) {
            return Some(Err(PyRuntimeError::new_err("await wasn't used with future")));
        }
        None
    }
}

impl FutureIter {
    /// The iterator over `fut`.
    ///
    /// # Errors
    /// `RuntimeError` if the future's `__init__` did not run.
    #[inline]
    pub(crate) fn over(fut: &Obj<Future>, py: Python<'_>) -> PyResult<Obj<FutureIter>> {
        fut.get_loop()?;
        Obj::create(py, ((), FutureIter { fut: ObjCell::new(fut.clone()) }))
    }

    #[inline]
    fn resume(this: &Obj<Self>, py: Python<'_>, _sent: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        let Some(fut) = this.fut.get() else { return Ok(Sent::Return(Obj::none(py))) };
        match fut.resumed(py) {
            None => Ok(Sent::Next(fut.into_any())),
            Some(outcome) => {
                this.fut.set(None);
                outcome.map(Sent::Return)
            }
        }
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = crate::coroutines::thrown_error(py, &args)?;
        this.fut.set(None);
        Err(err)
    }

    fn close(this: &Obj<Self>, _py: Python<'_>) {
        this.fut.set(None);
    }
}

impl Class for FutureIter {
    type Base = Any;
    ferrio_object::fields!(FutureIter { fut }, freelist);
    const NAME: &'static str = "_asyncio.FutureIter";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        FutureIter { fut: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.iter_itself().send(Self::resume).throw(Self::throw).method0(
            "close",
            Self::close,
            "close($self, /)\n--\n\nLet go of the future.",
        );
    }
}
