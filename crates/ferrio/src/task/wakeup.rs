//! A task's step as a Python callable, for loops and futures that are not ours.

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell};
use pyo3::prelude::*;

use super::{Task, step};

/// `TaskStepMethWrapper`: steps the task, throwing an exception in if there is one.
pub struct StepCallable {
    task: ObjCell<Task>,
    exc: ObjCell,
    /// It stands for a step out of the ready queue, which finds out for itself what is thrown in.
    queued: bool,
}

impl StepCallable {
    pub(crate) fn create(py: Python<'_>, task: &Obj<Task>, exc: Option<Obj>) -> PyResult<Obj> {
        let contents = StepCallable { task: ObjCell::new(task.clone()), exc: exc.into(), queued: false };
        Ok(Obj::<StepCallable>::create(py, ((), contents))?.into_any())
    }

    /// A step out of the ready queue.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn queued(py: Python<'_>, task: &Obj<Task>) -> PyResult<Obj> {
        let contents = StepCallable { task: ObjCell::new(task.clone()), exc: ObjCell::empty(), queued: true };
        Ok(Obj::<StepCallable>::create(py, ((), contents))?.into_any())
    }

    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        args.none("TaskStepMethWrapper")?;
        let Some(task) = this.task.get() else { return Ok(()) };
        if this.queued {
            return step::run_ready_here(&task, py).map_err(|raised| raised.take(py));
        }
        step::run(&task, py, this.exc.get().map(|exc| ferrio_object::raise(py, &exc)))
            .map_err(|raised| raised.take(py))
    }
}

impl Class for StepCallable {
    type Base = Any;
    ferrio_object::fields!(StepCallable { task, exc, queued });
    const NAME: &'static str = "_asyncio.TaskStepMethWrapper";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        StepCallable { task: ObjCell::empty(), exc: ObjCell::empty(), queued: false }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .call(Self::call)
            .getter("__self__", |this: &Obj<Self>, _py: Python<'_>| this.task.get(), "")
            .getter("__name__", |_this: &Obj<Self>, _py: Python<'_>| "task_step", "")
            .getter("__qualname__", |_this: &Obj<Self>, _py: Python<'_>| "Task.task_step", "");
    }
}

/// `Task.task_wakeup`: the done-callback of what the task awaits.
pub struct WakeupCallable {
    task: ObjCell<Task>,
}

/// The done-callback that steps `task`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn wakeup_callable(py: Python<'_>, task: &Obj<Task>) -> PyResult<Obj> {
    Ok(Obj::<WakeupCallable>::create(py, ((), WakeupCallable { task: ObjCell::new(task.clone()) }))?
        .into_any())
}

impl WakeupCallable {
    /// The task that is stepped.
    pub(crate) fn task(&self) -> Option<Obj<Task>> {
        self.task.get()
    }

    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [fut] = args.bind(&ferrio_object::Signature::new("task_wakeup", ["future"]))?;
        let (Some(task), Some(fut)) = (this.task.get(), fut) else { return Ok(()) };
        let error = fut.call_method0(pyo3::intern!(py, "result")).err();
        step::run(&task, py, error).map_err(|raised| raised.take(py))
    }
}

impl Class for WakeupCallable {
    type Base = Any;
    ferrio_object::fields!(WakeupCallable { task });
    const NAME: &'static str = "_asyncio.TaskWakeupMethWrapper";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        WakeupCallable { task: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .call(Self::call)
            .getter("__self__", |this: &Obj<Self>, _py: Python<'_>| this.task.get(), "")
            .getter("__name__", |_this: &Obj<Self>, _py: Python<'_>| "task_wakeup", "")
            .getter("__qualname__", |_this: &Obj<Self>, _py: Python<'_>| "Task.task_wakeup", "")
            .compare(
                |this: &Obj<Self>, _py: Python<'_>, other: &Bound<'_, PyAny>, op| {
                    // Each time somebody asks for the callback a new one is made; they are equal if the task is.
                    let other = Obj::<WakeupCallable>::from_bound(other);
                    let same = other.is_some_and(|other| match (this.task.get(), other.task.get()) {
                        (Some(a), Some(b)) => a.is(&b),
                        _ => false,
                    });
                    Ok(match op {
                        pyo3::pyclass::CompareOp::Eq => Some(same),
                        pyo3::pyclass::CompareOp::Ne => Some(!same),
                        _ => None,
                    })
                },
                |this: &Obj<Self>, _py: Python<'_>| {
                    Ok(this.task.get().map_or(0, |task| (task.as_ptr() as isize) >> 4))
                },
            );
    }
}
