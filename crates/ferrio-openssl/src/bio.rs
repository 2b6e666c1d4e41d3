//! What OpenSSL calls: a source and sink over a [`Wire`].
//!
//! It behaves as the memory BIOs of Python's `MemoryBIO` do: an empty one asks to be tried again until the peer's end was
//! reported, and writing always takes everything.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::functions::{Bio, BioMethod, Functions};
use crate::library::Library;
use crate::wire::Wire;

// bio.h
const TYPE_SOURCE_SINK: c_int = 0x0400;
const FLAG_READ: c_int = 0x01;
const FLAGS_RETRY: c_int = 0x07 | FLAG_SHOULD_RETRY;
const FLAG_SHOULD_RETRY: c_int = 0x08;
const CTRL_EOF: c_int = 2;
const CTRL_PENDING: c_int = 10;
const CTRL_FLUSH: c_int = 11;
const CTRL_DUP: c_int = 12;
const CTRL_WPENDING: c_int = 13;

/// Describes our kind of BIO to OpenSSL. `None` if it has no memory.
pub fn method(functions: &Functions) -> Option<NonNull<BioMethod>> {
    // SAFETY: the name is a terminated string that lives for ever; the callbacks have the signatures of the headers.
    unsafe {
        let kind = (functions.bio_new_index)();
        let method = NonNull::new((functions.method_new)(kind | TYPE_SOURCE_SINK, c"ferrio".as_ptr()))?;
        let set = [
            (functions.method_set_read)(method.as_ptr(), read),
            (functions.method_set_write)(method.as_ptr(), write),
            (functions.method_set_control)(method.as_ptr(), control),
            (functions.method_set_destroy)(method.as_ptr(), destroy),
        ];
        (kind != -1 && set == [1; 4]).then_some(method)
    }
}

/// A BIO that holds a reference to `wire`. `None` if OpenSSL has no memory.
pub fn new(library: &Library, wire: Arc<Wire>) -> Option<NonNull<Bio>> {
    let functions = &library.functions;
    // SAFETY: the method is complete and lives for ever. The data is a reference that `destroy` takes back.
    unsafe {
        let bio = NonNull::new((functions.bio_new)(library.bio_method.as_ptr()))?;
        (functions.bio_set_data)(bio.as_ptr(), Arc::into_raw(wire).cast_mut().cast());
        (functions.bio_set_init)(bio.as_ptr(), 1);
        Some(bio)
    }
}

/// A BIO of somebody else's, and a reference of ours to it.
pub struct Borrowed(NonNull<Bio>);

impl Borrowed {
    /// Takes a reference. `None` for a null pointer, and if OpenSSL refuses.
    ///
    /// # Safety
    /// `bio` is null or a live BIO.
    pub unsafe fn new(library: &Library, bio: *mut Bio) -> Option<Borrowed> {
        let bio = NonNull::new(bio)?;
        // SAFETY: a live BIO.
        (unsafe { (library.functions.bio_up_ref)(bio.as_ptr()) } == 1).then_some(Borrowed(bio))
    }

    /// Writes to it, as far as it takes what it gets.
    pub fn write(&self, library: &Library, data: &[u8]) {
        for part in data.chunks(1 << 20) {
            // SAFETY: a live BIO, for which the reference stands; OpenSSL reads the slice, whose length fits.
            unsafe {
                (library.functions.bio_write)(self.0.as_ptr(), part.as_ptr().cast(), part.len() as c_int)
            };
        }
    }

    /// The BIO, with the reference.
    pub fn into_raw(self) -> *mut Bio {
        let bio = self.0.as_ptr();
        std::mem::forget(self);
        bio
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(library) = Library::loaded() {
            // SAFETY: the reference that `new` took.
            unsafe { (library.functions.bio_free)(self.0.as_ptr()) };
        }
    }
}

/// The functions, and the wire of a BIO; `None` for one that has none yet.
///
/// # Safety
/// `bio` is one of ours, and not destroyed as long as the result is in use.
#[inline]
unsafe fn parts<'a>(bio: *mut Bio) -> Option<(&'static Functions, &'a Wire)> {
    let functions = &Library::loaded()?.functions;
    // SAFETY: a BIO, by the caller's promise.
    let data = unsafe { (functions.bio_data)(bio) };
    // SAFETY: null, or what `new` has set: a reference that only `destroy` gives up.
    unsafe { data.cast::<Wire>().as_ref() }.map(|wire| (functions, wire))
}

/// `BIO_read_ex`: 1 and the count, or 0 with the flags that say whether to try again.
unsafe extern "C" fn read(bio: *mut Bio, data: *mut c_char, len: usize, count: *mut usize) -> c_int {
    // SAFETY: OpenSSL calls this with a BIO of ours that it keeps alive for the call.
    let Some((functions, wire)) = (unsafe { parts(bio) }) else { return 0 };
    let mut flow = wire.lock();
    // SAFETY: OpenSSL's own buffer of `len` bytes.
    let taken = unsafe { flow.take(data.cast(), len) };
    let again = taken == 0 && !flow.ended();
    drop(flow);
    // SAFETY: a live BIO; `count` is OpenSSL's variable for the count.
    unsafe {
        (functions.bio_clear_flags)(bio, FLAGS_RETRY);
        if again {
            (functions.bio_set_flags)(bio, FLAG_READ | FLAG_SHOULD_RETRY);
        }
        *count = taken;
    }
    c_int::from(taken > 0)
}

/// `BIO_write_ex`: takes everything.
unsafe extern "C" fn write(bio: *mut Bio, data: *const c_char, len: usize, count: *mut usize) -> c_int {
    // SAFETY: OpenSSL calls this with a BIO of ours that it keeps alive for the call.
    let Some((functions, wire)) = (unsafe { parts(bio) }) else { return 0 };
    // SAFETY: OpenSSL's own buffer of `len` bytes, which may be null if there are none.
    let output = if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) } };
    let sent = wire.lock().send(output);
    // SAFETY: a live BIO; `count` is OpenSSL's variable for the count.
    unsafe {
        (functions.bio_clear_flags)(bio, FLAGS_RETRY);
        *count = if sent { len } else { 0 };
    }
    c_int::from(sent)
}

unsafe extern "C" fn control(
    bio: *mut Bio,
    command: c_int,
    _number: c_long,
    _pointer: *mut c_void,
) -> c_long {
    // SAFETY: OpenSSL calls this with a BIO of ours that it keeps alive for the call.
    let Some((_, wire)) = (unsafe { parts(bio) }) else { return 0 };
    match command {
        CTRL_EOF => {
            let flow = wire.lock();
            c_long::from(flow.ended() && flow.incoming() == 0)
        }
        CTRL_PENDING => wire.lock().incoming() as c_long,
        CTRL_WPENDING => wire.lock().outgoing().len() as c_long,
        CTRL_FLUSH | CTRL_DUP => 1,
        // Among them: pushed onto and popped off a chain (nothing to do), kernel TLS (we have none).
        _ => 0,
    }
}

/// The last reference to the BIO is gone.
unsafe extern "C" fn destroy(bio: *mut Bio) -> c_int {
    let Some(library) = Library::loaded() else { return 0 };
    // SAFETY: a BIO of ours; its data is null or the reference that `new` has given it, which is taken out here.
    unsafe {
        let data = (library.functions.bio_data)(bio);
        (library.functions.bio_set_data)(bio, std::ptr::null_mut());
        if !data.is_null() {
            drop(Arc::from_raw(data.cast::<Wire>().cast_const()));
        }
    }
    1
}
