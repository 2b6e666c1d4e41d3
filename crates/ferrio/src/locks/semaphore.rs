//! `asyncio.Semaphore` and `BoundedSemaphore`.
//!
//! What must hold: a place that is given to a task in line is taken off the counter at once, by the code that gives it,
//! so that no other task can take it before the woken one runs. A task that was given a place but ends by a
//! cancellation gives it back, and a task that leaves the line passes on what is free.

use std::cell::Cell;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, DictSlot, MethodSet, Methods, Obj, Replaceable, Replaced, Signature,
    WeakList,
};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyFloat;

use super::line::{Line, Waiters};
use super::{LoopBound, Stateful, define_state, describe, waiters};
use crate::coro::{Given, Memory, Operation, Step, ready, truth};
use crate::exceptions;
use crate::future_likes;

/// The contents of a `Semaphore`; a bounded one has a bound, and no others do.
pub struct Semaphore {
    /// Free places; [`UNLIMITED`] are never used up.
    value: Cell<i64>,
    bound_value: Cell<Option<i64>>,
    line: Line,
    bound: LoopBound,
    replaced: Replaced,
    dict: DictSlot,
    weaklist: WeakList,
}

/// The value of `Semaphore(math.inf)`.
const UNLIMITED: i64 = i64::MAX;

const NAMES: [&str; 3] = ["acquire", "release", "locked"];
const ACQUIRE: MethodSet = MethodSet::named(&NAMES, "acquire");
const RELEASE: MethodSet = MethodSet::named(&NAMES, "release");
const LOCKED: MethodSet = MethodSet::named(&NAMES, "locked");

impl Replaceable for Semaphore {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Semaphore {
    fn new() -> Self {
        Semaphore {
            value: Cell::new(1),
            bound_value: Cell::new(None),
            line: Line::new(),
            bound: LoopBound::new(),
            replaced: Replaced::unknown(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    #[inline]
    fn add(&self, places: i64) {
        if self.value.get() != UNLIMITED {
            self.value.set(self.value.get() + places);
        }
    }

    /// Whether an acquire now would wait: no place is free, or somebody is before us.
    #[inline]
    fn is_locked(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.value.get() == 0 || self.line.any(|waiter| Ok(!future_likes::is_cancelled(py, waiter)?))?)
    }

    /// Gives a place to the first that has none; returns whether there was one.
    #[inline]
    fn wake_next(&self, py: Python<'_>) -> PyResult<bool> {
        let woken = self.line.wake(py, 1)? == 1;
        if woken {
            self.add(-1);
        }
        Ok(woken)
    }

    fn release(this: &Obj<Semaphore>, py: Python<'_>) -> PyResult<()> {
        if this.bound_value.get().is_some_and(|bound| this.value.get() >= bound) {
            return Err(PyValueError::new_err("BoundedSemaphore released too many times"));
        }
        this.add(1);
        this.wake_next(py).map(drop)
    }

    #[inline]
    fn take_or_join(this: &Obj<Semaphore>, py: Python<'_>) -> PyResult<Option<(Obj, u64)>> {
        let locked = if this.replaces(LOCKED) {
            this.bind(py).call_method0(intern!(py, "locked"))?.is_truthy()?
        } else {
            this.is_locked(py)?
        };
        if !locked {
            this.add(-1);
            return Ok(None);
        }
        let waiter = this.bound.waiter(py, this.as_any())?.into_any();
        let ticket = this.line.join(waiter.clone());
        Ok(Some((waiter, ticket)))
    }

    fn waited(this: &Obj<Semaphore>, py: Python<'_>, ticket: u64, outcome: PyResult<Obj>) -> PyResult<()> {
        let waiter = this.line.leave(ticket);
        let passed_on = match (&outcome, waiter) {
            (Err(_), Some(waiter)) => {
                if future_likes::is_done(py, &waiter)? && !future_likes::is_cancelled(py, &waiter)? {
                    // We were given a place and cannot take it.
                    this.add(1);
                }
                this.pass_on(py)
            }
            _ => this.pass_on(py),
        };
        match outcome {
            Ok(_) => passed_on,
            Err(err) => {
                if let Err(unwakable) = passed_on {
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

    /// Gives away what is free: those who came while somebody was before them had to stand in line.
    #[inline]
    fn pass_on(&self, py: Python<'_>) -> PyResult<()> {
        while self.value.get() > 0 {
            if !self.wake_next(py)? {
                break;
            }
        }
        Ok(())
    }

    fn init(this: &Obj<Semaphore>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Semaphore.__init__", ["value"]).required(0);
        let [value] = args.bind(&SIGNATURE)?;
        this.set_initial(value).map(drop)
    }

    fn set_initial(&self, value: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
        if let Some(value) = value
            && value.lt(0)?
        {
            return Err(PyValueError::new_err("Semaphore initial value must be >= 0"));
        }
        let value = value.map_or(Ok(1), count)?;
        self.value.set(value);
        Ok(value)
    }

    fn acquire(this: &Obj<Semaphore>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Acquire>(py, this)
    }

    fn aenter(this: &Obj<Semaphore>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Enter>(py, this)
    }

    fn aexit(this: &Obj<Semaphore>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        args.bind(&super::AEXIT)?;
        ready::<Exit>(py, this)
    }

    fn repr(this: &Obj<Semaphore>, py: Python<'_>) -> PyResult<String> {
        let state = if this.bind(py).call_method0(intern!(py, "locked"))?.is_truthy()? {
            "locked".to_owned()
        } else {
            format!("unlocked, value:{}", shown(py, this.value.get()).bind(py).str()?)
        };
        describe(py, this.as_any(), &format!("{state}{}", waiters(&this.line)))
    }
}

/// A number of places as it was given: an int, or infinity.
fn count(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if value.is_instance_of::<PyFloat>() {
        let float = value.extract::<f64>()?;
        if float == f64::INFINITY {
            return Ok(UNLIMITED);
        }
        if float.fract() == 0.0 {
            return value.call_method0(intern!(value.py(), "__int__"))?.extract();
        }
    }
    value.extract()
}

fn shown(py: Python<'_>, value: i64) -> Obj {
    if value == UNLIMITED {
        return PyFloat::new(py, f64::INFINITY).into();
    }
    let Ok(value) = value.into_pyobject(py);
    value.into()
}

struct Acquire;

impl Operation for Acquire {
    type On = Semaphore;
    const NAME: &'static str = "Semaphore.acquire";

    #[inline]
    fn begin(this: &Obj<Semaphore>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        match Semaphore::take_or_join(this, py)? {
            None => Ok(Step::Done(truth(py))),
            Some((waiter, ticket)) => Ok(Step::Park(waiter, Memory::number(ticket))),
        }
    }

    fn resume(
        this: &Obj<Semaphore>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        Semaphore::waited(this, py, memory.number, outcome)?;
        Ok(Step::Done(truth(py)))
    }
}

struct Enter;

/// The ticket of an `async with` that waits for an `acquire()` of somebody else's making.
const NOT_IN_LINE: u64 = u64::MAX;

impl Operation for Enter {
    type On = Semaphore;
    const NAME: &'static str = "Semaphore.__aenter__";

    #[inline]
    fn begin(this: &Obj<Semaphore>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.replaces(ACQUIRE) {
            let acquiring = this.bind(py).call_method0(intern!(py, "acquire"))?;
            return Ok(Step::Park(acquiring.into(), Memory::number(NOT_IN_LINE)));
        }
        match Semaphore::take_or_join(this, py)? {
            None => Step::none(py),
            Some((waiter, ticket)) => Ok(Step::Park(waiter, Memory::number(ticket))),
        }
    }

    fn resume(
        this: &Obj<Semaphore>,
        py: Python<'_>,
        memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        if memory.number == NOT_IN_LINE {
            outcome?;
        } else {
            Semaphore::waited(this, py, memory.number, outcome)?;
        }
        Step::none(py)
    }
}

struct Exit;

impl Operation for Exit {
    type On = Semaphore;
    const NAME: &'static str = "Semaphore.__aexit__";

    #[inline]
    fn begin(this: &Obj<Semaphore>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        if this.replaces(RELEASE) {
            this.bind(py).call_method0(intern!(py, "release"))?;
        } else {
            Semaphore::release(this, py)?;
        }
        Step::none(py)
    }
}

impl Stateful for Semaphore {
    const STATE: &'static [&'static str] = &["_value", "_waiters"];
}

impl Class for Semaphore {
    type Base = Any;
    ferrio_object::fields!(Semaphore {
        value,
        bound_value,
        line,
        bound,
        replaced,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.locks.Semaphore";
    const DOC: &'static str = "Semaphore(value=1)\n--\n\n\
        A number of places that tasks take and give back.\n\n\
        When none is free they wait, and get one in the order in which they came. ValueError if `value` is\n\
        negative.";

    fn blank() -> Self {
        Semaphore::new()
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .repr(Self::repr)
            .replaceable()
            .method0(
                "locked",
                |this: &Obj<Self>, py: Python<'_>| this.is_locked(py),
                "locked($self, /)\n--\n\nWhether acquire() would have to wait.",
            )
            .coroutine0(
                "acquire",
                Self::acquire,
                "acquire($self, /)\n--\n\nCoroutine: take a place; returns True.\n\n\
                Waits until one is free and the tasks that came before have theirs. A wait that is cancelled takes\n\
                nothing.",
            )
            .function0(
                "release",
                Self::release,
                "release($self, /)\n--\n\nGive a place back.\n\n\
                The first task that waits gets it.",
            )
            .special0("__aenter__", Self::aenter, "__aenter__($self, /)\n--\n\nAcquire.")
            .special("__aexit__", Self::aexit, "__aexit__($self, /, exc_type, exc, tb)\n--\n\nRelease.")
            .method0(
                "_get_loop",
                |this: &Obj<Self>, py: Python<'_>| {
                    this.bound.get_loop(py, this.as_any()).map(|event_loop| event_loop.as_any().clone())
                },
                "",
            )
            .method0("_wake_up_next", |this: &Obj<Self>, py: Python<'_>| this.wake_next(py), "")
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
                |this: &Obj<Self>, py: Python<'_>| shown(py, this.value.get()),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.value.set(value.map_or(Ok(0), count)?);
                    Ok(())
                },
                "",
            )
            .getset(
                "_waiters",
                |this: &Obj<Self>, py: Python<'_>| {
                    Waiters::of(py, this.as_any(), |obj| obj.cast::<Semaphore>().map(|sem| &sem.line))
                },
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.line.replace(value)
                },
                "",
            );
    }
}

/// The contents that a `BoundedSemaphore` adds: none, its bound is kept with the value.
pub struct BoundedSemaphore;

impl BoundedSemaphore {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("BoundedSemaphore.__init__", ["value"]).required(0);
        let [value] = args.bind(&SIGNATURE)?;
        let value = this.base().set_initial(value)?;
        this.base().bound_value.set(Some(value));
        Ok(())
    }
}

impl Stateful for BoundedSemaphore {
    const STATE: &'static [&'static str] = &["_value", "_bound_value", "_waiters"];
}

impl Class for BoundedSemaphore {
    type Base = Semaphore;
    ferrio_object::fields!(BoundedSemaphore {});
    const NAME: &'static str = "asyncio.locks.BoundedSemaphore";
    const DOC: &'static str = "BoundedSemaphore(value=1)\n--\n\n\
        A semaphore whose release() raises ValueError when it would exceed the initial value.";

    fn blank() -> Self {
        BoundedSemaphore
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .function0(
                "release",
                |this: &Obj<Self>, py: Python<'_>| Semaphore::release(this.base(), py),
                "release($self, /)\n--\n\nGive a place back.\n\nRaises ValueError if all are free already.",
            )
            .getset(
                "_bound_value",
                |this: &Obj<Self>, py: Python<'_>| {
                    this.base().bound_value.get().map(|bound| shown(py, bound))
                },
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.base().bound_value.set(value.map(count).transpose()?);
                    Ok(())
                },
                "",
            );
    }
}
