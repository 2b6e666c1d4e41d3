//! The methods that programs call all the time, as the own ones of the Python classes that everybody has instances of:
//! see [`ClassDef::rebind_methods`].
//!
//! Only those, and only where asyncio's own class has them: what is put on a base class afterwards is not seen any more.

use ferrio_object::{Args, ClassDef, Signature};
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::event_loop::Loop;
use crate::transports::StreamTransport;

const LOOP: [&str; 6] =
    ["call_soon", "call_soon_threadsafe", "call_later", "call_at", "time", "create_future"];
const TRANSPORT: [&str; 2] = ["write", "writelines"];

/// `_rebind_methods(class)`: `class` is derived from a loop of ours or from a stream transport.
///
/// # Errors
/// `TypeError` if `class` is neither.
pub(crate) fn py_rebind_methods(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [class] = args.bind(&Signature::new("_rebind_methods", ["class"]))?;
    let Some(class) = class else { return Ok(()) };
    let class = class.cast::<PyType>()?;
    if class.is_subclass(ClassDef::type_object::<Loop>(py).bind(py))? {
        ClassDef::rebind_methods::<Loop>(class, &LOOP)
    } else {
        ClassDef::rebind_methods::<StreamTransport>(class, &TRANSPORT)
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_rebind_methods",
        py_rebind_methods,
        "_rebind_methods(class)\n--\n\nMake the hot methods of a loop or transport class its own.",
    )
}
