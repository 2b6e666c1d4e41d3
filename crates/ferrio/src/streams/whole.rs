//! Reading from a `bytes` object as it was received, without the buffer in between.
//!
//! In bulk, each copy of the bytes costs as much as the kernel's. The transport receives into a `bytes`, and a `read()`
//! that takes all of it gets that very object. Of less than that a `bytes` is made at once where a task waits for it. What
//! only a buffer can do, as looking for the end of a message that has not come, is done there, after the bytes have
//! moved.

use ferrio_core::read_buffer::newline;
use ferrio_object::{Obj, bytes_of};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::reader::StreamReader;

impl StreamReader {
    /// How many bytes are left, if there is such an object.
    #[inline]
    pub(super) fn whole_len(&self) -> Option<usize> {
        let whole = self.whole.get()?;
        Some(bytes_of(&whole).unwrap_or_default().len() - self.taken.get())
    }

    /// The next `n` bytes, or as many as there are.
    pub(super) fn take_whole(&self, py: Python<'_>, n: usize) -> Option<Obj> {
        let whole = self.whole.get()?;
        let bytes = bytes_of(&whole)?;
        let start = self.taken.get();
        let end = start.saturating_add(n).min(bytes.len());
        self.buffer.borrow_mut().passed_by(end - start);
        let taken = if end - start == bytes.len() {
            whole.clone()
        } else {
            PyBytes::new(py, &bytes[start..end]).into()
        };
        self.taken.set(end);
        if end == bytes.len() {
            self.whole.set(None);
        }
        Some(taken)
    }

    /// How long the next line is, newline included, if all of it is there and its contents are within `limit`.
    pub(super) fn whole_line(&self, limit: usize) -> Option<usize> {
        let whole = self.whole.get()?;
        let bytes = bytes_of(&whole)?;
        newline(&bytes[self.taken.get()..]).filter(|&end| end <= limit).map(|end| end + 1)
    }

    /// Moves the bytes to the buffer.
    #[cold]
    pub(super) fn unpack(&self) {
        let Some(whole) = self.whole.take() else { return };
        let bytes = bytes_of(&whole).unwrap_or_default();
        self.buffer.borrow_mut().extend_from_slice(&bytes[self.taken.get()..]);
    }
}
