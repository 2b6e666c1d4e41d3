//! The descriptor of a Python socket, read without calling Python.
//!
//! Who keeps a socket's number and uses it in syscalls has to know whether the socket was closed meanwhile: the number
//! may be another connection's by then. Asking `fileno()` before each syscall costs a tenth of what the syscall costs;
//! the number stands in the object, and `close()` and `detach()` put -1 in its place.

use std::cell::{Cell, OnceCell};
use std::ffi::c_int;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::obj::Obj;
use crate::shared::GilStatic;

/// `_socket.socket`, of which every socket is derived; `None` if its objects do not begin as we think.
static BASE: GilStatic<OnceCell<Option<Obj>>> = GilStatic::new(OnceCell::new());

thread_local! {
    /// Set while the base class is being looked up: that imports a module, and may come back.
    static LOOKING: Cell<bool> = const { Cell::new(false) };
}

/// The descriptor that a Python socket has now, -1 if it is closed. `None` for anything that is not one of the
/// interpreter's own sockets, and until an open one was asked about: by that the place is found.
#[inline]
pub fn socket_descriptor(py: Python<'_>, sock: &Obj) -> Option<c_int> {
    let base = match BASE.get(py).get() {
        Some(base) => base.as_ref()?,
        None => look(py, sock)?,
    };
    // SAFETY: both are live objects, the second a type.
    let derived = unsafe { ffi::PyObject_TypeCheck(sock.as_ptr(), base.as_ptr().cast()) != 0 };
    // SAFETY: the check shows that it is a socket, and `look` that sockets begin like this.
    derived.then(|| unsafe { descriptor_field(sock) })
}

/// # Safety
/// `sock` must be an instance of `_socket.socket`.
unsafe fn descriptor_field(sock: &Obj) -> c_int {
    // SAFETY: the object is larger than its header by at least the fields of a socket, of which this is the first.
    unsafe { sock.as_ptr().add(1).cast::<c_int>().read() }
}

/// Finds the base class, and whether the first field of its objects is the descriptor.
#[cold]
fn look<'py>(py: Python<'py>, sock: &Obj) -> Option<&'py Obj> {
    if LOOKING.replace(true) {
        return None;
    }
    let found = (|| {
        let base: Obj = py.import("_socket")?.getattr("socket")?.into();
        if !sock.bind(py).is_instance(base.bind(py))? {
            return Ok(None);
        }
        let size: usize = base.bind(py).getattr("__basicsize__")?.extract()?;
        let told: c_int = sock.bind(py).call_method0("fileno")?.extract()?;
        // A closed one shows nothing.
        if told < 0 {
            return Ok(None);
        }
        let fits = size >= size_of::<ffi::PyObject>() + size_of::<c_int>();
        // SAFETY: it is a socket, and its objects are large enough.
        let agrees = fits && told == unsafe { descriptor_field(sock) };
        Ok::<_, PyErr>(Some(agrees.then_some(base)))
    })();
    LOOKING.set(false);
    match found {
        Ok(None) | Err(_) => None,
        Ok(Some(base)) => BASE.get(py).get_or_init(|| base).as_ref(),
    }
}
