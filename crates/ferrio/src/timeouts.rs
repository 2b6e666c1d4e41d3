//! `asyncio.timeout()`: a block of code that is cancelled when its time is up.
//!
//! Nearly every timeout is entered and left without going off, so that is what must be cheap: one recycled object, one
//! entry among the loop's timers, and two ready coroutines for entering and leaving. Only where the loop is not ours,
//! or has its `call_at` or `time` replaced, does a `TimerHandle` stand in for the native timer.

use std::cell::{Cell, RefCell};

use ferrio_core::clock;
use ferrio_object::{Any, Args, Class, ClassBuilder, FreeList, Obj, ObjCell, Signature, TypeCell, Visit};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::coro::{Given, Operation, Step, ready, ready_with};
use crate::event_loop::{Alarm, Ready, Timer};
use crate::loop_ref::LoopRef;
use crate::task::registry;
use crate::{exceptions, future_likes, native_fn, running, task};

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
enum When {
    Never,
    /// Seconds, computed here.
    At(f64),
    /// As the user (or a loop with a clock of its own) gave it.
    Given(Obj),
}

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
            && let Ok(delay) = delay.extract::<f64>()
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
        let when = this.when.replace(When::Never);
        let seconds = match &when {
            When::Never => return Ok(()),
            When::At(seconds) => Some(*seconds),
            When::Given(given) => given.bind(py).extract::<f64>().ok(),
        };
        this.when.set(when);
        if let (Some(native), Some(seconds)) = (native, seconds)
            && !seconds.is_nan()
        {
            native.check_closed()?;
            if seconds <= clock::monotonic() {
                native.push(|| Ready::Expire(this.clone(), this.setting.get()));
                return Ok(());
            }
            let key = native.timers.borrow_mut().insert(seconds, Timer::Timeout(this.clone()));
            *this.alarm.borrow_mut() = Some(Alarm::Native(native.clone(), key));
            return Ok(());
        }
        let deadline = this.deadline(py);
        let asked = event_loop.as_any().bind(py);
        let callback = native_fn::function(
            py,
            "Timeout._on_timeout",
            vec![this.as_any().clone()],
            |py, held, _args| held[0].cast::<Timeout>().map_or(Ok(()), |this| Self::expire(this, py)),
        )?;
        let now = asked.call_method0(intern!(py, "time"))?;
        let handle = if deadline.bind(py).le(now)? {
            asked.call_method1(intern!(py, "call_soon"), (callback,))?
        } else {
            asked.call_method1(intern!(py, "call_at"), (deadline, callback))?
        };
        *this.alarm.borrow_mut() = Some(Alarm::Handle(handle.into()));
        Ok(())
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
/// the cancellation was handled still tells of the timeout (since 3.13).
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

/// `__aenter__`.
struct Enter;

impl Operation for Enter {
    type On = Timeout;
    const NAME: &'static str = "Timeout.__aenter__";

    fn begin(this: &Obj<Timeout>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.state.get() != State::Created {
            return Err(PyRuntimeError::new_err("Timeout has already been entered"));
        }
        let event_loop = running::running_loop(py)?;
        Timeout::enter(this, py, &event_loop)?;
        Ok(Step::Done(this.as_any().clone()))
    }
}

/// `__aexit__`; given the exception type and the exception.
struct Exit;

impl Operation for Exit {
    type On = Timeout;
    const NAME: &'static str = "Timeout.__aexit__";

    fn begin(this: &Obj<Timeout>, py: Python<'_>, [kind, exc]: Given) -> PyResult<Step> {
        // Called by hand with a class and no instance, the class is what there is.
        let raised = exc.or_else(|| {
            kind.filter(|kind| is_cancelled_class(py, kind))
                .and_then(|kind| kind.bind(py).call0().ok().map(Obj::from))
        });
        match this.exit(py, raised.as_ref())? {
            Some(err) => Err(err),
            None => Step::none(py),
        }
    }
}

fn is_cancelled_class(py: Python<'_>, kind: &Obj) -> bool {
    let Ok(kind) = kind.bind(py).cast::<PyType>() else { return false };
    exceptions::cancelled_error(py).is_ok_and(|class| kind.is_subclass(class.bind(py)).unwrap_or(false))
}

fn aenter(this: &Obj<Timeout>, py: Python<'_>) -> PyResult<Obj> {
    ready::<Enter>(py, this)
}

fn aexit(this: &Obj<Timeout>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> = Signature::new("__aexit__", ["exc_type", "exc_val", "exc_tb"]);
    let [kind, exc, _traceback] = args.bind(&SIGNATURE)?;
    let given = |arg: Option<&Bound<'_, PyAny>>| arg.filter(|arg| !arg.is_none()).map(Obj::from);
    ready_with::<Exit>(py, this, [given(kind), given(exc)])
}

fn init(this: &Obj<Timeout>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [when] = args.bind(&Signature::new("Timeout", ["when"]))?;
    this.when.set(given_deadline(when));
    this.state.set(State::Created);
    Ok(())
}

fn given_deadline(when: Option<&Bound<'_, PyAny>>) -> When {
    match when {
        Some(when) if !when.is_none() => When::Given(when.into()),
        _ => When::Never,
    }
}

fn reschedule(this: &Obj<Timeout>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [when] = args.bind(&Signature::new("reschedule", ["when"]))?;
    match this.state.get() {
        State::Entered => {}
        State::Created => return Err(PyRuntimeError::new_err("Timeout has not been entered")),
        other => {
            let name = other.name();
            return Err(PyRuntimeError::new_err(format!("Cannot change state of {name} Timeout")));
        }
    }
    let old = this.when.replace(given_deadline(when));
    drop(old);
    this.cancel_alarm(py)?;
    if when.is_none_or(pyo3::types::PyAnyMethods::is_none) {
        return Ok(());
    }
    Timeout::set_alarm(this, py, &running::running_loop(py)?)
}

fn repr(this: &Obj<Timeout>, py: Python<'_>) -> PyResult<String> {
    let state = this.state.get();
    let name = state.name();
    if state != State::Entered {
        return Ok(format!("<Timeout [{name}]>"));
    }
    let when = this.deadline(py);
    let shown = if when.is_none() {
        "None".to_owned()
    } else {
        crate::library::module(py, "builtins")?.call_method1("round", (when, 3))?.str()?.to_string()
    };
    Ok(format!("<Timeout [{name}] when={shown}>"))
}

/// `timeout(delay)`.
///
/// # Errors
/// `RuntimeError` if no loop is running, `TypeError` if the delay is no number.
pub(crate) fn py_timeout(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Timeout>> {
    let [delay] = args.bind(&Signature::new("timeout", ["delay"]))?;
    let event_loop = running::running_loop(py)?;
    match delay {
        Some(delay) => Timeout::after(py, &event_loop, delay),
        None => Timeout::object(py, When::Never),
    }
}

/// `timeout_at(when)`.
///
/// # Errors
/// `TypeError` for wrong arguments.
pub(crate) fn py_timeout_at(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Timeout>> {
    let [when] = args.bind(&Signature::new("timeout_at", ["when"]))?;
    Timeout::object(py, given_deadline(when))
}

impl Class for Timeout {
    type Base = Any;
    const NAME: &'static str = "asyncio.timeouts.Timeout";
    const DOC: &'static str = "Timeout(when)\n--\n\n\
        Asynchronous context manager that cancels the code in it when `when`, in seconds on the loop's clock, has\n\
        come; the cancellation leaves the block as TimeoutError. None never comes.\n\n\
        Made by timeout() and timeout_at(). Since 3.11.";
    const SUBCLASS: bool = false;

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn freelist() -> Option<&'static FreeList> {
        static LIST: FreeList = FreeList::new();
        Some(&LIST)
    }

    fn blank() -> Self {
        Self::with_deadline(When::Never)
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        let when = self.when.replace(When::Never);
        if let When::Given(given) = &when {
            visit.obj(given);
        }
        self.when.set(when);
        visit.cell(&self.task);
        if let Ok(alarm) = self.alarm.try_borrow()
            && let Some(alarm) = &*alarm
        {
            alarm.traverse(visit);
        }
    }

    fn clear(&self) {
        let when = self.when.replace(When::Never);
        drop(when);
        self.task.set(None);
        let alarm = self.alarm.try_borrow_mut().map(|mut alarm| alarm.take());
        drop(alarm);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(init)
            .repr(repr)
            .method0(
                "when",
                |this: &Obj<Self>, py: Python<'_>| this.deadline(py),
                "when($self, /)\n--\n\nThe deadline in seconds on the loop's clock, or None.",
            )
            .method(
                "reschedule",
                reschedule,
                "reschedule($self, /, when)\n--\n\n\
                Move the deadline; None takes it away. Raises RuntimeError if the timeout is not active.",
            )
            .method0(
                "expired",
                |this: &Obj<Self>, _py: Python<'_>| {
                    matches!(this.state.get(), State::Expiring | State::Expired)
                },
                "expired($self, /)\n--\n\nWhether the time was up while the block ran.",
            )
            .special0("__aenter__", aenter, "__aenter__($self, /)\n--\n\n")
            .special("__aexit__", aexit, "__aexit__($self, exc_type, exc_val, exc_tb, /)\n--\n\n")
            .getter("_state", |this: &Obj<Self>, _py: Python<'_>| this.state.get().name(), "");
    }
}
