//! `asyncio.timeout()`: a block of code that is cancelled when its time is up.
//!
//! Nearly every timeout is entered and left without going off, so that is what must be cheap: one recycled object, one
//! entry among the loop's timers, and two ready coroutines for entering and leaving. Only where the loop is not ours,
//! or has its `call_at` or `time` replaced, does a `TimerHandle` stand in for the native timer.

mod block;

use std::cell::{Cell, RefCell};

use ferrio_core::clock;
use ferrio_object::{ClassDef, DictSlot, Obj, ObjCell, WeakList, float_of};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;

pub(crate) use block::add;

use crate::event_loop::{Alarm, LoopRef, Ready, Timer, running};
use crate::task::{self, registry};
use crate::{exceptions, future_likes, native_fn};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Entered,
    Expiring,
    Expired,
    Exited,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Entered => "active",
            State::Expiring => "expiring",
            State::Expired => "expired",
            State::Exited => "finished",
        }
    }
}

/// A deadline on the loop's clock.
#[derive(Default)]
enum When {
    #[default]
    Never,
    /// Seconds, computed here.
    At(f64),
    /// As the user (or a loop with a clock of its own) gave it.
    Given(Obj),
}

ferrio_object::traverse!(
    enum When {
        Never,
        At(when),
        Given(given),
    },
    default
);

/// The contents of a `Timeout`.
pub struct Timeout {
    state: Cell<State>,
    when: Cell<When>,
    task: ObjCell,
    /// Cancellations that the task had been asked for before it entered: those are not ours to take back.
    cancelling: Cell<i64>,
    alarm: RefCell<Option<Alarm>>,
    /// Counts up whenever the deadline changes: an expiry that is queued for an earlier one is stale.
    setting: Cell<u32>,
    dict: DictSlot,
    weaklist: WeakList,
}

impl Timeout {
    fn with_deadline(when: When) -> Timeout {
        Timeout {
            state: Cell::new(State::Created),
            when: Cell::new(when),
            task: ObjCell::empty(),
            cancelling: Cell::new(0),
            alarm: RefCell::new(None),
            setting: Cell::new(0),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn object(py: Python<'_>, when: When) -> PyResult<Obj<Timeout>> {
        Obj::create(py, ((), Self::with_deadline(when)))
    }

    /// A timeout at `deadline`, seconds on the native clock.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn at(py: Python<'_>, deadline: f64) -> PyResult<Obj<Timeout>> {
        Self::object(py, When::At(deadline))
    }

    /// A timeout of `delay` seconds from now.
    ///
    /// # Errors
    /// `TypeError` if the delay is no number, and what a foreign loop's `time` raises.
    pub(crate) fn after(
        py: Python<'_>,
        event_loop: &LoopRef,
        delay: &Bound<'_, PyAny>,
    ) -> PyResult<Obj<Timeout>> {
        if delay.is_none() {
            return Self::object(py, When::Never);
        }
        if event_loop.native_clock().is_some()
            && let Ok(delay) = float_of(delay)
        {
            return Self::object(py, When::At(clock::monotonic() + delay));
        }
        let now = event_loop.as_any().bind(py).call_method0(intern!(py, "time"))?;
        Self::object(py, When::Given(now.add(delay)?.into()))
    }

    fn deadline(&self, py: Python<'_>) -> Obj {
        let when = self.when.replace(When::Never);
        let shown = match &when {
            When::Never => Obj::none(py),
            When::At(seconds) => pyo3::types::PyFloat::new(py, *seconds).into(),
            When::Given(given) => given.clone(),
        };
        self.when.set(when);
        shown
    }

    /// Begins: from now on the deadline counts.
    ///
    /// # Errors
    /// `RuntimeError` if it was entered before or there is no task.
    pub(crate) fn enter(this: &Obj<Self>, py: Python<'_>, event_loop: &LoopRef) -> PyResult<()> {
        if this.state.get() != State::Created {
            return Err(PyRuntimeError::new_err("Timeout has already been entered"));
        }
        let Some(task) = registry::current(py, event_loop)? else {
            return Err(PyRuntimeError::new_err("Timeout should be used inside a task"));
        };
        let cancelling = task::cancelling(py, &task)?;
        Self::enter_as(this, py, event_loop, task, cancelling)
    }

    /// As [`Timeout::enter`] with the task in hand, and the cancellations it had been asked for before.
    ///
    /// # Errors
    /// What setting a timer on a foreign loop raises.
    pub(crate) fn enter_as(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &LoopRef,
        task: Obj,
        cancelling: i64,
    ) -> PyResult<()> {
        this.state.set(State::Entered);
        this.cancelling.set(cancelling);
        this.task.set(Some(task));
        Self::set_alarm(this, py, event_loop)
    }

    fn set_alarm(this: &Obj<Self>, py: Python<'_>, event_loop: &LoopRef) -> PyResult<()> {
        let native = event_loop.native_clock();
        let replaced = Self::replaced_expiry(this, py)?;
        let when = this.when.replace(When::Never);
        let seconds = match &when {
            When::Never => return Ok(()),
            When::At(seconds) => Some(*seconds),
            When::Given(given) => float_of(given.bind(py)).ok(),
        };
        this.when.set(when);
        if let (Some(native), Some(seconds)) = (native, seconds)
            && !seconds.is_nan()
            && replaced.is_none()
        {
            native.check_closed()?;
            if seconds <= clock::monotonic() {
                native.push(|| Ready::Expire(this.clone(), this.setting.get()));
                return Ok(());
            }
            let key = native.set_timer(seconds, Timer::Timeout(this.clone()));
            *this.alarm.borrow_mut() = Some(Alarm::Native(native.clone(), key));
            return Ok(());
        }
        Self::set_handle(this, py, event_loop, replaced)
    }

    /// Has the loop call `_on_timeout`, or what stands for it, by a handle.
    fn set_handle(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &LoopRef,
        replaced: Option<Obj>,
    ) -> PyResult<()> {
        let deadline = this.deadline(py);
        let asked = event_loop.as_any().bind(py);
        let callback = match replaced {
            Some(replaced) => replaced,
            None => native_fn::function(
                py,
                "Timeout._on_timeout",
                vec![this.as_any().clone()],
                |py, held, _args| held[0].cast::<Timeout>().map_or(Ok(()), |this| Self::expire(this, py)),
            )?,
        };
        let now = asked.call_method0(intern!(py, "time"))?;
        let handle = if deadline.bind(py).le(now)? {
            asked.call_method1(intern!(py, "call_soon"), (callback,))?
        } else {
            asked.call_method1(intern!(py, "call_at"), (deadline, callback))?
        };
        *this.alarm.borrow_mut() = Some(Alarm::Handle(handle.into()));
        Ok(())
    }

    /// `_on_timeout` of an object on which it is another than ours.
    #[inline]
    fn replaced_expiry(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        if this.is_exact() { Ok(None) } else { Self::expiry_of_subclass(this, py) }
    }

    #[cold]
    fn expiry_of_subclass(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        let name = intern!(py, "_on_timeout");
        let ours = ClassDef::type_object::<Timeout>(py).bind(py).getattr(name)?;
        if this.bind(py).get_type().getattr(name)?.is(&ours) {
            return Ok(None);
        }
        Ok(Some(this.bind(py).getattr(name)?.into()))
    }

    /// asyncio's `_timeout_handler`. A native timer has no handle, so one takes its place when somebody asks.
    fn handle(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        if this.state.get() != State::Entered || this.deadline(py).bind(py).is_none() {
            return Ok(None);
        }
        let alarm = this.alarm.borrow_mut().take();
        let event_loop = match alarm {
            Some(Alarm::Handle(handle)) => {
                *this.alarm.borrow_mut() = Some(Alarm::Handle(handle.clone()));
                return Ok(Some(handle));
            }
            Some(Alarm::Native(native, key)) => {
                Alarm::Native(native.clone(), key).cancel(py)?;
                LoopRef::Native(native)
            }
            // The time is up, and `Ready::Expire` is queued for this turn.
            None => running::running_loop(py)?,
        };
        // What is queued already is stale.
        this.setting.set(this.setting.get().wrapping_add(1));
        Self::set_handle(this, py, &event_loop, Self::replaced_expiry(this, py)?)?;
        match &*this.alarm.borrow() {
            Some(Alarm::Handle(handle)) => Ok(Some(handle.clone())),
            _ => Ok(None),
        }
    }

    fn cancel_alarm(&self, py: Python<'_>) -> PyResult<()> {
        self.setting.set(self.setting.get().wrapping_add(1));
        let alarm = self.alarm.borrow_mut().take();
        alarm.map_or(Ok(()), |alarm| alarm.cancel(py))
    }

    /// The deadline as it was set last.
    #[inline]
    pub(crate) fn setting(&self) -> u32 {
        self.setting.get()
    }

    /// A queued expiry has its turn; it counts only if the deadline has not been changed since.
    ///
    /// # Errors
    /// What cancelling the task raises.
    pub(crate) fn expire_if(this: &Obj<Self>, py: Python<'_>, setting: u32) -> PyResult<()> {
        if this.setting.get() == setting { Self::expire(this, py) } else { Ok(()) }
    }

    fn expire(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.state.get() != State::Entered {
            return Ok(());
        }
        let alarm = this.alarm.borrow_mut().take();
        drop(alarm);
        this.state.set(State::Expiring);
        match this.task.get() {
            Some(task) => future_likes::cancel(py, &task, None).map(drop),
            None => Ok(()),
        }
    }

    /// Ends: stops the timer. If time was up, the cancellation that ends the block comes out as a `TimeoutError`;
    /// gives that error if it is to be raised in place of `exc`.
    ///
    /// # Errors
    /// `AssertionError` if it is not active, and what a foreign task's methods raise.
    pub(crate) fn exit(&self, py: Python<'_>, exc: Option<&Obj>) -> PyResult<Option<PyErr>> {
        let state = self.state.get();
        if !matches!(state, State::Entered | State::Expiring) {
            return Err(PyAssertionError::new_err(()));
        }
        self.cancel_alarm(py)?;
        if state == State::Entered {
            self.state.set(State::Exited);
            return Ok(None);
        }
        self.state.set(State::Expired);
        let Some(task) = self.task.get() else { return Ok(None) };
        if task::uncancel(py, &task)? > self.cancelling.get() {
            // Somebody else wants the task cancelled as well, and is to have it.
            return Ok(None);
        }
        let Some(exc) = exc else { return Ok(None) };
        let cancelled = if cfg!(Py_3_13) {
            exceptions::is_cancelled(py, exc)?
        } else {
            exc.bind(py).get_type().is(exceptions::cancelled_error(py)?.bind(py))
        };
        if cancelled {
            return Ok(Some(timed_out(py, exc)));
        }
        if cfg!(Py_3_13) {
            insert_timeout_error(py, exc.bind(py))?;
            if exc.bind(py).is_instance_of::<pyo3::exceptions::PyBaseExceptionGroup>()
                && exc.bind(py).is_instance_of::<pyo3::exceptions::PyException>()
            {
                for member in exc.bind(py).getattr(intern!(py, "exceptions"))?.try_iter()? {
                    insert_timeout_error(py, &member?)?;
                }
            }
        }
        Ok(None)
    }
}

/// `TimeoutError() from exc`.
pub(crate) fn timed_out(py: Python<'_>, exc: &Obj) -> PyErr {
    let err = PyTimeoutError::new_err(());
    let timeout: Obj = err.value(py).into();
    ferrio_object::set_cause(py, &timeout, Some(exc));
    ferrio_object::restore_context(py, &timeout, Some(exc));
    err
}

/// Puts a `TimeoutError` before the first `CancelledError` in the chain of contexts, so that an exception raised while
/// the cancellation was handled still names the timeout (since 3.13).
fn insert_timeout_error(py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut exc = exc.clone();
    loop {
        let context = exc.getattr(intern!(py, "__context__"))?;
        if context.is_none() {
            return Ok(());
        }
        if exceptions::is_cancelled(py, &(&context).into())? {
            let inserted = timed_out(py, &context.into());
            return exc.setattr(intern!(py, "__context__"), inserted.value(py));
        }
        exc = context;
    }
}
