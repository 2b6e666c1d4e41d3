//! Other objects' memory: buffers exported by `bytearray`, `memoryview`, `array` and their like.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::DerefMut;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::obj::Obj;

/// A contiguous buffer exported by an object, held until dropped. `P` is where the view of it lies, which must not move
/// while it is held: the exporter may keep pointers into it.
pub struct Buffer<P: DerefMut<Target = ffi::Py_buffer> = Box<ffi::Py_buffer>> {
    view: P,
}

/// Room on the stack for the view of one [`Buffer`].
pub struct BufferPlace(MaybeUninit<ffi::Py_buffer>);

/// A [`Buffer`] whose view lies in a [`BufferPlace`]: one that costs no allocation.
pub type PlacedBuffer<'place> = Buffer<&'place mut ffi::Py_buffer>;

impl BufferPlace {
    #[inline]
    pub const fn new() -> Self {
        BufferPlace(MaybeUninit::uninit())
    }
}

impl Default for BufferPlace {
    fn default() -> Self {
        Self::new()
    }
}

const fn flags(writable: bool) -> i32 {
    if writable { ffi::PyBUF_WRITABLE } else { ffi::PyBUF_SIMPLE }
}

impl Buffer {
    /// Asks `obj` for its bytes.
    ///
    /// # Errors
    /// `TypeError` if it has none, `BufferError` if they are not contiguous (or not writable, if asked for).
    pub fn get(py: Python<'_>, obj: &Obj, writable: bool) -> PyResult<Buffer> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: a place for the view, which stays where it is (boxed) until released.
        if unsafe { ffi::PyObject_GetBuffer(obj.as_ptr(), &raw mut *view, flags(writable)) } < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Buffer { view })
    }
}

impl<'place> PlacedBuffer<'place> {
    /// As [`Buffer::get`], with the view in `place`.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn get_in(
        place: &'place mut BufferPlace,
        py: Python<'_>,
        obj: &Obj,
        writable: bool,
    ) -> PyResult<Self> {
        let view = place.0.write(ffi::Py_buffer::new());
        // SAFETY: a place for the view, which is borrowed, and so stays where it is, until it is released. An exporter
        // sees its view again only then: one that is leaked is no danger.
        if unsafe { ffi::PyObject_GetBuffer(obj.as_ptr(), &raw mut *view, flags(writable)) } < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(Buffer { view })
    }
}

impl<P: DerefMut<Target = ffi::Py_buffer>> Buffer<P> {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.view.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.view.len == 0
    }

    /// A copy of the bytes.
    pub fn to_vec(&self, py: Python<'_>) -> Vec<u8> {
        self.with(py, <[u8]>::to_vec)
    }

    /// Calls `f` with the bytes. Its owner may write to them as soon as Python code runs. So `f` is `Send`, and has
    /// neither a token nor an object with which it could have Python do something.
    pub fn with<R>(&self, _py: Python<'_>, f: impl FnOnce(&[u8]) -> R + Send) -> R {
        if self.is_empty() {
            return f(&[]);
        }
        // SAFETY: the exporter keeps `len` bytes at `buf` while the view is held; attached, so nobody writes now. Nor can
        // `f`: what it would take, another view or `cells` of one, is not `Send`.
        f(unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), self.len()) })
    }

    /// The bytes of a buffer that was asked for as writable. Any number of views may be of the same memory: each is read
    /// and written byte by byte.
    ///
    /// # Panics
    /// If the buffer is read-only.
    pub fn cells<'a>(&'a self, _py: Python<'a>) -> &'a [Cell<u8>] {
        assert!(self.view.readonly == 0, "a read-only buffer cannot be written");
        if self.is_empty() {
            return &[];
        }
        // SAFETY: as in `with`; writable as asserted; `Cell` has the layout of what is in it, and claims no more of the
        // memory than that the present thread alone is at it, for which the GIL stands.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast::<Cell<u8>>(), self.len()) }
    }

    /// Copies as much of `data` as there is room for to the beginning of a buffer that was asked for as writable, and
    /// returns how much that was.
    ///
    /// # Panics
    /// If the buffer is read-only.
    pub fn fill(&self, _py: Python<'_>, data: &[u8]) -> usize {
        assert!(self.view.readonly == 0, "a read-only buffer cannot be written");
        let count = data.len().min(self.len());
        if count > 0 {
            // SAFETY: as in `cells`. `data` may be of the same memory.
            unsafe { std::ptr::copy(data.as_ptr(), self.view.buf.cast::<u8>(), count) };
        }
        count
    }
}

impl<P: DerefMut<Target = ffi::Py_buffer>> Drop for Buffer<P> {
    fn drop(&mut self) {
        // SAFETY: a view that was filled by PyObject_GetBuffer, released once. `Buffer` is `!Send` by its pointers.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) }
    }
}
