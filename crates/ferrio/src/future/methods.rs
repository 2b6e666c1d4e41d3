//! What Python sees of a Future.

use std::cell::OnceCell;
use std::collections::HashMap;

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, Signature, ThreadState};
use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::callbacks::callback_object;
use super::{Callback, Future, FutureIter, State, awaited_by, report};
use crate::exceptions;

fn init(this: &Obj<Future>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<1> = Signature::new("Future", ["loop"]).positional(0);
    let [event_loop] = args.bind(&SIGNATURE)?;
    Future::refuse_again(this, py)?;
    this.initialize(py, event_loop)
}

fn result(this: &Obj<Future>, py: Python<'_>) -> PyResult<Obj> {
    this.get_result(py)
}

fn exception(this: &Obj<Future>, py: Python<'_>) -> PyResult<Option<Obj>> {
    match this.state.get() {
        State::Pending => Err(exceptions::invalid_state(py, "Exception is not set.")),
        State::Cancelled => Err(ferrio_object::raise(py, &this.make_cancelled(py)?)),
        State::Finished => {
            this.log_traceback.set(false);
            let Some(exc) = this.exception.get() else { return Ok(None) };
            Ok(Some(exc))
        }
    }
}

fn set_result(this: &Obj<Future>, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    this.get_loop()?;
    if this.is_done() {
        return Err(exceptions::invalid_state(py, "invalid state"));
    }
    super::set_result(this, py, value.into())
}

fn set_exception(this: &Obj<Future>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
    super::set_exception(this, py, exc)
}

fn add_done_callback(this: &Obj<Future>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<2> =
        Signature::new("add_done_callback", ["fn", "context"]).positional(1).unnamed(1);
    let [callback, context] = args.bind(&SIGNATURE)?;
    let context = match context {
        Some(context) if !context.is_none() => context.into(),
        _ => ThreadState::copy_context(py)?,
    };
    let Some(callback) = callback else { return Ok(()) };
    super::add_callback(this, py, Callback::Call { callback: callback.into(), context })
}

fn remove_done_callback(this: &Obj<Future>, py: Python<'_>, wanted: &Bound<'_, PyAny>) -> PyResult<usize> {
    this.get_loop()?;
    let taken = this.callbacks.borrow_mut().take_out_function(wanted);
    if let Some(gone) = taken {
        // Dropped here, with nothing borrowed.
        return Ok(gone.len());
    }
    // Comparing runs Python code that may add or remove callbacks itself: decide on a copy, then take out what was
    // found.
    let mut found = HashMap::new();
    let all = this.callbacks.borrow().to_vec();
    for candidate in &all {
        let object = callback_object(py, candidate)?;
        if object.is_bound(wanted) || object.bind(py).eq(wanted)? {
            *found.entry(candidate.identity()).or_insert(0) += 1;
        }
    }
    if found.is_empty() {
        return Ok(0);
    }
    let gone = this.callbacks.borrow_mut().take_out(found);
    Ok(gone.len())
}

fn cancel(this: &Obj<Future>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    const SIGNATURE: Signature<1> = Signature::new("cancel", ["msg"]).required(0);
    let [message] = args.bind(&SIGNATURE)?;
    super::cancel(this, py, Obj::unless_none(message))
}

fn get_loop(this: &Obj<Future>, _py: Python<'_>) -> PyResult<Obj> {
    Ok(this.get_loop()?.as_any().clone())
}

fn awaitable(this: &Obj<Future>, py: Python<'_>) -> PyResult<Obj<FutureIter>> {
    FutureIter::over(this, py)
}

fn repr(this: &Obj<Future>, py: Python<'_>) -> PyResult<String> {
    report::repr(py, this.as_any())
}

fn callbacks_list(this: &Obj<Future>, py: Python<'_>) -> PyResult<Option<Obj>> {
    let all = this.callbacks.borrow().to_vec();
    if all.is_empty() {
        return Ok(None);
    }
    let list = PyList::empty(py);
    for callback in &all {
        let context = match callback {
            Callback::Task(task) => task.context(py)?,
            Callback::Gather(_) | Callback::Native(_) | Callback::Group(..) => None,
            Callback::Call { context, .. } => Some(context.clone()),
        };
        let object = callback_object(py, callback)?;
        list.append(PyTuple::new(py, [Some(object), context])?)?;
    }
    Ok(Some(list.into()))
}

fn no_deletion(value: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    value.ok_or_else(|| PyAttributeError::new_err("cannot delete attribute"))?.is_truthy()
}

fn set_blocking(this: &Obj<Future>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    this.get_loop()?;
    this.blocking.set(no_deletion(value)?);
    Ok(())
}

fn set_log_traceback(this: &Obj<Future>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if no_deletion(value)? {
        return Err(PyValueError::new_err("_log_traceback can only be set to False"));
    }
    this.log_traceback.set(false);
    Ok(())
}

fn set_cancel_message(this: &Obj<Future>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let value = value.ok_or_else(|| PyAttributeError::new_err("cannot delete attribute"))?;
    this.cancel_message.set(Some(value.into()));
    Ok(())
}

fn make_cancelled_error(this: &Obj<Future>, py: Python<'_>) -> PyResult<Obj> {
    this.make_cancelled(py)
}

pub(super) fn define(class: &mut ClassBuilder<Future>) {
    class
        .init(init)
        .repr(repr)
        .awaitable(awaitable)
        .iter(awaitable)
        .generic()
        .method0(
            "result",
            result,
            "result($self, /)\n--\n\nThe result, or the exception raised.\n\n\
            Raises CancelledError if cancelled, InvalidStateError if not done yet.",
        )
        .method0(
            "exception",
            exception,
            "exception($self, /)\n--\n\nThe exception that was set, or None.\n\n\
            Raises CancelledError if cancelled, InvalidStateError if not done yet.",
        )
        .method1(
            "set_result",
            set_result,
            "set_result($self, result, /)\n--\n\nFinish with a result.\n\n\
            Raises InvalidStateError if already done.",
        )
        .method1(
            "set_exception",
            set_exception,
            "set_exception($self, exception, /)\n--\n\n\
            Finish with an exception, an instance or a class.\n\nRaises InvalidStateError if already done.",
        )
        .method(
            "add_done_callback",
            add_done_callback,
            "add_done_callback($self, fn, /, *, context=<unrepresentable>)\n--\n\n\
            Call fn(self) through the loop when done; soon, if done already. In `context`, or a copy of the\n\
            current one. Callbacks are called in the order they were added.",
        )
        .method1(
            "remove_done_callback",
            remove_done_callback,
            "remove_done_callback($self, fn, /)\n--\n\n\
            Remove all registrations of fn; return how many there were.",
        )
        .method(
            "cancel",
            cancel,
            "cancel($self, /, msg=None)\n--\n\nCancel and schedule the callbacks.\n\n\
            Returns False if already done, else True. The message goes into the CancelledError (since 3.9).",
        )
        .method0(
            "cancelled",
            |this: &Obj<Future>, _py: Python<'_>| this.is_cancelled(),
            "cancelled($self, /)\n--\n\nWhether it was cancelled.",
        )
        .method0(
            "done",
            |this: &Obj<Future>, _py: Python<'_>| this.is_done(),
            "done($self, /)\n--\n\nWhether it has a result or an exception or was cancelled.",
        )
        .method0("get_loop", get_loop, "get_loop($self, /)\n--\n\nThe event loop it is bound to (since 3.7).")
        .method0(
            "_make_cancelled_error",
            make_cancelled_error,
            "_make_cancelled_error($self, /)\n--\n\nThe CancelledError to raise.",
        )
        .getter("__class__", crate::stock::class_of, "")
        .getter("_state", |this: &Obj<Future>, _py: Python<'_>| this.state.get().name(), "")
        .getter("_result", |this: &Obj<Future>, _py: Python<'_>| this.result.get(), "")
        .getter("_exception", |this: &Obj<Future>, _py: Python<'_>| this.exception.get(), "")
        .getter(
            "_loop",
            |this: &Obj<Future>, _py: Python<'_>| {
                this.event_loop.get().map(|event_loop| event_loop.as_any().clone())
            },
            "",
        )
        .getter("_callbacks", callbacks_list, "")
        .getter("_source_traceback", |this: &Obj<Future>, _py: Python<'_>| this.source_traceback.get(), "")
        .getter("_asyncio_awaited_by", awaited_by::get, "")
        .getset(
            "_asyncio_future_blocking",
            |this: &Obj<Future>, _py: Python<'_>| this.blocking.get(),
            set_blocking,
            "",
        )
        .getset(
            "_log_traceback",
            |this: &Obj<Future>, _py: Python<'_>| this.log_traceback.get(),
            set_log_traceback,
            "",
        )
        .getset(
            "_cancel_message",
            |this: &Obj<Future>, _py: Python<'_>| this.cancel_message.get(),
            set_cancel_message,
            "",
        );
}

impl Class for Future {
    type Base = Any;
    ferrio_object::fields!(
        Future {
            event_loop: kept,
            state,
            blocking,
            log_traceback,
            callbacks,
            result,
            exception,
            exception_tb,
            cancel_message,
            cancelled_exc,
            source_traceback,
            awaited_by,
            dict: DictSlot,
            weaklist: WeakList
        },
        freelist
    );
    const NAME: &'static str = "_asyncio.Future";
    const DOC: &'static str = "Future(*, loop=None)\n--\n\n\
        A result that will be there later.\n\n\
        Almost compatible with concurrent.futures.Future: result() and exception() take no timeout and raise\n\
        InvalidStateError when the future is not done; callbacks are called through the loop's call_soon().\n\
        Awaiting it gives the result or raises the exception.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Self::with_loop(OnceCell::new())
    }

    #[inline]
    fn wants_finalizer(&self, _base: &()) -> bool {
        self.log_traceback.get()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        report::never_retrieved(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Future>(module)?;
    ClassDef::add::<FutureIter>(module)?;
    ClassDef::function(
        module,
        "future_add_to_awaited_by",
        awaited_by::py_add,
        "future_add_to_awaited_by(fut, waiter, /)\n--\n\nRecord that `fut` is awaited by `waiter` (since 3.14).",
    )?;
    ClassDef::function(
        module,
        "future_discard_from_awaited_by",
        awaited_by::py_discard,
        "future_discard_from_awaited_by(fut, waiter, /)\n--\n\n\
         Record that `fut` is no longer awaited by `waiter` (since 3.14).",
    )
}
