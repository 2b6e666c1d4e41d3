//! Making tasks: `Task(...)`, `create_task`, eager start, `ensure_future`.

use std::cell::Cell;

use ferrio_object::{Args, GilStatic, Obj, ObjCell, Signature, ThreadState, is_python_coroutine};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{Name, Task, registry, step};
use crate::coroutines::is_coroutine;
use crate::event_loop::{Hooks, LoopRef, Ready, running};
use crate::future::Future;
use crate::{exceptions, future_likes};

static COUNT: GilStatic<Cell<u64>> = GilStatic::new(Cell::new(0));

pub(crate) fn next_number(py: Python<'_>) -> u64 {
    let count = COUNT.get(py);
    count.set(count.get() + 1);
    count.get()
}

fn not_a_coroutine(obj: &Bound<'_, PyAny>) -> PyErr {
    match obj.repr() {
        Ok(shown) => PyTypeError::new_err(format!("a coroutine was expected, got {shown}")),
        Err(err) => err,
    }
}

struct Options<'a, 'py> {
    name: Option<&'a Bound<'py, PyAny>>,
    context: Option<&'a Bound<'py, PyAny>>,
    eager: bool,
}

fn name_of(py: Python<'_>, name: Option<&Bound<'_, PyAny>>) -> PyResult<Name> {
    match name {
        Some(name) if !name.is_none() => {
            // An exact str is kept, anything else becomes one.
            if name.is_exact_instance_of::<PyString>() {
                Ok(Name::Given(name.into()))
            } else {
                Ok(Name::Given(name.str()?.into()))
            }
        }
        _ => Ok(Name::Number(next_number(py))),
    }
}

/// The task's context; `None` for one without variables.
///
/// # Errors
/// `TypeError` for anything else than a context: the loop could not run in it (gh-157301).
fn context_of(py: Python<'_>, context: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Obj>> {
    match context {
        Some(context) if !context.is_none() => {
            let given = Obj::from(context);
            if !ThreadState::is_context(&given) {
                let kind = context.get_type();
                let message = format!("a contextvars.Context was expected, got {}", kind.name()?);
                return Err(PyTypeError::new_err(message));
            }
            Ok(Some(given))
        }
        _ => ThreadState::snapshot(py),
    }
}

/// A task of `event_loop` for a coroutine, scheduled.
///
/// # Errors
/// `TypeError` if it is no coroutine, `RuntimeError` if the loop is closed.
pub(crate) fn create(py: Python<'_>, event_loop: LoopRef, coro: &Bound<'_, PyAny>) -> PyResult<Obj<Task>> {
    build(py, event_loop, coro, &Options { name: None, context: None, eager: false })
}

/// `create_task(coro, *, name=None, context=None, eager_start=None)`.
///
/// # Errors
/// As [`create`].
#[inline]
pub(crate) fn create_from_call(
    py: Python<'_>,
    event_loop: LoopRef,
    coro: &Bound<'_, PyAny>,
    args: Args<'_, '_>,
) -> PyResult<Obj<Task>> {
    const SIGNATURE: Signature<4> =
        Signature::new("create_task", ["coro", "name", "context", "eager_start"]).positional(1);
    if !args.has_keywords() {
        return create(py, event_loop, coro);
    }
    let [_, name, context, eager] = args.bind(&SIGNATURE)?;
    let eager = eager.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?;
    build(py, event_loop, coro, &Options { name, context, eager })
}

/// A `coro` by keyword where there is one by position already.
///
/// # Errors
/// `TypeError` then.
#[inline]
pub(crate) fn refuse_coro_twice(args: &Args<'_, '_>) -> PyResult<()> {
    if !args.has_keywords() {
        return Ok(());
    }
    args.each_keyword(|name, _value| {
        if name.eq("coro")? {
            return Err(PyTypeError::new_err("create_task() got multiple values for argument 'coro'"));
        }
        Ok(())
    })
}

fn build(
    py: Python<'_>,
    event_loop: LoopRef,
    coro: &Bound<'_, PyAny>,
    options: &Options<'_, '_>,
) -> PyResult<Obj<Task>> {
    if !is_coroutine(py, coro)? {
        return Err(not_a_coroutine(coro));
    }
    build_checked(py, event_loop, coro, options)
}

/// As [`build`], of what is known to be a coroutine.
#[inline]
fn build_checked(
    py: Python<'_>,
    event_loop: LoopRef,
    coro: &Bound<'_, PyAny>,
    options: &Options<'_, '_>,
) -> PyResult<Obj<Task>> {
    let name = match options.name {
        None => Name::Number(next_number(py)),
        given => name_of(py, given)?,
    };
    let context = context_of(py, options.context)?;
    let debug = event_loop.get_debug(py)?;
    let task: Obj<Task> =
        Obj::create_with(py, || (((), Future::new(event_loop)), Task::new(coro.into(), context, name)))?;
    if debug {
        task.base().source_traceback.set(Some(crate::debug::extract_stack(py)?));
    }
    start(&task, py, options.eager)?;
    Ok(task)
}

/// `Task.__init__`.
pub(super) fn init(this: &Obj<Task>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<5> =
        Signature::new("Task", ["coro", "loop", "name", "context", "eager_start"]).positional(1);
    let [coro, event_loop, name, context, eager] = args.bind(&SIGNATURE)?;
    let Some(coro) = coro else { return Err(PyTypeError::new_err("Task() missing argument: 'coro'")) };
    let eager = eager.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?;
    Future::refuse_again(this.base(), py)?;
    this.base().initialize(py, event_loop)?;
    if !is_coroutine(py, coro)? {
        // Never started, so there is nothing to report when it goes away.
        this.log_destroy_pending.set(false);
        return Err(not_a_coroutine(coro));
    }
    let name = name_of(py, name)?;
    // Nor is one whose context is none.
    this.log_destroy_pending.set(false);
    let context = context_of(py, context)?;
    let old = this.name.replace(name);
    drop(old);
    this.has_context.set(true);
    this.context.set(context);
    this.coro.set(Some(coro.into()));
    this.fut_waiter.set(None);
    this.must_cancel.set(false);
    this.cancel_requests.set(0);
    this.log_destroy_pending.set(true);
    start(this, py, eager)
}

fn start(task: &Obj<Task>, py: Python<'_>, eager: bool) -> PyResult<()> {
    let event_loop = task.base().get_loop()?;
    if eager && running::get(py).is_some_and(|running| running.is(event_loop.as_any())) {
        return eager_start(task, py, event_loop);
    }
    // Where it was made is only known in debug mode.
    if let (true, LoopRef::Native(native)) = (task.base().source_traceback.is_some(), event_loop)
        && let Err(err) = native.check_thread()
    {
        // There is no task then, and nothing to report when the object goes away.
        task.log_destroy_pending.set(false);
        return Err(err);
    }
    match event_loop.push(|| Ready::Step(task.clone())) {
        Ok(true) => {}
        Ok(false) => step::step_soon(task, py, event_loop, None)?,
        Err(err) => {
            task.log_destroy_pending.set(false);
            return Err(err);
        }
    }
    registry::register(py, task);
    Ok(())
}

/// Runs the first step at once, inside whatever task is current.
fn eager_start(task: &Obj<Task>, py: Python<'_>, event_loop: &LoopRef) -> PyResult<()> {
    let outer = registry::swap_current(py, event_loop, None)?;
    registry::register(py, task);
    let outcome = match task.context(py)? {
        Some(context) => ThreadState::in_context(py, &context, || step::run(task, py, None)),
        None => step::run(task, py, None),
    };
    let outcome = outcome.map_err(|raised| exceptions::value_of(py, raised.take(py)));
    registry::swap_current(py, event_loop, outer)?;
    if outcome.is_err() {
        // It has not begun: its context is entered already.
        task.membership.leave();
        task.log_destroy_pending.set(false);
    }
    if task.base().is_done() {
        // asyncio lets go of the coroutine of a task that finished eagerly.
        task.coro.set(None);
    }
    outcome.map_err(|err| PyErr::from_value(err.bind(py).clone()))
}

/// `ensure_future(coro_or_future, loop=)`: futures as they are, coroutines as tasks, awaitables wrapped.
///
/// # Errors
/// `TypeError` for anything else, `ValueError` for a future of another loop.
pub(crate) fn ensure_future(
    py: Python<'_>,
    obj: &Bound<'_, PyAny>,
    event_loop: Option<&LoopRef>,
) -> PyResult<Obj> {
    let coroutine = is_python_coroutine(Obj::of(obj)) || crate::coroutines::is_native(Obj::of(obj));
    if coroutine
        && let Some(LoopRef::Native(native)) = event_loop
        && !native.replaces(Hooks::CREATE_TASK)
        && native.task_factory.is_none()
        && !native.is_closed()
    {
        let options = Options { name: None, context: None, eager: false };
        return Ok(build_checked(py, LoopRef::Native(native.clone()), obj, &options)?.into_any());
    }
    if !coroutine && future_likes::is_future(py, obj)? {
        if let Some(event_loop) = event_loop
            && !future_likes::loop_of(py, obj)?.is(event_loop)
        {
            return Err(PyValueError::new_err(
                "The future belongs to a different loop than the one specified as the loop argument",
            ));
        }
        return Ok(obj.into());
    }
    let (coro, wrapped) = if coroutine || is_coroutine(py, obj)? {
        (obj.clone(), false)
    } else if is_awaitable(py, obj)? {
        (wrap_awaitable(py, obj)?.into_bound(py), true)
    } else {
        return Err(PyTypeError::new_err("An asyncio.Future, a coroutine or an awaitable is required"));
    };
    let event_loop = match event_loop {
        Some(event_loop) => event_loop.clone(),
        None => running::loop_or_current(py, None)?,
    };
    let created = event_loop.as_any().bind(py).call_method1(intern!(py, "create_task"), (&coro,));
    match created {
        Ok(task) => Ok(task.into()),
        Err(err) => {
            // Ours to begin with, so nobody else can have awaited it.
            if !wrapped && err.is_instance_of::<PyRuntimeError>(py) {
                coro.call_method0(intern!(py, "close"))?;
            }
            if wrapped {
                coro.call_method0(intern!(py, "close"))?;
            }
            Err(err)
        }
    }
}

/// `inspect.isawaitable()`.
pub(crate) fn is_awaitable(py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    crate::imported::module(py, "inspect")?.call_method1("isawaitable", (obj,))?.is_truthy()
}

/// A coroutine around an awaitable. One made by Python: what `Task.get_coro()` gives for an awaitable has to be an
/// instance of `types.CoroutineType`, as asyncio's is.
fn wrap_awaitable(py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<Obj> {
    static WRAP: GilStatic<ObjCell> = GilStatic::new(ObjCell::empty());
    let cell = WRAP.get(py);
    let wrap = if let Some(wrap) = cell.get() {
        wrap
    } else {
        let names = PyDict::new(py);
        py.run(c"async def _wrap_awaitable(awaitable): return await awaitable", Some(&names), None)?;
        let made: Obj = names.get_item("_wrap_awaitable")?.into_pyobject(py)?.into();
        cell.set(Some(made.clone()));
        made
    };
    Ok(wrap.bind(py).call1((obj,))?.into())
}

pub(crate) fn py_ensure_future(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> =
        Signature::new("ensure_future", ["coro_or_future", "loop"]).positional(1).required(1);
    let [obj, event_loop] = args.bind(&SIGNATURE)?;
    let Some(obj) = obj else { return Ok(Obj::none(py)) };
    let event_loop = event_loop.filter(|event_loop| !event_loop.is_none()).map(LoopRef::new);
    ensure_future(py, obj, event_loop.as_ref())
}

/// `asyncio.create_task(coro, **kwargs)`: in the running loop.
pub(crate) fn py_create_task(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("create_task", ["coro"]);
    if args.len() > 1 {
        return Err(PyTypeError::new_err(format!(
            "create_task() takes 1 positional argument but {} were given",
            args.len()
        )));
    }
    let event_loop = running::running_loop(py)?;
    if let LoopRef::Native(native) = &event_loop
        && !native.replaces(Hooks::CREATE_TASK)
        && native.task_factory.is_none()
        && let Some(coro) = args.get(0)
    {
        native.check_closed()?;
        return Ok(create_from_call(py, event_loop, coro, args)?.into_any());
    }
    let ([coro], _, kwargs) = args.bind_all(&SIGNATURE)?;
    let kwargs = kwargs.unwrap_or_else(|| PyDict::new(py));
    if kwargs.get_item("context")?.is_some_and(|context| context.is_none()) {
        // asyncio uses the older API if no context is asked for.
        kwargs.del_item("context")?;
    }
    // Before 3.13 loops need not know of names.
    let name = if cfg!(Py_3_13) { None } else { kwargs.get_item("name")? };
    if name.is_some() {
        kwargs.del_item("name")?;
    }
    let task =
        event_loop.as_any().bind(py).call_method(intern!(py, "create_task"), (coro,), Some(&kwargs))?;
    if let Some(name) = name.filter(|name| !name.is_none()) {
        task.call_method1(intern!(py, "set_name"), (name,))?;
    }
    Ok(task.into())
}
