//! `asyncio.Barrier`: a number of tasks that wait for each other (since 3.11).
//!
//! It stands on a [`Condition`], as asyncio's does: everything it looks at or changes, it does while it holds the
//! condition's lock. The last task to come sets the barrier draining; nobody new gets in before the last of those
//! inside has gone out.

use std::cell::Cell;

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, ObjCell, Signature, WeakList};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use super::{Condition, LoopBound, Stateful, define_state, describe};
use crate::coro::{Given, Memory, Operation, Step, ready};
use crate::exceptions;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Filling => "filling",
            State::Draining => "draining",
            State::Resetting => "resetting",
            State::Broken => "broken",
        }
    }
}

/// The contents of a `Barrier`.
pub struct Barrier {
    condition: ObjCell<Condition>,
    parties: Cell<i64>,
    /// Tasks inside.
    count: Cell<i64>,
    state: Cell<State>,
    bound: LoopBound,
    dict: DictSlot,
    weaklist: WeakList,
}

impl Barrier {
    fn condition(&self) -> PyResult<Obj<Condition>> {
        self.condition.get().ok_or_else(|| PyRuntimeError::new_err("Barrier.__init__() was not called"))
    }

    fn init(this: &Obj<Barrier>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Barrier.__init__", ["parties"]);
        let [parties] = args.bind(&SIGNATURE)?;
        let parties = parties.map_or(Ok(0), PyAnyMethods::extract::<i64>)?;
        if parties < 1 {
            // Worded anew in 3.14.
            let bound = if cfg!(Py_3_14) { ">= 1" } else { "> 0" };
            return Err(PyValueError::new_err(format!("parties must be {bound}")));
        }
        this.condition.set(Some(Condition::create(py)?));
        this.parties.set(parties);
        this.count.set(0);
        this.state.set(State::Filling);
        Ok(())
    }

    fn n_waiting(&self) -> i64 {
        if self.state.get() == State::Filling { self.count.get() } else { 0 }
    }

    fn set_state(this: &Obj<Barrier>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let name = value.map(Bound::str).transpose()?.map(|name| name.to_string());
        let known = [State::Filling, State::Draining, State::Resetting, State::Broken];
        match known.into_iter().find(|state| name.as_deref() == Some(state.name())) {
            Some(state) => {
                this.state.set(state);
                Ok(())
            }
            None => Err(PyValueError::new_err("a barrier is filling, draining, resetting or broken")),
        }
    }

    fn repr(this: &Obj<Barrier>, py: Python<'_>) -> PyResult<String> {
        if this.state.get() == State::Broken {
            return describe(py, this.as_any(), "broken");
        }
        let state = this.state.get().name();
        let waiting = format!("{state}, waiters:{}/{}", this.n_waiting(), this.parties.get());
        describe(py, this.as_any(), &waiting)
    }

    fn wait(this: &Obj<Barrier>, py: Python<'_>) -> PyResult<Obj> {
        ready::<Wait>(py, this)
    }
}

fn broken(py: Python<'_>, message: &str) -> PyErr {
    match exceptions::class(py, "BrokenBarrierError")
        .and_then(|class| Ok(class.bind(py).call1((message,))?.into()))
    {
        Ok(exc) => ferrio_object::raise(py, &exc),
        Err(err) => err,
    }
}

/// Where a parked `wait()` stands; its index stands above these two bits.
mod stage {
    pub(super) const ENTER: u64 = 0;
    pub(super) const BLOCK: u64 = 1;
    pub(super) const WAIT: u64 = 2;
    pub(super) const BITS: u32 = 2;
    pub(super) const MASK: u64 = 3;
}

struct Wait;

impl Wait {
    /// Waits while those of the last round are still on their way out, then gets in.
    fn get_in(this: &Obj<Barrier>, py: Python<'_>) -> PyResult<Step> {
        let condition = this.condition()?;
        match this.state.get() {
            State::Draining | State::Resetting => {
                return Ok(Step::Park(Condition::wait(&condition, py)?, Memory::number(stage::BLOCK)));
            }
            State::Broken => return Self::leave(this, py, Err(broken(py, "Barrier aborted"))),
            State::Filling => {}
        }
        let index = this.count.get();
        this.count.set(index + 1);
        if index + 1 == this.parties.get() {
            this.state.set(State::Draining);
            condition.wake_all(py)?;
            return Self::get_out(this, py, Ok(index));
        }
        Self::wait_inside(py, &condition, index as u64)
    }

    fn wait_inside(py: Python<'_>, condition: &Obj<Condition>, index: u64) -> PyResult<Step> {
        let memory = Memory::number(index << stage::BITS | stage::WAIT);
        Ok(Step::Park(Condition::wait(condition, py)?, memory))
    }

    /// Gets out again; the last one lets the next round in.
    fn get_out(this: &Obj<Barrier>, py: Python<'_>, outcome: PyResult<i64>) -> PyResult<Step> {
        this.count.set(this.count.get() - 1);
        if this.count.get() == 0 {
            if matches!(this.state.get(), State::Resetting | State::Draining) {
                this.state.set(State::Filling);
            }
            this.condition()?.wake_all(py)?;
        }
        Self::leave(this, py, outcome)
    }

    fn leave(this: &Obj<Barrier>, py: Python<'_>, outcome: PyResult<i64>) -> PyResult<Step> {
        this.condition()?.release(py)?;
        let Ok(index) = outcome?.into_pyobject(py);
        Ok(Step::Done(index.into()))
    }
}

impl Operation for Wait {
    type On = Barrier;
    const NAME: &'static str = "Barrier.wait";

    fn begin(this: &Obj<Barrier>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Ok(Step::Park(Condition::enter(&this.condition()?, py)?, Memory::number(stage::ENTER)))
    }

    fn resume(this: &Obj<Barrier>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        let index = memory.number >> stage::BITS;
        match (memory.number & stage::MASK, outcome) {
            (stage::ENTER, outcome) => {
                outcome?;
                Self::get_in(this, py)
            }
            (stage::BLOCK, Ok(_)) => Self::get_in(this, py),
            (stage::BLOCK, Err(err)) => Self::leave(this, py, Err(err)),
            (_, Err(err)) => Self::get_out(this, py, Err(err)),
            (_, Ok(_)) => match this.state.get() {
                State::Filling => Self::wait_inside(py, &this.condition()?, index),
                State::Draining => Self::get_out(this, py, Ok(index as i64)),
                State::Broken | State::Resetting => {
                    Self::get_out(this, py, Err(broken(py, "Abort or reset of barrier")))
                }
            },
        }
    }
}

struct Reset;

impl Operation for Reset {
    type On = Barrier;
    const NAME: &'static str = "Barrier.reset";

    fn begin(this: &Obj<Barrier>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Ok(Step::Park(Condition::enter(&this.condition()?, py)?, Memory::default()))
    }

    fn resume(
        this: &Obj<Barrier>,
        py: Python<'_>,
        _memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        outcome?;
        this.state.set(if this.count.get() > 0 { State::Resetting } else { State::Filling });
        let condition = this.condition()?;
        condition.wake_all(py)?;
        condition.release(py)?;
        Step::none(py)
    }
}

struct Abort;

impl Operation for Abort {
    type On = Barrier;
    const NAME: &'static str = "Barrier.abort";

    fn begin(this: &Obj<Barrier>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Ok(Step::Park(Condition::enter(&this.condition()?, py)?, Memory::default()))
    }

    fn resume(
        this: &Obj<Barrier>,
        py: Python<'_>,
        _memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        outcome?;
        this.state.set(State::Broken);
        let condition = this.condition()?;
        condition.wake_all(py)?;
        condition.release(py)?;
        Step::none(py)
    }
}

struct Enter;

impl Operation for Enter {
    type On = Barrier;
    const NAME: &'static str = "Barrier.__aenter__";

    fn begin(this: &Obj<Barrier>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        // By name, since a subclass may have its own.
        Ok(Step::Wait(this.bind(py).call_method0(intern!(py, "wait"))?.into()))
    }
}

struct Exit;

impl Operation for Exit {
    type On = Barrier;
    const NAME: &'static str = "Barrier.__aexit__";

    fn begin(_this: &Obj<Barrier>, py: Python<'_>, _given: Given) -> PyResult<Step> {
        Step::none(py)
    }
}

impl Stateful for Barrier {
    const STATE: &'static [&'static str] = &["_cond", "_parties", "_count", "_state"];
}

impl Class for Barrier {
    type Base = Any;
    ferrio_object::fields!(Barrier {
        condition,
        parties,
        count,
        state,
        bound,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.locks.Barrier";
    const DOC: &'static str = "Barrier(parties)\n--\n\n\
        `parties` tasks wait() for each other and go on together (since 3.11).\n\n\
        Can be used again and again. ValueError if `parties` is less than 1.";

    fn blank() -> Self {
        Barrier {
            condition: ObjCell::empty(),
            parties: Cell::new(0),
            count: Cell::new(0),
            state: Cell::new(State::Filling),
            bound: LoopBound::new(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define_state(class);
        class
            .init(Self::init)
            .repr(Self::repr)
            .coroutine0("wait", Self::wait, "wait($self, /)\n--\n\nCoroutine: wait until all parties are here.\n\n\
                Returns a number from 0 to parties - 1, a different one in each task. Raises BrokenBarrierError if\n\
                the barrier is broken, or is reset or aborted meanwhile.")
            .coroutine0("reset", |this: &Obj<Self>, py: Python<'_>| ready::<Reset>(py, this),
                "reset($self, /)\n--\n\nCoroutine: make it empty and whole again.\n\n\
                 Tasks that wait get BrokenBarrierError.")
            .coroutine0("abort", |this: &Obj<Self>, py: Python<'_>| ready::<Abort>(py, this),
                "abort($self, /)\n--\n\nCoroutine: break it.\n\n\
                 Every wait(), now and later, raises BrokenBarrierError.")
            .special0("__aenter__", |this: &Obj<Self>, py: Python<'_>| ready::<Enter>(py, this),
                "__aenter__($self, /)\n--\n\nwait().")
            .special("__aexit__", |this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| {
                args.bind_rest(&Signature::new("__aexit__", []))?;
                ready::<Exit>(py, this)
            },
                "__aexit__($self, /, *args)\n--\n\nNothing.")
            .method0("_get_loop", |this: &Obj<Self>, py: Python<'_>| {
                this.bound.get_loop(py, this.as_any()).map(|event_loop| event_loop.as_any().clone())
            }, "")
            .getter("parties", |this: &Obj<Self>, _py: Python<'_>| this.parties.get(),
                "How many tasks have to wait before all go on.")
            .getter("n_waiting", |this: &Obj<Self>, _py: Python<'_>| this.n_waiting(),
                "How many tasks wait at it now.")
            .getter("broken", |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Broken,
                "Whether it is broken.")
            .getset("_count", |this: &Obj<Self>, _py: Python<'_>| this.count.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.count.set(value.map_or(Ok(0), PyAnyMethods::extract)?);
                    Ok(())
                }, "")
            .getset("_parties", |this: &Obj<Self>, _py: Python<'_>| this.parties.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.parties.set(value.map_or(Ok(0), PyAnyMethods::extract)?);
                    Ok(())
                }, "")
            .getset("_state", |this: &Obj<Self>, _py: Python<'_>| this.state.get().name(), Self::set_state, "")
            .getset("_cond", |this: &Obj<Self>, _py: Python<'_>| this.condition.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.condition.set(value.and_then(Obj::<Condition>::from_bound).cloned());
                    Ok(())
                }, "")
            .getset("_loop", |this: &Obj<Self>, _py: Python<'_>| this.bound.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.bound.set_any(value);
                    Ok(())
                }, "");
    }
}
