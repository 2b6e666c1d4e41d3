//! The block of a `TaskGroup`: entering it, and leaving it, which waits for the children and raises what is left over.
//!
//! Who cancelled whom is settled here: what the group did to its parent is taken back, and what others did to it is
//! passed on. Which children there are and what a failure does to them is `mod.rs`. The class is defined here, above
//! what the event loop has to know of a group.

use std::cell::{Cell, RefCell};

use ferrio_object::{
    Any, Args, Class, ClassBuilder, ClassDef, DictSlot, Obj, ObjCell, Replaced, Signature, WeakList,
    handled_exception,
};
use pyo3::exceptions::{PyBaseExceptionGroup, PyGeneratorExit, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use super::children::{Children, Errors};
use super::{TaskGroup, repr};
use crate::coro::{self, Given, Operation, Step, ready, ready_with};
use crate::event_loop::running;
use crate::task::{self, registry};
use crate::{exceptions, future_likes};

impl TaskGroup {
    fn enter(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.entered.get() {
            let shown = repr(this, py)?;
            return Err(PyRuntimeError::new_err(format!("TaskGroup {shown} has already been entered")));
        }
        let event_loop = running::running_loop(py)?;
        let parent = registry::current(py, &event_loop)?;
        let old = this.event_loop.replace(Some(event_loop));
        drop(old);
        let Some(parent) = parent else {
            let shown = repr(this, py)?;
            return Err(PyRuntimeError::new_err(format!(
                "TaskGroup {shown} cannot determine the parent task"
            )));
        };
        this.parent.set(Some(parent));
        this.entered.set(true);
        if this.cancel_on_entry.get() {
            Self::cancel(this, py)?;
        }
        Ok(())
    }

    /// All children are done: what leaving the block comes to.
    fn finish(&self, py: Python<'_>, leaving: Leaving) -> PyResult<()> {
        let Leaving { exc, mut cancellation, last_cancellation } = leaving;
        let base_error = self.base_error.take();
        let parent = self.parent.take();
        let mut errors = self.errors.take(py)?;
        if let Some(base_error) = base_error {
            return Err(ferrio_object::raise(py, &base_error));
        }
        let Some(parent) = parent else { return Ok(()) };
        if self.parent_cancel_requested.get() {
            cancellation = match task::uncancel(py, &parent)? {
                // Nobody but the group wanted the parent cancelled.
                0 => None,
                // Somebody else did too, perhaps only while the block was left (gh-155433).
                _ => cancellation.or(last_cancellation),
            };
        }
        if errors.is_empty()
            && let Some(cancellation) = cancellation
        {
            return Err(ferrio_object::raise(py, &cancellation));
        }
        let context = exc.clone();
        if let Some(exc) = exc
            && !exceptions::is_cancelled(py, &exc)?
        {
            errors.push(exc);
        }
        if errors.is_empty() {
            return Ok(());
        }
        if task::cancelling(py, &parent)? > 0 {
            // Somebody else cancels the parent too. Cancelled anew, it hears of that at its next await, and the count
            // stays what it was.
            task::uncancel(py, &parent)?;
            future_likes::cancel(py, &parent, None)?;
        }
        if let (Some(body), [only]) = (&context, &errors[..])
            && body.is(only)
            && body.bind(py).is_instance_of::<PyGeneratorExit>()
        {
            // An asynchronous generator that is closed inside the block has to see the exception that closes it.
            return Err(ferrio_object::raise(py, body));
        }
        let group = py
            .get_type::<PyBaseExceptionGroup>()
            .call1(("unhandled errors in a TaskGroup", PyList::new(py, &errors)?))?;
        drop(errors);
        let err = PyErr::from_value(group);
        err.set_cause(py, None);
        if let Some(context) = context {
            ferrio_object::restore_context(py, &err.value(py).into(), Some(&context));
        }
        Err(err)
    }
}

/// What has been raised while a block is left.
struct Leaving {
    /// What ended the block.
    exc: Option<Obj>,
    /// A `CancelledError` to pass on.
    cancellation: Option<Obj>,
    /// The last `CancelledError` that came while the children were waited for.
    last_cancellation: Option<Obj>,
}

/// `__aenter__`.
struct Enter;

impl Operation for Enter {
    type On = TaskGroup;
    const NAME: &'static str = "TaskGroup.__aenter__";

    fn begin(this: &Obj<TaskGroup>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        TaskGroup::enter(this, py)?;
        Ok(Step::Done(this.as_any().clone()))
    }
}

/// `__aexit__`; given the exception type and the exception.
struct Exit;

impl Operation for Exit {
    type On = TaskGroup;
    const NAME: &'static str = "TaskGroup.__aexit__";

    fn begin(this: &Obj<TaskGroup>, py: Python<'_>, [kind, exc]: Given) -> PyResult<Step> {
        this.exiting.set(true);
        let exc = exc.or_else(|| instance_of(py, kind.as_ref()));
        let mut cancellation = None;
        if let Some(exc) = &exc {
            if this.base_error.is_none() && TaskGroup::is_base_error(this, py, exc)? {
                this.base_error.set(Some(exc.clone()));
            }
            if exceptions::is_cancelled(py, exc)? {
                cancellation = Some(exc.clone());
            }
            if !this.aborting.get() {
                TaskGroup::abort(this, py)?;
            }
        }
        if this.is_empty(py)? {
            this.finish(py, Leaving { exc, cancellation, last_cancellation: None })?;
            return Ok(Step::Done(swallowed(py)));
        }
        Ok(Step::Wait(coro::coroutine(py, Self::NAME, move |co| {
            let none = Obj::none(py);
            let this = co.hold(this);
            let exc = co.hold(exc.unwrap_or_else(|| none.clone()));
            let cancellation = co.hold(cancellation.unwrap_or_else(|| none.clone()));
            let last_cancellation = co.hold(none);
            async move {
                loop {
                    let waiter = waiter(co.py(), &this.get())?.map(|waiter| co.wait(waiter));
                    let Some(wait) = waiter else { break };
                    // The waiter is cancelled as often as the parent is; the children still have to be waited for.
                    let outcome = wait.await;
                    let (py, this) = (co.py(), this.get());
                    this.completed.set(None);
                    if let Err(err) = outcome {
                        if !exceptions::err_is_cancelled(py, &err) {
                            return Err(err);
                        }
                        let err = exceptions::value_of(py, err);
                        last_cancellation.set(err.clone());
                        if !this.aborting.get() {
                            cancellation.set(err);
                            TaskGroup::abort(&this, py)?;
                        }
                    }
                }
                let py = co.py();
                let some = |obj: Obj| (!obj.is_none()).then_some(obj);
                let leaving = Leaving {
                    exc: some(exc.get()),
                    cancellation: some(cancellation.get()),
                    last_cancellation: some(last_cancellation.get()),
                };
                this.get().finish(py, leaving)?;
                Ok(swallowed(py))
            }
        })?))
    }
}

/// What `__aexit__` returns. Whatever is to be raised has been raised by then; a cancellation that is left over is the
/// group's own.
fn swallowed(py: Python<'_>) -> Obj {
    pyo3::types::PyBool::new(py, true).to_owned().into_any().into()
}

/// A future that is done when the last child is; nothing if there is no child left.
fn waiter(py: Python<'_>, this: &Obj<TaskGroup>) -> PyResult<Option<Obj>> {
    if this.is_empty(py)? {
        return Ok(None);
    }
    let waiter = this.get_loop()?.create_future(py)?;
    this.completed.set(Some(waiter.clone()));
    Ok(Some(waiter))
}

/// What stands for an exception of which only the class was given, as when `__aexit__` is called by hand.
fn instance_of(py: Python<'_>, kind: Option<&Obj>) -> Option<Obj> {
    let kind = kind?.bind(py).cast::<PyType>().ok()?;
    handled_exception(py)
        .filter(|exc| exc.bind(py).is_instance(kind).unwrap_or(false))
        .or_else(|| kind.call0().ok().map(Obj::from))
}

fn aenter(this: &Obj<TaskGroup>, py: Python<'_>) -> PyResult<Obj> {
    ready::<Enter>(py, this)
}

fn aexit(this: &Obj<TaskGroup>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> = Signature::new("__aexit__", ["et", "exc", "tb"]);
    let [kind, exc, _traceback] = args.bind(&SIGNATURE)?;
    ready_with::<Exit>(py, this, [Obj::unless_none(kind), Obj::unless_none(exc)])
}

fn init(_this: &Obj<TaskGroup>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    args.none("TaskGroup")
}

/// A setter of one of the group's marks.
fn set_mark(mark: &Cell<bool>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    mark.set(value.map_or(Ok(false), PyAnyMethods::is_truthy)?);
    Ok(())
}

impl Class for TaskGroup {
    type Base = Any;
    ferrio_object::fields!(TaskGroup {
        entered,
        exiting,
        aborting,
        cancel_on_entry,
        parent_cancel_requested,
        event_loop,
        parent,
        children,
        errors,
        base_error,
        completed,
        replaced,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.taskgroups.TaskGroup";
    const DOC: &'static str = "TaskGroup()\n--\n\n\
        Asynchronous context manager that owns tasks: leaving it waits for all of them.\n\n\
        An exception in a task or in the block cancels the others; all are then raised as one ExceptionGroup.\n\
        Since 3.11.";

    fn blank() -> Self {
        TaskGroup {
            entered: Cell::new(false),
            exiting: Cell::new(false),
            aborting: Cell::new(false),
            cancel_on_entry: Cell::new(false),
            parent_cancel_requested: Cell::new(false),
            event_loop: RefCell::new(None),
            parent: ObjCell::empty(),
            children: Children::default(),
            errors: Errors::default(),
            base_error: ObjCell::empty(),
            completed: ObjCell::empty(),
            replaced: Replaced::unknown(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(init)
            .repr(repr)
            .replaceable()
            .special0("__aenter__", aenter, "__aenter__($self, /)\n--\n\n")
            .special("__aexit__", aexit, "__aexit__($self, /, et, exc, tb)\n--\n\n")
            .method("create_task", Self::create_task, "create_task($self, /, coro, **kwargs)\n--\n\n\
                Start a task in this group, and return it; keywords as for asyncio.create_task().\n\n\
                Raises RuntimeError if the group has not been entered, is finished or is shutting down.")
            .method0("cancel", Self::cancel, "cancel($self, /)\n--\n\n\
                Cancel the tasks and the block; the group is then left without CancelledError. Before the group is\n\
                entered: do so on entry. Does nothing if it is done already. (Since 3.15)")
            .method1("_on_task_done", Self::on_task_done, "")
            .method0("_abort", Self::cancel_children, "")
            .method1(
                "_is_base_error",
                |_this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>| {
                    exceptions::is_exit(py, &PyErr::from_value(exc.clone()))
                },
                "",
            )
            .getter(
                "_loop",
                |this: &Obj<Self>, _py: Python<'_>| {
                    this.event_loop.borrow().as_ref().map(|event_loop| event_loop.as_any().clone())
                },
                "",
            )
            .getset(
                "_tasks",
                |this: &Obj<Self>, py: Python<'_>| this.children.show(py),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.children.replace(value.map(Obj::from));
                    Ok(())
                },
                "",
            )
            .getset(
                "_errors",
                |this: &Obj<Self>, py: Python<'_>| this.errors.show(py),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.errors.replace(value.map(Obj::from));
                    Ok(())
                },
                "",
            )
            .getset(
                "_entered",
                |this: &Obj<Self>, _py: Python<'_>| this.entered.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    set_mark(&this.entered, value)
                },
                "",
            )
            .getset(
                "_exiting",
                |this: &Obj<Self>, _py: Python<'_>| this.exiting.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    set_mark(&this.exiting, value)
                },
                "",
            )
            .getset(
                "_aborting",
                |this: &Obj<Self>, _py: Python<'_>| this.aborting.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    set_mark(&this.aborting, value)
                },
                "",
            )
            .getset(
                "_parent_cancel_requested",
                |this: &Obj<Self>, _py: Python<'_>| this.parent_cancel_requested.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    set_mark(&this.parent_cancel_requested, value)
                },
                "",
            )
            .getset(
                "_parent_task",
                |this: &Obj<Self>, _py: Python<'_>| this.parent.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.parent.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getset(
                "_base_error",
                |this: &Obj<Self>, _py: Python<'_>| this.base_error.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.base_error.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getset(
                "_on_completed_fut",
                |this: &Obj<Self>, _py: Python<'_>| this.completed.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.completed.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            );
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<TaskGroup>(module)
}
