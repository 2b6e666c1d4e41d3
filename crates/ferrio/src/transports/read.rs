//! Receiving: from the socket to the protocol.
//!
//! One `recv` per event: what is left is reported again, after the other connections have had their turn. (To read on
//! until nothing is left was measured to cost more per byte.) A connection that brings little at a time is
//! registered for changes only, until a read fills its buffer or anything else than data comes.
//!
//! The loop's scratch buffer takes what comes, and `data_received()` gets a `bytes` of exactly that size; a buffer of the
//! full size for every read (asyncio's way) costs more than the read. While much comes at a time it is the other way
//! round: then the kernel writes into the `bytes` itself, which is cut to size, and a stream reader keeps that instead
//! of a copy.

use std::io;

use ferrio_core::driver::{Interest, socket};
use ferrio_object::{BufferPlace, ClassBuilder, Obj, PlacedBuffer, bytes_of, new_bytes};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use super::protocol::ProtocolKind;
use super::stream::StreamTransport;
use crate::exceptions::{self, FromIo};
use crate::streams::StreamReaderProtocol;

/// Bytes in one read from which on the next is expected to bring as many.
const BULK: usize = 16 * 1024;
/// Room for a read in bulk, in bytes. glibc maps an allocation of 128 KiB or more anew each time until one is freed at its
/// full size, and these are cut to what came.
const BULK_ROOMS: [usize; 3] = [64 * 1024, 112 * 1024, 256 * 1024];

/// What became of a read into a `BufferedProtocol`'s buffer.
enum Filled {
    /// There is room left in it, or nothing was read.
    Part,
    /// All of it; there may be more to read.
    Whole,
    /// The peer will send nothing more.
    End,
    Failed(io::Error),
    /// A method of the protocol's failed.
    Broken(&'static str, PyErr),
    /// What the protocol gave cannot be written to.
    Refused(PyErr),
}

/// Where the next read goes.
#[derive(Clone, Copy, Default)]
pub(super) struct Room {
    /// Bytes to make room for; none if the loop's buffer takes it.
    len: usize,
    /// The last read in bulk brought little.
    short: bool,
}

impl Room {
    /// The room for the read after one that brought `count` bytes. In bulk it is more than came: a read that fills its
    /// buffer leaves it open whether there is more. One short read, such as the end of a message, does not end the
    /// bulk: with 64 peers that send without a pause a tenth of the reads are short, and the one after each would be
    /// copied.
    #[inline]
    fn after(self, count: usize) -> Self {
        if count >= BULK {
            let [.., most] = BULK_ROOMS;
            return Self {
                len: BULK_ROOMS.into_iter().find(|room| count < *room).unwrap_or(most),
                short: false,
            };
        }
        if self.short { Self::default() } else { Self { short: self.len > 0, ..self } }
    }
}

impl StreamTransport {
    #[inline]
    pub(super) fn read_ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() > 0 {
            return Ok(());
        }
        let kind = this.kind.borrow().clone();
        match kind {
            ProtocolKind::Buffered => Self::read_into_buffer(this, py),
            ProtocolKind::Plain | ProtocolKind::Reader(_) => Self::read_data(this, py, &kind),
            ProtocolKind::None => Ok(()),
        }
    }

    #[inline]
    fn read_data(this: &Obj<Self>, py: Python<'_>, kind: &ProtocolKind) -> PyResult<()> {
        let (Some(event_loop), Some(protocol)) = (this.event_loop.get(), this.protocol.get()) else {
            return Ok(());
        };
        if this.room.get().len > 0 {
            return Self::read_bulk(this, py, kind, &protocol);
        }
        let mut scratch = event_loop.sockets.take_scratch();
        let received = socket::recv(this.live_fd(py), &mut scratch);
        let outcome = match received {
            Ok(0) => {
                event_loop.sockets.put_scratch(scratch);
                return Self::read_eof(this, py);
            }
            Ok(count) => {
                this.room.set(this.room.get().after(count));
                let full = if count == scratch.len() { Self::report_rest(this) } else { Ok(()) };
                let fed = match kind {
                    ProtocolKind::Reader(fed) => StreamReaderProtocol::feed(fed, py, &scratch[..count]),
                    _ => Ok(false),
                };
                let data =
                    matches!(fed, Ok(false)).then(|| event_loop.sockets.spare.bytes(py, &scratch[..count]));
                event_loop.sockets.put_scratch(scratch);
                let outcome = match data {
                    None => fed.map(drop),
                    Some(Ok(data)) => this.data_received(py, &protocol, data.bind(py)),
                    Some(Err(err)) => {
                        return Self::fatal_error(this, py, err, "Fatal read error on socket transport");
                    }
                };
                outcome.and(full)
            }
            Err(err) => {
                event_loop.sockets.put_scratch(scratch);
                return Self::read_failed(this, py, err);
            }
        };
        Self::data_taken(this, py, outcome)
    }

    /// Receives into a `bytes` object of its own.
    fn read_bulk(this: &Obj<Self>, py: Python<'_>, kind: &ProtocolKind, protocol: &Obj) -> PyResult<()> {
        let room = this.room.get();
        let data = match new_bytes(py, room.len, |room| socket::recv_into_uninit(this.live_fd(py), room))? {
            Ok(data) => data,
            Err(err) => return Self::read_failed(this, py, err),
        };
        let count = bytes_of(&data).map_or(0, <[u8]>::len);
        if count == 0 {
            return Self::read_eof(this, py);
        }
        this.room.set(room.after(count));
        let full = if count == room.len { Self::report_rest(this) } else { Ok(()) };
        let fed = match kind {
            ProtocolKind::Reader(fed) => Self::feed_next(this, py, fed, &data),
            _ => Ok(false),
        };
        let outcome = match fed {
            Ok(false) => this.data_received(py, protocol, data.bind(py)),
            fed => fed.map(drop),
        };
        Self::data_taken(this, py, outcome.and(full))
    }

    /// Feeds a stream reader, and has the task that it wakes run next: before the other connections are read from, as
    /// if the poll had reported this one alone. Much from each of many would be out of the processor's cache, and
    /// in memory all at once, by the time the first of it is looked at.
    fn feed_next(
        this: &Obj<Self>,
        py: Python<'_>,
        reader: &Obj<StreamReaderProtocol>,
        data: &Obj,
    ) -> PyResult<bool> {
        let Some(event_loop) = this.event_loop.get() else { return Ok(false) };
        let before = event_loop.ready.borrow().len();
        let fed = StreamReaderProtocol::feed_whole(reader, py, data);
        let mut ready = event_loop.ready.borrow_mut();
        if ready.len() == before + 1 {
            ready.newest_first();
        }
        fed
    }

    #[inline]
    fn data_received(&self, py: Python<'_>, protocol: &Obj, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.in_context(py, || {
            protocol.bind(py).call_method1(intern!(py, "data_received"), (data,)).map(drop)
        })
    }

    #[inline]
    fn data_taken(this: &Obj<Self>, py: Python<'_>, outcome: PyResult<()>) -> PyResult<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(err) => {
                Self::protocol_failed(this, py, err, "Fatal error: protocol.data_received() call failed.")
            }
        }
    }

    /// Receives into the protocol's buffer.
    fn read_into_buffer(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        match this.in_context(py, || Ok(Self::fill_buffer(this, py)))? {
            Filled::Part => Ok(()),
            Filled::Whole => Self::report_rest(this),
            Filled::End => Self::read_eof(this, py),
            Filled::Failed(err) => Self::read_failed(this, py, err),
            Filled::Broken(method, err) => {
                let message = format!("Fatal error: protocol.{method}() call failed.");
                Self::protocol_failed(this, py, err, &message)
            }
            Filled::Refused(err) => Self::fatal_error(this, py, err, "Fatal read error on socket transport"),
        }
    }

    /// One read into the protocol's buffer, in the transport's context.
    fn fill_buffer(this: &Obj<Self>, py: Python<'_>) -> Filled {
        let Some(protocol) = this.protocol.get() else { return Filled::Part };
        let protocol = protocol.bind(py);
        let buffer = protocol.call_method1(intern!(py, "get_buffer"), (-1,)).and_then(|buffer| {
            if buffer.len()? == 0 {
                return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
            }
            Ok(buffer)
        });
        let buffer = match buffer {
            Ok(buffer) => buffer,
            Err(err) => return Filled::Broken("get_buffer", err),
        };
        let mut place = BufferPlace::new();
        let buffer = match PlacedBuffer::get_in(&mut place, py, &(&buffer).into(), true) {
            Ok(buffer) => buffer,
            Err(err) => {
                // asyncio has the socket find out.
                ferrio_object::swallow(py, err);
                let class = buffer.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
                return Filled::Refused(PyTypeError::new_err(format!(
                    "recv_into() argument 1 must be read-write bytes-like object, not {class}"
                )));
            }
        };
        // get_buffer() is the protocol's code: it may have closed the transport.
        if this.conn_lost.get() > 0 {
            return Filled::Part;
        }
        let room = buffer.len();
        let received = socket::recv_into_cells(this.live_fd(py), buffer.cells(py));
        // Let go of before the protocol is told: a bytearray cannot be resized while it is exported.
        drop(buffer);
        let count = match received {
            Ok(0) => return Filled::End,
            Ok(count) => count,
            Err(err) => return Filled::Failed(err),
        };
        match protocol.call_method1(intern!(py, "buffer_updated"), (count,)) {
            Err(err) => Filled::Broken("buffer_updated", err),
            Ok(_) if count == room => Filled::Whole,
            Ok(_) => Filled::Part,
        }
    }

    #[cold]
    fn read_failed(this: &Obj<Self>, py: Python<'_>, err: io::Error) -> PyResult<()> {
        if err.kind() == io::ErrorKind::WouldBlock {
            return Ok(());
        }
        Self::fatal_error(this, py, PyOSError::new_err_from_io(err), "Fatal read error on socket transport")
    }

    /// An error of the protocol's own ends the connection.
    #[cold]
    pub(super) fn protocol_failed(
        this: &Obj<Self>,
        py: Python<'_>,
        err: PyErr,
        message: &str,
    ) -> PyResult<()> {
        if exceptions::is_exit(py, &err) {
            return Err(err);
        }
        Self::fatal_error(this, py, err, message)
    }

    /// The peer will send nothing more.
    #[cold]
    fn read_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::log_debug(this, py, "%r received EOF")?;
        let Some(protocol) = this.protocol.get() else { return Ok(()) };
        let keep_open =
            this.in_context(py, || protocol.bind(py).call_method0(intern!(py, "eof_received"))?.is_truthy());
        match keep_open {
            // Open for writing; there is nothing left to read, and the driver would report it for ever.
            Ok(true) => Self::want(this, this.interest.get().without(Interest::READABLE)),
            Ok(false) => Self::close(this, py),
            Err(err) => {
                Self::protocol_failed(this, py, err, "Fatal error: protocol.eof_received() call failed.")
            }
        }
    }

    pub(crate) fn pause_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !Self::is_reading(this, py) {
            return Ok(());
        }
        this.paused.set(true);
        Self::want(this, this.interest.get().without(Interest::READABLE))?;
        Self::log_debug(this, py, "%r pauses reading")
    }

    pub(crate) fn resume_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() || !this.paused.get() {
            return Ok(());
        }
        this.paused.set(false);
        Self::want(this, this.interest.get().with(Interest::READABLE))?;
        Self::log_debug(this, py, "%r resumes reading")
    }

    /// A line for the log, in debug mode.
    pub(super) fn log_debug(this: &Obj<Self>, py: Python<'_>, message: &str) -> PyResult<()> {
        if !this.event_loop.get().is_some_and(|event_loop| event_loop.debug.get()) {
            return Ok(());
        }
        let logger = py.import("ferrio.selector_events")?.getattr(intern!(py, "logger"))?;
        logger.call_method1(intern!(py, "debug"), (message, this)).map(drop)
    }

    pub(super) fn define_read(class: &mut ClassBuilder<Self>) {
        class
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
            );
    }
}
