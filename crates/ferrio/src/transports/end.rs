//! The end of a connection: `close()`, `abort()`, fatal errors, `connection_lost()`, and transports nobody closed.
//!
//! Whatever ends it, `connection_lost()` is called exactly once, in a turn of its own, and the socket is closed after
//! it. The descriptor has left the driver by then.

use ferrio_core::driver::Interest;
use ferrio_object::{ClassBuilder, Erased, Obj};
use pyo3::exceptions::{PyConnectionError, PyOSError, PyResourceWarning};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::protocol::ProtocolKind;
use super::stream::StreamTransport;
use crate::event_loop::Ready;
use crate::{exceptions, future};

impl StreamTransport {
    /// `close()`: what is queued is still sent.
    ///
    /// # Errors
    /// `OSError` from the driver.
    pub(crate) fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() {
            return Ok(());
        }
        // Nothing that is written later can join it, so it goes out now: `connection_lost()` is then scheduled when
        // asyncio would schedule it.
        Self::flush_now(this, py)?;
        if this.closing.replace(true) {
            return Ok(());
        }
        let wanted = Self::want(this, this.interest.get().without(Interest::READABLE));
        if this.queue.borrow().is_empty() {
            this.schedule_lost(this, None);
        }
        wanted
    }

    /// `abort()`: what is queued is dropped.
    pub(crate) fn abort(this: &Obj<Self>, _py: Python<'_>) {
        Self::force_close(this, None);
    }

    fn schedule_lost(&self, this: &Obj<Self>, exc: Option<Obj>) {
        self.conn_lost.set(self.conn_lost.get() + 1);
        self.lost_exc.set(exc);
        if let Some(event_loop) = self.event_loop.get() {
            event_loop.push(|| Ready::Lost(Erased::new(this.clone())));
        }
    }

    /// The last byte of a closed transport has been sent.
    pub(super) fn sent_after_close(this: &Obj<Self>, py: Python<'_>, from_loop: bool) -> PyResult<()> {
        if from_loop {
            this.conn_lost.set(this.conn_lost.get() + 1);
            return Self::connection_lost(this, py);
        }
        this.schedule_lost(this, None);
        Ok(())
    }

    /// An error that the connection does not survive. Errors of the network are everyday; others go to the loop's
    /// exception handler.
    pub(super) fn fatal_error(this: &Obj<Self>, py: Python<'_>, err: PyErr, message: &str) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        let reported = if exc.bind(py).is_instance_of::<PyOSError>() {
            Self::log_fatal(this, py, &exc, message)
        } else {
            this.report(this, py, message, ferrio_object::raise(py, &exc))
        };
        Self::force_close(this, Some(exc));
        reported
    }

    fn log_fatal(this: &Obj<Self>, py: Python<'_>, exc: &Obj, message: &str) -> PyResult<()> {
        if !this.event_loop.get().is_some_and(|event_loop| event_loop.debug.get()) {
            return Ok(());
        }
        let logger = crate::library::module(py, "ferrio.selector_events")?.getattr(intern!(py, "logger"))?;
        let kwargs = PyDict::new(py);
        kwargs.set_item("exc_info", exc)?;
        logger.call_method(intern!(py, "debug"), ("%r: %s", this, message), Some(&kwargs)).map(drop)
    }

    pub(super) fn force_close(this: &Obj<Self>, exc: Option<Obj>) {
        if this.conn_lost.get() > 0 {
            return;
        }
        this.queue.borrow_mut().clear();
        this.closing.set(true);
        // Taking a descriptor out cannot fail.
        let _ = Self::want(this, Interest::NONE);
        this.schedule_lost(this, exc);
    }

    fn force_close_with(this: &Obj<Self>, _py: Python<'_>, exc: &Bound<'_, PyAny>) {
        Self::force_close(this, (!exc.is_none()).then(|| exc.into()));
    }

    fn fatal_error_with(this: &Obj<Self>, py: Python<'_>, args: ferrio_object::Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: ferrio_object::Signature<2> =
            ferrio_object::Signature::new("_fatal_error", ["exc", "message"]).required(1);
        let [exc, message] = args.bind(&SIGNATURE)?;
        let Some(exc) = exc else { return Ok(()) };
        let message = match message {
            Some(message) => message.extract()?,
            None => "Fatal error on transport".to_owned(),
        };
        Self::fatal_error(this, py, PyErr::from_value(exc.clone()), &message)
    }

    /// The last callback: `connection_lost()`, then the socket is closed and everything let go of.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn connection_lost(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let exc = this.lost_exc.take().unwrap_or_else(|| Obj::none(py));
        let outcome = match this.protocol.get() {
            Some(protocol) => this.in_context(py, || {
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (&exc,)).map(drop)
            }),
            None => Ok(()),
        };
        let shown = || {
            let arguments = crate::debug::format_arguments(py, std::slice::from_ref(&exc))?;
            Ok(format!("_SelectorSocketTransport._call_connection_lost{arguments}"))
        };
        let reported = Self::report_callback(this, py, shown, outcome);
        let closed = Self::let_go(this, py);
        for waiter in [this.empty_waiter.get(), this.room_waiter.take()].into_iter().flatten() {
            if waiter.is_done() {
                continue;
            }
            let lost = PyConnectionError::new_err("Connection is closed by peer");
            future::set_raised(&waiter, py, exceptions::value_of(py, lost))?;
        }
        reported.and(Self::report_callback(this, py, shown, closed))
    }

    /// Closes the socket and drops what the transport holds.
    fn let_go(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        // Normally nothing is registered any more.
        let _ = Self::want(this, Interest::NONE);
        let event_loop = this.event_loop.take();
        if let Some(event_loop) = &event_loop
            && this.sock.is_open()
        {
            event_loop.sockets.release(py, this.fd.get(), this);
        }
        let closed = this.sock.close(py);
        let kind = std::mem::replace(&mut *this.kind.borrow_mut(), ProtocolKind::None);
        drop(kind);
        this.protocol.set(None);
        this.context.set(None);
        if let Some(server) = this.server.take() {
            crate::server::detach(py, &server, this.as_any())?;
        }
        closed
    }

    /// `__del__` of a transport that nobody closed.
    pub(super) fn abandoned(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let message = format!("unclosed transport {}", Self::shown(this, py)?);
        let kwargs = PyDict::new(py);
        kwargs.set_item("source", this)?;
        let warned = crate::library::module(py, "warnings")?
            .call_method("warn", (message, py.get_type::<PyResourceWarning>()), Some(&kwargs))
            .map(drop);
        let closed = Self::let_go(this, py);
        warned.and(closed)
    }

    fn shown(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        Ok(this.bind(py).repr()?.to_string())
    }

    fn del(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.sock.is_open() { Self::abandoned(this, py) } else { Ok(()) }
    }

    pub(super) fn define_end(class: &mut ClassBuilder<Self>) {
        class
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\n\
                Send what is buffered, then close; connection_lost(None) follows.",
            )
            .method0(
                "abort",
                Self::abort,
                "abort($self, /)\n--\n\n\
                Close at once, and drop what is buffered; connection_lost(None) follows.",
            )
            .method0("__del__", Self::del, "")
            .method1("_force_close", Self::force_close_with, "")
            .method("_fatal_error", Self::fatal_error_with, "");
    }
}
