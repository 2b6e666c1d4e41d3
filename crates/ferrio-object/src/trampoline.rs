//! The functions that CPython calls: one shape per calling convention, instantiated per Rust function.
//!
//! A method is given to the builder as a Rust function item, whose type has no size and stands for exactly that
//! function. So a trampoline needs no pointer to it: it is generic over the type and conjures the value.

use std::os::raw::c_int;
use std::ptr::{self, NonNull};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

use crate::args::{Args, Signature};
use crate::boundary::{boundary, boundary_int, entry, raise};
use crate::builder::Class;
use crate::call::Sent;
use crate::class::{self, Layout};
use crate::obj::Obj;
use crate::stop_iteration::{Taker, raise_stop_iteration};

/// A value of a function item's type. `F` must be zero-sized: that is checked at compile time.
#[inline]
pub(crate) fn conjure<F: Copy + 'static>() -> F {
    const { assert!(size_of::<F>() == 0, "methods are function items, not closures with captures") };
    // SAFETY: a zero-sized Copy value is read from any aligned non-null address; the builder was given one, so the
    // type is inhabited.
    unsafe { NonNull::<F>::dangling().read() }
}

/// What a method may return, and how it becomes an object.
pub trait IntoResult {
    /// The object, owned by the caller; null where an error was raised. Not a `PyResult`: that goes through memory, and
    /// LLVM has been seen to take it apart bit by bit on the way (550 instructions in each `async with`).
    fn into_result(self, py: Python<'_>) -> *mut ffi::PyObject;
}

impl IntoResult for () {
    #[inline]
    fn into_result(self, py: Python<'_>) -> *mut ffi::PyObject {
        Obj::none(py).into_ptr()
    }
}

impl IntoResult for bool {
    #[inline]
    fn into_result(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: attached; `True` and `False` are always valid.
        unsafe {
            let obj = if self { ffi::Py_True() } else { ffi::Py_False() };
            ffi::Py_INCREF(obj);
            obj
        }
    }
}

// By constructors of C, which give null with an error set where memory is short. PyO3's own panic then, and that would be
// a `SystemError`.

impl IntoResult for f64 {
    #[inline]
    fn into_result(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: attached.
        unsafe { ffi::PyFloat_FromDouble(self) }
    }
}

macro_rules! int_result {
    ($($int:ty => $from:ident),*) => {$(
        impl IntoResult for $int {
            #[inline]
            fn into_result(self, _py: Python<'_>) -> *mut ffi::PyObject {
                // SAFETY: attached.
                unsafe { ffi::$from(self.into()) }
            }
        }
    )*};
}
int_result!(
    i32 => PyLong_FromLongLong,
    i64 => PyLong_FromLongLong,
    u32 => PyLong_FromUnsignedLongLong,
    u64 => PyLong_FromUnsignedLongLong,
    usize => PyLong_FromSize_t,
    isize => PyLong_FromSsize_t
);

impl IntoResult for &str {
    fn into_result(self, _py: Python<'_>) -> *mut ffi::PyObject {
        // SAFETY: attached; that many bytes of UTF-8.
        unsafe { ffi::PyUnicode_FromStringAndSize(self.as_ptr().cast(), self.len() as isize) }
    }
}

impl IntoResult for String {
    fn into_result(self, py: Python<'_>) -> *mut ffi::PyObject {
        self.as_str().into_result(py)
    }
}

impl<T: 'static> IntoResult for Obj<T> {
    #[inline]
    fn into_result(self, _py: Python<'_>) -> *mut ffi::PyObject {
        self.into_ptr()
    }
}

impl<T: IntoResult> IntoResult for Option<T> {
    #[inline]
    fn into_result(self, py: Python<'_>) -> *mut ffi::PyObject {
        match self {
            Some(value) => value.into_result(py),
            None => Obj::none(py).into_ptr(),
        }
    }
}

impl<T: IntoResult> IntoResult for PyResult<T> {
    #[inline]
    fn into_result(self, py: Python<'_>) -> *mut ffi::PyObject {
        match self {
            Ok(value) => value.into_result(py),
            Err(err) => raise(py, err),
        }
    }
}

// SAFETY of all trampolines below: CPython calls them attached, with `slf` an instance of the class on whose table
// they stand (the descriptor checks that), and with arguments that outlive the call.

pub(crate) unsafe extern "C" fn noargs<T: Class, F, R>(
    slf: *mut ffi::PyObject,
    _unused: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| conjure::<F>()(unsafe { Obj::from_ref(&slf) }, py).into_result(py))
}

pub(crate) unsafe extern "C" fn onearg<T: Class, F, R>(
    slf: *mut ffi::PyObject,
    arg: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| unsafe {
        conjure::<F>()(Obj::from_ref(&slf), py, Bound::ref_from_ptr(py, &arg)).into_result(py)
    })
}

/// As [`onearg`] for an argument that has a name.
pub(crate) unsafe extern "C" fn named<T: Class, F, S, R>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>) -> R + Copy + 'static,
    S: Fn() -> Signature<1> + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| unsafe {
        let args = Args::from_fastcall(py, args, nargs as usize, kwnames);
        let arg = match args.get(0) {
            Some(arg) if nargs == 1 && !args.has_keywords() => arg,
            _ => match by_name(args, &conjure::<S>()()) {
                Ok(arg) => arg,
                Err(err) => return raise(py, err),
            },
        };
        conjure::<F>()(Obj::from_ref(&slf), py, arg).into_result(py)
    })
}

#[cold]
fn by_name<'a, 'py: 'a>(args: Args<'a, 'py>, signature: &Signature<1>) -> PyResult<&'a Bound<'py, PyAny>> {
    let [arg] = args.bind(signature)?;
    // `bind` refuses a call without it.
    arg.ok_or_else(|| PyTypeError::new_err("an argument is required"))
}

pub(crate) unsafe extern "C" fn fastcall<T: Class, F, R>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| unsafe {
        let args = Args::from_fastcall(py, args, nargs as usize, kwnames);
        conjure::<F>()(Obj::from_ref(&slf), py, args).into_result(py)
    })
}

/// For class methods (`slf` is the class), static methods and functions of a module (`slf` is not looked at).
pub(crate) unsafe extern "C" fn plain<F, R>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    let _ = slf;
    // SAFETY: called by the interpreter, as said above.
    entry(|py| unsafe {
        let args = Args::from_fastcall(py, args, nargs as usize, kwnames);
        conjure::<F>()(py, args).into_result(py)
    })
}

pub(crate) unsafe extern "C" fn class_getitem(
    cls: *mut ffi::PyObject,
    item: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, as said above.
    unsafe { ffi::Py_GenericAlias(cls, item) }
}

pub(crate) unsafe extern "C" fn getter<T: Class, F, R>(
    slf: *mut ffi::PyObject,
    _closure: *mut std::os::raw::c_void,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| conjure::<F>()(unsafe { Obj::from_ref(&slf) }, py).into_result(py))
}

pub(crate) unsafe extern "C" fn descr_get<T: Class, F, R>(
    slf: *mut ffi::PyObject,
    _instance: *mut ffi::PyObject,
    _class: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| conjure::<F>()(unsafe { Obj::from_ref(&slf) }, py).into_result(py))
}

/// `value` is `None` when the attribute is deleted.
pub(crate) unsafe extern "C" fn setter<T: Class, F>(
    slf: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _closure: *mut std::os::raw::c_void,
) -> c_int
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Option<&'a Bound<'py, PyAny>>) -> PyResult<()>
        + Copy
        + 'static,
{
    boundary_int(|py| {
        // SAFETY: called by the interpreter, as said above.
        unsafe {
            let value = (!value.is_null()).then(|| Bound::ref_from_ptr(py, &value));
            conjure::<F>()(Obj::from_ref(&slf), py, value).map(|()| 0)
        }
    }) as c_int
}

pub(crate) unsafe extern "C" fn init<T: Class, F>(
    slf: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> c_int
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> PyResult<()> + Copy + 'static,
{
    boundary_int(|py| {
        // SAFETY: called by the interpreter, as said above.
        unsafe {
            let this = Obj::from_ref(&slf);
            Args::with_tuple(py, args, kwargs, |args| conjure::<F>()(this, py, args)).map(|()| 0)
        }
    }) as c_int
}

/// `tp_vectorcall` of the class itself: `Class(...)` without a tuple and a dict. Never inherited by subclasses.
pub(crate) unsafe extern "C" fn construct<T: Class, F>(
    ty: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> PyResult<()> + Copy + 'static,
{
    let _ = ty;
    boundary(|py| {
        let this = crate::lifecycle::create::<T>(py, T::blank_chain)?;
        // SAFETY: called by the interpreter, as said above.
        let args =
            unsafe { Args::from_fastcall(py, args, ffi::PyVectorcall_NARGS(nargsf) as usize, kwnames) };
        // The arguments outlive the call, the new object does not outlive `this`: two lifetimes, one bound.
        conjure::<F>()(&this, py, args)?;
        Ok(this.into_ptr())
    })
}

pub(crate) unsafe extern "C" fn call<T: Class, F, R>(
    slf: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| unsafe {
        let this = Obj::from_ref(&slf);
        Args::with_tuple(py, args, kwargs, |args| Ok(conjure::<F>()(this, py, args).into_result(py)))
            .unwrap_or_else(|err| raise(py, err))
    })
}

/// `tp_repr`, `tp_iter`, `am_await`, `am_aiter`, `am_anext`.
pub(crate) unsafe extern "C" fn unary<T: Class, F, R>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| conjure::<F>()(unsafe { Obj::from_ref(&slf) }, py).into_result(py))
}

pub(crate) unsafe extern "C" fn itself(slf: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter, as said above.
    unsafe { ffi::Py_INCREF(slf) };
    slf
}

/// As [`itself`], if the contents are such that it may be given. There is no boundary in the way of that: it goes no
/// deeper.
pub(crate) unsafe extern "C" fn itself_if<T: Class, P, E>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    P: for<'a> Fn(&'a T) -> bool + Copy + 'static,
    E: Fn() -> PyErr + Copy + 'static,
{
    // SAFETY: called by the interpreter, as said above.
    unsafe {
        if !conjure::<P>()(class::contents::<T>(slf)) {
            return refused(conjure::<E>());
        }
        ffi::Py_INCREF(slf);
    }
    slf
}

#[cold]
fn refused(error: impl Fn() -> PyErr) -> *mut ffi::PyObject {
    boundary(|_py| Err(error()))
}

/// `sq_length`, `nb_bool`.
pub(crate) unsafe extern "C" fn length<T: Class, F>(slf: *mut ffi::PyObject) -> ffi::Py_ssize_t
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> PyResult<usize> + Copy + 'static,
{
    // SAFETY: called by the interpreter, as said above.
    boundary_int(|py| conjure::<F>()(unsafe { Obj::from_ref(&slf) }, py).map(|n| n as isize))
}

/// `sq_item`.
pub(crate) unsafe extern "C" fn item<T: Class, F>(
    slf: *mut ffi::PyObject,
    index: ffi::Py_ssize_t,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, isize) -> PyResult<Option<Obj>> + Copy + 'static,
{
    // SAFETY: see above.
    boundary(|py| match conjure::<F>()(unsafe { Obj::from_ref(&slf) }, py, index)? {
        Some(obj) => Ok(obj.into_ptr()),
        None => Err(pyo3::exceptions::PyIndexError::new_err("index out of range")),
    })
}

/// `tp_richcompare`.
pub(crate) unsafe extern "C" fn richcompare<T: Class, F>(
    slf: *mut ffi::PyObject,
    other: *mut ffi::PyObject,
    op: c_int,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>, CompareOp) -> PyResult<Option<bool>>
        + Copy
        + 'static,
{
    boundary(|py| {
        let op = match op {
            ffi::Py_LT => CompareOp::Lt,
            ffi::Py_LE => CompareOp::Le,
            ffi::Py_EQ => CompareOp::Eq,
            ffi::Py_NE => CompareOp::Ne,
            ffi::Py_GT => CompareOp::Gt,
            _ => CompareOp::Ge,
        };
        // SAFETY: called by the interpreter, as said above.
        let answer = unsafe { conjure::<F>()(Obj::from_ref(&slf), py, Bound::ref_from_ptr(py, &other), op)? };
        match answer {
            Some(answer) => Ok(answer.into_result(py)),
            None => Ok(py.NotImplemented().into_ptr()),
        }
    })
}

/// `tp_hash`; -1 is the error mark and therefore never a hash.
pub(crate) unsafe extern "C" fn hash<T: Class, F>(slf: *mut ffi::PyObject) -> ffi::Py_hash_t
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> PyResult<isize> + Copy + 'static,
{
    boundary_int(|py| {
        // SAFETY: called by the interpreter, as said above.
        let this = unsafe { Obj::from_ref(&slf) };
        let hash = conjure::<F>()(this, py)?;
        Ok(if hash == -1 { -2 } else { hash })
    })
}

/// `tp_setattro`: `F` may look at what is set and answers whether it has dealt with it.
pub(crate) unsafe extern "C" fn setattr<T: Class, F>(
    slf: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int
where
    F: for<'a, 'py> Fn(
            &'a Obj<T>,
            Python<'py>,
            &'a Bound<'py, PyAny>,
            Option<&'a Bound<'py, PyAny>>,
        ) -> PyResult<bool>
        + Copy
        + 'static,
{
    boundary_int(|py| {
        // SAFETY: called by the interpreter, as said above.
        unsafe {
            let set = (!value.is_null()).then(|| Bound::ref_from_ptr(py, &value));
            if conjure::<F>()(Obj::from_ref(&slf), py, Bound::ref_from_ptr(py, &name), set)? {
                return Ok(0);
            }
            match ffi::PyObject_GenericSetAttr(slf, name, value) {
                0 => Ok(0),
                _ => Err(PyErr::fetch(py)),
            }
        }
    }) as c_int
}

/// `am_send`.
pub(crate) unsafe extern "C" fn am_send<T: Class, F>(
    slf: *mut ffi::PyObject,
    arg: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Option<&'a Bound<'py, PyAny>>) -> PyResult<Sent>
        + Copy
        + 'static,
{
    let mut how = ffi::PySendResult::PYGEN_ERROR;
    let obj = entry(|py| {
        // SAFETY: see above; `arg` is a valid object.
        let sent = unsafe { conjure::<F>()(Obj::from_ref(&slf), py, Some(Bound::ref_from_ptr(py, &arg))) };
        match sent {
            Ok(Sent::Next(obj)) => {
                how = ffi::PySendResult::PYGEN_NEXT;
                obj.into_ptr()
            }
            Ok(Sent::Return(obj)) => {
                how = ffi::PySendResult::PYGEN_RETURN;
                obj.into_ptr()
            }
            Err(err) => raise(py, err),
        }
    });
    // SAFETY: the caller's place for the result.
    unsafe { *result = obj };
    how
}

#[inline]
fn sent_to_object(py: Python<'_>, sent: PyResult<Sent>, taker: Taker) -> *mut ffi::PyObject {
    match sent {
        Ok(Sent::Next(obj)) => obj.into_ptr(),
        Ok(Sent::Return(value)) => {
            // `tp_iternext` may end without an exception, which stands for StopIteration(None).
            if taker == Taker::Frame || !value.is_none() {
                // SAFETY: attached; the value is handed over.
                unsafe { raise_stop_iteration(value.into_ptr(), taker) };
            }
            ptr::null_mut()
        }
        Err(err) => raise(py, err),
    }
}

/// `tp_iternext` of something that has `am_send`.
pub(crate) unsafe extern "C" fn iternext_send<T: Class, F>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Option<&'a Bound<'py, PyAny>>) -> PyResult<Sent>
        + Copy
        + 'static,
{
    entry(|py| {
        // SAFETY: called by the interpreter, as said above.
        let this = unsafe { Obj::from_ref(&slf) };
        let sent = conjure::<F>()(this, py, None);
        sent_to_object(py, sent, Taker::Interpreter)
    })
}

/// `send()` of something that has `am_send`.
pub(crate) unsafe extern "C" fn send_method<T: Class, F>(
    slf: *mut ffi::PyObject,
    arg: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Option<&'a Bound<'py, PyAny>>) -> PyResult<Sent>
        + Copy
        + 'static,
{
    entry(|py| {
        // SAFETY: called by the interpreter, as said above.
        let (this, arg) = unsafe { (Obj::from_ref(&slf), Bound::ref_from_ptr(py, &arg)) };
        let sent = conjure::<F>()(this, py, Some(arg));
        sent_to_object(py, sent, Taker::Frame)
    })
}

/// `throw()` of a coroutine: what it yields or returns next, as `send()` would give it.
pub(crate) unsafe extern "C" fn throw_method<T: Class, F>(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> PyResult<Sent> + Copy + 'static,
{
    // SAFETY: called by the interpreter, as said above.
    entry(|py| unsafe {
        let args = Args::from_fastcall(py, args, nargs as usize, kwnames);
        let sent = conjure::<F>()(Obj::from_ref(&slf), py, args);
        sent_to_object(py, sent, Taker::Frame)
    })
}

/// `tp_iternext` of a plain iterator: `None` ends it.
pub(crate) unsafe extern "C" fn iternext<T: Class, F>(slf: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> PyResult<Option<Obj>> + Copy + 'static,
{
    boundary(|py| {
        // SAFETY: called by the interpreter, as said above.
        let this = unsafe { Obj::from_ref(&slf) };
        Ok(conjure::<F>()(this, py)?.map_or(ptr::null_mut(), Obj::into_ptr))
    })
}
