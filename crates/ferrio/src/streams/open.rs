//! `open_connection`, `start_server` and their Unix namesakes: the loop's `create_connection` and `create_server` with
//! a factory of stream protocols.
//!
//! The loop's methods are called in Python, since that is where programs replace them.

use std::cell::{Cell, RefCell};

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Signature};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::DEFAULT_LIMIT;
use super::protocol::StreamReaderProtocol;
use super::reader::{StreamReader, limit_of};
use super::writer::StreamWriter;
use crate::coro;
use crate::event_loop::{LoopRef, running};

/// The contents of a protocol factory: always the same protocol for a client, one for each connection of a server.
pub struct ProtocolFactory {
    protocol: ObjCell,
    callback: ObjCell,
    limit: Cell<usize>,
    event_loop: RefCell<Option<LoopRef>>,
}

impl ProtocolFactory {
    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        args.none("factory")?;
        if let Some(protocol) = this.protocol.get() {
            return Ok(protocol);
        }
        let event_loop = this.event_loop.borrow().clone();
        let event_loop = event_loop.ok_or_else(|| PyRuntimeError::new_err("the factory has been cleared"))?;
        let reader = StreamReader::create(py, this.limit.get(), event_loop.clone())?;
        Ok(StreamReaderProtocol::create(py, &reader, this.callback.get(), event_loop)?.into_any())
    }
}

impl Class for ProtocolFactory {
    type Base = Any;
    ferrio_object::fields!(ProtocolFactory { protocol, callback, limit, event_loop });
    const NAME: &'static str = "ferrio._ferrio._stream_protocol_factory";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        ProtocolFactory {
            protocol: ObjCell::empty(),
            callback: ObjCell::empty(),
            limit: Cell::new(DEFAULT_LIMIT),
            event_loop: RefCell::new(None),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.call(Self::call);
    }
}

/// What the four functions are called with: the arguments of their own, and those that go to the loop.
struct Call {
    limit: Option<Obj>,
    callback: Option<Obj>,
    args: Vec<Obj>,
    kwargs: Option<Obj>,
}

ferrio_object::traverse!(struct Call { limit, callback, args, kwargs });

impl Call {
    fn limit(&self, py: Python<'_>) -> PyResult<usize> {
        let limit = self.limit.as_ref().map_or(Ok(DEFAULT_LIMIT), |limit| limit_of(limit.bind(py)))?;
        if limit == 0 {
            return Err(PyValueError::new_err("Limit cannot be <= 0"));
        }
        Ok(limit)
    }

    /// `loop.method(factory, *args, **kwargs)`.
    fn create(&self, py: Python<'_>, method: &str, event_loop: &Obj, factory: Obj) -> PyResult<Obj> {
        let args = PyTuple::new(py, std::iter::once(&factory).chain(&self.args).collect::<Vec<_>>())?;
        let kwargs = self.kwargs.as_ref().map(|kwargs| kwargs.bind(py).cast::<PyDict>()).transpose()?;
        Ok(event_loop.bind(py).call_method(method, args, kwargs)?.into())
    }
}

/// `open_connection(host=None, port=None, *, limit=65536, **kwds)`.
pub(super) fn py_open_connection(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("open_connection", ["host", "port", "limit"]).positional(2).required(0);
    args.at_most(&SIGNATURE)?;
    let ([host, port, limit], _, kwargs) = args.bind_all(&SIGNATURE)?;
    let args = vec![Obj::or_none(py, host), Obj::or_none(py, port)];
    let call = Call { limit: limit.map(Obj::from), callback: None, args, kwargs: kwargs.map(Obj::from) };
    connect(py, "open_connection", "create_connection", call)
}

/// `open_unix_connection(path=None, *, limit=65536, **kwds)`.
pub(super) fn py_open_unix_connection(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> =
        Signature::new("open_unix_connection", ["path", "limit"]).positional(1).required(0);
    args.at_most(&SIGNATURE)?;
    let ([path, limit], _, kwargs) = args.bind_all(&SIGNATURE)?;
    let args = vec![Obj::or_none(py, path)];
    let call = Call { limit: limit.map(Obj::from), callback: None, args, kwargs: kwargs.map(Obj::from) };
    connect(py, "open_unix_connection", "create_unix_connection", call)
}

/// `start_server(client_connected_cb, host=None, port=None, *, limit=65536, **kwds)`.
pub(super) fn py_start_server(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> =
        Signature::new("start_server", ["client_connected_cb", "host", "port", "limit"])
            .positional(3)
            .required(1);
    args.at_most(&SIGNATURE)?;
    let ([callback, host, port, limit], _, kwargs) = args.bind_all(&SIGNATURE)?;
    let args = vec![Obj::or_none(py, host), Obj::or_none(py, port)];
    let (limit, callback) = (limit.map(Obj::from), callback.map(Obj::from));
    serve(py, "start_server", "create_server", Call { limit, callback, args, kwargs: kwargs.map(Obj::from) })
}

/// `start_unix_server(client_connected_cb, path=None, *, limit=65536, **kwds)`.
pub(super) fn py_start_unix_server(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("start_unix_server", ["client_connected_cb", "path", "limit"])
            .positional(2)
            .required(1);
    args.at_most(&SIGNATURE)?;
    let ([callback, path, limit], _, kwargs) = args.bind_all(&SIGNATURE)?;
    let args = vec![Obj::or_none(py, path)];
    let (limit, callback) = (limit.map(Obj::from), callback.map(Obj::from));
    serve(
        py,
        "start_unix_server",
        "create_unix_server",
        Call { limit, callback, args, kwargs: kwargs.map(Obj::from) },
    )
}

fn connect(py: Python<'_>, name: &'static str, method: &'static str, call: Call) -> PyResult<Obj> {
    coro::coroutine(py, name, move |co| {
        let call = co.keep(call);
        async move {
            let (event_loop, reader, protocol, wait) = {
                let (py, call) = (co.py(), call.get());
                let event_loop = running::get_running_loop(py)?;
                let loop_ref = LoopRef::new(event_loop.bind(py));
                let reader = StreamReader::create(py, call.limit(py)?, loop_ref.clone())?;
                let protocol = StreamReaderProtocol::create(py, &reader, None, loop_ref)?;
                let factory = ProtocolFactory::blank();
                factory.protocol.set(Some(protocol.as_any().clone()));
                let factory: Obj<ProtocolFactory> = Obj::create(py, ((), factory))?;
                let wait = co.wait(call.create(py, method, &event_loop, factory.into_any())?);
                (co.hold(event_loop), co.hold(reader), co.hold(protocol), wait)
            };
            drop(call);
            let connected = wait.await?;
            let py = co.py();
            let transport = connected.bind(py).get_item(0)?;
            let (reader, event_loop) = (reader.get().into_any(), LoopRef::new(event_loop.get().bind(py)));
            let writer = StreamWriter::create(
                py,
                transport.into(),
                protocol.get().into_any(),
                Some(reader.clone()),
                event_loop,
            )?;
            Ok(PyTuple::new(py, [reader, writer.into_any()])?.into())
        }
    })
}

fn serve(py: Python<'_>, name: &'static str, method: &'static str, call: Call) -> PyResult<Obj> {
    coro::coroutine(py, name, move |co| {
        let call = co.keep(call);
        async move {
            let wait = {
                let (py, call) = (co.py(), call.get());
                let event_loop = running::get_running_loop(py)?;
                let factory = ProtocolFactory::blank();
                factory.limit.set(call.limit(py)?);
                factory.callback.set(call.callback.clone().filter(|callback| !callback.is_none()));
                *factory.event_loop.borrow_mut() = Some(LoopRef::new(event_loop.bind(py)));
                let factory: Obj<ProtocolFactory> = Obj::create(py, ((), factory))?;
                co.wait(call.create(py, method, &event_loop, factory.into_any())?)
            };
            drop(call);
            wait.await
        }
    })
}
