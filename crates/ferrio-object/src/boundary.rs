//! Between the interpreter and our code: no panic leaves, errors become raised exceptions, and the stack does not overflow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::error::raise_panic;
use crate::thread;

/// Runs `f` for the interpreter: no panic leaves, an `Err` is raised and gives null. Where the stack is nearly used up
/// that is a `RecursionError`, and `f` is not run.
#[inline]
pub(crate) fn boundary(f: impl FnOnce(Python<'_>) -> PyResult<*mut ffi::PyObject>) -> *mut ffi::PyObject {
    entry(|py| f(py).unwrap_or_else(|err| raise(py, err)))
}

/// As [`boundary`], for what raises its errors itself.
#[inline]
pub(crate) fn entry(f: impl FnOnce(Python<'_>) -> *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: only the interpreter calls trampolines, on an attached thread.
    let py = unsafe { Python::assume_attached() };
    if !thread::has_room(py) {
        return raise(py, thread::out_of_stack());
    }
    shallow_entry(f)
}

/// As [`entry`], for what calls nothing that could come back here.
#[inline]
pub(crate) fn shallow_entry(f: impl FnOnce(Python<'_>) -> *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as in `entry`.
    let py = unsafe { Python::assume_attached() };
    // Only a pointer passes through `catch_unwind`: what does goes through memory, and a `PyResult` read back from there
    // stalls the processor for longer than most methods take.
    let outcome = catch_unwind(AssertUnwindSafe(|| f(py)));
    outcome.unwrap_or_else(|payload| {
        raise_panic(&*payload);
        ptr::null_mut()
    })
}

/// Raises an error; null.
#[cold]
#[inline(never)]
pub(crate) fn raise(py: Python<'_>, err: PyErr) -> *mut ffi::PyObject {
    err.restore(py);
    ptr::null_mut()
}

/// As [`boundary`] for slots that answer with an int, -1 on error.
#[inline]
pub(crate) fn boundary_int(f: impl FnOnce(Python<'_>) -> PyResult<isize>) -> isize {
    // SAFETY: as in `boundary`.
    let py = unsafe { Python::assume_attached() };
    if !thread::has_room(py) {
        thread::out_of_stack().restore(py);
        return -1;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| match f(py) {
        Ok(value) => value,
        Err(err) => {
            err.restore(py);
            -1
        }
    }));
    outcome.unwrap_or_else(|payload| {
        raise_panic(&*payload);
        -1
    })
}
