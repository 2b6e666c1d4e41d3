//! The transport that writes to a pipe, a terminal or a socket that is only written.
//!
//! What the other side takes is written at once, the rest when it takes more. That the reading end of a pipe was
//! closed is seen by watching the writing end as if it were to be read; a terminal cannot be watched like that.

use std::cell::{Cell, OnceCell, RefCell};
use std::io::{self, IoSlice};

use ferrio_core::driver::{Interest, pipe, socket};
use ferrio_core::write_queue::{FlowControl, WriteQueue};
use ferrio_object::{Any, BufferPlace, Class, ClassBuilder, GilStatic, Obj, Signature};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use super::attached::{Attached, Cause};
use super::chunk::{Chunk, Data};
use super::flow::Flow;
use super::pipe::{MODULE, OverPipe, Pipe, kept_class};
use crate::event_loop::watches;
use crate::exceptions::{self, FromIo};
use crate::log::{self, Level};

/// Slices for one vectored write; more of them go out with the next.
const SLICES: usize = 64;
/// asyncio's `constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_AFTER: u32 = 5;

/// The contents of a transport that writes to a pipe.
pub struct WritePipe {
    pipe: Pipe,
    queue: RefCell<WriteQueue<Chunk>>,
    flow: Cell<FlowControl>,
    /// What of the descriptor is watched: readable for the end of the other side, writable for room.
    watched: Cell<Interest>,
    /// asyncio's `_conn_lost`: counts writes that came too late.
    conn_lost: Cell<u32>,
    /// `connection_lost()` is on its way, or was called.
    losing: Cell<bool>,
}

impl Flow for WritePipe {
    fn attached(&self) -> &Attached {
        &self.pipe.attached
    }

    fn flow(&self) -> &Cell<FlowControl> {
        &self.flow
    }

    fn pending(&self) -> usize {
        self.queue.borrow().len()
    }
}

impl OverPipe for WritePipe {
    const PYTHON_NAME: &'static str = "_UnixWritePipeTransport";
    const REFUSAL: &'static str = "Pipe transport is only for pipes, sockets and character devices";

    fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    fn python_class(py: Python<'_>) -> PyResult<&Obj> {
        static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
        kept_class(py, &CLASS, Self::PYTHON_NAME)
    }

    fn set_protocol(this: &Obj<Self>, _py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        this.pipe.attached.set_protocol(protocol);
        Ok(())
    }

    /// Watches for the end of the other side.
    fn start(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let terminal = socket::is_char_device(this.pipe.fd.get()).unwrap_or(true);
        // The protocol may have closed the transport again; nothing may be watched after that.
        if this.losing.get() || terminal { Ok(()) } else { Self::watch(this, py, Interest::READABLE) }
    }
}

impl WritePipe {
    fn watch(this: &Obj<Self>, py: Python<'_>, side: Interest) -> PyResult<()> {
        let Some(event_loop) = this.pipe.attached.event_loop() else { return Ok(()) };
        this.watched.set(this.watched.get().with(side));
        watches::watch_transport(&event_loop, py, this.pipe.fd.get(), side, this.clone())
    }

    fn unwatch(this: &Obj<Self>, sides: &[Interest]) {
        let Some(event_loop) = this.pipe.attached.event_loop() else { return };
        for side in sides {
            let left = this.watched.get().without(*side);
            if left != this.watched.replace(left) {
                watches::unwatch_transport(&event_loop, this.pipe.fd.get(), *side, this.as_any());
            }
        }
    }

    /// Serves an event.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>, side: Interest) -> PyResult<()> {
        if side.is_readable() && this.watched.get().is_readable() {
            this.pipe.attached.run(py, Cause::Reading, || Self::other_side_closed(this, py))
        } else if side.is_writable() && this.watched.get().is_writable() {
            let outcome = this.pipe.attached.run(py, Cause::Writing, || Self::write_ready(this, py));
            this.pipe.attached.report_named(py, this, "_write_ready()", outcome)
        } else {
            Ok(())
        }
    }

    fn other_side_closed(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.pipe.attached.log(py, MODULE, Level::Info, "%r was closed by peer", this)?;
        let broken = (!this.queue.borrow().is_empty())
            .then(|| exceptions::value_of(py, PyBrokenPipeError::new_err(())));
        Self::close_with(this, py, broken)
    }

    fn write(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        // What asyncio asserts is an AssertionError for programs too.
        let mut place = BufferPlace::new();
        let data = match Data::new(&mut place, py, data) {
            Err(err) if err.is_instance_of::<PyTypeError>(py) => {
                return Err(PyAssertionError::new_err(err.value(py).str()?.to_string()));
            }
            data => data?,
        };
        let len = data.len();
        if len == 0 {
            return Ok(());
        }
        if this.conn_lost.get() > 0 || this.pipe.closing.get() {
            return Self::write_too_late(this, py);
        }
        if let Some(event_loop) = this.pipe.attached.event_loop() {
            event_loop.expect_io();
        }
        let mut sent = 0;
        if this.queue.borrow().is_empty() {
            let fd = this.pipe.fd.get();
            match data.with(py, |bytes| pipe::write(fd, bytes)) {
                Ok(count) if count == len => return Ok(()),
                Ok(count) => sent = count,
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                // Only from a copy can it be written while others run: the event says when.
                Err(err) if err.kind() == io::ErrorKind::Unsupported => {}
                Err(err) => return Self::write_failed(this, py, err),
            }
            this.pipe.attached.copy_context(py, Cause::Writing)?;
            Self::watch(this, py, Interest::WRITABLE)?;
        }
        let (rest, buffer) = data.into_rest(py, sent);
        this.queue.borrow_mut().push(rest);
        let outcome = Self::pause_protocol(this, py);
        // To release it may run Python code, which may write to us: all is in its place.
        drop(buffer);
        outcome
    }

    #[cold]
    fn write_too_late(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() >= WARN_AFTER {
            let message = "pipe closed by peer or os.write(pipe, data) raised exception.";
            log::write(py, MODULE, Level::Warning, (message,))?;
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
                pipe::write_vectored(this.pipe.fd.get(), &slices[..filled]).map(|written| (written, offered))
            };
            let written = match written {
                Err(err) if err.kind() == io::ErrorKind::Unsupported => this.write_waiting(py),
                written => written,
            };
            match written {
                Ok((written, offered)) => {
                    let mut queue = this.queue.borrow_mut();
                    // Another thread may have aborted while we were detached.
                    let written = written.min(queue.len());
                    // The chunks are plain bytes: dropping them runs no Python code.
                    queue.advance(written);
                    if written < offered {
                        break;
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) => return Self::write_failed(this, py, err),
            }
        }
        Self::resume_protocol(this, py)?;
        if !this.queue.borrow().is_empty() || this.losing.get() {
            return Ok(());
        }
        Self::unwatch(this, &[Interest::WRITABLE]);
        if this.pipe.closing.get() {
            Self::unwatch(this, &[Interest::READABLE]);
            this.losing.set(true);
            return Self::connection_lost(this, py, None);
        }
        Ok(())
    }

    /// Writes the front of the queue to a file that may make us wait, from a copy: others may change the queue meanwhile.
    /// How much was written, of how much.
    #[cold]
    fn write_waiting(&self, py: Python<'_>) -> io::Result<(usize, usize)> {
        let fd = self.pipe.fd.get();
        let data: Vec<u8> = self.queue.borrow().iter().flatten().take(pipe::WRITE_MAX).copied().collect();
        let written = py.detach(|| pipe::write_waiting(fd, &data))?;
        Ok((written, data.len()))
    }

    #[cold]
    fn write_failed(this: &Obj<Self>, py: Python<'_>, err: io::Error) -> PyResult<()> {
        this.conn_lost.set(this.conn_lost.get() + 1);
        let exc = exceptions::value_of(py, PyOSError::new_err_from_io(err));
        this.pipe.attached.log_error(py, MODULE, this, "Fatal write error on pipe transport", &exc)?;
        Self::close_with(this, py, Some(exc))
    }

    fn close_with(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.pipe.closing.set(true);
        this.queue.borrow_mut().clear();
        Self::unwatch(this, &[Interest::READABLE, Interest::WRITABLE]);
        Self::lose(this, py, exc)
    }

    fn lose(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        if this.losing.get() {
            return Ok(());
        }
        Self::lose_soon(this, py, exc)?;
        this.losing.set(true);
        Ok(())
    }

    /// `close()` and `write_eof()`: for a pipe, the end of what is written is its end.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed.
    pub(crate) fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.pipe.closing.replace(true) || this.pipe.file.is_none() || !this.queue.borrow().is_empty() {
            return Ok(());
        }
        Self::unwatch(this, &[Interest::READABLE]);
        Self::lose(this, py, None)
    }

    fn abort(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.pipe.file.is_none() { Ok(()) } else { Self::close_with(this, py, None) }
    }

    fn buffer(this: &Obj<Self>, py: Python<'_>) -> Obj {
        let bytes: Vec<u8> = this.queue.borrow().iter().flatten().copied().collect();
        PyByteArray::new(py, &bytes).into_any().into()
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut info = Self::shown(this, py)?;
        let open = this.pipe.file.is_some();
        if open && this.pipe.attached.is_loop_open() {
            info.push(if this.watched.get().is_writable() { "polling" } else { "idle" }.to_owned());
            info.push(format!("bufsize={}", this.pending()));
        } else {
            info.push(if open { "open" } else { "closed" }.to_owned());
        }
        Ok(format!("<{}>", info.join(" ")))
    }
}

impl Class for WritePipe {
    type Base = Any;
    ferrio_object::fields!(WritePipe { pipe, queue: unowned, flow, watched, conn_lost, losing });
    const NAME: &'static str = "ferrio._ferrio._WritePipeTransport";
    const DOC: &'static str = "The native part of a transport that writes to a pipe.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        WritePipe {
            pipe: Pipe::default(),
            queue: RefCell::new(WriteQueue::new()),
            flow: Cell::new(FlowControl::default()),
            watched: Cell::new(Interest::NONE),
            conn_lost: Cell::new(0),
            losing: Cell::new(false),
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
            .method1_named(
                "write",
                Self::write,
                || Signature::new("write", ["data"]),
                "write($self, /, data)\n--\n\n\
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
            .getter("_conn_lost", |this: &Obj<Self>, _py: Python<'_>| this.conn_lost.get(), "")
            .getter("_buffer", Self::buffer, "");
        Self::define_flow(class);
    }
}
