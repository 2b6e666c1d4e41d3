//! Birth and death of instances: allocation, freelist, deallocation, garbage collection.

use std::cell::RefCell;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::builder::Class;
use crate::class::{self, Layout, Parts, Visit};
use crate::obj::Obj;
use crate::shared::GilStatic;

/// Memory of dead instances of one exact class, kept for the next ones; a `static` per class, handed out by
/// [`Class::freelist`]. 10–15 % on Future and Task (DESIGN.md section 5).
pub struct FreeList(GilStatic<RefCell<Vec<*mut ffi::PyObject>>>);

// The most instances a freelist keeps. Enough for the tasks of one busy turn; 1024 tasks are some 200 KiB.
const FREELIST_MAX: usize = 1024;

impl FreeList {
    /// An empty freelist.
    pub const fn new() -> Self {
        FreeList(GilStatic::new(RefCell::new(Vec::new())))
    }
}

impl Default for FreeList {
    fn default() -> Self {
        Self::new()
    }
}

/// Words of the collector's header, which lies before an object with garbage collection (3.11 to 3.15, GIL builds).
const GC_HEADER_WORDS: usize = 2;

// Inlined whole, so that the contents are built in their place: built elsewhere and copied, they are read back wider
// than they were written, which stalls the processor.
#[inline(always)]
pub(crate) fn create<T: Class>(py: Python<'_>, parts: Parts<T>) -> PyResult<Obj<T>> {
    let obj = allocate::<T>(py)?;
    // SAFETY: fresh memory for an instance; the contents are written before anybody sees it.
    unsafe {
        T::write_chain(obj, parts);
        if T::GC {
            ffi::PyObject_GC_Track(obj.cast());
        }
        Ok(Obj::from_owned(obj))
    }
}

/// Memory for an instance of exactly `T`'s class: an object with one reference, untracked, its contents not written.
#[inline]
fn allocate<T: Class>(py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
    let ty = class::type_ptr::<T>();
    if let Some(list) = T::freelist() {
        let spare = list.0.get(py).borrow_mut().pop();
        if let Some(obj) = spare {
            // SAFETY: memory of a dead instance of exactly this type, untracked; PyObject_Init makes it an object
            // with one reference (and takes one to the type).
            unsafe { ffi::PyObject_Init(obj, ty) };
            return Ok(obj);
        }
    }
    // SAFETY: a ready type; `_New` gives untracked memory with one reference.
    unsafe {
        let obj: *mut ffi::PyObject = if T::GC {
            ffi::PyObject_GC_New::<ffi::PyObject>(ty)
        } else {
            ffi::PyObject_New::<ffi::PyObject>(ty)
        };
        if obj.is_null() {
            return Err(PyErr::fetch(py));
        }
        Ok(obj)
    }
}

/// An instance of `ty`, which is `T`'s class or a subclass, with blank contents.
///
/// # Safety
/// Attached; `ty` is `T`'s type or a subtype.
pub(crate) unsafe fn alloc_blank<T: Class>(ty: *mut ffi::PyTypeObject) -> *mut ffi::PyObject {
    // Before the memory is there: `tp_alloc` hands it to the collector, which must not find it without contents.
    let parts = T::blank_chain();
    // SAFETY: a ready type has `tp_alloc`; it gives zeroed memory of the type's size.
    unsafe {
        let Some(alloc) = (*ty).tp_alloc else { return ptr::null_mut() };
        let obj = alloc(ty, 0);
        if obj.is_null() {
            drop(parts);
            return obj;
        }
        T::write_chain(obj, parts);
        obj
    }
}

/// See [`Obj::create_of`].
pub(crate) fn create_of<T: Class>(py: Python<'_>, class: &Obj) -> PyResult<Obj<T>> {
    // SAFETY: a valid object, which is a type where it is used as one; a subtype of `T`'s class is what `alloc_blank`
    // asks for, and what it gives is owned, or null with an error set.
    unsafe {
        let ty = class.as_ptr().cast::<ffi::PyTypeObject>();
        if ffi::PyType_Check(class.as_ptr()) == 0 || ffi::PyType_IsSubtype(ty, class::type_ptr::<T>()) == 0 {
            let shown = class.bind(py).repr()?;
            return Err(PyTypeError::new_err(format!("{shown} is not derived from {}", T::NAME)));
        }
        let obj = alloc_blank::<T>(ty);
        if obj.is_null() { Err(PyErr::fetch(py)) } else { Ok(Obj::from_owned(obj)) }
    }
}

/// `tp_new`.
pub(crate) unsafe extern "C" fn new<T: Class>(
    ty: *mut ffi::PyTypeObject,
    _args: *mut ffi::PyObject,
    _kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter for `T`'s type or a subtype.
    crate::trampoline::boundary(|_py| Ok(unsafe { alloc_blank::<T>(ty) }))
}

/// `tp_dealloc`.
pub(crate) unsafe extern "C" fn dealloc<T: Class>(obj: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this once, with the last reference gone. The order is CPython's own: finalizer
    // (which may resurrect), untrack, weak references, contents, memory, type.
    unsafe {
        let ty = ffi::Py_TYPE(obj);
        let exact = ptr::eq(ty, class::type_ptr::<T>());
        if T::FINALIZE
            && !(exact && !class::contents::<T>(obj).wants_finalizer(<T::Base as Layout>::own(obj)))
            && ffi::PyObject_CallFinalizerFromDealloc(obj) < 0
        {
            return;
        }
        if T::GC {
            ffi::PyObject_GC_UnTrack(obj.cast());
        }
        if let Some(at) = T::weaklist_offset() {
            if !(*obj.cast::<u8>().add(at).cast::<*mut ffi::PyObject>()).is_null() {
                ffi::PyObject_ClearWeakRefs(obj);
            }
        }
        // A panic in a destructor must not cross into C; what it left undone is leaked.
        let _ = catch_unwind(AssertUnwindSafe(|| T::drop_chain(obj)));
        if let Some(at) = T::dict_offset() {
            let dict = obj.cast::<u8>().add(at).cast::<*mut ffi::PyObject>();
            ffi::Py_XDECREF(ptr::replace(dict, ptr::null_mut()));
        }
        if exact && let Some(list) = T::freelist() {
            let py = Python::assume_attached();
            let mut spares = list.0.get(py).borrow_mut();
            if spares.len() < FREELIST_MAX {
                if T::GC {
                    // The "finalized" mark survives untracking; the next instance must be finalized again.
                    let header = obj.cast::<usize>().sub(GC_HEADER_WORDS);
                    ptr::write_bytes(header, 0, GC_HEADER_WORDS);
                }
                spares.push(obj);
                drop(spares);
                ffi::Py_DECREF(ty.cast());
                return;
            }
        }
        if let Some(free) = (*ty).tp_free {
            free(obj.cast());
        }
        ffi::Py_DECREF(ty.cast());
    }
}

/// `tp_traverse`.
pub(crate) unsafe extern "C" fn traverse<T: Class>(
    obj: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this on a valid instance, with its own function and argument.
    unsafe {
        let mut visit = Visit::new(visit, arg);
        // Instances of heap types hold a reference to their type.
        visit.raw(ffi::Py_TYPE(obj).cast());
        // A `traverse` that panics has a bug; what it did not reach counts as alive, which is safe.
        let _ = catch_unwind(AssertUnwindSafe(|| T::traverse_chain(obj, &mut visit)));
        if let Some(at) = T::dict_offset() {
            visit.raw(*obj.cast::<u8>().add(at).cast::<*mut ffi::PyObject>());
        }
        visit.result()
    }
}

/// `tp_clear`.
pub(crate) unsafe extern "C" fn clear<T: Class>(obj: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this on a valid instance that is part of a cycle.
    unsafe {
        let _ = catch_unwind(AssertUnwindSafe(|| T::clear_chain(obj)));
        if let Some(at) = T::dict_offset() {
            let dict = obj.cast::<u8>().add(at).cast::<*mut ffi::PyObject>();
            ffi::Py_XDECREF(ptr::replace(dict, ptr::null_mut()));
        }
    }
    0
}

/// `tp_finalize`.
pub(crate) unsafe extern "C" fn finalize<T: Class>(obj: *mut ffi::PyObject) {
    // SAFETY: called by the interpreter, attached, with a valid instance.
    unsafe {
        let py = Python::assume_attached();
        crate::error::with_saved_error(py, || {
            let this = Obj::<T>::from_ref(&obj);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| T::finalize(this, py))) {
                crate::error::panic_to_err(&*payload).write_unraisable(py, None);
            }
        });
    }
}
