//! The block of a `Timeout`: entering and leaving it, and what Python sees.

use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, Signature};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::{State, Timeout, When};
use crate::coro::{Given, Operation, Step, ready, ready_with};
use crate::event_loop::running;
use crate::exceptions;

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
        // With the block the timeout may end.
        ferrio_object::clear_recycled(py);
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
    ready_with::<Exit>(py, this, [Obj::unless_none(kind), Obj::unless_none(exc)])
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
        crate::imported::module(py, "builtins")?.call_method1("round", (when, 3))?.str()?.to_string()
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
    ferrio_object::fields!(
        Timeout { state, when, task, cancelling, alarm, setting, dict: DictSlot, weaklist: WeakList },
        freelist
    );
    const NAME: &'static str = "asyncio.timeouts.Timeout";
    const DOC: &'static str = "Timeout(when)\n--\n\n\
        Asynchronous context manager that cancels the code in it when `when`, in seconds on the loop's clock, has\n\
        come; the cancellation leaves the block as TimeoutError. None never comes.\n\n\
        Made by timeout() and timeout_at(). Since 3.11.";

    fn blank() -> Self {
        Self::with_deadline(When::Never)
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
            .special("__aexit__", aexit, "__aexit__($self, /, exc_type, exc_val, exc_tb)\n--\n\n")
            .method0("_on_timeout", Self::expire, "")
            .getter(
                "_state",
                |this: &Obj<Self>, py: Python<'_>| {
                    let states = crate::imported::module(py, "ferrio.timeouts")?.getattr("_State")?;
                    Ok::<_, PyErr>(Obj::from(states.call1((this.state.get().name(),))?))
                },
                "",
            )
            .getter("_when", |this: &Obj<Self>, py: Python<'_>| this.deadline(py), "")
            .getter("_task", |this: &Obj<Self>, _py: Python<'_>| this.task.get(), "")
            .getter("_cancelling", |this: &Obj<Self>, _py: Python<'_>| this.cancelling.get(), "")
            .getter("_timeout_handler", Self::handle, "");
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Timeout>(module)?;
    ferrio_object::recycle_for::<Timeout>(module.py());
    ClassDef::function(
        module,
        "timeout",
        py_timeout,
        "timeout(delay)\n--\n\nAsynchronous context manager that cancels the block after `delay` seconds.\n\n\
         The cancellation leaves the block as TimeoutError. None is no limit. (Since 3.11)",
    )?;
    ClassDef::function(
        module,
        "timeout_at",
        py_timeout_at,
        "timeout_at(when)\n--\n\nAs timeout(), with a point in time on the loop's clock. (Since 3.11)",
    )
}
