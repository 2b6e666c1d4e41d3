//! `asyncio.TaskGroup`: tasks that end before the block that started them is left.
//!
//! A child tells its group natively when it is done (one small item on the ready queue, in the place where asyncio
//! has its done-callback), and stands in a slot whose number it carries, so that starting and ending a child costs
//! neither a callback object nor a set.
//!
//! Here are the group and its children: how they are started, how they end, and what a failure does to the others.
//! Entering and leaving the block, and the class, are `block.rs`.
//!
//! Exceptions hold frames, and frames hold tasks and groups: whatever ends a group is let go of here before it is
//! raised, so that no reference cycle goes through it.

mod block;
mod children;

use std::cell::{Cell, RefCell};

use ferrio_object::{Args, DictSlot, MethodSet, Methods, Obj, ObjCell, Replaceable, Replaced, WeakList};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};

pub(crate) use block::add;

use crate::event_loop::{ExceptionContext, Hooks, LoopRef};
use crate::future::{self, Callback, Future, State};
use crate::task::{self, Task};
use crate::{exceptions, future_likes, native_fn};

use children::{Children, Errors};

/// The contents of a `TaskGroup`.
pub struct TaskGroup {
    entered: Cell<bool>,
    exiting: Cell<bool>,
    aborting: Cell<bool>,
    /// `cancel()` came before the group was entered.
    cancel_on_entry: Cell<bool>,
    /// The group has cancelled its parent and must take that back.
    parent_cancel_requested: Cell<bool>,
    event_loop: RefCell<Option<LoopRef>>,
    parent: ObjCell,
    children: Children,
    errors: Errors,
    base_error: ObjCell,
    /// Set while leaving waits for the children.
    completed: ObjCell,
    replaced: Replaced,
    dict: DictSlot,
    weaklist: WeakList,
}

/// What a derived group may have methods of its own for.
const METHODS: [&str; 3] = ["_on_task_done", "_abort", "_is_base_error"];
const ON_TASK_DONE: MethodSet = MethodSet::named(&METHODS, "_on_task_done");
const ABORT: MethodSet = MethodSet::named(&METHODS, "_abort");
const IS_BASE_ERROR: MethodSet = MethodSet::named(&METHODS, "_is_base_error");

impl Replaceable for TaskGroup {
    fn methods() -> &'static Methods {
        static SEEN: Methods = Methods::new(&METHODS);
        &SEEN
    }

    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl TaskGroup {
    fn get_loop(&self) -> PyResult<LoopRef> {
        let event_loop = self.event_loop.borrow().clone();
        event_loop.ok_or_else(|| PyRuntimeError::new_err("TaskGroup has not been entered"))
    }

    /// The task that is in the block, for the call graph.
    pub(crate) fn parent(&self) -> Option<Obj> {
        self.parent.get()
    }

    #[inline]
    fn is_empty(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.children.len(py)? == 0)
    }

    /// Whether an exception ends the program, and so comes out as it is.
    fn is_base_error(this: &Obj<Self>, py: Python<'_>, exc: &Obj) -> PyResult<bool> {
        if this.replaces(IS_BASE_ERROR) {
            return this.bind(py).call_method1(intern!(py, "_is_base_error"), (exc,))?.is_truthy();
        }
        Ok(exceptions::is_exit(py, &ferrio_object::raise(py, exc)))
    }

    fn abort(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.replaces(ABORT) {
            return this.bind(py).call_method0(intern!(py, "_abort")).map(drop);
        }
        Self::cancel_children(this, py)
    }

    fn cancel_children(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.aborting.set(true);
        for child in &this.children.all(py)? {
            future_likes::cancel(py, child, None)?;
        }
        Ok(())
    }

    fn cancel_parent(&self, py: Python<'_>) -> PyResult<()> {
        self.parent_cancel_requested.set(true);
        match self.parent.get() {
            Some(parent) => future_likes::cancel(py, &parent, None).map(drop),
            None => Ok(()),
        }
    }

    fn cancel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.entered.get() {
            this.cancel_on_entry.set(true);
            return Ok(());
        }
        let finished = this.exiting.get() && this.is_empty(py)?;
        if finished || this.aborting.get() {
            return Ok(());
        }
        Self::abort(this, py)?;
        if this.parent_cancel_requested.get() { Ok(()) } else { this.cancel_parent(py) }
    }

    /// A child of ours is done.
    ///
    /// # Errors
    /// What cancelling a foreign parent raises.
    pub(crate) fn child_done(
        this: &Obj<Self>,
        py: Python<'_>,
        child: &Obj<Future>,
        place: u32,
    ) -> PyResult<()> {
        let fine = child.state.get() == State::Cancelled
            || (child.state.get() == State::Finished && child.exception.is_none());
        if !fine {
            return Self::ended(this, py, child.as_any(), place);
        }
        this.forget(py, child.as_any(), place)
    }

    /// Takes a child out; the last one lets `__aexit__` go on.
    #[inline]
    fn forget(&self, py: Python<'_>, child: &Obj, place: u32) -> PyResult<()> {
        self.children.remove(py, place, child)?;
        if !self.is_empty(py)? {
            return Ok(());
        }
        let Some(completed) = self.completed.get() else { return Ok(()) };
        future_likes::resolve(py, &completed, PyBool::new(py, true).to_owned().into_any().into()).map(drop)
    }

    /// Any child is done, perhaps with an exception.
    fn ended(this: &Obj<Self>, py: Python<'_>, child: &Obj, place: u32) -> PyResult<()> {
        this.forget(py, child, place)?;
        let bound = child.bind(py);
        if bound.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            return Ok(());
        }
        let exc = bound.call_method0(intern!(py, "exception"))?;
        if exc.is_none() {
            return Ok(());
        }
        let exc = Obj::from(exc);
        this.errors.push(py, exc.clone())?;
        if this.base_error.is_none() && Self::is_base_error(this, py, &exc)? {
            this.base_error.set(Some(exc.clone()));
        }
        let Some(parent) = this.parent.get() else { return Ok(()) };
        if parent.bind(py).call_method0(intern!(py, "done"))?.is_truthy()? {
            let message = format!(
                "Task {} has errored out but its parent task {} is already completed",
                bound.repr()?,
                parent.bind(py).repr()?
            );
            return ExceptionContext::new(py)
                .with("message", message)?
                .with("exception", &exc)?
                .with("task", child)?
                .report_to(this.get_loop()?.as_any());
        }
        if !this.aborting.get() && !this.parent_cancel_requested.get() {
            // The parent goes on with whatever it does in the block, which is to end now. In `__aexit__` this
            // cancellation is taken back, so that the code after the block does not see it.
            Self::abort(this, py)?;
            this.cancel_parent(py)?;
        }
        Ok(())
    }

    /// The done-callback of the child at `place` as a Python callable, for children that are not ours.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn done_callable(this: &Obj<Self>, py: Python<'_>, place: u32) -> PyResult<Obj> {
        let place = pyo3::types::PyInt::new(py, place).into();
        native_fn::function(
            py,
            "TaskGroup._on_task_done",
            vec![this.as_any().clone(), place],
            |py, held, args| {
                let (Some(group), Some(child)) = (held[0].cast::<TaskGroup>(), args.get(0)) else {
                    return Ok(());
                };
                Self::ended(group, py, &child.into(), held[1].bind(py).extract()?)
            },
        )
    }

    fn create_task(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        let coro = match (args.get(0), args.len()) {
            (Some(coro), 1) => {
                task::refuse_coro_twice(&args)?;
                coro.clone()
            }
            (None, 0) => keyword_coro(py, &args)?,
            _ => {
                return Err(PyTypeError::new_err(
                    "create_task() takes exactly one positional argument: 'coro'",
                ));
            }
        };
        if !this.entered.get() {
            return refuse(this, py, &coro, "has not been entered");
        }
        if this.exiting.get() && this.is_empty(py)? {
            return refuse(this, py, &coro, "is finished");
        }
        if this.aborting.get() {
            return refuse(this, py, &coro, "is shutting down");
        }
        let event_loop = this.get_loop()?;
        let task = match &event_loop {
            LoopRef::Native(native)
                if !native.replaces(Hooks::CREATE_TASK)
                    && native.task_factory.is_none()
                    && args.len() == 1 =>
            {
                native.check_closed()?;
                task::create_from_call(py, event_loop.clone(), &coro, args)?.into_any()
            }
            other => {
                let kwargs = PyDict::new(py);
                args.each_keyword(
                    |name, value| {
                        if name.eq("coro")? { Ok(()) } else { kwargs.set_item(name, value) }
                    },
                )?;
                other
                    .as_any()
                    .bind(py)
                    .call_method(intern!(py, "create_task"), (&coro,), Some(&kwargs))?
                    .into()
            }
        };
        Self::adopt(this, py, &task)?;
        Ok(task)
    }

    /// Makes a new task one of the children. One that is done already, since it began eagerly, is dealt with in the next
    /// turn: an exception of its own would otherwise cancel the block before `create_task()` has returned
    /// (gh-128588).
    #[inline]
    fn adopt(this: &Obj<Self>, py: Python<'_>, task: &Obj) -> PyResult<()> {
        let place = this.children.insert(py, task)?;
        match task.cast_exact::<Task>() {
            Some(ours) if !this.replaces(ON_TASK_DONE) => {
                future::add_callback(ours.base(), py, Callback::Group(this.clone(), place))?;
            }
            _ => Self::follow(this, py, task, place)?,
        }
        if this.aborting.get() { Self::cancel_late(py, task) } else { Ok(()) }
    }

    /// Calls `_on_task_done()` when a child is done that is not ours, or where that method is not.
    #[cold]
    fn follow(this: &Obj<Self>, py: Python<'_>, task: &Obj, place: u32) -> PyResult<()> {
        let callback = if this.replaces(ON_TASK_DONE) {
            this.bind(py).getattr(intern!(py, "_on_task_done"))?.into()
        } else {
            Self::done_callable(this, py, place)?
        };
        task.bind(py).call_method1(intern!(py, "add_done_callback"), (callback,)).map(drop)
    }

    /// Cancels a child that was not among the children yet when the others were cancelled: it has begun eagerly, and
    /// cancelled its own group (gh-155418).
    #[cold]
    fn cancel_late(py: Python<'_>, task: &Obj) -> PyResult<()> {
        if task.bind(py).call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        future_likes::cancel(py, task, None).map(drop)
    }

    /// `_on_task_done(task)`, for derived groups that call it.
    fn on_task_done(this: &Obj<Self>, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        let child = Obj::of(task);
        Self::ended(this, py, child, this.children.place_of(child))
    }
}

fn keyword_coro<'py>(py: Python<'py>, args: &Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let mut coro = None;
    args.each_keyword(|name, value| {
        if name.eq("coro")? {
            coro = Some(value.clone());
        }
        Ok(())
    })?;
    let _ = py;
    coro.ok_or_else(|| PyTypeError::new_err("create_task() missing 1 required positional argument: 'coro'"))
}

#[cold]
fn refuse(this: &Obj<TaskGroup>, py: Python<'_>, coro: &Bound<'_, PyAny>, why: &str) -> PyResult<Obj> {
    if cfg!(Py_3_13) {
        // Otherwise it would also warn that it was never awaited. Before 3.13 the caller keeps it, and may use it.
        coro.call_method0(intern!(py, "close"))?;
    }
    let shown = repr(this, py)?;
    Err(PyRuntimeError::new_err(format!("TaskGroup {shown} {why}")))
}

fn repr(this: &Obj<TaskGroup>, py: Python<'_>) -> PyResult<String> {
    let mut shown = "<TaskGroup".to_owned();
    let tasks = this.children.len(py)?;
    if tasks > 0 {
        shown += &format!(" tasks={tasks}");
    }
    let errors = this.errors.len(py)?;
    if errors > 0 {
        shown += &format!(" errors={errors}");
    }
    if this.aborting.get() {
        shown += " cancelling";
    } else if this.entered.get() {
        shown += " entered";
    }
    Ok(shown + ">")
}
