//! A socket that a coroutine has made and not handed over yet: an error or a cancellation on the way closes it.

use ferrio_object::{Obj, ObjCell};
use pyo3::prelude::*;

/// A socket that is closed unless it is kept.
pub(super) struct OwnedSocket {
    sock: ObjCell,
}

ferrio_object::traverse!(struct OwnedSocket { sock });

impl OwnedSocket {
    pub(super) fn new(sock: Obj) -> Self {
        OwnedSocket { sock: ObjCell::new(sock) }
    }

    pub(super) fn get(&self, py: Python<'_>) -> Obj {
        self.sock.get().unwrap_or_else(|| Obj::none(py))
    }

    pub(super) fn keep(&self, py: Python<'_>) -> Obj {
        self.sock.take().unwrap_or_else(|| Obj::none(py))
    }
}

impl Drop for OwnedSocket {
    fn drop(&mut self) {
        if let Some(sock) = self.sock.take() {
            let py = sock.py();
            if let Err(err) = sock.bind(py).call_method0("close") {
                err.write_unraisable(py, Some(sock.bind(py)));
            }
        }
    }
}
