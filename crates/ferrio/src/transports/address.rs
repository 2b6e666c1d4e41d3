//! Socket addresses as Python's `socket` module shows them.

use std::net::SocketAddr;

use ferrio_core::driver::Address;
use ferrio_object::Obj;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// The address as Python shows it; `None` for those that only Python's own socket module can show.
///
/// # Errors
/// What decoding a path raises.
pub(crate) fn shown(py: Python<'_>, address: &Address) -> PyResult<Option<Obj>> {
    Ok(match address {
        Address::Inet(SocketAddr::V4(address)) => {
            Some((address.ip().to_string(), address.port()).into_pyobject(py)?.into_any().into())
        }
        // A scoped address is shown with its interface's name, which the resolver has to be asked for.
        Address::Inet(SocketAddr::V6(address)) if address.scope_id() == 0 => Some(
            (address.ip().to_string(), address.port(), address.flowinfo(), 0)
                .into_pyobject(py)?
                .into_any()
                .into(),
        ),
        Address::Unix(name) if name.first() == Some(&0) => Some(PyBytes::new(py, name).into_any().into()),
        Address::Unix(path) => match std::str::from_utf8(path) {
            Ok(path) => Some(PyString::new(py, path).into_any().into()),
            Err(_) => Some(py.import("os")?.call_method1("fsdecode", (PyBytes::new(py, path),))?.into()),
        },
        Address::Inet(_) | Address::Other { .. } => None,
    })
}
