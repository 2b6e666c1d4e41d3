//! Operations that usually end at once: `Lock.acquire`, `Queue.get`, `timeout().__aenter__` …
//!
//! Such a method returns one small recycled object. It is as lazy as a coroutine: nothing happens at the call, and
//! everything at the first `send`. If the operation can end there and then, it does, without a box, a future or a
//! second object. If it must wait, it says what for. Either that is the rest of the operation (a future, or a native
//! coroutine made on the spot), and from then on this object only passes on what comes and goes; or the operation is
//! parked and goes on where the wait has ended, with what it wrote down before: a state machine without a box, for the
//! waits that are as hot as what needs none (a contended lock, a hand-off through a queue).

use std::cell::Cell;

use ferrio_object::{Class, ClassBuilder, Obj, ObjCell, Sent, await_iter, send};
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

use super::object::Coroutine;
use crate::coroutines::{
    self, Native, NativeCoroutine, Phase, close_iterator, executing, just_started, reused,
};
use crate::future::Future;
use crate::future_likes;

/// How an operation stands after its beginning.
pub(crate) enum Step {
    /// It has ended with this result.
    Done(Obj),
    /// It goes on as this awaitable (a future, or a `coro::coroutine`), whose outcome is its own.
    Wait(Obj),
    /// It goes on in [`Operation::resume`] with this memory when the awaitable has ended, one way or the other.
    Park(Obj, Memory),
}

impl Step {
    /// Ended, with `None`.
    #[inline]
    pub(crate) fn none(py: Python<'_>) -> PyResult<Step> {
        Ok(Step::Done(Obj::none(py)))
    }
}

/// What an operation was given besides the object it works on.
pub(crate) type Given = [Option<Obj>; 2];

/// What a parked operation has written down: objects, where the garbage collector sees them, and a number.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) kept: Given,
    pub(crate) number: u64,
}

impl Memory {
    /// A number alone.
    #[inline]
    pub(crate) fn number(number: u64) -> Memory {
        Memory { kept: [None, None], number }
    }
}

/// An operation on an object of class `On`.
pub(crate) trait Operation: 'static {
    type On: Class;
    /// `__qualname__` of the coroutine that it looks like.
    const NAME: &'static str;

    /// Does it, or as much of it as can be done now. Runs at the first `send`, under the task and in the context of
    /// the sender.
    ///
    /// # Errors
    /// What the operation raises.
    fn begin(this: &Obj<Self::On>, py: Python<'_>, given: Given) -> PyResult<Step>;

    /// Goes on after [`Step::Park`]: with what the awaitable gave or raised, what was thrown in instead, or
    /// `GeneratorExit` from `close()`. It is called exactly once for each time it was parked.
    ///
    /// # Errors
    /// What the operation raises.
    fn resume(
        _this: &Obj<Self::On>,
        _py: Python<'_>,
        _memory: Memory,
        outcome: PyResult<Obj>,
    ) -> PyResult<Step> {
        outcome.map(Step::Done)
    }
}

/// An [`Operation`] without its type.
struct Steps {
    name: &'static str,
    begin: fn(&Obj, Python<'_>, Given) -> PyResult<Step>,
    resume: fn(&Obj, Python<'_>, Memory, PyResult<Obj>) -> PyResult<Step>,
}

trait Untyped {
    const STEPS: Steps;
}

impl<O: Operation> Untyped for O {
    const STEPS: Steps = Steps { name: O::NAME, begin: begin::<O>, resume: resume::<O> };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    /// Waiting for one of our futures, which was yielded.
    Future,
    /// Everything is passed on to what is awaited.
    Iterator,
    Running,
    Closed,
}

/// The contents of an operation that can be awaited.
pub struct ReadyCoroutine {
    steps: Option<&'static Steps>,
    state: Cell<State>,
    /// Whether the operation goes on after what it awaits.
    parked: Cell<bool>,
    this: ObjCell,
    /// What it was given until it begins, what it has kept while it is parked.
    given: [ObjCell; 2],
    number: Cell<u64>,
    awaiting: ObjCell,
}

/// The coroutine of operation `O` on `this`.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn ready<O: Operation>(py: Python<'_>, this: &Obj<O::On>) -> PyResult<Obj> {
    ready_with::<O>(py, this, [None, None])
}

/// As [`ready`], with arguments.
///
/// # Errors
/// `MemoryError`.
#[inline]
pub(crate) fn ready_with<O: Operation>(py: Python<'_>, this: &Obj<O::On>, given: Given) -> PyResult<Obj> {
    let [first, second] = given;
    // Before there is an object: it may run Python code. The contents are written where they will live.
    let native = Native::new(py);
    let made = Obj::<ReadyCoroutine>::create_with(py, || {
        let contents = ReadyCoroutine {
            steps: Some(&O::STEPS),
            state: Cell::new(State::Created),
            parked: Cell::new(false),
            this: ObjCell::new(this.as_any().clone()),
            given: [first.into(), second.into()],
            number: Cell::new(0),
            awaiting: ObjCell::empty(),
        };
        (((), native), contents)
    });
    Ok(made?.into_any())
}

fn begin<O: Operation>(this: &Obj, py: Python<'_>, given: Given) -> PyResult<Step> {
    match this.cast::<O::On>() {
        Some(this) => O::begin(this, py, given),
        None => Err(wrong_object(O::NAME)),
    }
}

fn resume<O: Operation>(
    this: &Obj,
    py: Python<'_>,
    memory: Memory,
    outcome: PyResult<Obj>,
) -> PyResult<Step> {
    match this.cast::<O::On>() {
        Some(this) => O::resume(this, py, memory, outcome),
        None => Err(wrong_object(O::NAME)),
    }
}

#[cold]
fn wrong_object(name: &str) -> PyErr {
    PyTypeError::new_err(format!("{name}: wrong object"))
}

impl ReadyCoroutine {
    #[inline]
    fn start(&self, py: Python<'_>) -> PyResult<Sent> {
        self.state.set(State::Running);
        let given = [self.given[0].take(), self.given[1].take()];
        let (Some(steps), Some(on)) = (self.steps, self.this.take()) else { return Err(reused()) };
        let step = (steps.begin)(&on, py, given);
        self.taken(py, on, step)
    }

    /// What is awaited has ended.
    #[inline]
    fn ended(&self, py: Python<'_>, outcome: PyResult<Obj>) -> PyResult<Sent> {
        self.state.set(State::Closed);
        if !self.parked.replace(false) {
            return outcome.map(Sent::Return);
        }
        let memory = Memory { kept: [self.given[0].take(), self.given[1].take()], number: self.number.get() };
        let (Some(steps), Some(on)) = (self.steps, self.this.take()) else { return Err(reused()) };
        self.state.set(State::Running);
        let step = (steps.resume)(&on, py, memory, outcome);
        self.taken(py, on, step)
    }

    /// The operation has taken a step.
    #[inline]
    fn taken(&self, py: Python<'_>, on: Obj, step: PyResult<Step>) -> PyResult<Sent> {
        match step {
            Ok(Step::Done(value)) => {
                self.state.set(State::Closed);
                Ok(Sent::Return(value))
            }
            Ok(Step::Park(awaitable, memory)) => {
                let Memory { kept: [first, second], number } = memory;
                self.given[0].set(first);
                self.given[1].set(second);
                self.number.set(number);
                self.this.set(Some(on));
                self.parked.set(true);
                self.wait(py, awaitable)
            }
            Ok(Step::Wait(awaitable)) => self.wait(py, awaitable),
            Err(err) => {
                self.state.set(State::Closed);
                Err(err)
            }
        }
    }

    #[inline]
    fn wait(&self, py: Python<'_>, awaitable: Obj) -> PyResult<Sent> {
        if let Some(fut) = future_likes::exact(&awaitable) {
            if fut.is_done() {
                let outcome = fut.get_result(py);
                return self.ended(py, outcome);
            }
            if let Err(err) = fut.get_loop() {
                return self.ended(py, Err(err));
            }
            fut.blocking.set(true);
            self.awaiting.set(Some(awaitable.clone()));
            self.state.set(State::Future);
            return Ok(Sent::Next(awaitable));
        }
        let iterator = match awaitable.cast_exact::<Coroutine>() {
            Some(_) => Ok(awaitable),
            None => await_iter(py, &awaitable),
        };
        let sent = iterator.and_then(|iterator| {
            self.awaiting.set(Some(iterator.clone()));
            send(py, &iterator, None)
        });
        self.passed(py, sent)
    }

    /// Notes how what is awaited has answered.
    #[inline]
    fn passed(&self, py: Python<'_>, sent: PyResult<Sent>) -> PyResult<Sent> {
        let outcome = match sent {
            Ok(Sent::Next(yielded)) => {
                self.state.set(State::Iterator);
                return Ok(Sent::Next(yielded));
            }
            Ok(Sent::Return(value)) => Ok(value),
            Err(err) => Err(err),
        };
        self.awaiting.set(None);
        self.ended(py, outcome)
    }
}

impl NativeCoroutine for ReadyCoroutine {
    #[inline]
    fn phase(&self) -> Phase {
        match self.state.get() {
            State::Created => Phase::Created,
            State::Future | State::Iterator => Phase::Suspended,
            State::Running => Phase::Running,
            State::Closed => Phase::Closed,
        }
    }

    fn qualname(&self) -> &'static str {
        self.steps.map_or("", |steps| steps.name)
    }

    fn awaited(&self, _py: Python<'_>) -> Option<Obj> {
        self.awaiting.get()
    }

    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created => {
                if value.is_some_and(|value| !value.is_none()) {
                    return Err(just_started());
                }
                this.start(py)
            }
            State::Future => {
                let Some(awaited) = this.awaiting.take() else { return Err(reused()) };
                let Some(fut) = awaited.cast::<Future>() else { return Err(reused()) };
                match fut.resumed(py) {
                    Some(outcome) => this.ended(py, outcome),
                    None => {
                        this.awaiting.set(Some(awaited.clone()));
                        Ok(Sent::Next(awaited))
                    }
                }
            }
            State::Iterator => {
                let Some(iterator) = this.awaiting.get() else { return Err(reused()) };
                this.state.set(State::Running);
                let sent = match value {
                    None => send(py, &iterator, None),
                    Some(value) => send(py, &iterator, Some(&value.into())),
                };
                this.passed(py, sent)
            }
            State::Running => Err(executing()),
            State::Closed => Err(reused()),
        }
    }

    fn throw_suspended(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        if this.state.get() == State::Future {
            this.awaiting.set(None);
            return this.ended(py, Err(err));
        }
        let Some(iterator) = this.awaiting.get() else { return Err(reused()) };
        this.state.set(State::Running);
        let sent = if err.is_instance_of::<PyGeneratorExit>(py) {
            close_iterator(py, &iterator).and(Err(err))
        } else {
            coroutines::throw_into(py, &iterator, err)
        };
        this.passed(py, sent)
    }

    fn close_suspended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.parked.get() {
            return match Self::throw_suspended(this, py, PyGeneratorExit::new_err(())) {
                Ok(Sent::Next(_)) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
                Err(err) if !err.is_instance_of::<PyGeneratorExit>(py) => Err(err),
                Ok(Sent::Return(_)) | Err(_) => Ok(()),
            };
        }
        let passed_on = this.state.get() == State::Iterator;
        let awaiting = this.awaiting.take();
        this.finish();
        match awaiting {
            Some(iterator) if passed_on => close_iterator(py, &iterator),
            _ => Ok(()),
        }
    }

    fn finish(&self) {
        self.state.set(State::Closed);
        self.parked.set(false);
        self.this.set(None);
        self.given.iter().for_each(|given| given.set(None));
        self.awaiting.set(None);
    }

    fn abandon(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let closed = Self::close_suspended(this, py);
        if this.parked.get() {
            // It waits again (a condition has to get its lock back), and nobody will ever wake it: it must at least not
            // stay in a line, where it would be given what others wait for.
            if let Err(err) = Self::close_suspended(this, py) {
                ferrio_object::swallow(py, err);
            }
        }
        closed
    }
}

impl Class for ReadyCoroutine {
    type Base = Native;
    ferrio_object::fields!(ReadyCoroutine { steps, state, parked, this, given, number, awaiting }, freelist);
    const NAME: &'static str = "ferrio._ferrio.ready_coroutine";
    const DOC: &'static str = "A coroutine of ferrio's own that usually ends at its first step.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        ReadyCoroutine {
            steps: None,
            state: Cell::new(State::Closed),
            parked: Cell::new(false),
            this: ObjCell::empty(),
            given: [ObjCell::empty(), ObjCell::empty()],
            number: Cell::new(0),
            awaiting: ObjCell::empty(),
        }
    }

    #[inline]
    fn wants_finalizer(&self, _base: &Native) -> bool {
        self.state.get() != State::Closed
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        coroutines::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        coroutines::define(class);
    }
}
