//! What debug mode watches: slow callbacks, calls from the wrong thread, coroutines given as callbacks.

use ferrio_object::{Args, Obj};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::{Loop, Ready};

/// `threading.get_ident()` of this thread.
pub(crate) fn thread_id() -> u64 {
    ferrio_object::ThreadState::ident()
}

/// Whether debug mode is on by default: `-X dev`, or `PYTHONASYNCIODEBUG` unless the environment is ignored.
///
/// # Errors
/// What `sys.flags` or `os.environ` raise.
pub(crate) fn is_debug_mode(py: Python<'_>) -> PyResult<bool> {
    let flags = py.import("sys")?.getattr("flags")?;
    if flags.getattr("dev_mode")?.is_truthy()? {
        return Ok(true);
    }
    if flags.getattr("ignore_environment")?.is_truthy()? {
        return Ok(false);
    }
    let value = py.import("os")?.getattr("environ")?.call_method1("get", ("PYTHONASYNCIODEBUG",))?;
    value.is_truthy()
}

pub(crate) fn py_is_debug_mode(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    args.none("_is_debug_mode")?;
    is_debug_mode(py)
}

/// Refuses calls from a thread that is not the loop's.
pub(crate) fn check_thread(event_loop: &Obj<Loop>) -> PyResult<()> {
    let owner = event_loop.thread_id.get();
    if owner != 0 && owner != thread_id() {
        return Err(PyRuntimeError::new_err(
            "Non-thread-safe operation invoked on an event loop other than the current one",
        ));
    }
    Ok(())
}

/// Refuses coroutines and coroutine functions as callbacks.
pub(crate) fn check_callback(py: Python<'_>, callback: &Obj, method: &str) -> PyResult<()> {
    let bound = callback.bind(py);
    let coroutine =
        crate::task::is_coroutine(py, bound)? || crate::coroutines::is_coroutine_function(py, bound)?;
    if coroutine {
        return Err(PyTypeError::new_err(format!("coroutines cannot be used with {method}()")));
    }
    if !bound.is_callable() {
        let shown = bound.repr()?;
        return Err(PyTypeError::new_err(format!(
            "a callable object was expected by {method}(), got {shown}"
        )));
    }
    Ok(())
}

/// While a loop in debug mode runs, coroutines remember where they were created.
pub(crate) fn track_coroutine_origins(event_loop: &Obj<Loop>, py: Python<'_>, enabled: bool) -> PyResult<()> {
    /// asyncio's `constants.DEBUG_STACK_DEPTH`.
    const DEPTH: i32 = 10;
    let before = event_loop.origin_tracking.get();
    if enabled == before.is_some() {
        return Ok(());
    }
    let sys = py.import("sys")?;
    if enabled {
        let depth = sys.call_method0(intern!(py, "get_coroutine_origin_tracking_depth"))?.extract()?;
        event_loop.origin_tracking.set(Some(depth));
        sys.call_method1(intern!(py, "set_coroutine_origin_tracking_depth"), (DEPTH,))?;
    } else {
        event_loop.origin_tracking.set(None);
        sys.call_method1(intern!(py, "set_coroutine_origin_tracking_depth"), (before,))?;
    }
    Ok(())
}

/// What is being run, for the report that it was slow.
pub(crate) enum Shown {
    Task(Obj),
    Handle(Obj<crate::handle::Handle>),
    Nothing,
}

impl Shown {
    pub(crate) fn of(item: &Ready) -> Shown {
        match item {
            Ready::Step(task) => Shown::Task(task.as_any().clone()),
            Ready::Call(handle) => Shown::Handle(handle.clone()),
            _ => Shown::Nothing,
        }
    }

    /// Logs that it took `took` seconds.
    pub(crate) fn warn_slow(&self, py: Python<'_>, took: f64) -> PyResult<()> {
        let shown = match self {
            Shown::Task(task) => task.bind(py).repr()?.to_string(),
            Shown::Handle(handle) => format_handle(py, handle)?,
            Shown::Nothing => return Ok(()),
        };
        let logger = crate::library::module(py, "ferrio.base_events")?.getattr("logger")?;
        logger.call_method1("warning", ("Executing %s took %.3f seconds", shown, took))?;
        Ok(())
    }

    /// It was shown, or need not be: a handle that has run lets go of what it called.
    pub(crate) fn done(self) {
        if let Shown::Handle(handle) = self {
            handle.empty();
        }
    }
}

/// A handle as the slow-callback report shows it: a task's step shows the task.
fn format_handle(py: Python<'_>, handle: &Obj<crate::handle::Handle>) -> PyResult<String> {
    if let Some(callback) = handle.callback.get()
        && let Some(owner) = callback.bind(py).getattr_opt(intern!(py, "__self__"))?
        && Obj::<crate::task::Task>::from_bound(&owner).is_some()
    {
        return Ok(owner.repr()?.to_string());
    }
    Ok(handle.bind(py).str()?.to_string())
}
