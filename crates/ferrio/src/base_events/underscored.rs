//! Methods of the loop with an underscore that nothing here calls: for programs that call them, and for loops that
//! are derived from ours.

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::debug;
use crate::event_loop::{Handle, Loop, LoopRef, Ready, call_soon_native, watches};
use crate::tls::{Side, TlsParams};
use crate::transports::{Connected, Opening};

/// `_add_callback(handle)`: makes a handle ready that is not cancelled.
fn add_callback(this: &Obj<Loop>, _py: Python<'_>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(handle) = Obj::<Handle>::from_bound(handle) else {
        return Err(PyTypeError::new_err("a Handle is required here"));
    };
    if !handle.cancelled.get() {
        this.push(|| Ready::Call(handle.clone()));
    }
    Ok(())
}

/// `_add_callback_signalsafe(handle)`: as `_add_callback()`, and wakes the loop.
fn add_callback_signalsafe(this: &Obj<Loop>, py: Python<'_>, handle: &Bound<'_, PyAny>) -> PyResult<()> {
    add_callback(this, py, handle)?;
    this.bind(py).call_method0(intern!(py, "_write_to_self")).map(drop)
}

/// `_call_soon(callback, args, context)`: `call_soon()` without its checks.
fn call_soon(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Handle>> {
    let [callback, arguments, context] =
        args.bind(&Signature::new("_call_soon", ["callback", "args", "context"]))?;
    let callback = Obj::or_none(py, callback);
    let arguments = match arguments {
        Some(arguments) => {
            arguments.try_iter()?.map(|arg| arg.map(Obj::from)).collect::<PyResult<Vec<_>>>()?
        }
        None => Vec::new(),
    };
    let context = Obj::unless_none(context);
    call_soon_native(this, py, &callback, &arguments, context.as_ref())
}

fn check_callback(_this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [callback, method] = args.bind(&Signature::new("_check_callback", ["callback", "method"]))?;
    let (Some(callback), Some(method)) = (callback, method) else { return Ok(()) };
    debug::check_callback(py, Obj::of(callback), &method.str()?.to_string())
}

fn check_default_executor(this: &Obj<Loop>, _py: Python<'_>) -> PyResult<()> {
    if this.executor_shutdown_called.get() {
        return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
    }
    Ok(())
}

fn ensure_fd_no_transport(this: &Obj<Loop>, py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<()> {
    watches::ensure_no_transport(this, py, watches::fileno(py, fd)?)
}

fn set_coroutine_origin_tracking(
    this: &Obj<Loop>,
    py: Python<'_>,
    enabled: &Bound<'_, PyAny>,
) -> PyResult<()> {
    super::lifecycle::track_coroutine_origins(this, py, enabled.is_truthy()?)
}

/// `_make_socket_transport(sock, protocol, waiter=None, *, extra=None, server=None)`.
fn make_socket_transport(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("_make_socket_transport", ["sock", "protocol", "waiter", "extra", "server"])
            .positional(3)
            .required(2);
    let [sock, protocol, waiter, extra, server] = args.bind(&SIGNATURE)?;
    let class = crate::imported::module(py, "ferrio.selector_events")?.getattr("_SelectorSocketTransport")?;
    let kwargs = PyDict::new(py);
    for (name, value) in [("waiter", waiter), ("extra", extra), ("server", server)] {
        kwargs.set_item(name, value)?;
    }
    Ok(class.call((this, sock, protocol), Some(&kwargs))?.into())
}

/// Copies and pickles of a loop are refused as a whole: those who hold one and are pickled shall not make another.
fn reduce_ex(this: &Obj<Loop>, py: Python<'_>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
    let name = this.bind(py).get_type().name()?;
    Err(PyTypeError::new_err(format!("cannot pickle '{name}' object")))
}

/// `_make_ssl_transport(rawsock, protocol, sslcontext, waiter=None, *, …)`.
fn make_ssl_transport(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<10> = Signature::new(
        "_make_ssl_transport",
        [
            "rawsock",
            "protocol",
            "sslcontext",
            "waiter",
            "server_side",
            "server_hostname",
            "extra",
            "server",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
        ],
    )
    .positional(4)
    .required(3);
    let [sock, protocol, context, waiter, server_side, hostname, extra, server, handshake, shutdown] =
        args.bind(&SIGNATURE)?;
    let is_server = server_side.map_or(Ok(false), PyAnyMethods::is_truthy)?;
    let params = TlsParams {
        context: Obj::unless_none(context),
        side: if is_server { Side::Server } else { Side::Client },
        server_hostname: Obj::unless_none(hostname),
        handshake_timeout: Obj::unless_none(handshake),
        shutdown_timeout: Obj::unless_none(shutdown),
    };
    let waiter = match Obj::unless_none(waiter) {
        Some(waiter) => waiter,
        None => LoopRef::Native(this.clone()).create_future(py)?,
    };
    let protocol = Obj::or_none(py, protocol);
    let opening = Opening {
        sock: Connected::Socket(Obj::or_none(py, sock)),
        protocol: &protocol,
        waiter: None,
        peer: None,
        extra: Obj::unless_none(extra),
        server: Obj::unless_none(server),
        context: None,
    };
    params.open(py, this, opening, &waiter)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method1("__reduce_ex__", reduce_ex, "")
        .method1("_add_callback", add_callback, "")
        .method1("_add_callback_signalsafe", add_callback_signalsafe, "")
        .method("_call_soon", call_soon, "")
        .method("_check_callback", check_callback, "")
        .method0("_check_default_executor", check_default_executor, "")
        .method0("_check_thread", |this: &Obj<Loop>, _py: Python<'_>| this.check_thread(), "")
        .method1("_ensure_fd_no_transport", ensure_fd_no_transport, "")
        .method1("_set_coroutine_origin_tracking", set_coroutine_origin_tracking, "")
        .method("_make_socket_transport", make_socket_transport, "")
        .method("_make_ssl_transport", make_ssl_transport, "");
}
