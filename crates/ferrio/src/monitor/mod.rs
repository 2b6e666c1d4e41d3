//! `ferrio ps` and `ferrio pstree`: the tasks of a running program, seen from outside.
//!
//! `look.rs` takes the tasks down in the process that is looked into, a few milliseconds at a time; `serve.rs` sends the
//! listing, through the process's own socket if it was asked to have one (`FERRIO_MONITOR`, `ferrio run --monitor`) or to
//! where a script of `sys.remote_exec()` says; `ask.rs` is the other side. The data, the socket's protocol and the text are
//! ferrio-core's (`monitor/`), which knows no Python. A program that nobody looks into pays for none of it.

mod ask;
mod look;
mod remote;
mod serve;

use ferrio_object::ClassDef;
use pyo3::prelude::*;

pub(crate) use serve::forget_in_forked_child;

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    serve::arm_from_environment(module.py());
    ClassDef::function(
        module,
        "_enable_monitor",
        serve::py_enable,
        "_enable_monitor()\n--\n\nOpen the socket that `ferrio ps` asks when the first loop runs.",
    )?;
    ClassDef::function(
        module,
        "_send_listing",
        serve::py_send_listing,
        "_send_listing(path)\n--\n\nSend a listing of all tasks to the Unix socket at `path`, from a thread.",
    )?;
    ClassDef::function(
        module,
        "_listing_of",
        ask::py_listing_of,
        "_listing_of(pid, form, *, patience=10.0, directory=None)\n--\n\n\
         The tasks of a process as bytes of text: `form` is 'table', 'tree' or 'json'.\n\n\
         `patience` is how many seconds the process may be silent. Raises ProcessLookupError if there is none,\n\
         PermissionError if it is another user's, TimeoutError, RuntimeError with what to do if it cannot be asked.",
    )
}
