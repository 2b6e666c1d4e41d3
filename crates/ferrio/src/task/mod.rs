//! `asyncio.Task`: a future that drives a coroutine.

mod create;
pub(crate) mod current_tasks;
mod factory;
mod methods;
pub(crate) mod registry;
mod scheduled_tasks;
mod stack;
mod step;
mod wakeup;

use std::cell::{Cell, RefCell};

use ferrio_object::{Membership, Obj, ObjCell, ThreadState};
use pyo3::prelude::*;

pub(crate) use crate::coroutines::is_coroutine;
pub(crate) use create::{
    create, create_from_call, ensure_future, is_awaitable, next_number, refuse_coro_twice,
};
pub(crate) use factory::{EagerFactory, eager_task_factory};
pub(crate) use methods::add;
pub(crate) use step::run_ready;
pub(crate) use wakeup::{StepCallable, WakeupCallable, wakeup_callable};

use crate::future::Future;

/// A task's name: given, or a number that becomes `Task-N` when somebody asks.
pub(crate) enum Name {
    Number(u64),
    Given(Obj),
}

ferrio_object::traverse!(
    enum Name {
        Number(number),
        Given(name),
    }
);

/// What a `Task` adds to a future.
pub struct Task {
    pub(crate) coro: ObjCell,
    /// What the coroutine runs in; one without variables is made when it is needed.
    context: ObjCell,
    /// False until `__init__` has run.
    has_context: Cell<bool>,
    /// What the task waits for.
    pub(crate) fut_waiter: ObjCell,
    pub(crate) must_cancel: Cell<bool>,
    pub(crate) cancel_requests: Cell<i64>,
    pub(crate) log_destroy_pending: Cell<bool>,
    pub(crate) name: RefCell<Name>,
    membership: Membership<Task>,
}

impl Task {
    #[inline(always)]
    pub(crate) fn new(coro: Obj, context: Option<Obj>, name: Name) -> Task {
        Task {
            coro: ObjCell::new(coro),
            context: ObjCell::from(context),
            has_context: Cell::new(true),
            fut_waiter: ObjCell::empty(),
            must_cancel: Cell::new(false),
            cancel_requests: Cell::new(0),
            log_destroy_pending: Cell::new(true),
            name: RefCell::new(name),
            membership: Membership::none(),
        }
    }

    /// Asks for what the next step will use, a stage at a time (`base_events/ahead.rs`).
    #[inline]
    pub(crate) fn prefetch_stage(this: &Obj<Self>, stage: usize) {
        match stage {
            0 => this.prefetch(),
            1 => {
                // A coroutine is as long as its frame.
                this.coro.prefetch_first(384);
                this.context.prefetch_first(64);
                this.fut_waiter.prefetch_as::<Future>();
            }
            _ => {}
        }
    }

    /// The context that the coroutine runs in; `None` before `__init__`.
    ///
    /// # Errors
    /// `MemoryError`.
    #[expect(clippy::inline_always)] // a step asks for it, and as a call it was a hundredth of one
    #[inline(always)]
    pub(crate) fn context(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        match self.context.get() {
            None if self.has_context.get() => self.make_context(py).map(Some),
            context => Ok(context),
        }
    }

    fn make_context(&self, py: Python<'_>) -> PyResult<Obj> {
        let context = ThreadState::empty_context(py)?;
        self.context.set(Some(context.clone()));
        Ok(context)
    }

    /// Gives `context`, the task's own, to the next that needs one, if nobody can tell. The task is done.
    #[inline]
    fn release_context(&self, context: Obj) {
        drop(self.context.take());
        self.context.set(ThreadState::recycle_context(context));
    }

    /// Notes a cancellation that there was nothing to pass on to: the next step throws it.
    pub(crate) fn cancel_later(&self, fut: &Future, message: Option<&Obj>) {
        self.must_cancel.set(true);
        fut.cancel_message.set(message.cloned());
    }
}

impl Task {
    /// `Task.uncancel()`.
    pub(crate) fn uncancel(&self) -> i64 {
        let requests = self.cancel_requests.get();
        if requests > 0 {
            self.cancel_requests.set(requests - 1);
            if requests == 1 {
                // Nobody wants it cancelled any more, not even in the next step (since 3.13).
                self.must_cancel.set(false);
            }
        }
        self.cancel_requests.get()
    }
}

/// `task.cancelling()` of a task of whatever kind.
///
/// # Errors
/// What a foreign task raises.
#[inline]
pub(crate) fn cancelling(py: Python<'_>, task: &Obj) -> PyResult<i64> {
    match task.cast_exact::<Task>() {
        Some(ours) => Ok(ours.cancel_requests.get()),
        None => task.bind(py).call_method0(pyo3::intern!(py, "cancelling"))?.extract(),
    }
}

/// `task.uncancel()` of a task of whatever kind.
///
/// # Errors
/// What a foreign task raises.
pub(crate) fn uncancel(py: Python<'_>, task: &Obj) -> PyResult<i64> {
    match task.cast_exact::<Task>() {
        Some(ours) => Ok(ours.uncancel()),
        None => task.bind(py).call_method0(pyo3::intern!(py, "uncancel"))?.extract(),
    }
}
