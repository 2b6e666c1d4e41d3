//! The transport that writes to a pipe, a terminal or a socket that is only written.
//!
//! What the other side takes is written at once, the rest when it takes more. That the reading end of a pipe was
//! closed is seen by watching the writing end as if it were to be read; a terminal cannot be watched like that.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_core::driver::socket::{self, FileKind};
use ferrio_core::write_queue::{FlowControl, WriteQueue};
use ferrio_object::{Any, Args, Class, ClassBuilder, GilStatic, Obj, ObjCell, Signature, TypeCell, Visit};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use super::attached::{Attached, extra_info, warn_unclosed};
use super::chunk::{Chunk, Data};
use super::flow::Flow;
use super::pipe_read::{MODULE, extra_with_pipe, file_of, shown_fd};
use crate::event_loop::{FromIo, Loop, Polled};
use crate::exceptions;

/// Slices for one vectored write; more of them go out with the next.
const SLICES: usize = 64;
/// asyncio's `constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_AFTER: u32 = 5;

/// The contents of a transport that writes to a pipe.
pub struct WritePipe {
    attached: Attached,
    fd: Cell<RawFd>,
    /// The file object; empty once it is closed.
    pipe: ObjCell,
    extra: ObjCell,
    queue: RefCell<WriteQueue<Chunk>>,
    flow: Cell<FlowControl>,
    /// What of the descriptor is watched: readable for the end of the other side, writable for room.
    watched: Cell<Interest>,
    /// asyncio's `_conn_lost`: counts writes that came too late.
    conn_lost: Cell<u32>,
    /// `close()` or `write_eof()` was called, or the other side is gone.
    closing: Cell<bool>,
    /// `connection_lost()` is on its way, or was called.
    losing: Cell<bool>,
}

/// `ferrio.unix_events._UnixWritePipeTransport`.
fn python_class(py: Python<'_>) -> PyResult<&Obj> {
    static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
    let cell = CLASS.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = crate::library::module(py, MODULE)?.getattr("_UnixWritePipeTransport")?;
    Ok(cell.get_or_init(|| class.into()))
}

impl Flow for WritePipe {
    fn attached(&self) -> &Attached {
        &self.attached
    }

    fn flow(&self) -> &Cell<FlowControl> {
        &self.flow
    }

    fn pending(&self) -> usize {
        self.queue.borrow().len()
    }
}

impl WritePipe {
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
            Signature::new("_UnixWritePipeTransport", ["loop", "pipe", "protocol", "waiter", "extra"])
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
            return Err(PyValueError::new_err(
                "Pipe transport is only for pipes, sockets and character devices",
            ));
        }
        socket::set_nonblocking(fd).map_err(PyOSError::new_err_from_io)?;
        event_loop.check_closed()?;
        this.fd.set(fd);
        this.pipe.set(Some(pipe.clone()));
        this.attached.begin(py, event_loop, protocol, waiter)?;
        this.attached.call_soon(py, "connection_made", this, None, |py, held, _| {
            held[0].cast::<Self>().map_or(Ok(()), |this| Self::connected(this, py))
        })
    }

    /// The first callback: `connection_made()`, then the other side is watched, then whoever waits is told.
    fn connected(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let attached = &this.attached;
        if let Some(protocol) = attached.protocol() {
            let made = protocol.bind(py).call_method1(intern!(py, "connection_made"), (this,)).map(drop);
            attached.report_callback(py, this, "connection_made()", made)?;
        }
        let terminal = socket::is_char_device(this.fd.get()).unwrap_or(true);
        // The protocol may have closed the transport again; nothing may be watched after that.
        if !this.losing.get() && !terminal {
            let started = Self::watch(this, py, Interest::READABLE);
            attached.report_callback(py, this, "_add_reader()", started)?;
        }
        attached.wake_waiter(py)
    }

    fn watch(this: &Obj<Self>, py: Python<'_>, side: Interest) -> PyResult<()> {
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        this.watched.set(this.watched.get().with(side));
        Polled::WritePipe(this.clone()).watch(&event_loop, py, this.fd.get(), side)
    }

    fn unwatch(this: &Obj<Self>, sides: &[Interest]) {
        let Some(event_loop) = this.attached.event_loop() else { return };
        for side in sides {
            let left = this.watched.get().without(*side);
            if left != this.watched.replace(left) {
                Polled::WritePipe(this.clone()).unwatch(&event_loop, this.fd.get(), *side);
            }
        }
    }

    /// Serves an event.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>, side: Interest) -> PyResult<()> {
        if side.is_readable() && this.watched.get().is_readable() {
            Self::other_side_closed(this, py)
        } else if side.is_writable() && this.watched.get().is_writable() {
            let outcome = Self::write_ready(this, py);
            this.attached.report_callback(py, this, "_write_ready()", outcome)
        } else {
            Ok(())
        }
    }

    fn other_side_closed(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.log(py, MODULE, "info", "%r was closed by peer", this)?;
        let broken = (!this.queue.borrow().is_empty())
            .then(|| exceptions::value_of(py, PyBrokenPipeError::new_err(())));
        Self::close_with(this, py, broken)
    }

    fn write(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        // What asyncio asserts is an AssertionError for programs too.
        let data = match Data::new(py, data) {
            Err(err) if err.is_instance_of::<PyTypeError>(py) => {
                return Err(PyAssertionError::new_err(err.value(py).str()?.to_string()));
            }
            data => data?,
        };
        let len = data.len();
        if len == 0 {
            return Ok(());
        }
        if this.conn_lost.get() > 0 || this.closing.get() {
            return Self::write_too_late(this, py);
        }
        let mut sent = 0;
        if this.queue.borrow().is_empty() {
            match data.with(py, |bytes| socket::write(this.fd.get(), bytes)) {
                Ok(count) if count == len => return Ok(()),
                Ok(count) => sent = count,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                Err(err) => return Self::write_failed(this, py, err),
            }
            Self::watch(this, py, Interest::WRITABLE)?;
        }
        this.queue.borrow_mut().push(data.into_chunk(py, sent));
        Self::pause_protocol(this, py, false)
    }

    #[cold]
    fn write_too_late(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() >= WARN_AFTER {
            let logger = crate::library::module(py, MODULE)?.getattr(intern!(py, "logger"))?;
            let message = "pipe closed by peer or os.write(pipe, data) raised exception.";
            logger.call_method1(intern!(py, "warning"), (message,))?;
        }
        this.conn_lost.set(this.conn_lost.get() + 1);
        Ok(())
    }

    /// The other side takes data again.
    fn write_ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        loop {
            let written = {
                let queue = this.queue.borrow();
                if queue.is_empty() {
                    break;
                }
                let mut slices = [IoSlice::new(&[]); SLICES];
                let filled = queue.slices(&mut slices);
                let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
                socket::write_vectored(this.fd.get(), &slices[..filled]).map(|written| (written, offered))
            };
            match written {
                Ok((written, offered)) => {
                    // The chunks are plain bytes: dropping them runs no Python code.
                    this.queue.borrow_mut().advance(written);
                    if written < offered {
                        break;
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) => return Self::write_failed(this, py, err),
            }
        }
        Self::resume_protocol(this, py, true)?;
        if !this.queue.borrow().is_empty() || this.losing.get() {
            return Ok(());
        }
        Self::unwatch(this, &[Interest::WRITABLE]);
        if this.closing.get() {
            Self::unwatch(this, &[Interest::READABLE]);
            this.losing.set(true);
            return this.attached.in_context(py, || Self::connection_lost(this, py, None));
        }
        Ok(())
    }

    #[cold]
    fn write_failed(this: &Obj<Self>, py: Python<'_>, err: io::Error) -> PyResult<()> {
        this.conn_lost.set(this.conn_lost.get() + 1);
        let exc = exceptions::value_of(py, PyOSError::new_err_from_io(err));
        this.attached.log_error(py, MODULE, this, "Fatal write error on pipe transport", &exc)?;
        Self::close_with(this, py, Some(exc))
    }

    fn close_with(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.closing.set(true);
        this.queue.borrow_mut().clear();
        Self::unwatch(this, &[Interest::READABLE, Interest::WRITABLE]);
        Self::lose(this, py, exc)
    }

    fn lose(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        if this.losing.get() {
            return Ok(());
        }
        this.attached.call_soon(py, "connection_lost", this, exc, |py, held, _| {
            let Some(this) = held[0].cast::<Self>() else { return Ok(()) };
            Self::connection_lost(this, py, held.get(1))
        })?;
        this.losing.set(true);
        Ok(())
    }

    /// To be called in the transport's context, as the loop calls what was given to `call_soon`.
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
        this.attached.clear();
        reported.and(closed)
    }

    /// `close()` and `write_eof()`: for a pipe, the end of what is written is its end.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(crate) fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.replace(true) || this.pipe.is_none() || !this.queue.borrow().is_empty() {
            return Ok(());
        }
        Self::unwatch(this, &[Interest::READABLE]);
        Self::lose(this, py, None)
    }

    fn abort(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.pipe.is_none() { Ok(()) } else { Self::close_with(this, py, None) }
    }

    fn get_extra_info(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        extra_info(py, args, |_| Ok(this.extra.get().map(|extra| extra.into_bound(py))))
    }

    fn buffer(this: &Obj<Self>, py: Python<'_>) -> Obj {
        let bytes: Vec<u8> = this.queue.borrow().iter().flatten().copied().collect();
        PyByteArray::new(py, &bytes).into_any().into()
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
        if open && this.attached.is_loop_open() {
            info.push(if this.watched.get().is_writable() { "polling" } else { "idle" }.to_owned());
            info.push(format!("bufsize={}", this.pending()));
        } else {
            info.push(if open { "open" } else { "closed" }.to_owned());
        }
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

impl Class for WritePipe {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio._WritePipeTransport";
    const DOC: &'static str = "The native part of a transport that writes to a pipe.";
    const FINALIZE: bool = true;

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn blank() -> Self {
        WritePipe {
            attached: Attached::default(),
            fd: Cell::new(-1),
            pipe: ObjCell::empty(),
            extra: ObjCell::empty(),
            queue: RefCell::new(WriteQueue::new()),
            flow: Cell::new(FlowControl::default()),
            watched: Cell::new(Interest::NONE),
            conn_lost: Cell::new(0),
            closing: Cell::new(false),
            losing: Cell::new(false),
        }
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        self.attached.traverse(visit);
        visit.cell(&self.pipe);
        visit.cell(&self.extra);
    }

    fn clear(&self) {
        self.attached.clear();
        self.pipe.set(None);
        self.extra.set(None);
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
            .method1(
                "write",
                Self::write,
                "write($self, data, /)\n--\n\n\
                Write bytes; never blocks, and buffers what cannot be written now.",
            )
            .method0(
                "write_eof",
                Self::close,
                "write_eof($self, /)\n--\n\n\
                Close the pipe after what is buffered; connection_lost(None) follows.",
            )
            .method0(
                "can_write_eof",
                |_this: &Obj<Self>, _py: Python<'_>| true,
                "can_write_eof($self, /)\n--\n\nTrue.",
            )
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\n\
                Write what is buffered, then close; connection_lost(None) follows.",
            )
            .method0(
                "abort",
                Self::abort,
                "abort($self, /)\n--\n\n\
                Close at once, and drop what is buffered; connection_lost(None) follows.",
            )
            .method0(
                "is_closing",
                |this: &Obj<Self>, _py: Python<'_>| this.closing.get(),
                "is_closing($self, /)\n--\n\nWhether the transport is closed or about to be.",
            )
            .method1(
                "set_protocol",
                |this: &Obj<Self>, _py: Python<'_>, protocol: &Bound<'_, PyAny>| {
                    this.attached.set_protocol(protocol);
                },
                "set_protocol($self, protocol, /)\n--\n\nMake another protocol the receiver of the calls.",
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
            .getter("_conn_lost", |this: &Obj<Self>, _py: Python<'_>| this.conn_lost.get(), "")
            .getter("_buffer", Self::buffer, "")
            .getter("_extra", |this: &Obj<Self>, _py: Python<'_>| this.extra.get(), "");
        Self::define_flow(class);
    }
}
