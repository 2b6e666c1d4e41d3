//! Coroutines written as Rust `async fn`.
//!
//! [`coroutine`] makes a Python coroutine object from a Rust future. Inside, [`Co::wait`] awaits any Python awaitable
//! with the semantics of `yield from`: what it yields goes to whoever drives us, what is sent or thrown goes to it,
//! and its result or exception comes back as a `PyResult`. So cancellation arrives as an `Err` at the await point and
//! is handled with `?`, `match` and guards; `close()` drops the future.
//!
//! Python references that must survive an await belong into the frame ([`Co::hold`]): what a Rust future captures is
//! invisible to the garbage collector, what the frame holds is not.

mod frame;
mod object;
mod ready;

#[allow(unused_imports)]
pub(crate) use frame::{Co, Local};
pub(crate) use object::{Coroutine, close_iterator, coroutine, never_awaited};
#[allow(unused_imports)]
pub(crate) use ready::{Given, Memory, Operation, ReadyCoroutine, Step, ready, ready_with};

use ferrio_object::{Args, Obj};
use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Whether `obj` is a coroutine of ours, whichever kind.
#[inline]
pub(crate) fn is_native(obj: &Obj) -> bool {
    obj.cast_exact::<Coroutine>().is_some()
        || obj.cast_exact::<ReadyCoroutine>().is_some()
        || obj.cast_exact::<crate::sleep::Sleep>().is_some()
        || obj.cast_exact::<crate::sleep::Yield>().is_some()
        || obj.cast_exact::<crate::wait_for::WaitFor>().is_some()
}

/// Whether a coroutine of ours has ended; `None` for any other object.
pub(crate) fn is_closed(obj: &Obj) -> Option<bool> {
    obj.cast_exact::<Coroutine>()
        .map(|coro| coro.closed())
        .or_else(|| obj.cast_exact::<ReadyCoroutine>().map(|coro| coro.closed()))
        .or_else(|| obj.cast_exact::<crate::sleep::Sleep>().map(|coro| coro.closed()))
        .or_else(|| obj.cast_exact::<crate::sleep::Yield>().map(|coro| coro.closed()))
        .or_else(|| obj.cast_exact::<crate::wait_for::WaitFor>().map(|coro| coro.closed()))
}

/// `True`, for operations that end with it.
#[inline]
pub(crate) fn truth(py: Python<'_>) -> Obj {
    pyo3::types::PyBool::new(py, true).to_owned().into()
}

/// The error that `throw(type[, value[, traceback]])` asks to raise.
///
/// # Errors
/// `TypeError` for arguments that `throw` does not take.
pub(crate) fn thrown_error(py: Python<'_>, args: &Args<'_, '_>) -> PyResult<PyErr> {
    let (Some(kind), value, traceback) = (args.get(0), args.get(1), args.get(2)) else {
        return Err(PyTypeError::new_err("throw() takes at least 1 argument"));
    };
    if args.len() > 3 || args.has_keywords() {
        return Err(PyTypeError::new_err("throw() takes at most 3 positional arguments"));
    }
    if cfg!(Py_3_12) && args.len() > 1 {
        let message =
            c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
        PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyDeprecationWarning>(), message, 1)?;
    }
    let traceback = traceback.filter(|traceback| !traceback.is_none());
    if let Some(traceback) = traceback
        && !traceback.is_instance_of::<pyo3::types::PyTraceback>()
    {
        return Err(PyTypeError::new_err("throw() third argument must be a traceback object"));
    }
    let value = value.filter(|value| !value.is_none());
    let exc = if let Ok(class) = kind.cast::<PyType>().map_err(drop).and_then(|class| {
        class.is_subclass_of::<PyBaseException>().ok().filter(|is| *is).map(|_| class).ok_or(())
    }) {
        match value {
            Some(value) if value.is_instance(class)? => value.clone(),
            Some(value) => match value.cast::<pyo3::types::PyTuple>() {
                Ok(args) => class.call1(args.clone())?,
                Err(_) => class.call1((value,))?,
            },
            None => class.call0()?,
        }
    } else if kind.is_instance_of::<PyBaseException>() {
        if value.is_some() {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        kind.clone()
    } else {
        let name = kind.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "exceptions must be classes or instances deriving from BaseException, not {name}"
        )));
    };
    if let Some(traceback) = traceback {
        exc.setattr("__traceback__", traceback)?;
    }
    Ok(PyErr::from_value(exc))
}

/// Throws `err` into a coroutine or iterator.
///
/// # Errors
/// What comes out of it.
pub(crate) fn throw_into(py: Python<'_>, target: &Obj, err: PyErr) -> PyResult<ferrio_object::Sent> {
    let exc = crate::exceptions::value_of(py, err);
    if let Some(ours) = target.cast_exact::<Coroutine>() {
        return Coroutine::throw_error(ours, py, ferrio_object::raise(py, &exc));
    }
    if let Some(ours) = target.cast_exact::<ReadyCoroutine>() {
        return ReadyCoroutine::throw_error(ours, py, ferrio_object::raise(py, &exc));
    }
    let Some(throw) = target.bind(py).getattr_opt(pyo3::intern!(py, "throw"))? else {
        return Err(ferrio_object::raise(py, &exc));
    };
    match throw.call1((&exc,)) {
        Ok(yielded) => Ok(ferrio_object::Sent::Next(yielded.into())),
        Err(err) => stop_value(py, err).map(ferrio_object::Sent::Return),
    }
}

/// The value of a `StopIteration`; any other error stays one.
fn stop_value(py: Python<'_>, err: PyErr) -> PyResult<Obj> {
    if err.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) {
        return Ok(err.value(py).getattr(pyo3::intern!(py, "value"))?.into());
    }
    Err(err)
}
