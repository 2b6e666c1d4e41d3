//! Calls on the hot path: vectorcall without tuples, `send` into a coroutine, the thread's state.

use std::mem::MaybeUninit;

use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::error::Raised;
use crate::obj::Obj;

/// What a coroutine answered.
pub enum Sent {
    /// It yielded.
    Next(Obj),
    /// It returned.
    Return(Obj),
}

/// Arguments that fit in a frame on the stack; with more, it is on the heap.
const FEW: usize = 5;

/// Calls `f` with the arguments as vectorcall takes them: one free word before them lets a bound method put its `self`
/// there instead of copying.
#[inline]
fn with_frame<R>(args: &[Obj], f: impl FnOnce(*const *mut ffi::PyObject, usize) -> R) -> R {
    let flagged = args.len() | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET;
    if args.len() <= FEW {
        let mut frame = [std::ptr::null_mut(); FEW + 1];
        for (word, arg) in frame[1..].iter_mut().zip(args) {
            *word = arg.as_ptr();
        }
        // SAFETY: within the frame.
        return f(unsafe { frame.as_mut_ptr().add(1) }, flagged);
    }
    let mut frame = vec![std::ptr::null_mut()];
    frame.extend(args.iter().map(Obj::as_ptr));
    // SAFETY: within the frame.
    f(unsafe { frame.as_mut_ptr().add(1) }, flagged)
}

/// Calls `callable(*args)` without building a tuple.
///
/// # Errors
/// What the callable raises.
#[inline]
pub fn vectorcall(py: Python<'_>, callable: &Obj, args: &[Obj]) -> PyResult<Obj> {
    with_frame(args, |frame, flagged| {
        // SAFETY: valid objects; the offset flag is true to its word.
        unsafe {
            let result = ffi::PyObject_Vectorcall(callable.as_ptr(), frame, flagged, std::ptr::null_mut());
            if result.is_null() { Err(PyErr::fetch(py)) } else { Ok(Obj::from_owned(result)) }
        }
    })
}

/// As [`vectorcall`], throwing the result away.
///
/// # Errors
/// What the callable raises.
#[inline]
pub fn vectorcall_drop(_py: Python<'_>, callable: &Obj, args: &[Obj]) -> Result<(), Raised> {
    with_frame(args, |frame, flagged| {
        // SAFETY: valid objects; the offset flag is true to its word; the result is owned.
        unsafe {
            let result = ffi::PyObject_Vectorcall(callable.as_ptr(), frame, flagged, std::ptr::null_mut());
            if result.is_null() {
                return Err(Raised::set());
            }
            ffi::Py_DECREF(result);
            Ok(())
        }
    })
}

/// As [`send`] of `None`, for the hot path.
///
/// # Errors
/// What the coroutine raises.
#[inline]
pub fn send_none(_py: Python<'_>, coro: &Obj) -> Result<Sent, Raised> {
    let mut result = std::ptr::null_mut();
    // SAFETY: valid objects, and a place for the result.
    unsafe {
        match ffi::PyIter_Send(coro.as_ptr(), ffi::Py_None(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => Ok(Sent::Next(Obj::from_owned(result))),
            ffi::PySendResult::PYGEN_RETURN => Ok(Sent::Return(Obj::from_owned(result))),
            ffi::PySendResult::PYGEN_ERROR => Err(Raised::set()),
        }
    }
}

/// Sends `value` (or `None`) into a coroutine or iterator.
///
/// # Errors
/// What it raises.
#[inline]
pub fn send(py: Python<'_>, coro: &Obj, value: Option<&Obj>) -> PyResult<Sent> {
    let mut result = std::ptr::null_mut();
    // SAFETY: valid objects, and a place for the result.
    unsafe {
        let value = value.map_or_else(|| ffi::Py_None(), Obj::as_ptr);
        match ffi::PyIter_Send(coro.as_ptr(), value, &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => Ok(Sent::Next(Obj::from_owned(result))),
            ffi::PySendResult::PYGEN_RETURN => Ok(Sent::Return(Obj::from_owned(result))),
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}

/// Whether `obj` is a coroutine made by `async def`.
#[inline]
pub fn is_python_coroutine(obj: &Obj) -> bool {
    // SAFETY: a valid object.
    unsafe { ffi::PyCoro_CheckExact(obj.as_ptr()) != 0 }
}

/// Whether `obj` is a generator.
#[inline]
pub fn is_generator(obj: &Obj) -> bool {
    // SAFETY: a valid object.
    unsafe { ffi::PyGen_CheckExact(obj.as_ptr()) != 0 }
}

/// The iterator behind an awaitable: itself for a coroutine, else what `__await__` gives.
///
/// # Errors
/// As an `await`: `TypeError` if `obj` cannot be awaited, `RuntimeError` for a coroutine that is being awaited already.
pub fn await_iter(py: Python<'_>, obj: &Obj) -> PyResult<Obj> {
    // SAFETY: valid objects; `am_await` gives an owned reference or null with an error set.
    unsafe {
        let ty = obj.type_ptr();
        if ffi::PyCoro_CheckExact(obj.as_ptr()) != 0 {
            // What awaits it holds it: with one reference, which is the caller's, there is no such thing.
            if obj.refcount() > 1 && !obj.bind(py).getattr(pyo3::intern!(py, "cr_await"))?.is_none() {
                return Err(PyRuntimeError::new_err("coroutine is being awaited already"));
            }
            return Ok(obj.clone());
        }
        let am_await = (!(*ty).tp_as_async.is_null()).then(|| (*(*ty).tp_as_async).am_await).flatten();
        if let Some(am_await) = am_await {
            let iter = am_await(obj.as_ptr());
            if iter.is_null() {
                return Err(PyErr::fetch(py));
            }
            let iter = Obj::from_owned(iter);
            // What `await` itself makes sure of.
            if is_python_coroutine(&iter) || is_iterable_coroutine(&iter)? {
                return Err(PyTypeError::new_err("__await__() returned a coroutine"));
            }
            if ffi::PyIter_Check(iter.as_ptr()) == 0 {
                let name = iter.bind(py).get_type().name()?;
                return Err(PyTypeError::new_err(format!(
                    "__await__() returned non-iterator of type '{name}'"
                )));
            }
            return Ok(iter);
        }
    }
    if is_iterable_coroutine(obj)? {
        return Ok(obj.clone());
    }
    let name = obj.bind(py).get_type().name()?;
    // The interpreter's words for `await`.
    Err(PyTypeError::new_err(if cfg!(Py_3_14) {
        format!("'{name}' object can't be awaited")
    } else {
        format!("object {name} can't be used in 'await' expression")
    }))
}

/// Whether `obj` is a generator made awaitable by `types.coroutine`.
fn is_iterable_coroutine(obj: &Obj) -> PyResult<bool> {
    const CO_ITERABLE_COROUTINE: i64 = 0x100;
    if !is_generator(obj) {
        return Ok(false);
    }
    let code = obj.bind(obj.py()).getattr(pyo3::intern!(obj.py(), "gi_code"))?;
    Ok(code.getattr("co_flags")?.extract::<i64>()? & CO_ITERABLE_COROUTINE != 0)
}

/// Contexts and other state of the running thread.
pub struct ThreadState;

impl ThreadState {
    /// `threading.get_ident()`.
    #[inline]
    pub fn ident() -> u64 {
        // SAFETY: may be called from any thread. CPython's own function is this one behind two jumps.
        unsafe { libc::pthread_self() as u64 }
    }
}

/// The contents of an exact or derived `bytes` object; they never change.
#[inline]
pub fn bytes_of(obj: &Obj) -> Option<&[u8]> {
    // SAFETY: the check shows the layout; bytes are immutable and live as long as the object.
    unsafe {
        if ffi::PyBytes_Check(obj.as_ptr()) == 0 {
            return None;
        }
        let data = ffi::PyBytes_AS_STRING(obj.as_ptr()).cast::<u8>();
        Some(std::slice::from_raw_parts(data, ffi::Py_SIZE(obj.as_ptr()) as usize))
    }
}

unsafe extern "C" {
    // Public C API in spite of its name; PyO3 does not declare it.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, len: ffi::Py_ssize_t) -> std::ffi::c_int;
}

/// A new `bytes` object, filled in place: `fill` writes to the front of `capacity` bytes and returns how many it wrote.
/// What is received in bulk is so copied once, by the kernel.
///
/// # Errors
/// `MemoryError`; the inner result is what `fill` answers.
///
/// # Panics
/// If `fill` claims more than there is.
pub fn new_bytes<E>(
    py: Python<'_>,
    capacity: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> Result<usize, E>,
) -> PyResult<Result<Obj, E>> {
    // SAFETY: attached; without a source the contents are left as they are.
    let mut raw = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), capacity as ffi::Py_ssize_t) };
    if raw.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: nobody else knows the object yet, and it has room for `capacity` bytes.
    let room =
        unsafe { std::slice::from_raw_parts_mut(ffi::PyBytes_AS_STRING(raw).cast_mut().cast(), capacity) };
    let filled = match fill(room) {
        Ok(filled) => filled,
        Err(err) => {
            // SAFETY: ours alone.
            unsafe { ffi::Py_DECREF(raw) };
            return Ok(Err(err));
        }
    };
    assert!(filled <= capacity, "{filled} bytes written of {capacity}");
    // SAFETY: nobody else knows the object; what is left of it was written to. It may move.
    unsafe {
        if filled != capacity && _PyBytes_Resize(&raw mut raw, filled as ffi::Py_ssize_t) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Ok(Obj::from_owned(raw)))
    }
}
