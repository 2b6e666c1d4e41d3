//! `bytes` objects of a middling size, made out of those that nobody has kept.
//!
//! Up to 512 bytes the interpreter's allocator gives memory in some 50 instructions, and takes it back; from about 1 KiB
//! on glibc merges what comes back with its neighbours and splits it again for the next: 490 instructions for a
//! message of 1 KiB, an eighth of all that a loop and a protocol execute outside the kernel to echo it. A server gives its
//! protocol a `bytes`, which is dropped once it is answered, and makes the next, mostly as long as the last. So the
//! last ones are held on to, and one to which nobody else refers is written anew: what the interpreter does with the
//! tuples of `zip()`.

use std::cell::{Cell, RefCell};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::obj::Obj;

/// Lengths for which it is worth while, in bytes.
const SHORTEST: usize = 513;
const LONGEST: usize = 4096;
/// How many are held on to: as many as a poll brings at most.
const HELD: usize = 64;

/// A few `bytes` objects that were made lately.
#[derive(Default)]
pub struct SpareBytes {
    held: RefCell<Vec<Obj>>,
    /// The one whose turn it is.
    next: Cell<usize>,
}

impl SpareBytes {
    /// None held.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with the first again, which has had the most time to be dropped by everybody else. To be called once per
    /// turn of a loop: the fewer are in use, the likelier they are in the processor's cache.
    #[inline]
    pub fn rewind(&self) {
        self.next.set(0);
    }

    /// A `bytes` object with a copy of `data`.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub fn bytes(&self, py: Python<'_>, data: &[u8]) -> PyResult<Obj> {
        if (SHORTEST..=LONGEST).contains(&data.len()) { self.recycled(py, data) } else { fresh(py, data) }
    }

    fn recycled(&self, py: Python<'_>, data: &[u8]) -> PyResult<Obj> {
        let at = self.next.get();
        let mut held = self.held.borrow_mut();
        if at == HELD {
            return fresh(py, data);
        }
        self.next.set(at + 1);
        if let Some(spare) = held.get(at)
            && overwrite(spare, data)
        {
            return Ok(spare.clone());
        }
        let made = fresh(py, data)?;
        match held.get_mut(at) {
            // A `bytes` object has no finalizer and no weak references: no code runs when it goes.
            Some(old) => *old = made.clone(),
            None => held.push(made.clone()),
        }
        Ok(made)
    }

    /// Lets go of all.
    pub fn clear(&self) {
        self.held.borrow_mut().clear();
        self.next.set(0);
    }
}

fn fresh(py: Python<'_>, data: &[u8]) -> PyResult<Obj> {
    // SAFETY: attached; the source is as long as it is said to be.
    let made = unsafe { ffi::PyBytes_FromStringAndSize(data.as_ptr().cast(), data.len() as ffi::Py_ssize_t) };
    if made.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: a new object, and ours.
    Ok(unsafe { Obj::from_owned(made) })
}

/// Copies `data` into `spare` if it is as long and nobody else has it. It need not be tracked by the collector, be
/// interned, or known to the interpreter in any other way: what a `bytes` of more than one byte never is.
#[inline]
fn overwrite(spare: &Obj, data: &[u8]) -> bool {
    let raw = spare.as_ptr();
    // SAFETY: a live `bytes` object, looked at by the attached thread. With a count of one, which is ours, nobody has a
    // pointer to what is in it, and nobody can get one before we are done. Its length is that of `data`, which cannot
    // overlap with it for the same reason. The hash is of what was in it, and -1 where none is known.
    unsafe {
        if ffi::Py_REFCNT(raw) != 1 || ffi::Py_SIZE(raw) != data.len() as ffi::Py_ssize_t {
            return false;
        }
        let bytes = raw.cast::<ffi::PyBytesObject>();
        std::ptr::copy_nonoverlapping(data.as_ptr(), (&raw mut (*bytes).ob_sval).cast(), data.len());
        #[expect(deprecated)] // for programs, who are to use `hash()`
        {
            (*bytes).ob_shash = -1;
        }
    }
    true
}
