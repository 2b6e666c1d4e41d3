//! Who awaits a future, for the call graph (since asyncio 3.14, here on every Python).
//!
//! asyncio notes it each time a task begins to wait. Here the done-callbacks say it: a task that waits stands among
//! them, and so do `gather()`, `wait()`, `shield()` with the future through which their waiter is woken. Only what
//! somebody adds by hand with `future_add_to_awaited_by` is kept besides: nothing, one future, or a set of them.

use std::collections::HashSet;

use ferrio_object::{Args, Obj, Signature};
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet};

use super::{Callback, Future};
use crate::native_fn::NativeFn;
use crate::task::{Task, WakeupCallable};

/// The loops that futures waiting for each other make are cut off at this depth.
const DEPTH: usize = 8;

fn from_callbacks(fut: &Obj<Future>, found: &mut Vec<Obj>, depth: usize) {
    if depth == DEPTH {
        return;
    }
    // No Python code runs in here.
    for callback in fut.callbacks.borrow().as_slice() {
        match callback {
            Callback::Task(task) => found.push(task.as_any().clone()),
            Callback::Gather(outer) => from_callbacks(outer.base(), found, depth + 1),
            Callback::Group(group, _) => found.extend(group.parent()),
            Callback::Native(function) => through(function, found, depth),
            Callback::Call { callback, .. } => {
                if let Some(task) =
                    callback.cast_exact::<WakeupCallable>().and_then(|callable| callable.task())
                {
                    found.push(task.into_any());
                } else if let Some(function) = callback.cast_exact::<NativeFn>() {
                    through(function, found, depth);
                }
            }
        }
    }
}

/// What awaits the future that a callback resolves.
fn through(function: &Obj<NativeFn>, found: &mut Vec<Obj>, depth: usize) {
    let Some(resolved) = function.resolves() else { return };
    if resolved.cast::<Task>().is_some() {
        found.push(resolved);
    } else if let Some(resolved) = resolved.cast::<Future>() {
        from_callbacks(resolved, found, depth + 1);
    }
}

/// What awaits a future, each once: first as its callbacks stand, then what was added by hand.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn futures(py: Python<'_>, this: &Obj<Future>) -> PyResult<Vec<Obj>> {
    let mut found = with_repeats(py, this);
    if found.len() > 1 {
        let mut seen = HashSet::new();
        found.retain(|obj| seen.insert(obj.as_ptr()));
    }
    Ok(found)
}

/// As [`futures`]; what awaits it in several ways stands there several times.
pub(crate) fn with_repeats(py: Python<'_>, this: &Obj<Future>) -> Vec<Obj> {
    let mut found = Vec::new();
    from_callbacks(this, &mut found, 0);
    if let Some(noted) = this.awaited_by.get() {
        match noted.bind(py).cast::<PySet>() {
            Ok(set) => found.extend(set.iter().map(Obj::from)),
            Err(_) => found.push(noted),
        }
    }
    found
}

/// `_asyncio_awaited_by`: a frozenset, or None.
pub(super) fn get(this: &Obj<Future>, py: Python<'_>) -> PyResult<Option<Obj>> {
    let found = futures(py, this)?;
    if found.is_empty() {
        return Ok(None);
    }
    Ok(Some(PyFrozenSet::new(py, found)?.into()))
}

fn both<'a>(
    args: &Args<'a, '_>,
    function: &'static str,
) -> PyResult<Option<(&'a Obj<Future>, &'a Obj<Future>)>> {
    let [fut, waiter] = args.bind(&Signature::new(function, ["fut", "waiter"]).unnamed(2))?;
    // Futures that are not ours cannot keep it, and are passed over as asyncio does.
    let ours = fut.and_then(Obj::<Future>::from_bound);
    Ok(ours.zip(waiter.and_then(Obj::<Future>::from_bound)))
}

pub(crate) fn py_add(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let Some((fut, waiter)) = both(&args, "future_add_to_awaited_by")? else { return Ok(()) };
    match fut.awaited_by.get() {
        None => fut.awaited_by.set(Some(waiter.as_any().clone())),
        Some(noted) => match noted.bind(py).cast::<PySet>() {
            Ok(set) => set.add(waiter)?,
            Err(_) if noted.is(waiter) => {}
            Err(_) => fut.awaited_by.set(Some(PySet::new(py, [noted, waiter.as_any().clone()])?.into())),
        },
    }
    Ok(())
}

pub(crate) fn py_discard(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let Some((fut, waiter)) = both(&args, "future_discard_from_awaited_by")? else { return Ok(()) };
    if let Some(noted) = fut.awaited_by.get() {
        match noted.bind(py).cast::<PySet>() {
            Ok(set) => drop(set.discard(waiter)?),
            Err(_) if noted.is(waiter) => fut.awaited_by.set(None),
            Err(_) => {}
        }
    }
    Ok(())
}
