//! The end of a TLS connection: what was written is sent, `close_notify` is exchanged, the transport below is closed.

use ferrio_object::{ClassBuilder, Obj};
use pyo3::intern;
use pyo3::prelude::*;

use super::protocol::SslProtocol;
use super::ssl_module::{is_ssl_error, wants_more};
use crate::exceptions;
use ferrio_core::tls_state::State;

impl SslProtocol {
    pub(super) fn start_shutdown(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.state.get().is_ending() {
            return Ok(());
        }
        if let Some(app_transport) = this.app_transport.get() {
            app_transport.closed.set(true);
        }
        if this.state.get() == State::DoHandshake {
            return this.abort(py, None);
        }
        this.set_state(State::Flushing)?;
        let timer =
            Self::call_later(this, py, &this.shutdown_timeout, intern!(py, "_check_shutdown_timeout"))?;
        this.shutdown_timer.set(Some(timer));
        Self::do_flush(this, py)
    }

    fn check_shutdown_timeout(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !matches!(this.state.get(), State::Flushing | State::Shutdown) {
            return Ok(());
        }
        let class = exceptions::class(py, "TimeoutError")?;
        let exc = class.bind(py).call1(("SSL shutdown timed out",))?;
        this.force_close(py, Some(&exc.into()))
    }

    /// Reads what has arrived, sends what was written, and begins to exchange `close_notify`.
    pub(super) fn do_flush(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::do_read(this, py)?;
        this.set_state(State::Shutdown)?;
        Self::do_shutdown(this, py)
    }

    pub(super) fn do_shutdown(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let outcome = if this.eof_received.get() { Ok(()) } else { this.engine.portable.unwrap(py) };
        match outcome {
            Ok(()) => {
                Self::process_outgoing(this, py)?;
                Self::call_eof_received(this, py)?;
                Self::shutdown_ended(this, py, None)
            }
            Err(err) if wants_more(py, &err) => {
                ferrio_object::swallow(py, err);
                Self::process_outgoing(this, py)
            }
            Err(err) if is_ssl_error(py, &err) => Self::shutdown_ended(this, py, Some(err)),
            Err(err) => Err(err),
        }
    }

    fn shutdown_ended(this: &Obj<Self>, py: Python<'_>, failure: Option<PyErr>) -> PyResult<()> {
        Self::cancel_timer(py, &this.shutdown_timer)?;
        if let Some(err) = failure {
            let exc = exceptions::value_of(py, err);
            return Self::fatal_error(this, py, &exc, "Fatal error on transport");
        }
        let Some(below) = this.transport.get() else { return Ok(()) };
        let close = below.bind(py).getattr(intern!(py, "close"))?.into();
        this.get_loop()?.call_soon(py, &close, &[], None)
    }

    /// Closes the transport below at once.
    ///
    /// # Errors
    /// What a foreign transport raises.
    pub(super) fn abort(&self, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        self.set_state(State::Unwrapped)?;
        // Where asyncio has `abort()` called it means to pass the exception on, and fails.
        if cfg!(not(Py_3_13)) && exc.is_none() {
            return match self.transport.get() {
                Some(below) => below.bind(py).call_method0(intern!(py, "abort")).map(drop),
                None => Ok(()),
            };
        }
        self.force_close(py, exc)
    }

    pub(super) fn define_shutdown(class: &mut ClassBuilder<Self>) {
        class
            .method0("_start_shutdown", Self::start_shutdown, "")
            .method0("_check_shutdown_timeout", Self::check_shutdown_timeout, "")
            .method0("_do_flush", Self::do_flush, "")
            .method0("_do_shutdown", Self::do_shutdown, "")
            .method1(
                "_abort",
                |this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>| {
                    this.abort(py, (!exc.is_none()).then(|| exc.into()).as_ref())
                },
                "",
            );
    }
}
