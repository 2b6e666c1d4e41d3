//! `staggered_race()`: start the next attempt when the one before fails or is slow; the first success wins.
//!
//! asyncio lets every attempt start the next one from within its own task. Here the caller's coroutine conducts: it
//! starts attempts, each a task, and sleeps on one future until an attempt fails, wins or is late.

use std::cell::{Cell, RefCell};

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Signature, raise};
use pyo3::exceptions::PyBaseException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::coro::{self, Co, Local};
use crate::event_loop::{Alarm, LoopRef, resolve_later, running};
use crate::exceptions;
use crate::future::{self, Future};
use crate::future_likes::{self, Outcome};
use crate::native_fn::{self, NativeFn};

/// The state of one race, shared with its attempts.
pub struct Race {
    event_loop: RefCell<Option<LoopRef>>,
    /// What iterating over the coroutine functions gives; empty when there are no more.
    functions: ObjCell,
    /// One entry per attempt started: its exception, or None.
    exceptions: ObjCell,
    winner: RefCell<Option<(Obj, usize)>>,
    started: Cell<usize>,
    /// Whether the attempt started last has failed.
    last_failed: Cell<bool>,
    running: RefCell<Vec<Obj>>,
    /// Errors that no attempt should have: `KeyboardInterrupt` and the like.
    unhandled: RefCell<Vec<Obj>>,
    /// What the conductor sleeps on.
    news: ObjCell<Future>,
    ended: ObjCell<NativeFn>,
}

impl Race {
    fn wake_conductor(&self, py: Python<'_>) -> PyResult<()> {
        match self.news.take() {
            Some(news) => future::wake(&news, py).map(drop),
            None => Ok(()),
        }
    }

    /// Done-callback of the attempts' tasks.
    fn task_ended(py: Python<'_>, held: &[Obj], task: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(this) = held.first().and_then(|obj| obj.cast_exact::<Race>()) else { return Ok(()) };
        let at = this.running.borrow().iter().position(|other| other.is_bound(task));
        if let Some(at) = at {
            drop(this.running.borrow_mut().swap_remove(at));
        }
        if let Outcome::Exception(exc) = future_likes::outcome(py, task)? {
            this.unhandled.borrow_mut().push(exc);
        }
        // The others ending is no news: it must not begin the delay anew.
        if this.running.borrow().is_empty() { this.wake_conductor(py) } else { Ok(()) }
    }

    /// The next attempt, if there is one.
    fn start_next(this: &Obj<Race>, py: Python<'_>) -> PyResult<bool> {
        let Some(functions) = this.functions.get() else { return Ok(false) };
        let Some(function) = functions.bind(py).try_iter()?.next().transpose()? else {
            this.functions.set(None);
            return Ok(false);
        };
        let index = this.started.get();
        this.started.set(index + 1);
        this.last_failed.set(false);
        if let Some(exceptions) = this.exceptions.get() {
            exceptions.bind(py).call_method1(intern!(py, "append"), (py.None(),))?;
        }
        let attempt = attempt(this, py, index, function.into())?;
        let (event_loop, ended) = (this.event_loop.borrow().clone(), this.ended.get());
        if let (Some(event_loop), Some(ended)) = (event_loop, ended) {
            let task: Obj =
                event_loop.as_any().bind(py).call_method1(intern!(py, "create_task"), (attempt,))?.into();
            this.running.borrow_mut().push(task.clone());
            future_likes::on_done(py, &task, &ended)?;
        }
        Ok(true)
    }

    fn cancel_running(&self, py: Python<'_>, except: Option<&Obj>, message: Option<&Obj>) -> PyResult<()> {
        let running = self.running.borrow().clone();
        for task in &running {
            if !except.is_some_and(|except| except.is(task)) {
                future_likes::cancel(py, task, message)?;
            }
        }
        Ok(())
    }

    fn failed(&self, py: Python<'_>, index: usize, err: PyErr) -> PyResult<()> {
        if exceptions::is_exit(py, &err) {
            return Err(err);
        }
        let exc = exceptions::value_of(py, err);
        if let Some(exceptions) = self.exceptions.get() {
            exceptions.bind(py).set_item(index, exc)?;
        }
        if index + 1 == self.started.get() {
            self.last_failed.set(true);
            return self.wake_conductor(py);
        }
        Ok(())
    }

    fn won(&self, py: Python<'_>, index: usize, value: Obj) -> PyResult<()> {
        self.winner.replace(Some((value, index)));
        self.functions.set(None);
        // A task that cancels itself where nothing is awaited any more would end neither done nor cancelled.
        let event_loop = self.event_loop.borrow().clone();
        let me = match event_loop {
            Some(event_loop) => crate::task::registry::current(py, &event_loop)?,
            None => None,
        };
        self.cancel_running(py, me.as_ref(), None)?;
        self.wake_conductor(py)
    }
}

/// One attempt, as a coroutine for a task of its own.
fn attempt(this: &Obj<Race>, py: Python<'_>, index: usize, function: Obj) -> PyResult<Obj> {
    coro::coroutine(py, "staggered_race.<locals>.run_one_coro", move |co| {
        let (this, function) = (co.hold(this), co.hold(function));
        async move {
            let called = function.get().bind(co.py()).call0().map(|coro| co.wait(Obj::from(coro)));
            let outcome = match called {
                Ok(wait) => wait.await,
                Err(err) => Err(err),
            };
            let (py, this) = (co.py(), this.get());
            match outcome {
                Ok(value) => this.won(py, index, value)?,
                Err(err) => this.failed(py, index, err)?,
            }
            Ok(Obj::none(py))
        }
    })
}

/// Stops the alarm however the sleep ends.
struct Sleeping {
    race: Obj<Race>,
    alarm: Option<Alarm>,
}

ferrio_object::traverse!(struct Sleeping { race, alarm });

impl Drop for Sleeping {
    fn drop(&mut self) {
        let py = self.race.py();
        if let Some(alarm) = self.alarm.take()
            && let Err(err) = alarm.cancel(py)
        {
            err.write_unraisable(py, None);
        }
    }
}

/// Sleeps until there are news, or for `delay`.
async fn sleep_on_news(co: &Co, held: &Local<Race>, delay: Option<&Local>) -> PyResult<()> {
    let (wait, sleeping) = {
        let (py, this) = (co.py(), held.get());
        let event_loop = this.event_loop.borrow().clone();
        let Some(event_loop) = event_loop else { return Ok(()) };
        let news = Future::create(py, event_loop.clone())?;
        this.news.set(Some(news.clone()));
        let alarm = match delay {
            None => None,
            Some(delay) => Some(resolve_later(&event_loop, py, delay.get().bind(py), &news, |py| {
                native_fn::function(py, "_release_waiter", Vec::new(), |py, _held, args| {
                    match args.get(0).and_then(Obj::<Future>::from_bound) {
                        Some(waiter) => future::wake(waiter, py).map(drop),
                        None => Ok(()),
                    }
                })
            })?),
        };
        (co.wait(news), co.keep(Sleeping { race: this, alarm }))
    };
    let woken = wait.await;
    drop(sleeping);
    woken.map(drop)
}

/// What the conductor does next.
enum Move {
    Sleep { or_until_late: bool },
    Finish,
}

/// The conductor. The race itself is reached through the frame only, so that an abandoned one can be collected.
async fn conduct(co: Co, held: Local<Race>, delay: Option<Local>) -> PyResult<Obj> {
    let mut cancelled: Option<Local> = None;
    let mut start = true;
    loop {
        match next_move(&co, &held, start)? {
            Move::Finish => return finish(&co, &held, cancelled),
            Move::Sleep { or_until_late } => {
                let delay = delay.as_ref().filter(|_| or_until_late);
                let slept = sleep_on_news(&co, &held, delay).await;
                let (py, this) = (co.py(), held.get());
                match slept {
                    // Without news it was the delay: the last attempt is late.
                    Ok(()) => start = this.news.take().is_some() || this.last_failed.get(),
                    Err(err) if exceptions::err_is_cancelled(py, &err) => {
                        let exc = exceptions::value_of(py, err);
                        let args = exc.bind(py).getattr(intern!(py, "args"))?;
                        let message: Option<Obj> = args.try_iter()?.next().transpose()?.map(Obj::from);
                        cancelled = Some(co.hold(exc));
                        this.functions.set(None);
                        this.cancel_running(py, None, message.as_ref())?;
                    }
                    Err(err) => return Err(err),
                }
            }
        }
    }
}

/// Starts attempts while it is their turn; an eager one may have failed before there is anything to sleep on.
fn next_move(co: &Co, held: &Local<Race>, mut start: bool) -> PyResult<Move> {
    let (py, this) = (co.py(), held.get());
    while start && Race::start_next(&this, py)? {
        start = this.last_failed.get();
    }
    if this.running.borrow().is_empty() {
        return Ok(Move::Finish);
    }
    Ok(Move::Sleep { or_until_late: this.functions.is_some() })
}

fn finish(co: &Co, held: &Local<Race>, cancelled: Option<Local>) -> PyResult<Obj> {
    let (py, this) = (co.py(), held.get());
    let unhandled = std::mem::take(&mut *this.unhandled.borrow_mut());
    if !unhandled.is_empty() {
        let group = crate::imported::module(py, "builtins")?.getattr("BaseExceptionGroup")?;
        let group = group.call1(("staggered race failed", PyList::new(py, unhandled)?))?;
        return Err(PyErr::from_value(group));
    }
    if let Some(cancelled) = cancelled {
        let exc = cancelled.get();
        if exc.bind(py).is_instance_of::<PyBaseException>() {
            return Err(raise(py, &exc));
        }
    }
    let (value, index) = match this.winner.take() {
        Some((value, index)) => (value, Some(index)),
        None => (Obj::none(py), None),
    };
    let exceptions = this.exceptions.take().unwrap_or_else(|| Obj::none(py));
    let index: Obj = index.into_pyobject(py)?.into();
    Ok(PyTuple::new(py, [value, index, exceptions])?.into())
}

/// `staggered_race(coro_fns, delay, *, loop=None)`.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(crate) fn py_staggered_race(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("staggered_race", ["coro_fns", "delay", "loop"]).positional(2).required(2);
    let [functions, delay, event_loop] = args.bind(&SIGNATURE)?;
    let functions = Obj::or_none(py, functions);
    let delay = Obj::unless_none(delay);
    let event_loop = Obj::unless_none(event_loop);
    coro::coroutine(py, "staggered_race", move |co| {
        let functions = co.hold(functions);
        let delay = delay.map(|delay| co.hold(delay));
        let event_loop = event_loop.map(|event_loop| co.hold(event_loop));
        async move {
            let race = {
                let py = co.py();
                let event_loop = match event_loop {
                    Some(event_loop) => event_loop.get(),
                    None => running::get_running_loop(py)?,
                };
                let race: Obj<Race> = Obj::create(py, ((), Race::blank()))?;
                race.event_loop.replace(Some(LoopRef::new(event_loop.bind(py))));
                race.functions.set(Some(functions.get().bind(py).try_iter()?.into_any().into()));
                race.exceptions.set(Some(PyList::empty(py).into()));
                let held = vec![race.as_any().clone()];
                race.ended.set(Some(native_fn::done_callback(
                    py,
                    "staggered_race.<locals>.task_done",
                    held,
                    Race::task_ended,
                )?));
                co.hold(race)
            };
            drop(functions);
            conduct(co, race, delay).await
        }
    })
}

impl Class for Race {
    type Base = Any;
    ferrio_object::fields!(Race {
        event_loop,
        functions,
        exceptions,
        winner,
        started,
        last_failed,
        running,
        unhandled,
        news,
        ended
    });
    const NAME: &'static str = "ferrio._ferrio._staggered_race";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Race {
            event_loop: RefCell::new(None),
            functions: ObjCell::empty(),
            exceptions: ObjCell::empty(),
            winner: RefCell::new(None),
            started: Cell::new(0),
            last_failed: Cell::new(false),
            running: RefCell::new(Vec::new()),
            unhandled: RefCell::new(Vec::new()),
            news: ObjCell::empty(),
            ended: ObjCell::empty(),
        }
    }

    fn define(_class: &mut ClassBuilder<Self>) {}
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Race>(module)?;
    ClassDef::coroutine_function(
        module,
        "staggered_race",
        py_staggered_race,
        "staggered_race(coro_fns, delay, *, loop=None)\n--\n\n\
         Coroutine: start one coroutine function after the other until one succeeds; cancel the rest.\n\n\
         The next is started when the one before fails, or `delay` seconds after it was started (None: only when\n\
         it fails). Returns (winner's result, its index, list of the exceptions of those that were started);\n\
         result and index are None if all failed.",
    )
}
