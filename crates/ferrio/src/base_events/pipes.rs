//! `connect_read_pipe` and `connect_write_pipe`.

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::connect::given;
use crate::coro::{self, Co, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::future::Future;
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
    let owned = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    let (factory, pipe) = (owned(factory), owned(pipe));
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
                let logger = crate::library::module(py, "ferrio.base_events")?.getattr("logger")?;
                let fd = pipe.get().bind(py).call_method0(intern!(py, "fileno"))?;
                logger.call_method1("debug", (shown, fd, &transport, &protocol))?;
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

const MAKE: [&str; 4] = ["pipe", "protocol", "waiter", "extra"];

fn make_read(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<ReadPipe>> {
    let [pipe, protocol, waiter, extra] =
        args.bind(&Signature::new("_make_read_pipe_transport", MAKE).required(2))?;
    let owned = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    ReadPipe::open(py, this, &owned(pipe), &owned(protocol), given(waiter), given(extra))
}

fn make_write(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<WritePipe>> {
    let [pipe, protocol, waiter, extra] =
        args.bind(&Signature::new("_make_write_pipe_transport", MAKE).required(2))?;
    let owned = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    WritePipe::open(py, this, &owned(pipe), &owned(protocol), given(waiter), given(extra))
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method("connect_read_pipe", connect_read_pipe, "connect_read_pipe($self, protocol_factory, pipe)\n--\n\n\
            Coroutine: read from a pipe, a file object that the transport will own; returns (transport, protocol).\n\n\
            The descriptor becomes non-blocking. Raises ValueError unless it is a pipe, a socket or a character\n\
            device.")
        .method("connect_write_pipe", connect_write_pipe, "connect_write_pipe($self, protocol_factory, pipe)\n--\n\n\
            Coroutine: write to a pipe, a file object that the transport will own; returns (transport, protocol).\n\n\
            The descriptor becomes non-blocking. Raises ValueError unless it is a pipe, a socket or a character\n\
            device.")
        .method("_make_read_pipe_transport", make_read, "")
        .method("_make_write_pipe_transport", make_write, "");
}
