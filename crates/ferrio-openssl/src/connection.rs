//! Reading and writing on an `SSL` that somebody else owns.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::bio::{self, Borrowed};
use crate::functions::Ssl;
use crate::library::{Library, Refusal};
use crate::wire::Wire;

// ssl.h
const ERROR_WANT_READ: c_int = 2;
const ERROR_WANT_WRITE: c_int = 3;
const ERROR_ZERO_RETURN: c_int = 6;
const RECEIVED_SHUTDOWN: c_int = 2;

/// What came of [`Connection::read`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// So many bytes of the buffer are filled, from its start.
    Data(usize),
    /// More input is needed first.
    WouldBlock,
    /// The peer has ended its direction with `close_notify`.
    Closed,
    /// An error. OpenSSL has it queued for the next call on this thread, which is the owner's: see [`Connection`].
    Failed,
}

/// What came of [`Connection::write`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// So many bytes were encrypted: at least one, at most a record's worth.
    Taken(usize),
    /// The peer has asked for a handshake, and more input is needed first.
    WouldBlock,
    /// An error, queued as that of [`Read::Failed`].
    Failed,
}

/// The data of one TLS connection, on an `SSL` whose handshake and shutdown are done by its owner.
///
/// OpenSSL reports errors through a queue that each thread has one of, and everything in the thread shares. It is empty
/// when `read` and `write` begin, whatever others have left in it, and empty after them, unless they fail. Then the error
/// stays queued: the owner makes the same call, OpenSSL refuses it once more, and the owner reports what is queued as it
/// reports its own errors. The owner's call has to be the next thing that happens on this thread.
///
/// Records are read as OpenSSL does by default, the header and then the rest. `SSL_set_read_ahead` saves one of the two
/// calls of the BIO, 30 of 670 ns for a record of 64 bytes, but makes records of full size 2 to 5 % slower.
///
/// Reading may produce output (an alert, the answer to a key update), so output is looked for after it too.
pub struct Connection {
    library: &'static Library,
    ssl: NonNull<Ssl>,
    wire: Arc<Wire>,
    /// What the `SSL` had before, to read from and to write to.
    before: Cell<Option<(Borrowed, Borrowed)>>,
}

/// Ends a feed, also when what is called in it panics.
struct Feed<'a>(&'a Wire);

impl Drop for Feed<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.end_feed();
    }
}

impl Connection {
    /// Takes over the bytes of `ssl`, by giving it a BIO of ours for both directions. Nothing in the BIOs that it had is
    /// looked at. Errors: [`Refusal::OutOfMemory`], and `ssl` is as it was.
    ///
    /// # Safety
    /// * `ssl` is a live `SSL` of `library`, and stays alive as long as the connection.
    /// * Nobody uses it on another thread while a method of the connection runs.
    pub unsafe fn adopt(library: &'static Library, ssl: NonNull<c_void>) -> Result<Connection, Refusal> {
        let wire = Arc::new(Wire::new());
        let bio = bio::new(library, Arc::clone(&wire)).ok_or(Refusal::OutOfMemory)?;
        let functions = &library.functions;
        // SAFETY: a live SSL and BIO; the one reference to the BIO becomes the SSL's, for both directions.
        let before = unsafe {
            let read = Borrowed::new(library, (functions.ssl_read_bio)(ssl.as_ptr()));
            let write = Borrowed::new(library, (functions.ssl_write_bio)(ssl.as_ptr()));
            (functions.ssl_set_bio)(ssl.as_ptr(), bio.as_ptr(), bio.as_ptr());
            read.zip(write)
        };
        Ok(Connection { library, ssl, wire, before: Cell::new(before) })
    }

    /// Gives the `SSL` the BIOs back that it had, with the input that was not read and the output that was not taken. The
    /// connection is of no use afterwards.
    pub fn release(&self) {
        let Some((read, write)) = self.before.take() else { return };
        let mut flow = self.wire.lock();
        let (input, output) = (flow.take_incoming(), std::mem::take(flow.outgoing()));
        drop(flow);
        read.write(self.library, &input);
        write.write(self.library, &output);
        // SAFETY: a live SSL, by the promise to `adopt`; it takes the references over, and lets go of our BIO.
        unsafe { (self.library.functions.ssl_set_bio)(self.ssl.as_ptr(), read.into_raw(), write.into_raw()) };
    }

    /// Lets `body` read from `input`, without a copy. What it leaves is copied, and comes first next time.
    #[inline]
    pub fn feed<R>(&self, input: &[u8], body: impl FnOnce() -> R) -> R {
        let end = Feed(&self.wire);
        // SAFETY: `end` takes the input back before this function ends, and with it the borrow.
        unsafe { self.wire.begin_feed(input) };
        let result = body();
        drop(end);
        result
    }

    /// Adds a copy of `input` to what is to be read.
    pub fn push_input(&self, input: &[u8]) {
        self.wire.lock().push(input);
    }

    /// The peer sends nothing more. Reading fails when everything before was read, unless `close_notify` was in it.
    pub fn end_input(&self) {
        self.wire.lock().end();
    }

    /// Number of bytes of input that OpenSSL has not looked at.
    #[inline]
    pub fn input_len(&self) -> usize {
        self.wire.lock().incoming()
    }

    /// Whether another [`Connection::read`] may return something other than [`Read::WouldBlock`]: false saves it. True
    /// promises nothing, as there may be a part of a record.
    #[inline]
    pub fn may_read(&self) -> bool {
        let flow = self.wire.lock();
        let waiting = flow.incoming() > 0 || flow.ended();
        drop(flow);
        waiting || self.has_buffered()
    }

    /// Whether OpenSSL holds input in a buffer of its own: a part of a record, or data that was not read.
    #[inline]
    pub fn has_buffered(&self) -> bool {
        // SAFETY: a live SSL, by the promise to `adopt`.
        unsafe { (self.library.functions.ssl_has_pending)(self.ssl.as_ptr()) != 0 }
    }

    /// Number of bytes of output.
    #[inline]
    pub fn output_len(&self) -> usize {
        self.wire.lock().outgoing().len()
    }

    /// Exchanges the output with `other`: to take it out, and to give a buffer in whose spare capacity the next output
    /// goes.
    #[inline]
    pub fn swap_output(&self, other: &mut Vec<u8>) {
        std::mem::swap(self.wire.lock().outgoing(), other);
    }

    /// Takes the output out.
    #[inline]
    pub fn take_output(&self) -> Vec<u8> {
        std::mem::take(self.wire.lock().outgoing())
    }

    /// Decrypts into `buffer`: what is left of a record, or the next one, as far as the buffer reaches. An empty buffer
    /// is never filled.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> Read {
        // SAFETY: the buffer is ours to write to.
        unsafe { self.read_to(buffer.as_mut_ptr().cast(), buffer.len()) }
    }

    /// [`Connection::read`] into memory that need not be initialised: the first `n` bytes are, after [`Read::Data`].
    #[inline]
    pub fn read_uninit(&self, buffer: &mut [MaybeUninit<u8>]) -> Read {
        // SAFETY: the buffer is ours to write to.
        unsafe { self.read_to(buffer.as_mut_ptr().cast(), buffer.len()) }
    }

    /// [`Connection::read`] into memory that others may have their hands on too, but not while this call lasts.
    #[inline]
    pub fn read_cells(&self, buffer: &[Cell<u8>]) -> Read {
        // SAFETY: cells, which may be written to through `&`.
        unsafe { self.read_to(buffer.as_ptr().cast_mut().cast(), buffer.len()) }
    }

    /// # Safety
    /// `buffer` is writable for `len` bytes.
    #[inline]
    unsafe fn read_to(&self, buffer: *mut c_void, len: usize) -> Read {
        if len == 0 {
            return Read::Data(0);
        }
        self.library.drop_errors();
        let mut count = 0;
        // SAFETY: a live SSL that nobody else uses now, by the promise to `adopt`; OpenSSL writes at most the buffer's
        // length and reads none of it.
        let result =
            unsafe { (self.library.functions.ssl_read)(self.ssl.as_ptr(), buffer, len, &raw mut count) };
        if result == 1 {
            self.library.drop_errors();
            return Read::Data(count);
        }
        match self.error(result) {
            ERROR_WANT_READ | ERROR_WANT_WRITE => Read::WouldBlock,
            // With our own direction ended too, the owner has an exception for it.
            ERROR_ZERO_RETURN if self.shutdown_state() == RECEIVED_SHUTDOWN => Read::Closed,
            _ => Read::Failed,
        }
    }

    /// Encrypts as much of `data` as goes into one record. What it takes is output afterwards.
    #[inline]
    pub fn write(&self, data: &[u8]) -> Write {
        if data.is_empty() {
            return Write::Taken(0);
        }
        self.library.drop_errors();
        let mut count = 0;
        // SAFETY: a live SSL that nobody else uses now, by the promise to `adopt`; OpenSSL reads the slice.
        let result = unsafe {
            (self.library.functions.ssl_write)(
                self.ssl.as_ptr(),
                data.as_ptr().cast(),
                data.len(),
                &raw mut count,
            )
        };
        if result == 1 {
            self.library.drop_errors();
            return Write::Taken(count);
        }
        match self.error(result) {
            ERROR_WANT_READ | ERROR_WANT_WRITE => Write::WouldBlock,
            _ => Write::Failed,
        }
    }

    /// What a call that has just returned `result` has failed with.
    fn error(&self, result: c_int) -> c_int {
        // SAFETY: a live SSL, and no other call of OpenSSL since.
        unsafe { (self.library.functions.ssl_error)(self.ssl.as_ptr(), result) }
    }

    fn shutdown_state(&self) -> c_int {
        // SAFETY: a live SSL, by the promise to `adopt`.
        unsafe { (self.library.functions.ssl_shutdown_state)(self.ssl.as_ptr()) }
    }
}
