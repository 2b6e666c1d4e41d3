//! A piece of data on its way into a write queue.

use ferrio_object::{BufferPlace, Obj, PlacedBuffer, bytes_of};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

/// Bytes whose contents cannot change while they are queued.
pub(crate) enum Chunk {
    /// A `bytes` object, of exactly that class, from a place on: dropping it runs no Python code, so it may be dropped in
    /// the queue.
    Shared(Obj, usize),
    Copied(Vec<u8>),
}

ferrio_object::traverse!(
    enum Chunk {
        Shared(bytes, from),
        Copied(bytes),
    }
);

impl Chunk {
    /// The `bytes` object that is all of it, if there is one.
    pub(crate) fn whole(&self) -> Option<Obj> {
        match self {
            Chunk::Shared(bytes, 0) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl AsRef<[u8]> for Chunk {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Chunk::Shared(bytes, from) => &bytes_of(bytes).unwrap_or_default()[*from..],
            Chunk::Copied(bytes) => bytes,
        }
    }
}

/// Data as a caller of `write()` gives it.
pub(crate) enum Data<'place> {
    Shared(Obj),
    Buffer(PlacedBuffer<'place>),
    /// Bytes of ours, which are copied if they have to be queued.
    Slice(&'place [u8]),
}

impl<'place> Data<'place> {
    /// `place` is for the view of what is no `bytes`.
    ///
    /// # Errors
    /// `TypeError` for what is not bytes-like, `BufferError` for a memoryview that is not contiguous.
    #[inline]
    pub(crate) fn new(
        place: &'place mut BufferPlace,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        Self::named(place, py, data, "bytes-like")
    }

    /// As [`Self::new`], for a stream, whose refusal 3.14 words anew.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[inline]
    pub(crate) fn of_stream(
        place: &'place mut BufferPlace,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let taken = if cfg!(Py_3_14) { "bytes, bytearray, or memoryview" } else { "bytes-like" };
        Self::named(place, py, data, taken)
    }

    /// `taken` is what the refusal says.
    #[inline]
    fn named(
        place: &'place mut BufferPlace,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        taken: &str,
    ) -> PyResult<Self> {
        if data.is_exact_instance_of::<PyBytes>() {
            return Ok(Data::Shared(data.into()));
        }
        let known = data.is_instance_of::<PyByteArray>()
            || data.is_instance_of::<PyMemoryView>()
            || data.is_instance_of::<PyBytes>();
        if !known {
            let class = data.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "data argument must be a {taken} object, not '{class}'"
            )));
        }
        Ok(Data::Buffer(PlacedBuffer::get_in(place, py, &data.into(), false)?))
    }

    /// Any buffer: what `writelines()` takes.
    ///
    /// # Errors
    /// `TypeError` for what has none, `BufferError` for one that is not contiguous.
    pub(crate) fn of_buffer(
        place: &'place mut BufferPlace,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        if data.is_exact_instance_of::<PyBytes>() {
            return Ok(Data::Shared(data.into()));
        }
        // Through a memoryview for the sake of its message, which says what is wrong.
        let view = PyMemoryView::from(data)?;
        Ok(Data::Buffer(PlacedBuffer::get_in(place, py, &view.into_any().into(), false)?))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Data::Shared(bytes) => bytes_of(bytes).map_or(0, <[u8]>::len),
            Data::Buffer(buffer) => buffer.len(),
            Data::Slice(bytes) => bytes.len(),
        }
    }

    /// Calls `f` with the bytes; it must not run Python code.
    #[inline]
    pub(crate) fn with<R>(&self, py: Python<'_>, f: impl FnOnce(&[u8]) -> R + Send) -> R {
        match self {
            Data::Shared(bytes) => f(bytes_of(bytes).unwrap_or_default()),
            Data::Buffer(buffer) => buffer.with(py, f),
            Data::Slice(bytes) => f(bytes),
        }
    }

    /// All of it, to be queued. Call it when nothing is borrowed: to release the view of a buffer may run Python code.
    pub(crate) fn into_chunk(self, py: Python<'_>) -> Chunk {
        let (chunk, buffer) = self.into_rest(py, 0);
        drop(buffer);
        chunk
    }

    /// What is left after `sent` bytes, to be queued, and the view of the program's buffer. The view is to be dropped
    /// when nothing is borrowed: to release it may run Python code (`__release_buffer__`, 3.12 and later).
    pub(crate) fn into_rest(self, py: Python<'_>, sent: usize) -> (Chunk, Option<PlacedBuffer<'place>>) {
        match self {
            Data::Shared(bytes) => (Chunk::Shared(bytes, sent), None),
            Data::Slice(bytes) => (Chunk::Copied(bytes[sent..].to_vec()), None),
            Data::Buffer(buffer) => {
                (Chunk::Copied(buffer.with(py, |bytes| bytes[sent..].to_vec())), Some(buffer))
            }
        }
    }
}
