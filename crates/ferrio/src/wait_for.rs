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
    Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Sent, Signature, await_iter, float_of, send,
};
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::coro::{self, Co, Kept, Local};
use crate::coroutines::{self, Native, NativeCoroutine, Phase, executing, just_started, reused};
use crate::event_loop::{LoopRef, running};
use crate::native_fn::{self, NativeFn};
use crate::task::{self, registry};
use crate::timeouts::{Timeout, timed_out};
use crate::{exceptions, future_likes};

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
}

/// The coroutine of `wait_for(awaitable, limit)`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn coroutine(py: Python<'_>, awaitable: Obj, limit: Obj) -> PyResult<Obj> {
    let limit = (!limit.is_none()).then_some(limit);
    let native = Native::new(py);
    let made = Obj::<WaitFor>::create_with(py, || {
        let contents = WaitFor {
            state: Cell::new(State::Created),
            inner: ObjCell::new(awaitable),
            limit: limit.into(),
            timeout: ObjCell::empty(),
        };
        (((), native), contents)
    });
    Ok(made?.into_any())
}

/// Awaits `awaitable` for at most `timeout` seconds.
///
/// # Errors
/// `TimeoutError` when the time is up, and what the awaitable raises.
pub(crate) async fn wait_at_most(co: &Co, awaitable: &Local, timeout: &Local) -> PyResult<Obj> {
    let wait = co.wait(coroutine(co.py(), awaitable.get(), timeout.get())?);
    wait.await
}

/// `wait_for(fut, timeout)`.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(crate) fn py_wait_for(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [awaitable, limit] = args.bind(&Signature::new("wait_for", ["fut", "timeout"]))?;
    coroutine(py, Obj::or_none(py, awaitable), Obj::or_none(py, limit))
}

impl WaitFor {
    /// Takes the first step of what is awaited.
    #[inline]
    fn begin(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(awaitable) = self.inner.take() else { return Err(reused()) };
        let event_loop = running::running_loop(py)?;
        let limit = self.limit.take();
        let seconds = limit.as_ref().and_then(|limit| float_of(limit.bind(py)).ok());
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

    #[inline]
    fn first_step(&self, py: Python<'_>, awaitable: Obj) -> PyResult<Sent> {
        let inner = await_iter(py, &awaitable)?;
        // Kept before the step, for the call graph; what a coroutine is driven by is then its other reference.
        let driven = if inner.is(&awaitable) { awaitable } else { inner.clone() };
        self.inner.set(Some(inner));
        send(py, &driven, None)
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
}

impl NativeCoroutine for WaitFor {
    #[inline]
    fn phase(&self) -> Phase {
        match self.state.get() {
            State::Created => Phase::Created,
            State::Waiting => Phase::Suspended,
            State::Running => Phase::Running,
            State::Done => Phase::Closed,
        }
    }

    fn qualname(&self) -> &'static str {
        "wait_for"
    }

    fn awaited(&self, _py: Python<'_>) -> Option<Obj> {
        if self.state.get() == State::Waiting { self.inner.get() } else { None }
    }

    fn driven(&self, _py: Python<'_>) -> Option<Obj> {
        self.inner.get()
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created if value.is_some_and(|value| !value.is_none()) => Err(just_started()),
            State::Created => {
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
            State::Running => Err(executing()),
            State::Done => Err(reused()),
        }
    }

    fn throw_suspended(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        let Some(inner) = this.inner.get() else { return Err(reused()) };
        this.state.set(State::Running);
        let sent = if err.is_instance_of::<PyGeneratorExit>(py) {
            coroutines::close_iterator(py, &inner).and(Err(err))
        } else {
            coroutines::throw_into(py, &inner, err)
        };
        this.after_step(py, sent)
    }

    fn close_suspended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let inner = this.inner.take();
        let timeout = this.timeout.take();
        this.finish();
        let closed = inner.map_or(Ok(()), |inner| coroutines::close_iterator(py, &inner));
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
    coro::coroutine(py, "_cancel_and_wait", move |co| {
        let (event_loop, awaitable) = (co.keep(event_loop), co.hold(awaitable));
        async move {
            let fut = {
                let py = co.py();
                let fut = task::ensure_future(py, awaitable.get().bind(py), Some(&event_loop.get()))?;
                drop(awaitable);
                if future_likes::is_done(py, &fut)? {
                    return result(py, &fut);
                }
                co.hold(fut)
            };
            cancel_and_wait(&co, &event_loop, &fut).await?;
            result_or_timeout(co.py(), &fut.get())
        }
    })
}

/// `wait_for` of a future on 3.11.
fn future_in_time(py: Python<'_>, event_loop: LoopRef, fut: Obj, limit: Obj) -> PyResult<Obj> {
    coro::coroutine(py, "wait_for", move |co| {
        let (event_loop, fut, limit) = (co.keep(event_loop), co.hold(fut), co.hold(limit));
        async move {
            let (wait, release, handle) = {
                let (py, event_loop) = (co.py(), event_loop.get());
                let (waiter, release) = waiter(py, &event_loop)?;
                let bound = event_loop.as_any().bind(py);
                let handle =
                    Obj::from(bound.call_method1(intern!(py, "call_later"), (limit.get(), &release))?);
                fut.get().bind(py).call_method1(intern!(py, "add_done_callback"), (&release,))?;
                (co.wait(waiter), co.hold(release), co.hold(handle))
            };
            let waited = wait.await.map(drop);
            let done = {
                let py = co.py();
                handle.get().bind(py).call_method0(intern!(py, "cancel"))?;
                future_likes::is_done(py, &fut.get())?
            };
            let cancellation = match waited {
                Ok(()) => None,
                Err(err) if !exceptions::err_is_cancelled(co.py(), &err) => return Err(err),
                Err(err) => Some(co.hold(exceptions::value_of(co.py(), err))),
            };
            if done {
                return result(co.py(), &fut.get());
            }
            {
                let py = co.py();
                fut.get().bind(py).call_method1(intern!(py, "remove_done_callback"), (release.get(),))?;
            }
            cancel_and_wait(&co, &event_loop, &fut).await?;
            if let Some(cancellation) = cancellation {
                return Err(ferrio_object::raise(co.py(), &cancellation.get()));
            }
            result_or_timeout(co.py(), &fut.get())
        }
    })
}

/// Cancels a future and waits until it is done. Not by awaiting the future: then a cancellation of ours could not be
/// told from its own.
pub(crate) async fn cancel_and_wait(co: &Co, event_loop: &Kept<LoopRef>, fut: &Local) -> PyResult<()> {
    let (wait, release) = {
        let py = co.py();
        let (waiter, release) = waiter(py, &event_loop.get())?;
        fut.get().bind(py).call_method1(intern!(py, "add_done_callback"), (&release,))?;
        future_likes::cancel(py, &fut.get(), None)?;
        (co.wait(waiter), co.hold(release))
    };
    let waited = wait.await;
    let py = co.py();
    fut.get().bind(py).call_method1(intern!(py, "remove_done_callback"), (release.get(),))?;
    waited.map(drop)
}

/// A future, and a callback that ends it, whatever it is called with.
fn waiter(py: Python<'_>, event_loop: &LoopRef) -> PyResult<(Obj, Obj)> {
    let waiter = event_loop.create_future(py)?;
    let release = native_fn::function(py, "_release_waiter", vec![waiter.clone()], |py, held, _args| {
        future_likes::wake(py, &held[0]).map(drop)
    })?;
    if let Some(function) = release.cast_exact::<NativeFn>() {
        function.set_resolves(&waiter);
    }
    Ok((waiter, release))
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

impl Class for WaitFor {
    type Base = Native;
    ferrio_object::fields!(WaitFor { state, inner, limit, timeout }, freelist);
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
        }
    }

    fn wants_finalizer(&self, _base: &Native) -> bool {
        self.state.get() != State::Done
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        coroutines::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        coroutines::define(class);
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    coroutines::add_class::<WaitFor>(module)?;
    ClassDef::coroutine_function(
        module,
        "wait_for",
        py_wait_for,
        "wait_for(fut, timeout)\n--\n\nCoroutine: await `fut` for at most `timeout` seconds; None is no limit.\n\n\
         When the time is up, `fut` is cancelled and TimeoutError raised; a result that it gives all the same is\n\
         returned. With no time left only what is done already is taken.",
    )
}
