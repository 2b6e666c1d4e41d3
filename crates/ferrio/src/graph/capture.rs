//! `capture_call_graph()`.

use ferrio_object::{Args, Obj, Signature, ensure_stack};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::entries::{FrameEntry, FutureGraph};
use super::stack;
use crate::event_loop::{LoopRef, running};
use crate::future::{Future, awaited_by};
use crate::stock;
use crate::task::{Task, registry};

/// What the three functions take, besides the file of `print_call_graph()`.
pub(super) struct Asked<'a, 'py> {
    pub(super) future: Option<&'a Bound<'py, PyAny>>,
    pub(super) depth: i64,
    pub(super) limit: Option<i64>,
}

impl<'a, 'py> Asked<'a, 'py> {
    pub(super) fn new(
        future: Option<&'a Bound<'py, PyAny>>,
        depth: Option<&Bound<'_, PyAny>>,
        limit: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        Ok(Asked {
            future: future.filter(|future| !future.is_none()),
            depth: depth.map_or(Ok(1), PyAnyMethods::extract)?,
            limit: limit.filter(|limit| !limit.is_none()).map(PyAnyMethods::extract).transpose()?,
        })
    }
}

/// `capture_call_graph(future=None, /, *, depth=1, limit=None)`.
///
/// # Errors
/// As [`capture`].
pub(super) fn py_capture(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    const SIGNATURE: Signature<3> = Signature::new("capture_call_graph", ["future", "depth", "limit"])
        .unnamed(1)
        .positional(1)
        .required(0);
    let [future, depth, limit] = args.bind(&SIGNATURE)?;
    let asked = Asked::new(future, depth, limit)?;
    Ok(capture(py, &asked, &["capture_call_graph"])?.map(Obj::into_any))
}

/// The graph of what is asked for. `natives`: see [`stack::of_running`].
///
/// # Errors
/// `RuntimeError` without a future outside of a running loop, `TypeError` for what is no future, `ValueError` for too
/// great a depth, `RecursionError` where futures await each other too deep.
pub(super) fn capture(
    py: Python<'_>,
    asked: &Asked<'_, '_>,
    natives: &[&'static str],
) -> PyResult<Option<Obj<FutureGraph>>> {
    let event_loop = running::get(py);
    let current = match &event_loop {
        Some(event_loop) => registry::current(py, &LoopRef::new(event_loop.bind(py)))?,
        None => None,
    };
    let task = match asked.future {
        Some(future) if !current.as_ref().is_some_and(|current| current.is_bound(future)) => {
            return of_future(py, &future.into(), asked.limit, &mut Vec::new()).map(Some);
        }
        None if event_loop.is_none() => {
            return Err(PyRuntimeError::new_err(
                "capture_call_graph() is called outside of a running event loop and no *future* to introspect \
                 was provided",
            ));
        }
        _ => current,
    };
    let Some(task) = task else { return Ok(None) };
    check(py, &task)?;
    let mut frames = Vec::new();
    if asked.limit != Some(0) {
        let root = task.cast::<Task>().and_then(|task| task.coro.get());
        frames = stack::of_running(py, natives, asked.depth, root.as_ref())?;
    }
    shorten(&mut frames, asked.limit);
    finish(py, &task, frames, asked.limit, &mut Vec::new()).map(Some)
}

/// The graph of a future that does not run.
fn of_future(
    py: Python<'_>,
    future: &Obj,
    limit: Option<i64>,
    path: &mut Vec<Obj>,
) -> PyResult<Obj<FutureGraph>> {
    check(py, future)?;
    let coro = match future.cast_exact::<Task>() {
        Some(task) => task.coro.get(),
        None => match future.bind(py).getattr_opt(intern!(py, "get_coro"))? {
            Some(get_coro) => Obj::unless_none(Some(&get_coro.call0()?)),
            None => None,
        },
    };
    let mut frames = match coro {
        Some(coro) if limit != Some(0) => stack::of_coroutine(py, coro)?,
        _ => Vec::new(),
    };
    frames.reverse();
    shorten(&mut frames, limit);
    finish(py, future, frames, limit, path)
}

/// Adds what awaits the future. `path` are the futures on the way here: one that is among them is not gone into again,
/// so that tasks that await each other have a graph.
fn finish(
    py: Python<'_>,
    future: &Obj,
    frames: Vec<Obj>,
    limit: Option<i64>,
    path: &mut Vec<Obj>,
) -> PyResult<Obj<FutureGraph>> {
    ensure_stack(py)?;
    let entries =
        frames.into_iter().map(|frame| FrameEntry::create(py, frame)).collect::<PyResult<Vec<_>>>()?;
    let mut awaited_by = Vec::new();
    if !path.iter().any(|on_path| on_path.is(future)) {
        path.push(future.clone());
        for parent in parents(py, future)? {
            awaited_by.push(of_future(py, &parent, limit, path)?);
        }
        path.pop();
    }
    FutureGraph::create(
        py,
        future.clone(),
        PyTuple::new(py, entries)?.into_any().into(),
        PyTuple::new(py, awaited_by)?.into_any().into(),
    )
}

fn parents(py: Python<'_>, future: &Obj) -> PyResult<Vec<Obj>> {
    if let Some(ours) = future.cast::<Future>() {
        return awaited_by::futures(py, ours);
    }
    match future.bind(py).getattr_opt(intern!(py, "_asyncio_awaited_by"))? {
        Some(noted) if !noted.is_none() => noted.try_iter()?.map(|parent| parent.map(Obj::from)).collect(),
        _ => Ok(Vec::new()),
    }
}

/// Keeps as many frames as `limit` says, of a stack that begins with the innermost one.
fn shorten(frames: &mut Vec<Obj>, limit: Option<i64>) {
    let Some(limit) = limit else { return };
    let keep = usize::try_from(limit.unsigned_abs()).unwrap_or(usize::MAX).min(frames.len());
    if limit < 0 {
        frames.truncate(keep);
    } else {
        frames.drain(..frames.len() - keep);
    }
}

/// That it is a future of ours or of stock's.
fn check(py: Python<'_>, future: &Obj) -> PyResult<()> {
    if future.cast::<Future>().is_some() || stock::is_future(py, future)? {
        return Ok(());
    }
    let shown = future.bind(py).repr()?;
    Err(PyTypeError::new_err(format!("{shown} object does not appear to be compatible with asyncio.Future")))
}
