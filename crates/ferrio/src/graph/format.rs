//! `format_call_graph()` and `print_call_graph()`.

use std::fmt::Write as _;

use ferrio_object::{Args, Obj, Signature, ensure_stack, frame_generator};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::capture::{Asked, capture};
use super::entries::{FrameEntry, FutureGraph};
use crate::task::Task;
use crate::{imported, stock};

/// `format_call_graph(future=None, /, *, depth=1, limit=None)`.
///
/// # Errors
/// As `capture_call_graph()`.
pub(super) fn py_format(py: Python<'_>, args: Args<'_, '_>) -> PyResult<String> {
    const SIGNATURE: Signature<3> = Signature::new("format_call_graph", ["future", "depth", "limit"])
        .unnamed(1)
        .positional(1)
        .required(0);
    let [future, depth, limit] = args.bind(&SIGNATURE)?;
    let asked = Asked::new(future, depth, limit)?;
    format(py, asked, &["capture_call_graph", "format_call_graph"])
}

/// `print_call_graph(future=None, /, *, file=None, depth=1, limit=None)`.
///
/// # Errors
/// As `capture_call_graph()`, and what writing to the file raises.
pub(super) fn py_print(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<4> = Signature::new("print_call_graph", ["future", "file", "depth", "limit"])
        .unnamed(1)
        .positional(1)
        .required(0);
    let [future, file, depth, limit] = args.bind(&SIGNATURE)?;
    let asked = Asked::new(future, depth, limit)?;
    // asyncio's own function is in its output, unless a depth of 2 is asked for.
    let text = format(py, asked, &["capture_call_graph", "format_call_graph", "print_call_graph"])?;
    let keywords = PyDict::new(py);
    keywords.set_item("file", file)?;
    imported::module(py, "builtins")?.call_method("print", (text,), Some(&keywords)).map(drop)
}

fn format(py: Python<'_>, mut asked: Asked<'_, '_>, natives: &[&'static str]) -> PyResult<String> {
    // That of asyncio's function which calls `capture_call_graph()`.
    asked.depth = asked.depth.saturating_add(1);
    let mut text = String::new();
    if let Some(graph) = capture(py, &asked, natives)? {
        write_graph(py, &graph, 0, &mut text)?;
    }
    Ok(text)
}

fn line(text: &mut String, level: usize, line: std::fmt::Arguments<'_>) {
    if !text.is_empty() {
        text.push('\n');
    }
    for _ in 0..level {
        text.push_str("    ");
    }
    // Writing to a string does not fail.
    let _ = text.write_fmt(line);
}

fn write_graph(py: Python<'_>, graph: &Obj<FutureGraph>, level: usize, text: &mut String) -> PyResult<()> {
    ensure_stack(py)?;
    let (future, call_stack, awaited_by) = FutureGraph::parts(graph, py)?;
    let id = future.as_ptr();
    if future.cast::<Task>().is_some() || stock::is_task(py, &future)? {
        let name = future.bind(py).call_method0(intern!(py, "get_name"))?;
        line(text, level, format_args!("* Task(name={}, id={id:p})", name.repr()?));
    } else {
        line(text, level, format_args!("* Future(id={id:p})"));
    }
    let call_stack = call_stack.bind(py).cast::<PyTuple>()?;
    if !call_stack.is_empty() {
        line(text, level, format_args!("  + Call stack:"));
        for entry in call_stack.iter() {
            let Some(entry) = Obj::<FrameEntry>::from_bound(&entry) else { continue };
            write_frame(py, &FrameEntry::frame(entry, py)?, level, text)?;
        }
    }
    let awaited_by = awaited_by.bind(py).cast::<PyTuple>()?;
    if !awaited_by.is_empty() {
        line(text, level, format_args!("  + Awaited by:"));
        for parent in awaited_by.iter() {
            let Some(parent) = Obj::<FutureGraph>::from_bound(&parent) else { continue };
            write_graph(py, parent, level + 1, text)?;
        }
    }
    Ok(())
}

fn write_frame(py: Python<'_>, frame: &Obj, level: usize, text: &mut String) -> PyResult<()> {
    let bound = frame.bind(py);
    let code = bound.getattr(intern!(py, "f_code"))?;
    let generator = match frame_generator(py, frame) {
        Some(generator) => Some(generator),
        // What stands for a native coroutine's frame.
        None => match bound.getattr_opt("f_generator")? {
            Some(generator) => Obj::unless_none(Some(&generator)),
            None => None,
        },
    };
    let kind = match generator {
        None => "",
        Some(generator) => {
            let generator = generator.bind(py);
            if generator.hasattr(intern!(py, "cr_code"))? {
                "async "
            } else if generator.hasattr(intern!(py, "ag_code"))? {
                "async generator "
            } else {
                "generator "
            }
        }
    };
    line(
        text,
        level,
        format_args!(
            "  |   File {}, line {}, in {kind}{}()",
            code.getattr(intern!(py, "co_filename"))?.repr()?,
            bound.getattr(intern!(py, "f_lineno"))?,
            code.getattr(intern!(py, "co_qualname"))?
        ),
    );
    Ok(())
}
