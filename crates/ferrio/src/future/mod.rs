//! `asyncio.Future`.
//!
//! A waiter that is one of our tasks is kept as such and pushed onto the ready queue when the future is done: no
//! callback object, no context, no Handle. Everything else is a callback with a context, scheduled in the order of
//! registration, as asyncio does.

pub(crate) mod awaited_by;
mod callbacks;
mod iter;
mod methods;
mod report;

use std::cell::{Cell, OnceCell, RefCell};

use ferrio_object::{DictSlot, Obj, ObjCell, WeakList};
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::event_loop::{LoopRef, running};
use crate::exceptions;
use crate::native_fn::NativeFn;

pub(crate) use callbacks::{Callback, Callbacks};
pub(crate) use iter::FutureIter;
pub(crate) use methods::add;
pub(crate) use report::{format_callbacks, future_repr_info, repr as repr_of};

/// Where a future stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Pending,
    Cancelled,
    Finished,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::Cancelled => "CANCELLED",
            State::Finished => "FINISHED",
        }
    }
}

/// The contents of a `Future`.
pub struct Future {
    // Set by `__init__` and never cleared: every cycle through a loop is broken at the loop or at the callbacks.
    pub(crate) event_loop: OnceCell<LoopRef>,
    pub(crate) state: Cell<State>,
    pub(crate) blocking: Cell<bool>,
    /// Whether `__del__` must report an exception that nobody asked for.
    pub(crate) log_traceback: Cell<bool>,
    pub(crate) callbacks: RefCell<Callbacks>,
    pub(crate) result: ObjCell,
    pub(crate) exception: ObjCell,
    /// The traceback that the exception had when it was set: raising it again and again would make it grow.
    pub(crate) exception_tb: ObjCell,
    pub(crate) cancel_message: ObjCell,
    /// The `CancelledError` that ended a task, raised as it is the first time somebody asks.
    pub(crate) cancelled_exc: ObjCell,
    pub(crate) source_traceback: ObjCell,
    /// Who awaits this future, for the call graph: nothing, one future, or a set of them.
    pub(crate) awaited_by: ObjCell,
    dict: DictSlot,
    weaklist: WeakList,
}

impl Future {
    #[inline(always)]
    fn with_loop(event_loop: OnceCell<LoopRef>) -> Self {
        Future {
            event_loop,
            state: Cell::new(State::Pending),
            blocking: Cell::new(false),
            log_traceback: Cell::new(false),
            callbacks: RefCell::new(Callbacks::None),
            result: ObjCell::empty(),
            exception: ObjCell::empty(),
            exception_tb: ObjCell::empty(),
            cancel_message: ObjCell::empty(),
            cancelled_exc: ObjCell::empty(),
            source_traceback: ObjCell::empty(),
            awaited_by: ObjCell::empty(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    /// Contents of a new future of `event_loop`.
    #[inline(always)]
    pub(crate) fn new(event_loop: LoopRef) -> Self {
        Self::with_loop(OnceCell::from(event_loop))
    }

    /// A new future of `event_loop`, with the source traceback in debug mode.
    ///
    /// # Errors
    /// `MemoryError`, or what a foreign loop's `get_debug` raises.
    #[inline]
    pub(crate) fn create(py: Python<'_>, event_loop: LoopRef) -> PyResult<Obj<Future>> {
        let debug = event_loop.get_debug(py)?;
        let fut: Obj<Future> = Obj::create_with(py, || ((), Future::new(event_loop)))?;
        if debug {
            fut.source_traceback.set(Some(crate::debug::extract_stack(py)?));
        }
        Ok(fut)
    }

    /// The loop.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` did not run.
    #[inline]
    pub(crate) fn get_loop(&self) -> PyResult<&LoopRef> {
        self.event_loop.get().ok_or_else(not_initialized)
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.get() != State::Pending
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.get() == State::Cancelled
    }

    /// `__init__` of futures and tasks: remembers the loop, or finds the one that is current.
    pub(crate) fn initialize(&self, py: Python<'_>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let event_loop = running::loop_or_current(py, event_loop)?;
        let debug = event_loop.get_debug(py)?;
        // Before 3.15, `__init__` called again starts over, as it does with asyncio's; the loop it was made for stays.
        self.state.set(State::Pending);
        self.blocking.set(false);
        self.log_traceback.set(false);
        self.result.set(None);
        self.exception.set(None);
        self.exception_tb.set(None);
        self.cancel_message.set(None);
        self.cancelled_exc.set(None);
        drop(self.callbacks.replace(Callbacks::None));
        let _ = self.event_loop.set(event_loop);
        self.source_traceback.set(if debug { Some(crate::debug::extract_stack(py)?) } else { None });
        Ok(())
    }

    /// Refuses to initialize a future or task for a second time, as asyncio does since 3.15.
    ///
    /// # Errors
    /// `RuntimeError` then.
    pub(crate) fn refuse_again(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if cfg!(Py_3_15) && this.event_loop.get().is_some() {
            let class = this.bind(py).get_type();
            let name =
                if class.module()? == "_asyncio" { class.fully_qualified_name()? } else { class.name()? };
            return Err(PyRuntimeError::new_err(format!("{name} object is already initialized")));
        }
        Ok(())
    }

    /// The result, or the exception as an error; marks it as asked for.
    ///
    /// # Errors
    /// The exception set, `CancelledError`, or `InvalidStateError` if not done.
    #[inline]
    pub(crate) fn get_result(&self, py: Python<'_>) -> PyResult<Obj> {
        if self.state.get() == State::Finished && self.exception.is_none() {
            return Ok(self.result.get().unwrap_or_else(|| Obj::none(py)));
        }
        Err(self.get_error(py))
    }

    /// Why there is no result.
    #[cold]
    fn get_error(&self, py: Python<'_>) -> PyErr {
        match self.state.get() {
            State::Pending => exceptions::invalid_state(py, "Result is not set."),
            State::Cancelled => match self.make_cancelled(py) {
                Ok(exc) => ferrio_object::raise(py, &exc),
                Err(err) => err,
            },
            State::Finished => {
                self.log_traceback.set(false);
                let exc = self.exception.get().unwrap_or_else(|| Obj::none(py));
                // Each time with the traceback that it had when it was set: it must not grow with every reader.
                let tb = self.exception_tb.get().unwrap_or_else(|| Obj::none(py));
                match exc.bind(py).call_method1(pyo3::intern!(py, "with_traceback"), (tb,)) {
                    Ok(exc) => PyErr::from_value(exc),
                    Err(err) => err,
                }
            }
        }
    }

    /// The `CancelledError` to raise: the one that ended the task, once, or a new one with the message.
    pub(crate) fn make_cancelled(&self, py: Python<'_>) -> PyResult<Obj> {
        if let Some(exc) = self.cancelled_exc.take() {
            return Ok(exc);
        }
        exceptions::new_cancelled(py, self.cancel_message.get().as_ref())
    }
}

#[cold]
pub(crate) fn not_initialized() -> PyErr {
    PyRuntimeError::new_err("Future object is not initialized.")
}

/// Ends a future with a result.
///
/// # Errors
/// `InvalidStateError` if it is done, or what scheduling on a foreign loop raises.
#[inline]
pub(crate) fn set_result(fut: &Obj<Future>, py: Python<'_>, result: Obj) -> PyResult<()> {
    let event_loop = fut.get_loop()?;
    if fut.is_done() {
        return Err(exceptions::invalid_state(py, "invalid state"));
    }
    fut.result.set(Some(result));
    fut.state.set(State::Finished);
    callbacks::schedule(fut, py, event_loop)
}

/// Wakes what waits for a future: sets its result to `None`, unless it is done. Returns whether it did.
///
/// # Errors
/// What scheduling on a foreign loop raises.
#[inline]
pub(crate) fn wake(fut: &Obj<Future>, py: Python<'_>) -> PyResult<bool> {
    if fut.is_done() {
        return Ok(false);
    }
    set_result(fut, py, Obj::none(py))?;
    Ok(true)
}

/// Ends a future with an exception: an instance, or a class to instantiate.
///
/// # Errors
/// `InvalidStateError` if it is done, `TypeError` if it is no exception or `StopIteration` on 3.11.
pub(crate) fn set_exception(fut: &Obj<Future>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
    fut.get_loop()?;
    if fut.is_done() {
        return Err(exceptions::invalid_state(py, "invalid state"));
    }
    let exc = match exc.cast::<PyType>() {
        Ok(class) if class.is_subclass_of::<PyBaseException>()? => class.call0()?,
        _ => exc.clone(),
    };
    if !exc.is_instance_of::<PyBaseException>() {
        return Err(PyTypeError::new_err("invalid exception object"));
    }
    let exc = if exc.is_instance_of::<PyStopIteration>() {
        // It would end the coroutine that awaits the future. Since 3.11.8 and 3.12.2 it is wrapped, before it was
        // refused.
        let version = py.version_info();
        if version >= (3, 12, 2) || (version >= (3, 11, 8) && version < (3, 12)) {
            let wrapped = PyRuntimeError::new_err(
                "StopIteration interacts badly with generators and cannot be raised into a Future",
            )
            .into_value(py)
            .into_bound(py)
            .into_any();
            wrapped.setattr(intern!(py, "__cause__"), &exc)?;
            wrapped.setattr(intern!(py, "__context__"), &exc)?;
            wrapped
        } else {
            return Err(PyTypeError::new_err(
                "StopIteration interacts badly with generators and cannot be raised into a Future",
            ));
        }
    } else {
        exc
    };
    set_raised(fut, py, exc.into())
}

/// Ends a future with an exception that was raised (and so needs no checks).
///
/// # Errors
/// `InvalidStateError` if it is done, or what scheduling on a foreign loop raises.
pub(crate) fn set_raised(fut: &Obj<Future>, py: Python<'_>, exc: Obj) -> PyResult<()> {
    let event_loop = fut.get_loop()?;
    if fut.is_done() {
        return Err(exceptions::invalid_state(py, "invalid state"));
    }
    let tb = exc.bind(py).getattr(pyo3::intern!(py, "__traceback__"))?;
    fut.exception_tb.set(Some(tb.into()));
    fut.exception.set(Some(exc));
    fut.state.set(State::Finished);
    callbacks::schedule(fut, py, event_loop)?;
    fut.log_traceback.set(true);
    Ok(())
}

/// Cancels a future that is not a task: `True` unless it was done.
///
/// # Errors
/// What scheduling on a foreign loop raises.
pub(crate) fn cancel(fut: &Obj<Future>, py: Python<'_>, message: Option<Obj>) -> PyResult<bool> {
    fut.log_traceback.set(false);
    let event_loop = fut.get_loop()?;
    if fut.is_done() {
        return Ok(false);
    }
    fut.state.set(State::Cancelled);
    fut.cancel_message.set(message);
    callbacks::schedule(fut, py, event_loop)?;
    Ok(true)
}

/// Registers a callback; schedules it at once if the future is done.
///
/// # Errors
/// What scheduling on a foreign loop raises.
#[inline]
pub(crate) fn add_callback(fut: &Obj<Future>, py: Python<'_>, callback: Callback) -> PyResult<()> {
    let event_loop = fut.get_loop()?;
    if fut.is_done() {
        return callbacks::schedule_one(fut, py, event_loop, callback);
    }
    fut.callbacks.borrow_mut().push(callback);
    Ok(())
}

/// Takes a native done-callback off again, wherever it stands.
pub(crate) fn remove_native(fut: &Obj<Future>, function: &Obj<NativeFn>) {
    let gone = fut.callbacks.borrow_mut().remove_native(function);
    drop(gone);
}
