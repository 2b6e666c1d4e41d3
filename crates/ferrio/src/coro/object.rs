//! The Python object around a native coroutine: how it drives the Rust future.

use std::cell::Cell;
use std::future::Future as RustFuture;
use std::task::Poll;

use ferrio_object::{Awaiting, Class, ClassBuilder, Co, Frame, Obj, Sent, Suspended, await_iter, send};
use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError};
use pyo3::prelude::*;

use crate::coroutines::{self, Native, NativeCoroutine, Phase, executing, just_started, reused};
use crate::future::Future;
use crate::future_likes;

/// The contents of a native coroutine.
pub struct Coroutine {
    name: &'static str,
    suspended: Option<Suspended>,
    phase: Cell<Phase>,
}

/// A coroutine object named `name` that runs `body` when it is first driven.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn coroutine<F>(py: Python<'_>, name: &'static str, body: impl FnOnce(Co) -> F) -> PyResult<Obj>
where
    F: RustFuture<Output = PyResult<Obj>> + Send + 'static,
{
    let contents =
        Coroutine { name, suspended: Some(Suspended::new(py, body)), phase: Cell::new(Phase::Created) };
    Ok(Obj::<Coroutine>::create(py, (((), Native::new(py)), contents))?.into_any())
}

/// What comes in from the driver.
enum Input {
    Value(Obj),
    Error(PyErr),
}

impl Coroutine {
    /// Runs until it yields or ends. The input goes to what is awaited, and its outcome to the Rust future.
    fn drive(&self, py: Python<'_>, input: Input) -> PyResult<Sent> {
        let Some(suspended) = &self.suspended else { return Err(reused()) };
        let frame = suspended.frame(py);
        let started = self.phase.replace(Phase::Running) == Phase::Suspended;
        let mut input = started.then_some(input);
        loop {
            if let Some(input) = input.take() {
                match Self::pass(frame, py, input) {
                    Ok(Sent::Next(yielded)) => {
                        self.phase.set(Phase::Suspended);
                        return Ok(Sent::Next(yielded));
                    }
                    Ok(Sent::Return(value)) => frame.arrive(Ok(value)),
                    Err(err) => frame.arrive(Err(err)),
                }
            }
            match suspended.poll() {
                Poll::Ready(outcome) => {
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
        let awaiting = frame.set_awaiting(Awaiting::Nothing);
        match (awaiting, input) {
            (Awaiting::Fresh(obj), Input::Value(value)) => {
                if let Some(fut) = future_likes::exact(&obj) {
                    if fut.is_done() {
                        return fut.get_result(py).map(Sent::Return);
                    }
                    fut.get_loop()?;
                    fut.blocking.set(true);
                    drop(frame.set_awaiting(Awaiting::Yielded(obj.clone())));
                    return Ok(Sent::Next(obj));
                }
                let iterator = await_iter(py, &obj)?;
                Self::pass_value(frame, py, iterator, Some(value))
            }
            (Awaiting::Fresh(_) | Awaiting::Yielded(_), Input::Error(err)) => Err(err),
            (Awaiting::Yielded(obj), Input::Value(_)) => {
                let Some(fut) = obj.cast::<Future>() else { return Err(reused()) };
                if let Some(outcome) = fut.resumed(py) {
                    return outcome.map(Sent::Return);
                }
                drop(frame.set_awaiting(Awaiting::Yielded(obj.clone())));
                Ok(Sent::Next(obj))
            }
            (Awaiting::Iterator(iterator), Input::Value(value)) => {
                Self::pass_value(frame, py, iterator, Some(value))
            }
            (Awaiting::Iterator(iterator), Input::Error(err)) => {
                // GeneratorExit closes what is awaited, any other exception is thrown into it.
                if err.is_instance_of::<PyGeneratorExit>(py) {
                    coroutines::close_iterator(py, &iterator)?;
                    return Err(err);
                }
                let sent = coroutines::throw_into(py, &iterator, err)?;
                if matches!(sent, Sent::Next(_)) {
                    drop(frame.set_awaiting(Awaiting::Iterator(iterator)));
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
            drop(frame.set_awaiting(Awaiting::Iterator(iterator)));
        }
        Ok(sent)
    }
}

impl NativeCoroutine for Coroutine {
    fn phase(&self) -> Phase {
        self.phase.get()
    }

    fn qualname(&self) -> &'static str {
        self.name
    }

    fn awaited(&self, py: Python<'_>) -> Option<Obj> {
        self.suspended.as_ref().and_then(|suspended| suspended.frame(py).awaited())
    }

    fn send(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<Sent> {
        match this.phase.get() {
            Phase::Running => return Err(executing()),
            Phase::Closed => return Err(reused()),
            Phase::Created if value.is_some_and(|value| !value.is_none()) => return Err(just_started()),
            Phase::Created | Phase::Suspended => {}
        }
        let value = Obj::or_none(py, value);
        this.drive(py, Input::Value(value))
    }

    fn throw_suspended(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<Sent> {
        this.drive(py, Input::Error(err))
    }

    fn close_suspended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let awaiting =
            this.suspended.as_ref().map(|suspended| suspended.frame(py).set_awaiting(Awaiting::Nothing));
        let closed = match awaiting {
            Some(Awaiting::Iterator(iterator)) => coroutines::close_iterator(py, &iterator),
            _ => Ok(()),
        };
        // Guards in the Rust future do what `finally` would.
        this.finish();
        closed
    }

    fn finish(&self) {
        self.phase.set(Phase::Closed);
        if let Some(suspended) = &self.suspended {
            suspended.clear();
        }
    }
}

impl Class for Coroutine {
    type Base = Native;
    ferrio_object::fields!(Coroutine { name, suspended, phase });
    const NAME: &'static str = "ferrio._ferrio.coroutine";
    const DOC: &'static str = "A coroutine of ferrio's own.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;
    const FINALIZE: bool = true;

    fn blank() -> Self {
        Coroutine { name: "", suspended: None, phase: Cell::new(Phase::Closed) }
    }

    fn clear(&self) {
        // Running coroutines are reachable from the stack and are never cleared.
        if self.phase.get() != Phase::Running {
            self.finish();
        }
    }

    fn wants_finalizer(&self, _base: &Native) -> bool {
        matches!(self.phase.get(), Phase::Created | Phase::Suspended)
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        coroutines::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        coroutines::define(class);
    }
}
