//! The two directions of a connection, as its BIO sees them: ciphertext that has come, and ciphertext to be sent.

use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by a [`Connection`](crate::Connection) and the BIO of its `SSL`. The lock is held for a copy, never while
/// OpenSSL or anything else is called.
pub struct Wire {
    flow: Mutex<Flow>,
}

/// What is in a [`Wire`].
pub struct Flow {
    /// What the last feed left, from `rest_start` on. Comes before `borrowed`.
    rest: Vec<u8>,
    rest_start: usize,
    /// What is left of the caller's receive buffer; null outside of a feed.
    ///
    /// Invariant: readable for `borrowed_len` bytes as long as it is here. [`Wire::end_feed`] takes it out before the
    /// caller's borrow ends.
    borrowed: *const u8,
    borrowed_len: usize,
    /// The peer sends nothing more.
    ended: bool,
    outgoing: Vec<u8>,
}

// SAFETY: the pointer is only read from, under the lock, and is valid on every thread for as long as it is set.
unsafe impl Send for Flow {}

impl Wire {
    pub fn new() -> Wire {
        Wire {
            flow: Mutex::new(Flow {
                rest: Vec::new(),
                rest_start: 0,
                borrowed: ptr::null(),
                borrowed_len: 0,
                ended: false,
                outgoing: Vec::new(),
            }),
        }
    }

    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, Flow> {
        // Nothing that runs under the lock leaves the flow half changed, so a panic there would not matter.
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the BIO read from `input` until [`Wire::end_feed`].
    ///
    /// # Safety
    /// `input` outlives the next call of `begin_feed` or `end_feed`, one of which comes in any case.
    #[inline]
    pub unsafe fn begin_feed(&self, input: &[u8]) {
        let mut flow = self.lock();
        // A feed inside of a feed: the program came back from the code that the first one called.
        flow.keep_borrowed();
        flow.borrowed = input.as_ptr();
        flow.borrowed_len = input.len();
    }

    /// Takes the borrowed input back. What OpenSSL has not read of it is copied.
    #[inline]
    pub fn end_feed(&self) {
        self.lock().keep_borrowed();
    }
}

impl Flow {
    /// Takes out all that OpenSSL has not read, and ends the borrow.
    pub fn take_incoming(&mut self) -> Vec<u8> {
        self.keep_borrowed();
        let start = std::mem::take(&mut self.rest_start);
        let mut rest = std::mem::take(&mut self.rest);
        rest.drain(..start);
        rest
    }

    /// Number of bytes that OpenSSL has not read yet.
    #[inline]
    pub fn incoming(&self) -> usize {
        self.rest.len() - self.rest_start + self.borrowed_len
    }

    #[inline]
    pub fn ended(&self) -> bool {
        self.ended
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Moves up to `into.len()` bytes to `into`, and returns how many.
    ///
    /// # Safety
    /// `into` is writable for `len` bytes, and none of what is in here.
    #[inline]
    pub unsafe fn take(&mut self, into: *mut u8, len: usize) -> usize {
        let from_rest = (self.rest.len() - self.rest_start).min(len);
        if from_rest > 0 {
            // SAFETY: both have as many bytes, and the caller's memory is not ours.
            unsafe { ptr::copy_nonoverlapping(self.rest.as_ptr().add(self.rest_start), into, from_rest) };
            self.rest_start += from_rest;
            if self.rest_start == self.rest.len() {
                // Given back to the system: an idle connection holds no buffer.
                self.rest = Vec::new();
                self.rest_start = 0;
            }
        }
        let from_borrowed = self.borrowed_len.min(len - from_rest);
        if from_borrowed > 0 {
            // SAFETY: the invariant of `borrowed`; the caller's memory is large enough and not the receive buffer.
            unsafe {
                ptr::copy_nonoverlapping(self.borrowed, into.add(from_rest), from_borrowed);
                self.borrowed = self.borrowed.add(from_borrowed);
            }
            self.borrowed_len -= from_borrowed;
        }
        from_rest + from_borrowed
    }

    /// Copies what is left of the borrowed input, and ends the borrow.
    #[inline]
    fn keep_borrowed(&mut self) {
        let (start, len) = (self.borrowed, self.borrowed_len);
        self.borrowed = ptr::null();
        self.borrowed_len = 0;
        if len > 0 {
            // SAFETY: the invariant of `borrowed`: the caller's borrow has not ended.
            let left = unsafe { std::slice::from_raw_parts(start, len) };
            self.push(left);
        }
    }

    /// Adds bytes for OpenSSL to read.
    pub fn push(&mut self, input: &[u8]) {
        if self.rest_start > 0 {
            self.rest.drain(..self.rest_start);
            self.rest_start = 0;
        }
        self.rest.extend_from_slice(input);
    }

    /// Adds bytes to be sent. False if there is no memory for them; then none was added.
    #[inline]
    pub fn send(&mut self, output: &[u8]) -> bool {
        if self.outgoing.try_reserve(output.len()).is_err() {
            return false;
        }
        self.outgoing.extend_from_slice(output);
        true
    }

    #[inline]
    pub fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }
}
