//! Whether a pointer that was read from somebody else's object is an `SSL*`.
//!
//! Asking OpenSSL (`SSL_get_SSL_CTX`) would read memory at the pointer, and crash if it is none. So the memory is looked at
//! first, with reads that cannot fault. `SSL`s of our own making show where in an `SSL` its context stands, and by which
//! path its application data is reached. The stranger has to have the expected context and data in the same places. Then
//! OpenSSL is asked.

use std::ffi::c_void;
use std::ptr;

use crate::functions::Functions;
use crate::library::{Library, Refusal};
use crate::probe::Probe;

/// How much of an `SSL` is looked at, in words. The largest so far (3.0) is 6 KiB.
const SSL_WORDS: usize = 1024;
/// How much of a stack, OpenSSL's growing array.
const STACK_WORDS: usize = 5;

/// Where things are found from the start of an `SSL`, in words.
pub struct Landmarks {
    context: usize,
    data: DataPath,
}

/// The application data is the first element of an array, to which a pointer stands in a stack, to which a pointer
/// stands in the `SSL`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct DataPath {
    stack: usize,
    array: usize,
}

/// What one `SSL` shows. What lies behind it in memory is looked at too, so there may be more places than real ones; the
/// first is inside of it.
struct Sight {
    context: Option<usize>,
    data: Vec<DataPath>,
}

impl Landmarks {
    /// Finds them in two `SSL`s made for this, which have to agree.
    pub fn survey(functions: &Functions) -> Result<Landmarks, Refusal> {
        let mut probe = Probe::new().ok_or(Refusal::OutOfDescriptors)?;
        let one = Sight::of_new(functions, &mut probe)?;
        let other = Sight::of_new(functions, &mut probe)?;
        let context = one.context.filter(|place| other.context == Some(*place));
        let data = one.data.iter().find(|path| other.data.contains(path));
        match (context, data) {
            (Some(context), Some(data)) => Ok(Landmarks { context, data: *data }),
            _ => Err(Refusal::NotAnSsl("an SSL does not show its context or its data")),
        }
    }

    /// Whether an `SSL` with this context and this data may lie at the claim's address.
    fn fit(&self, probe: &mut Probe, claim: &Claim) -> bool {
        let ssl = probe.words(claim.ssl, SSL_WORDS);
        !claim.context.is_null()
            && ssl.get(self.context) == Some(&claim.context.addr())
            && ssl.get(self.data.stack).is_some_and(|stack| {
                follow(probe, *stack, STACK_WORDS)
                    .get(self.data.array)
                    .is_some_and(|array| follow(probe, *array, 1) == [claim.owner.addr()])
            })
    }
}

impl Sight {
    fn of_new(functions: &Functions, probe: &mut Probe) -> Result<Sight, Refusal> {
        let marker = 0_u64;
        let marker = &raw const marker;
        // SAFETY: OpenSSL's own objects, made and freed here; each is checked before it is used. The data is a pointer
        // that OpenSSL does not follow.
        let (context, words, data) = unsafe {
            let context = (functions.context_new)((functions.tls_method)());
            let ssl = if context.is_null() { ptr::null_mut() } else { (functions.ssl_new)(context) };
            let mut sight = (context.addr(), Vec::new(), Vec::new());
            if !ssl.is_null() && (functions.ssl_set_ex_data)(ssl, 0, marker.cast_mut().cast()) == 1 {
                sight.1 = probe.words(ssl, SSL_WORDS);
                sight.2 = data_paths(probe, &sight.1, marker.addr());
            }
            (functions.ssl_free)(ssl);
            (functions.context_free)(context);
            (functions.clear_errors)();
            sight
        };
        if words.is_empty() {
            return Err(Refusal::OutOfMemory);
        }
        Ok(Sight { context: words.iter().position(|word| *word == context), data })
    }
}

/// All paths from the words of an `SSL` to `marker`.
fn data_paths(probe: &mut Probe, words: &[usize], marker: usize) -> Vec<DataPath> {
    let mut paths = Vec::new();
    for (stack, word) in words.iter().enumerate() {
        for (array, word) in follow(probe, *word, STACK_WORDS).into_iter().enumerate() {
            if follow(probe, word, 1) == [marker] {
                paths.push(DataPath { stack, array });
            }
        }
    }
    paths
}

/// The words at the address that `word` may be; none if it is no address.
fn follow(probe: &mut Probe, word: usize, count: usize) -> Vec<usize> {
    let address: *const usize = ptr::without_provenance(word);
    // The first page is never mapped.
    if word < 4096 || !address.is_aligned() { Vec::new() } else { probe.words(address.cast(), count) }
}

/// What is said of three pointers: that `ssl` is an `SSL*` of the context `context`, and that its application data is
/// `owner`. CPython's is the `_SSLSocket` that owns it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub ssl: *const c_void,
    pub context: *const c_void,
    pub owner: *const c_void,
}

impl Library {
    /// Checks a claim about pointers of unknown origin. Reads no memory that may not be there. To be asked once for each
    /// kind of object; [`Library::confirms`] is for the rest.
    pub fn prove(&self, claim: &Claim) -> Result<(), Refusal> {
        if !claim.ssl.cast::<usize>().is_aligned() {
            return Err(Refusal::NotAnSsl("a pointer is not aligned"));
        }
        let mut probe = Probe::new().ok_or(Refusal::OutOfDescriptors)?;
        if !self.landmarks.fit(&mut probe, claim) {
            return Err(Refusal::NotAnSsl("no SSL of the context stands where its pointer should be"));
        }
        // SAFETY: the memory has the context and the owner exactly where an SSL of this library has them, so it is one.
        if unsafe { self.confirms(claim) } {
            Ok(())
        } else {
            Err(Refusal::NotAnSsl("an SSL's context or owner is another one"))
        }
    }

    /// Whether an `SSL` reads from the one BIO and writes to the other. Those are compared and not looked at.
    ///
    /// # Safety
    /// `ssl` is a live `SSL` of this library.
    pub unsafe fn is_over(&self, ssl: *const c_void, read: *const c_void, write: *const c_void) -> bool {
        // SAFETY: the caller's promise; the functions read a field each.
        unsafe {
            (self.functions.ssl_read_bio)(ssl).cast_const() == read
                && (self.functions.ssl_write_bio)(ssl).cast_const() == write
        }
    }

    /// Whether OpenSSL agrees with a claim.
    ///
    /// # Safety
    /// The claim's `ssl` is null or a live `SSL` of this library.
    #[inline]
    pub unsafe fn confirms(&self, claim: &Claim) -> bool {
        // SAFETY: the caller's promise; the functions read two fields.
        !claim.ssl.is_null()
            && unsafe {
                (self.functions.ssl_context)(claim.ssl).cast_const() == claim.context
                    && (self.functions.ssl_ex_data)(claim.ssl, 0).cast_const() == claim.owner
            }
    }
}
