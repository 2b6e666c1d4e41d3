//! A stream transport while `loop.sendfile()` uses its socket: the queue is empty, nothing may be written, and the
//! kernel is asked directly.
//!
//! Room in the socket is waited for through the transport's own registration. Another one for the same descriptor
//! would be refused by the driver as soon as the protocol resumes reading in the middle of it.

use std::io;

use ferrio_core::driver::{Interest, file};
use ferrio_object::Obj;
use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;

use super::stream::StreamTransport;
use crate::event_loop::LoopRef;
use crate::future::{self, Future};

impl StreamTransport {
    /// Sends at most `count` bytes of a file.
    ///
    /// # Errors
    /// `ConnectionError` if the connection is lost; the kernel's error otherwise.
    pub(crate) fn send_file(
        this: &Obj<Self>,
        py: Python<'_>,
        source: i32,
        offset: u64,
        count: usize,
    ) -> PyResult<io::Result<usize>> {
        this.check_connected()?;
        let fd = this.live_fd(py);
        // Reading the file can wait for the disk.
        Ok(py.detach(|| file::send_file(fd, source, offset, count)))
    }

    fn check_connected(&self) -> PyResult<()> {
        if self.conn_lost.get() > 0 || !self.sock.is_open() {
            return Err(PyConnectionError::new_err("Connection is closed by peer"));
        }
        Ok(())
    }

    /// A future that is done when the kernel takes data again, and fails if the connection is lost.
    ///
    /// # Errors
    /// `ConnectionError` if it is lost already, `OSError` from the driver.
    pub(crate) fn wait_for_room(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj<Future>> {
        this.check_connected()?;
        let Some(event_loop) = this.attached.event_loop() else {
            return Err(PyConnectionError::new_err("Connection is closed by peer"));
        };
        let waiter = Future::create(py, LoopRef::Native(event_loop))?;
        this.room_waiter.set(Some(waiter.clone()));
        Self::want(this, this.interest.get().with(Interest::WRITABLE))?;
        Ok(waiter)
    }

    /// There is room.
    pub(super) fn room(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let waiter = this.room_waiter.take();
        Self::want(this, this.interest.get().without(Interest::WRITABLE))?;
        match waiter {
            Some(waiter) => future::wake(&waiter, py).map(drop),
            None => Ok(()),
        }
    }

    /// The end of `sendfile()`, however it came.
    pub(crate) fn sent_file(this: &Obj<Self>) -> PyResult<()> {
        Self::reset_empty_waiter(this);
        if this.room_waiter.take().is_none() {
            return Ok(());
        }
        Self::want(this, this.interest.get().without(Interest::WRITABLE))
    }
}
