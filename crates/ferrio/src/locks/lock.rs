//! `asyncio.Lock`.
//!
//! What must hold: while the lock is free and somebody stands in line, the first of them has been woken. So a task that
//! leaves the line by a cancellation, and finds the lock free, wakes the first of the others.

use std::cell::Cell;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, DictSlot, MethodSet, Methods, Obj, Replaceable, Replaced, WeakList,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::line::{Line, Waiters};
use super::{LoopBound, Stateful, define_state, describe, waiters};
use crate::coro::{Given, Memory, Operation, Step, ready, truth};
use crate::exceptions;
use crate::future_likes;

/// The contents of a `Lock`.
pub struct Lock {
    pub(super) locked: Cell<bool>,
    line: Line,
    bound: LoopBound,
    replaced: Replaced,
    dict: DictSlot,
    weaklist: WeakList,
}

const NAMES: [&str; 3] = ["acquire", "release", "locked"];
const ACQUIRE: MethodSet = MethodSet::named(&NAMES, "acquire");
const RELEASE: MethodSet = MethodSet::named(&NAMES, "release");
const LOCKED: MethodSet = MethodSet::named(&NAMES, "locked");

impl Replaceable for Lock {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Lock {
    fn new() -> Self {
        Lock {
            locked: Cell::new(false),
            line: Line::new(),
            bound: LoopBound::new(),
            replaced: Replaced::unknown(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    /// A new lock.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn create(py: Python<'_>) -> PyResult<Obj<Lock>> {
        Obj::create(py, ((), Lock::new()))
    }

    /// Whether acquire, release and locked are the ones below.
    #[inline]
    pub(super) fn is_plain(this: &Obj<Lock>) -> bool {
        !this.replaces(ACQUIRE.or(RELEASE).or(LOCKED))
    }

    /// Takes the lock if that needs no waiting; else stands in line: the future to wait for, and the ticket.
    ///
    /// # Errors
    /// `RuntimeError` if the lock belongs to another loop.
    #[inline]
    pub(super) fn take_or_join(this: &Obj<Lock>, py: Python<'_>) -> PyResult<Option<(Obj, u64)>> {
        // Fair: a task that comes later stands behind those that wait, even if the lock is free at the moment. Those
        // that have been cancelled do not count.
        if !this.locked.get()
            && (this.line.is_empty()
                || !this.line.any(|waiter| Ok(!future_likes::is_cancelled(py, waiter)?))?)
        {
            this.locked.set(true);
            return Ok(None);
        }
        let waiter = this.bound.waiter(py, this.as_any())?.into_any();
        let ticket = this.line.join(waiter.clone());
        Ok(Some((waiter, ticket)))
    }

    /// The wait in line has ended.
    ///
    /// # Errors
    /// The one that ended it: then the lock is not taken.
    #[inline]
    pub(super) fn waited(
        this: &Obj<Lock>,
        py: Python<'_>,
        ticket: u64,
        outcome: PyResult<Obj>,
    ) -> PyResult<()> {
        let left = this.line.leave(ticket);
        drop(left);
        match outcome {
            Ok(_) => {
                this.locked.set(true);
                Ok(())
            }
            Err(err) => {
                if !this.locked.get()
                    && let Err(unwakable) = this.wake_first(py)
                {
                    if exceptions::err_is_cancelled(py, &err) {
                        return Err(unwakable);
                    }
                    // The coroutine is being closed and so is the loop: there is nobody left to wake.
                    ferrio_object::swallow(py, unwakable);
                }
                Err(err)
            }
        }
    }

    #[inline]
    fn wake_first(&self, py: Python<'_>) -> PyResult<()> {
        // A first one that is done already is about to run.
        match self.line.first() {
            Some(first) => future_likes::wake(py, &first).map(drop),
            None => Ok(()),
        }
    }

    /// `release()`.
    ///
    /// # Errors
    /// `RuntimeError` if the lock is free.
    #[inline]
    pub(super) fn release(this: &Obj<Lock>, py: Python<'_>) -> PyResult<()> {
        if !this.locked.replace(false) {
            return Err(PyRuntimeError::new_err("Lock is not acquired."));
        }
        this.wake_first(py)
    }

    fn init(_this: &Obj<Lock>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        args.none("Lock.__init__")
    }

    fn acquire(this: &Obj<Lock>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Acquire>(py, this)
    }

    fn aenter(this: &Obj<Lock>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Enter>(py, this)
    }

    fn aexit(this: &Obj<Lock>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        args.bind(&super::AEXIT)?;
        ready::<Exit>(py, this)
    }

    fn repr(this: &Obj<Lock>, py: Python<'_>) -> PyResult<String> {
        let state = if this.locked.get() { "locked" } else { "unlocked" };
        describe(py, this.as_any(), &format!("{state}{}", waiters(&this.line)))
    }
}

struct Acquire;

impl Operation for Acquire {
    type On = Lock;
    const NAME: &'static str = "Lock.acquire";

    #[inline]
    fn begin(this: &Obj<Lock>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        match Lock::take_or_join(this, py)? {
            None => Ok(Step::Done(truth(py))),
            Some((waiter, ticket)) => Ok(Step::Park(waiter, Memory::number(ticket))),
        }
    }

    fn resume(this: &Obj<Lock>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        Lock::waited(this, py, memory.number, outcome)?;
        Ok(Step::Done(truth(py)))
    }
}

struct Enter;

/// The ticket of an `async with` that waits for an `acquire()` of somebody else's making.
const NOT_IN_LINE: u64 = u64::MAX;

impl Operation for Enter {
    type On = Lock;
    const NAME: &'static str = "Lock.__aenter__";

    #[inline]
    fn begin(this: &Obj<Lock>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.replaces(ACQUIRE) {
            let acquiring = this.bind(py).call_method0(intern!(py, "acquire"))?;
            return Ok(Step::Park(acquiring.into(), Memory::number(NOT_IN_LINE)));
        }
        match Lock::take_or_join(this, py)? {
            None => Step::none(py),
            Some((waiter, ticket)) => Ok(Step::Park(waiter, Memory::number(ticket))),
        }
    }

    fn resume(this: &Obj<Lock>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        if memory.number == NOT_IN_LINE {
            outcome?;
        } else {
            Lock::waited(this, py, memory.number, outcome)?;
        }
        Step::none(py)
    }
}

struct Exit;

impl Operation for Exit {
    type On = Lock;
    const NAME: &'static str = "Lock.__aexit__";

    #[inline]
    fn begin(this: &Obj<Lock>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.replaces(RELEASE) {
            this.bind(py).call_method0(intern!(py, "release"))?;
        } else {
            Lock::release(this, py)?;
        }
        Step::none(py)
    }
}

impl Stateful for Lock {
    const STATE: &'static [&'static str] = &["_locked", "_waiters"];
}

impl Class for Lock {
    type Base = Any;
    ferrio_object::fields!(Lock { locked, line, bound, replaced, dict: DictSlot, weaklist: WeakList });
    const NAME: &'static str = "asyncio.locks.Lock";
    const DOC: &'static str = "Lock()\n--\n\n\
        A mutual exclusion lock for tasks.\n\n\
        Not owned by a task: any holder of the object may release it. Tasks that wait get it in the order in which\n\
        they came. Use it as `async with lock:`.";

    fn blank() -> Self {
        Lock::new()
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .repr(Self::repr)
            .replaceable()
            .method0("locked", |this: &Obj<Self>, _py: Python<'_>| this.locked.get(),
                "locked($self, /)\n--\n\nWhether the lock is taken.")
            .coroutine0("acquire", Self::acquire, "acquire($self, /)\n--\n\nCoroutine: take the lock.\n\n\
                Waits until it is free and the tasks that came before have had it. Returns True. A wait that is\n\
                cancelled takes nothing.")
            .method0("_wake_up_first", |this: &Obj<Self>, py: Python<'_>| this.wake_first(py), "")
            .function0("release", Self::release, "release($self, /)\n--\n\nFree the lock.\n\n\
                The first task that waits gets it. Raises RuntimeError if the lock is free.")
            .special0("__aenter__", Self::aenter, "__aenter__($self, /)\n--\n\nAcquire.")
            .special("__aexit__", Self::aexit, "__aexit__($self, /, exc_type, exc, tb)\n--\n\nRelease.")
            .method0("_get_loop", |this: &Obj<Self>, py: Python<'_>| {
                this.bound.get_loop(py, this.as_any()).map(|event_loop| event_loop.as_any().clone())
            }, "")
            .getset("_loop", |this: &Obj<Self>, _py: Python<'_>| this.bound.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.bound.set_any(value);
                    Ok(())
                }, "")
            .getset("_locked", |this: &Obj<Self>, _py: Python<'_>| this.locked.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.locked.set(value.map_or(Ok(false), PyAnyMethods::is_truthy)?);
                    Ok(())
                }, "")
            .getset("_waiters", |this: &Obj<Self>, py: Python<'_>| {
                Waiters::of(py, this.as_any(), |obj| obj.cast::<Lock>().map(|lock| &lock.line))
            }, |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| this.line.replace(value), "");
    }
}
