//! Destructors that wait because too many of them run inside one another.
//!
//! A chain of futures, each the result of the next, is as long as the user makes it, and every link costs stack.
//! CPython's own trashcan serves only types that ask for it (from 3.14 on all with garbage collection: then this is
//! never reached by them), and each thread has its own, as here: a destructor that waits for another thread must not
//! keep that one's objects alive.

use std::cell::{Cell, RefCell};

use pyo3::ffi;

/// How deep destructors may nest before the rest is put off; CPython's trashcan has the same depth.
const NESTING_MAX: u32 = 50;

/// What one nested destructor may take of a small stack.
const BYTES_EACH: usize = 4096;

/// Destroys an object.
pub(crate) type Destroy = unsafe fn(*mut ffi::PyObject);

/// What waits on one thread.
pub(crate) struct Trash {
    nesting: Cell<u32>,
    nesting_max: Cell<u32>,
    /// Dead, untracked, their contents still in place; of exact types only, each with its class's `destroy`.
    later: RefCell<Vec<(*mut ffi::PyObject, Destroy)>>,
}

impl Trash {
    pub(crate) const fn new() -> Self {
        Trash { nesting: Cell::new(0), nesting_max: Cell::new(NESTING_MAX), later: RefCell::new(Vec::new()) }
    }

    /// Allows for a stack of `size` bytes; 0 if that is not known.
    pub(crate) fn fit(&self, size: usize) {
        let fitting = if size == 0 { NESTING_MAX } else { (size / BYTES_EACH / 4) as u32 };
        self.nesting_max.set(fitting.clamp(2, NESTING_MAX));
    }

    /// Whether a destructor runs.
    #[inline]
    pub(crate) fn is_in_use(&self) -> bool {
        self.nesting.get() > 0
    }

    /// Whether destructors are nested so deep that the next is to wait.
    #[inline]
    pub(crate) fn is_deep(&self) -> bool {
        self.nesting.get() >= self.nesting_max.get()
    }

    /// Puts an object off.
    #[cold]
    pub(crate) fn put_off(&self, obj: *mut ffi::PyObject, destroy: Destroy) {
        self.later.borrow_mut().push((obj, destroy));
    }

    /// Runs a destructor, and those that were put off meanwhile.
    ///
    /// # Safety
    /// Attached. What was put off is ours to destroy.
    #[inline]
    pub(crate) unsafe fn nested(&self, destructor: impl FnOnce()) {
        let nesting = self.nesting.get() + 1;
        self.nesting.set(nesting);
        destructor();
        // Only the deepest level empties the trash, so that it gets no deeper by that.
        if nesting == self.nesting_max.get() {
            // SAFETY: by contract.
            unsafe { self.empty() };
        }
        self.nesting.set(self.nesting.get() - 1);
    }

    /// # Safety
    /// As [`Trash::nested`].
    #[cold]
    #[inline(never)]
    unsafe fn empty(&self) {
        loop {
            let next = self.later.borrow_mut().pop();
            let Some((obj, destroy)) = next else { break };
            // SAFETY: by contract; it is taken off the list first.
            unsafe { destroy(obj) };
        }
    }
}
