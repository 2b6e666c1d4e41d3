//! What all transports have in common: the loop, the protocol, and how it is called.
//!
//! Callbacks that asyncio makes through handles are reported as such when they raise: `"Exception in callback …"` to
//! the loop's exception handler.

use std::cell::Cell;

use ferrio_object::{Obj, ObjCell, ThreadState};
use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::event_loop::{ExceptionContext, Loop, call_soon_native};
use crate::log::{self, Level};
use crate::warnings;
use crate::{exceptions, future_likes, native_fn};

/// Why the loop calls a protocol. asyncio does it through handles, each of which has a copy of the context that was current
/// when it was made; for a stream transport since 3.15 all have the same one.
#[derive(Clone, Copy)]
pub(super) enum Cause {
    /// `connection_made()`; the handle is made with the transport.
    Made,
    /// There is something to read; the handle is made with the transport, and anew when reading is resumed.
    Reading,
    /// There is room to write; the handle is made by the write that the kernel has refused.
    Writing,
    /// `connection_lost()`; the handle is made by what ends the connection.
    Lost,
}

/// The `contextvars.Context` for each [`Cause`]. None stands for an empty one that nobody has run in.
#[derive(Default)]
struct Contexts {
    copies: [ObjCell; 4],
    /// The first stands for all.
    shared: Cell<bool>,
}

ferrio_object::traverse!(struct Contexts { copies, shared });

impl Contexts {
    fn of(&self, cause: Cause) -> &ObjCell {
        &self.copies[if self.are_shared() { 0 } else { cause as usize }]
    }

    #[inline]
    fn are_shared(&self) -> bool {
        cfg!(Py_3_15) && self.shared.get()
    }
}

/// What a transport is attached to. Empty after `connection_lost()`.
#[derive(Default)]
pub(super) struct Attached {
    event_loop: ObjCell<Loop>,
    protocol: ObjCell,
    contexts: Contexts,
    /// The future that is resolved once `connection_made()` has been called.
    waiter: ObjCell,
}

ferrio_object::traverse!(struct Attached { event_loop, protocol, contexts, waiter });

/// A function that the loop is to call with the transport.
pub(super) type Callback = fn(Python<'_>, &[Obj], ferrio_object::Args<'_, '_>) -> PyResult<()>;

impl Attached {
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        protocol: &Obj,
        waiter: Option<Obj>,
    ) -> PyResult<()> {
        self.event_loop.set(Some(event_loop.clone()));
        self.protocol.set(Some(protocol.clone()));
        self.copy_context(py, Cause::Made)?;
        self.copy_context(py, Cause::Reading)?;
        self.waiter.set(waiter);
        Ok(())
    }

    /// Makes `context` the one that the protocol is called in, whatever the cause.
    pub(super) fn share_context(&self, context: Obj) {
        self.contexts.shared.set(true);
        for copy in &self.contexts.copies[1..] {
            copy.set(None);
        }
        self.contexts.copies[0].set(Some(context));
    }

    /// Copies the current context, for calls that the loop will make for that cause.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn copy_context(&self, py: Python<'_>, cause: Cause) -> PyResult<()> {
        if self.contexts.are_shared() {
            return Ok(());
        }
        let old = self.contexts.of(cause).replace(ThreadState::snapshot(py)?);
        drop(old);
        Ok(())
    }

    #[inline]
    pub(super) fn event_loop(&self) -> Option<Obj<Loop>> {
        self.event_loop.get()
    }

    #[inline]
    pub(super) fn protocol(&self) -> Option<Obj> {
        self.protocol.get()
    }

    /// Asks for what a call of the protocol will use (`event_loop/ahead.rs`).
    #[inline]
    pub(super) fn prefetch(&self) {
        // A Python object with some attributes, and the variables that there are in the context.
        self.protocol.prefetch_first(128);
        self.contexts.of(Cause::Reading).prefetch_first(64);
    }

    pub(super) fn set_protocol(&self, protocol: &Bound<'_, PyAny>) {
        self.protocol.set(Some(protocol.into()));
    }

    pub(super) fn is_debug(&self) -> bool {
        self.event_loop.get().is_some_and(|event_loop| event_loop.debug.get())
    }

    pub(super) fn is_loop_open(&self) -> bool {
        self.event_loop.get().is_some_and(|event_loop| !event_loop.is_closed())
    }

    /// Has the loop call `callback` with the transport in its next turn.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(super) fn call_soon<T: 'static>(
        &self,
        py: Python<'_>,
        name: &'static str,
        transport: &Obj<T>,
        rest: Option<Obj>,
        callback: Callback,
    ) -> PyResult<()> {
        let Some(event_loop) = self.event_loop.get() else { return Ok(()) };
        let held = [transport.as_any().clone()].into_iter().chain(rest).collect();
        let function = native_fn::function(py, name, held, callback)?;
        call_soon_native(&event_loop, py, &function, &[], None).map(drop)
    }

    /// Wakes what waits for the endpoint to be there.
    pub(super) fn wake_waiter(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiter.take() {
            Some(waiter) => future_likes::wake(py, &waiter).map(drop),
            None => Ok(()),
        }
    }

    /// Runs `f` as the loop runs what is called for `cause`: in the context of that cause, which stays.
    #[inline]
    pub(super) fn run<R>(
        &self,
        py: Python<'_>,
        cause: Cause,
        f: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        let cell = self.contexts.of(cause);
        let context = match cell.get() {
            Some(context) => context,
            None => {
                let context = ThreadState::empty_context(py)?;
                cell.set(Some(context.clone()));
                context
            }
        };
        ThreadState::in_context(py, &context, f)
    }

    /// As [`Self::run`], for what is called once.
    pub(super) fn run_once<R>(
        &self,
        py: Python<'_>,
        cause: Cause,
        f: impl FnOnce() -> PyResult<R>,
    ) -> PyResult<R> {
        if self.contexts.are_shared() {
            return self.run(py, cause, f);
        }
        let context = match self.contexts.of(cause).take() {
            Some(context) => context,
            None => ThreadState::empty_context(py)?,
        };
        let outcome = ThreadState::in_context(py, &context, f);
        drop(ThreadState::recycle_context(context));
        outcome
    }

    /// Calls `pause_writing` or `resume_writing`; an error goes to the exception handler as `"protocol.NAME() failed"`.
    pub(super) fn tell<T: 'static>(
        &self,
        py: Python<'_>,
        transport: &Obj<T>,
        method: &Bound<'_, PyString>,
    ) -> PyResult<()> {
        let Some(protocol) = self.protocol.get() else { return Ok(()) };
        match protocol.bind(py).call_method0(method).map(drop) {
            Ok(()) => Ok(()),
            Err(err) if exceptions::is_exit(py, &err) => Err(err),
            Err(err) => self.report(py, transport, &format!("protocol.{method}() failed"), err),
        }
    }

    /// Hands an error to the loop's exception handler.
    pub(super) fn report<T: 'static>(
        &self,
        py: Python<'_>,
        transport: &Obj<T>,
        message: &str,
        err: PyErr,
    ) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        let Some(event_loop) = self.event_loop.get() else { return Ok(()) };
        ExceptionContext::new(py)
            .with("message", message)?
            .with("exception", exc)?
            .with("transport", transport)?
            .with("protocol", self.protocol.get().unwrap_or_else(|| Obj::none(py)))?
            .report_to(&event_loop)
    }

    /// Reports what a callback raised, but for what is to end the loop. `callback` gives the name to show.
    pub(super) fn report_callback<T: 'static>(
        &self,
        py: Python<'_>,
        transport: &Obj<T>,
        callback: impl FnOnce() -> PyResult<String>,
        outcome: PyResult<()>,
    ) -> PyResult<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(err) if exceptions::is_exit(py, &err) => Err(err),
            Err(err) => self.report(py, transport, &format!("Exception in callback {}", callback()?), err),
        }
    }

    /// As [`Self::report_callback`], with a name: a method of the protocol's is shown as it is, one of the transport's,
    /// which begins with an underscore, with the class.
    pub(super) fn report_named<T: 'static>(
        &self,
        py: Python<'_>,
        transport: &Obj<T>,
        callback: &str,
        outcome: PyResult<()>,
    ) -> PyResult<()> {
        let shown = || {
            if callback.starts_with('_') {
                Ok(format!("{}.{callback}", transport.bind(py).get_type().name()?))
            } else {
                Ok(callback.to_owned())
            }
        };
        self.report_callback(py, transport, shown, outcome)
    }

    /// An everyday error: a line in the log, in debug mode.
    pub(super) fn log_error<T: 'static>(
        &self,
        py: Python<'_>,
        module: &'static str,
        transport: &Obj<T>,
        message: &str,
        exc: &Obj,
    ) -> PyResult<()> {
        if !self.is_debug() {
            return Ok(());
        }
        log::write_exception(py, module, Level::Debug, ("%r: %s", transport, message), exc)
    }

    /// A line for the log about the transport, in debug mode.
    pub(super) fn log<T: 'static>(
        &self,
        py: Python<'_>,
        module: &'static str,
        level: Level,
        message: &str,
        transport: &Obj<T>,
    ) -> PyResult<()> {
        if !self.is_debug() {
            return Ok(());
        }
        log::write(py, module, level, (message, transport))
    }
}

/// The warning about a transport that nobody closed.
pub(super) fn warn_unclosed<T: 'static>(py: Python<'_>, transport: &Obj<T>) -> PyResult<()> {
    let message = format!("unclosed transport {}", transport.bind(py).repr()?);
    warnings::warn_of::<PyResourceWarning>(py, &message, transport.as_any())
}
