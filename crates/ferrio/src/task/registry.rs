//! `all_tasks()`, `current_task()`, and entering and leaving a task.

use std::cell::OnceCell;

use ferrio_object::{Args, GilStatic, Obj, Roster, Signature};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet};

use super::Task;
use crate::event_loop::{LoopRef, running};
use crate::stock;

static TASKS: Roster<Task> = Roster::new();

/// Tasks that are not ours: a `WeakSet` of what `_register_task` was given, and a set for eager ones.
struct Foreign {
    scheduled: Obj,
    eager: Obj,
    /// The current task of each loop that is not ours.
    current: Obj,
}

static FOREIGN: GilStatic<OnceCell<Foreign>> = GilStatic::new(OnceCell::new());

fn foreign(py: Python<'_>) -> PyResult<&Foreign> {
    let cell = FOREIGN.get(py);
    if let Some(foreign) = cell.get() {
        return Ok(foreign);
    }
    let made = Foreign {
        scheduled: py.import("weakref")?.getattr("WeakSet")?.call0()?.into(),
        eager: PySet::empty(py)?.into(),
        current: PyDict::new(py).into(),
    };
    Ok(cell.get_or_init(|| made))
}

/// In a forked child, which is in none of the parent's tasks (since 3.14). A loop of ours keeps its own: it is the child's
/// way out of the task that it was forked in.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn forget_in_forked_child(py: Python<'_>) -> PyResult<()> {
    if let Some(foreign) = FOREIGN.get(py).get()
        && cfg!(Py_3_14)
    {
        // They live until the child ends, like its running loop.
        let current = foreign.current.bind(py).cast::<PyDict>()?;
        std::mem::forget(current.copy()?);
        current.clear();
    }
    Ok(())
}

/// Puts a task of ours on the roster.
#[inline]
pub(crate) fn register(py: Python<'_>, task: &Obj<Task>) {
    TASKS.join(py, task);
}

/// The task that a loop is stepping.
#[inline]
pub(crate) fn current(py: Python<'_>, event_loop: &LoopRef) -> PyResult<Option<Obj>> {
    match event_loop {
        LoopRef::Native(native) => match native.current_task.get() {
            None if native.tells_stock.get() => stock::current_task(py, native.as_any()),
            current => Ok(current),
        },
        LoopRef::Foreign(other) => {
            if let Some(foreign) = FOREIGN.get(py).get() {
                let current = foreign.current.bind(py).call_method1(intern!(py, "get"), (other,))?;
                if !current.is_none() {
                    return Ok(Some(current.into()));
                }
            }
            stock::current_task(py, other)
        }
    }
}

fn set_current(py: Python<'_>, event_loop: &LoopRef, task: Option<Obj>) -> PyResult<Option<Obj>> {
    match event_loop {
        LoopRef::Native(native) => {
            if native.tells_stock.get() {
                stock::swap_task(py, native.as_any(), task.as_ref())?;
            }
            Ok(native.current_task.replace(task))
        }
        LoopRef::Foreign(other) => {
            let old = current(py, event_loop)?;
            if stock::running_loop(py).is_some_and(|running| running.is(other)) {
                stock::swap_task(py, other, task.as_ref())?;
            }
            let dict = foreign(py)?.current.bind(py);
            match task {
                Some(task) => dict.set_item(other, task)?,
                None => drop(dict.call_method1(intern!(py, "pop"), (other, py.None()))?),
            }
            Ok(old)
        }
    }
}

/// A task that is being stepped.
#[must_use]
pub(super) struct Entered(());

impl Entered {
    #[inline]
    pub(super) fn enter(py: Python<'_>, event_loop: &LoopRef, task: &Obj<Task>) -> PyResult<Entered> {
        if let LoopRef::Native(native) = event_loop
            && native.current_task.is_none()
            && (!native.tells_stock.get() || stock::enter_task(py, native.as_any(), task.as_any())?)
        {
            native.current_task.set(Some(task.as_any().clone()));
            return Ok(Entered(()));
        }
        enter(py, event_loop, task.as_any())?;
        Ok(Entered(()))
    }

    #[inline]
    pub(super) fn leave(self, py: Python<'_>, event_loop: &LoopRef, task: &Obj<Task>) -> PyResult<()> {
        if let LoopRef::Native(native) = event_loop
            && native.current_task.holds(task)
        {
            native.current_task.set(None);
            return if native.tells_stock.get() { stock::leave_task(py, native.as_any()) } else { Ok(()) };
        }
        leave(py, event_loop, task.as_any())
    }
}

fn enter(py: Python<'_>, event_loop: &LoopRef, task: &Obj) -> PyResult<()> {
    if let Some(other) = current(py, event_loop)? {
        return Err(PyRuntimeError::new_err(format!(
            "Cannot enter into task {} while another task {} is being executed.",
            task.bind(py).repr()?,
            other.bind(py).repr()?
        )));
    }
    set_current(py, event_loop, Some(task.clone())).map(drop)
}

fn leave(py: Python<'_>, event_loop: &LoopRef, task: &Obj) -> PyResult<()> {
    let now = current(py, event_loop)?;
    if !now.as_ref().is_some_and(|now| now.is(task)) {
        let now = match now {
            Some(now) => now.bind(py).repr()?.to_string(),
            None => "None".to_owned(),
        };
        let task = task.bind(py).repr()?;
        return Err(PyRuntimeError::new_err(if cfg!(Py_3_14) {
            format!("Invalid attempt to leave task {task} while task {now} is entered.")
        } else {
            format!("Leaving task {task} does not match the current task {now}.")
        }));
    }
    set_current(py, event_loop, None).map(drop)
}

/// Makes `task` current and hands out what was, for a task that starts eagerly inside another.
pub(crate) fn swap_current(py: Python<'_>, event_loop: &LoopRef, task: Option<Obj>) -> PyResult<Option<Obj>> {
    set_current(py, event_loop, task)
}

/// The loops that are not ours and in a task.
///
/// # Errors
/// `MemoryError`.
pub(super) fn foreign_loops(py: Python<'_>) -> PyResult<Vec<Obj>> {
    let Some(foreign) = FOREIGN.get(py).get() else { return Ok(Vec::new()) };
    foreign.current.bind(py).try_iter()?.map(|event_loop| event_loop.map(Obj::from)).collect()
}

pub(crate) fn py_current_task(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [event_loop] = args.bind(&Signature::new("current_task", ["loop"]).required(0))?;
    current(py, &running::loop_or_running(py, event_loop)?)
}

pub(crate) fn py_all_tasks(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [event_loop] = args.bind(&Signature::new("all_tasks", ["loop"]).required(0))?;
    all_of(py, &running::loop_or_running(py, event_loop)?)
}

/// The set of tasks of a loop that are not done.
///
/// # Errors
/// What tasks that are not ours raise.
pub(crate) fn all(py: Python<'_>, event_loop: &Obj) -> PyResult<Obj> {
    all_of(py, &LoopRef::new(event_loop.bind(py)))
}

/// Our tasks of all loops on some places of the registry; nothing beyond the last one.
pub(crate) fn part(py: Python<'_>, start: usize, count: usize) -> Option<Vec<Obj<Task>>> {
    TASKS.part(py, start, count)
}

/// `_every_task()`: our tasks of all loops.
pub(crate) fn py_every(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    args.none("_every_task")?;
    Ok(PyList::new(py, TASKS.collect(py, |_| true))?.into())
}

fn all_of(py: Python<'_>, event_loop: &LoopRef) -> PyResult<Obj> {
    let set = PySet::empty(py)?;
    for task in TASKS.collect(py, |_| true) {
        let fut = task.base();
        if !fut.is_done() && fut.get_loop().is_ok_and(|of_task| of_task.is(event_loop)) {
            set.add(&task)?;
        }
    }
    if let Some(foreign) = FOREIGN.get(py).get() {
        for others in [&foreign.scheduled, &foreign.eager] {
            let others = PyList::new(py, others.bind(py).try_iter()?.collect::<PyResult<Vec<_>>>()?)?;
            for other in others.iter() {
                let of_task = crate::future_likes::loop_of(py, &other)?;
                if of_task.is(event_loop) && !other.call_method0(intern!(py, "done"))?.is_truthy()? {
                    set.add(other)?;
                }
            }
        }
    }
    stock::add_tasks(py, event_loop.as_any(), &set)?;
    Ok(set.into())
}

/// The tasks that are registered, of all loops, done or not.
///
/// # Errors
/// `MemoryError`.
pub(super) fn registered(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let tasks = PyList::new(py, TASKS.collect(py, |_| true))?;
    if let Some(foreign) = FOREIGN.get(py).get() {
        for other in foreign.scheduled.bind(py).try_iter()? {
            tasks.append(other?)?;
        }
    }
    Ok(tasks)
}

/// Registers any task.
///
/// # Errors
/// `TypeError` for what cannot be hashed or weakly referenced.
pub(super) fn add(py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    match Obj::<Task>::from_bound(task) {
        Some(ours) => register(py, ours),
        None => drop(foreign(py)?.scheduled.bind(py).call_method1("add", (task,))?),
    }
    Ok(())
}

/// Takes any task from the registry.
///
/// # Errors
/// As [`add`].
pub(super) fn discard(py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    match Obj::<Task>::from_bound(task) {
        Some(ours) => ours.membership.leave(),
        None => drop(foreign(py)?.scheduled.bind(py).call_method1("discard", (task,))?),
    }
    Ok(())
}

pub(crate) fn py_register(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [task] = args.bind(&Signature::new("_register_task", ["task"]))?;
    task.map_or(Ok(()), |task| add(py, task))
}

pub(crate) fn py_unregister(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [task] = args.bind(&Signature::new("_unregister_task", ["task"]))?;
    task.map_or(Ok(()), |task| discard(py, task))
}

pub(crate) fn py_register_eager(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [task] = args.bind(&Signature::new("_register_eager_task", ["task"]))?;
    let Some(task) = task else { return Ok(()) };
    match Obj::<Task>::from_bound(task) {
        Some(ours) => register(py, ours),
        None => drop(foreign(py)?.eager.bind(py).call_method1("add", (task,))?),
    }
    Ok(())
}

pub(crate) fn py_unregister_eager(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [task] = args.bind(&Signature::new("_unregister_eager_task", ["task"]))?;
    let Some(task) = task else { return Ok(()) };
    match Obj::<Task>::from_bound(task) {
        Some(ours) => ours.membership.leave(),
        None => drop(foreign(py)?.eager.bind(py).call_method1("discard", (task,))?),
    }
    Ok(())
}

pub(crate) fn py_enter(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [event_loop, task] = args.bind(&Signature::new("_enter_task", ["loop", "task"]))?;
    let (Some(event_loop), Some(task)) = (event_loop, task) else { return Ok(()) };
    enter(py, &LoopRef::new(event_loop), &task.into())
}

pub(crate) fn py_leave(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [event_loop, task] = args.bind(&Signature::new("_leave_task", ["loop", "task"]))?;
    let (Some(event_loop), Some(task)) = (event_loop, task) else { return Ok(()) };
    leave(py, &LoopRef::new(event_loop), &task.into())
}

pub(crate) fn py_swap_current(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [event_loop, task] = args.bind(&Signature::new("_swap_current_task", ["loop", "task"]))?;
    let (Some(event_loop), Some(task)) = (event_loop, task) else { return Ok(None) };
    swap_current(py, &LoopRef::new(event_loop), (!task.is_none()).then(|| task.into()))
}
