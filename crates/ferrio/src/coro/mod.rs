//! Coroutines written as Rust `async fn`.
//!
//! [`coroutine`] makes a Python coroutine object from a Rust future. Inside, [`Co::wait`] awaits any Python awaitable
//! with the semantics of `yield from`: what it yields goes to what drives us, what is sent or thrown goes to it,
//! and its result or exception comes back as a `PyResult`. So cancellation arrives as an `Err` at the await point and
//! is handled with `?`, `match` and guards; `close()` drops the future.
//!
//! Python references that must survive an await belong into the frame ([`Co::hold`]): what a Rust future captures is
//! invisible to the garbage collector, what the frame holds is not. The compiler refuses the others
//! (`ferrio-object/src/frame.rs`).

mod object;
mod ready;

pub(crate) use ferrio_object::{Co, Kept, Local};
pub(crate) use object::{Coroutine, coroutine};
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
    coroutines::add_class::<Coroutine>(module)?;
    coroutines::add_class::<ReadyCoroutine>(module)
}
