//! `asyncio.iscoroutine` and `iscoroutinefunction`, as the running Python's own asyncio has them.

use std::cell::RefCell;

use ferrio_object::{Args, GilStatic, Obj, Signature, is_generator, is_python_coroutine};
use pyo3::exceptions::PyDeprecationWarning;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Types found to be coroutines, kept alive so that no other type takes their address. asyncio stops at 100 as well,
/// for programs that make types without end.
static KNOWN: GilStatic<RefCell<Vec<Obj>>> = GilStatic::new(RefCell::new(Vec::new()));
const MOST_KNOWN: usize = 100;

/// Whether `obj` is a coroutine: what a task can drive.
#[inline]
pub(crate) fn is_coroutine(py: Python<'_>, bound: &Bound<'_, PyAny>) -> PyResult<bool> {
    let obj = Obj::of(bound);
    if is_python_coroutine(obj) || crate::coro::is_native(obj) {
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
    let abc = crate::library::module(py, "collections.abc")?.getattr("Coroutine")?;
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
    if crate::library::module(py, "inspect")?.call_method1("iscoroutinefunction", (func,))?.is_truthy()? {
        return Ok(true);
    }
    let Some(mark) = func.getattr_opt("_is_coroutine")? else { return Ok(false) };
    Ok(mark.is(&py.import("ferrio.coroutines")?.getattr("_is_coroutine")?))
}

pub(crate) fn py_iscoroutinefunction(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    let [func] = args.bind(&Signature::new("iscoroutinefunction", ["func"]))?;
    if cfg!(Py_3_14) {
        let kwargs = PyDict::new(py);
        kwargs.set_item("stacklevel", 1)?;
        let message = "'asyncio.iscoroutinefunction' is deprecated and slated for removal in Python 3.16; use \
                       inspect.iscoroutinefunction() instead";
        let category = py.get_type::<PyDeprecationWarning>();
        crate::library::module(py, "warnings")?.call_method("warn", (message, category), Some(&kwargs))?;
    }
    func.map_or(Ok(false), |func| is_coroutine_function(py, func))
}

/// The mark: an object of its own.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add_mark(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let object = module.py().import("builtins")?.getattr("object")?;
    module.add("_is_coroutine", object.call0()?)
}
