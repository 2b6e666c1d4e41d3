//! The one path between Rust's `Result` and the interpreter's error indicator.

use std::any::Any as StdAny;
use std::ffi::CString;
use std::marker::PhantomData;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::obj::Obj;

/// Raises the `SystemError` that the Python caller gets for a caught panic. By C calls alone: this runs outside of
/// what catches panics, and nothing here may panic for want of memory.
#[cold]
pub(crate) fn raise_panic(payload: &(dyn StdAny + Send)) {
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of unknown kind");
    // So PyO3 puts it when a constructor of C gives nothing, which it does only for want of memory.
    if what == "PyObject pointer is null" || what == "Python API call failed" {
        // SAFETY: attached, as whatever panicked was.
        unsafe { ffi::PyErr_NoMemory() };
        return;
    }
    let message = format!("ferrio panicked: {what}").replace('\0', " ");
    let message = CString::new(message).unwrap_or_default();
    // SAFETY: attached, as whatever panicked was; a NUL-terminated UTF-8 string.
    unsafe { ffi::PyErr_SetString(ffi::PyExc_SystemError, message.as_ptr()) };
}

/// An error that stays in the interpreter's indicator, as in C: `Result<T, Raised>` fits into registers where a
/// `PyResult` goes through memory. For the few functions of the hot path; they hand it on at once, or take the error
/// out with [`Raised::take`] before anything else is called.
#[must_use]
pub struct Raised(PhantomData<*mut ffi::PyObject>);

impl Raised {
    /// The interpreter has just reported an error.
    #[inline]
    pub(crate) fn set() -> Raised {
        Raised(PhantomData)
    }

    /// Takes the error out of the indicator.
    #[cold]
    pub fn take(self, py: Python<'_>) -> PyErr {
        PyErr::fetch(py)
    }
}

impl From<Raised> for PyErr {
    #[cold]
    fn from(raised: Raised) -> PyErr {
        // SAFETY: an error was raised on this thread a moment ago, so it is attached; `Raised` does not leave it.
        raised.take(unsafe { Python::assume_attached() })
    }
}

impl From<PyErr> for Raised {
    #[cold]
    fn from(err: PyErr) -> Raised {
        // SAFETY: may be asked on any thread.
        let attached = unsafe { ffi::PyGILState_Check() } == 1;
        assert!(attached, "an error can be raised on an attached thread only");
        // SAFETY: attached.
        err.restore(unsafe { Python::assume_attached() });
        Raised(PhantomData)
    }
}

/// A `PyErr` that raises `exc`, an exception instance (or class), as `raise exc` would.
pub fn raise(py: Python<'_>, exc: &Obj) -> PyErr {
    PyErr::from_value(exc.bind(py).clone())
}

/// The exception object of an error, with its traceback.
///
/// By way of the indicator: a `PyErr` that is dropped while PyO3 does not know that the thread is attached (the
/// interpreter called us, not PyO3) keeps its exception, and every frame of the traceback, alive until some later
/// day; one that is restored hands its references over.
pub fn value_of(py: Python<'_>, err: PyErr) -> Obj {
    err.restore(py);
    #[cfg(Py_3_12)]
    // SAFETY: attached; the indicator has just been set, and the reference is ours.
    unsafe {
        Obj::from_owned(pyo3::ffi::PyErr_GetRaisedException())
    }
    #[cfg(not(Py_3_12))]
    // SAFETY: attached; the indicator has just been set. After normalising, the value is an exception instance; all
    // three references are ours, and the traceback's is given back once the exception has its own.
    unsafe {
        let mut kind = std::ptr::null_mut();
        let mut value = std::ptr::null_mut();
        let mut traceback = std::ptr::null_mut();
        pyo3::ffi::PyErr_Fetch(&raw mut kind, &raw mut value, &raw mut traceback);
        pyo3::ffi::PyErr_NormalizeException(&raw mut kind, &raw mut value, &raw mut traceback);
        if !traceback.is_null() {
            pyo3::ffi::PyException_SetTraceback(value, traceback);
            pyo3::ffi::Py_DECREF(traceback);
        }
        pyo3::ffi::Py_XDECREF(kind);
        Obj::from_owned(value)
    }
}

/// Drops an error that is deliberately not passed on; the caller says why.
pub fn swallow(py: Python<'_>, err: PyErr) {
    drop(value_of(py, err));
}

/// Sets an exception's `__cause__`, as `raise … from cause` does.
pub fn set_cause(_py: Python<'_>, exc: &Obj, cause: Option<&Obj>) {
    // SAFETY: attached; `exc` is an exception instance as checked; SetCause steals a reference to the cause.
    unsafe {
        if pyo3::ffi::PyExceptionInstance_Check(exc.as_ptr()) != 0 {
            let cause = cause.map_or(std::ptr::null_mut(), |cause| cause.clone().into_ptr());
            pyo3::ffi::PyException_SetCause(exc.as_ptr(), cause);
        }
    }
}

/// Runs `f` with the error indicator clear, and puts back afterwards what was in it. For finalizers, which may run
/// in the middle of an unwinding.
pub fn with_saved_error<R>(_py: Python<'_>, f: impl FnOnce() -> R) -> R {
    /// Puts the error back even if `f` panics.
    #[cfg(Py_3_12)]
    struct Saved(*mut ffi::PyObject);
    #[cfg(not(Py_3_12))]
    struct Saved([*mut ffi::PyObject; 3]);

    impl Drop for Saved {
        fn drop(&mut self) {
            // SAFETY: attached (the guard does not leave the function below); the references are given back once.
            unsafe {
                #[cfg(Py_3_12)]
                ffi::PyErr_SetRaisedException(self.0);
                #[cfg(not(Py_3_12))]
                ffi::PyErr_Restore(self.0[0], self.0[1], self.0[2]);
            }
        }
    }

    // Not by way of `PyErr`: taking one normalises it, which can run code, and goes on with a panic it finds.
    // SAFETY: attached; what is taken out is owned.
    let _saved = unsafe {
        #[cfg(Py_3_12)]
        {
            Saved(ffi::PyErr_GetRaisedException())
        }
        #[cfg(not(Py_3_12))]
        {
            let mut parts = [std::ptr::null_mut(); 3];
            let [ty, value, traceback] = &mut parts;
            ffi::PyErr_Fetch(ty, value, traceback);
            Saved(parts)
        }
    };
    f()
}

/// The exception that is being handled (`sys.exception()`), if any.
pub fn handled_exception(py: Python<'_>) -> Option<Obj> {
    // SAFETY: attached; gives an owned reference, or null when nothing is handled.
    unsafe {
        let exc = ffi::PyErr_GetHandledException();
        if exc.is_null() {
            return None;
        }
        let exc: Bound<'_, PyAny> = Bound::from_owned_ptr(py, exc);
        (!exc.is_none()).then(|| Obj::from(exc))
    }
}

/// Runs `f` while `exc` is the exception being handled, as inside of an `except` clause.
pub fn with_handled<R>(py: Python<'_>, exc: &Obj, f: impl FnOnce() -> R) -> R {
    struct PutBack(*mut pyo3::ffi::PyObject);
    impl Drop for PutBack {
        fn drop(&mut self) {
            // SAFETY: attached (the guard does not leave `with_handled`); gives back what was there and our reference.
            unsafe {
                pyo3::ffi::PyErr_SetHandledException(self.0);
                pyo3::ffi::Py_XDECREF(self.0);
            }
        }
    }
    // SAFETY: attached; `Get` gives an owned reference, `Set` takes its own to a valid object.
    let _put_back = unsafe {
        let before = PutBack(pyo3::ffi::PyErr_GetHandledException());
        pyo3::ffi::PyErr_SetHandledException(exc.as_ptr());
        before
    };
    let _ = py;
    f()
}

/// Sets an exception's `__context__` without the normalisation that `raise` would do.
pub fn restore_context(py: Python<'_>, exc: &Obj, context: Option<&Obj>) {
    // SAFETY: attached; `exc` is an exception instance as checked; SetContext steals a reference to the context.
    unsafe {
        if ffi::PyExceptionInstance_Check(exc.as_ptr()) != 0 {
            let context = context.map_or(std::ptr::null_mut(), |c| c.clone().into_ptr());
            ffi::PyException_SetContext(exc.as_ptr(), context);
        }
    }
    let _ = py;
}
