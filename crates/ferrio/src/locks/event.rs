//! `asyncio.Event`: a flag that tasks wait for.

use std::cell::Cell;

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, WeakList};
use pyo3::prelude::*;

use super::line::{Line, Waiters};
use super::{LoopBound, Stateful, define_state, describe, waiters};
use crate::coro::{Given, Memory, Operation, Step, ready, truth};

/// The contents of an `Event`.
pub struct Event {
    value: Cell<bool>,
    line: Line,
    bound: LoopBound,
    dict: DictSlot,
    weaklist: WeakList,
}

impl Event {
    fn new(value: bool) -> Self {
        Event {
            value: Cell::new(value),
            line: Line::new(),
            bound: LoopBound::new(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    /// A new event, set or not.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn create(py: Python<'_>, value: bool) -> PyResult<Obj<Event>> {
        Obj::create(py, ((), Event::new(value)))
    }

    /// `set()`.
    ///
    /// # Errors
    /// What scheduling on a foreign loop raises.
    pub(crate) fn set(this: &Obj<Event>, py: Python<'_>) -> PyResult<()> {
        if this.value.replace(true) {
            return Ok(());
        }
        this.line.wake(py, usize::MAX).map(drop)
    }

    /// `clear()`.
    #[inline]
    pub(crate) fn reset(&self) {
        self.value.set(false);
    }

    /// `wait()`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn wait(this: &Obj<Event>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Wait>(py, this)
    }

    fn init(_this: &Obj<Event>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        args.none("Event.__init__")
    }

    fn repr(this: &Obj<Event>, py: Python<'_>) -> PyResult<String> {
        let state = if this.value.get() { "set" } else { "unset" };
        describe(py, this.as_any(), &format!("{state}{}", waiters(&this.line)))
    }
}

struct Wait;

impl Operation for Wait {
    type On = Event;
    const NAME: &'static str = "Event.wait";

    #[inline]
    fn begin(this: &Obj<Event>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.value.get() {
            return Ok(Step::Done(truth(py)));
        }
        let waiter = this.bound.waiter(py, this.as_any())?.into_any();
        let ticket = this.line.join(waiter.clone());
        Ok(Step::Park(waiter, Memory::number(ticket)))
    }

    #[inline]
    fn resume(this: &Obj<Event>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        let left = this.line.leave(memory.number);
        drop(left);
        outcome.map(|_| Step::Done(truth(py)))
    }
}

impl Stateful for Event {
    const STATE: &'static [&'static str] = &["_value", "_waiters"];
}

impl Class for Event {
    type Base = Any;
    ferrio_object::fields!(Event { value, line, bound, dict: DictSlot, weaklist: WeakList });
    const NAME: &'static str = "asyncio.locks.Event";
    const DOC: &'static str = "Event()\n--\n\n\
        A flag that is set or not, and that tasks wait for. It begins unset.";

    fn blank() -> Self {
        Event::new(false)
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .repr(Self::repr)
            .method0(
                "is_set",
                |this: &Obj<Self>, _py: Python<'_>| this.value.get(),
                "is_set($self, /)\n--\n\nWhether the flag is set.",
            )
            .function0(
                "set",
                Self::set,
                "set($self, /)\n--\n\nSet the flag and wake all tasks that wait for it.",
            )
            .function0(
                "clear",
                |this: &Obj<Self>, _py: Python<'_>| this.reset(),
                "clear($self, /)\n--\n\nTake the flag back: from now on wait() waits again.",
            )
            .coroutine0(
                "wait",
                Self::wait,
                "wait($self, /)\n--\n\nCoroutine: wait until the flag is set; True.\n\n\
                A task that has been woken goes on even if the flag is taken back before it runs.",
            )
            .method0(
                "_get_loop",
                |this: &Obj<Self>, py: Python<'_>| {
                    this.bound.get_loop(py, this.as_any()).map(|event_loop| event_loop.as_any().clone())
                },
                "",
            )
            .getset(
                "_loop",
                |this: &Obj<Self>, _py: Python<'_>| this.bound.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.bound.set_any(value);
                    Ok(())
                },
                "",
            )
            .getset(
                "_value",
                |this: &Obj<Self>, _py: Python<'_>| this.value.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.value.set(value.map_or(Ok(false), PyAnyMethods::is_truthy)?);
                    Ok(())
                },
                "",
            )
            .getset(
                "_waiters",
                |this: &Obj<Self>, py: Python<'_>| {
                    Waiters::of(py, this.as_any(), |obj| obj.cast::<Event>().map(|event| &event.line))
                },
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.line.replace(value)
                },
                "",
            );
    }
}
