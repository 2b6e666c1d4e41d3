//! Stock asyncio in the same process: what it is told, and what it is asked.
//!
//! A library that imports stock asks it for the running loop and the current task, inside loops and tasks of ours, and
//! a program may use our functions inside a loop that is not ours. Stock keeps both marks in its C module `_asyncio`.
//! Where that is loaded, which the package's front door tells ([`py_meet`]), our loops and tasks set them too, and what
//! we do not know ourselves we ask there. Where it is not loaded, all this is one look at an empty cell.
//!
//! Nothing in here may import stock. The marks are a thread's own: a loop that runs in another thread at the moment when
//! stock is loaded sets them in its next turn.

use std::cell::{OnceCell, RefCell};

use ferrio_object::{Args, ClassDef, GilStatic, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet};

use crate::event_loop::{Loop, call_soon_native, running};
use crate::future::Future;
use crate::native_fn;
use crate::task::Task;

/// What is asked of `_asyncio`.
struct Stock {
    get_running_loop: Obj,
    set_running_loop: Obj,
    current_task: CurrentTask,
    all_tasks: Obj,
    future: Obj,
    task: Obj,
}

/// Where stock has the current task of each loop.
enum CurrentTask {
    /// Up to 3.13: a dict, of loops that are in a task now. To look in there costs half of what a call does.
    Dict(Obj),
    /// Since 3.14 (it belongs to the thread): `current_task(loop)`, `_swap_current_task(loop, task)`.
    Functions { get: Obj, swap: Obj },
}

static STOCK: GilStatic<OnceCell<Stock>> = GilStatic::new(OnceCell::new());

/// The loops that run and have told nobody, because stock is not there yet.
static NOT_TOLD: GilStatic<RefCell<Vec<Obj<Loop>>>> = GilStatic::new(RefCell::new(Vec::new()));

/// `_meet_stock(_asyncio, all_tasks)`: stock asyncio is there from now on.
///
/// # Errors
/// `AttributeError` for a module that is not CPython's.
pub(crate) fn py_meet(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [module, all_tasks] = args.bind(&Signature::new("_meet_stock", ["_asyncio", "all_tasks"]))?;
    let (Some(module), Some(all_tasks)) = (module, all_tasks) else { return Ok(()) };
    let name = |name: &str| module.getattr(name).map(Obj::from);
    let future = name("Future")?;
    if future.is(&ClassDef::type_object::<Future>(py)) {
        // A package that was imported again finds us in asyncio's place. Told and asked, we would tell and ask ourselves.
        return Ok(());
    }
    let current_task = match module.getattr_opt("_current_tasks")? {
        Some(dict) => CurrentTask::Dict(dict.cast_into::<PyDict>()?.into_any().into()),
        None => CurrentTask::Functions { get: name("current_task")?, swap: name("_swap_current_task")? },
    };
    let stock = Stock {
        get_running_loop: name("_get_running_loop")?,
        set_running_loop: name("_set_running_loop")?,
        current_task,
        all_tasks: all_tasks.into(),
        future,
        task: name("Task")?,
    };
    if STOCK.get(py).set(stock).is_err() {
        return Ok(());
    }
    // It was imported by something that we are running.
    if let Some(event_loop) = running::own(py)
        && let Some(event_loop) = event_loop.cast::<Loop>()
    {
        enter_loop(py, event_loop)?;
        if let Some(task) = event_loop.current_task.get() {
            swap_task(py, event_loop.as_any(), Some(&task))?;
        }
    }
    let not_told = NOT_TOLD.get(py).take();
    not_told.iter().filter(|event_loop| !event_loop.tells_stock.get()).try_for_each(|event_loop| {
        let tell = native_fn::function(py, "_tell_stock", vec![event_loop.as_any().clone()], tell)?;
        call_soon_native(event_loop, py, &tell, &[], None)?;
        event_loop.wake();
        Ok(())
    })
}

/// Sets the mark in the thread that runs the loop.
fn tell(py: Python<'_>, held: &[Obj], _args: Args<'_, '_>) -> PyResult<()> {
    match held[0].cast::<Loop>() {
        Some(event_loop) if running::own(py).is_some_and(|own| own.is(event_loop.as_any())) => {
            enter_loop(py, event_loop).map(drop)
        }
        _ => Ok(()),
    }
}

#[inline]
fn met(py: Python<'_>) -> Option<&Stock> {
    STOCK.get(py).get()
}

/// The loop that stock takes for the running one.
pub(crate) fn running_loop(py: Python<'_>) -> Option<Obj> {
    let found = met(py)?.get_running_loop.bind(py).call0().ok()?;
    (!found.is_none()).then(|| found.into())
}

/// A loop of ours begins to run. Hands out what stock took for the running loop.
pub(crate) fn enter_loop(py: Python<'_>, event_loop: &Obj<Loop>) -> PyResult<Option<Obj>> {
    let Some(stock) = met(py) else {
        NOT_TOLD.get(py).borrow_mut().push(event_loop.clone());
        return Ok(None);
    };
    let outer = running_loop(py);
    stock.set_running_loop.bind(py).call1((event_loop,))?;
    event_loop.tells_stock.set(true);
    Ok(outer)
}

/// It has stopped.
pub(crate) fn leave_loop(py: Python<'_>, event_loop: &Obj<Loop>, outer: Option<Obj>) -> PyResult<()> {
    let Some(stock) = met(py) else {
        let mut not_told = NOT_TOLD.get(py).borrow_mut();
        let place = not_told.iter().rposition(|other| other.is(event_loop));
        let left = place.map(|place| not_told.remove(place));
        drop(not_told);
        drop(left);
        return Ok(());
    };
    if event_loop.tells_stock.replace(false) {
        stock.set_running_loop.bind(py).call1((outer,))?;
    }
    Ok(())
}

/// In a forked child no loop runs. Stock has a hook of its own for its mark, but calls it by a name that `install()` has
/// given to ours.
///
/// # Errors
/// What stock's functions raise.
pub(crate) fn forget_in_forked_child(py: Python<'_>) -> PyResult<()> {
    // The loops are the child's copies of what the parent goes on using.
    std::mem::forget(NOT_TOLD.get(py).take());
    let (Some(stock), Some(event_loop)) = (met(py), running_loop(py)) else { return Ok(()) };
    let Some(ours) = event_loop.cast::<Loop>() else { return Ok(()) };
    // The task first: since 3.14 stock asks whose loop runs.
    swap_task(py, &event_loop, None)?;
    ours.tells_stock.set(false);
    stock.set_running_loop.bind(py).call1((py.None(),)).map(drop)
}

/// The task that stock takes for the current one of `event_loop`.
pub(crate) fn current_task(py: Python<'_>, event_loop: &Obj) -> PyResult<Option<Obj>> {
    let Some(stock) = met(py) else { return Ok(None) };
    let found = match &stock.current_task {
        CurrentTask::Dict(dict) => dict.bind(py).call_method1(intern!(py, "get"), (event_loop,))?,
        CurrentTask::Functions { get, .. } => get.bind(py).call1((event_loop,))?,
    };
    Ok((!found.is_none()).then(|| found.into()))
}

/// A step of a task begins on a loop that stock takes for the running one. False, and nothing has changed, if stock
/// takes another task for the current one.
pub(crate) fn enter_task(py: Python<'_>, event_loop: &Obj, task: &Obj) -> PyResult<bool> {
    let Some(stock) = met(py) else { return Ok(true) };
    match &stock.current_task {
        CurrentTask::Dict(dict) => {
            let dict = dict.bind(py).cast::<PyDict>()?;
            if !dict.is_empty() && dict.contains(event_loop)? {
                return Ok(false);
            }
            dict.set_item(event_loop, task)?;
        }
        CurrentTask::Functions { swap, .. } => {
            let before = swap.bind(py).call1((event_loop, task))?;
            if !before.is_none() {
                swap.bind(py).call1((event_loop, before))?;
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The step has ended.
pub(crate) fn leave_task(py: Python<'_>, event_loop: &Obj) -> PyResult<()> {
    swap_task(py, event_loop, None)
}

/// Has stock take `task` for the current one of `event_loop`, which it takes for the running one.
pub(crate) fn swap_task(py: Python<'_>, event_loop: &Obj, task: Option<&Obj>) -> PyResult<()> {
    let Some(stock) = met(py) else { return Ok(()) };
    match (&stock.current_task, task) {
        (CurrentTask::Functions { swap, .. }, task) => swap.bind(py).call1((event_loop, task)).map(drop),
        (CurrentTask::Dict(dict), Some(task)) => dict.bind(py).cast::<PyDict>()?.set_item(event_loop, task),
        (CurrentTask::Dict(dict), None) => {
            let dict = dict.bind(py).cast::<PyDict>()?;
            if dict.contains(event_loop)? { dict.del_item(event_loop) } else { Ok(()) }
        }
    }
}

/// Adds to `set` what stock takes for the tasks of `event_loop`.
pub(crate) fn add_tasks(py: Python<'_>, event_loop: &Obj, set: &Bound<'_, PySet>) -> PyResult<()> {
    let Some(stock) = met(py) else { return Ok(()) };
    for task in stock.all_tasks.bind(py).call1((event_loop,))?.try_iter()? {
        set.add(task?)?;
    }
    Ok(())
}

/// Whether `obj` is an instance of stock's Future, or of a class derived from it.
///
/// # Errors
/// What `isinstance()` raises.
pub(crate) fn is_future(py: Python<'_>, obj: &Obj) -> PyResult<bool> {
    met(py).map_or(Ok(false), |stock| obj.bind(py).is_instance(stock.future.bind(py)))
}

/// Whether `obj` is an instance of stock's Task, or of a class derived from it.
///
/// # Errors
/// What `isinstance()` raises.
pub(crate) fn is_task(py: Python<'_>, obj: &Obj) -> PyResult<bool> {
    met(py).map_or(Ok(false), |stock| obj.bind(py).is_instance(stock.task.bind(py)))
}

/// The `__class__` of a future or task: stock's, where it is loaded, so that `isinstance()` with stock's name is true.
/// An instance of a derived class is of that class.
pub(crate) fn class_of(this: &Obj<Future>, py: Python<'_>) -> Obj {
    let class = || this.bind(py).get_type().into_any().into();
    match met(py) {
        Some(stock) if this.as_any().cast_exact::<Task>().is_some() => stock.task.clone(),
        Some(stock) if this.as_any().cast_exact::<Future>().is_some() => stock.future.clone(),
        _ => class(),
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_meet_stock",
        py_meet,
        "_meet_stock(_asyncio, all_tasks)\n--\n\nTell and ask stock asyncio from now on.",
    )
}
