//! TLS over a new connection, and what is needed to know for it.

use ferrio_object::Obj;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::protocol::SslProtocol;
use crate::event_loop::{ExceptionContext, Loop, LoopRef};
use crate::future::Future;
use crate::transports::{Opening, StreamTransport};
use crate::{exceptions, future_likes, native_fn};

/// Which end of the connection this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What TLS over a connection needs to know.
#[derive(Clone)]
pub(crate) struct TlsParams {
    /// None: the default one, for clients only.
    pub(crate) context: Option<Obj>,
    pub(crate) side: Side,
    pub(crate) server_hostname: Option<Obj>,
    /// Seconds; None for asyncio's.
    pub(crate) handshake_timeout: Option<Obj>,
    pub(crate) shutdown_timeout: Option<Obj>,
}

ferrio_object::traverse!(struct TlsParams { context, side, server_hostname, handshake_timeout, shutdown_timeout });

impl TlsParams {
    /// An `SSLProtocol`, of the class that `asyncio.sslproto` has at this moment.
    ///
    /// # Errors
    /// What its constructor raises.
    pub(crate) fn protocol(
        &self,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        app_protocol: &Obj,
        waiter: &Obj,
        calls_connection_made: bool,
    ) -> PyResult<Obj> {
        let class = crate::imported::module(py, "ferrio.sslproto")?.getattr(intern!(py, "SSLProtocol"))?;
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "ssl_handshake_timeout"), &self.handshake_timeout)?;
        kwargs.set_item(intern!(py, "ssl_shutdown_timeout"), &self.shutdown_timeout)?;
        if !calls_connection_made {
            kwargs.set_item(intern!(py, "call_connection_made"), false)?;
        }
        let is_server = self.side == Side::Server;
        let args = (event_loop, app_protocol, &self.context, waiter, is_server, &self.server_hostname);
        Ok(class.call(args, Some(&kwargs))?.into())
    }

    /// Opens a transport with TLS over it. The waiter is resolved after the handshake. Returns the transport on top.
    ///
    /// # Errors
    /// As [`StreamTransport::open`], and what TLS finds wrong with the parameters.
    pub(crate) fn open(
        &self,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        opening: Opening<'_>,
        waiter: &Obj,
    ) -> PyResult<Obj> {
        event_loop.check_closed()?;
        let protocol = self.protocol(py, event_loop, opening.protocol, waiter, true)?;
        StreamTransport::open(py, event_loop, Opening { protocol: &protocol, waiter: None, ..opening })?;
        app_transport(py, &protocol)
    }
}

/// The transport on top of an `SSLProtocol`.
///
/// # Errors
/// `TypeError` if there is none.
pub(crate) fn app_transport(py: Python<'_>, protocol: &Obj) -> PyResult<Obj> {
    match protocol.cast::<SslProtocol>() {
        Some(ours) => match ours.app_transport.get() {
            Some(transport) => Ok(transport.into_any()),
            None => Ok(Obj::none(py)),
        },
        None => Ok(protocol.bind(py).getattr(intern!(py, "_app_transport"))?.into()),
    }
}

/// Opens a connection that a server has accepted. Where the handshake fails, the connection is closed; only debug mode
/// reports it.
///
/// # Errors
/// As [`TlsParams::open`].
pub(crate) fn open_accepted(
    py: Python<'_>,
    event_loop: &Obj<Loop>,
    opening: Opening<'_>,
    params: &TlsParams,
) -> PyResult<()> {
    let waiter = Future::create(py, LoopRef::Native(event_loop.clone()))?.into_any();
    let protocol = opening.protocol.clone();
    let transport = params.open(py, event_loop, opening, &waiter)?;
    let held = vec![event_loop.as_any().clone(), transport, protocol];
    let ended =
        native_fn::done_callback(py, "_accept_connection2.<locals>.handshaken", held, handshake_over)?;
    future_likes::on_done(py, &waiter, &ended)
}

/// `[loop, transport, protocol]`, and the waiter.
fn handshake_over(py: Python<'_>, held: &[Obj], waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let [event_loop, transport, protocol] = held else { return Ok(()) };
    let cancelled = waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()?;
    let exc = if cancelled {
        exceptions::new_cancelled(py, None)?
    } else {
        waiter.call_method0(intern!(py, "exception"))?.into()
    };
    if exc.is_none() {
        return Ok(());
    }
    transport.bind(py).call_method0(intern!(py, "close"))?;
    let Some(native) = event_loop.cast::<Loop>() else {
        return Err(PyTypeError::new_err("a loop of ferrio's is required"));
    };
    if !native.debug.get() {
        return Ok(());
    }
    ExceptionContext::new(py)
        .with("message", "Error on transport creation for incoming connection")?
        .with("exception", exc)?
        .with("protocol", protocol)?
        .with("transport", transport)?
        .report_to(event_loop)
}
