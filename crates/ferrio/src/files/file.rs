//! A binary file: its buffers, and what is done with them.
//!
//! What was read ahead is in `unread`, and the file's own position is behind it; what was written and not yet handed to
//! the kernel is in `unwritten`, and the position is before it. Never are there both. The position is the kernel's:
//! nothing here counts it, so that nothing can count it wrong.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use ferrio_core::driver::files::{self, Handle, Metadata, Operation, Value};
use ferrio_object::{Obj, ObjCell, WeakList};
use pyo3::exceptions::{PyMemoryError, PyOSError, PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::mode::Mode;
use super::turn::{Turn, Turns};
use crate::coro::{Co, Local};
use crate::event_loop::{Engine, Loop};
use crate::exceptions::{self, FromIo};

/// What `read()` to the end asks the kernel for at once, at most; also the least.
const LARGEST_READ: usize = 64 * 1024 * 1024;
const SMALLEST_READ: usize = 64 * 1024;
/// The length that a `bytes` can have (its header has 33 bytes with the closing NUL).
const LONGEST_BYTES: usize = isize::MAX as usize - 33;
/// Memory that an empty buffer keeps.
const LARGEST_KEPT: usize = 1024 * 1024;
/// Bytes in front of what is read. A large allocation of glibc's starts 16 bytes into a page, and the page cache is
/// page-aligned: AMD's Zen is many times as slow to copy there as to the next cache line
/// (`ferrio_core::driver::PageBuffer`).
const LEAD: usize = 48;

/// The contents of a file.
pub struct File {
    pub(super) event_loop: ObjCell<Loop>,
    pub(super) handle: RefCell<Option<Arc<Handle>>>,
    /// As it was given to `open()`.
    pub(super) name: ObjCell,
    pub(super) mode: Cell<Option<Mode>>,
    /// Bytes that are read ahead, and gathered before they are written; zero for a file without buffers.
    pub(super) buffering: Cell<usize>,
    pub(super) seekable: Cell<bool>,
    pub(super) regular: Cell<bool>,
    pub(super) unread: RefCell<Unread>,
    pub(super) unwritten: RefCell<Vec<u8>>,
    /// An operation is with the kernel or a thread.
    pub(super) in_flight: Cell<bool>,
    pub(super) turns: Turns,
    /// The task that was closing the file was cancelled: the rest is done without it.
    pub(super) abandoned: Cell<bool>,
    pub(super) weaklist: WeakList,
}

/// Bytes read ahead.
#[derive(Default)]
pub(super) struct Unread {
    bytes: Vec<u8>,
    start: usize,
    /// Where the first of them will be in the memory that is handed out.
    lead: usize,
}

impl Unread {
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
        // What a large file was read into is not kept for the next.
        self.bytes.shrink_to(LARGEST_KEPT);
    }

    /// Makes room for `count` more behind what there is, and hands the memory out; nothing if there is not so much.
    fn take_with_room(&mut self, count: usize) -> Option<Vec<u8>> {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.lead = if self.bytes.is_empty() { LEAD } else { 0 };
        self.bytes.try_reserve(self.lead.saturating_add(count)).ok()?;
        self.bytes.resize(self.bytes.len() + self.lead, 0);
        Some(std::mem::take(&mut self.bytes))
    }

    /// The memory comes back, with what was read.
    fn restore(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.start = self.lead;
    }

    /// The next `count` bytes.
    pub(super) fn take<R>(&mut self, count: usize, f: impl FnOnce(&[u8]) -> R) -> R {
        let end = self.start.saturating_add(count).min(self.bytes.len());
        let taken = f(&self.bytes[self.start..end]);
        self.start = end;
        if self.start == self.bytes.len() {
            self.clear();
        }
        taken
    }
}

#[cold]
pub(super) fn closed_error() -> PyErr {
    PyValueError::new_err("I/O operation on closed file.")
}

/// `io.UnsupportedOperation`.
#[cold]
pub(super) fn unsupported(py: Python<'_>, message: &str) -> PyErr {
    let class = py.import("io").and_then(|io| io.getattr("UnsupportedOperation"));
    match class.and_then(|class| class.call1((message,))) {
        Ok(exc) => PyErr::from_value(exc),
        Err(err) => err,
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Count(count) => *count as usize,
        Value::Opened(_) | Value::Metadata(_) => 0,
    }
}

impl File {
    pub(super) fn blank() -> Self {
        File {
            event_loop: ObjCell::empty(),
            handle: RefCell::new(None),
            name: ObjCell::empty(),
            mode: Cell::new(None),
            buffering: Cell::new(0),
            seekable: Cell::new(false),
            regular: Cell::new(false),
            unread: RefCell::default(),
            unwritten: RefCell::default(),
            in_flight: Cell::new(false),
            turns: Turns::default(),
            abandoned: Cell::new(false),
            weaklist: WeakList::new(),
        }
    }

    /// The contents for a file that was opened.
    pub(super) fn new(
        event_loop: &Obj<Loop>,
        handle: Arc<Handle>,
        name: Obj,
        mode: Mode,
        buffering: usize,
        metadata: Metadata,
    ) -> Self {
        let seekable = files::position(handle.fd()).is_ok();
        let blank = Self::blank();
        blank.event_loop.set(Some(event_loop.clone()));
        *blank.handle.borrow_mut() = Some(handle);
        blank.name.set(Some(name));
        blank.mode.set(Some(mode));
        blank.buffering.set(buffering);
        blank.seekable.set(seekable);
        blank.regular.set(metadata.is_regular());
        blank
    }

    pub(super) fn is_closed(&self) -> bool {
        self.handle.borrow().is_none()
    }

    /// # Errors
    /// `ValueError` if the file is closed.
    pub(super) fn handle(&self) -> PyResult<Arc<Handle>> {
        self.handle.borrow().clone().ok_or_else(closed_error)
    }

    pub(super) fn readable(&self) -> bool {
        self.mode.get().is_some_and(Mode::readable)
    }

    pub(super) fn writable(&self) -> bool {
        self.mode.get().is_some_and(Mode::writable)
    }

    /// # Errors
    /// `ValueError` if the file is closed, `io.UnsupportedOperation` if it was not opened for that.
    pub(super) fn check(&self, py: Python<'_>, reading: bool) -> PyResult<()> {
        self.handle()?;
        match reading {
            true if !self.readable() => Err(unsupported(py, "not readable")),
            false if !self.writable() => Err(unsupported(py, "not writable")),
            _ => Ok(()),
        }
    }

    /// The loop, for an operation of a coroutine that it runs.
    ///
    /// # Errors
    /// `RuntimeError` if another loop runs.
    pub(super) fn running_loop(&self, py: Python<'_>) -> PyResult<Obj<Loop>> {
        let running = crate::event_loop::running::get_running_loop(py)?;
        match self.event_loop.get() {
            Some(event_loop) if event_loop.is(&running) => Ok(event_loop),
            _ => Err(PyRuntimeError::new_err("the file belongs to another event loop")),
        }
    }

    /// Waits for the turn of an operation.
    ///
    /// # Errors
    /// `RuntimeError` if another loop runs; what is thrown in.
    pub(super) async fn turn<'a>(co: &Co, this: &'a Local<Self>) -> PyResult<Turn<'a>> {
        let event_loop = co.hold(this.get().running_loop(co.py())?);
        Turn::of(co, &event_loop, this).await
    }

    async fn perform(co: &Co, this: &Local<Self>, operation: Operation) -> PyResult<Value> {
        let event_loop = co.hold(this.get().running_loop(co.py())?);
        let endless = !this.get().regular.get();
        let outcome = Engine::perform(co, &event_loop, operation, Some(this), endless).await?;
        outcome.map_err(PyOSError::new_err_from_io)
    }

    /// An operation has completed: its effect on the buffers. This is done whether or not somebody still waits.
    pub(super) fn operated(this: &Obj<Self>, py: Python<'_>, operation: Operation) {
        match operation {
            Operation::Read { buffer, .. } => this.unread.borrow_mut().restore(buffer),
            Operation::Write { mut data, from, .. } => {
                // What could not be written is what is to be written next.
                data.drain(..from);
                *this.unwritten.borrow_mut() = data;
            }
            _ => {}
        }
        Self::left_to_parent(this, py);
    }

    /// Nothing is under way any more. In a forked child: it is under way in its parent.
    pub(super) fn left_to_parent(this: &Obj<Self>, py: Python<'_>) {
        this.in_flight.set(false);
        if this.abandoned.take() {
            this.finish_closing();
        }
        this.turns.operated(py);
    }

    /// Reads once, at least `count` bytes at a time if there are so many, and gives how many came; none at the end.
    ///
    /// # Errors
    /// `OSError`; `OverflowError` or `MemoryError` if `wanted` is more than there can be or is; what is thrown in.
    pub(super) async fn fill(co: &Co, this: &Local<Self>, wanted: usize) -> PyResult<usize> {
        let file = this.get().handle()?;
        let room = wanted.max(this.get().buffering.get()).max(1);
        if room > LONGEST_BYTES {
            return Err(PyOverflowError::new_err("byte string is too large"));
        }
        let Some(buffer) = this.get().unread.borrow_mut().take_with_room(room) else {
            return Err(PyMemoryError::new_err(()));
        };
        let value = Self::perform(co, this, Operation::Read { file, buffer, len: room }).await?;
        Ok(count(&value))
    }

    /// Reads until there are `wanted` bytes ahead, or the end has come.
    ///
    /// # Errors
    /// As [`File::fill`].
    pub(super) async fn fill_to(co: &Co, this: &Local<Self>, wanted: usize) -> PyResult<()> {
        loop {
            let have = this.get().unread.borrow().len();
            if have >= wanted || Self::fill(co, this, wanted - have).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads everything up to the end.
    ///
    /// # Errors
    /// As [`File::fill`].
    pub(super) async fn fill_to_end(co: &Co, this: &Local<Self>) -> PyResult<()> {
        let mut chunk = SMALLEST_READ;
        let file = this.get().handle()?;
        if this.get().regular.get() && this.get().seekable.get() {
            let at = files::position(file.fd()).map_err(PyOSError::new_err_from_io)?;
            let size = Self::metadata(co, this).await?.size;
            // One more, so that a file of that size comes with one read, and its end with the second.
            chunk = usize::try_from(size.saturating_sub(at)).unwrap_or(LARGEST_READ) + 1;
        }
        while Self::fill(co, this, chunk.clamp(SMALLEST_READ, LARGEST_READ)).await? > 0 {
            chunk = this.get().unread.borrow().len();
        }
        Ok(())
    }

    async fn metadata(co: &Co, this: &Local<Self>) -> PyResult<Metadata> {
        let file = this.get().handle()?;
        match Self::perform(co, this, Operation::Stat { file }).await? {
            Value::Metadata(metadata) => Ok(metadata),
            _ => Err(PyOSError::new_err("fstat gave nothing")),
        }
    }

    /// Bytes from the buffer.
    pub(super) fn taken(&self, py: Python<'_>, count: usize) -> Obj {
        self.unread.borrow_mut().take(count, |bytes| PyBytes::new(py, bytes).into_any().into())
    }

    /// Where the next line ends in the buffer, behind its newline, looking from `from` on.
    pub(super) fn line_end(&self, from: usize) -> Option<usize> {
        let unread = self.unread.borrow();
        unread.rest().get(from..)?.iter().position(|byte| *byte == b'\n').map(|at| from + at + 1)
    }

    /// Reads until a line is ahead, and gives its length: what there is, at the end or from `limit` on.
    ///
    /// # Errors
    /// As [`File::fill`].
    pub(super) async fn fill_line(co: &Co, this: &Local<Self>, limit: Option<usize>) -> PyResult<usize> {
        let mut looked = 0;
        loop {
            let limit = limit.unwrap_or(usize::MAX);
            if let Some(end) = this.get().line_end(looked) {
                return Ok(end.min(limit));
            }
            looked = this.get().unread.borrow().len();
            if looked >= limit {
                return Ok(limit);
            }
            // Without a buffer, what is behind the line must stay in the file.
            if Self::fill(co, this, 1).await? == 0 {
                return Ok(looked);
            }
        }
    }

    /// Takes data to write, after what was read ahead was given back.
    ///
    /// # Errors
    /// `OSError` if the position cannot be set back.
    pub(super) fn put(&self, data: &[u8]) -> PyResult<()> {
        self.give_back()?;
        self.unwritten.borrow_mut().extend_from_slice(data);
        Ok(())
    }

    /// How much is to be written.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.borrow().len()
    }

    /// Sets the position back by what was read ahead.
    ///
    /// # Errors
    /// `OSError`.
    pub(super) fn give_back(&self) -> PyResult<()> {
        let ahead = self.unread.borrow().len();
        if ahead > 0 && self.seekable.get() {
            files::rewind(self.handle()?.fd(), ahead as u64).map_err(PyOSError::new_err_from_io)?;
            self.unread.borrow_mut().clear();
        }
        Ok(())
    }

    /// Writes what is to be written.
    ///
    /// # Errors
    /// `OSError`, and the rest stays to be written; what is thrown in.
    pub(super) async fn write_out(co: &Co, this: &Local<Self>) -> PyResult<()> {
        while this.get().unwritten() > 0 {
            let file = this.get().handle()?;
            let data = this.get().unwritten.take();
            Self::perform(co, this, Operation::Write { file, data, from: 0 }).await?;
        }
        Ok(())
    }

    /// Where the next byte is read or written.
    ///
    /// # Errors
    /// `OSError` for what has no position.
    pub(super) fn position(&self) -> PyResult<u64> {
        let at = files::position(self.handle()?.fd()).map_err(PyOSError::new_err_from_io)?;
        Ok(at - self.unread.borrow().len() as u64 + self.unwritten() as u64)
    }

    /// Moves the position; gives the new one.
    ///
    /// # Errors
    /// `OSError`; what is thrown in.
    pub(super) async fn seek_to(co: &Co, this: &Local<Self>, offset: i64, whence: i32) -> PyResult<u64> {
        Self::write_out(co, this).await?;
        this.get().give_back()?;
        let file = this.get().handle()?;
        // From here or the beginning it is arithmetic; from the end (or to data and holes) the disk may be asked.
        let position = if whence < 2 {
            files::seek(file.fd(), offset, whence).map_err(PyOSError::new_err_from_io)?
        } else {
            count(&Self::perform(co, this, Operation::Seek { file, offset, whence }).await?) as u64
        };
        Ok(position)
    }

    /// Makes the file that long, without moving the position.
    ///
    /// # Errors
    /// `OSError`; what is thrown in.
    pub(super) async fn truncate_to(co: &Co, this: &Local<Self>, len: Option<u64>) -> PyResult<u64> {
        Self::write_out(co, this).await?;
        this.get().give_back()?;
        let len = len.map_or_else(|| this.get().position(), Ok)?;
        let file = this.get().handle()?;
        Self::perform(co, this, Operation::Truncate { file, len }).await?;
        Ok(len)
    }

    /// Has the kernel put everything on the disk.
    ///
    /// # Errors
    /// `OSError`; what is thrown in.
    pub(super) async fn sync_all(co: &Co, this: &Local<Self>, data_only: bool) -> PyResult<()> {
        if this.get().writable() {
            Self::write_out(co, this).await?;
        }
        let file = this.get().handle()?;
        Self::perform(co, this, Operation::Sync { file, data_only }).await.map(drop)
    }

    /// Closes the file. It is closed afterwards whatever comes of it: if writing the rest fails, that is raised; if
    /// the waiter is cancelled, the rest is written without him.
    ///
    /// # Errors
    /// `OSError`; what is thrown in.
    pub(super) async fn close(co: &Co, this: &Local<Self>) -> PyResult<()> {
        if this.get().is_closed() {
            return Ok(());
        }
        let abandon = Abandon(Some(this));
        let _turn = Self::turn(co, this).await?;
        if this.get().is_closed() {
            abandon.not();
            return Ok(());
        }
        let written = match Self::write_out(co, this).await {
            Err(err) if err.is_instance_of::<PyOSError>(co.py()) => {
                Some(co.hold(exceptions::value_of(co.py(), err)))
            }
            Err(err) => return Err(err),
            Ok(()) => None,
        };
        abandon.not();
        let fd = this.get().handle.take().and_then(Arc::into_inner).and_then(Handle::into_owned);
        let closed = match fd {
            Some(fd) => Self::perform(co, this, Operation::Close { fd: Some(fd) }).await.map(drop),
            None => Ok(()),
        };
        match written {
            Some(exc) => Err(ferrio_object::raise(co.py(), &exc.get())),
            None => closed,
        }
    }

    /// What is left of closing when nobody waits for it, and nothing is under way: one job for a thread.
    fn finish_closing(&self) {
        let Some(file) = self.handle.take() else { return };
        let data = self.unwritten.take();
        if data.is_empty() {
            // A share that a thread may still hold closes it then.
            return;
        }
        if let Some(event_loop) = self.event_loop.get() {
            // Refused only if there is no thread to be had or the loop is closed: then nothing can be done.
            drop(Engine::detach(&event_loop, Operation::Finish { file, data }));
        }
    }

    /// Writes the rest and closes the file here and now: for a file that nobody closed.
    ///
    /// # Errors
    /// What writing gave.
    pub(super) fn finish_now(&self, py: Python<'_>) -> io::Result<()> {
        let Some(file) = self.handle.take() else { return Ok(()) };
        let data = self.unwritten.take();
        // A pipe that nobody reads, or a disk of the network, may make us wait.
        py.detach(move || Operation::Finish { file, data }.run().map(drop))
    }
}

/// Unless it is called off, the file is closed without the task that began to.
struct Abandon<'a>(Option<&'a Local<File>>);

impl Abandon<'_> {
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        let Some(file) = self.0.take().map(Local::get) else { return };
        if file.in_flight.get() {
            file.abandoned.set(true);
        } else {
            file.finish_closing();
        }
    }
}
