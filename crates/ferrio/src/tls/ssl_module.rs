//! Python's `ssl` module: which of its errors mean what, and the context of a client that gave none.

use ferrio_object::Obj;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

/// The module.
///
/// # Errors
/// `RuntimeError` on a Python that was built without it.
pub(super) fn ssl(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    crate::imported::module(py, "ssl").map_err(|err| {
        ferrio_object::swallow(py, err);
        PyRuntimeError::new_err("stdlib ssl module not available")
    })
}

/// `ssl.SSLContext`.
///
/// # Errors
/// `RuntimeError` on a Python that was built without the module.
pub(crate) fn context_class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    ssl(py)?.getattr(intern!(py, "SSLContext"))
}

fn is_a(py: Python<'_>, err: &PyErr, names: &[&str]) -> bool {
    let Ok(ssl) = ssl(py) else { return false };
    names.iter().any(|name| {
        ssl.getattr(*name).is_ok_and(|class| err.value(py).is_instance(&class).unwrap_or_default())
    })
}

/// Whether the engine needs more from the peer before it can go on. asyncio takes `SSLSyscallError` for that too.
pub(super) fn wants_more(py: Python<'_>, err: &PyErr) -> bool {
    is_a(py, err, &["SSLWantReadError", "SSLSyscallError"])
}

/// Whether it is an `ssl.SSLError`.
pub(super) fn is_ssl_error(py: Python<'_>, err: &PyErr) -> bool {
    is_a(py, err, &["SSLError"])
}

/// Whether a certificate was refused.
pub(super) fn is_certificate_error(py: Python<'_>, err: &PyErr) -> bool {
    is_a(py, err, &["CertificateError"])
}

/// The context of a client that asked for TLS with `ssl=True`.
///
/// # Errors
/// `ValueError` for a server, which has to have one.
pub(crate) fn default_context(py: Python<'_>, server_side: bool, has_hostname: bool) -> PyResult<Obj> {
    if server_side {
        return Err(PyValueError::new_err("Server side SSL needs a valid SSLContext"));
    }
    let context = ssl(py)?.call_method0(intern!(py, "create_default_context"))?;
    if !has_hostname {
        context.setattr(intern!(py, "check_hostname"), false)?;
    }
    Ok(context.into())
}
