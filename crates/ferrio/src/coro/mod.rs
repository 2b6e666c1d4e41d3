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

use crate::coroutines;

/// `True`, for operations that end with it.
#[inline]
pub(crate) fn truth(py: Python<'_>) -> Obj {
    pyo3::types::PyBool::new(py, true).to_owned().into()
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    coroutines::add_class::<Coroutine>(
        module,
        coroutines::Kind {
            closed: |obj| obj.cast_exact::<Coroutine>().map(|coro| coro.closed()),
            throw: Some(|obj, py, err| match obj.cast_exact::<Coroutine>() {
                Some(coro) => Coroutine::throw_error(coro, py, err),
                None => Err(err),
            }),
        },
    )?;
    coroutines::add_class::<ReadyCoroutine>(
        module,
        coroutines::Kind {
            closed: |obj| obj.cast_exact::<ReadyCoroutine>().map(|coro| coro.closed()),
            throw: Some(|obj, py, err| match obj.cast_exact::<ReadyCoroutine>() {
                Some(coro) => ReadyCoroutine::throw_error(coro, py, err),
                None => Err(err),
            }),
        },
    )
}
