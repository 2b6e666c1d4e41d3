//! The callbacks of a future, and how they are scheduled when it is done.

use std::collections::HashMap;

use ferrio_object::{Obj, is_function, same_callable};
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

/// What tells registrations apart: of two with the same identity it does not matter which one is taken out.
pub(super) type Identity = (u8, usize, usize);

impl Callback {
    pub(super) fn identity(&self) -> Identity {
        let address = |obj: &Obj| obj.as_ptr() as usize;
        match self {
            Callback::Task(task) => (0, address(task.as_any()), 0),
            Callback::Gather(outer) => (1, address(outer.as_any()), 0),
            Callback::Native(function) => (2, address(function.as_any()), 0),
            Callback::Group(group, place) => (3, address(group.as_any()), *place as usize),
            Callback::Call { callback, context } => (4, address(callback), address(context)),
        }
    }
}

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

    /// Takes out as many registrations of each identity as `wanted` says, in one pass.
    pub(super) fn take_out(&mut self, mut wanted: HashMap<Identity, usize>) -> Vec<Callback> {
        let mut is_wanted = |callback: &Callback| match wanted.get_mut(&callback.identity()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        };
        match std::mem::replace(self, Callbacks::None) {
            Callbacks::None => Vec::new(),
            Callbacks::One(one) if is_wanted(&one) => vec![one],
            Callbacks::Many(mut all) => {
                let taken = all.extract_if(.., |callback| is_wanted(callback)).collect();
                *self = Callbacks::from_vec(all);
                taken
            }
            one @ Callbacks::One(_) => {
                *self = one;
                Vec::new()
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[Callback] {
        match self {
            Callbacks::None => &[],
            Callbacks::One(one) => std::slice::from_ref(one),
            Callbacks::Many(all) => all,
        }
    }

    /// Takes out every registration of `wanted`, in one pass; `None` if that takes comparisons in Python.
    pub(super) fn take_out_function(&mut self, wanted: &Bound<'_, PyAny>) -> Option<Vec<Callback>> {
        let py = wanted.py();
        // What is ours is never equal to a function.
        if !is_function(wanted) {
            return None;
        }
        let all = match self {
            Callbacks::None => return Some(Vec::new()),
            Callbacks::One(one) => std::slice::from_ref(one),
            Callbacks::Many(all) => all.as_slice(),
        };
        let is_wanted = |callback: &Callback| match callback {
            Callback::Call { callback, .. } => same_callable(callback.bind(py), wanted),
            _ => Some(false),
        };
        let mut count = 0;
        for callback in all {
            count += usize::from(is_wanted(callback)?);
        }
        if count == 0 {
            return Some(Vec::new());
        }
        match std::mem::take(self) {
            Callbacks::Many(mut all) => {
                let taken = all.extract_if(.., |callback| is_wanted(callback) == Some(true)).collect();
                *self = Callbacks::from_vec(all);
                Some(taken)
            }
            Callbacks::One(one) => Some(vec![one]),
            Callbacks::None => None,
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
            Callback::Native(function) => native.push(|| Ready::DoneCallback(function, fut.clone())),
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
