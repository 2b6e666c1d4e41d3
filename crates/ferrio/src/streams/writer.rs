//! `asyncio.StreamWriter`: a transport with `drain()`.

use std::cell::RefCell;

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, ObjCell, Signature, WeakList};
use pyo3::exceptions::{
    PyAssertionError, PyNotImplementedError, PyResourceWarning, PyRuntimeError, PyTypeError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::attributes::{cell, event_loop, is_closed};
use super::dict_state::DictState;
use super::flow_control::FlowControlMixin;
use super::operation::{Op, StreamOperation};
use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;
use super::replaced;
use crate::event_loop::LoopRef;
use crate::transports::StreamTransport;
use crate::warnings;
use crate::{coro, future_likes};

/// The contents of a `StreamWriter`.
pub struct StreamWriter {
    pub(super) transport: ObjCell,
    pub(super) protocol: ObjCell,
    pub(super) reader: ObjCell,
    pub(super) event_loop: RefCell<Option<LoopRef>>,
    /// A done future that asyncio's writer has; made when somebody asks for it.
    complete: ObjCell,
    dict: DictSlot,
    weaklist: WeakList,
}

impl DictState for StreamWriter {}

impl StreamWriter {
    /// A writer.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn create(
        py: Python<'_>,
        transport: Obj,
        protocol: Obj,
        reader: Option<Obj>,
        event_loop: LoopRef,
    ) -> PyResult<Obj<Self>> {
        let contents = Self::blank();
        contents.transport.set(Some(transport));
        contents.protocol.set(Some(protocol));
        contents.reader.set(reader.clone());
        *contents.event_loop.borrow_mut() = Some(event_loop);
        let this = Obj::<Self>::create(py, ((), contents))?;
        if let Some(reader) = reader.as_ref().and_then(Obj::cast::<StreamReader>) {
            reader.writer.set(&this);
        }
        Ok(this)
    }

    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<4> =
            Signature::new("StreamWriter", ["transport", "protocol", "reader", "loop"]);
        let [transport, protocol, reader, event_loop] = args.bind(&SIGNATURE)?;
        let reader = reader.filter(|reader| !reader.is_none());
        if let Some(reader) = reader
            && Obj::<StreamReader>::from_bound(reader).is_none()
        {
            return Err(PyAssertionError::new_err("reader must be a StreamReader or None"));
        }
        this.transport.set(transport.map(Obj::from));
        this.protocol.set(protocol.map(Obj::from));
        this.reader.set(reader.map(Obj::from));
        let old = this.event_loop.replace(event_loop.map(LoopRef::new));
        drop(old);
        Ok(())
    }

    fn get_loop(&self) -> PyResult<LoopRef> {
        let event_loop = self.event_loop.borrow().clone();
        event_loop.ok_or_else(not_initialized)
    }

    #[inline]
    fn get_transport(&self) -> PyResult<Obj> {
        self.transport.get().ok_or_else(not_initialized)
    }

    fn get_protocol(&self) -> PyResult<Obj> {
        self.protocol.get().ok_or_else(not_initialized)
    }

    /// The protocol, if its `_drain_helper` is ours.
    #[inline]
    pub(super) fn plain_protocol(&self) -> Option<Obj<FlowControlMixin>> {
        let protocol = self.protocol.get()?.cast_into::<FlowControlMixin>().ok()?;
        (!protocol.replaces(replaced::DRAIN) && !protocol.in_dict.get()).then_some(protocol)
    }

    /// `transport.is_closing()`.
    ///
    /// # Errors
    /// What the transport raises.
    #[inline]
    pub(super) fn transport_is_closing(&self, py: Python<'_>) -> PyResult<bool> {
        let transport = self.get_transport()?;
        match StreamTransport::plain(&transport) {
            Some(ours) => Ok(ours.is_closing()),
            None => transport.bind(py).call_method0(intern!(py, "is_closing"))?.is_truthy(),
        }
    }

    /// As [`Self::transport_is_closing`], after the transport has sent what it holds back.
    ///
    /// # Errors
    /// What the transport raises; `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    pub(super) fn drain_transport(&self, py: Python<'_>) -> PyResult<bool> {
        let transport = self.get_transport()?;
        if let Some(ours) = transport.cast::<StreamTransport>() {
            StreamTransport::drain(ours, py)?;
            if !ours.replaces_any() {
                return Ok(ours.is_closing());
            }
        }
        transport.bind(py).call_method0(intern!(py, "is_closing"))?.is_truthy()
    }

    #[inline]
    fn write(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let transport = this.get_transport()?;
        match StreamTransport::plain(&transport) {
            Some(ours) => StreamTransport::write(ours, py, data),
            None => transport.bind(py).call_method1(intern!(py, "write"), (data,)).map(drop),
        }
    }

    fn writelines(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let transport = this.get_transport()?;
        match StreamTransport::plain(&transport) {
            Some(ours) => StreamTransport::writelines(ours, py, data),
            None => transport.bind(py).call_method1(intern!(py, "writelines"), (data,)).map(drop),
        }
    }

    fn write_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Ok(this.get_transport()?.bind(py).call_method0(intern!(py, "write_eof"))?.into())
    }

    fn can_write_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Ok(this.get_transport()?.bind(py).call_method0(intern!(py, "can_write_eof"))?.into())
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Ok(this.get_transport()?.bind(py).call_method0(intern!(py, "close"))?.into())
    }

    fn is_closing(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Ok(this.get_transport()?.bind(py).call_method0(intern!(py, "is_closing"))?.into())
    }

    fn get_extra_info(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> = Signature::new("get_extra_info", ["name", "default"]).required(1);
        let [name, default] = args.bind(&SIGNATURE)?;
        let transport = this.get_transport()?;
        Ok(transport.bind(py).call_method1(intern!(py, "get_extra_info"), (name, default))?.into())
    }

    #[inline]
    fn drain(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        StreamOperation::make(py, Op::Drain, this, None)
    }

    fn wait_closed(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "StreamWriter.wait_closed", move |co| {
            let this = co.hold(this);
            async move {
                let wait = {
                    let (py, this) = (co.py(), this.get());
                    let protocol = this.get_protocol()?;
                    let waiter = protocol.bind(py).call_method1(intern!(py, "_get_close_waiter"), (this,))?;
                    co.wait(Obj::from(waiter))
                };
                wait.await?;
                Ok(Obj::none(co.py()))
            }
        })
    }

    fn start_tls(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<4> = Signature::new(
            "start_tls",
            ["sslcontext", "server_hostname", "ssl_handshake_timeout", "ssl_shutdown_timeout"],
        )
        .positional(1);
        let [context, hostname, handshake, shutdown] = args.bind(&SIGNATURE)?;
        let Some(context) = context.map(Obj::from) else {
            return Err(PyTypeError::new_err("start_tls() missing argument: 'sslcontext'"));
        };
        let kwargs = PyDict::new(py);
        kwargs.set_item("server_hostname", hostname)?;
        kwargs.set_item("ssl_handshake_timeout", handshake)?;
        kwargs.set_item("ssl_shutdown_timeout", shutdown)?;
        let kwargs = Obj::from(kwargs);
        coro::coroutine(py, "StreamWriter.start_tls", move |co| {
            let (this, context, kwargs) = (co.hold(this), co.hold(context), co.hold(kwargs));
            async move {
                let draining =
                    this.get().bind(co.py()).call_method0(intern!(co.py(), "drain")).map(Obj::from);
                let wait = co.wait(draining?);
                wait.await?;
                let starting = starting_tls(co.py(), this.get().as_any(), &context.get(), &kwargs.get());
                let wait = co.wait(starting?);
                let transport = wait.await.map_err(|err| explain_missing(co.py(), err))?;
                let writer = this.get();
                writer.transport.set(Some(transport.clone()));
                let protocol = writer.get_protocol()?;
                protocol.bind(co.py()).call_method1(intern!(co.py(), "_replace_transport"), (transport,))?;
                Ok(Obj::none(co.py()))
            }
        })
    }

    fn get_complete(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        if let Some(complete) = this.complete.get() {
            return Ok(complete);
        }
        let complete = this.get_loop()?.create_future(py)?;
        future_likes::wake(py, &complete)?;
        this.complete.set(Some(complete.clone()));
        Ok(complete)
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let name = this.bind(py).get_type().name()?;
        let transport = this.transport.get().unwrap_or_else(|| Obj::none(py));
        let reader = match this.reader.get() {
            Some(reader) => format!(" reader={}", reader.bind(py).repr()?),
            None => String::new(),
        };
        Ok(format!("<{name} transport={}{reader}>", transport.bind(py).repr()?))
    }

    fn report_unclosed(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.transport_is_closing(py)? {
            return Ok(());
        }
        let message = if is_closed(py, &this.get_loop()?)? {
            "loop is closed".to_owned()
        } else {
            this.bind(py).call_method0(intern!(py, "close"))?;
            format!("unclosed {}", this.bind(py).repr()?)
        };
        warnings::warn::<PyResourceWarning>(py, &message)
    }
}

/// `loop.start_tls(...)`.
fn starting_tls(py: Python<'_>, writer: &Obj, context: &Obj, kwargs: &Obj) -> PyResult<Obj> {
    let writer = writer.cast::<StreamWriter>().ok_or_else(not_initialized)?;
    let protocol = writer.get_protocol()?;
    let server_side = match protocol.cast::<StreamReaderProtocol>() {
        Some(ours) => ours.callback.is_some(),
        None => !protocol.bind(py).getattr(intern!(py, "_client_connected_cb"))?.is_none(),
    };
    let kwargs = kwargs.bind(py).cast::<PyDict>()?.copy()?;
    kwargs.set_item("server_side", server_side)?;
    let event_loop = writer.get_loop()?;
    let args = (writer.get_transport()?, protocol, context);
    let started = event_loop.as_any().bind(py).call_method(intern!(py, "start_tls"), args, Some(&kwargs));
    started.map(Obj::from).map_err(|err| explain_missing(py, err))
}

/// A loop without TLS says so with a bare `NotImplementedError`.
fn explain_missing(py: Python<'_>, err: PyErr) -> PyErr {
    let bare = err.is_instance_of::<PyNotImplementedError>(py)
        && err.value(py).getattr("args").and_then(|args| args.len()).is_ok_and(|count| count == 0);
    if bare {
        return PyNotImplementedError::new_err("StreamWriter.start_tls(): this event loop does not have TLS");
    }
    err
}

#[cold]
fn not_initialized() -> PyErr {
    PyRuntimeError::new_err("StreamWriter object is not initialized")
}

impl Class for StreamWriter {
    type Base = Any;
    ferrio_object::fields!(StreamWriter {
        transport,
        protocol,
        reader,
        event_loop: kept,
        complete,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.streams.StreamWriter";
    const DOC: &'static str = "StreamWriter(transport, protocol, reader, loop)\n--\n\n\
        The writing end of a stream: a transport, and drain() to wait until it takes more.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        StreamWriter {
            transport: ObjCell::empty(),
            protocol: ObjCell::empty(),
            reader: ObjCell::empty(),
            event_loop: RefCell::new(None),
            complete: ObjCell::empty(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn wants_finalizer(&self, _base: &()) -> bool {
        self.transport.is_some()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Err(err) = Self::report_unclosed(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .method1_named("write", Self::write,
                || Signature::new("write", ["data"]),
                "write($self, /, data)\n--\n\nSend bytes, now or as soon as the socket takes them. Follow it by \
                 `await drain()`.")
            .method1_named("writelines", Self::writelines,
                || Signature::new("writelines", ["data"]),
                "writelines($self, /, data)\n--\n\nSend an iterable of bytes.")
            .method0("write_eof", Self::write_eof,
                "write_eof($self, /)\n--\n\nClose the writing direction once everything has been sent.")
            .method0("can_write_eof", Self::can_write_eof,
                "can_write_eof($self, /)\n--\n\nWhether the transport can close one direction.")
            .method0("close", Self::close, "close($self, /)\n--\n\nClose the stream; wait_closed() waits for the end.")
            .method0("is_closing", Self::is_closing,
                "is_closing($self, /)\n--\n\nWhether the stream is closed or being closed (since 3.7).")
            .coroutine0("wait_closed", Self::wait_closed,
                "wait_closed($self, /)\n--\n\nCoroutine: wait until the connection is gone (since 3.7).\n\n\
                 Raises what ended it.")
            .method("get_extra_info", Self::get_extra_info,
                "get_extra_info($self, name, default=None)\n--\n\nWhat the transport knows: 'socket', 'peername' …")
            .coroutine0("drain", Self::drain,
                "drain($self, /)\n--\n\nCoroutine: wait until the transport's buffer has room again.\n\n\
                 Raises ConnectionResetError if the connection is lost, or what the reader failed with.")
            .coroutine("start_tls", Self::start_tls,
                "start_tls($self, sslcontext, *, server_hostname=None, ssl_handshake_timeout=None, \
                 ssl_shutdown_timeout=None)\n--\n\nCoroutine: go over to TLS (since 3.11).\n\nAwaits drain() first. Parameters are those of loop.start_tls().")
            .getter("transport", |this: &Obj<Self>, _py: Python<'_>| this.transport.get(), "The transport.")
            .getter("_complete_fut", Self::get_complete, "");
        cell!(class, StreamWriter, "_transport", transport);
        cell!(class, StreamWriter, "_protocol", protocol);
        cell!(class, StreamWriter, "_reader", reader);
        event_loop!(class, StreamWriter);
    }
}
