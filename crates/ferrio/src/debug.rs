//! Debug mode, and how callbacks, coroutines and stacks are shown.

mod check;
mod format;
mod stack;

pub(crate) use check::{
    Shown, check_callback, check_thread, is_debug_mode, py_is_debug_mode, thread_id, track_coroutine_origins,
};
pub(crate) use format::{
    ReprGuard, format_arguments, format_callback, format_callback_source, format_coroutine,
    py_format_args_and_kwargs, py_format_callback, py_format_callback_source, py_format_coroutine,
    py_get_function_source,
};
pub(crate) use stack::{
    extract_stack, log_error, log_handled, py_extract_stack, task_get_stack, task_print_stack,
};
