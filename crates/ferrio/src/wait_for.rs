//! `asyncio.wait_for`: await something for so many seconds at most.
//!
//! As asyncio since 3.12, on every Python: the awaitable runs in the task that waits, under a [`Timeout`]. Its first
//! step is taken before the timer is set, and what ends in it costs no timer at all; the deadline counts from before.
//!
//! Only futures and tasks are waited for on 3.11 as 3.11 does: through a waiter, so that a `wait_for` which waits for
//! a task to end after its time was up can itself be cancelled.

use std::cell::Cell;

use ferrio_core::clock;
use ferrio_object::{
    Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Sent, Signature, WeakList, await_iter, send,
};
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::coro::{self, Co};
use crate::event_loop::{LoopRef, running};
use crate::task::{self, registry};
use crate::timeouts::{Timeout, timed_out};
use crate::{coroutines, exceptions, future_likes, native_fn};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Running,
    Waiting,
    Done,
}

/// The contents of the coroutine that `wait_for()` returns.
pub struct WaitFor {
    state: Cell<State>,
    /// What is awaited; once begun, its iterator.
    inner: ObjCell,
    /// Seconds, or nothing for no limit.
    limit: ObjCell,
    timeout: ObjCell<Timeout>,
    weaklist: WeakList,
}

/// The coroutine of `wait_for(awaitable, limit)`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn coroutine(py: Python<'_>, awaitable: Obj, limit: Obj) -> PyResult<Obj> {
    let contents = WaitFor {
        state: Cell::new(State::Created),
        inner: ObjCell::new(awaitable),
        limit: (!limit.is_none()).then_some(limit).into(),
        timeout: ObjCell::empty(),
        weaklist: WeakList::new(),
    };
    Ok(Obj::<WaitFor>::create(py, ((), contents))?.into_any())
}

/// Awaits `awaitable` for at most `timeout` seconds.
///
/// # Errors
/// `TimeoutError` when the time is up, and what the awaitable raises.
pub(crate) async fn wait_at_most(co: &Co, awaitable: Obj, timeout: Obj) -> PyResult<Obj> {
    let waiting = coroutine(co.py(), awaitable, timeout)?;
    co.wait(waiting).await
}

/// `wait_for(fut, timeout)`.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(crate) fn py_wait_for(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [awaitable, limit] = args.bind(&Signature::new("wait_for", ["fut", "timeout"]))?;
    let given = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    coroutine(py, given(awaitable), given(limit))
}

impl WaitFor {
    pub(crate) fn closed(&self) -> bool {
        self.state.get() == State::Done
    }

    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created => {
                if value.is_some_and(|value| !value.is_none()) {
                    return Err(PyTypeError::new_err(
                        "can't send non-None value to a just-started coroutine",
                    ));
                }
                this.state.set(State::Running);
                let sent = this.begin(py);
                this.after_step(py, sent)
            }
            State::Waiting => {
                let Some(inner) = this.inner.get() else { return Err(reused()) };
                this.state.set(State::Running);
                let sent = match value {
                    None => send(py, &inner, None),
                    Some(value) => send(py, &inner, Some(&value.into())),
                };
                this.after_step(py, sent)
            }
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Done => Err(reused()),
        }
    }

    /// Takes the first step of what is awaited.
    fn begin(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(awaitable) = self.inner.take() else { return Err(reused()) };
        let event_loop = running::running_loop(py)?;
        let limit = self.limit.take();
        let seconds = limit.as_ref().and_then(|limit| limit.bind(py).extract::<f64>().ok());
        if let Some(limit) = &limit {
            let over = match seconds {
                Some(seconds) => seconds <= 0.0,
                None => limit.bind(py).le(0)?,
            };
            if over {
                let inner = time_is_up(py, event_loop, awaitable)?;
                self.inner.set(Some(inner.clone()));
                return send(py, &inner, None);
            }
        }
        if !cfg!(Py_3_12)
            && let Some(limit) = &limit
            && future_likes::is_future(py, awaitable.bind(py))?
        {
            let inner = future_in_time(py, event_loop, awaitable, limit.clone())?;
            self.inner.set(Some(inner.clone()));
            return send(py, &inner, None);
        }
        let Some(task) = registry::current(py, &event_loop)? else {
            return Err(PyRuntimeError::new_err("Timeout should be used inside a task"));
        };
        let Some(limit) = limit else { return self.first_step(py, awaitable) };
        if let (Some(seconds), Some(native)) = (seconds, event_loop.native_clock()) {
            native.check_closed()?;
            let deadline = clock::monotonic() + seconds;
            // Cancellations asked for during the first step are not what the timeout may take back.
            let cancelling = task::cancelling(py, &task)?;
            let sent = self.first_step(py, awaitable)?;
            if matches!(sent, Sent::Next(_)) && !deadline.is_nan() {
                let timeout = Timeout::at(py, deadline)?;
                Timeout::enter_as(&timeout, py, &event_loop, task, cancelling)?;
                self.timeout.set(Some(timeout));
            }
            return Ok(sent);
        }
        let timeout = Timeout::after(py, &event_loop, limit.bind(py))?;
        Timeout::enter(&timeout, py, &event_loop)?;
        self.timeout.set(Some(timeout));
        self.first_step(py, awaitable)
    }

    fn first_step(&self, py: Python<'_>, awaitable: Obj) -> PyResult<Sent> {
        let inner =
            if coroutines::is_native(py, &awaitable) { awaitable } else { await_iter(py, &awaitable)? };
        let sent = send(py, &inner, None);
        if matches!(sent, Ok(Sent::Next(_))) {
            self.inner.set(Some(inner));
        }
        sent
    }

    /// Notes what a step came to, and leaves the timeout if it was the last one.
    #[inline]
    fn after_step(&self, py: Python<'_>, sent: PyResult<Sent>) -> PyResult<Sent> {
        if matches!(sent, Ok(Sent::Next(_))) {
            self.state.set(State::Waiting);
            return sent;
        }
        self.state.set(State::Done);
        self.inner.set(None);
        let Some(timeout) = self.timeout.take() else { return sent };
        match sent {
            Ok(sent) => match timeout.exit(py, None)? {
                None => Ok(sent),
                Some(err) => Err(err),
            },
            Err(err) => {
                let exc = exceptions::value_of(py, err);
                match timeout.exit(py, Some(&exc))? {
                    None => Err(ferrio_object::raise(py, &exc)),
                    Some(timed_out) => Err(timed_out),
                }
            }
        }
    }

    /// `throw()` with an error in hand.
    pub(crate) fn throw_error(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        match this.state.get() {
            State::Created => {
                this.finish();
                Err(err)
            }
            State::Waiting => {
                let Some(inner) = this.inner.get() else { return Err(reused()) };
                this.state.set(State::Running);
                let sent = if err.is_instance_of::<PyGeneratorExit>(py) {
                    coro::close_iterator(py, &inner).and(Err(err))
                } else {
                    coroutines::throw_into(py, &inner, err)
                };
                this.after_step(py, sent)
            }
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Done => Err(reused()),
        }
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = coroutines::thrown_error(py, &args)?;
        Self::throw_error(this, py, err)
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.state.get() == State::Running {
            return Err(PyValueError::new_err("coroutine already executing"));
        }
        let waiting = this.state.get() == State::Waiting;
        let inner = this.inner.take();
        let timeout = this.timeout.take();
        this.finish();
        let closed = match inner {
            Some(inner) if waiting => coro::close_iterator(py, &inner),
            _ => Ok(()),
        };
        if let Some(timeout) = timeout {
            timeout.exit(py, None)?;
        }
        closed
    }

    fn finish(&self) {
        self.state.set(State::Done);
        self.inner.set(None);
        self.limit.set(None);
        self.timeout.set(None);
    }
}

/// `wait_for` with no time left: what is done already counts, anything else is cancelled before it can begin.
fn time_is_up(py: Python<'_>, event_loop: LoopRef, awaitable: Obj) -> PyResult<Obj> {
    coro::coroutine(py, "wait_for", move |co| async move {
        let fut = {
            let py = co.py();
            let fut = task::ensure_future(py, awaitable.bind(py), Some(&event_loop))?;
            drop(awaitable);
            if is_done(py, &fut)? {
                return result(py, &fut);
            }
            co.hold(&fut)
        };
        cancel_and_wait(&co, &event_loop, fut.get()).await?;
        result_or_timeout(co.py(), &fut.get())
    })
}

/// `wait_for` of a future on 3.11.
fn future_in_time(py: Python<'_>, event_loop: LoopRef, fut: Obj, limit: Obj) -> PyResult<Obj> {
    coro::coroutine(py, "wait_for", move |co| async move {
        let (waiter, release, handle) = {
            let py = co.py();
            let (waiter, release) = waiter(py, &event_loop)?;
            let bound = event_loop.as_any().bind(py);
            let handle = Obj::from(bound.call_method1(intern!(py, "call_later"), (limit, &release))?);
            fut.bind(py).call_method1(intern!(py, "add_done_callback"), (&release,))?;
            (waiter, release, handle)
        };
        let fut = co.hold(fut);
        let waited = co.wait(waiter).await;
        let done = {
            let py = co.py();
            handle.bind(py).call_method0(intern!(py, "cancel"))?;
            is_done(py, &fut.get())?
        };
        match waited {
            Err(err) if !exceptions::err_is_cancelled(co.py(), &err) => return Err(err),
            _ if done => return result(co.py(), &fut.get()),
            outcome => {
                {
                    let py = co.py();
                    fut.get().bind(py).call_method1(intern!(py, "remove_done_callback"), (&release,))?;
                }
                cancel_and_wait(&co, &event_loop, fut.get()).await?;
                outcome?;
            }
        }
        result_or_timeout(co.py(), &fut.get())
    })
}

/// Cancels a future and waits until it is done. Not by awaiting the future: then a cancellation of ours could not be
/// told from its own.
async fn cancel_and_wait(co: &coro::Co, event_loop: &LoopRef, fut: Obj) -> PyResult<()> {
    let fut = co.hold(fut);
    let (waiter, release) = {
        let py = co.py();
        let (waiter, release) = waiter(py, event_loop)?;
        fut.get().bind(py).call_method1(intern!(py, "add_done_callback"), (&release,))?;
        future_likes::cancel(py, &fut.get(), None)?;
        (waiter, release)
    };
    let waited = co.wait(waiter).await;
    let py = co.py();
    fut.get().bind(py).call_method1(intern!(py, "remove_done_callback"), (&release,))?;
    waited.map(drop)
}

/// A future, and a callback that ends it, whatever it is called with.
fn waiter(py: Python<'_>, event_loop: &LoopRef) -> PyResult<(Obj, Obj)> {
    let waiter: Obj = event_loop.as_any().bind(py).call_method0(intern!(py, "create_future"))?.into();
    let release = native_fn::function(py, "_release_waiter", vec![waiter.clone()], |py, held, _args| {
        if !is_done(py, &held[0])? {
            held[0].bind(py).call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(())
    })?;
    Ok((waiter, release))
}

fn is_done(py: Python<'_>, fut: &Obj) -> PyResult<bool> {
    fut.bind(py).call_method0(intern!(py, "done"))?.is_truthy()
}

fn result(py: Python<'_>, fut: &Obj) -> PyResult<Obj> {
    Ok(fut.bind(py).call_method0(intern!(py, "result"))?.into())
}

/// What became of a future that was cancelled because its time was up.
fn result_or_timeout(py: Python<'_>, fut: &Obj) -> PyResult<Obj> {
    match result(py, fut) {
        Err(err) if exceptions::err_is_cancelled(py, &err) => {
            Err(timed_out(py, &exceptions::value_of(py, err)))
        }
        other => other,
    }
}

#[cold]
fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

impl Class for WaitFor {
    type Base = Any;
    ferrio_object::fields!(WaitFor { state, inner, limit, timeout, weaklist: WeakList }, freelist);
    const NAME: &'static str = "ferrio._ferrio.wait_for_coroutine";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        WaitFor {
            state: Cell::new(State::Done),
            inner: ObjCell::empty(),
            limit: ObjCell::empty(),
            timeout: ObjCell::empty(),
            weaklist: WeakList::new(),
        }
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        self.state.get() != State::Done
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        let outcome = match this.state.get() {
            State::Created => {
                this.finish();
                coro::never_awaited(this.as_any(), py, "wait_for")
            }
            State::Waiting => Self::close(this, py),
            State::Running | State::Done => Ok(()),
        };
        if let Err(err) = outcome {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(|this: &Obj<Self>, _py: Python<'_>| {
                format!("<coroutine object wait_for at {:p}>", this.as_ptr())
            })
            .await_itself()
            .iter_itself()
            .send(Self::send)
            .throw(Self::throw)
            .method0("close", Self::close, "close($self, /)\n--\n\nEnd the coroutine where it is suspended.")
            .getter("__name__", |_this: &Obj<Self>, _py: Python<'_>| "wait_for", "")
            .getter("__qualname__", |_this: &Obj<Self>, _py: Python<'_>| "wait_for", "")
            .getter("cr_running", |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Running, "")
            .getter(
                "cr_suspended",
                |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Waiting,
                "",
            )
            .getter(
                "cr_await",
                |this: &Obj<Self>, _py: Python<'_>| {
                    (this.state.get() == State::Waiting).then(|| this.inner.get()).flatten()
                },
                "",
            )
            .getter("cr_frame", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_code", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_origin", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "");
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    coroutines::add_class::<WaitFor>(
        module,
        coroutines::Kind { closed: |obj| obj.cast_exact::<WaitFor>().map(|coro| coro.closed()), throw: None },
    )?;
    ClassDef::function(
        module,
        "wait_for",
        py_wait_for,
        "wait_for(fut, timeout)\n--\n\nCoroutine: await `fut` for at most `timeout` seconds; None is no limit.\n\n\
         When the time is up, `fut` is cancelled and TimeoutError raised; a result that it gives all the same is\n\
         returned. With no time left only what is done already is taken.",
    )
}
