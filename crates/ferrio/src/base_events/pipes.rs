//! `connect_read_pipe` and `connect_write_pipe`.

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::coro::{self, Co, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::future::Future;
use crate::log::{self, Level};
use crate::transports::{OverPipe, ReadPipe, WritePipe};

/// Waits until the endpoint is there, and closes it if that is not to be.
///
/// # Errors
/// What is thrown in, `CancelledError`.
pub(super) async fn until_made(co: &Co, waiter: &Local<Future>, transport: &Local) -> PyResult<()> {
    if let Err(err) = co.wait(waiter.get()).await {
        transport.get().bind(co.py()).call_method0(intern!(co.py(), "close"))?;
        return Err(err);
    }
    Ok(())
}

fn connect(
    this: &Obj<Loop>,
    py: Python<'_>,
    args: Args<'_, '_>,
    name: &'static str,
    make: fn(Python<'_>) -> &Bound<'_, PyString>,
    shown: &'static str,
) -> PyResult<Obj> {
    let [factory, pipe] = args.bind(&Signature::new(name, ["protocol_factory", "pipe"]))?;
    let (factory, pipe) = (Obj::or_none(py, factory), Obj::or_none(py, pipe));
    coro::coroutine(py, name, move |co| {
        let (this, factory, pipe) = (co.hold(this), co.hold(factory), co.hold(pipe));
        async move {
            let (waiter, protocol, transport) = {
                let (py, this) = (co.py(), this.get());
                let protocol: Obj = factory.get().bind(py).call0()?.into();
                let waiter = Future::create(py, LoopRef::Native(this.clone()))?;
                let args = (pipe.get(), &protocol, &waiter);
                let transport: Obj = this.bind(py).call_method1(make(py), args)?.into();
                (co.hold(waiter), co.hold(protocol), co.hold(transport))
            };
            until_made(&co, &waiter, &transport).await?;
            let py = co.py();
            let (transport, protocol) = (transport.get(), protocol.get());
            if this.get().debug.get() {
                let fd = pipe.get().bind(py).call_method0(intern!(py, "fileno"))?;
                log::write(py, "ferrio.base_events", Level::Debug, (shown, fd, &transport, &protocol))?;
            }
            Ok((transport, protocol).into_pyobject(py)?.into_any().into())
        }
    })
}

fn connect_read_pipe(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let shown = "Read pipe %r connected: (%r, %r)";
    connect(this, py, args, "connect_read_pipe", |py| intern!(py, "_make_read_pipe_transport"), shown)
}

fn connect_write_pipe(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let shown = "Write pipe %r connected: (%r, %r)";
    connect(this, py, args, "connect_write_pipe", |py| intern!(py, "_make_write_pipe_transport"), shown)
}

fn make<T: OverPipe>(
    this: &Obj<Loop>,
    py: Python<'_>,
    args: Args<'_, '_>,
    name: &'static str,
) -> PyResult<Obj<T>> {
    const NAMES: [&str; 4] = ["pipe", "protocol", "waiter", "extra"];
    let [pipe, protocol, waiter, extra] = args.bind(&Signature::new(name, NAMES).required(2))?;
    let (pipe, protocol) = (Obj::or_none(py, pipe), Obj::or_none(py, protocol));
    T::open(py, this, &pipe, &protocol, Obj::unless_none(waiter), Obj::unless_none(extra))
}

fn make_read(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<ReadPipe>> {
    make(this, py, args, "_make_read_pipe_transport")
}

fn make_write(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<WritePipe>> {
    make(this, py, args, "_make_write_pipe_transport")
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine("connect_read_pipe", connect_read_pipe, "connect_read_pipe($self, protocol_factory, pipe)\n--\n\n\
            Coroutine: read from a pipe, a file object that the transport will own; returns (transport, protocol).\n\n\
            The descriptor becomes non-blocking. Raises ValueError unless it is a pipe, a socket or a character\n\
            device.")
        .coroutine("connect_write_pipe", connect_write_pipe, "connect_write_pipe($self, protocol_factory, pipe)\n--\n\n\
            Coroutine: write to a pipe, a file object that the transport will own; returns (transport, protocol).\n\n\
            The descriptor becomes non-blocking. Raises ValueError unless it is a pipe, a socket or a character\n\
            device.")
        .method("_make_read_pipe_transport", make_read, "")
        .method("_make_write_pipe_transport", make_write, "");
}
