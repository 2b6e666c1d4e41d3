//! `asyncio.iscoroutine` and `iscoroutinefunction`, as the running Python's own asyncio has them; and what is done with
//! any coroutine: those written in Rust are recognised, and errors are thrown in.

mod native;

use std::cell::RefCell;

use ferrio_object::{Args, ClassDef, GilStatic, Obj, Sent, Signature, is_generator, is_python_coroutine};
use pyo3::exceptions::{PyBaseException, PyDeprecationWarning, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::warnings;

pub(crate) use native::{
    FILE_NAME, Native, NativeCoroutine, Phase, code, define, executing, finalize, is_native, just_started,
    reused,
};

/// Types found to be coroutines, kept alive so that no other type takes their address. asyncio stops at 100 as well,
/// for programs that make types without end.
static KNOWN: GilStatic<RefCell<Vec<Obj>>> = GilStatic::new(RefCell::new(Vec::new()));
const MOST_KNOWN: usize = 100;

/// The kinds of coroutine that are written in Rust. Each room adds its own: they stand above this file.
static NATIVE: GilStatic<RefCell<Vec<Kind>>> = GilStatic::new(RefCell::new(Vec::new()));

/// A kind of coroutine that is written in Rust.
#[derive(Clone, Copy)]
struct Kind {
    /// Throws an error into `obj`, if it is of this kind.
    throw: fn(obj: &Obj, py: Python<'_>, err: &Obj) -> Option<PyResult<Sent>>,
    /// Looks at `obj`, if it is of this kind.
    look: fn(obj: &Obj, py: Python<'_>) -> Option<Glimpse>,
}

/// What the call graph has to know of a coroutine that is written in Rust.
pub(crate) struct Glimpse {
    pub(crate) phase: Phase,
    pub(crate) qualname: &'static str,
    /// What it waits for; while it runs, what it drives.
    pub(crate) awaited: Option<Obj>,
}

fn look<T: NativeCoroutine>(obj: &Obj, py: Python<'_>) -> Option<Glimpse> {
    let coro = obj.cast_exact::<T>()?;
    let phase = coro.phase();
    let awaited = if phase == Phase::Running { coro.driven(py) } else { coro.awaited(py) };
    Some(Glimpse { phase, qualname: coro.qualname(), awaited })
}

/// Looks at `obj`, if it is a coroutine that is written in Rust.
pub(crate) fn glimpse(py: Python<'_>, obj: &Obj) -> Option<Glimpse> {
    if !is_native(obj) {
        return None;
    }
    NATIVE.get(py).borrow().iter().find_map(|kind| (kind.look)(obj, py))
}

/// Adds the class of a kind of coroutine to the extension, and makes it known.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add_class<T: NativeCoroutine>(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let throw = |obj: &Obj, py: Python<'_>, exc: &Obj| {
        obj.cast_exact::<T>().map(|coro| native::throw_error(coro, py, ferrio_object::raise(py, exc)))
    };
    NATIVE.get(module.py()).borrow_mut().push(Kind { throw, look: look::<T> });
    ClassDef::add::<T>(module)
}

/// Whether `obj` is a coroutine: what a task can drive.
#[inline]
pub(crate) fn is_coroutine(py: Python<'_>, bound: &Bound<'_, PyAny>) -> PyResult<bool> {
    let obj = Obj::of(bound);
    if is_python_coroutine(obj) || is_native(obj) {
        return Ok(true);
    }
    is_coroutine_like(py, bound)
}

/// `collections.abc.Coroutine`, and on 3.11 the generators of the old days.
fn is_coroutine_like(py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    let class = obj.get_type();
    if KNOWN.get(py).borrow().iter().any(|known| known.is_bound(&class)) {
        return Ok(true);
    }
    if !cfg!(Py_3_12) && is_generator(&obj.into()) {
        return Ok(true);
    }
    let abc = crate::imported::module(py, "collections.abc")?.getattr("Coroutine")?;
    if !obj.is_instance(&abc)? {
        return Ok(false);
    }
    // A mock may say by `__class__` that it is one; only its type's word is worth remembering.
    if class.is_subclass(&abc)? {
        let mut known = KNOWN.get(py).borrow_mut();
        if known.len() < MOST_KNOWN {
            known.push(class.into());
        }
    }
    Ok(true)
}

pub(crate) fn py_iscoroutine(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    let [obj] = args.bind(&Signature::new("iscoroutine", ["obj"]))?;
    obj.map_or(Ok(false), |obj| is_coroutine(py, obj))
}

/// Whether calling `func` gives a coroutine, by `inspect` or by the mark that `asyncio.coroutine` used to put on it.
pub(crate) fn is_coroutine_function(py: Python<'_>, func: &Bound<'_, PyAny>) -> PyResult<bool> {
    if crate::imported::module(py, "inspect")?.call_method1("iscoroutinefunction", (func,))?.is_truthy()? {
        return Ok(true);
    }
    let Some(mark) = func.getattr_opt("_is_coroutine")? else { return Ok(false) };
    Ok(mark.is(&py.import("ferrio.coroutines")?.getattr("_is_coroutine")?))
}

pub(crate) fn py_iscoroutinefunction(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    let [func] = args.bind(&Signature::new("iscoroutinefunction", ["func"]))?;
    if cfg!(Py_3_14) {
        let message = "'asyncio.iscoroutinefunction' is deprecated and slated for removal in Python 3.16; use \
                       inspect.iscoroutinefunction() instead";
        warnings::warn::<PyDeprecationWarning>(py, message)?;
    }
    func.map_or(Ok(false), |func| is_coroutine_function(py, func))
}

/// The error that `throw(type[, value[, traceback]])` asks to raise.
///
/// # Errors
/// `TypeError` for arguments that `throw` does not take.
pub(crate) fn thrown_error(py: Python<'_>, args: &Args<'_, '_>) -> PyResult<PyErr> {
    let (Some(kind), value, traceback) = (args.get(0), args.get(1), args.get(2)) else {
        return Err(PyTypeError::new_err("throw() takes at least 1 argument"));
    };
    if args.len() > 3 || args.has_keywords() {
        return Err(PyTypeError::new_err("throw() takes at most 3 positional arguments"));
    }
    if cfg!(Py_3_12) && args.len() > 1 {
        let message =
            c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
        PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyDeprecationWarning>(), message, 1)?;
    }
    let traceback = traceback.filter(|traceback| !traceback.is_none());
    if let Some(traceback) = traceback
        && !traceback.is_instance_of::<pyo3::types::PyTraceback>()
    {
        return Err(PyTypeError::new_err("throw() third argument must be a traceback object"));
    }
    let value = value.filter(|value| !value.is_none());
    let exc = if let Ok(class) = kind.cast::<PyType>().map_err(drop).and_then(|class| {
        class.is_subclass_of::<PyBaseException>().ok().filter(|is| *is).map(|_| class).ok_or(())
    }) {
        match value {
            Some(value) if value.is_instance(class)? => value.clone(),
            Some(value) => match value.cast::<pyo3::types::PyTuple>() {
                Ok(args) => class.call1(args.clone())?,
                Err(_) => class.call1((value,))?,
            },
            None => class.call0()?,
        }
    } else if kind.is_instance_of::<PyBaseException>() {
        if value.is_some() {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        kind.clone()
    } else {
        let name = kind.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "exceptions must be classes or instances deriving from BaseException, not {name}"
        )));
    };
    if let Some(traceback) = traceback {
        exc.setattr("__traceback__", traceback)?;
    }
    Ok(PyErr::from_value(exc))
}

/// Throws `err` into a coroutine or iterator.
///
/// # Errors
/// What comes out of it.
pub(crate) fn throw_into(py: Python<'_>, target: &Obj, err: PyErr) -> PyResult<Sent> {
    let exc = crate::exceptions::value_of(py, err);
    if is_native(target) {
        // What is thrown runs Python code: the list is not borrowed meanwhile.
        let mut next = 0;
        loop {
            let kind = NATIVE.get(py).borrow().get(next).copied();
            let Some(kind) = kind else { break };
            if let Some(thrown) = (kind.throw)(target, py, &exc) {
                return thrown;
            }
            next += 1;
        }
    }
    let Some(throw) = target.bind(py).getattr_opt(intern!(py, "throw"))? else {
        return Err(ferrio_object::raise(py, &exc));
    };
    match throw.call1((&exc,)) {
        Ok(yielded) => Ok(Sent::Next(yielded.into())),
        Err(err) => stop_value(py, err).map(Sent::Return),
    }
}

/// Closes what is awaited, if it can be closed.
///
/// # Errors
/// What its `close` raises.
pub(crate) fn close_iterator(py: Python<'_>, iterator: &Obj) -> PyResult<()> {
    if let Some(close) = iterator.bind(py).getattr_opt(intern!(py, "close"))? {
        close.call0()?;
    }
    Ok(())
}

/// The value of a `StopIteration`; any other error stays one.
fn stop_value(py: Python<'_>, err: PyErr) -> PyResult<Obj> {
    if err.is_instance_of::<pyo3::exceptions::PyStopIteration>(py) {
        return Ok(err.value(py).getattr(intern!(py, "value"))?.into());
    }
    Err(err)
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Native>(module)?;
    ClassDef::function(
        module,
        "iscoroutine",
        py_iscoroutine,
        "iscoroutine(obj)\n--\n\nWhether obj is a coroutine object.",
    )?;
    ClassDef::function(
        module,
        "iscoroutinefunction",
        py_iscoroutinefunction,
        "iscoroutinefunction(func)\n--\n\nWhether func is a coroutine function (deprecated since 3.14).",
    )?;
    // The mark: an object of its own.
    let object = module.py().import("builtins")?.getattr("object")?;
    module.add("_is_coroutine", object.call0()?)
}
