//! A second OpenSSL that the dynamic linker finds first (preloaded, or loaded for everybody). Alone in its process, because
//! that changes what the other tests would find.

use std::ffi::{CString, c_ulong};
use std::path::Path;

use ferrio_openssl::{Library, Refusal};

#[test]
fn a_library_that_comes_before_the_extensions_own_is_refused() {
    // SAFETY: a terminated string; OpenSSL's initialisers may run at any time.
    let own = unsafe { libc::dlopen(c"libssl.so.3".as_ptr(), libc::RTLD_NOW) };
    assert!(!own.is_null(), "this test needs OpenSSL 3's shared library");
    // SAFETY: an open handle, whose dependency has the function that is asked for; it takes no arguments.
    let version = unsafe {
        let function = libc::dlsym(own, c"OpenSSL_version_num".as_ptr());
        std::mem::transmute::<*mut libc::c_void, unsafe extern "C" fn() -> c_ulong>(function)()
    };
    // SAFETY: an all-zero Dl_info is a valid one, and the address is a function's.
    let file = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        assert_ne!(libc::dladdr(libc::dlsym(own, c"SSL_read_ex".as_ptr()), &raw mut info), 0);
        std::ffi::CStr::from_ptr(info.dli_fname).to_str().unwrap().to_owned()
    };

    // A copy has a file of its own, so it is a library of its own.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("another-libssl.so");
    std::fs::copy(&file, &copy).unwrap();
    let name = CString::new(copy.to_str().unwrap()).unwrap();
    // SAFETY: as above.
    let other = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    assert!(!other.is_null());

    let refusal = Library::load(Path::new("libssl.so.3"), version).err().unwrap();
    assert_eq!(refusal, Refusal::Shadowed(c"SSL_read_ex", copy.clone()));
    assert!(refusal.to_string().contains(copy.to_str().unwrap()));
}
