//! What `unittest.mock` takes for a function written in Python.
//!
//! Most of asyncio's methods are such functions, and a mock with `autospec` treats those in a way of its own: it is given the
//! object, checks the arguments, and is a function itself. Ours are method descriptors, which calls are fastest with.
//! So mock's own question, an `isinstance` with its `FunctionTypes`, is answered for them (`python/ferrio/_mocks.py`).

use ferrio_object::{Args, ClassDef, Signature};
use pyo3::prelude::*;

use crate::future::Future;
use crate::task::Task;

/// `_is_function_to_mock(object)`: a method of ours that is one in Python in asyncio. Those of futures and tasks are in C there
/// as well.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(crate) fn py_is_function_to_mock(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    let [object] = args.bind(&Signature::new("_is_function_to_mock", ["object"]))?;
    let Some(class) = object.and_then(ClassDef::class_of_method) else { return Ok(false) };
    Ok(!class.is(ClassDef::type_object::<Future>(py).bind(py))
        && !class.is(ClassDef::type_object::<Task>(py).bind(py)))
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_is_function_to_mock",
        py_is_function_to_mock,
        "_is_function_to_mock(object)\n--\n\nWhether it is a native method that is written in Python in asyncio.",
    )
}
