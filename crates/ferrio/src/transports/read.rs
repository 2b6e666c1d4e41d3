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
use pyo3::types::PyBytes;

use super::attached::Cause;
use super::datagram::MODULE;
use super::protocol::{ProtocolKind, Received, feed_data};
use super::stream::StreamTransport;
use crate::exceptions::{self, FromIo};
use crate::log::Level;
use crate::streams::StreamReaderProtocol;

/// Bytes in one read from which on the next is expected to bring as many.
const BULK: usize = 16 * 1024;
/// Sizes of a buffer for a read in bulk, in bytes. glibc maps an allocation of 128 KiB or more anew each time until one
/// is freed at its full size, and these are cut to what came.
const BULK_SIZES: [usize; 3] = [64 * 1024, 112 * 1024, 256 * 1024];
/// Bytes of one read for TLS of ours. It decrypts them into one allocation, with a record at most that had begun before and
/// one that OpenSSL holds: together less than those 128 KiB.
const NATIVE: usize = 92 * 1024;

const READ_ERROR: &str = "Fatal read error on socket transport";
const DATA_RECEIVED_FAILED: &str = "Fatal error: protocol.data_received() call failed.";

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

/// How large a buffer the next read gets.
#[derive(Clone, Copy, Default)]
pub(super) struct ReadSize {
    /// Bytes in a buffer of its own; 0 if the loop's buffer takes it.
    len: usize,
    /// The last read in bulk brought little.
    short: bool,
}

impl ReadSize {
    /// The size for the read after one that brought `count` bytes. In bulk it is more than came: a read that fills its
    /// buffer leaves it open whether there is more. One short read, such as the end of a message, does not end the
    /// bulk: with 64 peers that send without a pause a tenth of the reads are short, and the one after each would be
    /// copied.
    #[inline]
    fn after(self, count: usize) -> Self {
        if count >= BULK {
            let [.., most] = BULK_SIZES;
            return Self {
                len: BULK_SIZES.into_iter().find(|size| count < *size).unwrap_or(most),
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
            ProtocolKind::Native(protocol, received) => Self::read_native(this, py, &protocol, received),
            ProtocolKind::None => Ok(()),
        }
    }

    #[inline]
    fn read_data(this: &Obj<Self>, py: Python<'_>, kind: &ProtocolKind) -> PyResult<()> {
        let (Some(event_loop), Some(protocol)) = (this.attached.event_loop(), this.attached.protocol())
        else {
            return Ok(());
        };
        if this.read_size.get().len > 0 {
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
                this.read_size.set(this.read_size.get().after(count));
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
                    Some(Ok(data)) => {
                        return Self::data_received(this, py, &protocol, data.bind(py)).and(full);
                    }
                    Some(Err(err)) => return Self::read_broken(this, py, err),
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

    /// Receives into the loop's buffer, from which the protocol takes it.
    fn read_native(this: &Obj<Self>, py: Python<'_>, protocol: &Obj, received: Received) -> PyResult<()> {
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        let mut scratch = event_loop.sockets.take_scratch();
        let room = scratch.len().min(NATIVE);
        let outcome = match socket::recv(this.live_fd(py), &mut scratch[..room]) {
            Ok(0) => Self::read_eof(this, py),
            Ok(count) => {
                let full = if count == room { Self::report_rest(this) } else { Ok(()) };
                // What the protocol calls may receive too, into another buffer: this one is out meanwhile.
                let taken =
                    this.attached.run(py, Cause::Reading, || received(protocol, py, &scratch[..count]));
                match taken {
                    Ok(true) => full,
                    Ok(false) => {
                        let data = PyBytes::new(py, &scratch[..count]);
                        Self::feed_buffered(this, py, protocol, &data).and(full)
                    }
                    Err(err) => this.attached.run(py, Cause::Reading, || {
                        let message = "Fatal error: protocol.buffer_updated() call failed.";
                        Self::protocol_failed(this, py, err, message)
                    }),
                }
            }
            Err(err) => Self::read_failed(this, py, err),
        };
        event_loop.sockets.put_scratch(scratch);
        outcome
    }

    /// Hands data to a `BufferedProtocol` by its methods, some of which a program has replaced.
    #[cold]
    fn feed_buffered(
        this: &Obj<Self>,
        py: Python<'_>,
        protocol: &Obj,
        data: &Bound<'_, PyBytes>,
    ) -> PyResult<()> {
        this.attached.run(py, Cause::Reading, || match feed_data(py, protocol.bind(py), data.as_bytes()) {
            Ok(()) => Ok(()),
            Err(err) => {
                Self::protocol_failed(this, py, err, "Fatal error: protocol.buffer_updated() call failed.")
            }
        })
    }

    /// Receives into a `bytes` object of its own.
    fn read_bulk(this: &Obj<Self>, py: Python<'_>, kind: &ProtocolKind, protocol: &Obj) -> PyResult<()> {
        let size = this.read_size.get();
        let data = match new_bytes(py, size.len, |room| socket::recv_into_uninit(this.live_fd(py), room))? {
            Ok(data) => data,
            Err(err) => return Self::read_failed(this, py, err),
        };
        let count = bytes_of(&data).map_or(0, <[u8]>::len);
        if count == 0 {
            return Self::read_eof(this, py);
        }
        this.read_size.set(size.after(count));
        let full = if count == size.len { Self::report_rest(this) } else { Ok(()) };
        let fed = match kind {
            ProtocolKind::Reader(fed) => Self::feed_next(this, py, fed, &data),
            _ => Ok(false),
        };
        let outcome = match fed {
            Ok(false) => return Self::data_received(this, py, protocol, data.bind(py)).and(full),
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
        let Some(event_loop) = this.attached.event_loop() else { return Ok(false) };
        let before = event_loop.ready.borrow().len();
        let fed = StreamReaderProtocol::feed_whole(reader, py, data);
        let mut ready = event_loop.ready.borrow_mut();
        if ready.len() == before + 1 {
            ready.newest_first();
        }
        fed
    }

    /// Calls the protocol, in the context of reading, in which its errors end the connection too.
    #[inline]
    fn data_received(
        this: &Obj<Self>,
        py: Python<'_>,
        protocol: &Obj,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        this.attached.run(py, Cause::Reading, || {
            match protocol.bind(py).call_method1(intern!(py, "data_received"), (data,)) {
                Ok(_) => Ok(()),
                Err(err) => Self::protocol_failed(this, py, err, DATA_RECEIVED_FAILED),
            }
        })
    }

    /// What became of feeding a reader, which runs no code of the protocol's.
    #[inline]
    fn data_taken(this: &Obj<Self>, py: Python<'_>, outcome: PyResult<()>) -> PyResult<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(err) => this
                .attached
                .run(py, Cause::Reading, || Self::protocol_failed(this, py, err, DATA_RECEIVED_FAILED)),
        }
    }

    /// Receives into the protocol's buffer.
    fn read_into_buffer(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.run(py, Cause::Reading, || match Self::fill_buffer(this, py) {
            Filled::Part => Ok(()),
            Filled::Whole => Self::report_rest(this),
            Filled::End => Self::end_received(this, py),
            Filled::Failed(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Filled::Failed(err) => Self::fatal_error(this, py, PyOSError::new_err_from_io(err), READ_ERROR),
            Filled::Broken(method, err) => {
                let message = format!("Fatal error: protocol.{method}() call failed.");
                Self::protocol_failed(this, py, err, &message)
            }
            Filled::Refused(err) => Self::fatal_error(this, py, err, READ_ERROR),
        })
    }

    /// One read into the protocol's buffer.
    fn fill_buffer(this: &Obj<Self>, py: Python<'_>) -> Filled {
        let Some(protocol) = this.attached.protocol() else { return Filled::Part };
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
        Self::read_broken(this, py, PyOSError::new_err_from_io(err))
    }

    #[cold]
    fn read_broken(this: &Obj<Self>, py: Python<'_>, err: PyErr) -> PyResult<()> {
        this.attached.run(py, Cause::Reading, || Self::fatal_error(this, py, err, READ_ERROR))
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

    #[cold]
    fn read_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.run(py, Cause::Reading, || Self::end_received(this, py))
    }

    /// The peer will send nothing more.
    fn end_received(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.log(py, MODULE, Level::Debug, "%r received EOF", this)?;
        let Some(protocol) = this.attached.protocol() else { return Ok(()) };
        match protocol.bind(py).call_method0(intern!(py, "eof_received")).and_then(|keep| keep.is_truthy()) {
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
        this.attached.log(py, MODULE, Level::Debug, "%r pauses reading", this)
    }

    pub(crate) fn resume_reading(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() || !this.paused.get() {
            return Ok(());
        }
        this.paused.set(false);
        this.attached.copy_context(py, Cause::Reading)?;
        Self::want(this, this.interest.get().with(Interest::READABLE))?;
        this.attached.log(py, MODULE, Level::Debug, "%r resumes reading", this)
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
