//! Sending: `write()` queues, and the end of the turn sends what is queued with one syscall.
//!
//! A protocol that writes a head and a body, or answers ten pipelined requests, makes one segment of it. Only who
//! alone has something to do, and has written once each time for a while, has it sent at once. What is more
//! than a segment's worth is sent at once, like everything that is written while the loop does not run in this
//! thread: nobody would flush it. Who writes much again after that, in the same turn or when it is resumed, is pouring
//! out more than it has: this is gathered, and goes out a few blocks at a time. asyncio sends at once whatever it can, so
//! its promises are kept where they can be seen: `pause_writing()` is called for bytes that the kernel did not take, never
//! for bytes that were not offered.

use std::io::{self, IoSlice};

use ferrio_core::driver::{Interest, socket};
use ferrio_core::write_queue::{FlowControl, WaterMarks};
use ferrio_object::{Args, BufferPlace, ClassBuilder, Erased, Obj, Signature, ThreadState};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use super::chunk::{Chunk, Data};
use super::stream::StreamTransport;
use crate::exceptions::{self, FromIo};
use crate::future;

/// Bytes up to which a queue waits for the end of the turn.
const FLUSH_AT: usize = 32 * 1024;
/// Bytes that are gathered for one vectored send. With blocks of 64 KiB, 512 KiB took a tenth less than 256 (from one
/// sender; from 64 no more and no less), which took less than 64.
const GATHER: usize = 512 * 1024;
/// Slices for one vectored send; more of them go out with the next.
const SLICES: usize = 64;
/// Times that a queue is sent which its protocol has filled again when it was resumed.
const ROUNDS: u32 = 8;
/// asyncio's `constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_AFTER: u32 = 5;

/// Polls in a row after which a transport's only write went out, from which on the next is taken for the only one too.
const LONE: u8 = 8;

/// How a transport writes when a poll brings one event and no more. Mostly it is one write, and then there is nothing to
/// wait for: to send it at once saves the queue, and for other data than `bytes` a copy. With one busy connection that is
/// 1 to 3 % of the CPU of an answer. With 64 it costs 4 % to send each answer when it is written, instead of one
/// after the other at the end of the turn.
#[derive(Clone, Copy, Default)]
pub(super) struct Habit {
    /// How many times in a row it was one write, up to [`LONE`].
    lone: u8,
    /// The last poll after which a write was sent for that reason.
    sent_after: u32,
}

/// What became of the queue.
enum Sent {
    All,
    /// The kernel took no more.
    Some,
    Failed(io::Error),
}

impl StreamTransport {
    /// `write(data)`.
    ///
    /// # Errors
    /// `TypeError` for what is not bytes-like, `RuntimeError` after `write_eof()` or during `sendfile()`.
    pub(crate) fn write(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut place = BufferPlace::new();
        let data = Data::new(&mut place, py, data)?;
        if this.eof.get() {
            return Err(PyRuntimeError::new_err("Cannot call write() after write_eof()"));
        }
        if this.empty_waiter.is_some() {
            return Err(PyRuntimeError::new_err("unable to write; sendfile is in progress"));
        }
        let len = data.len();
        if len == 0 {
            return Ok(());
        }
        if this.conn_lost.get() > 0 {
            return Self::write_to_lost(this, py);
        }
        let pending = this.queue.borrow().len();
        if pending + len <= this.flush_at() {
            if pending == 0 && this.is_lone_write() {
                return Self::send_first(this, py, data, len).map(drop);
            }
            this.queue.borrow_mut().push(data.into_chunk(py));
            return if Self::flush_later(this) { Ok(()) } else { Self::flush_and_pause(this, py) };
        }
        if this.gathering.get() && data.is_shared() {
            this.queue.borrow_mut().push(data.into_chunk(py));
            return if pending + len < this.gather_at() { Ok(()) } else { Self::send_gathered(this, py) };
        }
        // A large buffer that must be copied is offered to the kernel first: mostly nothing is left to copy.
        if pending == 0 && !this.interest.get().is_writable() {
            if Self::send_first(this, py, data, len)? {
                this.gathering.set(Self::flush_later(this));
            }
            return Ok(());
        }
        this.queue.borrow_mut().push(data.into_chunk(py));
        Self::flush_and_pause(this, py)
    }

    /// Whether this write, to an empty queue, is likely the only one before the next poll.
    #[inline]
    fn is_lone_write(&self) -> bool {
        let habit = self.habit.get();
        if habit.lone < LONE || self.interest.get().is_writable() {
            return false;
        }
        let Some(poll) = self.event_loop.get().and_then(|event_loop| event_loop.quiet_poll()) else {
            return false;
        };
        if habit.sent_after == poll {
            // The write before was not the only one.
            self.habit.set(Habit { lone: 0, ..habit });
            return false;
        }
        self.habit.set(Habit { sent_after: poll, ..habit });
        true
    }

    /// Offers the kernel what finds an empty queue, and queues what it does not take. Whether it took all.
    #[inline]
    fn send_first(this: &Obj<Self>, py: Python<'_>, data: Data<'_>, len: usize) -> PyResult<bool> {
        let fd = this.live_fd(py);
        let sent = match data.with(py, |bytes| socket::send(fd, bytes)) {
            Ok(count) if count == len => return Ok(true),
            Ok(count) => count,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => 0,
            Err(err) => {
                // The exception handler is told, whose the buffer may be.
                drop(data);
                return Self::write_failed(this, py, err).map(|()| false);
            }
        };
        data.queue_rest(py, &mut this.queue.borrow_mut(), sent);
        Self::wait_for_kernel(this, py).map(|()| false)
    }

    /// Bytes from which on what is gathered goes out. Any mark but the one that asyncio begins with is kept to the byte.
    fn gather_at(&self) -> usize {
        match self.flow.get().marks().high() {
            WaterMarks::DEFAULT_HIGH => GATHER,
            high => GATHER.min(high),
        }
    }

    /// Sends what is gathered, to a kernel that has taken everything so far.
    fn send_gathered(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        match this.send_pending(py) {
            Sent::All => Ok(()),
            Sent::Some => {
                this.gathering.set(false);
                Self::wait_for_kernel(this, py)
            }
            Sent::Failed(err) => Self::write_failed(this, py, err),
        }
    }

    /// The kernel takes no more now: it will be asked again when it does, and the protocol is to pause if this is much.
    fn wait_for_kernel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::want(this, this.interest.get().with(Interest::WRITABLE))?;
        Self::pause_protocol(this, py)
    }

    /// `writelines(list_of_data)`.
    ///
    /// # Errors
    /// As [`Self::write`]; also what iterating raises.
    pub(crate) fn writelines(this: &Obj<Self>, py: Python<'_>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        if this.eof.get() {
            return Err(PyRuntimeError::new_err("Cannot call writelines() after write_eof()"));
        }
        if this.empty_waiter.is_some() {
            return Err(PyRuntimeError::new_err("unable to writelines; sendfile is in progress"));
        }
        if !lines.is_truthy()? {
            // Whatever it is, as in asyncio since 3.12.
            return Ok(());
        }
        let mut chunks: Vec<Chunk> = Vec::new();
        for line in lines.try_iter()? {
            let mut place = BufferPlace::new();
            let data = Data::of_buffer(&mut place, py, &line?)?;
            if data.len() > 0 {
                chunks.push(data.into_chunk(py));
            }
        }
        if chunks.is_empty() {
            return Ok(());
        }
        if this.conn_lost.get() > 0 {
            return Self::write_to_lost(this, py);
        }
        let pending = {
            let mut queue = this.queue.borrow_mut();
            for chunk in chunks {
                queue.push(chunk);
            }
            queue.len()
        };
        if pending <= this.flush_at() && Self::flush_later(this) {
            return Ok(());
        }
        Self::flush_and_pause(this, py)
    }

    /// Bytes up to which the queue may wait: never above the mark at which the protocol would be paused.
    #[inline]
    fn flush_at(&self) -> usize {
        FLUSH_AT.min(self.flow.get().marks().high())
    }

    /// Leaves the queue to the end of the turn, or to the driver if the kernel takes nothing now. False if nobody
    /// would flush it, since the loop does not run in this thread.
    #[inline]
    fn flush_later(this: &Obj<Self>) -> bool {
        if this.dirty.get() || this.interest.get().is_writable() {
            return true;
        }
        let Some(event_loop) = this.event_loop.get() else { return true };
        if event_loop.thread_id.get() != ThreadState::ident() {
            return false;
        }
        this.dirty.set(true);
        event_loop.dirty.borrow_mut().push(Erased::new(this.clone()));
        true
    }

    fn flush_and_pause(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::flush_now(this, py)?;
        Self::pause_protocol(this, py)
    }

    fn write_to_lost(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() >= WARN_AFTER {
            let logger =
                crate::library::module(py, "ferrio.selector_events")?.getattr(intern!(py, "logger"))?;
            logger.call_method1(intern!(py, "warning"), ("socket.send() raised exception.",))?;
        }
        this.conn_lost.set(this.conn_lost.get() + 1);
        Ok(())
    }

    /// Tells the protocol to pause if too much is queued.
    pub(super) fn pause_protocol(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let mut flow = this.flow.get();
        let pause = flow.after_push(this.queue.borrow().len());
        this.flow.set(flow);
        match pause {
            Some(_) => Self::tell(this, py, intern!(py, "pause_writing"), false),
            None => Ok(()),
        }
    }

    fn resume_protocol(this: &Obj<Self>, py: Python<'_>, from_loop: bool) -> PyResult<()> {
        let mut flow = this.flow.get();
        let resume = flow.after_drain(this.queue.borrow().len());
        this.flow.set(flow);
        match resume {
            Some(_) => Self::tell(this, py, intern!(py, "resume_writing"), from_loop),
            None => Ok(()),
        }
    }

    /// The end of a turn in which something was written.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn flush(this: &Obj<Self>, py: Python<'_>, quiet_poll: Option<u32>) -> PyResult<()> {
        this.dirty.set(false);
        this.gathering.set(false);
        if this.interest.get().is_writable() || this.queue.borrow().is_empty() {
            return Ok(());
        }
        if let Some(poll) = quiet_poll {
            this.note_habit(poll);
        }
        if this.flow.get().is_paused() || this.closing.get() || this.eof.get() || this.empty_waiter.is_some()
        {
            Self::send_queue(this, py, true)?;
        } else {
            // Nobody waits for the queue to be empty.
            match this.send_pending(py) {
                Sent::All => return Ok(()),
                Sent::Some => Self::want(this, this.interest.get().with(Interest::WRITABLE))?,
                Sent::Failed(err) => return Self::write_failed(this, py, err),
            }
        }
        // Above the mark only now, if the kernel took less than it was offered.
        let mut flow = this.flow.get();
        let pause = flow.after_push(this.queue.borrow().len());
        this.flow.set(flow);
        match pause {
            Some(_) => Self::tell(this, py, intern!(py, "pause_writing"), true),
            None => Ok(()),
        }
    }

    /// Counts a turn's writes, which are about to be sent.
    #[inline]
    fn note_habit(&self, poll: u32) {
        let habit = self.habit.get();
        let lone = self.queue.borrow().chunk_count() == 1 && habit.sent_after != poll;
        self.habit.set(Habit { lone: if lone { (habit.lone + 1).min(LONE) } else { 0 }, ..habit });
    }

    /// Sends what is queued without waiting for the end of the turn.
    pub(super) fn flush_now(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.interest.get().is_writable() || this.queue.borrow().is_empty() {
            return Ok(());
        }
        Self::send_queue(this, py, false)
    }

    /// The kernel takes data again.
    pub(super) fn write_ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() > 0 {
            return Ok(());
        }
        Self::send_queue(this, py, true)
    }

    fn send_queue(this: &Obj<Self>, py: Python<'_>, from_loop: bool) -> PyResult<()> {
        // A protocol that has more to send writes it when it is resumed: it goes out at once, instead of waiting for
        // a poll that would only say that there is room. Not without end, for the sake of the other connections.
        for _ in 0..ROUNDS {
            match this.send_pending(py) {
                Sent::Failed(err) => return Self::write_failed(this, py, err),
                Sent::Some => {
                    Self::want(this, this.interest.get().with(Interest::WRITABLE))?;
                    // The protocol may write again in here.
                    return Self::resume_protocol(this, py, from_loop);
                }
                Sent::All => {
                    let before = this.gathering.replace(true);
                    let resumed = Self::resume_protocol(this, py, from_loop);
                    let refused = !this.gathering.replace(before);
                    resumed?;
                    if refused {
                        // What the protocol has written was offered, and is waited for.
                        this.gathering.set(false);
                        return Ok(());
                    }
                }
            }
            if this.conn_lost.get() > 0 {
                return Ok(());
            }
            if this.queue.borrow().is_empty() {
                return Self::all_sent(this, py, from_loop);
            }
        }
        Self::want(this, this.interest.get().with(Interest::WRITABLE))
    }

    /// The queue is empty.
    fn all_sent(this: &Obj<Self>, py: Python<'_>, from_loop: bool) -> PyResult<()> {
        Self::want(this, this.interest.get().without(Interest::WRITABLE))?;
        if let Some(waiter) = this.empty_waiter.get()
            && !waiter.is_done()
        {
            future::set_result(&waiter, py, Obj::none(py))?;
        }
        if this.closing.get() {
            return Self::sent_after_close(this, py, from_loop);
        }
        if this.eof.get() {
            return Self::shutdown(this, py);
        }
        Ok(())
    }

    /// Offers the queue to the kernel.
    fn send_pending(&self, py: Python<'_>) -> Sent {
        let fd = self.live_fd(py);
        loop {
            let sent = {
                let queue = self.queue.borrow();
                if queue.is_empty() {
                    return Sent::All;
                }
                if queue.chunk_count() == 1 {
                    let bytes = queue.front().unwrap_or_default();
                    socket::send(fd, bytes).map(|sent| (sent, bytes.len()))
                } else {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let filled = queue.slices(&mut slices);
                    let offered = slices[..filled].iter().map(|slice| slice.len()).sum();
                    socket::send_vectored(fd, &slices[..filled]).map(|sent| (sent, offered))
                }
            };
            match sent {
                Ok((sent, offered)) => {
                    // The chunks are plain bytes: dropping them runs no Python code.
                    self.queue.borrow_mut().advance(sent);
                    if sent < offered {
                        return Sent::Some;
                    }
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Sent::Some,
                Err(err) => return Sent::Failed(err),
            }
        }
    }

    #[cold]
    fn write_failed(this: &Obj<Self>, py: Python<'_>, err: io::Error) -> PyResult<()> {
        this.queue.borrow_mut().clear();
        let err = PyOSError::new_err_from_io(err);
        let exc = exceptions::value_of(py, err);
        Self::fatal_error(this, py, ferrio_object::raise(py, &exc), "Fatal write error on socket transport")?;
        if let Some(waiter) = this.empty_waiter.get()
            && !waiter.is_done()
        {
            future::set_raised(&waiter, py, exc)?;
        }
        Ok(())
    }

    fn shutdown(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.sock.shutdown_write(py, this.fd.get())
    }

    fn write_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() || this.eof.get() {
            return Ok(());
        }
        // What is queued goes first; if the kernel takes all of it, `eof` is not yet set and the end is told here.
        Self::flush_now(this, py)?;
        this.eof.set(true);
        if this.closing.get() || !this.queue.borrow().is_empty() {
            return Ok(());
        }
        Self::shutdown(this, py)
    }

    fn set_limits(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> =
            Signature::new("set_write_buffer_limits", ["high", "low"]).required(0);
        let [high, low] = args.bind(&SIGNATURE)?;
        let limit = |arg: Option<&Bound<'_, PyAny>>| {
            arg.filter(|arg| !arg.is_none()).map(PyAnyMethods::extract::<i128>).transpose()
        };
        let marks = WaterMarks::with_default(limit(high)?, limit(low)?, WaterMarks::DEFAULT_HIGH)
            .map_err(|bad| PyValueError::new_err(bad.to_string()))?;
        let mut flow = this.flow.get();
        let pending = this.queue.borrow().len();
        // What has not been offered to the kernel yet must not count.
        let pending = if this.dirty.get() { 0 } else { pending };
        let pause = flow.set_marks(marks, pending);
        this.flow.set(flow);
        match pause {
            Some(_) => Self::tell(this, py, intern!(py, "pause_writing"), false),
            None => Ok(()),
        }
    }

    /// Whether the protocol has been told to pause writing.
    #[inline]
    pub(crate) fn is_write_paused(&self) -> bool {
        FlowControl::is_paused(self.flow.get())
    }

    pub(super) fn define_write(class: &mut ClassBuilder<Self>) {
        class
            .method1(
                "write",
                Self::write,
                "write($self, data, /)\n--\n\n\
                Send bytes; never blocks, and buffers what cannot be sent now.",
            )
            .method1(
                "writelines",
                Self::writelines,
                "writelines($self, list_of_data, /)\n--\n\n\
                Send an iterable of bytes.",
            )
            .method0(
                "write_eof",
                Self::write_eof,
                "write_eof($self, /)\n--\n\n\
                Close the sending side after what is buffered; data can still arrive.",
            )
            .method0(
                "can_write_eof",
                |_this: &Obj<Self>, _py: Python<'_>| true,
                "can_write_eof($self, /)\n--\n\nTrue.",
            )
            .method(
                "set_write_buffer_limits",
                Self::set_limits,
                "set_write_buffer_limits($self, /, high=None, low=None)\n--\n\n\
                 Set the marks, in bytes, at which the protocol is told to pause and to resume writing.\n\n\
                 Raises ValueError unless high >= low >= 0.",
            )
            .method0(
                "get_write_buffer_limits",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    let marks = this.flow.get().marks();
                    Ok((marks.low(), marks.high()).into_pyobject(py)?.into_any().into())
                },
                "get_write_buffer_limits($self, /)\n--\n\nThe marks as (low, high), in bytes (since 3.4.2).",
            )
            .method0(
                "get_write_buffer_size",
                |this: &Obj<Self>, _py: Python<'_>| this.queue.borrow().len(),
                "get_write_buffer_size($self, /)\n--\n\nThe number of bytes that are buffered.",
            )
            .getter("_protocol_paused", |this: &Obj<Self>, _py: Python<'_>| this.is_write_paused(), "")
            .getter("_high_water", |this: &Obj<Self>, _py: Python<'_>| this.flow.get().marks().high(), "")
            .getter("_low_water", |this: &Obj<Self>, _py: Python<'_>| this.flow.get().marks().low(), "");
    }
}
