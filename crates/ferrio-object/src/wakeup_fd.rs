//! The descriptor that the interpreter writes a signal's number to, set without Python where that can be done.
//!
//! `signal.set_wakeup_fd()` does more: it checks that this is the main thread and that the descriptor is non-blocking.
//! The caller of [`swap_wakeup_fd`] knows both. pyo3 does not declare the C function, and before 3.13 CPython declares
//! it without exporting it: there the Python function is called.

use std::ffi::c_int;

use pyo3::Python;

/// Sets the descriptor, -1 for none, and returns the one before. The interpreter then warns when a write finds no room.
/// To be called on the main thread with a non-blocking descriptor.
#[cfg(Py_3_13)]
#[inline]
pub fn swap_wakeup_fd(_py: Python<'_>, fd: c_int) -> c_int {
    unsafe extern "C" {
        fn PySignal_SetWakeupFd(fd: c_int) -> c_int;
    }
    // SAFETY: attached; the function stores a number.
    unsafe { PySignal_SetWakeupFd(fd) }
}

/// Sets the descriptor, -1 for none, and returns the one before. The interpreter then warns when a write finds no room.
/// To be called on the main thread with a non-blocking descriptor.
#[cfg(not(Py_3_13))]
pub fn swap_wakeup_fd(py: Python<'_>, fd: c_int) -> c_int {
    use std::cell::OnceCell;

    use pyo3::prelude::*;

    use crate::obj::Obj;
    use crate::shared::GilStatic;

    static FUNCTION: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());

    let swap = || -> PyResult<c_int> {
        let cell = FUNCTION.get(py);
        if cell.get().is_none() {
            let function = py.import("_signal")?.getattr("set_wakeup_fd")?.into();
            // Another thread may have been first; then its function is the same one.
            drop(cell.set(function));
        }
        match cell.get() {
            Some(function) => function.bind(py).call1((fd,))?.extract(),
            None => Ok(-1),
        }
    };
    swap().unwrap_or_else(|err| {
        // A descriptor that somebody else had set, and has closed since, cannot be set again: there is none then.
        crate::error::swallow(py, err);
        -1
    })
}
