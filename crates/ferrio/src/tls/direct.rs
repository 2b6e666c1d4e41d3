//! The engine that moves data past Python: OpenSSL reads from the transport's receive buffer and writes into a buffer
//! that is sent.
//!
//! Handshake, shutdown and errors are the `SSLObject`'s, as with the other engine. Where OpenSSL reports an error here, the
//! object is asked to do the same at once: OpenSSL fails again, and the object raises the error as its own.
//!
//! An idle connection holds no buffer. Both kinds are a thread's, lent to a connection while it reads or writes.

use std::cell::Cell;
use std::ops::Deref;

use ferrio_object::{BufferPlace, Obj, PlacedBuffer, SslConnection, new_bytes};
use ferrio_openssl::{Read, Write};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::engine::{Moved, Plaintext};

/// Bytes: a record of full size, and what surrounds it.
const RECORD: usize = 17 * 1024;
/// Up to so many bytes of input are decrypted into a buffer of the thread's and copied: a `bytes` of the right size
/// costs less than one that is made too large and shrunk. More is decrypted where it stays.
const SMALL_INPUT: usize = 4096;
/// Bytes: the largest buffer for output that is kept for the next connection.
const LARGEST_KEPT: usize = 512 * 1024;

thread_local! {
    /// What small input is decrypted into.
    static PLAINTEXT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// What is encrypted into.
    static CIPHERTEXT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Decrypted bytes in a buffer of the thread's, to which it goes back.
pub(super) struct Lent {
    buffer: Vec<u8>,
    len: usize,
}

impl Deref for Lent {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        // A thread that ends has no such buffer any more.
        let _ = PLAINTEXT.try_with(|buffer| buffer.set(std::mem::take(&mut self.buffer)));
    }
}

/// What stopped the reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// There is no more for now.
    Empty,
    /// There is no more room.
    Full,
    Closed,
    Failed,
}

/// Reads as long as there is input and room. `read` gets the number of bytes that are there already.
#[inline]
fn fill(
    connection: &SslConnection,
    room: usize,
    mut read: impl FnMut(usize) -> PyResult<Read>,
) -> PyResult<(usize, Stop)> {
    let mut filled = 0;
    while filled < room {
        match read(filled)? {
            Read::Data(count) => filled += count,
            Read::WouldBlock => return Ok((filled, Stop::Empty)),
            Read::Closed => return Ok((filled, Stop::Closed)),
            Read::Failed => return Ok((filled, Stop::Failed)),
        }
        if !connection.wire().may_read() {
            return Ok((filled, Stop::Empty));
        }
    }
    Ok((filled, Stop::Full))
}

/// Decrypts all that is there, and returns whether the peer has closed. `None`: OpenSSL has failed.
///
/// # Errors
/// `MemoryError`; what a program's callback raises.
pub(super) fn read_all(py: Python<'_>, connection: &SslConnection) -> PyResult<Option<(Plaintext, bool)>> {
    let waiting = connection.wire().input_len();
    let (plaintext, stop) = if waiting > SMALL_INPUT {
        read_bulk(py, connection, waiting)?
    } else {
        let (lent, stop) = read_small(py, connection)?;
        (if lent.is_empty() { Plaintext::Nothing } else { Plaintext::Lent(lent) }, stop)
    };
    Ok((stop != Stop::Failed).then_some((plaintext, stop == Stop::Closed)))
}

/// Decrypts into a buffer of the thread's.
fn read_small(py: Python<'_>, connection: &SslConnection) -> PyResult<(Lent, Stop)> {
    let mut lent = Lent { buffer: PLAINTEXT.take(), len: 0 };
    loop {
        if lent.len == lent.buffer.len() {
            lent.buffer.resize(lent.len + SMALL_INPUT + RECORD, 0);
        }
        let room = &mut lent.buffer[lent.len..];
        let (filled, stop) = fill(connection, room.len(), |filled| connection.read(py, &mut room[filled..]))?;
        lent.len += filled;
        if stop != Stop::Full {
            return Ok((lent, stop));
        }
    }
}

/// Decrypts into a `bytes` object.
fn read_bulk(py: Python<'_>, connection: &SslConnection, waiting: usize) -> PyResult<(Plaintext, Stop)> {
    // Plaintext is shorter than what it was encrypted to; OpenSSL holds one record at most.
    let room = if connection.wire().has_buffered() { waiting + RECORD } else { waiting };
    let mut stop = Stop::Empty;
    let data = new_bytes(py, room, |buffer| {
        let (filled, why) =
            fill(connection, room, |filled| connection.read_uninit(py, &mut buffer[filled..]))?;
        stop = why;
        Ok::<_, PyErr>(filled)
    })??;
    let data = data.into_bound(py).cast_into::<PyBytes>()?;
    if stop != Stop::Full {
        let plaintext = if data.as_bytes().is_empty() {
            Plaintext::Nothing
        } else {
            Plaintext::Bytes(data.into_any().into())
        };
        return Ok((plaintext, stop));
    }
    // Compressed by the peer.
    let (rest, stop) = read_small(py, connection)?;
    let data: Obj = PyBytes::new(py, &[data.as_bytes(), &rest].concat()).into_any().into();
    Ok((Plaintext::Bytes(data), stop))
}

/// Decrypts into a program's buffer. `None`: OpenSSL has failed.
///
/// # Errors
/// `TypeError` for what is no buffer, `BufferError` for one that cannot be written to; what a callback raises.
pub(super) fn read_into(
    py: Python<'_>,
    connection: &SslConnection,
    buffer: &Bound<'_, PyAny>,
    from: usize,
    to: usize,
) -> PyResult<Option<Moved<usize>>> {
    let mut place = BufferPlace::new();
    let buffer = PlacedBuffer::get_in(&mut place, py, Obj::of(buffer), true)?;
    let cells = buffer.cells(py);
    let room = &cells[from.min(cells.len())..to.min(cells.len())];
    let (filled, stop) = fill(connection, room.len(), |filled| connection.read_cells(py, &room[filled..]))?;
    Ok(match stop {
        // The rest of what was said is said again at the next call.
        _ if filled > 0 => Some(Moved::Some(filled)),
        Stop::Empty | Stop::Full => Some(Moved::Nothing),
        Stop::Closed => Some(Moved::Closed),
        Stop::Failed => None,
    })
}

/// Encrypts as much of `data` as can be; returns how much, and whether OpenSSL has failed at what follows.
///
/// # Errors
/// What a program's callback raises.
pub(super) fn write(py: Python<'_>, connection: &SslConnection, data: &[u8]) -> PyResult<(usize, bool)> {
    let wire = connection.wire();
    if wire.output_len() == 0 {
        let mut buffer = CIPHERTEXT.take();
        wire.swap_output(&mut buffer);
    }
    let mut taken = 0;
    while taken < data.len() {
        match connection.write(py, &data[taken..])? {
            Write::Taken(count) => taken += count,
            Write::WouldBlock => break,
            Write::Failed => return Ok((taken, true)),
        }
    }
    Ok((taken, false))
}

/// Has the output sent, and takes its buffer back.
///
/// # Errors
/// What `send` raises.
pub(super) fn take_output(
    connection: &SslConnection,
    send: impl FnOnce(&[u8]) -> PyResult<()>,
) -> PyResult<()> {
    let mut output = connection.wire().take_output();
    let outcome = if output.is_empty() { Ok(()) } else { send(&output) };
    if (1..=LARGEST_KEPT).contains(&output.capacity()) {
        output.clear();
        CIPHERTEXT.set(output);
    }
    outcome
}
