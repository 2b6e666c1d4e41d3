//! Statics and shared structures that the GIL guards.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;

use pyo3::{Python, ffi};

/// A static that only an attached thread may look at.
///
/// It hands out `&T`, so `T` changes through cells. A `RefCell` in it must not stay borrowed over anything that can
/// run Python code: another thread may come in there.
pub struct GilStatic<T>(UnsafeCell<T>);

// SAFETY: access needs a `Python` token, and one thread is attached at a time (this module declares `gil_used`).
unsafe impl<T> Sync for GilStatic<T> {}

impl<T> GilStatic<T> {
    /// Wraps the initial value.
    pub const fn new(value: T) -> Self {
        GilStatic(UnsafeCell::new(value))
    }

    /// The value.
    #[inline]
    pub fn get<'a>(&'a self, _py: Python<'a>) -> &'a T {
        // SAFETY: attached, and only shared references are ever made.
        unsafe { &*self.0.get() }
    }
}

/// A value that may be carried to another thread but used and dropped only on an attached one: for closures that
/// come back from a worker thread with Python objects in them.
pub struct GilShared<T>(ManuallyDrop<T>);

// SAFETY: the contents are reachable only with a `Python` token.
unsafe impl<T> Send for GilShared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for GilShared<T> {}

impl<T> GilShared<T> {
    /// Wraps a value; the token shows that the caller is attached.
    pub fn new(_py: Python<'_>, value: T) -> Self {
        GilShared(ManuallyDrop::new(value))
    }

    /// The value.
    #[inline]
    pub fn get<'a>(&'a self, _py: Python<'a>) -> &'a T {
        &self.0
    }

    /// The value, given back.
    pub fn into_inner(self, _py: Python<'_>) -> T {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used or dropped again.
        unsafe { ManuallyDrop::take(&mut this.0) }
    }
}

impl<T> Drop for GilShared<T> {
    fn drop(&mut self) {
        // Dropped on a detached thread (a pool shutting down), or when the interpreter is gone, where the check says
        // yes to everybody: leaking is the only safe thing to do.
        // SAFETY: both may be called from any thread.
        if unsafe { ffi::Py_IsInitialized() != 0 && ffi::PyGILState_Check() == 1 } {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}
