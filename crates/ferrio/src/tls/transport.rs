//! `asyncio.sslproto._SSLProtocolTransport`: the transport that a program gets of a TLS connection.
//!
//! Instances are made of the Python class of that name in `ferrio.sslproto`, which adds nothing but the abstract bases.

use std::cell::{Cell, OnceCell};

use ferrio_core::write_queue::WaterMarks;
use ferrio_object::{
    Any, Args, BufferPlace, Class, ClassBuilder, GilStatic, Obj, ObjCell, Signature, WeakList,
};
use pyo3::exceptions::{PyNotImplementedError, PyResourceWarning, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::engine::Engine;
use super::protocol::SslProtocol;
use super::writing::chunks_of;
use crate::transports::Data;
use crate::warnings;

/// The contents of a TLS transport.
pub struct SslTransport {
    event_loop: ObjCell,
    protocol: ObjCell<SslProtocol>,
    pub(super) closed: Cell<bool>,
    weaklist: WeakList,
}

/// `ferrio.sslproto._SSLProtocolTransport`, fetched when the first connection is opened.
fn python_class(py: Python<'_>) -> PyResult<&Obj> {
    static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
    let cell = CLASS.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = crate::imported::module(py, "ferrio.sslproto")?.getattr("_SSLProtocolTransport")?;
    Ok(cell.get_or_init(|| class.into()))
}

/// The limits that were given, or those that asyncio takes.
fn marks(args: Args<'_, '_>, name: &'static str, default: usize) -> PyResult<WaterMarks> {
    let signature: Signature<2> = Signature::new(name, ["high", "low"]).required(0);
    let [high, low] = args.bind(&signature)?;
    let limit = |arg: Option<&Bound<'_, PyAny>>| {
        arg.filter(|arg| !arg.is_none()).map(PyAnyMethods::extract::<i128>).transpose()
    };
    WaterMarks::with_default(limit(high)?, limit(low)?, default)
        .map_err(|bad| PyValueError::new_err(bad.to_string()))
}

/// Bytes: asyncio's `constants.FLOW_CONTROL_HIGH_WATER_SSL_READ`.
const READ_HIGH: usize = 256 * 1024;

impl SslTransport {
    /// The transport of `protocol`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn create(
        py: Python<'_>,
        event_loop: &Bound<'_, PyAny>,
        protocol: &Obj<SslProtocol>,
    ) -> PyResult<Obj<Self>> {
        let this = Obj::<Self>::create_of(py, python_class(py)?)?;
        this.begin(event_loop, protocol);
        Ok(this)
    }

    fn begin(&self, event_loop: &Bound<'_, PyAny>, protocol: &Obj<SslProtocol>) {
        self.event_loop.set(Some(event_loop.into()));
        self.protocol.set(Some(protocol.clone()));
        self.closed.set(false);
    }

    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [event_loop, protocol] =
            args.bind(&Signature::new("_SSLProtocolTransport", ["loop", "ssl_protocol"]))?;
        let (Some(event_loop), Some(protocol)) = (event_loop, protocol) else { return Ok(()) };
        let Some(protocol) = Obj::<SslProtocol>::from_bound(protocol) else {
            return Err(PyTypeError::new_err("an SSLProtocol is required"));
        };
        this.begin(event_loop, protocol);
        Ok(())
    }

    fn get_extra_info(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> = Signature::new("get_extra_info", ["name", "default"]).required(1);
        let [name, default] = args.bind(&SIGNATURE)?;
        let default = Obj::or_none(py, default);
        match (this.protocol.get(), name) {
            (Some(protocol), Some(name)) => protocol.extra_info(py, name, default),
            _ => Ok(default),
        }
    }

    fn set_protocol(this: &Obj<Self>, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        match this.protocol.get() {
            Some(ssl) => SslProtocol::set_app_protocol(&ssl, py, protocol),
            None => Ok(()),
        }
    }

    fn is_closing(this: &Obj<Self>, py: Python<'_>) -> PyResult<bool> {
        if this.closed.get() {
            return Ok(true);
        }
        this.protocol.get().map_or(Ok(false), |protocol| protocol.is_closing_below(py))
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closed.replace(true) {
            // What was closed before, by the peer mostly, lets go: a protocol that keeps its transport is no cycle then.
            this.protocol.set(None);
            return Ok(());
        }
        match this.protocol.get() {
            Some(protocol) => SslProtocol::start_shutdown(&protocol, py),
            None => Ok(()),
        }
    }

    fn force_close(this: &Obj<Self>, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        this.closed.set(true);
        this.protocol.get().map_or(Ok(()), |protocol| protocol.abort(py, exc))
    }

    fn write(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let is_bytes_like = data.is_instance_of::<PyBytes>()
            || data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>();
        if !is_bytes_like {
            let class = data.get_type().name()?;
            return Err(PyTypeError::new_err(format!("data: expecting a bytes-like instance, got {class}")));
        }
        let mut place = BufferPlace::new();
        let data = Data::new(&mut place, py, data)?;
        let Some(protocol) = this.protocol.get() else { return Ok(()) };
        if data.len() == 0 {
            return Ok(());
        }
        let (chunk, buffer) = data.into_rest(py, 0);
        let outcome = SslProtocol::write_app_data(&protocol, py, vec![chunk]);
        // To release it may run Python code, which may write to us: all is in its place.
        drop(buffer);
        outcome
    }

    fn writelines(this: &Obj<Self>, py: Python<'_>, list: &Bound<'_, PyAny>) -> PyResult<()> {
        let chunks = chunks_of(py, list)?;
        this.protocol.get().map_or(Ok(()), |protocol| SslProtocol::write_app_data(&protocol, py, chunks))
    }

    /// Calls `f` with the protocol, if there is one.
    fn with<R>(this: &Obj<Self>, absent: R, f: impl FnOnce(&Obj<SslProtocol>) -> PyResult<R>) -> PyResult<R> {
        match this.protocol.get() {
            Some(protocol) => f(&protocol),
            None => Ok(absent),
        }
    }

    fn set_write_limits(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let marks = marks(args, "set_write_buffer_limits", WaterMarks::DEFAULT_HIGH_TLS)?;
        Self::with(this, (), |protocol| {
            protocol.write_marks.set(marks);
            SslProtocol::control_app_writing(protocol, py)
        })
    }

    fn set_read_limits(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let marks = marks(args, "set_read_buffer_limits", READ_HIGH)?;
        Self::with(this, (), |protocol| {
            protocol.read_marks.set(marks);
            SslProtocol::control_ssl_reading(protocol, py)
        })
    }

    fn append_backlog(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut place = BufferPlace::new();
        let chunk = Data::new(&mut place, py, data)?.into_chunk(py);
        Self::with(this, (), |protocol| {
            protocol.backlog_len.set(protocol.backlog_len.get() + chunk.as_ref().len());
            protocol.backlog.borrow_mut().push_back(chunk);
            Ok(())
        })
    }

    fn warn_unclosed(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closed.replace(true) {
            return Ok(());
        }
        warnings::warn::<PyResourceWarning>(py, "unclosed transport <asyncio._SSLProtocolTransport object>")
    }
}

impl Class for SslTransport {
    type Base = Any;
    ferrio_object::fields!(SslTransport { event_loop, protocol, closed, weaklist: WeakList });
    const NAME: &'static str = "ferrio._ferrio._SSLTransport";
    const DOC: &'static str = "The native part of a transport over TLS.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        SslTransport {
            event_loop: ObjCell::empty(),
            protocol: ObjCell::empty(),
            // Until there is something to close.
            closed: Cell::new(true),
            weaklist: WeakList::new(),
        }
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Err(err) = Self::warn_unclosed(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .method(
                "get_extra_info",
                Self::get_extra_info,
                "get_extra_info($self, name, default=None)\n--\n\n\
                Something about the connection: 'peercert', 'cipher', 'compression', 'sslcontext', 'ssl_object', and what\n\
                the transport below knows.",
            )
            .method1_named(
                "set_protocol",
                Self::set_protocol,
                || Signature::new("set_protocol", ["protocol"]),
                "set_protocol($self, /, protocol)\n--\n\nMake another protocol the receiver of the calls.",
            )
            .method0(
                "get_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.protocol.get().and_then(|ssl| ssl.app_protocol.get()),
                "get_protocol($self, /)\n--\n\nThe protocol.",
            )
            .method0(
                "is_closing",
                Self::is_closing,
                "is_closing($self, /)\n--\n\nWhether the transport is closed or about to be.",
            )
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\n\
                Send what is buffered, exchange close_notify, close; connection_lost(None) follows.",
            )
            .method0(
                "abort",
                |this: &Obj<Self>, py: Python<'_>| Self::force_close(this, py, None),
                "abort($self, /)\n--\n\nClose at once, and drop what is buffered; connection_lost(None) follows.",
            )
            .method1(
                "_force_close",
                |this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>| {
                    Self::force_close(this, py, (!exc.is_none()).then(|| exc.into()).as_ref())
                },
                "",
            )
            .method0("__del__", Self::warn_unclosed, "")
            .method0(
                "is_reading",
                |this: &Obj<Self>, _py: Python<'_>| {
                    this.protocol.get().is_some_and(|ssl| !ssl.app_reading_paused.get())
                },
                "is_reading($self, /)\n--\n\nWhether data would be passed on now (since 3.7).",
            )
            .method0(
                "pause_reading",
                |this: &Obj<Self>, _py: Python<'_>| {
                    if let Some(ssl) = this.protocol.get() {
                        ssl.pause_reading();
                    }
                },
                "pause_reading($self, /)\n--\n\nPass on no data until resume_reading().",
            )
            .method0(
                "resume_reading",
                |this: &Obj<Self>, py: Python<'_>| {
                    Self::with(this, (), |ssl| SslProtocol::resume_reading(ssl, py))
                },
                "resume_reading($self, /)\n--\n\nPass on data again; no effect if not paused.",
            )
            .method1_named(
                "write",
                Self::write,
                || Signature::new("write", ["data"]),
                "write($self, /, data)\n--\n\nSend bytes; never blocks, and buffers what cannot be sent now.",
            )
            .method1_named(
                "writelines",
                Self::writelines,
                || Signature::new("writelines", ["list_of_data"]),
                "writelines($self, /, list_of_data)\n--\n\nSend an iterable of bytes.",
            )
            .method0(
                "write_eof",
                |_this: &Obj<Self>, _py: Python<'_>| -> PyResult<()> {
                    Err(PyNotImplementedError::new_err(()))
                },
                "write_eof($self, /)\n--\n\nNot possible: raises NotImplementedError.",
            )
            .method0(
                "can_write_eof",
                |_this: &Obj<Self>, _py: Python<'_>| false,
                "can_write_eof($self, /)\n--\n\nFalse.",
            );
        Self::define_limits(class);
        Self::define_attributes(class);
    }
}

impl SslTransport {
    fn define_limits(class: &mut ClassBuilder<Self>) {
        class
            .method(
                "set_write_buffer_limits",
                Self::set_write_limits,
                "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n\
                 Set the marks, in bytes, at which the protocol is told to pause and to resume writing.\n\n\
                 Raises ValueError unless high >= low >= 0.",
            )
            .method0(
                "get_write_buffer_limits",
                |this: &Obj<Self>, py: Python<'_>| {
                    let marks = this.protocol.get().map_or_else(WaterMarks::default, |ssl| ssl.write_marks.get());
                    Ok::<Obj, PyErr>((marks.low(), marks.high()).into_pyobject(py)?.into_any().into())
                },
                "get_write_buffer_limits($self, /)\n--\n\nThe marks as (low, high), in bytes (since 3.4.2).",
            )
            .method0(
                "get_write_buffer_size",
                |this: &Obj<Self>, py: Python<'_>| Self::with(this, 0, |ssl| ssl.write_buffer_size(py)),
                "get_write_buffer_size($self, /)\n--\n\nThe number of bytes that are not encrypted or not sent.",
            )
            .method(
                "set_read_buffer_limits",
                Self::set_read_limits,
                "set_read_buffer_limits($self, /, high=None, low=None)\n--\n\n\
                 Set the marks, in bytes, at which the transport below is paused and resumed.\n\n\
                 Raises ValueError unless high >= low >= 0.",
            )
            .method0(
                "get_read_buffer_limits",
                |this: &Obj<Self>, py: Python<'_>| {
                    let marks = this.protocol.get().map_or_else(WaterMarks::default, |ssl| ssl.read_marks.get());
                    Ok::<Obj, PyErr>((marks.low(), marks.high()).into_pyobject(py)?.into_any().into())
                },
                "get_read_buffer_limits($self, /)\n--\n\nThe marks as (low, high), in bytes.",
            )
            .method0(
                "get_read_buffer_size",
                |this: &Obj<Self>, py: Python<'_>| Self::with(this, 0, |ssl| ssl.engine.input_len(py)),
                "get_read_buffer_size($self, /)\n--\n\nThe number of bytes that are not decrypted.",
            );
    }

    fn define_attributes(class: &mut ClassBuilder<Self>) {
        class
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.event_loop.get(), "")
            .getter("_ssl_protocol", |this: &Obj<Self>, _py: Python<'_>| this.protocol.get(), "")
            .getset(
                "_closed",
                |this: &Obj<Self>, _py: Python<'_>| this.closed.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.closed.set(value.map_or(Ok(false), PyAnyMethods::is_truthy)?);
                    Ok(())
                },
                "",
            )
            .getter(
                "_protocol_paused",
                |this: &Obj<Self>, _py: Python<'_>| {
                    this.protocol.get().is_some_and(|ssl| ssl.app_writing_paused.get())
                },
                "",
            )
            .getter("_start_tls_compatible", |_this: &Obj<Self>, _py: Python<'_>| true, "")
            .getter(
                "_sendfile_compatible",
                |_this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    Ok(py.import("ferrio.constants")?.getattr("_SendfileMode")?.getattr("FALLBACK")?.into())
                },
                "",
            )
            .method1("_test__append_write_backlog", Self::append_backlog, "");
    }
}
