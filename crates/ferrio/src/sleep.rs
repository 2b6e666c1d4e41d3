//! `asyncio.sleep`, without a box: the awaitable is its own state machine.

use std::cell::{Cell, RefCell};

use ferrio_object::{Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Sent, Signature};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::coroutines::{self, Native, NativeCoroutine, Phase, executing, just_started, reused};
use crate::event_loop::{Alarm, resolve_later, running};
use crate::future::{self, Future};
use crate::native_fn;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    /// Yielded `None`, because the delay was zero.
    Yielded,
    /// Waiting for its future.
    Waiting,
    /// In its first step: comparing the delay may run Python code.
    Running,
    Done,
}

impl State {
    #[inline]
    fn phase(self) -> Phase {
        match self {
            State::Created => Phase::Created,
            State::Yielded | State::Waiting => Phase::Suspended,
            State::Running => Phase::Running,
            State::Done => Phase::Closed,
        }
    }
}

/// The contents of the coroutine that `sleep()` returns.
pub struct Sleep {
    state: Cell<State>,
    delay: ObjCell,
    result: ObjCell,
    fut: ObjCell<Future>,
    alarm: RefCell<Option<Alarm>>,
}

impl Sleep {
    fn begin(&self, py: Python<'_>) -> PyResult<Sent> {
        let Some(delay) = self.delay.get() else { return Ok(self.yield_once(py)) };
        let delay = delay.bind(py);
        self.state.set(State::Running);
        match self.first_step(py, delay) {
            Ok(sent) => Ok(sent),
            Err(err) => {
                self.end(py)?;
                Err(err)
            }
        }
    }

    #[inline]
    fn yield_once(&self, py: Python<'_>) -> Sent {
        self.state.set(State::Yielded);
        Sent::Next(Obj::none(py))
    }

    fn first_step(&self, py: Python<'_>, delay: &Bound<'_, PyAny>) -> PyResult<Sent> {
        if delay.ne(delay)? {
            return Err(PyValueError::new_err("Invalid delay: NaN (not a number)"));
        }
        if delay.le(0)? {
            return Ok(self.yield_once(py));
        }
        let fut = self.start(py, delay)?;
        self.state.set(State::Waiting);
        Ok(Sent::Next(fut.into_any()))
    }

    fn start(&self, py: Python<'_>, delay: &Bound<'_, PyAny>) -> PyResult<Obj<Future>> {
        let event_loop = running::running_loop(py)?;
        let fut = Future::create(py, event_loop.clone())?;
        let alarm = resolve_later(&event_loop, py, delay, &fut, |py| {
            native_fn::function(py, "_set_result_unless_cancelled", Vec::new(), |py, _held, args| {
                let Some(fut) = args.get(0).and_then(Obj::<Future>::from_bound) else { return Ok(()) };
                future::wake(fut, py).map(drop)
            })
        })?;
        *self.alarm.borrow_mut() = Some(alarm);
        fut.blocking.set(true);
        self.fut.set(Some(fut.clone()));
        Ok(fut)
    }

    #[inline]
    fn finished(&self, py: Python<'_>) -> Sent {
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
}

impl NativeCoroutine for Sleep {
    #[inline]
    fn phase(&self) -> Phase {
        self.state.get().phase()
    }

    fn qualname(&self) -> &'static str {
        "sleep"
    }

    fn awaited(&self, _py: Python<'_>) -> Option<Obj> {
        self.fut.get().map(Obj::into_any)
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created if value.is_some_and(|value| !value.is_none()) => Err(just_started()),
            State::Created => this.begin(py),
            State::Yielded => Ok(this.finished(py)),
            State::Waiting => {
                let Some(fut) = this.fut.take() else { return Ok(this.finished(py)) };
                match fut.resumed(py) {
                    Some(outcome) => {
                        this.end(py)?;
                        outcome?;
                        Ok(this.finished(py))
                    }
                    None => {
                        this.fut.set(Some(fut.clone()));
                        Ok(Sent::Next(fut.into_any()))
                    }
                }
            }
            State::Running => Err(executing()),
            State::Done => Err(reused()),
        }
    }

    fn throw_suspended(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        this.end(py)?;
        this.result.set(None);
        Err(err)
    }

    fn close_suspended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.result.set(None);
        this.end(py)
    }

    fn finish(&self) {
        self.state.set(State::Done);
        self.delay.set(None);
        self.result.set(None);
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
        return one_turn(py);
    }
    let [delay, result] = args.bind(&SIGNATURE)?;
    let contents = Sleep {
        state: Cell::new(State::Created),
        delay: delay.map(Obj::from).into(),
        result: Obj::unless_none(result).into(),
        fut: ObjCell::empty(),
        alarm: RefCell::new(None),
    };
    Ok(Obj::<Sleep>::create(py, (((), Native::new(py)), contents))?.into_any())
}

/// The coroutine that lets the loop turn once.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn one_turn(py: Python<'_>) -> PyResult<Obj> {
    let contents = Yield { state: Cell::new(State::Created) };
    Ok(Obj::<Yield>::create(py, (((), Native::new(py)), contents))?.into_any())
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
}

impl NativeCoroutine for Yield {
    #[inline]
    fn phase(&self) -> Phase {
        self.state.get().phase()
    }

    fn qualname(&self) -> &'static str {
        "sleep"
    }

    fn awaited(&self, _py: Python<'_>) -> Option<Obj> {
        None
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created if value.is_some_and(|value| !value.is_none()) => Err(just_started()),
            State::Created => {
                this.state.set(State::Yielded);
                Ok(Sent::Next(Obj::none(py)))
            }
            State::Yielded => {
                this.state.set(State::Done);
                Ok(Sent::Return(Obj::none(py)))
            }
            State::Waiting | State::Running | State::Done => Err(reused()),
        }
    }

    fn throw_suspended(this: &Obj<Self>, _py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        this.finish();
        Err(err)
    }

    fn close_suspended(this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        this.finish();
        Ok(())
    }

    fn finish(&self) {
        self.state.set(State::Done);
    }
}

impl Class for Yield {
    type Base = Native;
    ferrio_object::fields!(Yield { state }, freelist);
    const NAME: &'static str = "ferrio._ferrio.yield_coroutine";
    const DOC: &'static str = "";
    const GC: bool = false;
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Yield { state: Cell::new(State::Done) }
    }

    fn wants_finalizer(&self, _base: &Native) -> bool {
        self.state.get() == State::Created
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        coroutines::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        coroutines::define(class);
    }
}

/// `sleep(0)`.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn yield_once(py: Python<'_>) -> PyResult<Obj<Sleep>> {
    Obj::create(py, (((), Native::new(py)), Sleep { state: Cell::new(State::Created), ..Sleep::blank() }))
}

impl Class for Sleep {
    type Base = Native;
    ferrio_object::fields!(Sleep { state, delay, result, fut, alarm }, freelist);
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
    coroutines::add_class::<Sleep>(module)?;
    coroutines::add_class::<Yield>(module)?;
    ClassDef::coroutine_function(
        module,
        "sleep",
        py_sleep,
        "sleep(delay, result=None)\n--\n\nCoroutine: wait `delay` seconds, then return `result`.\n\n\
         Zero lets the loop turn once. Raises ValueError for NaN.",
    )
}
