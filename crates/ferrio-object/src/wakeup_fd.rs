//! The descriptor that the interpreter writes a signal's number to, set without Python.
//!
//! `signal.set_wakeup_fd()` does more: it checks that this is the main thread and that the descriptor is non-blocking.
//! The caller of [`swap_wakeup_fd`] knows both. pyo3 does not declare the function.

use std::ffi::c_int;

use pyo3::Python;

unsafe extern "C" {
    fn PySignal_SetWakeupFd(fd: c_int) -> c_int;
}

/// Sets the descriptor, -1 for none, and returns the one before. The interpreter then warns when a write finds no room.
/// To be called on the main thread with a non-blocking descriptor.
#[inline]
pub fn swap_wakeup_fd(_py: Python<'_>, fd: c_int) -> c_int {
    // SAFETY: attached; the function stores a number.
    unsafe { PySignal_SetWakeupFd(fd) }
}
