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

use ferrio_object::Obj;
use pyo3::prelude::*;

/// `True`, for operations that end with it.
#[inline]
pub(crate) fn truth(py: Python<'_>) -> Obj {
    pyo3::types::PyBool::new(py, true).to_owned().into()
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
