//! Who is told when a future is done, and how they are scheduled.

use ferrio_object::Obj;
use pyo3::prelude::*;

use super::Future;
use crate::event_loop::{LoopRef, Ready};
use crate::gather::Gathering;
use crate::native_fn::NativeFn;
use crate::task::Task;
use crate::taskgroups::TaskGroup;

/// One of those who are told.
#[derive(Clone)]
pub(crate) enum Callback {
    /// A task of ours that awaits the future: it is stepped.
    Task(Obj<Task>),
    /// A `gather()` that counts its children.
    Gather(Obj<Gathering>),
    /// A done-callback of ours (`wait()`, `shield()` …): it runs no code of the user's, so it needs no context.
    Native(Obj<NativeFn>),
    /// A task group, and the place of the child in it.
    Group(Obj<TaskGroup>, u32),
    /// `callback(future)` in `context`.
    Call { callback: Obj, context: Obj },
}

ferrio_object::traverse!(enum Callback {
    Task(task),
    Gather(outer),
    Native(function),
    Group(group, place),
    Call { callback, context },
});

/// All of them, in order. Nearly every future has none or one.
#[derive(Default)]
pub(crate) enum Callbacks {
    #[default]
    None,
    One(Callback),
    Many(Vec<Callback>),
}

ferrio_object::traverse!(
    enum Callbacks {
        None,
        One(one),
        Many(all),
    },
    default
);

impl Callbacks {
    #[inline]
    pub(crate) fn push(&mut self, callback: Callback) {
        match std::mem::replace(self, Callbacks::None) {
            Callbacks::None => *self = Callbacks::One(callback),
            Callbacks::One(first) => *self = Callbacks::Many(vec![first, callback]),
            Callbacks::Many(mut all) => {
                all.push(callback);
                *self = Callbacks::Many(all);
            }
        }
    }

    /// Takes out every registration of a native callback.
    pub(crate) fn remove_native(&mut self, function: &Obj<NativeFn>) -> Callbacks {
        let is_it = |callback: &Callback| matches!(callback, Callback::Native(other) if other.is(function));
        match self {
            Callbacks::One(one) if is_it(one) => std::mem::replace(self, Callbacks::None),
            Callbacks::None | Callbacks::One(_) => Callbacks::None,
            Callbacks::Many(all) => Callbacks::Many(all.extract_if(.., |callback| is_it(callback)).collect()),
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<Callback> {
        match self {
            Callbacks::None => Vec::new(),
            Callbacks::One(one) => vec![one.clone()],
            Callbacks::Many(all) => all.clone(),
        }
    }

    pub(crate) fn from_vec(mut all: Vec<Callback>) -> Self {
        match all.len() {
            0 => Callbacks::None,
            1 => all.pop().map_or(Callbacks::None, Callbacks::One),
            _ => Callbacks::Many(all),
        }
    }
}

/// Schedules all callbacks of a future that has just become done.
#[inline]
pub(super) fn schedule(fut: &Obj<Future>, py: Python<'_>, event_loop: &LoopRef) -> PyResult<()> {
    let callbacks = fut.callbacks.replace(Callbacks::None);
    match callbacks {
        Callbacks::None => Ok(()),
        Callbacks::One(one) => schedule_one(fut, py, event_loop, one),
        Callbacks::Many(all) => {
            all.into_iter().try_for_each(|callback| schedule_one(fut, py, event_loop, callback))
        }
    }
}

/// Schedules one callback.
#[inline]
pub(super) fn schedule_one(
    fut: &Obj<Future>,
    py: Python<'_>,
    event_loop: &LoopRef,
    callback: Callback,
) -> PyResult<()> {
    // Told apart before anything is queued: an item of a known kind is written to its slot at once.
    if let Some(native) = event_loop.direct() {
        native.check_closed()?;
        if native.debug.get() {
            native.check_thread()?;
        }
        match callback {
            Callback::Task(task) => native.push(|| Ready::Step(task)),
            Callback::Gather(outer) => native.push(|| Ready::GatherChild(outer, fut.clone())),
            Callback::Native(function) => native.push(|| Ready::Tell(function, fut.clone())),
            Callback::Group(group, place) => native.push(|| Ready::GroupChild(group, fut.clone(), place)),
            Callback::Call { callback, context } => {
                return event_loop.call_soon(py, &callback, &[fut.as_any().clone()], Some(&context));
            }
        }
        return Ok(());
    }
    schedule_in_python(fut, py, event_loop, callback)
}

/// As [`schedule_one`], on a loop that has to be asked in Python.
#[cold]
fn schedule_in_python(
    fut: &Obj<Future>,
    py: Python<'_>,
    event_loop: &LoopRef,
    callback: Callback,
) -> PyResult<()> {
    let (callable, context) = match callback {
        Callback::Task(task) => (crate::task::wakeup_callable(py, &task)?, task.context(py)?),
        Callback::Gather(outer) => (crate::gather::done_callable(py, &outer)?, None),
        Callback::Native(function) => (function.into_any(), None),
        Callback::Group(group, place) => (TaskGroup::done_callable(&group, py, place)?, None),
        Callback::Call { callback, context } => (callback, Some(context)),
    };
    event_loop.call_soon(py, &callable, &[fut.as_any().clone()], context.as_ref())
}

pub(super) fn same(a: &Callback, b: &Callback) -> bool {
    match (a, b) {
        (Callback::Task(a), Callback::Task(b)) => a.is(b),
        (Callback::Gather(a), Callback::Gather(b)) => a.is(b),
        (Callback::Native(a), Callback::Native(b)) => a.is(b),
        (Callback::Group(a, at), Callback::Group(b, bt)) => a.is(b) && at == bt,
        (Callback::Call { callback: a, context: c }, Callback::Call { callback: b, context: d }) => {
            a.is(b) && c.is(d)
        }
        _ => false,
    }
}

/// A callback as the Python object that asyncio would have there.
pub(super) fn callback_object(py: Python<'_>, callback: &Callback) -> PyResult<Obj> {
    match callback {
        Callback::Task(task) => crate::task::wakeup_callable(py, task),
        Callback::Gather(outer) => crate::gather::done_callable(py, outer),
        Callback::Native(function) => Ok(function.as_any().clone()),
        Callback::Group(group, place) => crate::taskgroups::TaskGroup::done_callable(group, py, *place),
        Callback::Call { callback, .. } => Ok(callback.clone()),
    }
}
