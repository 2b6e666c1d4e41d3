//! The beginning of a TLS connection, and the end of the transport below.

use ferrio_object::{ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyConnectionAbortedError, PyException};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::engine::Engine;
use super::protocol::{MODULE, SslProtocol};
use super::ssl_module::{is_certificate_error, is_ssl_error, wants_more};
use crate::exceptions;
use crate::log::{self, Level};
use ferrio_core::tls_state::{AppState, State};

impl SslProtocol {
    /// `connection_made(transport)`: the handshake begins.
    fn connection_made(this: &Obj<Self>, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        this.transport.set(Some(transport.into()));
        Self::start_handshake(this, py)
    }

    /// `connection_lost(exc)` of the transport below.
    fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let backlog = this.backlog.take();
        drop(backlog);
        this.backlog_len.set(0);
        this.engine.take_output(py, |_| Ok(()))?;
        this.conn_lost.set(this.conn_lost.get() + 1);
        // It was told of the end, and is not to be reported as unclosed.
        let app_transport = this.app_transport.take();
        if let Some(app_transport) = &app_transport {
            app_transport.closed.set(true);
        }
        let app_protocol = this.app_protocol.get();
        if this.state.get() != State::DoHandshake
            && matches!(this.app_state.get(), AppState::ConnectionMade | AppState::Eof)
        {
            this.app_state.set(AppState::ConnectionLost);
            if let Some(app) = &app_protocol {
                let lost = app.bind(py).getattr(intern!(py, "connection_lost"))?.into();
                this.get_loop()?.call_soon(py, &lost, &[exc.into()], None)?;
            }
        }
        this.set_state(State::Unwrapped)?;
        this.transport.set(None);
        this.app_protocol.set(None);
        let kind = this.kind.take();
        drop((kind, app_protocol, app_transport));
        this.wake_waiter(py, (!exc.is_none()).then(|| exc.into()).as_ref())?;
        Self::cancel_timer(py, &this.shutdown_timer)?;
        Self::cancel_timer(py, &this.handshake_timer)
    }

    fn start_handshake(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let started = if this.is_debug(py)? {
            log::write(py, MODULE, Level::Debug, ("%r starts SSL handshake", this))?;
            Some(this.time(py)?)
        } else {
            None
        };
        this.handshake_start.set(started);
        this.set_state(State::DoHandshake)?;
        let timer =
            Self::call_later(this, py, &this.handshake_timeout, intern!(py, "_check_handshake_timeout"))?;
        this.handshake_timer.set(Some(timer));
        Self::do_handshake(this, py)
    }

    fn time(&self, py: Python<'_>) -> PyResult<f64> {
        self.get_loop()?.as_any().bind(py).call_method0(intern!(py, "time"))?.extract()
    }

    fn check_handshake_timeout(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.state.get() != State::DoHandshake {
            return Ok(());
        }
        let timeout = this.handshake_timeout.get().unwrap_or_else(|| Obj::none(py));
        let message = format!(
            "SSL handshake is taking longer than {} seconds: aborting the connection",
            timeout.bind(py).str()?
        );
        let exc = exceptions::value_of(py, PyConnectionAbortedError::new_err(message));
        Self::fatal_error(this, py, &exc, "Fatal error on transport")
    }

    /// Goes on with the handshake as far as what has arrived allows.
    pub(super) fn do_handshake(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        match this.engine.portable.handshake(py) {
            Ok(()) => Self::handshake_ended(this, py, None),
            Err(err) if wants_more(py, &err) => {
                ferrio_object::swallow(py, err);
                Self::process_outgoing(this, py)
            }
            Err(err) if is_ssl_error(py, &err) => Self::handshake_ended(this, py, Some(err)),
            Err(err) => Err(err),
        }
    }

    /// The handshake is over, with or without success.
    pub(super) fn handshake_ended(this: &Obj<Self>, py: Python<'_>, failure: Option<PyErr>) -> PyResult<()> {
        Self::cancel_timer(py, &this.handshake_timer)?;
        let outcome = match failure {
            Some(err) => Err(err),
            None => this
                .set_state(State::Wrapped)
                .and_then(|()| this.engine.portable.ask(py, intern!(py, "getpeercert")).map(Obj::from)),
        };
        let peercert = match outcome {
            Ok(peercert) => peercert,
            Err(err) if err.is_instance_of::<PyException>(py) => {
                this.set_state(State::Unwrapped)?;
                let message = if is_certificate_error(py, &err) {
                    "SSL handshake failed on verifying the certificate"
                } else {
                    "SSL handshake failed"
                };
                let exc = exceptions::value_of(py, err);
                Self::fatal_error(this, py, &exc, message)?;
                return this.wake_waiter(py, Some(&exc));
            }
            Err(err) => return Err(err),
        };
        if let Some(started) = this.handshake_start.get()
            && this.is_debug(py)?
        {
            let took = (this.time(py)? - started) * 1e3;
            log::write(py, MODULE, Level::Debug, ("%r: SSL handshake took %.1f ms", this, took))?;
        }
        this.tell_extra(py, peercert)?;
        if this.app_state.get() == AppState::Init {
            this.app_state.set(AppState::ConnectionMade);
            if let (Some(app), Some(transport)) = (this.app_protocol.get(), this.app_transport.get()) {
                app.bind(py).call_method1(intern!(py, "connection_made"), (transport,))?;
            }
        }
        this.wake_waiter(py, None)?;
        Self::do_read(this, py)
    }

    /// Adds what is known after the handshake to what `get_extra_info()` knows.
    fn tell_extra(&self, py: Python<'_>, peercert: Obj) -> PyResult<()> {
        let Some(extra) = self.extra.get() else { return Ok(()) };
        let extra = extra.bind(py).cast::<PyDict>()?.clone();
        extra.set_item(intern!(py, "peercert"), peercert)?;
        extra.set_item(intern!(py, "cipher"), self.engine.portable.ask(py, intern!(py, "cipher"))?)?;
        extra.set_item(
            intern!(py, "compression"),
            self.engine.portable.ask(py, intern!(py, "compression"))?,
        )?;
        extra.set_item(intern!(py, "ssl_object"), self.engine.portable.object())
    }

    pub(super) fn define_handshake(class: &mut ClassBuilder<Self>) {
        class
            .method1_named(
                "connection_made",
                Self::connection_made,
                || Signature::new("connection_made", ["transport"]),
                "connection_made($self, /, transport)\n--\n\nThe transport below is there: the handshake begins.",
            )
            .method1_named(
                "connection_lost",
                Self::connection_lost,
                || Signature::new("connection_lost", ["exc"]),
                "connection_lost($self, /, exc)\n--\n\nThe transport below is gone.",
            )
            .method0("_check_handshake_timeout", Self::check_handshake_timeout, "")
            .method0("_start_handshake", Self::start_handshake, "")
            .method0("_do_handshake", Self::do_handshake, "")
            .method1(
                "_on_handshake_complete",
                |this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>| {
                    let failure = (!exc.is_none()).then(|| PyErr::from_value(exc.clone()));
                    Self::handshake_ended(this, py, failure)
                },
                "",
            )
            .method1(
                "_wakeup_waiter",
                |this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>| {
                    this.wake_waiter(py, (!exc.is_none()).then(|| exc.into()).as_ref())
                },
                "",
            );
    }
}
