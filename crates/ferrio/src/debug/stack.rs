//! Stacks: where things were created, what a task is doing, and the log.

use ferrio_object::{Args, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::task::Task;

/// asyncio's `constants.DEBUG_STACK_DEPTH`.
const DEPTH: usize = 10;

/// The innermost frames of the caller, outermost first, as a `traceback.StackSummary`.
///
/// # Errors
/// What `traceback` raises.
pub(crate) fn extract_stack(py: Python<'_>) -> PyResult<Obj> {
    let frame = match py.import("sys")?.call_method1("_getframe", (0,)) {
        Ok(frame) => Obj::from(frame),
        // No Python code is running: a thread of C code, or the interpreter is on its way out.
        Err(err) if err.is_instance_of::<pyo3::exceptions::PyValueError>(py) => Obj::none(py),
        Err(err) => return Err(err),
    };
    summary(py, frame.bind(py), DEPTH)
}

fn summary(py: Python<'_>, frame: &Bound<'_, PyAny>, limit: usize) -> PyResult<Obj> {
    let traceback = crate::library::module(py, "traceback")?;
    if frame.is_none() {
        return Ok(traceback.getattr("StackSummary")?.call0()?.into());
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item("limit", limit)?;
    kwargs.set_item("lookup_lines", false)?;
    let walk = traceback.call_method1("walk_stack", (frame,))?;
    let stack = traceback.getattr("StackSummary")?.call_method("extract", (walk,), Some(&kwargs))?;
    stack.call_method0("reverse")?;
    Ok(stack.into())
}

pub(crate) fn py_extract_stack(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> = Signature::new("extract_stack", ["f", "limit"]).required(0);
    let [frame, limit] = args.bind(&SIGNATURE)?;
    let limit = match limit {
        Some(limit) if !limit.is_none() => limit.extract()?,
        _ => DEPTH,
    };
    match frame {
        Some(frame) if !frame.is_none() => summary(py, frame, limit),
        _ => {
            let frame = py.import("sys")?.call_method1("_getframe", (0,))?;
            summary(py, &frame, limit)
        }
    }
}

/// The frames of a task's coroutine, outermost first; of a failed task, those of its traceback.
///
/// # Errors
/// What the coroutine's attributes raise.
pub(crate) fn task_get_stack(
    py: Python<'_>,
    task: &Obj<Task>,
    limit: Option<&Bound<'_, PyAny>>,
) -> PyResult<Obj> {
    let limit = match limit {
        Some(limit) if !limit.is_none() => Some(limit.extract::<isize>()?.unsigned_abs()),
        _ => None,
    };
    let frames = PyList::empty(py);
    let coro = task.coro.get();
    let mut frame = None;
    if let Some(coro) = &coro {
        for name in ["cr_frame", "gi_frame", "ag_frame"] {
            if let Some(found) = coro.bind(py).getattr_opt(name)? {
                frame = Some(found);
                break;
            }
        }
    }
    if let Some(mut frame) = frame.filter(|frame| !frame.is_none()) {
        while !frame.is_none() && limit.is_none_or(|limit| frames.len() < limit) {
            frames.append(&frame)?;
            frame = frame.getattr(intern!(py, "f_back"))?;
        }
        frames.reverse()?;
    } else if let Some(exc) = task.base().exception.get() {
        let mut traceback = exc.bind(py).getattr(intern!(py, "__traceback__"))?;
        while !traceback.is_none() && limit.is_none_or(|limit| frames.len() < limit) {
            frames.append(traceback.getattr(intern!(py, "tb_frame"))?)?;
            traceback = traceback.getattr(intern!(py, "tb_next"))?;
        }
    }
    Ok(frames.into())
}

/// `Task.print_stack()`.
///
/// # Errors
/// What writing to the file raises.
pub(crate) fn task_print_stack(
    py: Python<'_>,
    task: &Obj<Task>,
    limit: Option<&Bound<'_, PyAny>>,
    file: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let linecache = crate::library::module(py, "linecache")?;
    let traceback = crate::library::module(py, "traceback")?;
    let entries = PyList::empty(py);
    let mut checked: Vec<String> = Vec::new();
    let kwargs = PyDict::new(py);
    if let Some(limit) = limit {
        kwargs.set_item("limit", limit)?;
    }
    let stack = task.bind(py).call_method(intern!(py, "get_stack"), (), Some(&kwargs))?;
    for frame in stack.try_iter()? {
        let frame = frame?;
        let line: i64 = frame.getattr("f_lineno")?.extract()?;
        let code = frame.getattr("f_code")?;
        let name: String = code.getattr("co_filename")?.extract()?;
        if !checked.contains(&name) {
            linecache.call_method1("checkcache", (&name,))?;
            checked.push(name.clone());
        }
        let text = linecache.call_method1("getline", (&name, line, frame.getattr("f_globals")?))?;
        entries.append((name, line, code.getattr("co_name")?, text))?;
    }
    let shown = task.bind(py).repr()?;
    let exc = task.base().exception.get();
    let print = |text: String| -> PyResult<()> {
        let kwargs = PyDict::new(py);
        kwargs.set_item("file", file)?;
        kwargs.set_item("end", "")?;
        crate::library::module(py, "builtins")?.call_method("print", (text,), Some(&kwargs)).map(drop)
    };
    if entries.is_empty() {
        print(format!("No stack for {shown}\n"))?;
    } else if exc.is_some() {
        print(format!("Traceback for {shown} (most recent call last):\n"))?;
    } else {
        print(format!("Stack for {shown} (most recent call last):\n"))?;
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item("file", file)?;
    traceback.call_method("print_list", (entries,), Some(&kwargs))?;
    if let Some(exc) = exc {
        let class = exc.bind(py).get_type();
        for line in traceback.call_method1("format_exception_only", (class, exc))?.try_iter()? {
            print(line?.extract()?)?;
        }
    }
    Ok(())
}

/// Logs an error from where it is being handled: `logger.error(message, exc_info=True)` in an `except` clause.
///
/// # Errors
/// What the logger raises.
pub(crate) fn log_handled(py: Python<'_>, message: &str, exception: &Obj) -> PyResult<()> {
    let logger = crate::library::module(py, "ferrio.base_events")?.getattr(intern!(py, "logger"))?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("exc_info", true)?;
    ferrio_object::with_handled(py, exception, || logger.call_method("error", (message,), Some(&kwargs)))?;
    Ok(())
}

/// Logs an error, with the exception's traceback if there is one, through `base_events.logger` as it is now: tests
/// and users replace it.
///
/// # Errors
/// What the logger raises.
pub(crate) fn log_error(py: Python<'_>, message: &str, exception: Option<Obj>) -> PyResult<()> {
    let logger = crate::library::module(py, "ferrio.base_events")?.getattr(intern!(py, "logger"))?;
    let kwargs = PyDict::new(py);
    match exception {
        Some(exc) => {
            let exc = exc.bind(py);
            let traceback = exc.getattr(intern!(py, "__traceback__"))?;
            kwargs.set_item("exc_info", (exc.get_type(), exc, traceback))?;
        }
        None => kwargs.set_item("exc_info", false)?,
    }
    logger.call_method("error", (message,), Some(&kwargs))?;
    Ok(())
}
