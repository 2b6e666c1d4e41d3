//! `asyncio.StreamReader`: a buffer that a protocol feeds and tasks read from.

use std::cell::{Cell, RefCell};

use ferrio_core::read_buffer::ReadBuffer;
use ferrio_object::{
    Any, Args, Buffer, Class, ClassBuilder, DictSlot, Hint, Obj, ObjCell, Replaced, Signature, WeakList,
    bytes_of,
};
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::operation::{Op, StreamOperation};
use super::writer::StreamWriter;
use super::{DEFAULT_LIMIT, attributes, replaced};
use crate::event_loop::{LoopRef, running};
use crate::future::Future;
use crate::future_likes;
use crate::transports::StreamTransport;

/// The contents of a `StreamReader`.
pub struct StreamReader {
    pub(super) event_loop: RefCell<Option<LoopRef>>,
    pub(super) buffer: RefCell<ReadBuffer>,
    /// How many bytes the read that waits can do with as they come; `usize::MAX` if it looks for something in the buffer.
    pub(super) wanted: Cell<usize>,
    /// A `bytes` object as it was received, of which [`Self::taken`] bytes have been read. The buffer is empty
    /// meanwhile: code that looks into it moves the rest there first (`with_buffer`).
    pub(super) whole: ObjCell,
    pub(super) taken: Cell<usize>,
    /// The bytearray that somebody got as `_buffer`: as long as they hold it, it and the buffer are kept alike.
    pub(super) exported: ObjCell,
    pub(super) limit: Cell<usize>,
    pub(super) eof: Cell<bool>,
    pub(super) paused: Cell<bool>,
    /// Which methods that asyncio calls through `self` have been replaced (`replaced.rs`).
    pub(super) replaced: Replaced,
    /// The future that the one task that waits for bytes waits for.
    pub(super) waiter: ObjCell,
    /// The operation that waits, and the writer of the same connection, which mostly comes next.
    pub(super) operation: Hint<StreamOperation>,
    pub(super) writer: Hint<StreamWriter>,
    pub(super) exception: ObjCell,
    pub(super) transport: ObjCell,
    pub(super) source_traceback: ObjCell,
    dict: DictSlot,
    weaklist: WeakList,
}

impl StreamReader {
    /// A reader of `event_loop`.
    ///
    /// # Errors
    /// `ValueError` for a limit of zero; `MemoryError`; what a foreign loop's `get_debug` raises.
    pub(crate) fn create(py: Python<'_>, limit: usize, event_loop: LoopRef) -> PyResult<Obj<Self>> {
        let this: Obj<Self> = Obj::create(py, ((), Self::blank()))?;
        this.initialize(py, limit, event_loop)?;
        Ok(this)
    }

    fn initialize(&self, py: Python<'_>, limit: usize, event_loop: LoopRef) -> PyResult<()> {
        if limit == 0 {
            return Err(PyValueError::new_err("Limit cannot be <= 0"));
        }
        let debug = event_loop.get_debug(py)?;
        self.limit.set(limit);
        let old = self.event_loop.replace(Some(event_loop));
        drop(old);
        if debug {
            self.source_traceback.set(Some(crate::debug::extract_stack(py)?));
        }
        Ok(())
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> = Signature::new("StreamReader", ["limit", "loop"]).required(0);
        let [limit, event_loop] = args.bind(&SIGNATURE)?;
        let limit = limit.map_or(Ok(DEFAULT_LIMIT), limit_of)?;
        if limit == 0 {
            return Err(PyValueError::new_err("Limit cannot be <= 0"));
        }
        let event_loop = running::loop_or_current(py, event_loop)?;
        this.initialize(py, limit, event_loop)
    }

    /// The loop.
    ///
    /// # Errors
    /// `RuntimeError` if `__init__` did not run.
    pub(super) fn get_loop(&self) -> PyResult<LoopRef> {
        let event_loop = self.event_loop.borrow().clone();
        event_loop.ok_or_else(|| PyRuntimeError::new_err("StreamReader object is not initialized"))
    }

    /// Works on the buffer. `f` must not run Python code; it may make `bytes`, which does not.
    ///
    /// # Errors
    /// What the bytearray raises that was given out as `_buffer`.
    #[inline]
    pub(super) fn with_buffer<R>(&self, py: Python<'_>, f: impl FnOnce(&mut ReadBuffer) -> R) -> PyResult<R> {
        if self.whole.is_some() {
            self.unpack();
        }
        if self.exported.is_none() {
            return Ok(f(&mut self.buffer.borrow_mut()));
        }
        self.import(py)?;
        let result = f(&mut self.buffer.borrow_mut());
        self.export(py)?;
        Ok(result)
    }

    /// Asks for what a task that waits for bytes will use.
    #[inline]
    pub(super) fn prefetch_waiting(&self) {
        self.waiter.prefetch_as::<Future>();
        self.operation.prefetch();
        self.writer.prefetch();
    }

    /// How many bytes are there to be read.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match self.whole_len() {
            Some(len) => Ok(len),
            None => self.with_buffer(py, |buffer| buffer.len()),
        }
    }

    /// Appends bytes, wakes the task that waits for them, and pauses the transport if there are too many.
    ///
    /// # Errors
    /// `AssertionError` after the end of the stream; what the transport raises.
    #[inline]
    pub(crate) fn feed(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if self.eof.get() {
            return Err(fed_after_eof());
        }
        if data.is_empty() {
            return Ok(());
        }
        // For the buffer it would be copied once more.
        if data.len() >= self.wanted.get() && self.waiter.is_some() && self.is_empty() {
            let whole = self.new_bytes(py, data)?;
            self.keep_whole(whole);
        } else {
            self.with_buffer(py, |buffer| buffer.extend_from_slice(data))?;
        }
        self.fed(py)
    }

    /// Whether there is nothing to be read, and nobody else has the buffer.
    #[inline]
    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.exported.is_none() && self.buffer.borrow().is_empty()
    }

    #[inline]
    fn keep_whole(&self, whole: Obj) {
        self.taken.set(0);
        self.whole.set(Some(whole));
    }

    /// A `bytes` object for the reader.
    ///
    /// # Errors
    /// `MemoryError`.
    #[inline]
    pub(super) fn new_bytes(&self, py: Python<'_>, data: &[u8]) -> PyResult<Obj> {
        match &*self.event_loop.borrow() {
            Some(LoopRef::Native(native)) => native.sockets.spare.bytes(py, data),
            _ => Ok(PyBytes::new(py, data).into()),
        }
    }

    /// As [`Self::feed`], with a `bytes` object, which is kept as it is if nothing is buffered.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub(crate) fn feed_whole(&self, py: Python<'_>, data: &Obj) -> PyResult<()> {
        let Some(bytes) = bytes_of(data) else { return Ok(()) };
        if self.eof.get() || bytes.is_empty() || !self.is_empty() {
            return self.feed(py, bytes);
        }
        self.keep_whole(data.clone());
        self.fed(py)
    }

    #[inline]
    fn fed(&self, py: Python<'_>) -> PyResult<()> {
        self.wake_waiter(py)?;
        if self.paused.get() || self.transport.is_none() {
            return Ok(());
        }
        if self.len(py)? > self.limit.get().saturating_mul(2) {
            return self.pause_transport(py);
        }
        Ok(())
    }

    fn pause_transport(&self, py: Python<'_>) -> PyResult<()> {
        let Some(transport) = self.transport.get() else { return Ok(()) };
        let paused = match StreamTransport::plain(&transport) {
            Some(ours) => StreamTransport::pause_reading(ours, py),
            None => transport.bind(py).call_method0(intern!(py, "pause_reading")).map(drop),
        };
        match paused {
            Ok(()) => self.paused.set(true),
            Err(err) if err.is_instance_of::<PyNotImplementedError>(py) => {
                // It cannot be paused, so everything is buffered, and it is not asked again.
                ferrio_object::swallow(py, err);
                self.transport.set(None);
            }
            Err(err) => return Err(err),
        }
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// `InvalidStateError` if somebody else has ended the waiter.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.eof.set(true);
        self.wake_waiter(py)
    }

    #[inline]
    pub(super) fn wake_waiter(&self, py: Python<'_>) -> PyResult<()> {
        match self.waiter.take() {
            Some(waiter) => future_likes::wake(py, &waiter).map(drop),
            None => Ok(()),
        }
    }

    /// Every read from now on fails with `exc`, the one that waits included.
    ///
    /// # Errors
    /// `TypeError` if it is no exception; `InvalidStateError` if somebody else has ended the waiter.
    pub(crate) fn fail(&self, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        self.exception.set((!exc.is_none()).then(|| exc.into()));
        match self.waiter.take() {
            Some(waiter) => future_likes::fail(py, &waiter, exc),
            None => Ok(()),
        }
    }

    /// The error to raise if the stream has failed.
    #[inline]
    pub(super) fn check(&self, py: Python<'_>) -> PyResult<()> {
        match self.exception.get() {
            None => Ok(()),
            Some(exc) => Err(ferrio_object::raise(py, &exc)),
        }
    }

    /// Resumes the transport once the buffer is down to the limit.
    ///
    /// # Errors
    /// What the transport raises.
    #[inline]
    pub(super) fn resume_if_low(&self, py: Python<'_>) -> PyResult<()> {
        if self.paused.get() && self.len(py)? <= self.limit.get() {
            return self.resume_transport(py);
        }
        Ok(())
    }

    fn resume_transport(&self, py: Python<'_>) -> PyResult<()> {
        self.paused.set(false);
        let Some(transport) = self.transport.get() else { return Ok(()) };
        match StreamTransport::plain(&transport) {
            Some(ours) => StreamTransport::resume_reading(ours, py),
            None => transport.bind(py).call_method0(intern!(py, "resume_reading")).map(drop),
        }
    }

    /// The future for which to wait for more bytes. `name` is the method that waits.
    ///
    /// # Errors
    /// `RuntimeError` if another task waits already; what the transport raises.
    pub(super) fn wait(&self, py: Python<'_>, name: &str) -> PyResult<Obj> {
        if self.waiter.is_some() {
            return Err(PyRuntimeError::new_err(format!(
                "{name}() called while another coroutine is already waiting for incoming data"
            )));
        }
        if self.eof.get() {
            return Err(PyAssertionError::new_err("_wait_for_data after EOF"));
        }
        // More than the limit may be asked for, and a paused transport would never bring it.
        if self.paused.get() {
            self.resume_transport(py)?;
        }
        let waiter = self.get_loop()?.create_future(py)?;
        self.waiter.set(Some(waiter.clone()));
        Ok(waiter)
    }

    /// The wait for `waiter` has ended. Another task may be waiting by now, whose future stays.
    #[inline]
    pub(super) fn waited(&self, waiter: &Obj) {
        if self.waiter.holds(waiter) {
            self.waiter.set(None);
        }
    }

    fn feed_data(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if this.replaces(replaced::WAKE) && data.is_truthy()? {
            return replaced::wake_by_name(this, py, || Self::feed_any(this, py, data));
        }
        Self::feed_any(this, py, data)
    }

    #[inline]
    fn feed_any(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = Obj::from(data);
        if let Some(bytes) = bytes_of(&data) {
            return this.feed(py, bytes);
        }
        if this.eof.get() {
            return Err(fed_after_eof());
        }
        // A copy: the task that is woken may belong to a foreign loop, whose code could write to the buffer.
        let bytes = Buffer::get(py, &data, false)?.to_vec(py);
        this.feed(py, &bytes)
    }

    fn feed_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.replaces(replaced::WAKE) {
            return replaced::wake_by_name(this, py, || this.end(py));
        }
        this.end(py)
    }

    fn at_eof(this: &Obj<Self>, py: Python<'_>) -> PyResult<bool> {
        Ok(this.eof.get() && this.len(py)? == 0)
    }

    fn set_exception(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        this.fail(py, exc)
    }

    fn set_transport(this: &Obj<Self>, _py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        this.attach(transport.into())
    }

    /// `set_transport`.
    ///
    /// # Errors
    /// `AssertionError` if there is one already.
    pub(crate) fn attach(&self, transport: Obj) -> PyResult<()> {
        if self.transport.is_some() {
            return Err(PyAssertionError::new_err("Transport already set"));
        }
        self.transport.set(Some(transport));
        Ok(())
    }

    #[inline]
    fn read(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("read", ["n"]).required(0);
        let [n] = args.bind(&SIGNATURE)?;
        StreamOperation::make(py, Op::Read, this, n.map(Obj::from))
    }

    #[inline]
    fn readexactly(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("readexactly", ["n"]);
        let [n] = args.bind(&SIGNATURE)?;
        StreamOperation::make(py, Op::ReadExactly, this, n.map(Obj::from))
    }

    fn readinto(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("readinto", ["buffer"]);
        let [buffer] = args.bind(&SIGNATURE)?;
        StreamOperation::make(py, Op::ReadInto, this, buffer.map(Obj::from))
    }

    fn peek(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("peek", ["n"]).required(0);
        let [n] = args.bind(&SIGNATURE)?;
        StreamOperation::make(py, Op::Peek, this, n.map(Obj::from))
    }

    #[inline]
    fn readuntil(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("readuntil", ["separator"]).required(0);
        let [separator] = args.bind(&SIGNATURE)?;
        StreamOperation::make(py, Op::ReadUntil, this, separator.map(Obj::from))
    }

    #[inline]
    fn readline(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        StreamOperation::make(py, Op::ReadLine, this, None)
    }

    #[inline]
    fn anext(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        StreamOperation::make(py, Op::Next, this, None)
    }

    fn wait_for_data(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("_wait_for_data", ["func_name"]);
        let [name] = args.bind(&SIGNATURE)?;
        StreamOperation::make(py, Op::WaitForData, this, name.map(Obj::from))
    }
}

#[cold]
fn fed_after_eof() -> PyErr {
    PyAssertionError::new_err("feed_data after feed_eof")
}

/// A limit as asyncio takes it, any number: 0 stands for all that are too small, the most for all that are too large.
pub(crate) fn limit_of(limit: &Bound<'_, PyAny>) -> PyResult<usize> {
    if limit.le(0)? {
        return Ok(0);
    }
    match limit.extract::<usize>() {
        Ok(limit) => Ok(limit),
        Err(err) if err.is_instance_of::<pyo3::exceptions::PyOverflowError>(limit.py()) => {
            ferrio_object::swallow(limit.py(), err);
            Ok(usize::MAX)
        }
        // A float: the conversion saturates; a fraction of a byte counts as one.
        Err(_) => Ok((limit.extract::<f64>()? as usize).max(1)),
    }
}

impl Class for StreamReader {
    type Base = Any;
    ferrio_object::fields!(StreamReader {
        event_loop: kept,
        buffer,
        wanted,
        whole,
        taken,
        exported,
        limit,
        eof,
        paused,
        replaced,
        waiter,
        operation: unowned,
        writer: unowned,
        exception,
        transport,
        source_traceback,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.streams.StreamReader";
    const DOC: &'static str = "StreamReader(limit=65536, loop=None)\n--\n\n\
        The bytes of a stream, to be read by coroutines.\n\n\
        limit: the longest line in bytes; with twice as many in the buffer, the transport is paused.";

    fn blank() -> Self {
        StreamReader {
            event_loop: RefCell::new(None),
            buffer: RefCell::new(ReadBuffer::new()),
            whole: ObjCell::empty(),
            taken: Cell::new(0),
            wanted: Cell::new(usize::MAX),
            exported: ObjCell::empty(),
            limit: Cell::new(DEFAULT_LIMIT),
            eof: Cell::new(false),
            paused: Cell::new(false),
            replaced: Replaced::unknown(),
            waiter: ObjCell::empty(),
            operation: Hint::none(),
            writer: Hint::none(),
            exception: ObjCell::empty(),
            transport: ObjCell::empty(),
            source_traceback: ObjCell::empty(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .replaceable()
            .aiter_itself()
            .anext(Self::anext)
            .method1_named("feed_data", Self::feed_data,
                || Signature::new("feed_data", ["data"]),
                "feed_data($self, /, data)\n--\n\nAppend received bytes and wake what waits for them.\n\n\
                 Pauses the transport when more than twice the limit is buffered.")
            .method0("feed_eof", Self::feed_eof, "feed_eof($self, /)\n--\n\nSay that no more bytes will come.")
            .method0("at_eof", Self::at_eof,
                "at_eof($self, /)\n--\n\nWhether the stream has ended and everything has been read.")
            .method1_named("set_exception", Self::set_exception,
                || Signature::new("set_exception", ["exc"]),
                "set_exception($self, /, exc)\n--\n\nMake every read fail with `exc`, the waiting one included.")
            .method1_named("set_transport", Self::set_transport,
                || Signature::new("set_transport", ["transport"]),
                "set_transport($self, /, transport)\n--\n\nSay which transport to pause when the buffer is full.")
            .coroutine("read", Self::read,
                "read($self, n=-1)\n--\n\nCoroutine: read up to n bytes, as soon as there is one; all until the end \
                 for n < 0.\n\nReturns b'' at the end of the stream.")
            .coroutine0("readline", Self::readline,
                "readline($self, /)\n--\n\nCoroutine: read a line with its newline; what is left, at the end of the \
                 stream.\n\nRaises ValueError for a line longer than the limit, which is discarded.")
            .coroutine("readuntil", Self::readuntil,
                "readuntil($self, separator=b'\\n')\n--\n\nCoroutine: read up to and including a separator (a tuple of \
                 separators since 3.13).\n\nRaises IncompleteReadError at the end of the stream, LimitOverrunError \
                 (nothing is read) beyond the limit.")
            .coroutine("readexactly", Self::readexactly,
                "readexactly($self, n)\n--\n\nCoroutine: read exactly n bytes, more than the limit if need be.\n\n\
                 Raises IncompleteReadError if the stream ends before.")
            .method("readinto", Self::readinto,
                "readinto($self, buffer)\n--\n\nCoroutine: read into a writable buffer, as much as there is room for, as \
                 soon as there is a byte.\n\nReturns the number of bytes; 0 at the end of the stream. ferrio only.")
            .method("peek", Self::peek,
                "peek($self, n=-1)\n--\n\nCoroutine: look at the next n bytes without reading them, more than the limit \
                 if need be.\n\nReturns fewer only if the stream ends before. For n < 0: what is there, as soon as there \
                 is a byte. ferrio only.")
            .coroutine("_wait_for_data", Self::wait_for_data, "_wait_for_data($self, func_name)\n--\n\n")
            .method0("_wakeup_waiter", |this: &Obj<Self>, py: Python<'_>| this.wake_waiter(py), "")
            .method0("_maybe_resume_transport", |this: &Obj<Self>, py: Python<'_>| this.resume_if_low(py), "");
        attributes::define(class);
    }
}
