//! asyncio's exception classes as Rust raises them.
//!
//! The classes are defined in `ferrio/exceptions.py`, which also makes them one family with stock asyncio's. They
//! are fetched when first needed, so that importing the extension does not import the package behind it.

use std::cell::OnceCell;

use ferrio_object::{GilStatic, Obj};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyKeyboardInterrupt, PyOSError, PySystemExit};
use pyo3::prelude::*;

struct Classes {
    cancelled: Obj,
    invalid_state: Obj,
}

static CLASSES: GilStatic<OnceCell<Classes>> = GilStatic::new(OnceCell::new());

fn classes(py: Python<'_>) -> PyResult<&Classes> {
    let cell = CLASSES.get(py);
    if let Some(classes) = cell.get() {
        return Ok(classes);
    }
    let module = py.import("ferrio.exceptions")?;
    let classes = Classes {
        cancelled: module.getattr("CancelledError")?.into(),
        invalid_state: module.getattr("InvalidStateError")?.into(),
    };
    // Importing runs Python code, so another thread may have been here meanwhile; its classes are the same.
    Ok(cell.get_or_init(|| classes))
}

/// A class of `ferrio.exceptions` by name.
pub(crate) fn class(py: Python<'_>, name: &str) -> PyResult<Obj> {
    Ok(py.import("ferrio.exceptions")?.getattr(name)?.into())
}

/// `CancelledError`, the class.
pub(crate) fn cancelled_error(py: Python<'_>) -> PyResult<&Obj> {
    Ok(&classes(py)?.cancelled)
}

/// An instance of `CancelledError`, with the message if there is one.
pub(crate) fn new_cancelled(py: Python<'_>, message: Option<&Obj>) -> PyResult<Obj> {
    let class = cancelled_error(py)?.bind(py);
    Ok(match message {
        Some(message) if !message.is_none() => class.call1((message,))?,
        _ => class.call0()?,
    }
    .into())
}

/// Whether `exc` is an instance of `CancelledError`.
pub(crate) fn is_cancelled(py: Python<'_>, exc: &Obj) -> PyResult<bool> {
    exc.bind(py).is_instance(cancelled_error(py)?.bind(py))
}

/// Whether `err` is a `CancelledError`.
pub(crate) fn err_is_cancelled(py: Python<'_>, err: &PyErr) -> bool {
    cancelled_error(py).is_ok_and(|class| err.is_instance(py, class.bind(py)))
}

/// Whether the loop must let this through: `KeyboardInterrupt`, `SystemExit`.
pub(crate) fn is_exit(py: Python<'_>, err: &PyErr) -> bool {
    err.is_instance_of::<PyKeyboardInterrupt>(py) || err.is_instance_of::<PySystemExit>(py)
}

/// `InvalidStateError(message)`.
pub(crate) fn invalid_state(py: Python<'_>, message: &str) -> PyErr {
    match classes(py) {
        Ok(classes) => match classes.invalid_state.bind(py).call1((message,)) {
            Ok(exc) => PyErr::from_value(exc),
            Err(err) => err,
        },
        Err(err) => err,
    }
}

/// The exception object of an error, with its traceback.
pub(crate) fn value_of(py: Python<'_>, err: PyErr) -> Obj {
    ferrio_object::value_of(py, err)
}

/// Whether a socket has refused an operation for now: it has to be tried again when the socket is ready.
pub(crate) fn would_block(py: Python<'_>, err: &PyErr) -> bool {
    err.is_instance_of::<PyBlockingIOError>(py) || err.is_instance_of::<PyInterruptedError>(py)
}

/// `OSError` from an `io::Error`, with `errno` set as Python's own would.
pub(crate) trait FromIo {
    fn new_err_from_io(err: std::io::Error) -> PyErr;
}

impl FromIo for PyOSError {
    fn new_err_from_io(err: std::io::Error) -> PyErr {
        match err.raw_os_error() {
            // Two arguments make OSError choose the subclass (ConnectionResetError and so on).
            Some(errno) => {
                let text = err.to_string();
                let text = text.split(" (os error").next().unwrap_or_default().to_owned();
                PyOSError::new_err((errno, text))
            }
            None => PyOSError::new_err(err.to_string()),
        }
    }
}
