//! The Python object around a native coroutine: `send`, `throw`, `close`, and the attributes that tools look at.

use std::cell::{Cell, RefCell};
use std::future::Future as RustFuture;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, Sent, Sharing, WeakList, await_iter, send};
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyRuntimeWarning, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::frame::{Awaiting, Co, Frame};
use crate::coroutines;
use crate::future::Future;

type Body = Pin<Box<dyn RustFuture<Output = PyResult<Obj>>>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Suspended,
    Running,
    Closed,
}

/// The contents of a native coroutine.
pub struct Coroutine {
    name: &'static str,
    frame: Option<Sharing<Frame>>,
    body: RefCell<Option<Body>>,
    state: Cell<State>,
    weaklist: WeakList,
}

/// A coroutine object named `name` that runs `body` when it is first driven.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn coroutine<F>(py: Python<'_>, name: &'static str, body: impl FnOnce(Co) -> F) -> PyResult<Obj>
where
    F: RustFuture<Output = PyResult<Obj>> + 'static,
{
    let frame = Frame::new(py);
    let body: Body = Box::pin(body(Co(frame.share())));
    let contents = Coroutine {
        name,
        frame: Some(frame),
        body: RefCell::new(Some(body)),
        state: Cell::new(State::Created),
        weaklist: WeakList::new(),
    };
    Ok(Obj::<Coroutine>::create(py, ((), contents))?.into_any())
}

/// What comes in from the driver.
enum Input {
    Value(Obj),
    Error(PyErr),
}

impl Coroutine {
    pub(crate) fn closed(&self) -> bool {
        self.state.get() == State::Closed
    }

    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.state.get() {
            State::Running => return Err(PyValueError::new_err("coroutine already executing")),
            State::Closed => {
                return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
            }
            State::Created if value.is_some_and(|value| !value.is_none()) => {
                return Err(pyo3::exceptions::PyTypeError::new_err(
                    "can't send non-None value to a just-started coroutine",
                ));
            }
            State::Created | State::Suspended => {}
        }
        let value = value.map_or_else(|| Obj::none(py), Obj::from);
        this.drive(py, Input::Value(value))
    }

    /// `throw()` with an error in hand.
    pub(super) fn throw_error(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        match this.state.get() {
            State::Running => Err(PyValueError::new_err("coroutine already executing")),
            State::Closed => Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine")),
            State::Created => {
                // Nothing has begun, so there is no await point at which the error could arrive.
                this.finish();
                Err(err)
            }
            State::Suspended => this.drive(py, Input::Error(err)),
        }
    }

    fn throw(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Sent> {
        let err = coroutines::thrown_error(py, &args)?;
        Self::throw_error(this, py, err)
    }

    /// Runs until it yields or ends. The input goes to what is awaited, and its outcome to the Rust future.
    fn drive(&self, py: Python<'_>, input: Input) -> PyResult<Sent> {
        let Some(frame) = &self.frame else {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        };
        let started = self.state.replace(State::Running) == State::Suspended;
        let Some(mut body) = self.body.borrow_mut().take() else {
            self.state.set(State::Closed);
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        };
        let mut input = started.then_some(input);
        loop {
            if let Some(input) = input.take() {
                match Self::pass(frame, py, input) {
                    Ok(Sent::Next(yielded)) => {
                        self.body.borrow_mut().replace(body);
                        self.state.set(State::Suspended);
                        return Ok(Sent::Next(yielded));
                    }
                    Ok(Sent::Return(value)) => frame.arrived.set(Some(Ok(value))),
                    Err(err) => frame.arrived.set(Some(Err(err))),
                }
            }
            let polled = body.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(outcome) => {
                    drop(body);
                    self.finish();
                    return outcome.map(Sent::Return);
                }
                // The future has put what it awaits into the frame; the first value sent to that is None.
                Poll::Pending => input = Some(Input::Value(Obj::none(py))),
            }
        }
    }

    /// Passes what came in to what is awaited.
    fn pass(frame: &Frame, py: Python<'_>, input: Input) -> PyResult<Sent> {
        let awaiting = frame.awaiting.replace(Awaiting::Nothing);
        match (awaiting, input) {
            (Awaiting::Fresh(obj), Input::Value(value)) => {
                if let Some(fut) = obj.cast::<Future>() {
                    if fut.is_done() {
                        return fut.get_result(py).map(Sent::Return);
                    }
                    fut.get_loop()?;
                    fut.blocking.set(true);
                    drop(frame.awaiting.replace(Awaiting::Future(fut.clone())));
                    return Ok(Sent::Next(obj));
                }
                let iterator = await_iter(py, &obj)?;
                Self::pass_value(frame, py, iterator, Some(value))
            }
            (Awaiting::Fresh(_) | Awaiting::Future(_), Input::Error(err)) => Err(err),
            (Awaiting::Future(fut), Input::Value(_)) => {
                if !fut.is_done() {
                    return Err(PyRuntimeError::new_err("await wasn't used with future"));
                }
                fut.get_result(py).map(Sent::Return)
            }
            (Awaiting::Iterator(iterator), Input::Value(value)) => {
                Self::pass_value(frame, py, iterator, Some(value))
            }
            (Awaiting::Iterator(iterator), Input::Error(err)) => {
                // GeneratorExit closes what is awaited, any other exception is thrown into it.
                if err.is_instance_of::<PyGeneratorExit>(py) {
                    close_iterator(py, &iterator)?;
                    return Err(err);
                }
                let sent = coroutines::throw_into(py, &iterator, err)?;
                if matches!(sent, Sent::Next(_)) {
                    drop(frame.awaiting.replace(Awaiting::Iterator(iterator)));
                }
                Ok(sent)
            }
            (Awaiting::Nothing, _) => {
                Err(PyRuntimeError::new_err("a native coroutine was suspended without awaiting anything"))
            }
        }
    }

    fn pass_value(frame: &Frame, py: Python<'_>, iterator: Obj, value: Option<Obj>) -> PyResult<Sent> {
        let sent = send(py, &iterator, value.as_ref())?;
        if matches!(sent, Sent::Next(_)) {
            drop(frame.awaiting.replace(Awaiting::Iterator(iterator)));
        }
        Ok(sent)
    }

    fn finish(&self) {
        self.state.set(State::Closed);
        let body = self.body.borrow_mut().take();
        drop(body);
        if let Some(frame) = &self.frame {
            frame.clear();
        }
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        match this.state.get() {
            State::Closed => return Ok(()),
            State::Running => return Err(PyValueError::new_err("coroutine already executing")),
            State::Created | State::Suspended => {}
        }
        let awaiting = this.frame.as_ref().map(|frame| frame.awaiting.replace(Awaiting::Nothing));
        let closed = match awaiting {
            Some(Awaiting::Iterator(iterator)) => close_iterator(py, &iterator),
            _ => Ok(()),
        };
        // Guards in the Rust future do what `finally` would.
        this.finish();
        closed
    }

    fn awaited(this: &Obj<Self>, _py: Python<'_>) -> Option<Obj> {
        match &*this.frame.as_ref()?.awaiting.borrow() {
            Awaiting::Nothing => None,
            Awaiting::Fresh(obj) | Awaiting::Iterator(obj) => Some(obj.clone()),
            Awaiting::Future(fut) => Some(fut.as_any().clone()),
        }
    }

    fn repr(this: &Obj<Self>, _py: Python<'_>) -> String {
        format!("<coroutine object {} at {:p}>", this.name, this.as_ptr())
    }
}

/// Closes what is awaited, if it can be closed.
pub(crate) fn close_iterator(py: Python<'_>, iterator: &Obj) -> PyResult<()> {
    if let Some(close) = iterator.bind(py).getattr_opt(intern!(py, "close"))? {
        close.call0()?;
    }
    Ok(())
}

impl Class for Coroutine {
    type Base = Any;
    ferrio_object::fields!(Coroutine { name, frame, body: unowned, state, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio.coroutine";
    const DOC: &'static str = "A coroutine of ferrio's own.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Coroutine {
            name: "",
            frame: None,
            body: RefCell::new(None),
            state: Cell::new(State::Closed),
            weaklist: WeakList::new(),
        }
    }

    fn clear(&self) {
        // Running coroutines are reachable from the stack and are never cleared.
        if self.state.get() != State::Running {
            self.finish();
        }
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        matches!(self.state.get(), State::Created | State::Suspended)
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        let outcome = match this.state.get() {
            State::Created => {
                this.finish();
                never_awaited(this.as_any(), py, this.name)
            }
            State::Suspended => Self::close(this, py),
            _ => Ok(()),
        };
        if let Err(err) = outcome {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(Self::repr)
            .await_itself()
            .iter_itself()
            .send(Self::send)
            .throw(Self::throw)
            .method0("close", Self::close, "close($self, /)\n--\n\nEnd the coroutine where it is suspended.")
            .getter("__name__", |this: &Obj<Self>, _py: Python<'_>| this.name.rsplit('.').next(), "")
            .getter("__qualname__", |this: &Obj<Self>, _py: Python<'_>| this.name, "")
            .getter("cr_running", |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Running, "")
            .getter(
                "cr_suspended",
                |this: &Obj<Self>, _py: Python<'_>| this.state.get() == State::Suspended,
                "",
            )
            .getter("cr_await", Self::awaited, "")
            .getter("cr_frame", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_code", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("cr_origin", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "");
    }
}

/// Warns of a coroutine that nobody awaited.
pub(crate) fn never_awaited(coro: &Obj, py: Python<'_>, name: &str) -> PyResult<()> {
    let kwargs = PyDict::new(py);
    kwargs.set_item("source", coro)?;
    let message = format!("coroutine '{name}' was never awaited");
    crate::library::module(py, "warnings")?.call_method(
        "warn",
        (message, py.get_type::<PyRuntimeWarning>()),
        Some(&kwargs),
    )?;
    Ok(())
}
