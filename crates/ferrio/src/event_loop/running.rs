//! Which loop runs in this thread, and `get_event_loop()`.

use ferrio_object::{Any, Args, Class, ClassBuilder, GilStatic, Obj, ObjCell, Signature, ThreadState};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use super::{Loop, LoopRef};
use crate::stock;

/// The running loop of this thread, which may be one that only stock asyncio knows, or a function that a program has put
/// in the place of `events._get_running_loop()`.
#[inline]
pub(crate) fn get(py: Python<'_>) -> Option<Obj> {
    match own(py) {
        Some(own) => Some(own),
        None => elsewhere(py),
    }
}

#[cold]
fn elsewhere(py: Python<'_>) -> Option<Obj> {
    stock::running_loop(py).or_else(|| told_by_program(py))
}

/// What such a function says (trio-asyncio's). asyncio's coroutines ask it, because they call it by name.
#[cold]
fn told_by_program(py: Python<'_>) -> Option<Obj> {
    let events = crate::imported::module(py, "ferrio.events").ok()?;
    let function = events.getattr(intern!(py, "_get_running_loop")).ok()?;
    if function.is_exact_instance_of::<PyCFunction>() {
        return None;
    }
    let told = function.call0().ok()?;
    (!told.is_none()).then(|| told.into())
}

/// The running loop of this thread as far as we know ourselves.
#[inline]
pub(crate) fn own(py: Python<'_>) -> Option<Obj> {
    ThreadState::object(py)
}

/// Sets the running loop of this thread and hands out the one before. `run_forever` takes its own mark back before it
/// returns; one that a user has set by hand on a thread that then ends is leaked.
pub(crate) fn set(py: Python<'_>, event_loop: Option<Obj>) -> Option<Obj> {
    ThreadState::replace_object(py, event_loop)
}

/// The running loop.
///
/// # Errors
/// `RuntimeError` if there is none.
#[inline]
pub(crate) fn get_running_loop(py: Python<'_>) -> PyResult<Obj> {
    get(py).ok_or_else(|| PyRuntimeError::new_err("no running event loop"))
}

/// The running loop, or the one that the policy gives.
///
/// # Errors
/// What the policy raises: `RuntimeError` where there is none.
pub(crate) fn get_event_loop(py: Python<'_>) -> PyResult<Obj> {
    if let Some(running) = get(py) {
        return Ok(running);
    }
    let policy = py.import("ferrio.events")?.call_method0("_get_event_loop_policy")?;
    Ok(policy.call_method0("get_event_loop")?.into())
}

/// The running loop, and whether it is one of ours.
///
/// # Errors
/// `RuntimeError` if there is none.
#[inline]
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<LoopRef> {
    Ok(LoopRef::of(get_running_loop(py)?))
}

/// A loop that was handed to a function, or the running one.
///
/// # Errors
/// `RuntimeError` if none was handed over and none is running.
pub(crate) fn loop_or_running(py: Python<'_>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<LoopRef> {
    match event_loop {
        Some(event_loop) if !event_loop.is_none() => Ok(LoopRef::new(event_loop)),
        _ => running_loop(py),
    }
}

/// A loop that was handed to a constructor, or the one that `get_event_loop()` returns.
///
/// # Errors
/// What the policy raises.
pub(crate) fn loop_or_current(py: Python<'_>, event_loop: Option<&Bound<'_, PyAny>>) -> PyResult<LoopRef> {
    match event_loop {
        Some(event_loop) if !event_loop.is_none() => Ok(LoopRef::new(event_loop)),
        _ => Ok(LoopRef::new(get_event_loop(py)?.bind(py))),
    }
}

pub(crate) fn py_get(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    args.none("_get_running_loop")?;
    // Not what a program has put in its place, which asks this.
    Ok(own(py).or_else(|| stock::running_loop(py)))
}

/// Called once, with the first loop that is not ours and begins to run.
static FOREIGN: GilStatic<ObjCell> = GilStatic::new(ObjCell::empty());

/// `_watch_for_foreign_loop(watcher)`: a loop of ours does not come by here, so nothing is paid for it.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(crate) fn py_watch_for_foreign_loop(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [watcher] = args.bind(&Signature::new("_watch_for_foreign_loop", ["watcher"]))?;
    FOREIGN.get(py).set(watcher.map(Obj::from));
    Ok(())
}

pub(crate) fn py_set(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [event_loop] = args.bind(&Signature::new("_set_running_loop", ["loop"]).unnamed(1))?;
    if let Some(foreign) = event_loop.filter(|event_loop| !event_loop.is_none())
        && Obj::<Loop>::from_bound(foreign).is_none()
        && let Some(watcher) = FOREIGN.get(py).take()
    {
        watcher.bind(py).call1((foreign,))?;
    }
    let old = set(py, Obj::unless_none(event_loop));
    drop(old);
    Ok(())
}

pub(crate) fn py_get_running_loop(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    args.none("get_running_loop")?;
    get_running_loop(py)
}

pub(crate) fn py_get_event_loop(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    args.none("get_event_loop")?;
    get_event_loop(py)
}

/// `events._running_loop`: the mark of this thread as an attribute, `loop_pid`.
pub struct RunningLoop {
    nothing: (),
}

impl Class for RunningLoop {
    type Base = Any;
    ferrio_object::fields!(RunningLoop { nothing });
    const NAME: &'static str = "ferrio._ferrio._RunningLoop";
    const DOC: &'static str = "The running loop of the thread that looks, and the process.";

    fn blank() -> Self {
        RunningLoop { nothing: () }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.getset(
            "loop_pid",
            |_this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                let event_loop = get(py);
                let process = event_loop.as_ref().map(|_| std::process::id());
                Ok((event_loop, process).into_pyobject(py)?.into_any().into())
            },
            |_this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                let event_loop = match value {
                    Some(value) => Some(value.get_item(0)?).filter(|event_loop| !event_loop.is_none()),
                    None => None,
                };
                let old = set(py, event_loop.map(Obj::from));
                drop(old);
                Ok(())
            },
            "",
        );
    }
}
