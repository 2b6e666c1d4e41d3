//! What Python sees of a Task.

use std::cell::{Cell, RefCell};

use ferrio_object::{Args, Class, ClassBuilder, ClassDef, Membership, Obj, ObjCell, Signature};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::{
    EagerFactory, Name, StepCallable, Task, WakeupCallable, create, eager_task_factory, factory, registry,
    stack,
};
use crate::event_loop::ExceptionContext;
use crate::future::{Future, State, future_repr_info};

fn cancel(this: &Obj<Task>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    const SIGNATURE: Signature<1> = Signature::new("cancel", ["msg"]).required(0);
    let [message] = args.bind(&SIGNATURE)?;
    let message = Obj::unless_none(message);
    crate::future_likes::cancel_task(this, py, message.as_ref())
}

fn uncancel(this: &Obj<Task>, _py: Python<'_>) -> i64 {
    this.uncancel()
}

fn get_name(this: &Obj<Task>, py: Python<'_>) -> Obj {
    let text = match &*this.name.borrow() {
        Name::Given(name) => return name.clone(),
        Name::Number(number) => format!("Task-{number}"),
    };
    let name: Obj = PyString::new(py, &text).into();
    this.name.replace(Name::Given(name.clone()));
    name
}

fn set_name(this: &Obj<Task>, _py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = if name.is_exact_instance_of::<PyString>() { name.into() } else { name.str()?.into() };
    let old = this.name.replace(Name::Given(name));
    drop(old);
    Ok(())
}

fn refuse_result(_this: &Obj<Task>, _py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
    Err(PyRuntimeError::new_err("Task does not support set_result operation"))
}

fn refuse_exception(_this: &Obj<Task>, _py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
    Err(PyRuntimeError::new_err("Task does not support set_exception operation"))
}

fn get_stack(this: &Obj<Task>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("get_stack", ["limit"]).positional(0);
    let [limit] = args.bind(&SIGNATURE)?;
    stack::get(py, this, limit)
}

fn print_stack(this: &Obj<Task>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<2> = Signature::new("print_stack", ["limit", "file"]).positional(0);
    let [limit, file] = args.bind(&SIGNATURE)?;
    stack::print(py, this, limit, file)
}

fn repr_info(this: &Obj<Task>, py: Python<'_>) -> PyResult<Obj> {
    let mut info = future_repr_info(py, this.bind(py))?;
    let fut = this.base();
    if !fut.is_done() && this.cancel_requests.get() > 0 {
        "cancelling".clone_into(&mut info[0]);
    }
    // After the state: the name, then what it waits for, then the coroutine, as asyncio shows them.
    info.insert(1, format!("name={}", get_name(this, py).bind(py).repr()?));
    if let Some(waiter) = this.fut_waiter.get() {
        info.insert(2, format!("wait_for={}", waiter.bind(py).repr()?));
    }
    if let Some(coro) = this.coro.get() {
        let mut shown = crate::debug::format_coroutine(py, coro.bind(py))?;
        if shown.ends_with("()") && coro.bind(py).getattr_opt("cr_code")?.is_some_and(|code| code.is_none()) {
            // One of ours: it has no line to show.
            shown.push_str(if fut.is_done() { " done" } else { " running" });
        }
        info.insert(2, format!("coro=<{shown}>"));
    }
    Ok(PyList::new(py, info)?.into())
}

/// The report of a task that was dropped before it was done.
fn destroyed_pending(this: &Obj<Task>, py: Python<'_>) {
    let report = || -> PyResult<()> {
        let Ok(event_loop) = this.base().get_loop() else { return Ok(()) };
        ExceptionContext::new(py)
            .with("task", this)?
            .with("message", "Task was destroyed but it is pending!")?
            .with_any("source_traceback", this.base().source_traceback.get())?
            .report_to(event_loop.as_any())
    };
    if let Err(err) = report() {
        err.write_unraisable(py, Some(this.bind(py)));
    }
}

fn get_log_destroy_pending(this: &Obj<Task>, _py: Python<'_>) -> bool {
    this.log_destroy_pending.get()
}

fn set_log_destroy_pending(
    this: &Obj<Task>,
    _py: Python<'_>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let Some(value) = value else {
        return Err(pyo3::exceptions::PyAttributeError::new_err("cannot delete attribute"));
    };
    this.log_destroy_pending.set(value.is_truthy()?);
    Ok(())
}

fn get_context(this: &Obj<Task>, py: Python<'_>) -> PyResult<Option<Obj>> {
    this.context(py)
}

fn define(class: &mut ClassBuilder<Task>) {
    class
        .init(create::init)
        .method("cancel", cancel, "cancel($self, /, msg=None)\n--\n\n\
            Ask the task to cancel itself: CancelledError is thrown into its coroutine.\n\n\
            Returns False if the task is done, else True. The coroutine may clean up or refuse.")
        .method0("cancelling", |this: &Obj<Task>, _py: Python<'_>| this.cancel_requests.get(),
            "cancelling($self, /)\n--\n\nHow many cancellations are asked for and not withdrawn (since 3.11).")
        .method0("uncancel", uncancel, "uncancel($self, /)\n--\n\n\
            Withdraw one cancellation; return how many remain (since 3.11).")
        .method0("get_coro", |this: &Obj<Task>, _py: Python<'_>| this.coro.get(),
            "get_coro($self, /)\n--\n\nThe coroutine, None if it finished eagerly (since 3.8).")
        .method0("get_context", get_context,
            "get_context($self, /)\n--\n\nThe context the coroutine runs in (since 3.12).")
        .method0("get_name", get_name, "get_name($self, /)\n--\n\nThe task's name (since 3.8).")
        .method1("set_name", set_name, "set_name($self, value, /)\n--\n\nSet the task's name (since 3.8).")
        .method1("set_result", refuse_result, "set_result($self, result, /)\n--\n\nRefused: RuntimeError.")
        .method1("set_exception", refuse_exception,
            "set_exception($self, exception, /)\n--\n\nRefused: RuntimeError.")
        .method("get_stack", get_stack, "get_stack($self, /, *, limit=None)\n--\n\n\
            The frames of the coroutine, outermost first; of a failed task the traceback's. At most `limit`.")
        .method("print_stack", print_stack, "print_stack($self, /, *, limit=None, file=None)\n--\n\n\
            Print the stack or traceback of the task, to stderr by default.")
        .method0("_repr_info", repr_info, "")
        .generic()
        .getset("_log_destroy_pending", get_log_destroy_pending, set_log_destroy_pending, "")
        .getter("_must_cancel", |this: &Obj<Task>, _py: Python<'_>| this.must_cancel.get(), "")
        .getter("_coro", |this: &Obj<Task>, _py: Python<'_>| this.coro.get(), "")
        .getter("_fut_waiter", |this: &Obj<Task>, _py: Python<'_>| this.fut_waiter.get(), "")
        .getter("_num_cancels_requested", |this: &Obj<Task>, _py: Python<'_>| this.cancel_requests.get(), "");
}

impl Class for Task {
    type Base = Future;
    ferrio_object::fields!(
        Task {
            coro,
            context: kept,
            has_context,
            fut_waiter,
            must_cancel,
            cancel_requests,
            log_destroy_pending,
            name: kept,
            membership: Membership
        },
        freelist
    );
    const NAME: &'static str = "_asyncio.Task";
    const DOC: &'static str = "Task(coro, *, loop=None, name=None, context=None, eager_start=False)\n--\n\n\
        A coroutine run by the event loop.\n\n\
        Programs make tasks with asyncio.create_task(), which says what the parameters are. `name` since 3.8,\n\
        `context` since 3.11, `eager_start` since 3.12.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Task {
            coro: ObjCell::empty(),
            context: ObjCell::empty(),
            has_context: Cell::new(false),
            fut_waiter: ObjCell::empty(),
            must_cancel: Cell::new(false),
            cancel_requests: Cell::new(0),
            log_destroy_pending: Cell::new(true),
            name: RefCell::new(Name::Number(0)),
            membership: Membership::none(),
        }
    }

    #[inline]
    fn wants_finalizer(&self, fut: &Future) -> bool {
        fut.state.get() == State::Pending || fut.log_traceback.get()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        // As with a WeakSet: a handler that keeps the task reported below does not bring it back into all_tasks().
        this.membership.leave();
        if this.base().state.get() == State::Pending && this.log_destroy_pending.get() {
            destroyed_pending(this, py);
        }
        if this.base().log_traceback.get() {
            Future::finalize(this.base(), py);
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Task>(module)?;
    ClassDef::add::<StepCallable>(module)?;
    ClassDef::add::<WakeupCallable>(module)?;
    ClassDef::add::<EagerFactory>(module)?;
    ClassDef::add::<super::current_tasks::CurrentTasks>(module)?;
    ClassDef::add::<super::scheduled_tasks::ScheduledTasks>(module)?;
    ClassDef::function(
        module,
        "current_task",
        registry::py_current_task,
        "current_task(loop=None)\n--\n\nThe task that is running in the loop, or None (since 3.7).",
    )?;
    ClassDef::function(
        module,
        "all_tasks",
        registry::py_all_tasks,
        "all_tasks(loop=None)\n--\n\nThe set of tasks of the loop that are not done (since 3.7).",
    )?;
    ClassDef::function(module, "_register_task", registry::py_register, "_register_task(task)\n--\n\n")?;
    ClassDef::function(
        module,
        "_unregister_task",
        registry::py_unregister,
        "_unregister_task(task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_register_eager_task",
        registry::py_register_eager,
        "_register_eager_task(task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_unregister_eager_task",
        registry::py_unregister_eager,
        "_unregister_eager_task(task)\n--\n\n",
    )?;
    ClassDef::function(module, "_enter_task", registry::py_enter, "_enter_task(loop, task)\n--\n\n")?;
    ClassDef::function(module, "_leave_task", registry::py_leave, "_leave_task(loop, task)\n--\n\n")?;
    ClassDef::function(
        module,
        "_every_task",
        registry::py_every,
        "_every_task()\n--\n\nThe tasks of this extension, of all loops.",
    )?;
    ClassDef::function(
        module,
        "_swap_current_task",
        registry::py_swap_current,
        "_swap_current_task(loop, task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "create_task",
        create::py_create_task,
        "create_task(coro, *, name=None, context=None, eager_start=None)\n--\n\n\
         Run a coroutine as a Task of the running loop, and return the task (since 3.7).\n\n\
         name: what the task is called; Task-N by default (since 3.8).\n\
         context: the contextvars.Context that it runs in; a copy of the current one by default (since 3.11).\n\
         eager_start: whether its first step runs at once, within this call (since 3.14).\n\n\
         Keep a reference: the loop holds tasks only weakly. Raises RuntimeError if no loop is running.",
    )?;
    ClassDef::function(
        module,
        "ensure_future",
        create::py_ensure_future,
        "ensure_future(coro_or_future, *, loop=None)\n--\n\n\
         A future as it is, a coroutine or other awaitable as a Task of the loop (since 3.4.4).",
    )?;
    module.add("eager_task_factory", eager_task_factory(module.py())?.bind(module.py()))?;
    ClassDef::function(
        module,
        "create_eager_task_factory",
        factory::py_create_eager_task_factory,
        "create_eager_task_factory(custom_task_constructor)\n--\n\n\
         A task factory that calls the constructor with eager_start=True (since 3.12).",
    )
}
