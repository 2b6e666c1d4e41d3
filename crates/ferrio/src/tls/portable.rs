//! The engine that serves every context: Python's `SSLObject` over two `MemoryBIO`s.
//!
//! The methods of an object of exactly `ssl.SSLObject` are called past its Python functions, on the C object within,
//! so that a record costs no Python frame. Any other object (a context's own `sslobject_class`, a test's mock) is asked
//! by name.

use ferrio_object::{Obj, ObjCell, bytes_of};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString};

use super::engine::{Engine, Moved, Plaintext};
use super::ssl_module::{ssl, wants_more};
use crate::transports::Chunk;

/// How many bytes are asked for at once: asyncio's `SSLProtocol.max_size`.
pub(super) const MAX_SIZE: usize = 256 * 1024;

/// Python's objects for one connection.
#[derive(Default)]
pub(super) struct Portable {
    /// The `ssl.SSLObject`.
    object: ObjCell,
    /// The C object in it, where calling that means the same.
    inner: ObjCell,
    /// The `ssl.MemoryBIO`s of the two directions.
    pub(super) incoming: ObjCell,
    pub(super) outgoing: ObjCell,
}

ferrio_object::traverse!(struct Portable { object, inner, incoming, outgoing });

impl Portable {
    /// Makes the object of a connection with the context's own `wrap_bio()`.
    ///
    /// # Errors
    /// What that raises.
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        context: &Obj,
        server_side: bool,
        hostname: Option<&Obj>,
    ) -> PyResult<()> {
        let bio = ssl(py)?.getattr(intern!(py, "MemoryBIO"))?;
        let (incoming, outgoing) = (bio.call0()?, bio.call0()?);
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item(intern!(py, "server_side"), server_side)?;
        kwargs.set_item(intern!(py, "server_hostname"), hostname)?;
        let wrapped =
            context.bind(py).call_method(intern!(py, "wrap_bio"), (&incoming, &outgoing), Some(&kwargs))?;
        self.incoming.set(Some(incoming.into()));
        self.outgoing.set(Some(outgoing.into()));
        self.set_object(py, Some(&wrapped))
    }

    /// The `ssl.SSLObject`, or what a program has put in its place.
    pub(super) fn object(&self) -> Option<Obj> {
        self.object.get()
    }

    /// The `_ssl._SSLSocket` of an `ssl.SSLObject`, if to read and to write is what that does: a subclass may have other
    /// ways of its own.
    ///
    /// # Errors
    /// What looking at it raises.
    pub(super) fn socket(&self, py: Python<'_>) -> PyResult<Option<Obj>> {
        if let Some(inner) = self.inner.get() {
            return Ok(Some(inner));
        }
        let class = ssl(py)?.getattr(intern!(py, "SSLObject"))?;
        let Some(object) = self.object.get() else { return Ok(None) };
        let object = object.bind(py);
        if !object.is_instance(&class)? {
            return Ok(None);
        }
        for name in [intern!(py, "read"), intern!(py, "write")] {
            let usual = class.getattr(name)?;
            let method = object.getattr(name)?;
            if !method.getattr(intern!(py, "__func__")).is_ok_and(|function| function.is(&usual)) {
                return Ok(None);
            }
        }
        Ok(Obj::unless_none(Some(&object.getattr(intern!(py, "_sslobj"))?)))
    }

    /// Puts another object in its place.
    ///
    /// # Errors
    /// What looking at it raises.
    pub(super) fn set_object(&self, py: Python<'_>, object: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let inner = match object {
            Some(object) if object.get_type().is(&ssl(py)?.getattr(intern!(py, "SSLObject"))?) => {
                Obj::unless_none(Some(&object.getattr(intern!(py, "_sslobj"))?))
            }
            _ => None,
        };
        self.inner.set(inner);
        self.object.set(object.map(Obj::from));
        Ok(())
    }

    /// The object to call, and whether it is the C object.
    fn target(&self, py: Python<'_>) -> (Obj, bool) {
        match self.inner.get() {
            Some(inner) => (inner, true),
            None => (self.object.get().unwrap_or_else(|| Obj::none(py)), false),
        }
    }

    /// Goes on with the handshake.
    ///
    /// # Errors
    /// `ssl.SSLError`; one that [`wants_more`] if the peer has to send something first.
    pub(super) fn handshake(&self, py: Python<'_>) -> PyResult<()> {
        self.target(py).0.bind(py).call_method0(intern!(py, "do_handshake")).map(drop)
    }

    /// Goes on with the shutdown.
    ///
    /// # Errors
    /// As [`Self::handshake`].
    pub(super) fn unwrap(&self, py: Python<'_>) -> PyResult<()> {
        let (target, is_inner) = self.target(py);
        let name = if is_inner { intern!(py, "shutdown") } else { intern!(py, "unwrap") };
        target.bind(py).call_method0(name).map(drop)
    }

    /// What a method of the `SSLObject` says after the handshake.
    ///
    /// # Errors
    /// What it raises.
    pub(super) fn ask<'py>(
        &self,
        py: Python<'py>,
        method: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.object.get().unwrap_or_else(|| Obj::none(py)).bind(py).call_method0(method)
    }

    fn pending(py: Python<'_>, bio: &ObjCell) -> PyResult<usize> {
        match bio.get() {
            Some(bio) => bio.bind(py).getattr(intern!(py, "pending"))?.extract(),
            None => Ok(0),
        }
    }
}

impl Engine for Portable {
    fn with_input(&self, py: Python<'_>, data: &[u8], step: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        if let Some(incoming) = self.incoming.get()
            && !data.is_empty()
        {
            incoming.bind(py).call_method1(intern!(py, "write"), (PyBytes::new(py, data),))?;
        }
        step()
    }

    fn input_len(&self, py: Python<'_>) -> PyResult<usize> {
        Self::pending(py, &self.incoming)
    }

    fn read_all(&self, py: Python<'_>) -> PyResult<(Plaintext, bool)> {
        let (target, _) = self.target(py);
        let mut first: Option<Obj> = None;
        let mut more: Vec<Obj> = Vec::new();
        let closed = loop {
            match target.bind(py).call_method1(intern!(py, "read"), (MAX_SIZE,)) {
                Ok(chunk) if !chunk.is_truthy()? => break true,
                Ok(chunk) if first.is_none() => first = Some(chunk.into()),
                Ok(chunk) => more.push(chunk.into()),
                Err(err) if wants_more(py, &err) => {
                    ferrio_object::swallow(py, err);
                    break false;
                }
                Err(err) => return Err(err),
            }
        };
        let Some(first) = first else { return Ok((Plaintext::Nothing, closed)) };
        if more.is_empty() {
            return Ok((Plaintext::Bytes(first), closed));
        }
        let pieces: Vec<&[u8]> =
            std::iter::once(&first).chain(&more).map(|piece| bytes_of(piece).unwrap_or_default()).collect();
        Ok((Plaintext::Bytes(PyBytes::new(py, &pieces.concat()).into()), closed))
    }

    fn read_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        from: usize,
        to: usize,
    ) -> PyResult<Moved<usize>> {
        let (target, _) = self.target(py);
        let room = if from == 0 {
            buffer.clone()
        } else {
            let slice = pyo3::types::PySlice::new(py, from as isize, to as isize, 1);
            PyMemoryView::from(buffer)?.get_item(slice)?
        };
        match target.bind(py).call_method1(intern!(py, "read"), (to - from, room)) {
            Ok(count) => match count.extract()? {
                0 => Ok(Moved::Closed),
                count => Ok(Moved::Some(count)),
            },
            Err(err) if wants_more(py, &err) => {
                ferrio_object::swallow(py, err);
                Ok(Moved::Nothing)
            }
            Err(err) => Err(err),
        }
    }

    fn write(&self, py: Python<'_>, data: &Chunk) -> PyResult<Moved<usize>> {
        let (target, _) = self.target(py);
        let bytes = match data.whole() {
            Some(bytes) => bytes,
            None => PyBytes::new(py, data.as_ref()).into(),
        };
        match target.bind(py).call_method1(intern!(py, "write"), (bytes,)) {
            Ok(count) => Ok(Moved::Some(count.extract()?)),
            Err(err) if wants_more(py, &err) => {
                ferrio_object::swallow(py, err);
                Ok(Moved::Nothing)
            }
            Err(err) => Err(err),
        }
    }

    fn output_len(&self, py: Python<'_>) -> PyResult<usize> {
        Self::pending(py, &self.outgoing)
    }

    fn take_output(&self, py: Python<'_>, send: impl FnOnce(&[u8]) -> PyResult<()>) -> PyResult<()> {
        let Some(outgoing) = self.outgoing.get() else { return Ok(()) };
        let data: Obj = outgoing.bind(py).call_method0(intern!(py, "read"))?.into();
        match bytes_of(&data) {
            Some(bytes) if !bytes.is_empty() => send(bytes),
            _ => Ok(()),
        }
    }
}
