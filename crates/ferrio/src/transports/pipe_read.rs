//! The transport that reads from a pipe, a terminal or a socket that is only read.
//!
//! The file object that was given owns the descriptor, and is closed after `connection_lost()`. The descriptor is
//! watched through the loop's table of readers (`event_loop/io.rs`), as asyncio does it: a terminal's one descriptor
//! may be read by one transport and written by another.

use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_core::driver::socket::{self, FileKind};
use ferrio_object::{Any, Args, Class, ClassBuilder, GilStatic, Obj, ObjCell, Signature, TypeCell, Visit};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::attached::{Attached, extra_info, warn_unclosed};
use super::protocol::ProtocolKind;
use super::reader;
use crate::event_loop::{FromIo, Loop, Polled};
use crate::exceptions;

/// Whose `logger` is used.
pub(super) const MODULE: &str = "ferrio.unix_events";
/// Linux' `EIO`: what a terminal says whose other side is gone.
const EIO: i32 = 5;

/// The contents of a transport that reads from a pipe.
pub struct ReadPipe {
    attached: Attached,
    fd: Cell<RawFd>,
    /// The file object; empty once it is closed.
    pipe: ObjCell,
    extra: ObjCell,
    kind: RefCell<ProtocolKind>,
    watched: Cell<bool>,
    closing: Cell<bool>,
    paused: Cell<bool>,
}

/// `ferrio.unix_events._UnixReadPipeTransport`.
fn python_class(py: Python<'_>) -> PyResult<&Obj> {
    static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
    let cell = CLASS.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = crate::library::module(py, MODULE)?.getattr("_UnixReadPipeTransport")?;
    Ok(cell.get_or_init(|| class.into()))
}

/// The dict for `get_extra_info()`, with the pipe in it.
pub(super) fn extra_with_pipe(py: Python<'_>, given: Option<Obj>, pipe: &Obj) -> PyResult<Obj> {
    let extra = given.unwrap_or_else(|| PyDict::new(py).into_any().into());
    extra.bind(py).set_item(intern!(py, "pipe"), pipe)?;
    Ok(extra)
}

/// The descriptor of a file object, and what kind of file it is.
pub(super) fn file_of(py: Python<'_>, pipe: &Obj) -> PyResult<(RawFd, FileKind)> {
    let fd: RawFd = pipe.bind(py).call_method0(intern!(py, "fileno"))?.extract()?;
    Ok((fd, socket::file_kind(fd).map_err(PyOSError::new_err_from_io)?))
}

impl ReadPipe {
    /// A transport over `pipe`; `connection_made()` is called in the next turn.
    ///
    /// # Errors
    /// `ValueError` if it is no pipe, `RuntimeError` if the loop is closed.
    pub(crate) fn open(
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        pipe: &Obj,
        protocol: &Obj,
        waiter: Option<Obj>,
        extra: Option<Obj>,
    ) -> PyResult<Obj<Self>> {
        let this = Obj::<Self>::create_of(py, python_class(py)?)?;
        Self::begin(&this, py, event_loop, pipe, protocol, waiter, extra)?;
        Ok(this)
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<5> =
            Signature::new("_UnixReadPipeTransport", ["loop", "pipe", "protocol", "waiter", "extra"])
                .required(3);
        let [event_loop, pipe, protocol, waiter, extra] = args.bind(&SIGNATURE)?;
        let (Some(event_loop), Some(pipe), Some(protocol)) = (event_loop, pipe, protocol) else {
            return Ok(());
        };
        let Some(event_loop) = Obj::<Loop>::from_bound(event_loop) else {
            return Err(PyTypeError::new_err("a transport of ferrio's needs a loop of ferrio's"));
        };
        let given = |arg: Option<&Bound<'_, PyAny>>| arg.filter(|arg| !arg.is_none()).map(Obj::from);
        Self::begin(this, py, event_loop, &pipe.into(), &protocol.into(), given(waiter), given(extra))
    }

    fn begin(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        pipe: &Obj,
        protocol: &Obj,
        waiter: Option<Obj>,
        extra: Option<Obj>,
    ) -> PyResult<()> {
        this.extra.set(Some(extra_with_pipe(py, extra, pipe)?));
        let (fd, kind) = file_of(py, pipe)?;
        if kind == FileKind::Other {
            return Err(PyValueError::new_err("Pipe transport is for pipes/sockets only."));
        }
        socket::set_nonblocking(fd).map_err(PyOSError::new_err_from_io)?;
        event_loop.check_closed()?;
        this.fd.set(fd);
        this.pipe.set(Some(pipe.clone()));
        this.attached.begin(py, event_loop, protocol, waiter)?;
        Self::set_protocol(this, py, protocol.bind(py))?;
        this.attached.call_soon(py, "connection_made", this, None, |py, held, _| {
            held[0].cast::<Self>().map_or(Ok(()), |this| Self::connected(this, py))
        })
    }

    /// The first callback: `connection_made()`, then reading begins, then whoever waits is told.
    fn connected(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let attached = &this.attached;
        if let Some(protocol) = attached.protocol() {
            let made = protocol.bind(py).call_method1(intern!(py, "connection_made"), (this,)).map(drop);
            attached.report_callback(py, this, "connection_made()", made)?;
        }
        if this.is_reading() {
            let started = Self::watch(this, py);
            attached.report_callback(py, this, "_add_reader()", started)?;
        }
        attached.wake_waiter(py)
    }

    fn watch(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        this.watched.set(true);
        Polled::ReadPipe(this.clone()).watch(&event_loop, py, this.fd.get(), Interest::READABLE)
    }

    fn unwatch(this: &Obj<Self>) {
        if this.watched.replace(false)
            && let Some(event_loop) = this.attached.event_loop()
        {
            Polled::ReadPipe(this.clone()).unwatch(&event_loop, this.fd.get(), Interest::READABLE);
        }
    }

    fn is_reading(&self) -> bool {
        !self.paused.get() && !self.closing.get()
    }

    /// Serves an event: one read, like asyncio.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.watched.get() {
            return Ok(());
        }
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        let mut scratch = event_loop.sockets.take_scratch();
        let received = socket::read(this.fd.get(), &mut scratch);
        let outcome = match &received {
            Ok(count) if *count > 0 => Self::received(this, py, &scratch[..*count]),
            _ => Ok(None),
        };
        event_loop.sockets.put_scratch(scratch);
        match (received, outcome) {
            (Ok(0), _) => Self::ended(this, py),
            (Err(err), _) if err.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            (Err(err), _) => {
                let err = PyOSError::new_err_from_io(err);
                Self::fatal_error(this, py, err, "Fatal read error on pipe transport")
            }
            (Ok(_), Ok(None)) => Ok(()),
            (Ok(_), Ok(Some(data))) => {
                let Some(protocol) = this.attached.protocol() else { return Ok(()) };
                let passed = this.attached.in_context(py, || {
                    protocol.bind(py).call_method1(intern!(py, "data_received"), (data,)).map(drop)
                });
                this.attached.report_callback(py, this, "_read_ready()", passed)
            }
            (Ok(_), Err(err)) => this.attached.report_callback(py, this, "_read_ready()", Err(err)),
        }
    }

    /// Feeds a stream reader of ours; for any other protocol, hands out the bytes that it is to be called with.
    fn received(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<Option<Obj>> {
        let kind = this.kind.borrow().clone();
        let fed = match &kind {
            ProtocolKind::Reader(fed) => reader::feed(fed, py, data)?,
            _ => false,
        };
        Ok((!fed).then(|| PyBytes::new(py, data).into_any().into()))
    }

    /// The other side has closed the pipe.
    fn ended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.log(py, MODULE, "info", "%r was closed by peer", this)?;
        this.closing.set(true);
        Self::unwatch(this);
        this.attached.call_soon(py, "eof_received", this, None, |py, held, _| {
            let Some(this) = held[0].cast::<Self>() else { return Ok(()) };
            let Some(protocol) = this.attached.protocol() else { return Ok(()) };
            let told = protocol.bind(py).call_method0(intern!(py, "eof_received")).map(drop);
            this.attached.report_callback(py, this, "eof_received()", told)
        })?;
        Self::lose(this, py, None)
    }

    fn lose(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.attached.call_soon(py, "connection_lost", this, exc, |py, held, _| {
            let Some(this) = held[0].cast::<Self>() else { return Ok(()) };
            Self::connection_lost(this, py, held.get(1))
        })
    }

    fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        let Some(pipe) = this.pipe.get() else { return Ok(()) };
        let told = match this.attached.protocol() {
            Some(protocol) => {
                let exc = exc.cloned().unwrap_or_else(|| Obj::none(py));
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (exc,)).map(drop)
            }
            None => Ok(()),
        };
        let reported = this.attached.report_callback(py, this, "_call_connection_lost()", told);
        this.pipe.set(None);
        let closed = pipe.bind(py).call_method0(intern!(py, "close")).map(drop);
        let closed = this.attached.report_callback(py, this, "_call_connection_lost()", closed);
        drop(this.kind.take());
        this.attached.clear();
        reported.and(closed)
    }

    fn close_with(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.closing.set(true);
        Self::unwatch(this);
        Self::lose(this, py, exc)
    }

    /// `close()`.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(crate) fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() { Ok(()) } else { Self::close_with(this, py, None) }
    }

    fn fatal_error(this: &Obj<Self>, py: Python<'_>, err: PyErr, message: &str) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        let gone = exc.bind(py).is_instance_of::<PyOSError>()
            && exc.bind(py).getattr(intern!(py, "errno"))?.extract::<Option<i32>>()? == Some(EIO);
        if gone {
            this.attached.log_error(py, MODULE, this, message, &exc)?;
        } else {
            this.attached.report(py, this, message, ferrio_object::raise(py, &exc))?;
        }
        Self::close_with(this, py, Some(exc))
    }

    fn pause_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.is_reading() {
            return Ok(());
        }
        this.paused.set(true);
        Self::unwatch(this);
        this.attached.log(py, MODULE, "debug", "%r pauses reading", this)
    }

    fn resume_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() || !this.paused.get() {
            return Ok(());
        }
        this.paused.set(false);
        Self::watch(this, py)?;
        this.attached.log(py, MODULE, "debug", "%r resumes reading", this)
    }

    fn set_protocol(this: &Obj<Self>, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = ProtocolKind::of(py, protocol)?;
        let old = this.kind.replace(kind);
        this.attached.set_protocol(protocol);
        drop(old);
        Ok(())
    }

    fn get_extra_info(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        extra_info(py, args, |_| Ok(this.extra.get().map(|extra| extra.into_bound(py))))
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut info = vec![this.bind(py).get_type().name()?.to_string()];
        let open = this.pipe.is_some();
        if !open {
            info.push("closed".to_owned());
        } else if this.closing.get() {
            info.push("closing".to_owned());
        }
        info.push(shown_fd(this.fd.get()));
        let state = match (open, this.attached.is_loop_open(), this.watched.get()) {
            (false, _, _) => "closed",
            (true, false, _) => "open",
            (true, true, true) => "polling",
            (true, true, false) => "idle",
        };
        info.push(state.to_owned());
        Ok(format!("<{}>", info.join(" ")))
    }

    /// `__del__` of a transport that nobody closed.
    fn del(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.pipe.is_none() {
            return Ok(());
        }
        let warned = warn_unclosed(py, this);
        let Some(pipe) = this.pipe.take() else { return warned };
        warned.and(pipe.bind(py).call_method0(intern!(py, "close")).map(drop))
    }
}

/// `fd=N`, or `fd=None` for what never had one.
pub(super) fn shown_fd(fd: RawFd) -> String {
    if fd < 0 { "fd=None".to_owned() } else { format!("fd={fd}") }
}

impl Class for ReadPipe {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio._ReadPipeTransport";
    const DOC: &'static str = "The native part of a transport that reads from a pipe.";
    const FINALIZE: bool = true;

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn blank() -> Self {
        ReadPipe {
            attached: Attached::default(),
            fd: Cell::new(-1),
            pipe: ObjCell::empty(),
            extra: ObjCell::empty(),
            kind: RefCell::default(),
            watched: Cell::new(false),
            closing: Cell::new(false),
            paused: Cell::new(false),
        }
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.attached.traverse(visit);
        visit.cell(&self.pipe);
        visit.cell(&self.extra);
        if let Ok(kind) = self.kind.try_borrow()
            && let ProtocolKind::Reader(reader) = &*kind
        {
            reader::traverse(reader, visit);
        }
    }

    fn clear(&self) {
        self.attached.clear();
        self.pipe.set(None);
        self.extra.set(None);
        drop(self.kind.try_borrow_mut().map(|mut kind| std::mem::take(&mut *kind)));
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Err(err) = Self::del(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .method(
                "get_extra_info",
                Self::get_extra_info,
                "get_extra_info($self, name, default=None)\n--\n\n\
                Something about the transport: 'pipe' is the file object.",
            )
            .method0(
                "is_reading",
                |this: &Obj<Self>, _py: Python<'_>| this.is_reading(),
                "is_reading($self, /)\n--\n\nWhether data would be passed on now (since 3.7).",
            )
            .method0(
                "is_closing",
                |this: &Obj<Self>, _py: Python<'_>| this.closing.get(),
                "is_closing($self, /)\n--\n\nWhether the transport is closed or about to be.",
            )
            .method0(
                "pause_reading",
                Self::pause_reading,
                "pause_reading($self, /)\n--\n\n\
                Pass on no data until resume_reading(); no effect if paused or closing.",
            )
            .method0(
                "resume_reading",
                Self::resume_reading,
                "resume_reading($self, /)\n--\n\n\
                Pass on data again; no effect if not paused.",
            )
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\n\
                Close the pipe; connection_lost(None) follows.",
            )
            .method1(
                "set_protocol",
                Self::set_protocol,
                "set_protocol($self, protocol, /)\n--\n\n\
                Make another protocol the receiver of the calls.",
            )
            .method0(
                "get_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.attached.protocol(),
                "get_protocol($self, /)\n--\n\nThe protocol.",
            )
            .method0("__del__", Self::del, "")
            .getset(
                "_pipe",
                |this: &Obj<Self>, _py: Python<'_>| this.pipe.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.pipe.set(value.filter(|value| !value.is_none()).map(Obj::from));
                    Ok(())
                },
                "",
            )
            .getter(
                "_fileno",
                |this: &Obj<Self>, _py: Python<'_>| (this.fd.get() >= 0).then(|| this.fd.get()),
                "",
            )
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.attached.event_loop(), "")
            .getter("_protocol", |this: &Obj<Self>, _py: Python<'_>| this.attached.protocol(), "")
            .getter("_closing", |this: &Obj<Self>, _py: Python<'_>| this.closing.get(), "")
            .getter("_paused", |this: &Obj<Self>, _py: Python<'_>| this.paused.get(), "")
            .getter("_extra", |this: &Obj<Self>, _py: Python<'_>| this.extra.get(), "")
            .getter("max_size", |_this: &Obj<Self>, _py: Python<'_>| crate::event_loop::SCRATCH_LEN, "");
    }
}
