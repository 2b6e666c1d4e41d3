//! Sending: `write()` offers its bytes to the kernel at once, and queues what the kernel does not take.
//!
//! When bytes are held back to go out with the next ones of the same step is decided by `ferrio_core::write_timing`; what
//! is held is sent before anybody can ask for it. `pause_writing()` is called for bytes that the kernel has refused, never
//! for bytes that were not offered.

use std::io::{self, IoSlice};
use std::rc::Rc;

use ferrio_core::driver::{Interest, socket};
use ferrio_core::write_timing::{Answer, Gathering, Moment};
use ferrio_object::{BufferPlace, ClassBuilder, Erased, Obj, Signature};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;

use super::attached::Cause;
use super::chunk::{Chunk, Data};
use super::flow::Flow;
use super::stream::StreamTransport;
use crate::event_loop::{Loop, held_writes};
use crate::exceptions::{self, FromIo};
use crate::future;
use crate::log::{self, Level};

/// Slices for one vectored send; more of them go out with the next.
const SLICES: usize = 64;
/// asyncio's `constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_AFTER: u32 = 5;

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
        let data = Data::of_stream(&mut place, py, data)?;
        Self::write_data(this, py, data)
    }

    /// As [`Self::write`], for bytes of ours.
    ///
    /// # Errors
    /// `RuntimeError` after `write_eof()` or during `sendfile()`.
    pub(crate) fn write_slice(this: &Obj<Self>, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        Self::write_data(this, py, Data::Slice(data))
    }

    #[inline]
    fn write_data(this: &Obj<Self>, py: Python<'_>, data: Data<'_>) -> PyResult<()> {
        let event_loop = this.attached.event_loop();
        this.send_others(py, event_loop.as_ref())?;
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
        let answer = Self::plan(this, py, event_loop.as_ref(), len);
        if this.queue.borrow().is_empty() && answer != Some(Answer::Hold) {
            return Self::send_first(this, py, data, len);
        }
        let (data, buffer) = data.into_rest(py, 0);
        this.queue.borrow_mut().push(data);
        let outcome = match answer {
            Some(Answer::Hold) => Ok(()),
            Some(Answer::Send | Answer::SendAndReport) => Self::send_now(this, py),
            None => Self::pause_protocol(this, py),
        };
        // To release it may run Python code, which may write to us: all is in its place.
        drop(buffer);
        outcome
    }

    /// Sends what another transport of the loop holds back, so that bytes leave in the order of the writes.
    #[inline]
    fn send_others(&self, py: Python<'_>, event_loop: Option<&Obj<Loop>>) -> PyResult<()> {
        match event_loop {
            Some(event_loop) if event_loop.held.wait_for_step() && !self.listed.get() => {
                held_writes::send_all(event_loop, py)
            }
            _ => Ok(()),
        }
    }

    /// What is to become of `len` bytes that are written; `None` if they wait behind what the kernel has refused.
    #[inline]
    fn plan(this: &Obj<Self>, py: Python<'_>, event_loop: Option<&Obj<Loop>>, len: usize) -> Option<Answer> {
        let Some(event_loop) = event_loop else { return Some(Answer::Send) };
        event_loop.expect_io();
        let mut timing = this.timing.get();
        if !timing.holds() && !this.queue.borrow().is_empty() {
            return None;
        }
        let gathering = event_loop.held.gathering();
        if gathering == Gathering::Never {
            return Some(Answer::Send);
        }
        let moment = Moment { gathering, step: event_loop.step(), high: this.flow.get().marks().high() };
        let shared = this.habit.get_or_init(Rc::default);
        let mut habit = shared.get();
        let answer = timing.write(len, moment, &mut habit, held_writes::now);
        shared.set(habit);
        this.timing.set(timing);
        if answer != Answer::Send && !this.listed.replace(true) {
            held_writes::add(event_loop, py, Erased::new(this.clone()), |transport, py| {
                transport.get::<Self>().map_or(Ok(()), |this| Self::listed_no_more(this, py))
            });
        }
        Some(answer)
    }

    /// Offers the kernel what finds an empty queue, and queues what it does not take.
    #[inline]
    fn send_first(this: &Obj<Self>, py: Python<'_>, data: Data<'_>, len: usize) -> PyResult<()> {
        let fd = this.live_fd(py);
        let sent = match data.with(py, |bytes| socket::send(fd, bytes)) {
            Ok(count) if count == len => return Ok(()),
            Ok(count) => count,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => 0,
            Err(err) => {
                // The exception handler is called, and the buffer may be its own.
                drop(data);
                return Self::write_failed(this, py, err);
            }
        };
        let (rest, buffer) = data.into_rest(py, sent);
        this.queue.borrow_mut().push(rest);
        let outcome = Self::wait_for_kernel(this, py);
        // To release it may run Python code, which may write to us: all is in its place.
        drop(buffer);
        outcome
    }

    /// Offers the queue, which the kernel has not refused so far.
    fn send_now(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.end_round();
        match this.send_pending(py) {
            Sent::All => Ok(()),
            Sent::Some => Self::wait_for_kernel(this, py),
            Sent::Failed(err) => Self::write_failed(this, py, err),
        }
    }

    /// What is held back is about to be sent, or nothing more joins it.
    #[inline]
    fn end_round(&self) {
        let Some(shared) = self.habit.get() else { return };
        let (mut timing, mut habit) = (self.timing.get(), shared.get());
        timing.round_ended(&mut habit, held_writes::now);
        shared.set(habit);
        self.timing.set(timing);
    }

    /// As [`Self::send_held`], for a program that drains: bytes that are to wait for the end of the turn go on waiting.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    pub(crate) fn drain(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let mut timing = this.timing.get();
        if let Some(shared) = this.habit.get()
            && timing.lone_round_ended(shared.get())
        {
            this.timing.set(timing);
            return Ok(());
        }
        match this.attached.event_loop() {
            Some(event_loop) if event_loop.held.gathering() != Gathering::Turn => Self::send_held(this, py),
            _ => Ok(()),
        }
    }

    /// Sends what is held back, and ends the round of writes: somebody asks, or control goes elsewhere.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    pub(crate) fn send_held(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let timing = this.timing.get();
        if timing.holds() {
            return Self::send_now(this, py);
        }
        if timing.is_in_round() {
            this.end_round();
        }
        Ok(())
    }

    /// The step returns, or the turn ends, for which the transport was listed.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    fn listed_no_more(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.listed.set(false);
        Self::send_held(this, py)
    }

    /// As [`Self::send_held`], for a connection that ends: what the kernel does not take is lost.
    pub(super) fn send_held_or_drop(&self, py: Python<'_>) {
        if self.timing.get().holds() {
            self.end_round();
            // The connection ends with the error that it has, or none.
            let _ = self.send_pending(py);
        }
    }

    /// The kernel takes no more now: it will be asked again when it does, and the protocol is to pause if this is much.
    fn wait_for_kernel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.copy_context(py, Cause::Writing)?;
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
        // Since 3.14, asyncio does not look at the data of a lost connection, and leaves out what is false, None too.
        if cfg!(Py_3_14) && this.conn_lost.get() > 0 {
            return Self::write_to_lost(this, py);
        }
        let mut chunks: Vec<Chunk> = Vec::new();
        for line in lines.try_iter()? {
            let line = line?;
            if cfg!(Py_3_14) && !line.is_truthy()? {
                continue;
            }
            let mut place = BufferPlace::new();
            let data = Data::of_buffer(&mut place, py, &line)?;
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
        let len = chunks.iter().map(|chunk| chunk.as_ref().len()).sum();
        let event_loop = this.attached.event_loop();
        this.send_others(py, event_loop.as_ref())?;
        let answer = Self::plan(this, py, event_loop.as_ref(), len);
        {
            let mut queue = this.queue.borrow_mut();
            for chunk in chunks {
                queue.push(chunk);
            }
        }
        match answer {
            Some(Answer::Hold) => Ok(()),
            Some(_) => Self::send_now(this, py),
            None => Self::pause_protocol(this, py),
        }
    }

    fn write_to_lost(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() >= WARN_AFTER {
            let message = ("socket.send() raised exception.",);
            log::write(py, "ferrio.selector_events", Level::Warning, message)?;
        }
        this.conn_lost.set(this.conn_lost.get() + 1);
        Ok(())
    }

    /// The kernel takes data again.
    pub(super) fn write_ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() > 0 {
            return Ok(());
        }
        this.attached.run(py, Cause::Writing, || Self::write_rest(this, py))
    }

    fn write_rest(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        match this.send_pending(py) {
            Sent::Failed(err) => return Self::write_failed(this, py, err),
            // The protocol may write again in here.
            Sent::Some => return Self::resume_protocol(this, py),
            Sent::All => Self::resume_protocol(this, py)?,
        }
        if this.conn_lost.get() > 0 || !this.queue.borrow().is_empty() {
            return Ok(());
        }
        Self::all_sent(this, py)
    }

    /// The queue is empty.
    fn all_sent(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::want(this, this.interest.get().without(Interest::WRITABLE))?;
        if let Some(waiter) = this.empty_waiter.get() {
            future::wake(&waiter, py)?;
        }
        if this.closing.get() {
            return Self::sent_after_close(this, py);
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
        let queue = this.queue.take();
        drop(queue);
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
        Self::send_held(this, py)?;
        if this.closing.get() {
            return Ok(());
        }
        this.eof.set(true);
        if !this.queue.borrow().is_empty() {
            return Ok(());
        }
        Self::shutdown(this, py)
    }

    pub(super) fn define_write(class: &mut ClassBuilder<Self>) {
        class
            .method1_named(
                "write",
                Self::write,
                || Signature::new("write", ["data"]),
                "write($self, /, data)\n--\n\n\
                Send bytes; never blocks, and buffers what cannot be sent now.",
            )
            .method1_named(
                "writelines",
                Self::writelines,
                || Signature::new("writelines", ["list_of_data"]),
                "writelines($self, /, list_of_data)\n--\n\n\
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
            );
    }
}
