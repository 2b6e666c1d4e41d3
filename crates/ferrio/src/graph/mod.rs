//! The call graph (since asyncio 3.14, here on every Python): which frames a task stands in, and what awaits it.
//!
//! `capture.rs` collects, `stack.rs` walks the frames of a coroutine or of the task that runs, `format.rs` writes what was
//! collected. Nothing is noted in advance: what awaits a future is read from its done-callbacks (`future/awaited_by.rs`),
//! and coroutines written in Rust say themselves what they wait for.

mod capture;
mod entries;
mod format;
mod native_frame;
mod stack;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

pub(crate) use stack::shown;

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    native_frame::add(module)?;
    entries::add(module)?;
    ClassDef::function(
        module,
        "capture_call_graph",
        capture::py_capture,
        "capture_call_graph(future=None, /, *, depth=1, limit=None)\n--\n\n\
         Capture what a future or task is waiting in, and what awaits it; without `future`, of the current task.\n\n\
         `depth` frames are skipped at the top of the current task's stack: 1 is this function's own. A positive\n\
         `limit` keeps that many frames of each stack, those nearest to the task's coroutine; a negative one keeps those\n\
         nearest to where it stands; 0 keeps none. Returns a FutureCallGraph, or None outside of a task. Raises\n\
         RuntimeError without `future` outside of a running loop, TypeError for what is no future. (Since 3.14)",
    )?;
    ClassDef::function(
        module,
        "format_call_graph",
        format::py_format,
        "format_call_graph(future=None, /, *, depth=1, limit=None)\n--\n\n\
         The call graph as text; parameters as for capture_call_graph(). Empty outside of a task. (Since 3.14)",
    )?;
    ClassDef::function(
        module,
        "print_call_graph",
        format::py_print,
        "print_call_graph(future=None, /, *, file=None, depth=1, limit=None)\n--\n\n\
         Print the call graph to `file`, or to sys.stdout; other parameters as for capture_call_graph(). (Since 3.14)",
    )
}
