//! The end of a connection: `close()`, `abort()`, fatal errors, `connection_lost()`, and transports nobody closed.
//!
//! Whatever ends it, `connection_lost()` is called exactly once, in a turn of its own, and the socket is closed after
//! it. The descriptor has left the driver by then.

use ferrio_core::driver::Interest;
use ferrio_object::{ClassBuilder, Erased, Obj, Traverse};
use pyo3::exceptions::{PyConnectionError, PyOSError};
use pyo3::intern;
use pyo3::prelude::*;

use super::attached::{Cause, warn_unclosed};
use super::datagram::MODULE;
use super::stream::StreamTransport;
use crate::event_loop::{Loop, Ready};
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
        Self::send_held(this, py)?;
        if this.closing.replace(true) {
            return Ok(());
        }
        let wanted = Self::want(this, this.interest.get().without(Interest::READABLE));
        if this.queue.borrow().is_empty() {
            this.schedule_lost(this, None);
        }
        wanted
    }

    /// `abort()`: what the kernel has not taken is dropped.
    pub(crate) fn abort(this: &Obj<Self>, _py: Python<'_>) {
        Self::force_close(this, None);
    }

    fn schedule_lost(&self, this: &Obj<Self>, exc: Option<Obj>) {
        // Without memory for a copy it is an empty one.
        let _ = self.attached.copy_context(this.py(), Cause::Lost);
        self.conn_lost.set(self.conn_lost.get() + 1);
        self.lost_exc.set(exc);
        if let Some(event_loop) = self.attached.event_loop() {
            event_loop.push(|| Ready::Lost(Erased::new(this.clone())));
            Loop::left_for_turn(&event_loop);
        }
    }

    /// The last byte of a closed transport has been sent.
    pub(super) fn sent_after_close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.conn_lost.set(this.conn_lost.get() + 1);
        Self::connection_lost(this, py)
    }

    /// An error that the connection does not survive. Errors of the network are everyday; others go to the loop's
    /// exception handler.
    pub(super) fn fatal_error(this: &Obj<Self>, py: Python<'_>, err: PyErr, message: &str) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        let reported = if exc.bind(py).is_instance_of::<PyOSError>() {
            this.attached.log_error(py, MODULE, this, message, &exc)
        } else {
            this.attached.report(py, this, message, ferrio_object::raise(py, &exc))
        };
        Self::force_close(this, Some(exc));
        reported
    }

    pub(super) fn force_close(this: &Obj<Self>, exc: Option<Obj>) {
        if this.conn_lost.get() > 0 {
            return;
        }
        // asyncio would have sent it when it was written.
        this.send_held_or_drop(this.py());
        let queue = this.queue.take();
        drop(queue);
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

    /// The last callback, for which the end was scheduled.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn lost(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.run_once(py, Cause::Lost, || Self::connection_lost(this, py))
    }

    /// `connection_lost()`, then the socket is closed and everything let go of. To be called in a context.
    fn connection_lost(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let exc = this.lost_exc.take().unwrap_or_else(|| Obj::none(py));
        let outcome = match this.attached.protocol() {
            Some(protocol) => {
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (&exc,)).map(drop)
            }
            None => Ok(()),
        };
        let shown = || {
            let arguments = crate::debug::format_arguments(py, std::slice::from_ref(&exc))?;
            Ok(format!("_SelectorSocketTransport._call_connection_lost{arguments}"))
        };
        let reported = this.attached.report_callback(py, this, shown, outcome);
        let closed = Self::close_socket(this, py);
        let closed = this.attached.report_callback(py, this, shown, closed);
        let detached = Self::let_go(this, py);
        for waiter in [this.empty_waiter.get(), this.room_waiter.take()].into_iter().flatten() {
            if waiter.is_done() {
                continue;
            }
            let lost = PyConnectionError::new_err("Connection is closed by peer");
            future::set_raised(&waiter, py, exceptions::value_of(py, lost))?;
        }
        reported.and(closed).and(detached)
    }

    fn close_socket(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        // Normally nothing is registered any more.
        let _ = Self::want(this, Interest::NONE);
        if this.sock.is_open()
            && let Some(event_loop) = this.attached.event_loop()
        {
            event_loop.sockets.release(py, this.fd.get(), this);
        }
        this.sock.close(py)
    }

    /// Drops what the transport holds.
    fn let_go(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let kind = this.kind.take();
        drop(kind);
        this.attached.clear();
        match this.server.take() {
            Some(server) => crate::server::detach(py, &server, this.as_any()),
            None => Ok(()),
        }
    }

    /// `__del__` of a transport that nobody closed.
    pub(super) fn abandoned(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let warned = warn_unclosed(py, this);
        let closed = Self::close_socket(this, py);
        let detached = Self::let_go(this, py);
        warned.and(closed).and(detached)
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
