//! The OpenSSL of the extension `_ssl`: found in the process, or refused.

use std::ffi::{CStr, CString, OsStr, c_int, c_ulong, c_void};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::bio;
use crate::functions::{BioMethod, Functions};
use crate::proof::Landmarks;

/// `OPENSSL_VERSION`: the text that begins with the name of the library.
const VERSION_TEXT: c_int = 0;

/// The process has one `_ssl`, so there is one library. BIO callbacks find it here.
static LIBRARY: OnceLock<Library> = OnceLock::new();

/// Why connections cannot be driven directly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The extension is not among the libraries that are loaded (a Python with `_ssl` built in).
    NotLoaded(PathBuf),
    /// The extension's libraries have no such symbol: OpenSSL is linked statically, or is another library.
    Missing(&'static CStr),
    /// Another library of the process comes before the extension's own with this symbol, so `_ssl` may use that one.
    Shadowed(&'static CStr, PathBuf),
    /// The version that the functions report is not the one that Python's `ssl` reports.
    OtherVersion { found: c_ulong, expected: c_ulong },
    /// A library with OpenSSL's names that calls itself something else.
    NotOpenSsl(String),
    /// OpenSSL did not make what it was asked for.
    OutOfMemory,
    /// No descriptors are left for the pipe through which memory is read.
    OutOfDescriptors,
    /// A pointer is not what it was taken for.
    NotAnSsl(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotLoaded(path) => write!(f, "{} is not a loaded library", path.display()),
            Refusal::Missing(symbol) => write!(
                f,
                "the libraries of Python's ssl module do not export {} (OpenSSL is linked statically, or too old)",
                symbol.to_string_lossy()
            ),
            Refusal::Shadowed(symbol, path) => write!(
                f,
                "{} comes from {} before the libraries of Python's ssl module",
                symbol.to_string_lossy(),
                path.display()
            ),
            Refusal::OtherVersion { found, expected } => write!(
                f,
                "the OpenSSL that was found has version {found:#x}, that of Python's ssl module {expected:#x}"
            ),
            Refusal::NotOpenSsl(text) => write!(f, "Python's ssl module uses {text}, which is not OpenSSL"),
            Refusal::OutOfMemory => write!(f, "OpenSSL has no memory"),
            Refusal::OutOfDescriptors => write!(f, "no descriptors are left to look at OpenSSL with"),
            Refusal::NotAnSsl(reason) => {
                write!(f, "the objects of Python's ssl module look different: {reason}")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Whether another time may have another answer.
    pub fn is_passing(&self) -> bool {
        matches!(self, Refusal::OutOfMemory | Refusal::OutOfDescriptors)
    }
}

/// The functions of the OpenSSL that Python's `ssl` module has loaded.
pub struct Library {
    pub(crate) functions: Functions,
    /// What BIOs of ours do; it lives as long as the process, because any `SSL` may hold such a BIO.
    pub(crate) bio_method: NonNull<BioMethod>,
    pub(crate) landmarks: Landmarks,
    version: String,
    path: PathBuf,
}

// SAFETY: the pointer is to a BIO_METHOD that nobody changes after it was made; the rest are functions and values.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Finds the functions in the loaded extension `_ssl` and the libraries that it was linked with.
    ///
    /// `extension` is the file of the extension (`_ssl.__file__`), `version` is `ssl.OPENSSL_VERSION_NUMBER`. What a call
    /// has found, later ones return.
    pub fn load(extension: &Path, version: c_ulong) -> Result<&'static Library, Refusal> {
        match LIBRARY.get() {
            Some(library) => Ok(library),
            None => Library::find(extension, version).map(|found| LIBRARY.get_or_init(|| found)),
        }
    }

    /// The library, if it was loaded.
    #[inline]
    pub(crate) fn loaded() -> Option<&'static Library> {
        LIBRARY.get()
    }

    /// OpenSSL's version as text: `OpenSSL 3.0.19 27 Jan 2026`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file that the functions are in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn find(extension: &Path, expected: c_ulong) -> Result<Library, Refusal> {
        let not_loaded = || Refusal::NotLoaded(extension.to_owned());
        let name = CString::new(extension.as_os_str().as_bytes()).map_err(|_| not_loaded())?;
        // The handle is never closed: the functions have to stay.
        // SAFETY: a terminated string; with RTLD_NOLOAD no code of a library runs.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        if handle.is_null() {
            return Err(not_loaded());
        }
        // SAFETY: an open handle; a handle's symbols are those of the library and of its own dependencies. That they are
        // OpenSSL's is checked below, before any but the two that report the version is called.
        let functions = unsafe { Functions::find(|symbol| libc::dlsym(handle, symbol.as_ptr())) }?;
        let version = check_version(&functions, expected)?;
        let read: *mut c_void = functions.ssl_read as *mut c_void;
        check_order(c"SSL_read_ex", read)?;
        check_order(c"ERR_peek_error", functions.first_error as *mut c_void)?;
        let path = file_of(read);
        let landmarks = Landmarks::survey(&functions)?;
        // Last, because it is never freed.
        let bio_method = bio::method(&functions).ok_or(Refusal::OutOfMemory)?;
        Ok(Library { functions, bio_method, landmarks, version, path })
    }

    /// Whether OpenSSL has an error queued on this thread; if so, forgets them all.
    #[inline]
    pub(crate) fn drop_errors(&self) {
        // SAFETY: no arguments; the queue belongs to this thread.
        if unsafe { (self.functions.first_error)() } != 0 {
            // SAFETY: as above.
            unsafe { (self.functions.clear_errors)() };
        }
    }
}

fn check_version(functions: &Functions, expected: c_ulong) -> Result<String, Refusal> {
    // SAFETY: functions without side effects that every library with OpenSSL's names has with these signatures.
    let (found, text) = unsafe { ((functions.version_number)(), (functions.version_text)(VERSION_TEXT)) };
    if text.is_null() {
        return Err(Refusal::NotOpenSsl("a library without a name".to_owned()));
    }
    // SAFETY: a terminated string that lives as long as the library.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    if !text.starts_with("OpenSSL ") {
        return Err(Refusal::NotOpenSsl(text));
    }
    if found != expected {
        return Err(Refusal::OtherVersion { found, expected });
    }
    Ok(text)
}

/// The dynamic linker resolves what `_ssl` calls in the program and in preloaded libraries first. If one of those has
/// the symbol as well, `_ssl` may have been given that one.
fn check_order(symbol: &'static CStr, found: *mut c_void) -> Result<(), Refusal> {
    // SAFETY: a terminated string.
    let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, symbol.as_ptr()) };
    if first.is_null() || first == found { Ok(()) } else { Err(Refusal::Shadowed(symbol, file_of(first))) }
}

/// The file that an address belongs to; empty if there is none.
fn file_of(address: *mut c_void) -> PathBuf {
    // SAFETY: an all-zero Dl_info is a valid one (null pointers).
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked about; the record is ours.
    if unsafe { libc::dladdr(address, &raw mut info) } == 0 || info.dli_fname.is_null() {
        return PathBuf::new();
    }
    // SAFETY: a terminated string that lives as long as the library.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    PathBuf::from(OsStr::from_bytes(name.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system's library in the place of the extension, and its version.
    fn system() -> (&'static Path, c_ulong) {
        let name = ["libssl.so.3", "libssl.so.1.1", "libssl.so"].into_iter().find(|name| {
            let name = CString::new(*name).unwrap();
            // SAFETY: a terminated string; OpenSSL's initialisers may run at any time.
            !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) }.is_null()
        });
        let name = Path::new(name.expect("these tests need OpenSSL's shared library"));
        let Err(Refusal::OtherVersion { found, expected: 0 }) = Library::find(name, 0) else {
            panic!("a library of version 0");
        };
        (name, found)
    }

    #[test]
    fn a_library_that_is_not_loaded_is_refused() {
        for path in ["/nowhere/_ssl.so", "a\0b", "/usr/lib/x86_64-linux-gnu/libssl.so.not"] {
            let path = Path::new(path);
            assert_eq!(Library::find(path, 1).err(), Some(Refusal::NotLoaded(path.to_owned())));
        }
    }

    #[test]
    fn a_library_without_openssl_is_refused_and_the_reason_names_the_symbol() {
        let refusal = Library::find(Path::new("libc.so.6"), 1).err().unwrap();
        assert_eq!(refusal, Refusal::Missing(c"OpenSSL_version_num"));
        assert!(refusal.to_string().contains("OpenSSL_version_num"));
    }

    #[test]
    fn another_version_is_refused() {
        let (name, version) = system();
        let refusal = Library::find(name, version + 0x10).err().unwrap();
        assert_eq!(refusal, Refusal::OtherVersion { found: version, expected: version + 0x10 });
        assert!(Library::find(name, version).is_ok());
    }

    #[test]
    fn what_was_loaded_first_is_the_library() {
        let (name, version) = system();
        assert!(Library::loaded().is_none());
        let library = Library::load(name, version).unwrap();
        let again = Library::load(Path::new("/nowhere"), 0).unwrap();
        assert!(std::ptr::eq(library, again));
        assert!(library.version().starts_with("OpenSSL "));
    }
}
