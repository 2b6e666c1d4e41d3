//! What `read`, `readline`, `readuntil` and `readexactly` do: how a read begins, and one attempt at it on what is in
//! the buffer. An attempt that finds too little is repeated after more bytes have come.

use std::cell::RefCell;

use ferrio_core::read_buffer::{LimitOverrun, ReadBuffer, Search, SearchState, check_separators};
use ferrio_object::{Buffer, Obj, restore_context};
use pyo3::exceptions::{PyOverflowError, PyStopAsyncIteration, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::operation::Op;
use super::reader::StreamReader;
use crate::exceptions;

/// A read that has begun.
pub(super) enum Read {
    /// At most so many bytes, as soon as there is one.
    UpTo(usize),
    /// Everything until the end; what has come so far.
    All(Vec<u8>),
    Exactly(usize),
    /// As many as a buffer of the caller's takes, as soon as there is one.
    Into(Obj),
    /// So many bytes, or with `None` those that are there as soon as there is one; they stay where they are.
    Peek(Option<usize>),
    /// A line, and whether it is the next of an `async for`.
    Line {
        search: SearchState,
        next: bool,
    },
    Until {
        separators: Separators,
        search: SearchState,
    },
    /// Any bytes, which stay where they are: `_wait_for_data`.
    Data {
        name: String,
        waited: bool,
    },
}

ferrio_object::traverse!(enum Read {
    UpTo(count),
    All(blocks),
    Exactly(count),
    Into(buffer),
    Peek(count),
    Line { search, next },
    Until { separators, search },
    Data { name, waited },
});

/// A read under way in a coroutine's frame, which drops it whole.
pub(super) struct Reading {
    pub(super) read: RefCell<Read>,
}

ferrio_object::traverse!(
    struct Reading {
        read: kept,
    }
);

/// What ends a message.
pub(super) enum Separators {
    One(Obj),
    Many(Box<[Vec<u8>]>),
}

ferrio_object::traverse!(
    enum Separators {
        One(separator),
        Many(separators),
    }
);

impl Read {
    /// Checks the argument and the state of the stream, in asyncio's order.
    ///
    /// # Errors
    /// `ValueError`, `TypeError`; the exception with which the stream has failed.
    #[inline]
    pub(super) fn begin(op: Op, reader: &StreamReader, py: Python<'_>, given: Option<Obj>) -> PyResult<Read> {
        let read = match (op, given) {
            (Op::ReadLine, _) => Read::Line { search: SearchState::new(), next: false },
            (Op::Next, _) => Read::Line { search: SearchState::new(), next: true },
            (Op::ReadUntil, None) => {
                let newline = Separators::One(PyBytes::new(py, b"\n").into());
                Read::Until { separators: newline, search: SearchState::new() }
            }
            (Op::ReadUntil, Some(separator)) => {
                Read::Until { separators: separators_of(py, separator)?, search: SearchState::new() }
            }
            (Op::Read, Some(n)) => match count(&n, py)? {
                Count::Negative => Read::All(Vec::new()),
                Count::Of(n) => Read::UpTo(n),
            },
            (Op::ReadExactly, Some(n)) => match count(&n, py)? {
                Count::Negative => {
                    return Err(PyValueError::new_err("readexactly size can not be less than zero"));
                }
                Count::Of(n) => Read::Exactly(n),
            },
            (Op::ReadInto, Some(buffer)) => {
                // What cannot be written is refused before anything is waited for.
                drop(Buffer::get(py, &buffer, true)?);
                Read::Into(buffer)
            }
            (Op::Peek, None) => Read::Peek(None),
            (Op::Peek, Some(n)) => match count(&n, py)? {
                Count::Negative => Read::Peek(None),
                Count::Of(n) => Read::Peek(Some(n)),
            },
            (Op::WaitForData, Some(name)) => {
                return Ok(Read::Data { name: name.bind(py).str()?.to_string(), waited: false });
            }
            _ => Read::All(Vec::new()),
        };
        reader.check(py)?;
        Ok(read)
    }

    /// The name that the complaint about two readers carries.
    pub(super) fn name(&self) -> &str {
        match self {
            Read::UpTo(_) | Read::All(_) => "read",
            Read::Exactly(_) => "readexactly",
            Read::Into(_) => "readinto",
            Read::Peek(_) => "peek",
            Read::Line { .. } | Read::Until { .. } => "readuntil",
            Read::Data { name, .. } => name,
        }
    }

    /// How many bytes it can do with as they come, without looking for something in the buffer.
    #[inline]
    pub(super) fn wanted(&self) -> usize {
        match self {
            Read::UpTo(_) | Read::Line { .. } => 1,
            Read::Exactly(n) => *n,
            _ => usize::MAX,
        }
    }

    /// Reads, if enough has come or the stream has ended.
    ///
    /// # Errors
    /// `IncompleteReadError`, `LimitOverrunError`, `ValueError` (an overlong line), `StopAsyncIteration` (no next
    /// line); what the transport raises when it is resumed.
    #[inline]
    pub(super) fn attempt(&mut self, reader: &StreamReader, py: Python<'_>) -> PyResult<Option<Obj>> {
        let eof = reader.eof.get();
        let data = match self {
            Read::UpTo(0) | Read::Exactly(0) | Read::Peek(Some(0)) => {
                return Ok(Some(PyBytes::new(py, b"").into()));
            }
            Read::UpTo(most) if reader.whole.is_some() => reader.take_whole(py, *most),
            Read::UpTo(most) => reader.with_buffer(py, |buffer| {
                let there = eof || !buffer.is_empty();
                there.then(|| taken(reader, py, buffer, buffer.len().min(*most))).transpose()
            })??,
            Read::Exactly(n) if reader.whole_len().is_some_and(|len| len >= *n) => reader.take_whole(py, *n),
            Read::Exactly(n) => {
                let data = reader.with_buffer(py, |buffer| {
                    (buffer.len() >= *n).then(|| taken(reader, py, buffer, *n)).transpose()
                })??;
                if data.is_none() && eof {
                    return Err(incomplete(reader, py, Some(*n))?);
                }
                data
            }
            Read::Into(buffer) => into(reader, py, buffer, eof)?,
            Read::Peek(n) => {
                return reader.with_buffer(py, |buffer| {
                    let there = buffer.as_slice();
                    let enough = there.len() >= n.unwrap_or(1);
                    let most = n.unwrap_or(there.len()).min(there.len());
                    (eof || enough).then(|| PyBytes::new(py, &there[..most]).into())
                });
            }
            Read::All(blocks) => return all(reader, py, blocks, eof),
            Read::Line { search, next } => match line(reader, py, search, eof)? {
                Some(line) if *next && eof && line.bind(py).is_empty()? => {
                    return Err(PyStopAsyncIteration::new_err(()));
                }
                line => line,
            },
            Read::Until { separators, search } => until(reader, py, separators, search, eof)?,
            Read::Data { waited, .. } => {
                return Ok(std::mem::replace(waited, true).then(|| Obj::none(py)));
            }
        };
        if data.is_some() {
            reader.resume_if_low(py)?;
        }
        Ok(data)
    }
}

/// Fills as much of `buffer` as there are bytes for. The buffer is asked for anew each time: nobody is kept from
/// resizing it while we wait.
fn into(reader: &StreamReader, py: Python<'_>, buffer: &Obj, eof: bool) -> PyResult<Option<Obj>> {
    let target = Buffer::get(py, buffer, true)?;
    let there = reader.len(py)?;
    if there == 0 && !target.is_empty() && !eof {
        return Ok(None);
    }
    let count = there.min(target.len());
    let whole = reader.take_whole(py, count);
    match &whole {
        Some(data) => target.fill(py, ferrio_object::bytes_of(data).unwrap_or_default()),
        None => target.fill(py, reader.buffer.borrow_mut().consume(count)),
    };
    drop(target);
    reader.export(py)?;
    Ok(Some(count.into_pyobject(py)?.into_any().into()))
}

/// Everything that was read so far, once the stream has ended. What comes meanwhile is taken out of the buffer, or
/// the transport would stay paused.
fn all(reader: &StreamReader, py: Python<'_>, blocks: &mut Vec<u8>, eof: bool) -> PyResult<Option<Obj>> {
    let took = reader.with_buffer(py, |buffer| {
        blocks.extend_from_slice(buffer.consume(buffer.len()));
    });
    took?;
    reader.resume_if_low(py)?;
    reader.check(py)?;
    Ok(eof.then(|| PyBytes::new(py, &std::mem::take(blocks)).into()))
}

fn line(reader: &StreamReader, py: Python<'_>, search: &mut SearchState, eof: bool) -> PyResult<Option<Obj>> {
    let limit = reader.limit.get();
    if let Some(len) = reader.whole_line(limit) {
        return Ok(reader.take_whole(py, len));
    }
    let found = reader.with_buffer(py, |buffer| match buffer.find_line(limit, eof, search) {
        Search::Found { end } => Ok(taken(reader, py, buffer, end).map(Some)),
        Search::NeedMore => Ok(Ok(None)),
        Search::Incomplete => Ok(taken(reader, py, buffer, buffer.len()).map(Some)),
        Search::Overrun(overrun) => {
            buffer.discard_line(overrun);
            Err(overrun)
        }
    })?;
    match found {
        Ok(line) => line,
        Err(overrun) => {
            reader.resume_if_low(py)?;
            Err(overlong(py, overrun)?)
        }
    }
}

/// The `ValueError` of `readline`, raised while handling the `LimitOverrunError` of `readuntil`.
#[cold]
fn overlong(py: Python<'_>, overrun: LimitOverrun) -> PyResult<PyErr> {
    let context = exceptions::value_of(py, limit_overrun(py, overrun)?);
    let exc = exceptions::value_of(py, PyValueError::new_err(overrun.message()));
    restore_context(py, &exc, Some(&context));
    Ok(ferrio_object::raise(py, &exc))
}

fn until(
    reader: &StreamReader,
    py: Python<'_>,
    separators: &Separators,
    search: &mut SearchState,
    eof: bool,
) -> PyResult<Option<Obj>> {
    let limit = reader.limit.get();
    let found = reader.with_buffer(py, |buffer| {
        let found = match separators {
            Separators::One(separator) => {
                let separator = ferrio_object::bytes_of(separator).unwrap_or_default();
                buffer.find_until(&[separator], limit, eof, search)
            }
            Separators::Many(separators) => buffer.find_until(separators, limit, eof, search),
        };
        match found {
            Search::Found { end } => Ok(taken(reader, py, buffer, end)),
            other => Err(other),
        }
    })?;
    match found {
        Ok(message) => message.map(Some),
        Err(Search::Overrun(overrun)) => Err(limit_overrun(py, overrun)?),
        Err(Search::Incomplete) => Err(incomplete(reader, py, None)?),
        Err(_) => Ok(None),
    }
}

#[inline]
fn taken(reader: &StreamReader, py: Python<'_>, buffer: &mut ReadBuffer, n: usize) -> PyResult<Obj> {
    let data = &buffer.as_slice()[..n];
    let data = reader.new_bytes(py, data)?;
    buffer.consume(n);
    Ok(data)
}

enum Count {
    Negative,
    Of(usize),
}

fn count(n: &Obj, py: Python<'_>) -> PyResult<Count> {
    let n = n.bind(py);
    match n.extract::<isize>() {
        Ok(n) => Ok(usize::try_from(n).map_or(Count::Negative, Count::Of)),
        Err(err) if err.is_instance_of::<PyOverflowError>(py) => {
            ferrio_object::swallow(py, err);
            Ok(if n.lt(0)? { Count::Negative } else { Count::Of(usize::MAX) })
        }
        // What asyncio does first is to compare it.
        Err(err) => Err(n.lt(0).err().unwrap_or(err)),
    }
}

fn separators_of(py: Python<'_>, given: Obj) -> PyResult<Separators> {
    let bound = given.bind(py);
    if bound.is_exact_instance_of::<PyBytes>() {
        check_one(ferrio_object::bytes_of(&given).unwrap_or_default())?;
        return Ok(Separators::One(given));
    }
    let separators = match bound.cast::<PyTuple>() {
        Ok(several) => several.iter().map(|separator| separator_of(&separator)).collect::<PyResult<_>>()?,
        Err(_) => vec![separator_of(bound)?],
    };
    check_separators(&separators).map_err(|bad| PyValueError::new_err(bad.to_string()))?;
    Ok(Separators::Many(separators.into()))
}

fn separator_of(separator: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let py = separator.py();
    separator.len()?;
    match Buffer::get(py, &separator.into(), false) {
        Ok(buffer) => Ok(buffer.to_vec(py)),
        Err(err) => {
            ferrio_object::swallow(py, err);
            let name = separator.get_type().name()?;
            Err(PyTypeError::new_err(format!(
                "argument should be integer or bytes-like object, not '{name}'"
            )))
        }
    }
}

fn check_one(separator: &[u8]) -> PyResult<()> {
    check_separators(&[separator]).map_err(|bad| PyValueError::new_err(bad.to_string()))
}

#[cold]
fn limit_overrun(py: Python<'_>, overrun: LimitOverrun) -> PyResult<PyErr> {
    let class = exceptions::class(py, "LimitOverrunError")?;
    Ok(PyErr::from_value(class.bind(py).call1((overrun.message(), overrun.consumed))?))
}

/// Empties the buffer into an `IncompleteReadError`.
#[cold]
fn incomplete(reader: &StreamReader, py: Python<'_>, expected: Option<usize>) -> PyResult<PyErr> {
    let partial = reader.with_buffer(py, |buffer| taken(reader, py, buffer, buffer.len()))??;
    let class = exceptions::class(py, "IncompleteReadError")?;
    Ok(PyErr::from_value(class.bind(py).call1((partial, expected))?))
}
