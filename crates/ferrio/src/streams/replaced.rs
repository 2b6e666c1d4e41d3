//! Methods that asyncio calls through `self`, and which a subclass or an instance may have replaced.
//!
//! What a class replaces is found out once, when the object is made; what is set on an instance is noticed when it is
//! set. An object with a replaced method takes the way in this file, step by step as asyncio goes it; all others
//! never come here.

use std::cell::RefCell;

use ferrio_object::{Buffer, Class, ClassDef, Obj, Wait};
use pyo3::exceptions::{PyStopAsyncIteration, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::operation::Op;
use super::read::Read;
use super::reader::StreamReader;
use super::writer::StreamWriter;
use crate::coro::{self, Co, Local};
use crate::exceptions;

/// What is called through a reader.
pub(super) const READER: [&str; 11] = [
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

/// What a writer calls through a protocol.
pub(super) const DRAIN: [&str; 1] = ["_drain_helper"];

/// What a transport calls through a protocol, and what the protocol calls through itself then.
pub(super) const PROTOCOL: [&str; 7] = [
    "connection_made",
    "connection_lost",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "_stream_reader",
];

/// Whether the class of `this` has one of `names` from somewhere else than `T`.
///
/// # Errors
/// What a metaclass raises.
pub(super) fn by_class<T: Class>(py: Python<'_>, this: &Obj<T>, names: &[&str]) -> PyResult<bool> {
    let native = ClassDef::type_object::<T>(py);
    let class = this.bind(py).get_type();
    for name in names {
        let name = PyString::intern(py, name);
        let ours = native.bind(py).getattr_opt(&name)?;
        let theirs = class.getattr_opt(&name)?;
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if theirs.is(&ours) => {}
            (None, None) => {}
            _ => return Ok(true),
        }
    }
    Ok(false)
}

pub(super) fn is_named(name: &Bound<'_, PyAny>, names: &[&str]) -> PyResult<bool> {
    match name.cast::<PyString>() {
        Ok(name) => Ok(names.contains(&name.to_str()?)),
        Err(_) => Ok(false),
    }
}

/// Notices a method that is set on a reader.
pub(super) fn reader_setattr(
    this: &Obj<StreamReader>,
    _py: Python<'_>,
    name: &Bound<'_, PyAny>,
    _value: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    if is_named(name, &READER)? {
        this.replaced.set(true);
    }
    Ok(false)
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
            (self.co.keep(RefCell::new(read)), all)
        };
        if all {
            return self.all().await;
        }
        loop {
            let wait = {
                let read = read.get();
                let found = self.with(|reader, py| read.borrow_mut().attempt(reader, py))?;
                if let Some(data) = found {
                    self.call("_maybe_resume_transport", None)?;
                    return Ok(data);
                }
                let name = PyString::new(self.co.py(), read.borrow().name()).into();
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
