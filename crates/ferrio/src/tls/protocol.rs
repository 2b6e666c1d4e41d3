//! `asyncio.sslproto.SSLProtocol`: the class, what it holds, and what Python sees of it.
//!
//! Instances are made of the Python class `ferrio.sslproto.SSLProtocol`, which adds nothing but the abstract base.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_core::write_queue::WaterMarks;
use ferrio_object::{
    Any, Args, Class, ClassBuilder, DictSlot, Methods, Obj, ObjCell, Replaceable, Replaced, Signature,
    WeakList,
};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::choice::Engines;
use super::portable::MAX_SIZE;
use super::ssl_module;
use super::transport::SslTransport;
use crate::event_loop::{ExceptionContext, LoopRef};
use crate::log::{self, Level};
use crate::transports::{Chunk, ProtocolKind, StreamTransport};
use crate::{exceptions, future_likes};
use ferrio_core::tls_state::{AppState, State};

pub(super) const MODULE: &str = "ferrio.sslproto";

/// Seconds: asyncio's `constants.SSL_HANDSHAKE_TIMEOUT` and `SSL_SHUTDOWN_TIMEOUT`.
const HANDSHAKE_TIMEOUT: f64 = 60.0;
const SHUTDOWN_TIMEOUT: f64 = 30.0;
/// Bytes: what asyncio's TLS transports buffer of what was received before the transport below is paused.
const READ_HIGH: usize = 256 * 1024;

/// The contents of an `SSLProtocol`.
pub struct SslProtocol {
    pub(super) event_loop: RefCell<Option<LoopRef>>,
    /// The program's protocol, and how it takes what is decrypted. Both are empty after the connection is lost.
    pub(super) app_protocol: ObjCell,
    pub(super) kind: RefCell<ProtocolKind>,
    pub(super) app_transport: ObjCell<SslTransport>,
    /// The transport below.
    pub(super) transport: ObjCell,
    waiter: ObjCell,
    /// asyncio's `_extra`: what `get_extra_info()` knows besides what the transport below knows.
    pub(super) extra: ObjCell,
    context: ObjCell,
    server_side: Cell<bool>,
    server_hostname: ObjCell,
    pub(super) engine: Engines,
    pub(super) state: Cell<State>,
    pub(super) app_state: Cell<AppState>,
    pub(super) handshake_timeout: ObjCell,
    pub(super) shutdown_timeout: ObjCell,
    pub(super) handshake_timer: ObjCell,
    pub(super) shutdown_timer: ObjCell,
    pub(super) handshake_start: Cell<Option<f64>>,
    /// Counts the losses of the connection, and the writes after one.
    pub(super) conn_lost: Cell<u32>,
    pub(super) eof_received: Cell<bool>,
    /// What was written and is not encrypted yet, and how many bytes that is.
    pub(super) backlog: RefCell<VecDeque<Chunk>>,
    pub(super) backlog_len: Cell<usize>,
    /// The transport below has asked for a pause.
    pub(super) ssl_writing_paused: Cell<bool>,
    /// The program's protocol was asked for one.
    pub(super) app_writing_paused: Cell<bool>,
    /// The program has asked for one.
    pub(super) app_reading_paused: Cell<bool>,
    /// The transport below was asked for one.
    pub(super) ssl_reading_paused: Cell<bool>,
    pub(super) write_marks: Cell<WaterMarks>,
    pub(super) read_marks: Cell<WaterMarks>,
    /// What a transport that is not one of ours receives into.
    pub(super) buffer: ObjCell,
    replaced: Replaced,
    dict: DictSlot,
    weaklist: WeakList,
}

/// What transports call.
const CALLED: [&str; 3] = ["get_buffer", "buffer_updated", "eof_received"];

impl Replaceable for SslProtocol {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&CALLED);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

/// A timeout in seconds, or the default.
///
/// # Errors
/// `ValueError` unless it is positive, `TypeError` unless it is a number.
fn timeout(py: Python<'_>, name: &str, given: Option<&Bound<'_, PyAny>>, default: f64) -> PyResult<Obj> {
    let Some(given) = given.filter(|given| !given.is_none()) else {
        return Ok(default.into_pyobject(py)?.into_any().into());
    };
    if given.le(0)? {
        return Err(PyValueError::new_err(format!(
            "{name} should be a positive number, got {}",
            given.str()?
        )));
    }
    Ok(given.into())
}

impl SslProtocol {
    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<9> = Signature::new(
            "SSLProtocol",
            [
                "loop",
                "app_protocol",
                "sslcontext",
                "waiter",
                "server_side",
                "server_hostname",
                "call_connection_made",
                "ssl_handshake_timeout",
                "ssl_shutdown_timeout",
            ],
        )
        .required(4);
        let [event_loop, app, context, waiter, server_side, hostname, call_made, handshake, shutdown] =
            args.bind(&SIGNATURE)?;
        let (Some(event_loop), Some(app)) = (event_loop, app) else { return Ok(()) };
        ssl_module::ssl(py)?;
        this.handshake_timeout.set(Some(timeout(py, "ssl_handshake_timeout", handshake, HANDSHAKE_TIMEOUT)?));
        this.shutdown_timeout.set(Some(timeout(py, "ssl_shutdown_timeout", shutdown, SHUTDOWN_TIMEOUT)?));
        let truthy = |arg: Option<&Bound<'_, PyAny>>| arg.map_or(Ok(false), PyAnyMethods::is_truthy);
        let server_side = truthy(server_side)?;
        let has_hostname = truthy(hostname)?;
        let context: Obj = match context {
            Some(context) if context.is_truthy()? => context.into(),
            _ => ssl_module::default_context(py, server_side, has_hostname)?,
        };
        this.server_side.set(server_side);
        this.server_hostname.set(hostname.filter(|_| has_hostname && !server_side).map(Obj::from));
        let extra = PyDict::new(py);
        extra.set_item(intern!(py, "sslcontext"), &context)?;
        this.extra.set(Some(extra.into_any().into()));
        this.context.set(Some(context.clone()));
        this.waiter.set(Obj::unless_none(waiter));
        let old = this.event_loop.replace(Some(LoopRef::new(event_loop)));
        drop(old);
        Self::set_app_protocol(this, py, app)?;
        let calls_made = call_made.map_or(Ok(true), PyAnyMethods::is_truthy)?;
        this.app_state.set(if calls_made { AppState::Init } else { AppState::ConnectionMade });
        this.engine.begin(py, &context, server_side, this.server_hostname.get().as_ref())?;
        this.app_transport.set(Some(SslTransport::create(py, event_loop, this)?));
        Ok(())
    }

    /// The loop.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` did not run.
    pub(super) fn get_loop(&self) -> PyResult<LoopRef> {
        let event_loop = self.event_loop.borrow().clone();
        event_loop.ok_or_else(|| PyRuntimeError::new_err("SSLProtocol is not initialized"))
    }

    pub(super) fn is_debug(&self, py: Python<'_>) -> PyResult<bool> {
        self.get_loop()?.get_debug(py)
    }

    /// `loop.call_later(delay, method)`.
    ///
    /// # Errors
    /// What the loop raises.
    pub(super) fn call_later(
        this: &Obj<Self>,
        py: Python<'_>,
        delay: &ObjCell,
        method: &Bound<'_, PyString>,
    ) -> PyResult<Obj> {
        let method = this.bind(py).getattr(method)?;
        let event_loop = this.get_loop()?;
        let delay = delay.get().unwrap_or_else(|| Obj::none(py));
        Ok(event_loop.as_any().bind(py).call_method1(intern!(py, "call_later"), (delay, method))?.into())
    }

    /// Cancels a timer, if it runs.
    ///
    /// # Errors
    /// What a foreign loop's handle raises.
    pub(super) fn cancel_timer(py: Python<'_>, timer: &ObjCell) -> PyResult<()> {
        match timer.take() {
            Some(timer) => timer.bind(py).call_method0(intern!(py, "cancel")).map(drop),
            None => Ok(()),
        }
    }

    pub(super) fn set_state(&self, next: State) -> PyResult<()> {
        let state = self.state.get();
        if !state.allows(next) {
            return Err(PyRuntimeError::new_err(format!(
                "cannot switch state from SSLProtocolState.{} to SSLProtocolState.{}",
                state.name(),
                next.name()
            )));
        }
        self.state.set(next);
        Ok(())
    }

    pub(super) fn set_app_protocol(this: &Obj<Self>, py: Python<'_>, app: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = ProtocolKind::of(py, app)?;
        let old = this.kind.replace(kind);
        this.app_protocol.set(Some(app.into()));
        drop(old);
        Ok(())
    }

    pub(super) fn wake_waiter(&self, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        let Some(waiter) = self.waiter.take() else { return Ok(()) };
        match exc {
            Some(exc) => future_likes::fail(py, &waiter, exc.bind(py)),
            None if future_likes::is_cancelled(py, &waiter)? => Ok(()),
            None => future_likes::wake(py, &waiter).map(drop),
        }
    }

    /// `get_extra_info(name, default)`: ours first, then that of the transport below.
    ///
    /// # Errors
    /// What the transport below raises.
    pub(super) fn extra_info(&self, py: Python<'_>, name: &Bound<'_, PyAny>, default: Obj) -> PyResult<Obj> {
        if let Some(extra) = self.extra.get()
            && let Ok(found) = extra.bind(py).cast::<PyDict>()
            && let Some(found) = found.get_item(name)?
        {
            return Ok(found.into());
        }
        match self.transport.get() {
            Some(below) => {
                Ok(below.bind(py).call_method1(intern!(py, "get_extra_info"), (name, default))?.into())
            }
            None => Ok(default),
        }
    }

    fn py_extra_info(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> = Signature::new("_get_extra_info", ["name", "default"]).required(1);
        let [name, default] = args.bind(&SIGNATURE)?;
        let default = Obj::or_none(py, default);
        match name {
            Some(name) => this.extra_info(py, name, default),
            None => Ok(default),
        }
    }

    /// Has the transport below close at once.
    ///
    /// # Errors
    /// What a foreign transport raises.
    pub(super) fn force_close(&self, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        let Some(below) = self.transport.get() else { return Ok(()) };
        let exc = exc.cloned().unwrap_or_else(|| Obj::none(py));
        below.bind(py).call_method1(intern!(py, "_force_close"), (exc,)).map(drop)
    }

    /// An error that the connection does not survive. Errors of the network and of TLS are everyday; others go to the
    /// loop's exception handler.
    ///
    /// # Errors
    /// What the transport below, the logger or the handler raise.
    pub(super) fn fatal_error(this: &Obj<Self>, py: Python<'_>, exc: &Obj, message: &str) -> PyResult<()> {
        this.force_close(py, (!exc.is_none()).then_some(exc))?;
        if exc.bind(py).is_instance_of::<PyOSError>() {
            if this.is_debug(py)? {
                log::write_exception(py, MODULE, Level::Debug, ("%r: %s", this, message), exc)?;
            }
            return Ok(());
        }
        if exceptions::is_cancelled(py, exc)? {
            return Ok(());
        }
        let below = this.transport.get().unwrap_or_else(|| Obj::none(py));
        ExceptionContext::new(py)
            .with("message", message)?
            .with("exception", exc)?
            .with("transport", below)?
            .with("protocol", this)?
            .report_to(this.get_loop()?.as_any())
    }

    fn py_fatal_error(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> = Signature::new("_fatal_error", ["exc", "message"]).required(1);
        let [exc, message] = args.bind(&SIGNATURE)?;
        let message: String = match message {
            Some(message) => message.extract()?,
            None => "Fatal error on transport".to_owned(),
        };
        Self::fatal_error(this, py, &Obj::or_none(py, exc), &message)
    }

    /// Whether the transport below is closing, which TLS may not know of yet.
    ///
    /// # Errors
    /// What a foreign transport raises.
    pub(super) fn is_closing_below(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(below) = self.transport.get() else { return Ok(false) };
        match StreamTransport::plain(&below) {
            Some(ours) => Ok(ours.is_closing()),
            None => below.bind(py).call_method0(intern!(py, "is_closing"))?.is_truthy(),
        }
    }

    fn member(py: Python<'_>, class: &str, name: &str) -> PyResult<Obj> {
        Ok(crate::imported::module(py, MODULE)?.getattr(class)?.getattr(name)?.into())
    }
}

impl Class for SslProtocol {
    type Base = Any;
    ferrio_object::fields!(SslProtocol {
        event_loop: kept,
        app_protocol,
        kind,
        app_transport,
        transport,
        waiter,
        extra,
        context,
        server_side,
        server_hostname,
        engine,
        state,
        app_state,
        handshake_timeout,
        shutdown_timeout,
        handshake_timer,
        shutdown_timer,
        handshake_start,
        conn_lost,
        eof_received,
        backlog: unowned,
        backlog_len,
        ssl_writing_paused,
        app_writing_paused,
        app_reading_paused,
        ssl_reading_paused,
        write_marks,
        read_marks,
        buffer,
        replaced,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "ferrio._ferrio._SSLProtocol";
    const DOC: &'static str = "SSLProtocol(loop, app_protocol, sslcontext, waiter, server_side=False, server_hostname=None,\n\
        call_connection_made=True, ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n\
        TLS between a transport and `app_protocol`.\n\n\
        waiter: a future that is done after the handshake, or None. Timeouts are in seconds.";

    fn blank() -> Self {
        let marks = |high| WaterMarks::with_default(None, None, high).unwrap_or_default();
        SslProtocol {
            event_loop: RefCell::new(None),
            app_protocol: ObjCell::empty(),
            kind: RefCell::default(),
            app_transport: ObjCell::empty(),
            transport: ObjCell::empty(),
            waiter: ObjCell::empty(),
            extra: ObjCell::empty(),
            context: ObjCell::empty(),
            server_side: Cell::new(false),
            server_hostname: ObjCell::empty(),
            engine: Engines::default(),
            state: Cell::default(),
            app_state: Cell::default(),
            handshake_timeout: ObjCell::empty(),
            shutdown_timeout: ObjCell::empty(),
            handshake_timer: ObjCell::empty(),
            shutdown_timer: ObjCell::empty(),
            handshake_start: Cell::new(None),
            conn_lost: Cell::new(0),
            eof_received: Cell::new(false),
            backlog: RefCell::default(),
            backlog_len: Cell::new(0),
            ssl_writing_paused: Cell::new(false),
            app_writing_paused: Cell::new(false),
            app_reading_paused: Cell::new(false),
            ssl_reading_paused: Cell::new(false),
            write_marks: Cell::new(marks(WaterMarks::DEFAULT_HIGH_TLS)),
            read_marks: Cell::new(marks(READ_HIGH)),
            buffer: ObjCell::empty(),
            replaced: Replaced::unknown(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .replaceable()
            .method1_named(
                "_set_app_protocol",
                Self::set_app_protocol,
                || Signature::new("_set_app_protocol", ["app_protocol"]),
                "",
            )
            .method("_get_extra_info", Self::py_extra_info, "")
            .method("_fatal_error", Self::py_fatal_error, "")
            .method0("_get_app_transport", |this: &Obj<Self>, _py: Python<'_>| this.app_transport.get(), "")
            .method0(
                "_is_transport_closing",
                |this: &Obj<Self>, py: Python<'_>| this.is_closing_below(py),
                "",
            )
            .getset(
                "_sslobj",
                |this: &Obj<Self>, _py: Python<'_>| this.engine.portable.object(),
                |this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.engine.set_object(py, value)
                },
                "",
            )
            .getset(
                "_extra",
                |this: &Obj<Self>, _py: Python<'_>| this.extra.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.extra.set(value.map(Obj::from));
                    Ok(())
                },
                "",
            )
            .getset(
                "_transport",
                |this: &Obj<Self>, _py: Python<'_>| this.transport.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.transport.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getter(
                "_loop",
                |this: &Obj<Self>, _py: Python<'_>| {
                    this.get_loop().ok().map(|event_loop| event_loop.as_any().clone())
                },
                "",
            )
            .getter(
                "_state",
                |this: &Obj<Self>, py: Python<'_>| {
                    Self::member(py, "SSLProtocolState", this.state.get().name())
                },
                "",
            )
            .getter(
                "_app_state",
                |this: &Obj<Self>, py: Python<'_>| {
                    Self::member(py, "AppProtocolState", this.app_state.get().name())
                },
                "",
            )
            .getter("_app_protocol", |this: &Obj<Self>, _py: Python<'_>| this.app_protocol.get(), "")
            .getter("_app_transport", |this: &Obj<Self>, _py: Python<'_>| this.app_transport.get(), "")
            .getter("_waiter", |this: &Obj<Self>, _py: Python<'_>| this.waiter.get(), "")
            .getter("_sslcontext", |this: &Obj<Self>, _py: Python<'_>| this.context.get(), "")
            .getter("_server_side", |this: &Obj<Self>, _py: Python<'_>| this.server_side.get(), "")
            .getter("_server_hostname", |this: &Obj<Self>, _py: Python<'_>| this.server_hostname.get(), "")
            .getter("_incoming", |this: &Obj<Self>, _py: Python<'_>| this.engine.incoming(), "")
            .getter("_outgoing", |this: &Obj<Self>, _py: Python<'_>| this.engine.outgoing(), "")
            .getter("_tls_engine", |this: &Obj<Self>, _py: Python<'_>| this.engine.name(), "")
            .getter("_conn_lost", |this: &Obj<Self>, _py: Python<'_>| this.conn_lost.get(), "")
            .getter("_eof_received", |this: &Obj<Self>, _py: Python<'_>| this.eof_received.get(), "")
            .getter("_write_buffer_size", |this: &Obj<Self>, _py: Python<'_>| this.backlog_len.get(), "")
            .getter(
                "_ssl_writing_paused",
                |this: &Obj<Self>, _py: Python<'_>| this.ssl_writing_paused.get(),
                "",
            )
            .getter(
                "_app_writing_paused",
                |this: &Obj<Self>, _py: Python<'_>| this.app_writing_paused.get(),
                "",
            )
            .getter(
                "_app_reading_paused",
                |this: &Obj<Self>, _py: Python<'_>| this.app_reading_paused.get(),
                "",
            )
            .getter(
                "_ssl_reading_paused",
                |this: &Obj<Self>, _py: Python<'_>| this.ssl_reading_paused.get(),
                "",
            )
            .getter(
                "_handshake_timeout_handle",
                |this: &Obj<Self>, _py: Python<'_>| this.handshake_timer.get(),
                "",
            )
            .getter(
                "_shutdown_timeout_handle",
                |this: &Obj<Self>, _py: Python<'_>| this.shutdown_timer.get(),
                "",
            )
            .getter(
                "_ssl_handshake_timeout",
                |this: &Obj<Self>, _py: Python<'_>| this.handshake_timeout.get(),
                "",
            )
            .getter(
                "_ssl_shutdown_timeout",
                |this: &Obj<Self>, _py: Python<'_>| this.shutdown_timeout.get(),
                "",
            )
            .getter("max_size", |_this: &Obj<Self>, _py: Python<'_>| MAX_SIZE, "");
        Self::define_handshake(class);
        Self::define_reading(class);
        Self::define_writing(class);
        Self::define_shutdown(class);
    }
}
