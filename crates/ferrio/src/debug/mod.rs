//! Debug mode, and how callbacks, coroutines and stacks are shown.

mod check;
mod format;
mod stack;

pub(crate) use check::{check_callback, is_debug_mode, py_is_debug_mode};
pub(crate) use format::{
    ReprGuard, format_arguments, format_callback, format_callback_source, format_coroutine,
    py_format_args_and_kwargs, py_format_callback, py_format_callback_source, py_format_coroutine,
    py_get_function_source,
};
pub(crate) use stack::{extract_stack, py_extract_stack};
