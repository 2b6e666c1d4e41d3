//! The frames of a coroutine that waits, and those of the task that runs.

use ferrio_object::{Obj, frame_back, frame_generator, is_async_code, live_children, running_frame};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::native_frame::{frame, inner_frame};
use crate::coro::Coroutine;
use crate::coroutines::{self, Glimpse, Native, Phase};

/// The coroutines that asyncio has inside of one that is a single object here, outermost first: what they wait in when
/// the whole waits for a future. Sorted.
const INNER: [(&str, &[&str]); 15] = [
    ("Barrier.__aenter__", &["Barrier.wait", "Barrier._wait", "Condition.wait_for", "Condition.wait"]),
    ("Barrier.wait", &["Barrier._wait", "Condition.wait_for", "Condition.wait"]),
    ("Condition.__aenter__", &["Lock.acquire"]),
    ("Condition.wait_for", &["Condition.wait"]),
    ("Lock.__aenter__", &["Lock.acquire"]),
    ("Semaphore.__aenter__", &["Semaphore.acquire"]),
    ("StreamReader.read", &["StreamReader._wait_for_data"]),
    ("StreamReader.readexactly", &["StreamReader._wait_for_data"]),
    ("StreamReader.readline", &["StreamReader.readuntil", "StreamReader._wait_for_data"]),
    ("StreamReader.readuntil", &["StreamReader._wait_for_data"]),
    ("StreamWriter.drain", &["FlowControlMixin._drain_helper"]),
    ("TaskGroup.__aexit__", &["TaskGroup._aexit"]),
    ("_AsCompletedIterator.__anext__", &["_AsCompletedIterator._wait_for_one", "Queue.get"]),
    ("_AsCompletedIterator._wait_for_one", &["Queue.get"]),
    ("wait", &["_wait"]),
];

/// The qualified names under which a native coroutine is shown, outermost first, and what the innermost waits for.
pub(crate) struct Shown {
    pub(crate) names: Vec<&'static str>,
    pub(crate) awaited: Option<Obj>,
}

/// How a native coroutine is shown; nothing if `obj` is none. One that has ended has no names.
pub(crate) fn shown(py: Python<'_>, obj: &Obj) -> Option<Shown> {
    let Glimpse { phase, qualname, mut awaited } = coroutines::glimpse(py, obj)?;
    if phase == Phase::Closed {
        return Some(Shown { names: Vec::new(), awaited: None });
    }
    // An operation that has to wait may go on as a coroutine of the same name: both are one.
    while let Some(rest) = awaited.as_ref().filter(|awaited| awaited.cast_exact::<Coroutine>().is_some())
        && let Some(glimpse) = coroutines::glimpse(py, rest).filter(|glimpse| glimpse.qualname == qualname)
    {
        awaited = glimpse.awaited;
    }
    let mut names = vec![qualname];
    if phase == Phase::Suspended
        && let Some(waits_for) = &awaited
        && let Ok(at) = INNER.binary_search_by_key(&qualname, |(outer, _)| outer)
    {
        // Of those that are objects here too, the rest of the way shows itself.
        let inner = INNER[at].1;
        let shown = match coroutines::glimpse(py, waits_for) {
            None => inner.len(),
            Some(object) => inner.iter().position(|name| *name == object.qualname).unwrap_or(0),
        };
        names.extend_from_slice(&inner[..shown]);
    }
    Some(Shown { names, awaited })
}

/// Adds the frames of a native coroutine, outermost first. Returns what it waits for.
fn push_native(py: Python<'_>, coro: &Obj, shown: Shown, frames: &mut Vec<Obj>) -> PyResult<Option<Obj>> {
    for (at, &name) in shown.names.iter().enumerate() {
        frames.push(match at {
            0 => frame(py, name, Some(coro.clone()))?,
            _ => inner_frame(py, name, shown.awaited.clone())?,
        });
    }
    Ok(shown.awaited)
}

/// The frames of a coroutine and of what it awaits, outermost first.
///
/// # Errors
/// What the coroutine's attributes raise.
pub(super) fn of_coroutine(py: Python<'_>, coro: Obj) -> PyResult<Vec<Obj>> {
    let mut frames = Vec::new();
    let mut next = Some(coro);
    while let Some(coro) = next.take() {
        if let Some(shown) = shown(py, &coro) {
            next = push_native(py, &coro, shown, &mut frames)?;
            continue;
        }
        let bound = coro.bind(py);
        let (awaited, frame) = if let Some(awaited) = bound.getattr_opt(intern!(py, "cr_await"))? {
            (awaited, bound.getattr(intern!(py, "cr_frame"))?)
        } else if let Some(awaited) = bound.getattr_opt(intern!(py, "ag_await"))? {
            (awaited, bound.getattr(intern!(py, "ag_frame"))?)
        } else {
            break;
        };
        if !frame.is_none() {
            frames.push(frame.into());
        }
        next = (!awaited.is_none()).then(|| awaited.into());
    }
    Ok(frames)
}

/// The frames of the task that runs, innermost first, without the first `depth` of them. `natives` are the names of the
/// functions of ours that asyncio would have frames of, innermost first; `root` is the task's coroutine.
///
/// # Errors
/// `ValueError` if there are fewer than `depth`.
pub(super) fn of_running(
    py: Python<'_>,
    natives: &[&'static str],
    depth: i64,
    root: Option<&Obj>,
) -> PyResult<Vec<Obj>> {
    let mut frames = Vec::new();
    let mut skip = usize::try_from(depth).unwrap_or(0);
    for name in natives.iter().skip(skip) {
        frames.push(frame(py, name, None)?);
    }
    skip = skip.saturating_sub(natives.len());
    let mut at = running_frame(py);
    for _ in 0..skip {
        at = at.and_then(|at| frame_back(py, &at));
    }
    if at.is_none() {
        return Err(PyValueError::new_err("call stack is not deep enough"));
    }
    let drivers = Drivers::running(py)?;
    while let Some(frame) = at {
        let generator = frame_generator(py, &frame);
        at = frame_back(py, &frame);
        frames.push(frame);
        let Some(generator) = generator else { continue };
        let mut outermost = generator.clone();
        while let Some(driver) = drivers.of(py, &outermost) {
            let Some(shown) = shown(py, &driver) else { break };
            let first = frames.len();
            push_native(py, &driver, shown, &mut frames)?;
            frames[first..].reverse();
            outermost = driver;
        }
        if root.is_some_and(|root| root.is(&outermost)) {
            break;
        }
        // What runs a coroutine without being one: the loop, or code that drives it by hand.
        let caller_is_plain = at.as_ref().is_some_and(|back| frame_generator(py, back).is_none());
        if is_async_code(&generator) && caller_is_plain {
            if outermost.as_ptr() != generator.as_ptr()
                && let Some(root) = root
            {
                push_hidden(py, root, at, &mut frames)?;
            }
            break;
        }
    }
    Ok(frames)
}

/// Adds the frame of the task's coroutine, if that is what awaits the native coroutine that was added last and an error
/// is being thrown in through it: CPython does not put it on the stack then. What lies between the two in this case is
/// not found.
fn push_hidden(py: Python<'_>, root: &Obj, mut at: Option<Obj>, frames: &mut Vec<Obj>) -> PyResult<()> {
    while let Some(frame) = at {
        if frame_generator(py, &frame).is_some_and(|generator| generator.is(root)) {
            return Ok(());
        }
        at = frame_back(py, &frame);
    }
    let root = root.bind(py);
    if root.getattr_opt(intern!(py, "cr_running"))?.is_some_and(|runs| runs.is_truthy().unwrap_or(false)) {
        let frame = root.getattr(intern!(py, "cr_frame"))?;
        if !frame.is_none() {
            frames.push(frame.into());
        }
    }
    Ok(())
}

/// The native coroutines that run, of all threads. They are on no stack that the interpreter knows, and what drives a
/// coroutine is not written in it; so they are looked for among all objects. Keeping a list of them would cost each
/// step of a `wait_for()`, and the graph of the running task is captured by people who look for something.
struct Drivers(Vec<(Obj, Obj)>);

impl Drivers {
    fn running(py: Python<'_>) -> PyResult<Drivers> {
        let mut running = Vec::new();
        for coro in live_children::<Native>(py)? {
            if let Some(Glimpse { phase: Phase::Running, awaited: Some(driven), .. }) =
                coroutines::glimpse(py, &coro)
            {
                running.push((driven, coro));
            }
        }
        Ok(Drivers(running))
    }

    /// The native coroutine that drives `coro`.
    fn of(&self, _py: Python<'_>, coro: &Obj) -> Option<Obj> {
        self.0.iter().find(|(driven, _)| driven.is(coro)).map(|(_, driver)| driver.clone())
    }
}
