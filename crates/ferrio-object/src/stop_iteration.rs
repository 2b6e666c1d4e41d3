//! How a native iterator returns a value to `await`: `StopIteration(value)`, made once and used again.
//!
//! `SEND` takes the value out of the exception and throws the exception away, so a new one each time is pure waste:
//! 278 against 214 ns for `create_task` + await . It is used again only while nobody else holds
//! it. Between the return and [`clear_recycled`] it holds the value a little longer than a fresh one would; that is
//! done only for values where nobody can tell: exact `int`, `str`, `bytes`, `float`, `bool`, and the instances of one
//! class of ours that outlive their `await` anyway ([`recycle_for`]).

use pyo3::{Python, ffi};

use crate::builder::Class;
#[cfg(Py_3_12)]
use crate::class;

#[cfg(Py_3_12)]
mod recycled {
    use std::cell::Cell;
    use std::ptr;

    use pyo3::Python;

    use super::ffi;
    use crate::shared::GilStatic;

    static SPARE: GilStatic<Cell<*mut ffi::PyObject>> = GilStatic::new(Cell::new(ptr::null_mut()));
    static DIRTY: GilStatic<Cell<bool>> = GilStatic::new(Cell::new(false));
    static OUTLIVING: GilStatic<Cell<*mut ffi::PyTypeObject>> = GilStatic::new(Cell::new(ptr::null_mut()));

    pub(super) fn set_outliving(py: Python<'_>, ty: *mut ffi::PyTypeObject) {
        OUTLIVING.get(py).set(ty);
    }

    /// Whether nobody can tell that the value is held a little longer.
    ///
    /// # Safety
    /// Attached; `value` is a valid object.
    pub(super) unsafe fn is_atomic(value: *mut ffi::PyObject) -> bool {
        // SAFETY: a valid object has a type; the statics only yield addresses.
        unsafe {
            let ty: *const ffi::PyTypeObject = ffi::Py_TYPE(value);
            ptr::eq(ty, &raw const ffi::PyLong_Type)
                || ptr::eq(ty, &raw const ffi::PyUnicode_Type)
                || ptr::eq(ty, &raw const ffi::PyBytes_Type)
                || ptr::eq(ty, &raw const ffi::PyFloat_Type)
                || ptr::eq(ty, &raw const ffi::PyBool_Type)
                || ptr::eq(ty, OUTLIVING.get(Python::assume_attached()).get())
        }
    }

    /// Whether nobody else holds `exc` or its `args`, and it never was a real exception (no traceback, no context).
    ///
    /// # Safety
    /// Attached; `exc` is a `StopIteration` that we own.
    unsafe fn is_pristine(exc: *mut ffi::PyObject) -> bool {
        // SAFETY: by contract the layout is that of a StopIteration.
        unsafe {
            let fields = exc.cast::<ffi::PyStopIterationObject>();
            ffi::Py_REFCNT(exc) == 1
                && (*fields).traceback.is_null()
                && (*fields).context.is_null()
                && (*fields).cause.is_null()
                && (*fields).notes.is_null()
                && (*fields).dict.is_null()
            // Read as the byte that it is; PyO3 declares it as something wider.
            && (&raw const (*fields).suppress_context).cast::<u8>().read() == 0
                && ffi::Py_REFCNT((*fields).args) == 1
                && ffi::PyTuple_GET_SIZE((*fields).args) == 1
        }
    }

    /// Replaces the value in both places where the exception keeps it; `value` is owned by the callee.
    ///
    /// # Safety
    /// Attached; `exc` is pristine.
    unsafe fn put(exc: *mut ffi::PyObject, value: *mut ffi::PyObject) {
        // SAFETY: nobody else sees the exception or its argument tuple. The old values are dropped last: code of others
        // may run then.
        unsafe {
            let fields = exc.cast::<ffi::PyStopIterationObject>();
            ffi::Py_INCREF(value);
            let old_value = std::mem::replace(&mut (*fields).value, value);
            let item = (*(*fields).args.cast::<ffi::PyTupleObject>()).ob_item.as_mut_ptr();
            let old_item = std::mem::replace(&mut *item, value);
            ffi::Py_XDECREF(old_value);
            ffi::Py_XDECREF(old_item);
        }
    }

    /// # Safety
    /// Attached; `value` is owned and atomic.
    pub(super) unsafe fn raise(value: *mut ffi::PyObject) {
        // SAFETY: `SPARE` is null or an exact StopIteration that we own.
        unsafe {
            let py = Python::assume_attached();
            let spare = SPARE.get(py);
            let exc = spare.get();
            if !exc.is_null() && is_pristine(exc) {
                // Counted first: no longer pristine for code that comes here out of the destructor of an old value.
                ffi::Py_INCREF(exc);
                put(exc, value);
                DIRTY.get(py).set(true);
                ffi::PyErr_SetRaisedException(exc);
                return;
            }
            let fresh = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value);
            ffi::Py_DECREF(value);
            if fresh.is_null() {
                return;
            }
            // Somebody still looks at the old one: it is theirs now.
            ffi::Py_INCREF(fresh);
            spare.set(fresh);
            DIRTY.get(py).set(true);
            ffi::Py_XDECREF(exc);
            ffi::PyErr_SetRaisedException(fresh);
        }
    }

    pub(super) fn clear(py: Python<'_>) {
        if DIRTY.get(py).replace(false) {
            let exc = SPARE.get(py).get();
            // SAFETY: we own `exc`; `put` takes over one reference to None.
            unsafe {
                if exc.is_null() {
                    return;
                }
                if is_pristine(exc) {
                    let none = ffi::Py_None();
                    ffi::Py_INCREF(none);
                    put(exc, none);
                } else {
                    // It has a traceback, and with that the frames it went through: not ours to keep.
                    SPARE.get(py).set(ptr::null_mut());
                    ffi::Py_DECREF(exc);
                }
            }
        }
    }
}

/// Who gets the exception.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Taker {
    /// `tp_iternext` was called: most likely by `await` or `yield from`, which take the exception apart in C.
    Interpreter,
    /// A method was called: a Python frame gets the exception, and gives it a traceback.
    Frame,
}

/// Raises `StopIteration(value)`; `value` is owned by the callee.
///
/// # Safety
/// Attached; `value` is a valid, owned reference.
pub(crate) unsafe fn raise_stop_iteration(value: *mut ffi::PyObject, taker: Taker) {
    let _ = taker;
    #[cfg(Py_3_12)]
    // SAFETY: attached, and `value` is owned.
    unsafe {
        if taker == Taker::Interpreter && recycled::is_atomic(value) {
            recycled::raise(value);
            return;
        }
    }
    // A tuple or an exception as the value would be taken apart by PyErr_SetObject: build the instance first.
    // SAFETY: attached; ownership as described.
    unsafe {
        let exc = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value);
        ffi::Py_DECREF(value);
        if !exc.is_null() {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, exc);
            ffi::Py_DECREF(exc);
        }
    }
}

/// Has `StopIteration`s with instances of exactly `T`'s class recycled: what `async with` enters, and what is held by
/// the statement until it is left. The class calls [`clear_recycled`] when it is left; there is one such class.
pub fn recycle_for<T: Class>(py: Python<'_>) {
    #[cfg(Py_3_12)]
    recycled::set_outliving(py, class::type_ptr::<T>());
    #[cfg(not(Py_3_12))]
    let _ = py;
}

/// Lets go of the value that the recycled `StopIteration` still holds. Tasks call this after each step.
#[inline]
pub fn clear_recycled(py: Python<'_>) {
    #[cfg(Py_3_12)]
    recycled::clear(py);
    #[cfg(not(Py_3_12))]
    let _ = py;
}
