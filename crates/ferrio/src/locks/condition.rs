//! `asyncio.Condition`: tasks that wait until another one tells them that something has changed.
//!
//! `wait()` gives the lock back, stands in line, and whatever ends that wait (a notification, a cancellation) gets the
//! lock again before it ends itself. A task that fails may have been notified already, so it passes the notification
//! on; that may wake somebody for nothing, which conditions allow.
//!
//! The lock is nearly always one of ours, and is then taken and freed without a call. Any object with `acquire()`,
//! `release()` and `locked()` will do.

use ferrio_object::{
    Any, Args, Class, ClassBuilder, DictSlot, MethodSet, Methods, Obj, ObjCell, Replaceable, Replaced,
    Signature, WeakList, vectorcall,
};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::line::{Line, Waiters};
use super::{Lock, LoopBound, Stateful, define_state, describe, waiters};
use crate::coro::{Given, Memory, Operation, Step, ready, ready_with, truth};
use crate::exceptions;

/// The contents of a `Condition`.
pub struct Condition {
    lock: ObjCell,
    /// `acquire`, `release` and `locked` if they have been set on the object; else they are the lock's.
    own: [ObjCell; 3],
    line: Line,
    bound: LoopBound,
    replaced: Replaced,
    dict: DictSlot,
    weaklist: WeakList,
}

const ACQUIRE: usize = 0;
const RELEASE: usize = 1;
const LOCKED: usize = 2;
const LOCK_METHODS: [&str; 3] = ["acquire", "release", "locked"];

const NAMES: [&str; 2] = ["wait", "notify"];
const WAIT: MethodSet = MethodSet::named(&NAMES, "wait");
const NOTIFY: MethodSet = MethodSet::named(&NAMES, "notify");

impl Replaceable for Condition {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Condition {
    fn new(lock: ObjCell) -> Self {
        Condition {
            lock,
            own: [ObjCell::empty(), ObjCell::empty(), ObjCell::empty()],
            line: Line::new(),
            bound: LoopBound::new(),
            replaced: Replaced::unknown(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    /// A new condition with a lock of its own.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn create(py: Python<'_>) -> PyResult<Obj<Condition>> {
        let lock = Lock::create(py)?;
        Obj::create(py, ((), Condition::new(ObjCell::new(lock.into_any()))))
    }

    /// The lock, if it is one of ours and nothing stands between us and it.
    #[inline]
    fn native(&self) -> Option<Obj<Lock>> {
        let lock = self.lock.get()?.cast_into::<Lock>().ok()?;
        let direct = self.own.iter().all(ObjCell::is_none) && Lock::is_plain(&lock);
        direct.then_some(lock)
    }

    /// `self.acquire`, `self.release` or `self.locked`.
    fn lock_method(&self, py: Python<'_>, which: usize) -> PyResult<Obj> {
        if let Some(own) = self.own[which].get() {
            return Ok(own);
        }
        let lock = self.lock.get().unwrap_or_else(|| Obj::none(py));
        Ok(lock.bind(py).getattr(LOCK_METHODS[which])?.into())
    }

    #[inline]
    fn is_locked(&self, py: Python<'_>) -> PyResult<bool> {
        match self.native() {
            Some(lock) => Ok(lock.locked.get()),
            None => vectorcall(py, &self.lock_method(py, LOCKED)?, &[])?.bind(py).is_truthy(),
        }
    }

    /// Frees the lock.
    ///
    /// # Errors
    /// What its `release()` raises.
    #[inline]
    pub(super) fn release(&self, py: Python<'_>) -> PyResult<()> {
        match self.native() {
            Some(lock) => Lock::release(&lock, py),
            None => vectorcall(py, &self.lock_method(py, RELEASE)?, &[]).map(drop),
        }
    }

    /// `__aenter__()`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn enter(this: &Obj<Condition>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Enter>(py, this)
    }

    /// `wait()`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn wait(this: &Obj<Condition>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Wait>(py, this)
    }

    /// `notify_all()`, which needs the lock only in Python's eyes.
    ///
    /// # Errors
    /// What scheduling on a foreign loop raises.
    pub(super) fn wake_all(&self, py: Python<'_>) -> PyResult<()> {
        self.line.wake(py, usize::MAX).map(drop)
    }

    fn notify_count(&self, py: Python<'_>, count: usize) -> PyResult<()> {
        if !self.is_locked(py)? {
            return Err(PyRuntimeError::new_err("cannot notify on un-acquired lock"));
        }
        self.line.wake(py, count).map(drop)
    }

    fn notify(this: &Obj<Condition>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Condition.notify", ["n"]).required(0);
        let [n] = args.bind(&SIGNATURE)?;
        let count = match n {
            None => 1,
            Some(n) => usize::try_from(n.extract::<i64>()?).unwrap_or(0),
        };
        this.notify_count(py, count)
    }

    fn notify_all(this: &Obj<Condition>, py: Python<'_>) -> PyResult<()> {
        if this.replaces(NOTIFY) {
            this.bind(py).call_method1(intern!(py, "notify"), (this.line.len(),))?;
            return Ok(());
        }
        this.notify_count(py, usize::MAX)
    }

    fn wait_for(this: &Obj<Condition>, py: Python<'_>, predicate: &Bound<'_, PyAny>) -> PyResult<Obj> {
        ready_with::<WaitFor>(py, this, [Some(predicate.into()), None])
    }

    fn init(this: &Obj<Condition>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Condition.__init__", ["lock"]).required(0);
        let [lock] = args.bind(&SIGNATURE)?;
        let lock = match lock.filter(|lock| !lock.is_none()) {
            Some(lock) => lock.into(),
            None => Lock::create(py)?.into_any(),
        };
        this.lock.set(Some(lock));
        Ok(())
    }

    fn aexit(this: &Obj<Condition>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        args.bind(&super::AEXIT)?;
        ready::<Exit>(py, this)
    }

    fn repr(this: &Obj<Condition>, py: Python<'_>) -> PyResult<String> {
        let state = if this.is_locked(py)? { "locked" } else { "unlocked" };
        describe(py, this.as_any(), &format!("{state}{}", waiters(&this.line)))
    }
}

/// Where a parked operation stands; the ticket of the line it is in stands above these two bits.
mod stage {
    pub(super) const NOTIFICATION: u64 = 0;
    /// In the line of a lock of ours.
    pub(super) const LOCK: u64 = 1;
    /// In an `acquire()` of somebody else's.
    pub(super) const FOREIGN_LOCK: u64 = 2;
    /// In a `wait()` of somebody else's, with everything that belongs to it.
    pub(super) const FOREIGN_WAIT: u64 = 3;
    pub(super) const BITS: u32 = 2;
    pub(super) const MASK: u64 = 3;
}

/// Stands in line for a notification; the lock is free from here on.
fn await_notification(this: &Obj<Condition>, py: Python<'_>, predicate: Option<Obj>) -> PyResult<Step> {
    if !this.is_locked(py)? {
        return Err(PyRuntimeError::new_err("cannot wait on un-acquired lock"));
    }
    let waiter = this.bound.waiter(py, this.as_any())?.into_any();
    this.release(py)?;
    let ticket = this.line.join(waiter.clone());
    let memory = Memory { kept: [None, predicate], number: ticket << stage::BITS | stage::NOTIFICATION };
    Ok(Step::Park(waiter, memory))
}

/// Gets the lock back, whatever has happened (`failure`).
fn reacquire(
    this: &Obj<Condition>,
    py: Python<'_>,
    failure: Option<Obj>,
    predicate: Option<Obj>,
) -> PyResult<Step> {
    let attempt = match this.native() {
        Some(lock) => Lock::take_or_join(&lock, py)
            .map(|joined| joined.map(|(waiter, ticket)| (waiter, ticket << stage::BITS | stage::LOCK))),
        None => this
            .lock_method(py, ACQUIRE)
            .and_then(|acquire| vectorcall(py, &acquire, &[]))
            .map(|acquiring| Some((acquiring, stage::FOREIGN_LOCK))),
    };
    match attempt {
        Ok(None) => waited(this, py, failure, predicate),
        Ok(Some((awaitable, number))) => {
            Ok(Step::Park(awaitable, Memory { kept: [failure, predicate], number }))
        }
        Err(err) => failed(this, py, err),
    }
}

/// A `wait()` is over, and the lock is taken.
fn waited(
    this: &Obj<Condition>,
    py: Python<'_>,
    failure: Option<Obj>,
    predicate: Option<Obj>,
) -> PyResult<Step> {
    match (failure, predicate) {
        (Some(failure), _) => failed(this, py, ferrio_object::raise(py, &failure)),
        (None, None) => Ok(Step::Done(truth(py))),
        (None, Some(predicate)) => ask(this, py, predicate),
    }
}

/// We may have been notified, and cannot make use of it: somebody else shall.
fn failed(this: &Obj<Condition>, py: Python<'_>, err: PyErr) -> PyResult<Step> {
    if let Err(unwakable) = this.line.wake(py, 1) {
        if exceptions::err_is_cancelled(py, &err) {
            return Err(unwakable);
        }
        // The coroutine is being closed and so is the loop: there is nobody left to wake.
        ferrio_object::swallow(py, unwakable);
    }
    Err(err)
}

/// Asks the predicate of `wait_for()`: it is over, or waits (again).
fn ask(this: &Obj<Condition>, py: Python<'_>, predicate: Obj) -> PyResult<Step> {
    let result = vectorcall(py, &predicate, &[])?;
    if result.bind(py).is_truthy()? {
        return Ok(Step::Done(result));
    }
    if this.replaces(WAIT) {
        let waiting = this.bind(py).call_method0(intern!(py, "wait"))?;
        let memory = Memory { kept: [None, Some(predicate)], number: stage::FOREIGN_WAIT };
        return Ok(Step::Park(waiting.into(), memory));
    }
    await_notification(this, py, Some(predicate))
}

fn resume(this: &Obj<Condition>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
    let Memory { kept: [failure, predicate], number } = memory;
    let ticket = number >> stage::BITS;
    let taken = match number & stage::MASK {
        stage::NOTIFICATION => {
            let left = this.line.leave(ticket);
            drop(left);
            let failure = outcome.err().map(|err| exceptions::value_of(py, err));
            return reacquire(this, py, failure, predicate);
        }
        stage::FOREIGN_WAIT => {
            outcome?;
            return waited(this, py, None, predicate);
        }
        stage::LOCK => match this.lock.get().map(Obj::cast_into::<Lock>) {
            Some(Ok(lock)) => Lock::waited(&lock, py, ticket, outcome),
            _ => outcome.map(drop),
        },
        _ => outcome.map(drop),
    };
    match taken {
        Ok(()) => waited(this, py, failure, predicate),
        Err(err) if exceptions::err_is_cancelled(py, &err) => {
            // The lock must be got back even so. The latest cancellation is the one that is raised then.
            reacquire(this, py, Some(exceptions::value_of(py, err)), predicate)
        }
        Err(err) => failed(this, py, err),
    }
}

struct Wait;

impl Operation for Wait {
    type On = Condition;
    const NAME: &'static str = "Condition.wait";

    fn begin(this: &Obj<Condition>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        await_notification(this, py, None)
    }

    fn resume(
        this: &Obj<Condition>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        resume(this, py, memory, outcome)
    }
}

struct WaitFor;

impl Operation for WaitFor {
    type On = Condition;
    const NAME: &'static str = "Condition.wait_for";

    fn begin(this: &Obj<Condition>, py: Python<'_>, given: Given) -> PyResult<Step> {
        let [predicate, _] = given;
        ask(this, py, predicate.unwrap_or_else(|| Obj::none(py)))
    }

    fn resume(
        this: &Obj<Condition>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        resume(this, py, memory, outcome)
    }
}

struct Enter;

impl Operation for Enter {
    type On = Condition;
    const NAME: &'static str = "Condition.__aenter__";

    fn begin(this: &Obj<Condition>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        let Some(lock) = this.native() else {
            let acquiring = vectorcall(py, &this.lock_method(py, ACQUIRE)?, &[])?;
            return Ok(Step::Park(acquiring, Memory::number(stage::FOREIGN_LOCK)));
        };
        match Lock::take_or_join(&lock, py)? {
            None => Step::none(py),
            Some((waiter, ticket)) => {
                Ok(Step::Park(waiter, Memory::number(ticket << stage::BITS | stage::LOCK)))
            }
        }
    }

    fn resume(
        this: &Obj<Condition>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        match this.lock.get().map(Obj::cast_into::<Lock>) {
            Some(Ok(lock)) if memory.number & stage::MASK == stage::LOCK => {
                Lock::waited(&lock, py, memory.number >> stage::BITS, outcome)?;
            }
            _ => drop(outcome?),
        }
        Step::none(py)
    }
}

struct Exit;

impl Operation for Exit {
    type On = Condition;
    const NAME: &'static str = "Condition.__aexit__";

    fn begin(this: &Obj<Condition>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        this.release(py)?;
        Step::none(py)
    }
}

impl Stateful for Condition {
    const STATE: &'static [&'static str] = &["_lock", "_waiters"];
}

impl Class for Condition {
    type Base = Any;
    ferrio_object::fields!(Condition {
        lock,
        own,
        line,
        bound,
        replaced,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.locks.Condition";
    const DOC: &'static str = "Condition(lock=None)\n--\n\n\
        Lets tasks wait until another one notifies them that something has changed.\n\n\
        `lock` is what protects that something: a Lock, or None for one of its own. `async with condition:` holds it.";

    fn blank() -> Self {
        Condition::new(ObjCell::empty())
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .repr(Self::repr)
            .replaceable()
            .coroutine0("wait", Self::wait, "wait($self, /)\n--\n\nCoroutine: wait to be notified; True.\n\n\
                The lock must be taken; it is free during the wait and taken again at the end, also of a wait that\n\
                is cancelled. May end without a notification, so look at the state again. Raises RuntimeError if\n\
                the lock is free.")
            .coroutine1_named("wait_for", Self::wait_for, || Signature::new("wait_for", ["predicate"]), "wait_for($self, /, predicate)\n--\n\n\
                Coroutine: wait() until predicate() is true; its result.")
            .function("notify", Self::notify, "notify($self, /, n=1)\n--\n\nWake up to `n` of the waiting tasks.\n\n\
                They go on when they get the lock. Raises RuntimeError if the lock is free.")
            .function0("notify_all", Self::notify_all, "notify_all($self, /)\n--\n\nWake all waiting tasks.\n\n\
                Raises RuntimeError if the lock is free.")
            .special0("__aenter__", Self::enter, "__aenter__($self, /)\n--\n\nAcquire the lock.")
            .special("__aexit__", Self::aexit, "__aexit__($self, /, exc_type, exc, tb)\n--\n\nRelease the lock.")
            .method1("_notify", |this: &Obj<Self>, py: Python<'_>, n: &Bound<'_, PyAny>| {
                let count = usize::try_from(n.extract::<i64>()?).unwrap_or(0);
                this.line.wake(py, count).map(drop)
            }, "")
            .method0("_get_loop", |this: &Obj<Self>, py: Python<'_>| {
                this.bound.get_loop(py, this.as_any()).map(|event_loop| event_loop.as_any().clone())
            }, "")
            .getset("acquire", |this: &Obj<Self>, py: Python<'_>| this.lock_method(py, ACQUIRE),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.own[ACQUIRE].set(value.map(Obj::from));
                    Ok(())
                }, "The lock's acquire().")
            .getset("release", |this: &Obj<Self>, py: Python<'_>| this.lock_method(py, RELEASE),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.own[RELEASE].set(value.map(Obj::from));
                    Ok(())
                }, "The lock's release().")
            .getset("locked", |this: &Obj<Self>, py: Python<'_>| this.lock_method(py, LOCKED),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.own[LOCKED].set(value.map(Obj::from));
                    Ok(())
                }, "The lock's locked().")
            .getset("_loop", |this: &Obj<Self>, _py: Python<'_>| this.bound.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.bound.set_any(value);
                    Ok(())
                }, "")
            .getset("_lock", |this: &Obj<Self>, _py: Python<'_>| this.lock.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.lock.set(value.map(Obj::from));
                    Ok(())
                }, "")
            .getset("_waiters", |this: &Obj<Self>, py: Python<'_>| {
                Waiters::of(py, this.as_any(), |obj| obj.cast::<Condition>().map(|cond| &cond.line))
            }, |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| this.line.replace(value), "");
    }
}
