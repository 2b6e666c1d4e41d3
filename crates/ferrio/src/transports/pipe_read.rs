//! The transport that reads from a pipe, a terminal or a socket that is only read.
//!
//! The file object that was given owns the descriptor, and is closed after `connection_lost()`. The descriptor is
//! watched through the loop's table of readers (`event_loop/watches.rs`), as asyncio does it: a terminal's one descriptor
//! may be read by one transport and written by another.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::ErrorKind;

use ferrio_core::driver::{Interest, pipe};
use ferrio_object::{Any, Class, ClassBuilder, GilStatic, Obj};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::attached::Cause;
use super::pipe::{MODULE, OverPipe, Pipe, kept_class};
use super::protocol::ProtocolKind;
use crate::event_loop::watches;
use crate::exceptions::{self, FromIo};
use crate::log::Level;
use crate::streams::StreamReaderProtocol;

/// Linux' `EIO`: what a terminal says whose other side is gone.
const EIO: i32 = 5;

/// The contents of a transport that reads from a pipe.
pub struct ReadPipe {
    pipe: Pipe,
    kind: RefCell<ProtocolKind>,
    watched: Cell<bool>,
    paused: Cell<bool>,
    /// What takes received bytes past the protocol, if it does.
    feed: Cell<Option<Feed>>,
}

/// Takes received bytes for a protocol. False: the protocol has to be called.
pub(crate) type Feed = fn(&Obj, Python<'_>, &[u8]) -> PyResult<bool>;

impl OverPipe for ReadPipe {
    const PYTHON_NAME: &'static str = "_UnixReadPipeTransport";
    const REFUSAL: &'static str = "Pipe transport is for pipes/sockets only.";

    fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    fn python_class(py: Python<'_>) -> PyResult<&Obj> {
        static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
        kept_class(py, &CLASS, Self::PYTHON_NAME)
    }

    fn set_protocol(this: &Obj<Self>, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = ProtocolKind::of(py, protocol)?;
        this.feed.set(None);
        let old = this.kind.replace(kind);
        this.pipe.attached.set_protocol(protocol);
        drop(old);
        Ok(())
    }

    fn start(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.is_reading() { Self::watch(this, py) } else { Ok(()) }
    }

    fn forget_protocol(&self) {
        drop(self.kind.take());
    }
}

impl ReadPipe {
    fn watch(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let Some(event_loop) = this.pipe.attached.event_loop() else { return Ok(()) };
        this.watched.set(true);
        watches::watch_transport(&event_loop, py, this.pipe.fd.get(), Interest::READABLE, this.clone())
    }

    fn unwatch(this: &Obj<Self>) {
        if this.watched.replace(false)
            && let Some(event_loop) = this.pipe.attached.event_loop()
        {
            watches::unwatch_transport(&event_loop, this.pipe.fd.get(), Interest::READABLE, this.as_any());
        }
    }

    /// Has received bytes taken past the protocol that there is now.
    pub(crate) fn feed_by(&self, feed: Feed) {
        self.feed.set(Some(feed));
    }

    fn is_reading(&self) -> bool {
        !self.paused.get() && !self.pipe.closing.get()
    }

    /// Serves an event: one read, like asyncio.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.watched.get() {
            return Ok(());
        }
        let Some(event_loop) = this.pipe.attached.event_loop() else { return Ok(()) };
        let mut scratch = event_loop.sockets.take_scratch();
        let fd = this.pipe.fd.get();
        let mut received = pipe::read(fd, &mut scratch);
        if received.as_ref().is_err_and(|err| err.kind() == ErrorKind::Unsupported) {
            let room: &mut [u8] = &mut scratch;
            received = py.detach(|| pipe::read_waiting(fd, room));
        }
        let outcome = match &received {
            Ok(count) if *count > 0 => Self::received(this, py, &scratch[..*count]),
            _ => Ok(None),
        };
        event_loop.sockets.put_scratch(scratch);
        match (received, outcome) {
            (Ok(0), _) => this.pipe.attached.run(py, Cause::Reading, || Self::ended(this, py)),
            (Err(err), _) if err.kind() == ErrorKind::WouldBlock => Ok(()),
            (Err(err), _) => {
                let err = PyOSError::new_err_from_io(err);
                this.pipe.attached.run(py, Cause::Reading, || {
                    Self::fatal_error(this, py, err, "Fatal read error on pipe transport")
                })
            }
            (Ok(_), Ok(None)) => Ok(()),
            (Ok(_), Ok(Some(data))) => {
                let Some(protocol) = this.pipe.attached.protocol() else { return Ok(()) };
                let passed = this.pipe.attached.run(py, Cause::Reading, || {
                    protocol.bind(py).call_method1(intern!(py, "data_received"), (data,)).map(drop)
                });
                this.pipe.attached.report_named(py, this, "_read_ready()", passed)
            }
            (Ok(_), Err(err)) => this.pipe.attached.report_named(py, this, "_read_ready()", Err(err)),
        }
    }

    /// Feeds a stream reader of ours; for any other protocol, hands out the bytes that it is to be called with.
    fn received(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<Option<Obj>> {
        let kind = this.kind.borrow().clone();
        let fed = match &kind {
            ProtocolKind::Reader(fed) => StreamReaderProtocol::feed(fed, py, data)?,
            ProtocolKind::Plain => match (this.feed.get(), this.pipe.attached.protocol()) {
                (Some(feed), Some(protocol)) => feed(&protocol, py, data)?,
                _ => false,
            },
            _ => false,
        };
        Ok((!fed).then(|| PyBytes::new(py, data).into_any().into()))
    }

    /// The other side has closed the pipe.
    fn ended(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.pipe.attached.log(py, MODULE, Level::Info, "%r was closed by peer", this)?;
        this.pipe.closing.set(true);
        Self::unwatch(this);
        this.pipe.attached.call_soon(py, "eof_received", this, None, |py, held, _| {
            let Some(this) = held[0].cast::<Self>() else { return Ok(()) };
            let Some(protocol) = this.pipe.attached.protocol() else { return Ok(()) };
            let told = protocol.bind(py).call_method0(intern!(py, "eof_received")).map(drop);
            this.pipe.attached.report_named(py, this, "eof_received()", told)
        })?;
        Self::lose_soon(this, py, None)
    }

    fn close_with(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.pipe.closing.set(true);
        Self::unwatch(this);
        Self::lose_soon(this, py, exc)
    }

    /// `close()`.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(crate) fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.pipe.closing.get() { Ok(()) } else { Self::close_with(this, py, None) }
    }

    fn fatal_error(this: &Obj<Self>, py: Python<'_>, err: PyErr, message: &str) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        let gone = exc.bind(py).is_instance_of::<PyOSError>()
            && exc.bind(py).getattr(intern!(py, "errno"))?.extract::<Option<i32>>()? == Some(EIO);
        if gone {
            this.pipe.attached.log_error(py, MODULE, this, message, &exc)?;
        } else {
            this.pipe.attached.report(py, this, message, ferrio_object::raise(py, &exc))?;
        }
        Self::close_with(this, py, Some(exc))
    }

    fn pause_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.is_reading() {
            return Ok(());
        }
        this.paused.set(true);
        Self::unwatch(this);
        this.pipe.attached.log(py, MODULE, Level::Debug, "%r pauses reading", this)
    }

    fn resume_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.pipe.closing.get() || !this.paused.get() {
            return Ok(());
        }
        this.paused.set(false);
        this.pipe.attached.copy_context(py, Cause::Reading)?;
        Self::watch(this, py)?;
        this.pipe.attached.log(py, MODULE, Level::Debug, "%r resumes reading", this)
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut info = Self::shown(this, py)?;
        let open = this.pipe.file.is_some();
        let state = match (open, this.pipe.attached.is_loop_open(), this.watched.get()) {
            (false, _, _) => "closed",
            (true, false, _) => "open",
            (true, true, true) => "polling",
            (true, true, false) => "idle",
        };
        info.push(state.to_owned());
        Ok(format!("<{}>", info.join(" ")))
    }
}

impl Class for ReadPipe {
    type Base = Any;
    ferrio_object::fields!(ReadPipe { pipe, kind, watched, paused, feed });
    const NAME: &'static str = "ferrio._ferrio._ReadPipeTransport";
    const DOC: &'static str = "The native part of a transport that reads from a pipe.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        ReadPipe {
            pipe: Pipe::default(),
            kind: RefCell::default(),
            watched: Cell::new(false),
            paused: Cell::new(false),
            feed: Cell::new(None),
        }
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Err(err) = Self::del(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        Self::define_pipe(class);
        class
            .repr(Self::repr)
            .method0(
                "is_reading",
                |this: &Obj<Self>, _py: Python<'_>| this.is_reading(),
                "is_reading($self, /)\n--\n\nWhether data would be passed on now (since 3.7).",
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
            .getter("_paused", |this: &Obj<Self>, _py: Python<'_>| this.paused.get(), "")
            .getter("max_size", |_this: &Obj<Self>, _py: Python<'_>| crate::event_loop::SCRATCH_LEN, "");
    }
}
