//! Which engine a connection has: the direct one where it is possible, unless `FERRIO_TLS` says otherwise.

use std::cell::RefCell;

use ferrio_object::{Obj, Sharing, SslConnection, Unsuitable, ssl_library};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::direct;
use super::engine::{Engine, Moved, Plaintext};
use super::portable::Portable;
use crate::transports::Chunk;

/// The environment variable with the user's choice.
const ENV: &str = "FERRIO_TLS";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Auto,
    Portable,
    Direct,
}

impl Choice {
    /// The user's choice.
    ///
    /// # Errors
    /// What is wrong with it.
    fn from_env() -> Result<Choice, String> {
        let name = std::env::var_os(ENV).unwrap_or_default();
        match name.to_string_lossy().as_ref() {
            "" | "auto" => Ok(Choice::Auto),
            "portable" => Ok(Choice::Portable),
            "direct" => Ok(Choice::Direct),
            name => Err(format!("unknown value {name:?} in {ENV}: use portable, direct or auto")),
        }
    }
}

/// The engines of one connection: the portable one, which has Python's objects, and where it can be, the direct one,
/// which then does all that moves data.
#[derive(Default)]
pub(super) struct Engines {
    pub(super) portable: Portable,
    direct: RefCell<Option<Sharing<SslConnection>>>,
}

ferrio_object::traverse!(struct Engines { portable, direct });

impl Engines {
    /// Makes Python's objects, and chooses.
    ///
    /// # Errors
    /// What the context's `wrap_bio()` raises. `ValueError` for a choice that is none, `RuntimeError` for one that cannot
    /// be met.
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        context: &Obj,
        server_side: bool,
        hostname: Option<&Obj>,
    ) -> PyResult<()> {
        let choice = Choice::from_env().map_err(PyValueError::new_err)?;
        self.release();
        self.portable.begin(py, context, server_side, hostname)?;
        if choice == Choice::Portable {
            return Ok(());
        }
        match self.take_over(py)? {
            Ok(connection) => {
                let old = self.direct.replace(Some(Sharing::new(connection)));
                drop(old);
                Ok(())
            }
            Err(unsuitable) if choice == Choice::Direct => {
                Err(PyRuntimeError::new_err(format!("{ENV}=direct is not possible: {unsuitable}")))
            }
            Err(_) => Ok(()),
        }
    }

    fn take_over(&self, py: Python<'_>) -> PyResult<Result<SslConnection, Unsuitable>> {
        let unsuitable = |reason| Ok(Err(Unsuitable::because(reason)));
        let (Some(incoming), Some(outgoing)) = (self.portable.incoming.get(), self.portable.outgoing.get())
        else {
            return unsuitable("there is no memory");
        };
        match self.portable.socket(py)? {
            Some(socket) => SslConnection::take_over(py, &socket, &incoming, &outgoing),
            None => unsuitable("the context's objects read and write in a way of their own"),
        }
    }

    /// Which one moves the data.
    pub(super) fn name(&self) -> &'static str {
        if self.direct.borrow().is_some() { "direct" } else { "portable" }
    }

    /// Goes on with the portable engine, with what the direct one has.
    fn release(&self) {
        let Some(connection) = self.direct.take() else { return };
        connection.wire().release();
        // What a caller below has of it ends there.
        drop(connection);
    }

    /// Puts another object in the place of the `SSLObject`.
    ///
    /// # Errors
    /// What looking at it raises.
    pub(super) fn set_object(&self, py: Python<'_>, object: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.release();
        self.portable.set_object(py, object)
    }

    /// The `ssl.MemoryBIO` of what comes from the peer. A program that looks at it may write to it.
    pub(super) fn incoming(&self) -> Option<Obj> {
        self.release();
        self.portable.incoming.get()
    }

    /// The `ssl.MemoryBIO` of what goes to the peer.
    pub(super) fn outgoing(&self) -> Option<Obj> {
        self.release();
        self.portable.outgoing.get()
    }

    #[inline]
    fn with_direct<R>(&self, f: impl FnOnce(&SslConnection) -> R) -> Option<R> {
        // Shared while it is in use, because a program's callback may have it released.
        let connection = self.direct.borrow().as_ref().map(Sharing::share)?;
        Some(f(&connection))
    }
}

impl Engine for Engines {
    fn with_input(&self, py: Python<'_>, data: &[u8], step: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        let connection = self.direct.borrow().as_ref().map(Sharing::share);
        match connection {
            Some(connection) => connection.wire().feed(data, step),
            None => self.portable.with_input(py, data, step),
        }
    }

    fn input_len(&self, py: Python<'_>) -> PyResult<usize> {
        match self.with_direct(|connection| connection.wire().input_len()) {
            Some(len) => Ok(len),
            None => self.portable.input_len(py),
        }
    }

    fn read_all(&self, py: Python<'_>) -> PyResult<(Plaintext, bool)> {
        match self.with_direct(|connection| direct::read_all(py, connection)).transpose()?.flatten() {
            Some(read) => Ok(read),
            None => self.portable.read_all(py),
        }
    }

    fn read_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        from: usize,
        to: usize,
    ) -> PyResult<Moved<usize>> {
        let read = self.with_direct(|connection| direct::read_into(py, connection, buffer, from, to));
        match read.transpose()?.flatten() {
            Some(read) => Ok(read),
            None => self.portable.read_into(py, buffer, from, to),
        }
    }

    fn write(&self, py: Python<'_>, data: &Chunk) -> PyResult<Moved<usize>> {
        let bytes = data.as_ref();
        match self.with_direct(|connection| direct::write(py, connection, bytes)).transpose()? {
            None | Some((0, true)) => self.portable.write(py, data),
            Some((taken, true)) => match self.portable.write(py, &Chunk::Copied(bytes[taken..].to_vec()))? {
                Moved::Some(count) => Ok(Moved::Some(taken + count)),
                Moved::Nothing | Moved::Closed => Ok(Moved::Some(taken)),
            },
            Some((0, false)) if !bytes.is_empty() => Ok(Moved::Nothing),
            Some((taken, false)) => Ok(Moved::Some(taken)),
        }
    }

    fn output_len(&self, py: Python<'_>) -> PyResult<usize> {
        match self.with_direct(|connection| connection.wire().output_len()) {
            Some(len) => Ok(len),
            None => self.portable.output_len(py),
        }
    }

    fn take_output(&self, py: Python<'_>, send: impl FnOnce(&[u8]) -> PyResult<()>) -> PyResult<()> {
        let connection = self.direct.borrow().as_ref().map(Sharing::share);
        match connection {
            Some(connection) => direct::take_output(&connection, send),
            None => self.portable.take_output(py, send),
        }
    }
}

/// The engine that connections have, and why: a line of `ferrio doctor`.
pub(crate) fn report(py: Python<'_>) -> String {
    let asked = match Choice::from_env() {
        Err(wrong) => return wrong,
        Ok(Choice::Portable) => return format!("portable ({ENV} asks for it)"),
        Ok(Choice::Direct) => format!(" ({ENV} asks for it)"),
        Ok(Choice::Auto) => String::new(),
    };
    match ssl_library(py) {
        Ok(library) => format!("direct{asked}: {} in {}", library.version(), library.path().display()),
        Err(unsuitable) if asked.is_empty() => format!("portable: {unsuitable}"),
        Err(unsuitable) => format!("direct is not possible{asked}: {unsuitable}"),
    }
}
