//! Birth and death of instances: allocation, freelist, deallocation, garbage collection.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::builder::Class;
use crate::class::{self, Layout, Parts};
use crate::error::{raise_panic, with_saved_error};
use crate::fields;
use crate::obj::Obj;
use crate::shared::GilStatic;
use crate::thread;
use crate::traverse::Visit;

/// Memory of dead instances of one exact class, kept for the next ones; a `static` per class, asked for
/// in [`fields!`](crate::fields!). Worth 10 to 15 % on Future and Task.
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

/// Whether the collector knows an object.
///
/// # Safety
/// A valid object of a class with garbage collection.
#[inline]
pub(crate) unsafe fn is_tracked(obj: *mut ffi::PyObject) -> bool {
    // SAFETY: an object with garbage collection has the header before it; its first word is the next object in the
    // collector's list, and 0 outside of one (3.11 to 3.15).
    unsafe { obj.cast::<usize>().sub(GC_HEADER_WORDS).read() != 0 }
}

/// Has the collector know an object, if it does not.
///
/// # Safety
/// A valid object of a class with garbage collection, its contents written.
#[inline]
pub(crate) unsafe fn track(obj: *mut ffi::PyObject) {
    // SAFETY: by contract. CPython ends the process over an object that is tracked twice.
    unsafe {
        if !is_tracked(obj) {
            ffi::PyObject_GC_Track(obj.cast());
        }
    }
}

/// Whether the collector has found that nobody can reach an object, and is about to end it.
///
/// # Safety
/// A valid instance of `T`'s class.
pub(crate) unsafe fn is_being_collected<T: Class>(obj: *mut ffi::PyObject) -> bool {
    /// The collector's mark in the second word of its header (3.11 to 3.15). It is gone when the object has been cleared,
    /// or was found to be alive.
    const COLLECTING: usize = 2;
    // SAFETY: an object with garbage collection has the header before it.
    T::GC && unsafe { obj.cast::<usize>().sub(1).read() } & COLLECTING != 0
}

// Inlined whole, and the contents made only when there is a place for them, so that they are built there: built
// elsewhere and copied, they are read back wider than they were written, which stalls the processor.
#[expect(clippy::inline_always)]
#[inline(always)]
pub(crate) fn create<T: Class>(py: Python<'_>, parts: impl FnOnce() -> Parts<T>) -> PyResult<Obj<T>> {
    let obj = allocate::<T>(py)?;
    let unfinished = Unfinished::<T>(obj, PhantomData);
    let parts = parts();
    std::mem::forget(unfinished);
    // SAFETY: fresh memory for an instance; the contents are written before anybody sees it.
    unsafe {
        T::write_chain(obj, parts);
        if T::GC && T::BORN_TRACKED {
            ffi::PyObject_GC_Track(obj.cast());
        }
        Ok(Obj::from_owned(obj))
    }
}

/// Memory for an instance whose contents could not be made: a panic on the way.
struct Unfinished<T: Class>(*mut ffi::PyObject, PhantomData<T>);

impl<T: Class> Drop for Unfinished<T> {
    fn drop(&mut self) {
        // SAFETY: memory from `allocate`, untracked, never seen by anybody, with a reference to its type.
        unsafe {
            let ty = ffi::Py_TYPE(self.0);
            if let Some(free) = (*ty).tp_free {
                free(self.0.cast());
            }
            ffi::Py_DECREF(ty.cast());
        }
    }
}

/// Memory for an instance of exactly `T`'s class: an object with one reference, untracked, its contents not written.
#[inline]
fn allocate<T: Class>(py: Python<'_>) -> PyResult<*mut ffi::PyObject> {
    let ty = class::type_ptr::<T>();
    if let Some(list) = fields::freelist::<T>() {
        let spare = list.0.get(py).borrow_mut().pop();
        if let Some(obj) = spare {
            // SAFETY: memory of a dead instance of exactly this type, untracked; PyObject_Init makes it an object
            // with one reference (and takes one to the type).
            unsafe {
                debug_assert!(ptr::eq(ffi::Py_TYPE(obj), ty), "a freelist serves one class");
                ffi::PyObject_Init(obj, ty);
            }
            return Ok(obj);
        }
        if T::GC && !T::BORN_TRACKED {
            return allocate_uncounted(ty);
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

/// What `PyObject_GC_New` does, but that the collector does not count the object towards its next collection. A million
/// handles wait in a queue untracked, and collections that they bring about find nothing.
#[inline]
fn allocate_uncounted(ty: *mut ffi::PyTypeObject) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: attached; a ready type, whose instances have nothing before them but the collector's header: no managed
    // dict or weak references, which only Python's own classes have. Zeros are the header of an untracked object
    // (3.11 to 3.15), and `PyObject_Init` writes the rest of what makes an object.
    unsafe {
        let header = GC_HEADER_WORDS * size_of::<usize>();
        let memory = ffi::PyObject_Malloc(header + (*ty).tp_basicsize as usize).cast::<usize>();
        if memory.is_null() {
            return Err(PyMemoryError::new_err(()));
        }
        ptr::write_bytes(memory, 0, GC_HEADER_WORDS);
        let obj = memory.add(GC_HEADER_WORDS).cast::<ffi::PyObject>();
        ffi::PyObject_Init(obj, ty);
        Ok(obj)
    }
}

/// An instance of `ty`, which is `T`'s class or a Python subclass, with blank contents.
///
/// # Safety
/// Attached; `ty` is `T`'s type or a subtype that has no other of our classes in between.
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
    // SAFETY: a valid object, which is a type where it is used as one; a type with the contents of `T`'s class, not of
    // one that we derived from it, is what `alloc_blank` asks for, and what it gives is owned, or null with an error set.
    unsafe {
        let ty = class.as_ptr().cast::<ffi::PyTypeObject>();
        if ffi::PyType_Check(class.as_ptr()) == 0
            || !ptr::eq(class::native_base(py, ty), class::type_ptr::<T>())
        {
            let shown = class.bind(py).repr()?;
            return Err(PyTypeError::new_err(format!("{shown} is not derived from {}", T::NAME)));
        }
        let obj = alloc_blank::<T>(ty);
        if obj.is_null() { Err(PyErr::fetch(py)) } else { Ok(Obj::from_owned(obj)) }
    }
}

/// `tp_new`. Arguments are for `__init__`; where there is none, they are refused, as `object` does.
pub(crate) unsafe extern "C" fn new<T: Class>(
    ty: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, with a tuple, and a dict or null, for `T`'s type or a subtype that has inherited
    // this very `tp_new`: a class of ours has its own or none, and `T.__new__` refuses what has another.
    crate::boundary::boundary(|_py| unsafe {
        let object_init = ffi::PyBaseObject_Type.tp_init.map(|init| init as usize);
        if (*ty).tp_init.map(|init| init as usize) == object_init
            && (ffi::PyTuple_GET_SIZE(args) > 0 || (!kwargs.is_null() && ffi::PyDict_Size(kwargs) > 0))
        {
            let name = T::NAME.rsplit('.').next().unwrap_or(T::NAME);
            return Err(PyTypeError::new_err(format!("{name}() takes no arguments")));
        }
        Ok(alloc_blank::<T>(ty))
    })
}

/// `tp_dealloc`.
pub(crate) unsafe extern "C" fn dealloc<T: Class>(obj: *mut ffi::PyObject) {
    // SAFETY: the interpreter calls this once, attached, with the last reference gone.
    unsafe {
        let trash = thread::current(Python::assume_attached()).trash();
        // Instances of Python subclasses come here from the interpreter's `subtype_dealloc`, which has a trashcan.
        if trash.is_deep() && ptr::eq(ffi::Py_TYPE(obj), class::type_ptr::<T>()) {
            if T::GC {
                // The collector must not meet an object without references.
                ffi::PyObject_GC_UnTrack(obj.cast());
            }
            trash.put_off(obj, destroy_later::<T>);
            return;
        }
        trash.nested(|| destroy::<T>(obj));
    }
}

/// # Safety
/// As [`destroy`]; `obj` was untracked by `dealloc`.
unsafe fn destroy_later<T: Class>(obj: *mut ffi::PyObject) {
    // SAFETY: by contract; a finalizer expects to find the object tracked, as it would have been at once.
    unsafe {
        if T::GC && T::FINALIZE {
            ffi::PyObject_GC_Track(obj.cast());
        }
        destroy::<T>(obj);
    }
}

/// # Safety
/// Attached; `obj` is an instance of `T`'s class or a subclass, with no reference left; called once.
#[inline]
unsafe fn destroy<T: Class>(obj: *mut ffi::PyObject) {
    // SAFETY: by contract. The order is CPython's own: finalizer (which may resurrect), untrack, weak references,
    // contents, memory, type.
    unsafe {
        let py = Python::assume_attached();
        let ty = ffi::Py_TYPE(obj);
        let exact = ptr::eq(ty, class::type_ptr::<T>());
        if T::FINALIZE
            && (!exact || wants_finalizer::<T>(obj))
            && ffi::PyObject_CallFinalizerFromDealloc(obj) < 0
        {
            return;
        }
        if T::GC && (T::BORN_TRACKED || is_tracked(obj)) {
            ffi::PyObject_GC_UnTrack(obj.cast());
        }
        if let Some(at) = T::weaklist_offset()
            && !(*obj.byte_add(at).cast::<*mut ffi::PyObject>()).is_null()
        {
            ffi::PyObject_ClearWeakRefs(obj);
        }
        // What a panic in a destructor leaves undone is leaked.
        guarded(py, || T::drop_chain(obj));
        drop_dict::<T>(obj);
        if exact && let Some(list) = fields::freelist::<T>() {
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
            if T::GC && !T::BORN_TRACKED {
                drop(spares);
                // `PyObject_GC_Del` but for its count, see `allocate_uncounted`.
                ffi::PyObject_Free(obj.cast::<usize>().sub(GC_HEADER_WORDS).cast());
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

/// # Safety
/// As [`destroy`].
#[inline]
unsafe fn wants_finalizer<T: Class>(obj: *mut ffi::PyObject) -> bool {
    // SAFETY: the contents are still in place; nobody else can reach them.
    let (contents, base) = unsafe { (class::contents::<T>(obj), <T::Base as Layout>::own(obj)) };
    catch_unwind(AssertUnwindSafe(|| contents.wants_finalizer(base))).unwrap_or(true)
}

/// Runs a step of the collector or of a destructor, which has no way to fail: a panic goes to `sys.unraisablehook`.
#[inline]
fn guarded(py: Python<'_>, step: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(step)) {
        report_panic(py, &*payload);
    }
}

#[cold]
fn report_panic(py: Python<'_>, payload: &(dyn std::any::Any + Send)) {
    with_saved_error(py, || {
        raise_panic(payload);
        // SAFETY: attached, with an error set; null stands for "nobody in particular".
        unsafe { ffi::PyErr_WriteUnraisable(ptr::null_mut()) };
    });
}

/// # Safety
/// Attached; `obj` is an instance of `T`'s class.
#[inline]
unsafe fn drop_dict<T: Class>(obj: *mut ffi::PyObject) {
    if let Some(at) = T::dict_offset() {
        // SAFETY: the offset is that of a `DictSlot`, which holds a dict of ours or null.
        unsafe {
            let dict = obj.byte_add(at).cast::<*mut ffi::PyObject>();
            ffi::Py_XDECREF(ptr::replace(dict, ptr::null_mut()));
        }
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
        // A `traverse` that panics has a bug; what it did not reach counts as alive, which is safe. It cannot be
        // reported to Python in the middle of a collection; the panic hook has told standard error.
        let _ = catch_unwind(AssertUnwindSafe(|| T::traverse_chain(obj, &mut visit)));
        if let Some(at) = T::dict_offset() {
            visit.raw(*obj.byte_add(at).cast::<*mut ffi::PyObject>());
        }
        visit.result()
    }
}

/// `tp_clear`.
pub(crate) unsafe extern "C" fn clear<T: Class>(obj: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector calls this, attached, on a valid instance that is part of a cycle.
    unsafe {
        if let Some(membership) = fields::membership(class::contents::<T>(obj)) {
            // Taken apart, it is not what the roster promises.
            membership.leave();
        }
        guarded(Python::assume_attached(), || T::clear_chain(obj));
        drop_dict::<T>(obj);
    }
    0
}

/// `tp_finalize`.
pub(crate) unsafe extern "C" fn finalize<T: Class>(obj: *mut ffi::PyObject) {
    // SAFETY: called by the interpreter, attached, with a valid instance.
    unsafe {
        let py = Python::assume_attached();
        with_saved_error(py, || guarded(py, || T::finalize(Obj::<T>::from_ref(&obj), py)));
    }
}
