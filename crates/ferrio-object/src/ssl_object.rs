//! The `SSL*` behind Python's `ssl.SSLObject`, whose data is moved without calling Python.
//!
//! An `ssl.SSLObject` has an `_ssl._SSLSocket`, an object in C. Its fields begin with a reference that is null for objects
//! over memory, the `SSL*`, and the `_ssl._SSLContext`, whose first field is the `SSL_CTX*`; CPython 3.11 to 3.15 agree on
//! that. It is not taken on trust: an object is made, and OpenSSL is asked whether what lies there is an `SSL` of that
//! context with that object as its application data, after its memory was read in a way that cannot crash
//! ([`Library::prove`]). Where anything differs, there is a reason in words instead of a connection.

use std::cell::{Cell, OnceCell};
use std::ffi::{c_ulong, c_void};
use std::fmt;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::ptr::NonNull;

use ferrio_openssl::{Claim, Connection, Library, Read, Refusal, Write};
use pyo3::exceptions::{PyMemoryError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{ffi, intern};

use crate::error::swallow;
use crate::obj::Obj;
use crate::shared::GilStatic;

/// How an `_ssl._SSLSocket` begins.
#[repr(C)]
struct SocketHead {
    head: ffi::PyObject,
    socket: *mut ffi::PyObject,
    ssl: *mut c_void,
    context: *mut ffi::PyObject,
}

/// How an `_ssl._SSLContext` begins.
#[repr(C)]
struct ContextHead {
    head: ffi::PyObject,
    context: *mut c_void,
}

/// How an `_ssl.MemoryBIO` begins.
#[repr(C)]
struct MemoryHead {
    head: ffi::PyObject,
    bio: *mut c_void,
}

/// Why an object's data cannot be moved directly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsuitable {
    reason: String,
    /// Another time may have another answer.
    passing: bool,
}

impl From<Refusal> for Unsuitable {
    fn from(refusal: Refusal) -> Self {
        Unsuitable { reason: refusal.to_string(), passing: refusal.is_passing() }
    }
}

impl Unsuitable {
    /// For a reason of the caller's.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Unsuitable { reason: reason.into(), passing: false }
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// What is the same for all objects.
struct Layout {
    library: &'static Library,
    socket_class: Obj,
    memory_class: Obj,
    /// The attribute of a context with the function that is called for each message.
    message_callback: Obj,
}

/// Found out once: neither the interpreter nor its OpenSSL changes.
static LAYOUT: GilStatic<OnceCell<Result<Layout, Unsuitable>>> = GilStatic::new(OnceCell::new());

/// What is known about the objects of Python's `ssl` module.
fn layout(py: Python<'_>) -> Result<&Layout, Unsuitable> {
    let cell = LAYOUT.get(py);
    if let Some(found) = cell.get() {
        return found.as_ref().map_err(Clone::clone);
    }
    let found = Layout::find(py).unwrap_or_else(|err| {
        let reason = format!("looking at Python's ssl module failed: {err}");
        let passing = err.is_instance_of::<PyMemoryError>(py) || err.is_instance_of::<PyOSError>(py);
        swallow(py, err);
        Err(Unsuitable { reason, passing })
    });
    if let Err(unsuitable) = &found
        && unsuitable.passing
    {
        return Err(unsuitable.clone());
    }
    // What was called may have come back here; then both have found the same.
    cell.get_or_init(|| found).as_ref().map_err(Clone::clone)
}

/// The OpenSSL that connections use directly: its version, and the file that it is in.
///
/// # Errors
/// Why there is none.
pub fn ssl_library(py: Python<'_>) -> Result<&'static Library, Unsuitable> {
    layout(py).map(|layout| layout.library)
}

impl Layout {
    fn find(py: Python<'_>) -> PyResult<Result<Self, Unsuitable>> {
        let refused = |reason: &str| Ok(Err(Unsuitable::because(reason)));
        if let Some(reason) = interpreter_differs(py) {
            return refused(&reason);
        }
        let module = py.import("_ssl")?;
        let Ok(file) = module.getattr("__file__").and_then(|file| file.extract::<PathBuf>()) else {
            return refused("the extension _ssl is built into the interpreter");
        };
        let socket_class = module.getattr("_SSLSocket")?.cast_into::<PyType>()?;
        let memory_class = module.getattr("MemoryBIO")?.cast_into::<PyType>()?;
        let context_class = module.getattr("_SSLContext")?.cast_into::<PyType>()?;
        if size_of_instances(&socket_class)? < size_of::<SocketHead>()
            || size_of_instances(&context_class)? < size_of::<ContextHead>()
            || size_of_instances(&memory_class)? < size_of::<MemoryHead>()
        {
            return refused("the objects of Python's ssl module are smaller than they should be");
        }
        let version: c_ulong = module.getattr("OPENSSL_VERSION_NUMBER")?.extract()?;
        let library = match Library::load(&file, version) {
            Ok(library) => library,
            Err(refusal) => return Ok(Err(refusal.into())),
        };

        let context = context_class.call1((module.getattr("PROTOCOL_TLS_CLIENT")?,))?;
        let (incoming, outgoing) = (memory_class.call0()?, memory_class.call0()?);
        let socket = context.call_method1("_wrap_bio", (&incoming, &outgoing, false, "localhost"))?;
        let (socket, context) = (Obj::from(socket), Obj::from(context));
        let layout = Layout {
            library,
            socket_class: socket_class.into_any().into(),
            memory_class: memory_class.into_any().into(),
            message_callback: context_class.getattr("__dict__")?.get_item("_msg_callback")?.into(),
        };
        let Some(head) = layout.head(&socket) else {
            return refused("_wrap_bio() makes another class of objects");
        };
        if head.context != context.as_ptr() || !head.socket.is_null() {
            return refused("the objects of Python's ssl module have other fields");
        }
        // SAFETY: a live context of the class, whose instances are large enough for the field, as was checked.
        let claim = unsafe { claim(&socket, head) };
        if let Err(refusal) = library.prove(&claim) {
            return Ok(Err(refusal.into()));
        }
        // SAFETY: as was proven.
        if !unsafe { layout.is_over(claim.ssl, &incoming.into(), &outgoing.into()) } {
            return refused("the memory of Python's ssl module has other fields");
        }
        Ok(Ok(layout))
    }

    /// Whether an `SSL` reads from and writes to these two `ssl.MemoryBIO`s.
    ///
    /// # Safety
    /// `ssl` is a live `SSL` of the library.
    unsafe fn is_over(&self, ssl: *const c_void, incoming: &Obj, outgoing: &Obj) -> bool {
        let bio = |memory: &Obj| {
            // SAFETY: a live object of exactly the class, whose instances are as large at least; any bits are a pointer.
            (memory.type_ptr().cast() == self.memory_class.as_ptr())
                .then(|| unsafe { (*memory.as_ptr().cast::<MemoryHead>()).bio })
        };
        match (bio(incoming), bio(outgoing)) {
            // SAFETY: the caller's promise.
            (Some(read), Some(write)) => unsafe { self.library.is_over(ssl, read, write) },
            _ => false,
        }
    }

    /// The fields of an object of the right class; `None` for any other.
    fn head<'a>(&self, socket: &'a Obj) -> Option<&'a SocketHead> {
        if socket.type_ptr().cast() != self.socket_class.as_ptr() {
            return None;
        }
        // SAFETY: a live object of exactly the class, whose instances are as large at least. The fields are pointers, of
        // which any bits are valid. They change only in calls of Python, and the reference does not outlive one.
        Some(unsafe { &*socket.as_ptr().cast::<SocketHead>() })
    }
}

/// What is to be shown of an object's pointers.
///
/// # Safety
/// The object's context is a live `_ssl._SSLContext`.
unsafe fn claim(socket: &Obj, head: &SocketHead) -> Claim {
    // SAFETY: the caller's promise, and the size that was checked.
    let context = unsafe { (*head.context.cast::<ContextHead>()).context };
    Claim { ssl: head.ssl, context, owner: socket.as_ptr().cast() }
}

fn size_of_instances(class: &Bound<'_, PyType>) -> PyResult<usize> {
    class.getattr("__basicsize__")?.extract()
}

/// Why this interpreter is not one whose objects are known.
fn interpreter_differs(py: Python<'_>) -> Option<String> {
    let version = py.version_info();
    if cfg!(any(PyPy, GraalPy)) {
        return Some("the interpreter is not CPython".to_owned());
    }
    if (version.major, version.minor) < (3, 11) || (version.major, version.minor) > (3, 15) {
        return Some(format!("the objects of Python {}.{} are not known", version.major, version.minor));
    }
    if cfg!(Py_GIL_DISABLED) {
        return Some("the interpreter has no GIL".to_owned());
    }
    if cfg!(py_sys_config = "Py_DEBUG") {
        return Some("the interpreter is a debug build".to_owned());
    }
    None
}

/// The data of an `ssl.SSLObject`, moved directly. It keeps the object in C alive, and with it the `SSL`.
pub struct SslConnection {
    /// Declared first: it is dropped while the `SSL` lives.
    connection: Connection,
    socket: Obj,
}

crate::traverse!(struct SslConnection { connection: unowned, socket });

impl SslConnection {
    /// Takes the data path of `socket` over, the `_ssl._SSLSocket` in an `ssl.SSLObject` over two `ssl.MemoryBIO`s. What lies
    /// in those is not looked at.
    ///
    /// # Errors
    /// `MemoryError`. The inner error is why it cannot be done.
    pub fn take_over(
        py: Python<'_>,
        socket: &Obj,
        incoming: &Obj,
        outgoing: &Obj,
    ) -> PyResult<Result<Self, Unsuitable>> {
        let layout = match layout(py) {
            Ok(layout) => layout,
            Err(unsuitable) => return Ok(Err(unsuitable)),
        };
        let refused = |reason| Ok(Err(Unsuitable::because(reason)));
        let Some(head) = layout.head(socket) else {
            return refused("the SSLObject has no _ssl._SSLSocket");
        };
        if !head.socket.is_null() {
            return refused("the SSLObject is over a socket");
        }
        // SAFETY: an object of the class that was proven to have its context here, and it keeps that alive.
        let (context, claim) =
            unsafe { (Obj::<crate::obj::Any>::from_borrowed(head.context), claim(socket, head)) };
        // SAFETY: an object of the class that was proven to have its SSL here.
        if !unsafe { layout.library.confirms(&claim) } {
            return refused("OpenSSL does not know the SSLObject as its own");
        }
        // SAFETY: as OpenSSL has confirmed.
        if !unsafe { layout.is_over(claim.ssl, incoming, outgoing) } {
            return refused("the SSLObject is over other memory than it was given");
        }
        let callback = layout.message_callback.bind(py);
        if !callback.call_method1(intern!(py, "__get__"), (context,))?.is_none() {
            return refused("the context has a message callback, whose exceptions Python's calls raise");
        }
        let Some(ssl) = NonNull::new(claim.ssl.cast_mut()) else {
            return refused("the SSLObject has no SSL");
        };
        // SAFETY: a live SSL of the library, as OpenSSL has confirmed, which the object that is kept with the connection
        // keeps alive. The connection is used by attached threads alone. Python's own methods use the SSL detached: a
        // program that has two threads do so at once breaks OpenSSL's rules in Python's ssl module too.
        match unsafe { Connection::adopt(layout.library, ssl) } {
            Ok(connection) => Ok(Ok(SslConnection { connection, socket: socket.clone() })),
            Err(refusal) => Err(PyMemoryError::new_err(refusal.to_string())),
        }
    }

    /// As [`Connection::read`].
    ///
    /// # Errors
    /// As [`Self::read_uninit`].
    #[inline]
    pub fn read(&self, py: Python<'_>, buffer: &mut [u8]) -> PyResult<Read> {
        checked(py, self.connection.read(buffer))
    }

    /// As [`Connection::read_uninit`].
    ///
    /// # Errors
    /// What a callback of a program's raises in a renegotiation.
    #[inline]
    pub fn read_uninit(&self, py: Python<'_>, buffer: &mut [MaybeUninit<u8>]) -> PyResult<Read> {
        checked(py, self.connection.read_uninit(buffer))
    }

    /// As [`Connection::read_cells`].
    ///
    /// # Errors
    /// As [`Self::read_uninit`].
    #[inline]
    pub fn read_cells(&self, py: Python<'_>, buffer: &[Cell<u8>]) -> PyResult<Read> {
        checked(py, self.connection.read_cells(buffer))
    }

    /// As [`Connection::write`].
    ///
    /// # Errors
    /// As [`Self::read_uninit`].
    #[inline]
    pub fn write(&self, py: Python<'_>, data: &[u8]) -> PyResult<Write> {
        checked(py, self.connection.write(data))
    }

    /// What is not reading or writing data.
    #[inline]
    pub fn wire(&self) -> &Connection {
        &self.connection
    }
}

/// From 3.15 on a callback's exception is left to be raised by the code that has called OpenSSL.
#[inline]
fn checked<T>(py: Python<'_>, outcome: T) -> PyResult<T> {
    match PyErr::take(py) {
        None => Ok(outcome),
        Some(err) => Err(err),
    }
}
