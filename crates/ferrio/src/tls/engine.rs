//! What encrypts and decrypts.
//!
//! An engine has ciphertext put in and taken out, and moves data. Handshake and shutdown run through Python's
//! `SSLObject` with every engine, and so does every error: the exceptions are `ssl`'s own.

use ferrio_object::Obj;
use pyo3::prelude::*;

use super::direct::Lent;
use crate::transports::Chunk;

/// What became of an attempt to move data.
pub(super) enum Moved<T> {
    /// So much was moved.
    Some(T),
    /// Nothing, until more comes from the peer.
    Nothing,
    /// The peer has sent its `close_notify`.
    Closed,
}

/// What was decrypted in one go.
pub(super) enum Plaintext {
    Nothing,
    Bytes(Obj),
    /// In a buffer of the engine's.
    Lent(Lent),
}

pub(super) trait Engine {
    /// Has `data`, ciphertext from the peer, there to be read while `step` runs. What is not read by then is kept.
    ///
    /// # Errors
    /// What `step` raises, `MemoryError`.
    fn with_input(&self, py: Python<'_>, data: &[u8], step: impl FnOnce() -> PyResult<()>) -> PyResult<()>;

    /// How many bytes of ciphertext wait to be read.
    ///
    /// # Errors
    /// What Python's objects raise.
    fn input_len(&self, py: Python<'_>) -> PyResult<usize>;

    /// Decrypts all that is there. Also returns whether the peer has closed.
    ///
    /// # Errors
    /// `ssl.SSLError`.
    fn read_all(&self, py: Python<'_>) -> PyResult<(Plaintext, bool)>;

    /// Decrypts into a writable buffer of a program's, from byte `from` to byte `to`.
    ///
    /// # Errors
    /// `ssl.SSLError`, `TypeError` for what is no buffer.
    fn read_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        from: usize,
        to: usize,
    ) -> PyResult<Moved<usize>>;

    /// Encrypts the beginning of `data`; returns how much of it.
    ///
    /// # Errors
    /// `ssl.SSLError`.
    fn write(&self, py: Python<'_>, data: &Chunk) -> PyResult<Moved<usize>>;

    /// How many bytes of ciphertext wait to be sent.
    ///
    /// # Errors
    /// What Python's objects raise.
    fn output_len(&self, py: Python<'_>) -> PyResult<usize>;

    /// Takes the ciphertext that waits to be sent, if there is any, and has it sent.
    ///
    /// # Errors
    /// What `send` raises.
    fn take_output(&self, py: Python<'_>, send: impl FnOnce(&[u8]) -> PyResult<()>) -> PyResult<()>;
}
