//! Futures that may not be ours: the duck type that asyncio documents (`_asyncio_future_blocking`, `get_loop`,
//! `add_done_callback(…, context=)`), and `concurrent.futures`.
//!
//! `cancel()` goes along what waits for what: a task cancels the future that it waits for, which may be a task that
//! waits for another, or a `gather()` of many. It takes no stack, however long the chain is.

use std::vec::IntoIter;

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::{PyAssertionError, PyRecursionError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::{LoopRef, running};
use crate::future::{self, Callback, Future, State};
use crate::gather::Gathering;
use crate::native_fn::{self, NativeFn};
use crate::task::Task;

/// Whether `obj` is a future: an object whose class has `_asyncio_future_blocking`, and which has it set.
#[inline]
pub(crate) fn is_future(py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    if Obj::<Future>::from_bound(obj).is_some() {
        return Ok(true);
    }
    // `__class__` and not the type: mocks made from a spec say there whom they imitate.
    let class = obj.getattr(intern!(py, "__class__"))?;
    if !class.hasattr(intern!(py, "_asyncio_future_blocking"))? {
        return Ok(false);
    }
    Ok(obj.getattr_opt(intern!(py, "_asyncio_future_blocking"))?.is_some_and(|blocking| !blocking.is_none()))
}

/// The loop of a future, by `get_loop()` or, of older look-alikes, `_loop`.
///
/// # Errors
/// `RuntimeError` if a future of ours is not initialised, `AttributeError` for what has neither.
pub(crate) fn loop_of(py: Python<'_>, fut: &Bound<'_, PyAny>) -> PyResult<LoopRef> {
    if let Some(ours) = exact(Obj::of(fut)) {
        return ours.get_loop().cloned();
    }
    let event_loop = match fut.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) => get_loop.call0()?,
        None => fut.getattr(intern!(py, "_loop"))?,
    };
    Ok(LoopRef::new(&event_loop))
}

/// One that has asked a future to be cancelled, and has to do something about the answer.
enum Asker {
    Task(Obj<Task>),
    /// A `gather()`, the children that it has not asked yet, and whether one has said yes.
    Gather(Obj<Gathering>, IntoIter<Obj>, bool),
}

/// Cancels a future or task, ours or not, subclassed or not, and what it waits for.
///
/// # Errors
/// What a foreign `cancel` raises; `RecursionError` where futures wait for one another in a circle.
pub(crate) fn cancel(py: Python<'_>, fut: &Obj, message: Option<&Obj>) -> PyResult<bool> {
    let mut askers = Vec::new();
    let answer = ask(py, fut, message, &mut askers)?;
    follow(py, answer, message, askers)
}

/// `Task.cancel()`, also of an instance of a subclass.
///
/// # Errors
/// As [`cancel`].
pub(crate) fn cancel_task(task: &Obj<Task>, py: Python<'_>, message: Option<&Obj>) -> PyResult<bool> {
    let mut askers = Vec::new();
    let answer = ask_task(task, py, message, &mut askers)?;
    follow(py, answer, message, askers)
}

/// As [`cancel_task`] for what `gather()` returns.
///
/// # Errors
/// As [`cancel`].
pub(crate) fn cancel_gathering(
    outer: &Obj<Gathering>,
    py: Python<'_>,
    message: Option<&Obj>,
) -> PyResult<bool> {
    let mut askers = Vec::new();
    let answer = ask_gathering(outer, &mut askers);
    follow(py, answer, message, askers)
}

/// Hands each answer to the question that it is for, and asks on, until the first question has its answer.
fn follow(
    py: Python<'_>,
    mut answer: Answer,
    message: Option<&Obj>,
    mut askers: Vec<Asker>,
) -> PyResult<bool> {
    let mut circle = Circle::new();
    loop {
        let is = match answer {
            Answer::Is(is) => is,
            Answer::Of(next) => {
                circle.look(&next, askers.len())?;
                answer = ask(py, &next, message, &mut askers)?;
                continue;
            }
        };
        match askers.pop() {
            None => return Ok(is),
            Some(Asker::Task(task)) => {
                if !is {
                    task.cancel_later(task.base(), message);
                }
                answer = Answer::Is(true);
            }
            Some(Asker::Gather(outer, mut children, any)) => {
                let any = any | is;
                answer = if let Some(child) = children.next() {
                    circle.turn(askers.len());
                    askers.push(Asker::Gather(outer, children, any));
                    ask(py, &child, message, &mut askers)?
                } else {
                    if any {
                        Gathering::children_cancelled(&outer, message);
                    }
                    Answer::Is(any)
                };
            }
        }
    }
}

enum Answer {
    Is(bool),
    /// It is that of another future, with the asker noted.
    Of(Obj),
}

fn ask(py: Python<'_>, fut: &Obj, message: Option<&Obj>, askers: &mut Vec<Asker>) -> PyResult<Answer> {
    if let Some(task) = fut.cast_exact::<Task>() {
        return ask_task(task, py, message, askers);
    }
    if let Some(plain) = fut.cast_exact::<Future>() {
        return future::cancel(plain, py, message.cloned()).map(Answer::Is);
    }
    if let Some(outer) = fut.cast_exact::<Gathering>() {
        return Ok(ask_gathering(outer, askers));
    }
    // By position, as asyncio's C code passes it.
    fut.bind(py).call_method1(intern!(py, "cancel"), (message,))?.is_truthy().map(Answer::Is)
}

fn ask_task(
    task: &Obj<Task>,
    py: Python<'_>,
    message: Option<&Obj>,
    askers: &mut Vec<Asker>,
) -> PyResult<Answer> {
    let fut = task.base();
    fut.log_traceback.set(false);
    if fut.is_done() {
        return Ok(Answer::Is(false));
    }
    task.cancel_requests.set(task.cancel_requests.get() + 1);
    let Some(waiter) = task.fut_waiter.get() else {
        task.cancel_later(fut, message);
        return Ok(Answer::Is(true));
    };
    let Some(plain) = waiter.cast_exact::<Future>() else {
        askers.push(Asker::Task(task.clone()));
        return Ok(Answer::Of(waiter));
    };
    // If it is cancelled, its callbacks will step the task, with the CancelledError.
    if !future::cancel(plain, py, message.cloned())? {
        task.cancel_later(fut, message);
    }
    Ok(Answer::Is(true))
}

fn ask_gathering(outer: &Obj<Gathering>, askers: &mut Vec<Asker>) -> Answer {
    let mut children = outer.children_to_cancel(outer.base()).into_iter();
    let Some(first) = children.next() else { return Answer::Is(false) };
    askers.push(Asker::Gather(outer.clone(), children, false));
    Answer::Of(first)
}

/// Notices when a chain comes back to itself: it is compared with one of its links, and that is moved on each time the
/// chain has become twice as long.
struct Circle {
    link: Option<Obj>,
    depth: usize,
}

impl Circle {
    const fn new() -> Self {
        Circle { link: None, depth: 16 }
    }

    /// The chain has got one link longer.
    fn look(&mut self, next: &Obj, depth: usize) -> PyResult<()> {
        if depth >= 2 * self.depth {
            self.link = Some(next.clone());
            self.depth = depth;
        } else if self.link.as_ref().is_some_and(|link| link.is(next)) {
            return Err(PyRecursionError::new_err(
                "maximum recursion depth exceeded: futures that wait for one another in a circle",
            ));
        }
        Ok(())
    }

    /// The chain goes on another way from here.
    fn turn(&mut self, depth: usize) {
        if depth <= self.depth {
            self.link = None;
            self.depth = depth.max(16);
        }
    }
}

/// One of our futures of which nothing is overridden.
#[inline]
pub(crate) fn exact(obj: &Obj) -> Option<&Obj<Future>> {
    if let Some(task) = obj.cast_exact::<Task>() {
        return Some(task.base());
    }
    obj.cast_exact::<Future>().or_else(|| obj.cast_exact::<Gathering>().map(Obj::base))
}

/// Has a done-callback of ours told when any future, ours or not, is done.
///
/// # Errors
/// What a foreign `add_done_callback` raises.
pub(crate) fn on_done(py: Python<'_>, fut: &Obj, callback: &Obj<NativeFn>) -> PyResult<()> {
    match exact(fut) {
        Some(ours) => future::add_callback(ours, py, Callback::Native(callback.clone())),
        None => fut.bind(py).call_method1(intern!(py, "add_done_callback"), (callback,)).map(drop),
    }
}

/// Undoes [`on_done`].
///
/// # Errors
/// What a foreign `remove_done_callback` raises.
pub(crate) fn off_done(py: Python<'_>, fut: &Obj, callback: &Obj<NativeFn>) -> PyResult<()> {
    match exact(fut) {
        Some(ours) => {
            future::remove_native(ours, callback);
            Ok(())
        }
        None => fut.bind(py).call_method1(intern!(py, "remove_done_callback"), (callback,)).map(drop),
    }
}

/// Whether a future is done.
///
/// # Errors
/// What a foreign `done` raises.
#[inline]
pub(crate) fn is_done(py: Python<'_>, fut: &Obj) -> PyResult<bool> {
    match exact(fut) {
        Some(ours) => Ok(ours.is_done()),
        None => fut.bind(py).call_method0(intern!(py, "done"))?.is_truthy(),
    }
}

/// How a future that is done has ended.
pub(crate) enum Outcome {
    Result(Obj),
    Exception(Obj),
    Cancelled,
}

/// The outcome of a future that is done; an exception counts as retrieved.
///
/// # Errors
/// What a foreign method raises.
pub(crate) fn outcome(py: Python<'_>, fut: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    if let Some(ours) = exact(Obj::of(fut)) {
        return Ok(match ours.state.get() {
            State::Cancelled => Outcome::Cancelled,
            _ => match ours.exception.get() {
                Some(_) => Outcome::Exception(fut.call_method0(intern!(py, "exception"))?.into()),
                None => Outcome::Result(ours.get_result(py)?),
            },
        });
    }
    if fut.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Outcome::Cancelled);
    }
    let exception = fut.call_method0(intern!(py, "exception"))?;
    if exception.is_none() {
        return Ok(Outcome::Result(fut.call_method0(intern!(py, "result"))?.into()));
    }
    Ok(Outcome::Exception(exception.into()))
}

/// Whether a future was cancelled.
///
/// # Errors
/// What a foreign `cancelled` raises.
#[inline]
pub(crate) fn is_cancelled(py: Python<'_>, fut: &Obj) -> PyResult<bool> {
    match exact(fut) {
        Some(ours) => Ok(ours.is_cancelled()),
        None => fut.bind(py).call_method0(intern!(py, "cancelled"))?.is_truthy(),
    }
}

/// Sets the result of a future that somebody waits for, unless it is done. Returns whether it did.
///
/// # Errors
/// What a foreign future's methods raise.
#[inline]
pub(crate) fn resolve(py: Python<'_>, waiter: &Obj, result: Obj) -> PyResult<bool> {
    if is_done(py, waiter)? {
        return Ok(false);
    }
    match waiter.cast_exact::<Future>() {
        Some(fut) => future::set_result(fut, py, result)?,
        None => drop(waiter.bind(py).call_method1(intern!(py, "set_result"), (result,))?),
    }
    Ok(true)
}

/// Wakes whatever waits for a future: [`resolve`] with `None`.
///
/// # Errors
/// What a foreign future's methods raise.
#[inline]
pub(crate) fn wake(py: Python<'_>, waiter: &Obj) -> PyResult<bool> {
    resolve(py, waiter, Obj::none(py))
}

/// Gives a waiter an exception, unless it was cancelled.
///
/// # Errors
/// What a foreign future's methods raise.
pub(crate) fn fail(py: Python<'_>, waiter: &Obj, exc: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(fut) = waiter.cast_exact::<Future>() {
        if fut.is_cancelled() {
            return Ok(());
        }
        return future::set_exception(fut, py, exc);
    }
    let waiter = waiter.bind(py);
    if !waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        waiter.call_method1(intern!(py, "set_exception"), (exc,))?;
    }
    Ok(())
}

pub(crate) fn py_isfuture(py: Python<'_>, args: Args<'_, '_>) -> PyResult<bool> {
    let [obj] = args.bind(&Signature::new("isfuture", ["obj"]))?;
    obj.map_or(Ok(false), |obj| is_future(py, obj))
}

fn is_concurrent(py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    obj.is_instance(&py.import("concurrent.futures")?.getattr("Future")?)
}

/// `wrap_future(future, *, loop=None)`: a future of ours that ends as the concurrent one does.
///
/// # Errors
/// `AssertionError` for anything else, as asyncio.
pub(crate) fn wrap_future(
    py: Python<'_>,
    concurrent: &Bound<'_, PyAny>,
    event_loop: Option<&Bound<'_, PyAny>>,
) -> PyResult<Obj> {
    if is_future(py, concurrent)? {
        return Ok(concurrent.into());
    }
    if !is_concurrent(py, concurrent)? {
        let shown = concurrent.repr()?;
        return Err(PyAssertionError::new_err(format!("concurrent.futures.Future is expected, got {shown}")));
    }
    let fut = running::loop_or_current(py, event_loop)?.create_future(py)?;
    chain(py, &concurrent.into(), &fut)?;
    Ok(fut)
}

pub(crate) fn py_wrap_future(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> = Signature::new("wrap_future", ["future", "loop"]).positional(1);
    let [fut, event_loop] = args.bind(&SIGNATURE)?;
    let Some(fut) = fut else { return Err(PyTypeError::new_err("a future is required")) };
    wrap_future(py, fut, event_loop)
}

/// Ties two futures, asyncio or concurrent: when `source` ends, `destination` ends alike; when `destination` is
/// cancelled, `source` is too.
///
/// # Errors
/// `TypeError` if either is no future.
pub(crate) fn chain(py: Python<'_>, source: &Obj, destination: &Obj) -> PyResult<()> {
    let source_ours = is_future(py, source.bind(py))?;
    let destination_ours = is_future(py, destination.bind(py))?;
    if !source_ours && !is_concurrent(py, source.bind(py))? {
        return Err(PyTypeError::new_err("A future is required for source argument"));
    }
    if !destination_ours && !is_concurrent(py, destination.bind(py))? {
        return Err(PyTypeError::new_err("A future is required for destination argument"));
    }
    let loop_or_none = |ours: bool, fut: &Obj| -> PyResult<Obj> {
        if ours { Ok(loop_of(py, fut.bind(py))?.as_any().clone()) } else { Ok(Obj::none(py)) }
    };
    let source_loop = loop_or_none(source_ours, source)?;
    let destination_loop = loop_or_none(destination_ours, destination)?;
    let held = vec![source.clone(), destination.clone(), source_loop.clone(), destination_loop.clone()];
    let cancelled = native_fn::function(py, "_call_check_cancel", held.clone(), check_cancel)?;
    destination.bind(py).call_method1(intern!(py, "add_done_callback"), (cancelled,))?;
    let ended = native_fn::function(py, "_call_set_state", held, set_state)?;
    source.bind(py).call_method1(intern!(py, "add_done_callback"), (ended,))?;
    Ok(())
}

fn check_cancel(py: Python<'_>, held: &[Obj], args: Args<'_, '_>) -> PyResult<()> {
    let ([source, _, source_loop, _], Some(destination)) = (held, args.get(0)) else {
        return Ok(());
    };
    if !destination.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(());
    }
    if source_loop.is_none() || runs_here(py, source_loop) {
        source.bind(py).call_method0(intern!(py, "cancel"))?;
    } else {
        let cancel = source.bind(py).getattr(intern!(py, "cancel"))?;
        source_loop.bind(py).call_method1(intern!(py, "call_soon_threadsafe"), (cancel,))?;
    }
    Ok(())
}

fn set_state(py: Python<'_>, held: &[Obj], args: Args<'_, '_>) -> PyResult<()> {
    let ([_, destination, source_loop, destination_loop], Some(source)) = (held, args.get(0)) else {
        return Ok(());
    };
    let bound = destination.bind(py);
    let destination_cancelled = || bound.call_method0(intern!(py, "cancelled"))?.is_truthy();
    if !destination_loop.is_none()
        && destination_cancelled()?
        && destination_loop_closed(py, destination_loop)?
    {
        return Ok(());
    }
    // Before 3.14 a future that is done already when it is chained takes a turn all the same.
    let at_once =
        if cfg!(Py_3_14) { runs_here(py, destination_loop) } else { destination_loop.is(source_loop) };
    if destination_loop.is_none() || at_once {
        return transfer(py, source, destination);
    }
    if destination_loop_closed(py, destination_loop)? {
        return Ok(());
    }
    let copy =
        native_fn::function(py, "_set_state", vec![source.into(), destination.clone()], |py, held, _| {
            let [source, destination] = held else { return Ok(()) };
            transfer(py, source.bind(py), destination)
        })?;
    destination_loop.bind(py).call_method1(intern!(py, "call_soon_threadsafe"), (copy,))?;
    Ok(())
}

/// Whether a loop runs in this thread: its futures may be touched at once, and have to be if the loop is to see what
/// happens to them in this turn (gh-105836).
fn runs_here(py: Python<'_>, event_loop: &Obj) -> bool {
    running::get(py).is_some_and(|running| running.is(event_loop))
}

fn destination_loop_closed(py: Python<'_>, event_loop: &Obj) -> PyResult<bool> {
    event_loop.bind(py).call_method0(intern!(py, "is_closed"))?.is_truthy()
}

/// Copies the outcome of `source` to `destination`, converting exceptions between the two families.
pub(crate) fn transfer(py: Python<'_>, source: &Bound<'_, PyAny>, destination: &Obj) -> PyResult<()> {
    let target = destination.bind(py);
    let ours = is_future(py, target)?;
    if target.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(());
    }
    if ours {
        if target.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        if source.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            target.call_method0(intern!(py, "cancel"))?;
            return Ok(());
        }
    } else {
        if source.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            target.call_method0(intern!(py, "cancel"))?;
        }
        if !target.call_method0(intern!(py, "set_running_or_notify_cancel"))?.is_truthy()? {
            return Ok(());
        }
    }
    let exception = source.call_method0(intern!(py, "exception"))?;
    if exception.is_none() {
        let result = source.call_method0(intern!(py, "result"))?;
        target.call_method1(intern!(py, "set_result"), (result,))?;
    } else {
        let converted = convert_exception(py, &exception)?;
        target.call_method1(intern!(py, "set_exception"), (converted,))?;
    }
    Ok(())
}

/// concurrent.futures' own exceptions as asyncio's; all others as they are.
pub(crate) fn convert_exception<'py>(
    py: Python<'py>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let concurrent = py.import("concurrent.futures")?;
    let class = exception.get_type();
    let ours = if class.is(&concurrent.getattr("CancelledError")?) {
        crate::exceptions::cancelled_error(py)?.clone()
    } else if class.is(&concurrent.getattr("InvalidStateError")?) {
        crate::exceptions::class(py, "InvalidStateError")?
    } else {
        return Ok(exception.clone());
    };
    let args = exception.getattr(intern!(py, "args"))?;
    let converted = ours.bind(py).call1(args.cast_into::<pyo3::types::PyTuple>()?)?;
    converted.call_method1(intern!(py, "with_traceback"), (exception.getattr(intern!(py, "__traceback__"))?,))
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "isfuture",
        py_isfuture,
        "isfuture(obj)\n--\n\nWhether obj is a future (since 3.5).",
    )?;
    ClassDef::function(
        module,
        "wrap_future",
        py_wrap_future,
        "wrap_future(future, *, loop=None)\n--\n\n\
         A Future with the outcome of a concurrent.futures.Future; to cancel one of the two cancels the other.\n\n\
         One of asyncio's is returned as it is.",
    )
}
