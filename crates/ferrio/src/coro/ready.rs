//! Operations that usually end at once: `Lock.acquire`, `Queue.get`, `timeout().__aenter__` …
//!
//! Such a method returns one small recycled object. It is as lazy as a coroutine: nothing happens at the call, and
//! everything at the first `send`. If the operation can end there and then, it does, without a box, a future or a
//! second object. If it must wait, it says what for (a future, or a native coroutine made on the spot), and from then
//! on this object only passes on what comes and goes.

use std::cell::Cell;
use std::mem::offset_of;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, FreeList, Obj, ObjCell, Sent, TypeCell, Visit, WeakList, await_iter, send,
};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use super::object::{Coroutine, close_iterator, never_awaited};
use crate::future::Future;

/// How an operation stands after its beginning.
pub(crate) enum Step {
    /// It has ended with this result.
    Done(Obj),
    /// It goes on as this awaitable (a future, or a `coro::coroutine`), whose outcome is its own.
    Wait(Obj),
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

/// An operation on an object of class `On`.
pub(crate) trait Operation: 'static {
    type On: Class;
    /// `__qualname__` of the coroutine that it looks like.
    const NAME: &'static str;

    /// Does it, or as much of it as can be done now. Runs at the first `send`, under the task and in the context of
    /// whoever sends.
    ///
    /// # Errors
    /// What the operation raises.
    fn begin(this: &Obj<Self::On>, py: Python<'_>, given: Given) -> PyResult<Step>;
}

type Begin = fn(&Obj, Python<'_>, Given) -> PyResult<Step>;

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
    name: Cell<&'static str>,
    begin: Cell<Option<Begin>>,
    state: Cell<State>,
    this: ObjCell,
    given: [ObjCell; 2],
    awaiting: ObjCell,
    weaklist: WeakList,
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
    let contents = ReadyCoroutine {
        name: Cell::new(O::NAME),
        begin: Cell::new(Some(begin::<O>)),
        state: Cell::new(State::Created),
        this: ObjCell::new(this.as_any().clone()),
        given: [first.into(), second.into()],
        awaiting: ObjCell::empty(),
        weaklist: WeakList::new(),
    };
    Ok(Obj::<ReadyCoroutine>::create(py, ((), contents))?.into_any())
}

fn begin<O: Operation>(this: &Obj, py: Python<'_>, given: Given) -> PyResult<Step> {
    match this.cast::<O::On>() {
        Some(this) => O::begin(this, py, given),
        None => Err(PyTypeError::new_err(format!("{}: wrong object", O::NAME))),
    }
}

impl ReadyCoroutine {
    #[inline]
    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Created => {
                if value.is_some_and(|value| !value.is_none()) {
                    return Err(PyTypeError::new_err(
                        "can't send non-None value to a just-started coroutine",
                    ));
                }
                this.start(py)
            }
            State::Future => {
                this.state.set(State::Closed);
                let Some(awaited) = this.awaiting.take() else { return Err(reused()) };
                match awaited.cast::<Future>() {
                    Some(fut) if fut.is_done() => fut.get_result(py).map(Sent::Return),
                    _ => Err(PyRuntimeError::new_err("await wasn't used with future")),
                }
            }
            State::Iterator => {
                let Some(iterator) = this.awaiting.get() else { return Err(reused()) };
                this.state.set(State::Running);
                let sent = match value {
                    None => send(py, &iterator, None),
                    Some(value) => send(py, &iterator, Some(&value.into())),
                };
                this.passed(sent)
            }
            State::Running => Err(executing()),
            State::Closed => Err(reused()),
        }
    }

    #[inline]
    fn start(&self, py: Python<'_>) -> PyResult<Sent> {
        self.state.set(State::Running);
        let given = [self.given[0].take(), self.given[1].take()];
        let step = match (self.begin.get(), self.this.take()) {
            (Some(begin), Some(on)) => begin(&on, py, given),
            _ => Err(reused()),
        };
        match step {
            Ok(Step::Done(value)) => {
                self.state.set(State::Closed);
                Ok(Sent::Return(value))
            }
            Ok(Step::Wait(awaitable)) => self.wait(py, awaitable),
            Err(err) => {
                self.state.set(State::Closed);
                Err(err)
            }
        }
    }

    fn wait(&self, py: Python<'_>, awaitable: Obj) -> PyResult<Sent> {
        if let Some(fut) = awaitable.cast::<Future>() {
            self.state.set(State::Closed);
            if fut.is_done() {
                return fut.get_result(py).map(Sent::Return);
            }
            fut.get_loop()?;
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
        self.passed(sent)
    }

    /// Notes how what is awaited has answered.
    #[inline]
    fn passed(&self, sent: PyResult<Sent>) -> PyResult<Sent> {
        if matches!(sent, Ok(Sent::Next(_))) {
            self.state.set(State::Iterator);
        } else {
            self.state.set(State::Closed);
            self.awaiting.set(None);
        }
        sent
    }

    /// `throw()` with an error in hand.
    pub(super) fn throw_error(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        match this.state.get() {
            State::Created | State::Future => {
                // There is no code of ours between the error and the caller.
                this.finish();
                Err(err)
            }
            State::Iterator => {
                let Some(iterator) = this.awaiting.get() else { return Err(reused()) };
                this.state.set(State::Running);
                let sent = if err.is_instance_of::<pyo3::exceptions::PyGeneratorExit>(py) {
                    close_iterator(py, &iterator).and(Err(err))
                } else {
                    super::throw_into(py, &iterator, err)
                };
                this.passed(sent)
            }
            State::Running => Err(executing()),
            State::Closed => Err(reused()),
        }
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = super::thrown_error(py, &args)?;
        Self::throw_error(this, py, err)
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.state.get() == State::Running {
            return Err(executing());
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
        self.this.set(None);
        self.given.iter().for_each(|given| given.set(None));
        self.awaiting.set(None);
    }

    fn repr(this: &Obj<Self>, _py: Python<'_>) -> String {
        format!("<coroutine object {} at {:p}>", this.name.get(), this.as_ptr())
    }
}

#[cold]
fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

#[cold]
fn executing() -> PyErr {
    PyValueError::new_err("coroutine already executing")
}

impl Class for ReadyCoroutine {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio.ready_coroutine";
    const DOC: &'static str = "A coroutine of ferrio's own that usually ends at its first step.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;
    const WEAKLIST: Option<usize> = Some(offset_of!(ReadyCoroutine, weaklist));

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn freelist() -> Option<&'static FreeList> {
        static LIST: FreeList = FreeList::new();
        Some(&LIST)
    }

    fn blank() -> Self {
        ReadyCoroutine {
            name: Cell::new(""),
            begin: Cell::new(None),
            state: Cell::new(State::Closed),
            this: ObjCell::empty(),
            given: [ObjCell::empty(), ObjCell::empty()],
            awaiting: ObjCell::empty(),
            weaklist: WeakList::new(),
        }
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.cell(&self.this);
        self.given.iter().for_each(|given| visit.cell(given));
        visit.cell(&self.awaiting);
    }

    fn clear(&self) {
        self.this.set(None);
        self.given.iter().for_each(|given| given.set(None));
        self.awaiting.set(None);
    }

    #[inline]
    fn wants_finalizer(&self, _base: &()) -> bool {
        self.state.get() != State::Closed
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        let outcome = match this.state.get() {
            State::Created => {
                this.finish();
                never_awaited(this.as_any(), py, this.name.get())
            }
            State::Future | State::Iterator => Self::close(this, py),
            State::Running | State::Closed => Ok(()),
        };
        if let Err(err) = outcome {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        let suspended =
            |this: &Obj<Self>, _py: Python<'_>| matches!(this.state.get(), State::Future | State::Iterator);
        class
            .repr(Self::repr)
            .await_itself()
            .iter_itself()
            .send(Self::send)
            .throw(Self::throw)
            .method0("close", Self::close, "close($self, /)\n--\n\nEnd the coroutine where it is suspended.")
            .getter(
                "__name__",
                |this: &Obj<Self>, _py: Python<'_>| {
                    let name = this.name.get();
                    name.rsplit('.').next().unwrap_or(name)
                },
                "",
            )
            .getter("__qualname__", |this: &Obj<Self>, _py: Python<'_>| this.name.get(), "")
            .getter("cr_running", |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Running, "")
            .getter("cr_suspended", suspended, "")
            .getter("cr_await", |this: &Obj<Self>, _py: Python<'_>| this.awaiting.get(), "")
            .getter("cr_frame", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_code", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_origin", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "");
    }
}
