//! `loop.start_tls()`: TLS over a connection that is there.

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::coro;
use crate::event_loop::{Loop, LoopRef};
use crate::streams;
use crate::tls::{self, Side, TlsParams};

fn start_tls(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<7> = Signature::new(
        "start_tls",
        [
            "transport",
            "protocol",
            "sslcontext",
            "server_side",
            "server_hostname",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
        ],
    )
    .positional(3)
    .required(3);
    let [transport, protocol, context, server_side, hostname, handshake, shutdown] = args.bind(&SIGNATURE)?;
    let (transport, protocol) = (Obj::or_none(py, transport), Obj::or_none(py, protocol));
    let context = Obj::or_none(py, context);
    let is_server = server_side.map_or(Ok(false), PyAnyMethods::is_truthy)?;
    let params = TlsParams {
        context: Some(context),
        side: if is_server { Side::Server } else { Side::Client },
        server_hostname: Obj::unless_none(hostname),
        handshake_timeout: Obj::unless_none(handshake),
        shutdown_timeout: Obj::unless_none(shutdown),
    };
    coro::coroutine(py, "start_tls", move |co| {
        let (this, params) = (co.hold(this), co.keep(params));
        let (transport, protocol) = (co.hold(transport), co.hold(protocol));
        async move {
            let (wait, ssl_protocol, handles) = {
                let (py, this, transport) = (co.py(), this.get(), transport.get());
                check(py, &transport, &params.get())?;
                let waiter = LoopRef::Native(this.clone()).create_future(py)?;
                let ssl_protocol = params.get().protocol(py, &this, &protocol.get(), &waiter, false)?;
                let handles = begin(py, &this, &transport, &protocol.get(), &ssl_protocol)?;
                (co.wait(waiter), co.hold(ssl_protocol), co.keep(handles))
            };
            let outcome = wait.await;
            let py = co.py();
            if let Err(err) = outcome {
                transport.get().bind(py).call_method0(intern!(py, "close"))?;
                for handle in handles.get().iter() {
                    handle.bind(py).call_method0(intern!(py, "cancel"))?;
                }
                return Err(err);
            }
            tls::app_transport(py, &ssl_protocol.get())
        }
    })
}

/// # Errors
/// `TypeError` for a context or a transport that is none.
fn check(py: Python<'_>, transport: &Obj, params: &TlsParams) -> PyResult<()> {
    let class =
        tls::context_class(py).map_err(|_| PyRuntimeError::new_err("Python ssl module is not available"))?;
    if let Some(context) = &params.context
        && !context.bind(py).is_instance(&class)?
    {
        return Err(PyTypeError::new_err(format!(
            "sslcontext is expected to be an instance of ssl.SSLContext, got {}",
            context.bind(py).repr()?
        )));
    }
    let compatible = match transport.bind(py).getattr_opt(intern!(py, "_start_tls_compatible"))? {
        Some(compatible) => compatible.is_truthy()?,
        None => false,
    };
    if compatible {
        return Ok(());
    }
    let transport = transport.bind(py).repr()?;
    Err(PyTypeError::new_err(format!("transport {transport} is not supported by start_tls()")))
}

/// Puts TLS between the transport and its protocol. Returns the handles of what the loop will call for it.
fn begin(
    py: Python<'_>,
    this: &Obj<Loop>,
    transport: &Obj,
    protocol: &Obj,
    ssl_protocol: &Obj,
) -> PyResult<Vec<Obj>> {
    let (transport, this) = (transport.bind(py), this.bind(py));
    // Nothing may be received before `connection_made()`.
    transport.call_method0(intern!(py, "pause_reading"))?;
    // What a stream reader has buffered came as it was sent: the beginning of the handshake, or plain text that must
    // not be taken for decrypted text later (gh-142352 does this for servers, from 3.15 on).
    if let Some(early) = streams::take_buffered(py, protocol)? {
        tls::receive_early(py, ssl_protocol, &early)?;
    }
    transport.call_method1(intern!(py, "set_protocol"), (ssl_protocol,))?;
    let made = ssl_protocol.bind(py).getattr(intern!(py, "connection_made"))?;
    let resume = transport.getattr(intern!(py, "resume_reading"))?;
    let call_soon = intern!(py, "call_soon");
    Ok(vec![
        this.call_method1(call_soon, (made, transport))?.into(),
        this.call_method1(call_soon, (resume,))?.into(),
    ])
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class.coroutine(
        "start_tls",
        start_tls,
        "start_tls($self, transport, protocol, sslcontext, *, server_side=False, server_hostname=None,\n\
         ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n\
         Coroutine: go over to TLS; returns the transport that the protocol has to use from now on (since 3.7).\n\n\
         Timeouts are in seconds (ssl_shutdown_timeout since 3.11). Raises what the handshake raises.",
    );
}
