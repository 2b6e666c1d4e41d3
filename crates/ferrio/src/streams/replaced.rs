//! Methods that asyncio calls through `self`, and which a subclass or an instance may have replaced.
//!
//! An object with a replaced method takes the way in this file, step by step as asyncio goes it; all others never come
//! here.

use std::cell::RefCell;

use ferrio_object::{Buffer, MethodSet, Methods, Obj, Replaceable, Replaced, Wait};
use pyo3::exceptions::{PyStopAsyncIteration, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::flow_control::FlowControlMixin;
use super::operation::Op;
use super::read::{Read, Reading};
use super::reader::StreamReader;
use super::writer::StreamWriter;
use crate::coro::{self, Co, Local};
use crate::exceptions;

/// What is called through a reader.
const READER: [&str; 11] = [
    "read",
    "readline",
    "readuntil",
    "exception",
    "feed_data",
    "feed_eof",
    "set_exception",
    "set_transport",
    "_wait_for_data",
    "_wakeup_waiter",
    "_maybe_resume_transport",
];

pub(super) const WAKE: MethodSet = MethodSet::named(&READER, "_wakeup_waiter");

/// What a transport calls through a protocol, what the protocol calls through itself then, and last what a writer calls
/// through it.
const PROTOCOL: [&str; 8] = [
    "connection_made",
    "connection_lost",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "_stream_reader",
    "_drain_helper",
];
pub(super) const DRAIN: MethodSet = MethodSet::named(&PROTOCOL, "_drain_helper");
/// All but that one.
pub(super) const CALLED: MethodSet = MethodSet::first(PROTOCOL.len() - 1);

impl Replaceable for StreamReader {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&READER);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Replaceable for FlowControlMixin {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&PROTOCOL);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

/// Does `feed`, which wakes the waiters, and has `reader._wakeup_waiter()` wake them instead.
///
/// # Errors
/// What either raises.
#[cold]
pub(super) fn wake_by_name(
    reader: &Obj<StreamReader>,
    py: Python<'_>,
    feed: impl FnOnce() -> PyResult<()>,
) -> PyResult<()> {
    let waiter = reader.waiter.take();
    let outcome = feed();
    reader.waiter.set(waiter);
    outcome?;
    reader.bind(py).call_method0(intern!(py, "_wakeup_waiter")).map(drop)
}

/// `writer._protocol._drain_helper()`.
///
/// # Errors
/// What it raises.
pub(super) fn drain_helper(py: Python<'_>, writer: &StreamWriter) -> PyResult<Obj> {
    let protocol = writer.protocol.get().unwrap_or_else(|| Obj::none(py));
    Ok(protocol.bind(py).call_method0(intern!(py, "_drain_helper"))?.into())
}

/// A read through the methods of the reader as they are now.
///
/// # Errors
/// `MemoryError`.
pub(super) fn read(py: Python<'_>, op: Op, reader: &Obj<StreamReader>, given: Option<Obj>) -> PyResult<Obj> {
    coro::coroutine(py, op.name(), move |co| {
        // In the frame from the beginning, where the garbage collector sees them.
        let reader = co.hold(reader);
        let given = given.map(|given| co.hold(given));
        let this = Reads { co, reader };
        async move {
            match op {
                Op::Next => this.next().await,
                Op::ReadLine => this.readline().await,
                _ => this.attempts(op, given).await,
            }
        }
    })
}

/// The reads of one reader.
struct Reads {
    co: Co,
    reader: Local<StreamReader>,
}

impl Reads {
    fn with<R>(&self, f: impl FnOnce(&StreamReader, Python<'_>) -> PyResult<R>) -> PyResult<R> {
        f(&self.reader.get(), self.co.py())
    }

    fn call(&self, name: &str, arg: Option<Obj>) -> PyResult<Obj> {
        let reader = self.reader.get();
        let reader = reader.bind(self.co.py());
        Ok(match arg {
            Some(arg) => reader.call_method1(name, (arg,))?,
            None => reader.call_method0(name)?,
        }
        .into())
    }

    /// What a method of the reader returns, about to be awaited.
    fn wait(&self, name: &str, arg: Option<Obj>) -> PyResult<Wait<'_>> {
        Ok(self.co.wait(self.call(name, arg)?))
    }

    async fn next(&self) -> PyResult<Obj> {
        let line = self.wait("readline", None)?.await?;
        if line.bind(self.co.py()).eq(PyBytes::new(self.co.py(), b""))? {
            return Err(PyStopAsyncIteration::new_err(()));
        }
        Ok(line)
    }

    async fn readline(&self) -> PyResult<Obj> {
        let wait = self.wait("readuntil", Some(PyBytes::new(self.co.py(), b"\n").into()))?;
        let err = match wait.await {
            Ok(line) => return Ok(line),
            Err(err) => err,
        };
        let py = self.co.py();
        if err.is_instance(py, exceptions::class(py, "IncompleteReadError")?.bind(py)) {
            return Ok(err.value(py).getattr("partial")?.into());
        }
        if !err.is_instance(py, exceptions::class(py, "LimitOverrunError")?.bind(py)) {
            return Err(err);
        }
        let consumed: usize = err.value(py).getattr("consumed")?.extract()?;
        let message = err.value(py).getattr("args")?.get_item(0)?.unbind();
        self.with(|reader, py| {
            reader.with_buffer(py, |buffer| {
                if buffer.as_slice().get(consumed) == Some(&b'\n') {
                    buffer.consume(consumed + 1);
                } else {
                    buffer.clear();
                }
            })
        })?;
        self.call("_maybe_resume_transport", None)?;
        let exc = exceptions::value_of(py, PyValueError::new_err((message,)));
        ferrio_object::restore_context(py, &exc, Some(&exceptions::value_of(py, err)));
        Err(ferrio_object::raise(py, &exc))
    }

    /// Attempts with `_wait_for_data` in between; `read(-1)` through `read(limit)`.
    async fn attempts(&self, op: Op, given: Option<Local>) -> PyResult<Obj> {
        let (read, all) = {
            let given = given.map(|given| given.get());
            let read = self.with(|reader, py| Read::begin(op, reader, py, given))?;
            let all = matches!(read, Read::All(_));
            (self.co.keep(Reading { read: RefCell::new(read) }), all)
        };
        if all {
            return self.all().await;
        }
        loop {
            let wait = {
                let read = read.get();
                let found = self.with(|reader, py| read.read.borrow_mut().attempt(reader, py))?;
                if let Some(data) = found {
                    self.call("_maybe_resume_transport", None)?;
                    return Ok(data);
                }
                let name = PyString::new(self.co.py(), read.read.borrow().name()).into();
                self.wait("_wait_for_data", Some(name))?
            };
            wait.await?;
        }
    }

    async fn all(&self) -> PyResult<Obj> {
        let mut blocks = Vec::new();
        loop {
            let limit = self.with(|reader, py| Ok(Obj::from(reader.limit.get().into_pyobject(py)?)));
            let wait = self.wait("read", Some(limit?))?;
            let block = wait.await?;
            let py = self.co.py();
            if !block.bind(py).is_truthy()? {
                return Ok(PyBytes::new(py, &blocks).into());
            }
            Buffer::get(py, &block, false)?.with(py, |block| blocks.extend_from_slice(block));
        }
    }
}
