//! Asking the memory for an object before it is used.
//!
//! A hint to the processor and no more: nothing is read that the program could see, and nothing happens on processors
//! for which there is no stable way to give it (all but x86-64).

use std::cell::Cell;

use pyo3::ffi;

use crate::builder::Class;
use crate::class::{Instance, Layout};
use crate::obj::{Obj, ObjCell};

/// What the memory answers with, in bytes.
const LINE: usize = 64;
/// What lies before an object that the garbage collector knows, in bytes: its place in the collector's lists, which
/// everybody touches who makes or destroys an object.
const GC_HEAD: usize = 16;

/// Asks for `len` bytes from `start` on.
#[inline]
fn ask(start: *const i8, len: usize) {
    for at in (0..len).step_by(LINE) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: any address may be given, valid or not; every x86-64 processor has the instruction.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(at)) };
        }
    }
}

/// Asks for the first `len` bytes of an object.
#[inline]
fn ask_object(object: *mut ffi::PyObject, len: usize) {
    ask(object.cast::<i8>().wrapping_sub(GC_HEAD), len + GC_HEAD);
}

/// The length of an instance of `T`.
const fn len_of<T: Class>() -> usize {
    size_of::<<T as Layout>::Instance>()
}

/// Asks for a value that is no object.
#[inline]
pub fn prefetch<T>(value: &T) {
    ask(std::ptr::from_ref(value).cast(), size_of::<T>());
}

impl<T: Class> Obj<T> {
    /// Asks for the object.
    #[inline]
    pub fn prefetch(&self) {
        ask_object(self.as_ptr(), len_of::<T>());
    }
}

impl Obj {
    /// Asks for what a weak reference refers to, taking it for a `T`; of anything else for nothing.
    #[inline]
    pub fn prefetch_referent<T: Class>(&self) {
        // SAFETY: a live object, looked at by the attached thread; what is read of it is a field that every weak
        // reference has (`None` once it is dead).
        let referent = unsafe {
            if ffi::PyWeakref_CheckRef(self.as_ptr()) == 0 {
                return;
            }
            (*self.as_ptr().cast::<ffi::PyWeakReference>()).wr_object
        };
        ask_object(referent, len_of::<T>());
    }
}

impl ObjCell {
    /// Asks for what the cell holds, taking it for a `T`.
    #[inline]
    pub fn prefetch_as<T: Class>(&self) {
        self.prefetch_first(len_of::<T>());
    }

    /// Asks for the first `len` bytes of what the cell holds.
    #[inline]
    pub fn prefetch_first(&self, len: usize) {
        if let Some(obj) = self.peek() {
            ask_object(obj.as_ptr(), len);
        }
    }
}

/// Where an object was when it was last seen, for code that holds no reference to it and prefetches it. It may be gone:
/// the address is used for nothing else.
pub struct Hint<T> {
    contents: Cell<*const T>,
}

impl<T: Class> Hint<T> {
    /// Of no object.
    #[must_use]
    pub const fn none() -> Self {
        Hint { contents: Cell::new(std::ptr::null()) }
    }

    /// Notes the object with these contents.
    #[inline]
    pub fn set(&self, contents: &T) {
        self.contents.set(contents);
    }

    /// Asks for it.
    #[inline]
    pub fn prefetch(&self) {
        let contents = self.contents.get();
        if !contents.is_null() {
            ask_object(
                contents.cast_mut().wrapping_byte_sub(Instance::<T>::contents_offset()).cast(),
                len_of::<T>(),
            );
        }
    }
}
