//! Who is told when a future is done, and how they are scheduled.

use ferrio_object::{Obj, Visit};
use pyo3::prelude::*;

use super::Future;
use crate::event_loop::Ready;
use crate::gather::Gathering;
use crate::loop_ref::LoopRef;
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

impl Callback {
    fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Callback::Task(task) => visit.obj(task),
            Callback::Gather(outer) => visit.obj(outer),
            Callback::Native(function) => visit.obj(function),
            Callback::Group(group, _) => visit.obj(group),
            Callback::Call { callback, context } => {
                visit.obj(callback);
                visit.obj(context);
            }
        }
    }
}

/// All of them, in order. Nearly every future has none or one.
pub(crate) enum Callbacks {
    None,
    One(Callback),
    Many(Vec<Callback>),
}

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

    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Callbacks::None => {}
            Callbacks::One(one) => one.traverse(visit),
            Callbacks::Many(all) => all.iter().for_each(|callback| callback.traverse(visit)),
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
    let item = match callback {
        Callback::Task(task) => Ready::Step(task),
        Callback::Gather(outer) => Ready::GatherChild(outer, fut.clone()),
        Callback::Native(function) => Ready::Tell(function, fut.clone()),
        Callback::Group(group, place) => Ready::GroupChild(group, fut.clone(), place),
        Callback::Call { callback, context } => {
            return event_loop.call_soon(py, &callback, &[fut.as_any().clone()], Some(&context));
        }
    };
    match event_loop.push(item)? {
        None => Ok(()),
        Some(Ready::Step(task)) => {
            let wakeup = crate::task::wakeup_callable(py, &task)?;
            event_loop.call_soon(py, &wakeup, &[fut.as_any().clone()], task.context.get())
        }
        Some(Ready::GatherChild(outer, child)) => {
            let done = crate::gather::done_callable(py, &outer)?;
            event_loop.call_soon(py, &done, &[child.as_any().clone()], None)
        }
        Some(Ready::Tell(function, fut)) => {
            event_loop.call_soon(py, function.as_any(), &[fut.into_any()], None)
        }
        Some(Ready::GroupChild(group, child, place)) => {
            let done = TaskGroup::done_callable(&group, py, place)?;
            event_loop.call_soon(py, &done, &[child.as_any().clone()], None)
        }
        Some(_) => unreachable!("only the items made above"),
    }
}
