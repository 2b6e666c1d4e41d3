//! `asyncio.wait`: until some or all of several futures are done.

use std::cell::{Cell, RefCell};

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PySet, PyTuple};

use crate::coro::{self, Co, Local};
use crate::event_loop::{Alarm, resolve_later, running};
use crate::future::{self, Future};
use crate::future_likes::{self, Outcome};
use crate::native_fn::{self, NativeFn};
use crate::task;

/// When a `wait()` ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    First,
    FirstException,
    All,
}

/// The state of one `wait()`, shared with the callback that its futures have.
pub struct Wait {
    until: Cell<Until>,
    /// Futures that are not done yet.
    left: Cell<usize>,
    waiter: ObjCell<Future>,
    alarm: RefCell<Option<Alarm>>,
}

impl Wait {
    /// One of the futures is done.
    fn future_done(py: Python<'_>, held: &[Obj], fut: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(this) = held.first().and_then(|obj| obj.cast_exact::<Wait>()) else { return Ok(()) };
        let left = this.left.get().saturating_sub(1);
        this.left.set(left);
        let ends = left == 0
            || match this.until.get() {
                Until::All => false,
                Until::First => true,
                Until::FirstException => {
                    matches!(future_likes::outcome(py, fut)?, Outcome::Exception(_))
                }
            };
        if ends { this.release(py) } else { Ok(()) }
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.stop_alarm(py)?;
        match self.waiter.get() {
            Some(waiter) => future::wake(&waiter, py).map(drop),
            None => Ok(()),
        }
    }

    fn stop_alarm(&self, py: Python<'_>) -> PyResult<()> {
        let alarm = self.alarm.borrow_mut().take();
        alarm.map_or(Ok(()), |alarm| alarm.cancel(py))
    }
}

/// What has to be undone however the wait ends: it may be cancelled, or closed without being resumed.
struct Registered {
    co: Co,
    futures: Local,
    callback: Local<NativeFn>,
    waiting: Local<Wait>,
    /// How many of the futures have the callback: one of them may have refused it.
    count: Cell<usize>,
}

impl Registered {
    fn undo(&self) -> PyResult<()> {
        let py = self.co.py();
        let (futures, callback, waiting) = (self.futures.get(), self.callback.get(), self.waiting.get());
        waiting.stop_alarm(py)?;
        futures
            .bind(py)
            .cast::<PyTuple>()?
            .iter()
            .take(self.count.take())
            .try_for_each(|fut| future_likes::off_done(py, &fut.into(), &callback))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Err(err) = self.undo() {
            err.write_unraisable(self.co.py(), None);
        }
    }
}

/// The futures to wait for, each once.
fn futures_of<'py>(py: Python<'py>, given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    if future_likes::is_future(py, given)? || task::is_coroutine(py, given)? {
        let name = given.get_type().name()?;
        return Err(PyTypeError::new_err(format!("expect a list of futures, not {name}")));
    }
    if !given.is_truthy()? {
        return Err(PyValueError::new_err("Set of Tasks/Futures is empty."));
    }
    let set = PySet::empty(py)?;
    let mut futures = Vec::new();
    for fut in given.try_iter()? {
        let fut = fut?;
        let before = set.len();
        set.add(&fut)?;
        if set.len() > before {
            futures.push(fut);
        }
    }
    PyTuple::new(py, futures)
}

fn refuse_coroutines(py: Python<'_>, futures: &Bound<'_, PyTuple>) -> PyResult<()> {
    for fut in futures.iter() {
        if task::is_coroutine(py, &fut)? {
            return Err(PyTypeError::new_err("Passing coroutines is forbidden, use tasks explicitly."));
        }
    }
    Ok(())
}

fn until_of(given: &Bound<'_, PyAny>) -> PyResult<Until> {
    for (name, until) in [
        ("FIRST_COMPLETED", Until::First),
        ("FIRST_EXCEPTION", Until::FirstException),
        ("ALL_COMPLETED", Until::All),
    ] {
        if given.eq(name)? {
            return Ok(until);
        }
    }
    Err(PyValueError::new_err(format!("Invalid return_when value: {}", given.str()?)))
}

/// Registers with every future.
fn begin(
    co: &Co,
    given: &Local,
    timeout: Option<&Local>,
    return_when: Option<&Local>,
) -> PyResult<(Registered, Obj<Future>)> {
    let py = co.py();
    let given = given.get();
    let given = given.bind(py);
    let futures = futures_of(py, given)?;
    let until = return_when.map_or(Ok(Until::All), |return_when| until_of(return_when.get().bind(py)))?;
    refuse_coroutines(py, &futures)?;
    if futures.is_empty() {
        // An iterable that is true but has nothing to give.
        return Err(PyAssertionError::new_err("Set of Futures is empty."));
    }
    let event_loop = running::running_loop(py)?;
    let waiter = Future::create(py, event_loop.clone())?;
    let alarm = match timeout {
        None => None,
        Some(timeout) => {
            let timeout = timeout.get();
            Some(resolve_later(&event_loop, py, timeout.bind(py), &waiter, release_callable)?)
        }
    };
    let waiting: Obj<Wait> = Obj::create(
        py,
        (
            (),
            Wait {
                until: Cell::new(until),
                left: Cell::new(futures.len()),
                waiter: ObjCell::new(waiter.clone()),
                alarm: RefCell::new(alarm),
            },
        ),
    )?;
    let callback = native_fn::done_callback(
        py,
        "_wait.<locals>._on_completion",
        vec![waiting.as_any().clone()],
        Wait::future_done,
    )?;
    callback.set_resolves(&waiter);
    let registered = Registered {
        co: co.clone(),
        futures: co.hold(Obj::from(&futures)),
        callback: co.hold(&callback),
        waiting: co.hold(waiting),
        count: Cell::new(0),
    };
    for fut in futures.iter() {
        future_likes::on_done(py, &fut.into(), &callback)?;
        registered.count.set(registered.count.get() + 1);
    }
    Ok((registered, waiter))
}

/// For loops whose timers are called through Python: what a timer calls with the waiter.
fn release_callable(py: Python<'_>) -> PyResult<Obj> {
    native_fn::function(py, "_release_waiter", Vec::new(), |py, _held, args| {
        match args.get(0).and_then(Obj::<Future>::from_bound) {
            Some(waiter) => future::wake(waiter, py).map(drop),
            None => Ok(()),
        }
    })
}

/// `wait(fs, *, timeout=None, return_when=ALL_COMPLETED)`.
///
/// # Errors
/// `TypeError` for wrong arguments; everything else comes out of the coroutine.
pub(crate) fn py_wait(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("wait", ["fs", "timeout", "return_when"]).positional(1).required(1);
    let [given, timeout, return_when] = args.bind(&SIGNATURE)?;
    wait(py, given, timeout, return_when)
}

/// The coroutine of `wait()`.
///
/// # Errors
/// `MemoryError`; everything else comes out of the coroutine.
pub(crate) fn wait(
    py: Python<'_>,
    given: Option<&Bound<'_, PyAny>>,
    timeout: Option<&Bound<'_, PyAny>>,
    return_when: Option<&Bound<'_, PyAny>>,
) -> PyResult<Obj> {
    let given = Obj::or_none(py, given);
    let timeout = Obj::unless_none(timeout);
    let return_when = return_when.map(Obj::from);
    coro::coroutine(py, "wait", move |co| {
        let given = co.hold(given);
        let timeout = timeout.map(|timeout| co.hold(timeout));
        let return_when = return_when.map(|return_when| co.hold(return_when));
        async move {
            let (registered, wait) = {
                let (registered, waiter) = begin(&co, &given, timeout.as_ref(), return_when.as_ref())?;
                (registered, co.wait(waiter))
            };
            drop(given);
            wait.await?;
            registered.undo()?;
            let py = co.py();
            let futures = registered.futures.get();
            let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
            for fut in futures.bind(py).cast::<PyTuple>()?.iter() {
                if future_likes::is_done(py, &(&fut).into())? { done.add(fut)? } else { pending.add(fut)? }
            }
            Ok(PyTuple::new(py, [done, pending])?.into())
        }
    })
}

impl Class for Wait {
    type Base = Any;
    ferrio_object::fields!(Wait { until, left, waiter, alarm });
    const NAME: &'static str = "ferrio._ferrio._waiting";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Wait {
            until: Cell::new(Until::All),
            left: Cell::new(0),
            waiter: ObjCell::empty(),
            alarm: RefCell::new(None),
        }
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Wait>(module)?;
    ClassDef::coroutine_function(
        module,
        "wait",
        py_wait,
        "wait(fs, *, timeout=None, return_when='ALL_COMPLETED')\n--\n\n\
         Coroutine: wait for some or all of the futures; return the sets (done, pending).\n\n\
         `timeout` in seconds; when it is over, what is not done is pending, and nothing is raised or cancelled.\n\
         Coroutines are refused with TypeError (since 3.11), no futures at all with ValueError.",
    )
}
