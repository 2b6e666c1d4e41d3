//! Debug mode, and how callbacks, coroutines and stacks are shown.

mod check;
mod format;
mod stack;

pub(crate) use check::{check_callback, is_debug_mode};
pub(crate) use format::{
    ReprGuard, format_arguments, format_callback, format_callback_source, format_coroutine,
};
pub(crate) use stack::extract_stack;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(module, "_is_debug_mode", check::py_is_debug_mode, "_is_debug_mode()\n--\n\n")?;
    ClassDef::function(module, "_get_function_source", format::py_get_function_source, "")?;
    ClassDef::function(module, "_format_callback_source", format::py_format_callback_source, "")?;
    ClassDef::function(module, "_format_callback", format::py_format_callback, "")?;
    ClassDef::function(module, "_format_args_and_kwargs", format::py_format_args_and_kwargs, "")?;
    ClassDef::function(module, "_format_coroutine", format::py_format_coroutine, "")?;
    ClassDef::function(
        module,
        "extract_stack",
        stack::py_extract_stack,
        "extract_stack(f=None, limit=None)\n--\n\nA traceback.StackSummary of the current stack.",
    )
}
