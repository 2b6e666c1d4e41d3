//! `asyncio.TimerHandle`: a handle with a deadline.
//!
//! The garbage collector tracks it as it tracks its base: not while its loop runs, unless it is cancelled or Python code
//! has had a hand in it. Most timers are set and cancelled again, and a collection would look at each of those that wait.

use std::cell::Cell;

use ferrio_core::timers::TimerKey;
use ferrio_object::{Args, Class, ClassBuilder, Obj, ObjCell, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyFloat, PyTuple};

use super::{Handle, Loop, LoopRef};

/// What a `TimerHandle` adds.
pub struct TimerHandle {
    pub(crate) when: Cell<f64>,
    /// Its place among the loop's timers; stale once it has left it.
    pub(crate) key: Cell<Option<TimerKey>>,
    /// For loops that keep their own timers (`call_at` replaced): asyncio's mark that it is in the heap.
    pub(crate) scheduled: Cell<bool>,
    /// The deadline as it was given, unless it was a float: an int is shown as one.
    given: ObjCell,
}

impl TimerHandle {
    #[inline]
    pub(crate) fn new(when: f64) -> Self {
        TimerHandle {
            when: Cell::new(when),
            key: Cell::new(None),
            scheduled: Cell::new(false),
            given: ObjCell::empty(),
        }
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<5> =
            Signature::new("TimerHandle", ["when", "callback", "args", "loop", "context"]).required(4);
        let [when, callback, args, event_loop, context] = args.bind(&SIGNATURE)?;
        let Some(when) = when else { return Ok(()) };
        this.when.set(when.extract()?);
        this.given.set(None);
        this.show_as(when);
        this.scheduled.set(false);
        Handle::initialize(this.base(), py, callback, args, event_loop, context)
    }

    /// Remembers the deadline as it was given, which is what `when()` gives back.
    #[inline]
    pub(crate) fn show_as(&self, given: &Bound<'_, PyAny>) {
        if !given.is_exact_instance_of::<PyFloat>() {
            self.given.set(Some(given.into()));
        }
    }

    fn cancel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let handle = this.base();
        if handle.cancelled.get() {
            return Ok(());
        }
        let event_loop = handle.loop_ref();
        if let Some(key) = this.key.take() {
            if let Some(LoopRef::Native(native)) = &event_loop {
                Loop::forget_timer(native, key);
            }
        } else if let Some(event_loop) = &event_loop {
            // A loop of somebody else's counts its cancelled timers.
            let told = event_loop.as_any().bind(py).getattr_opt(intern!(py, "_timer_handle_cancelled"))?;
            if let Some(told) = told {
                told.call1((this,))?;
            }
        }
        Handle::cancel(handle, py)
    }

    /// Whether it is among the timers of a loop of ours.
    fn waits(this: &Obj<Self>) -> bool {
        match (this.key.get(), this.base().event_loop.get()) {
            (Some(key), Some(event_loop)) => event_loop.timers.borrow().get(key).is_some(),
            _ => false,
        }
    }

    fn when(this: &Obj<Self>, py: Python<'_>) -> Obj {
        this.given.get().unwrap_or_else(|| PyFloat::new(py, this.when.get()).into())
    }

    fn repr_info_list(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let mut info = Handle::repr_info(this.base(), py)?;
        let at = if this.base().cancelled.get() { 2 } else { 1 };
        info.insert(at.min(info.len()), format!("when={}", Self::when(this, py).bind(py).str()?));
        Ok(pyo3::types::PyList::new(py, info)?.into())
    }

    fn set_scheduled(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.scheduled.set(value.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?);
        Ok(())
    }

    fn equal(this: &Obj<Self>, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        let Some(other) = Obj::<TimerHandle>::from_bound(other) else { return Ok(None) };
        let (a, b) = (this.base(), other.base());
        if this.is(other) {
            return Ok(Some(true));
        }
        if this.when.get() != other.when.get() || a.cancelled.get() != b.cancelled.get() {
            return Ok(Some(false));
        }
        let callbacks = match (a.callback.get(), b.callback.get()) {
            (Some(a), Some(b)) => a.bind(py).eq(b)?,
            (a, b) => a.is_none() && b.is_none(),
        };
        let (args_a, args_b) = (a.args(), b.args());
        Ok(Some(callbacks && PyTuple::new(py, args_a)?.eq(PyTuple::new(py, args_b)?)?))
    }

    fn compare(
        this: &Obj<Self>,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        op: CompareOp,
    ) -> PyResult<Option<bool>> {
        let equal = || Self::equal(this, py, other);
        if matches!(op, CompareOp::Eq) {
            return equal();
        }
        if matches!(op, CompareOp::Ne) {
            return Ok(equal()?.map(|equal| !equal));
        }
        let Some(theirs) = Obj::<TimerHandle>::from_bound(other) else { return Ok(None) };
        let (a, b) = (this.when.get(), theirs.when.get());
        Ok(Some(match op {
            CompareOp::Lt => a < b,
            CompareOp::Gt => a > b,
            CompareOp::Le => a < b || equal()? == Some(true),
            _ => a > b || equal()? == Some(true),
        }))
    }
}

impl Class for TimerHandle {
    type Base = Handle;
    ferrio_object::fields!(TimerHandle { when, key, scheduled, given }, freelist);
    const NAME: &'static str = "asyncio.TimerHandle";
    const DOC: &'static str = "TimerHandle(when, callback, args, loop, context=None)\n--\n\n\
        A callback scheduled by call_later() or call_at().";
    const BORN_TRACKED: bool = false;

    fn blank() -> Self {
        TimerHandle::new(0.0)
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .method0(
                "cancel",
                Self::cancel,
                "cancel($self, /)\n--\n\nDo not call it, if it was not called yet.",
            )
            .method0(
                "when",
                Self::when,
                "when($self, /)\n--\n\nWhen it will be called, in seconds of loop.time() (since 3.7).",
            )
            .compare(Self::compare, |this: &Obj<Self>, py: Python<'_>| Self::when(this, py).bind(py).hash())
            .method0("_repr_info", Self::repr_info_list, "")
            .getter("_when", Self::when, "")
            .getset(
                "_scheduled",
                |this: &Obj<Self>, _py: Python<'_>| this.scheduled.get() || Self::waits(this),
                Self::set_scheduled,
                "",
            );
    }
}
