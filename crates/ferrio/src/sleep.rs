//! `asyncio.sleep`, without a box: the awaitable is its own state machine.

use std::cell::{Cell, RefCell};

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Sent, Signature, WeakList};
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::{Alarm, LoopRef, resolve_later, running};
use crate::future::Future;
use crate::{coroutines, native_fn};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    /// Yielded `None`, because the delay was zero.
    Yielded,
    /// Waiting for its future.
    Waiting,
    Done,
}

/// The contents of the coroutine that `sleep()` returns.
pub struct Sleep {
    state: Cell<State>,
    delay: ObjCell,
    result: ObjCell,
    fut: ObjCell<Future>,
    alarm: RefCell<Option<Alarm>>,
    weaklist: WeakList,
}

impl Sleep {
    pub(crate) fn closed(&self) -> bool {
        self.state.get() == State::Done
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created => {
                if value.is_some_and(|value| !value.is_none()) {
                    return Err(PyTypeError::new_err(
                        "can't send non-None value to a just-started coroutine",
                    ));
                }
                this.begin(py)
            }
            State::Yielded => Ok(this.finish(py)),
            State::Waiting => {
                let Some(fut) = this.fut.take() else { return Ok(this.finish(py)) };
                if !fut.is_done() {
                    this.end(py)?;
                    return Err(PyRuntimeError::new_err("await wasn't used with future"));
                }
                this.end(py)?;
                fut.get_result(py)?;
                Ok(this.finish(py))
            }
            State::Done => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
        }
    }

    fn begin(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(delay) = self.delay.get() else {
            self.state.set(State::Yielded);
            return Ok(Sent::Next(Obj::none(py)));
        };
        let delay = delay.bind(py);
        // A delay that cannot be compared ends it, too.
        self.state.set(State::Done);
        if delay.eq(delay)? {
            if delay.le(0)? {
                self.state.set(State::Yielded);
                return Ok(Sent::Next(Obj::none(py)));
            }
        } else {
            self.end(py)?;
            return Err(PyValueError::new_err("Invalid delay: NaN (not a number)"));
        }
        let started = self.start(py, delay);
        match started {
            Ok(fut) => {
                self.state.set(State::Waiting);
                Ok(Sent::Next(fut.into_any()))
            }
            Err(err) => {
                self.end(py)?;
                Err(err)
            }
        }
    }

    fn start(&self, py: Python<'_>, delay: &Bound<'_, PyAny>) -> PyResult<Obj<Future>> {
        let event_loop = LoopRef::new(running::get_running_loop(py)?.bind(py));
        let fut = Future::create(py, event_loop.clone())?;
        let alarm = resolve_later(&event_loop, py, delay, &fut, |py| {
            native_fn::function(py, "_set_result_unless_cancelled", Vec::new(), |py, _held, args| {
                let Some(fut) = args.get(0).and_then(Obj::<Future>::from_bound) else { return Ok(()) };
                if fut.is_done() { Ok(()) } else { crate::future::set_result(fut, py, Obj::none(py)) }
            })
        })?;
        *self.alarm.borrow_mut() = Some(alarm);
        fut.blocking.set(true);
        self.fut.set(Some(fut.clone()));
        Ok(fut)
    }

    #[inline]
    fn finish(&self, py: Python<'_>) -> Sent {
        self.state.set(State::Done);
        Sent::Return(self.result.take().unwrap_or_else(|| Obj::none(py)))
    }

    /// Stops the timer and lets go of everything.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.state.set(State::Done);
        self.fut.set(None);
        self.delay.set(None);
        let alarm = self.alarm.borrow_mut().take();
        alarm.map_or(Ok(()), |alarm| alarm.cancel(py))
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = coroutines::thrown_error(py, &args)?;
        if this.state.get() == State::Done {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        }
        this.end(py)?;
        this.result.set(None);
        Err(err)
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.result.set(None);
        this.end(py)
    }
}

/// `sleep(delay, result=None)`.
///
/// # Errors
/// `TypeError` for wrong arguments.
#[inline]
pub(crate) fn py_sleep(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> = Signature::new("sleep", ["delay", "result"]).required(1);
    if args.len() == 1 && !args.has_keywords() && args.get(0).is_some_and(is_small_zero) {
        let contents = Yield { state: Cell::new(State::Created), weaklist: WeakList::new() };
        return Ok(Obj::<Yield>::create(py, ((), contents))?.into_any());
    }
    let [delay, result] = args.bind(&SIGNATURE)?;
    let contents = Sleep {
        state: Cell::new(State::Created),
        delay: delay.map(Obj::from).into(),
        result: result.filter(|result| !result.is_none()).map(Obj::from).into(),
        fut: ObjCell::empty(),
        alarm: RefCell::new(None),
        weaklist: WeakList::new(),
    };
    Ok(Obj::<Sleep>::create(py, ((), contents))?.into_any())
}

/// An exact int 0, which is what nearly everybody passes to let the loop turn once.
#[inline]
fn is_small_zero(delay: &Bound<'_, PyAny>) -> bool {
    delay.is_exact_instance_of::<pyo3::types::PyInt>() && delay.extract::<i64>().is_ok_and(|delay| delay == 0)
}

/// The contents of the coroutine that `sleep(0)` returns. It holds no reference, so it needs no garbage collection,
/// which is a tenth of its cost.
pub struct Yield {
    state: Cell<State>,
    weaklist: WeakList,
}

impl Yield {
    pub(crate) fn closed(&self) -> bool {
        self.state.get() == State::Done
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created if value.is_some_and(|value| !value.is_none()) => {
                Err(PyTypeError::new_err("can't send non-None value to a just-started coroutine"))
            }
            State::Created => {
                this.state.set(State::Yielded);
                Ok(Sent::Next(Obj::none(py)))
            }
            State::Yielded => {
                this.state.set(State::Done);
                Ok(Sent::Return(Obj::none(py)))
            }
            State::Waiting | State::Done => {
                Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"))
            }
        }
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = coroutines::thrown_error(py, &args)?;
        if this.state.replace(State::Done) == State::Done {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        }
        Err(err)
    }
}

impl Class for Yield {
    type Base = Any;
    ferrio_object::fields!(Yield { state, weaklist: WeakList }, freelist);
    const NAME: &'static str = "ferrio._ferrio.yield_coroutine";
    const DOC: &'static str = "";
    const GC: bool = false;
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Yield { state: Cell::new(State::Done), weaklist: WeakList::new() }
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        self.state.get() == State::Created
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if this.state.replace(State::Done) == State::Created
            && let Err(err) = never_awaited(this.as_any(), py)
        {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .await_itself()
            .iter_itself()
            .send(Self::send)
            .throw(Self::throw)
            .method0(
                "close",
                |this: &Obj<Self>, _py: Python<'_>| this.state.set(State::Done),
                "close($self, /)\n--\n\nEnd it.",
            )
            .getter("__name__", |_this: &Obj<Self>, _py: Python<'_>| "sleep", "")
            .getter("__qualname__", |_this: &Obj<Self>, _py: Python<'_>| "sleep", "")
            .getter("cr_running", |_this: &Obj<Self>, _py: Python<'_>| false, "")
            .getter(
                "cr_suspended",
                |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Yielded,
                "",
            )
            .getter("cr_await", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_frame", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_code", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_origin", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "");
    }
}

fn never_awaited(sleeper: &Obj, py: Python<'_>) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("source", sleeper)?;
    let message = "coroutine 'sleep' was never awaited";
    crate::library::module(py, "warnings")?
        .call_method("warn", (message, py.get_type::<PyRuntimeWarning>()), Some(&kwargs))
        .map(drop)
}

/// `sleep(0)`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn yield_once(py: Python<'_>) -> PyResult<Obj<Sleep>> {
    Obj::create(py, ((), Sleep { state: Cell::new(State::Created), ..Sleep::blank() }))
}

impl Class for Sleep {
    type Base = Any;
    ferrio_object::fields!(Sleep { state, delay, result, fut, alarm, weaklist: WeakList }, freelist);
    const NAME: &'static str = "ferrio._ferrio.sleep_coroutine";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Sleep {
            state: Cell::new(State::Done),
            delay: ObjCell::empty(),
            result: ObjCell::empty(),
            fut: ObjCell::empty(),
            alarm: RefCell::new(None),
            weaklist: WeakList::new(),
        }
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        self.state.get() != State::Done
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        let created = this.state.get() == State::Created;
        let outcome =
            this.end(py).and_then(|()| if created { never_awaited(this.as_any(), py) } else { Ok(()) });
        if let Err(err) = outcome {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .await_itself()
            .iter_itself()
            .send(Self::send)
            .throw(Self::throw)
            .method0("close", Self::close, "close($self, /)\n--\n\nStop sleeping.")
            .getter("__name__", |_this: &Obj<Self>, _py: Python<'_>| "sleep", "")
            .getter("__qualname__", |_this: &Obj<Self>, _py: Python<'_>| "sleep", "")
            .getter("cr_running", |_this: &Obj<Self>, _py: Python<'_>| false, "")
            .getter(
                "cr_suspended",
                |this: &Obj<Self>, _py: Python<'_>| {
                    matches!(this.state.get(), State::Yielded | State::Waiting)
                },
                "",
            )
            .getter("cr_await", |this: &Obj<Self>, _py: Python<'_>| this.fut.get(), "")
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
    coroutines::add_class::<Sleep>(
        module,
        coroutines::Kind { closed: |obj| obj.cast_exact::<Sleep>().map(|coro| coro.closed()), throw: None },
    )?;
    coroutines::add_class::<Yield>(
        module,
        coroutines::Kind { closed: |obj| obj.cast_exact::<Yield>().map(|coro| coro.closed()), throw: None },
    )?;
    ClassDef::function(
        module,
        "sleep",
        py_sleep,
        "sleep(delay, result=None)\n--\n\nCoroutine: wait `delay` seconds, then return `result`.\n\n\
         Zero lets the loop turn once. Raises ValueError for NaN.",
    )
}
