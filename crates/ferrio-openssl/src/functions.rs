//! OpenSSL's functions by name, with the signatures of its public headers.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};

use crate::library::Refusal;

/// `SSL`, `SSL_CTX`, `BIO`, `BIO_METHOD`, `SSL_METHOD`: known by their addresses only.
pub type Ssl = c_void;
pub type Context = c_void;
pub type Bio = c_void;
pub type BioMethod = c_void;
pub type SslMethod = c_void;

pub type ReadCallback = unsafe extern "C" fn(*mut Bio, *mut c_char, usize, *mut usize) -> c_int;
pub type WriteCallback = unsafe extern "C" fn(*mut Bio, *const c_char, usize, *mut usize) -> c_int;
pub type ControlCallback = unsafe extern "C" fn(*mut Bio, c_int, c_long, *mut c_void) -> c_long;
pub type DestroyCallback = unsafe extern "C" fn(*mut Bio) -> c_int;

macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// A pointer to each function that this crate calls.
        pub struct Functions {
            $(pub $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            /// Asks `find` for each symbol. Errors: [`Refusal::Missing`] for the first that it does not have.
            ///
            /// # Safety
            /// What `find` returns for a name is OpenSSL's function of that name, and stays valid.
            pub unsafe fn find(find: impl Fn(&CStr) -> *mut c_void) -> Result<Functions, Refusal> {
                Ok(Functions {
                    $($field: {
                        let address = find($symbol);
                        if address.is_null() {
                            return Err(Refusal::Missing($symbol));
                        }
                        // SAFETY: the function with this name, whose signature is the public header's.
                        unsafe {
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(address)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    version_number = c"OpenSSL_version_num": fn() -> c_ulong;
    version_text = c"OpenSSL_version": fn(c_int) -> *const c_char;

    context_new = c"SSL_CTX_new": fn(*const SslMethod) -> *mut Context;
    context_free = c"SSL_CTX_free": fn(*mut Context);
    tls_method = c"TLS_method": fn() -> *const SslMethod;
    ssl_new = c"SSL_new": fn(*mut Context) -> *mut Ssl;
    ssl_free = c"SSL_free": fn(*mut Ssl);
    ssl_context = c"SSL_get_SSL_CTX": fn(*const Ssl) -> *mut Context;
    ssl_ex_data = c"SSL_get_ex_data": fn(*const Ssl, c_int) -> *mut c_void;
    ssl_set_ex_data = c"SSL_set_ex_data": fn(*mut Ssl, c_int, *mut c_void) -> c_int;
    ssl_read_bio = c"SSL_get_rbio": fn(*const Ssl) -> *mut Bio;
    ssl_write_bio = c"SSL_get_wbio": fn(*const Ssl) -> *mut Bio;
    ssl_set_bio = c"SSL_set_bio": fn(*mut Ssl, *mut Bio, *mut Bio);
    ssl_read = c"SSL_read_ex": fn(*mut Ssl, *mut c_void, usize, *mut usize) -> c_int;
    ssl_write = c"SSL_write_ex": fn(*mut Ssl, *const c_void, usize, *mut usize) -> c_int;
    ssl_error = c"SSL_get_error": fn(*const Ssl, c_int) -> c_int;
    ssl_shutdown_state = c"SSL_get_shutdown": fn(*const Ssl) -> c_int;
    ssl_has_pending = c"SSL_has_pending": fn(*const Ssl) -> c_int;

    method_new = c"BIO_meth_new": fn(c_int, *const c_char) -> *mut BioMethod;
    method_set_read = c"BIO_meth_set_read_ex": fn(*mut BioMethod, ReadCallback) -> c_int;
    method_set_write = c"BIO_meth_set_write_ex": fn(*mut BioMethod, WriteCallback) -> c_int;
    method_set_control = c"BIO_meth_set_ctrl": fn(*mut BioMethod, ControlCallback) -> c_int;
    method_set_destroy = c"BIO_meth_set_destroy": fn(*mut BioMethod, DestroyCallback) -> c_int;
    bio_new_index = c"BIO_get_new_index": fn() -> c_int;
    bio_new = c"BIO_new": fn(*const BioMethod) -> *mut Bio;
    bio_up_ref = c"BIO_up_ref": fn(*mut Bio) -> c_int;
    bio_free = c"BIO_free": fn(*mut Bio) -> c_int;
    bio_write = c"BIO_write": fn(*mut Bio, *const c_void, c_int) -> c_int;
    bio_set_data = c"BIO_set_data": fn(*mut Bio, *mut c_void);
    bio_data = c"BIO_get_data": fn(*mut Bio) -> *mut c_void;
    bio_set_init = c"BIO_set_init": fn(*mut Bio, c_int);
    bio_set_flags = c"BIO_set_flags": fn(*mut Bio, c_int);
    bio_clear_flags = c"BIO_clear_flags": fn(*mut Bio, c_int);

    clear_errors = c"ERR_clear_error": fn();
    first_error = c"ERR_peek_error": fn() -> c_ulong;
}
