//! What a task is doing: `get_stack()` and `print_stack()`.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::Task;

/// The frames of a task's coroutine, outermost first; of a failed task, those of its traceback.
///
/// # Errors
/// What the coroutine's attributes raise.
pub(super) fn get(py: Python<'_>, task: &Obj<Task>, limit: Option<&Bound<'_, PyAny>>) -> PyResult<Obj> {
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
pub(super) fn print(
    py: Python<'_>,
    task: &Obj<Task>,
    limit: Option<&Bound<'_, PyAny>>,
    file: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let linecache = crate::imported::module(py, "linecache")?;
    let traceback = crate::imported::module(py, "traceback")?;
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
        crate::imported::module(py, "builtins")?.call_method("print", (text,), Some(&kwargs)).map(drop)
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
