//! What Python's `ssl` module does around a `Connection`: contexts, a certificate, handshakes. The functions for it are
//! looked up by the tests alone.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use ferrio_openssl::Library;

pub const TLS_1_2: c_long = 0x0303;
pub const TLS_1_3: c_long = 0x0304;

pub type Pointer = *mut c_void;

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        pub struct OpenSsl {
            $(pub $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl OpenSsl {
            fn find(handle: Pointer) -> OpenSsl {
                OpenSsl {
                    $($field: {
                        let symbol: &CStr = $symbol;
                        // SAFETY: an open handle and a terminated string.
                        let address = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
                        assert!(!address.is_null(), "{symbol:?}");
                        // SAFETY: the function with this name, whose signature is the public header's.
                        unsafe {
                            std::mem::transmute::<Pointer, unsafe extern "C" fn($($argument),*) $(-> $result)?>(
                                address,
                            )
                        }
                    },)*
                }
            }
        }
    };
}

functions! {
    version_number = c"OpenSSL_version_num": fn() -> c_ulong;
    tls_method = c"TLS_method": fn() -> *const c_void;
    context_new = c"SSL_CTX_new": fn(*const c_void) -> Pointer;
    context_free = c"SSL_CTX_free": fn(Pointer);
    context_control = c"SSL_CTX_ctrl": fn(Pointer, c_int, c_long, Pointer) -> c_long;
    context_certificate = c"SSL_CTX_use_certificate": fn(Pointer, Pointer) -> c_int;
    context_key = c"SSL_CTX_use_PrivateKey": fn(Pointer, Pointer) -> c_int;
    ssl_new = c"SSL_new": fn(Pointer) -> Pointer;
    ssl_free = c"SSL_free": fn(Pointer);
    ssl_set_data = c"SSL_set_ex_data": fn(Pointer, c_int, Pointer) -> c_int;
    ssl_connects = c"SSL_set_connect_state": fn(Pointer);
    ssl_accepts = c"SSL_set_accept_state": fn(Pointer);
    ssl_handshake = c"SSL_do_handshake": fn(Pointer) -> c_int;
    ssl_shutdown = c"SSL_shutdown": fn(Pointer) -> c_int;
    ssl_key_update = c"SSL_key_update": fn(Pointer, c_int) -> c_int;
    ssl_renegotiate = c"SSL_renegotiate": fn(Pointer) -> c_int;
    ssl_read = c"SSL_read": fn(Pointer, Pointer, c_int) -> c_int;
    ssl_write = c"SSL_write": fn(Pointer, *const c_void, c_int) -> c_int;
    ssl_error = c"SSL_get_error": fn(Pointer, c_int) -> c_int;
    ssl_bio = c"SSL_get_rbio": fn(Pointer) -> Pointer;
    ssl_set_bio = c"SSL_set_bio": fn(Pointer, Pointer, Pointer);
    bio_memory = c"BIO_s_mem": fn() -> *const c_void;
    bio_new = c"BIO_new": fn(*const c_void) -> Pointer;
    bio_up_ref = c"BIO_up_ref": fn(Pointer) -> c_int;
    bio_free = c"BIO_free": fn(Pointer) -> c_int;
    bio_read = c"BIO_read": fn(Pointer, Pointer, c_int) -> c_int;
    bio_write = c"BIO_write": fn(Pointer, *const c_void, c_int) -> c_int;
    bio_control = c"BIO_ctrl": fn(Pointer, c_int, c_long, Pointer) -> c_long;
    next_error = c"ERR_get_error": fn() -> c_ulong;
    first_error = c"ERR_peek_error": fn() -> c_ulong;
    error_text = c"ERR_reason_error_string": fn(c_ulong) -> *const c_char;
    certificate_new = c"X509_new": fn() -> Pointer;
    certificate_free = c"X509_free": fn(Pointer);
    certificate_set_key = c"X509_set_pubkey": fn(Pointer, Pointer) -> c_int;
    certificate_not_before = c"X509_getm_notBefore": fn(Pointer) -> Pointer;
    certificate_not_after = c"X509_getm_notAfter": fn(Pointer) -> Pointer;
    time_from_now = c"X509_gmtime_adj": fn(Pointer, c_long) -> Pointer;
    certificate_sign = c"X509_sign": fn(Pointer, Pointer, *const c_void) -> c_int;
    key_context_new = c"EVP_PKEY_CTX_new_id": fn(c_int, Pointer) -> Pointer;
    key_context_free = c"EVP_PKEY_CTX_free": fn(Pointer);
    key_make_init = c"EVP_PKEY_keygen_init": fn(Pointer) -> c_int;
    key_make = c"EVP_PKEY_keygen": fn(Pointer, *mut Pointer) -> c_int;
    key_free = c"EVP_PKEY_free": fn(Pointer);
}

/// The tests' functions and the crate's library, which are of one OpenSSL.
pub fn openssl() -> (&'static OpenSsl, &'static Library) {
    static LOADED: OnceLock<(OpenSsl, &'static Library)> = OnceLock::new();
    let (functions, library) = LOADED.get_or_init(|| {
        let (name, handle) = [c"libssl.so.3", c"libssl.so.1.1", c"libssl.so"]
            .into_iter()
            .find_map(|name| {
                // SAFETY: a terminated string; OpenSSL's initialisers may run at any time.
                let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
                (!handle.is_null()).then_some((name, handle))
            })
            .expect("these tests need OpenSSL's shared library, which Python's ssl module needs too");
        let functions = OpenSsl::find(handle);
        // SAFETY: no arguments.
        let version = unsafe { (functions.version_number)() };
        // The library in the place of the extension: its own dependencies have all symbols.
        let library = Library::load(Path::new(name.to_str().unwrap()), version).unwrap();
        (functions, library)
    });
    (functions, library)
}

/// A context for both sides, with a key and a certificate of its own that nobody verifies.
pub struct Context(pub Pointer);

// SAFETY: OpenSSL counts the references to a context atomically, and nothing here changes one after it was made.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub fn new(version: c_long) -> Context {
        const ED25519: c_int = 1087;
        const SET_MIN_PROTOCOL: c_int = 123;
        const SET_MAX_PROTOCOL: c_int = 124;
        const MODE: c_int = 33;
        // As CPython sets it: partial writes, moving buffers, buffers released when idle.
        const MODES: c_long = 0x1 | 0x2 | 0x10;

        let (openssl, _) = openssl();
        // SAFETY: OpenSSL's functions, as its manual describes them, on objects that are made and freed here.
        unsafe {
            let maker = (openssl.key_context_new)(ED25519, ptr::null_mut());
            let mut key = ptr::null_mut();
            assert_eq!((openssl.key_make_init)(maker), 1);
            assert_eq!((openssl.key_make)(maker, &raw mut key), 1);
            (openssl.key_context_free)(maker);

            let certificate = (openssl.certificate_new)();
            (openssl.time_from_now)((openssl.certificate_not_before)(certificate), 0);
            (openssl.time_from_now)((openssl.certificate_not_after)(certificate), 3600);
            assert_eq!((openssl.certificate_set_key)(certificate, key), 1);
            assert_ne!((openssl.certificate_sign)(certificate, key, ptr::null()), 0);

            let context = (openssl.context_new)((openssl.tls_method)());
            for (command, number) in [(SET_MIN_PROTOCOL, version), (SET_MAX_PROTOCOL, version), (MODE, MODES)]
            {
                assert_ne!((openssl.context_control)(context, command, number, ptr::null_mut()), 0);
            }
            assert_eq!((openssl.context_certificate)(context, certificate), 1);
            assert_eq!((openssl.context_key)(context, key), 1);
            (openssl.certificate_free)(certificate);
            (openssl.key_free)(key);
            Context(context)
        }
    }

    /// One for all tests of a version.
    pub fn shared(version: c_long) -> &'static Context {
        static CONTEXTS: [OnceLock<Context>; 2] = [OnceLock::new(), OnceLock::new()];
        CONTEXTS[usize::from(version == TLS_1_3)].get_or_init(|| Context::new(version))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the reference that `new` made.
        unsafe { (openssl().0.context_free)(self.0) };
    }
}

/// The texts of the errors that are queued on this thread, which are taken out.
pub fn queued_errors() -> Vec<String> {
    let (openssl, _) = openssl();
    std::iter::from_fn(|| {
        // SAFETY: the queue is this thread's; the text is a terminated static string, or null.
        unsafe {
            let code = (openssl.next_error)();
            let text = (openssl.error_text)(code);
            (code != 0).then(|| {
                if text.is_null() { String::new() } else { CStr::from_ptr(text).to_str().unwrap().to_owned() }
            })
        }
    })
    .collect()
}

/// Whether the queue of this thread has an error.
pub fn has_errors() -> bool {
    // SAFETY: no arguments.
    unsafe { (openssl().0.first_error)() != 0 }
}

/// Leaves an error in the queue, as a careless library would.
pub fn leave_error() {
    let (openssl, _) = openssl();
    // SAFETY: a context for a kind of key that does not exist is refused with an error.
    unsafe { assert!((openssl.key_context_new)(-12345, ptr::null_mut()).is_null()) };
    assert!(has_errors());
}
