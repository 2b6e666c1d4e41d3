//! Socket addresses as Python's `socket` module shows them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ferrio_core::driver::{Address, Ipv4Text};
use ferrio_object::Obj;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyInt, PyString, PyTuple};

/// An IPv6 address as the C library writes it. Rust's own way differs in the addresses that only contain one of IPv4.
pub(crate) fn host_text(ip: Ipv6Addr) -> String {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            format!("::{a}.{b}.{c}.{d}")
        }
        _ => ip.to_string(),
    }
}

/// The address as Python shows it; `None` for those that only Python's own socket module can show.
///
/// # Errors
/// What decoding a path raises.
pub(crate) fn shown(py: Python<'_>, address: &Address) -> PyResult<Option<Obj>> {
    Ok(match address {
        Address::Inet(SocketAddr::V4(address)) => {
            Some((Ipv4Text::of(*address.ip()).as_str(), address.port()).into_pyobject(py)?.into_any().into())
        }
        // The zone is in the scope, not in the text (since Python 3.7).
        Address::Inet(SocketAddr::V6(address)) => Some(
            (host_text(*address.ip()), address.port(), address.flowinfo(), address.scope_id())
                .into_pyobject(py)?
                .into_any()
                .into(),
        ),
        Address::Unix(name) if name.first() == Some(&0) => Some(PyBytes::new(py, name).into_any().into()),
        Address::Unix(path) => match std::str::from_utf8(path) {
            Ok(path) => Some(PyString::new(py, path).into_any().into()),
            Err(_) => Some(
                crate::imported::module(py, "os")?
                    .call_method1("fsdecode", (PyBytes::new(py, path),))?
                    .into(),
            ),
        },
        Address::Other { .. } => None,
    })
}

/// Whether a path names no file: a name in the abstract namespace, or none at all.
pub(crate) fn is_abstract(path: &Bound<'_, PyAny>) -> PyResult<bool> {
    if path.len()? == 0 {
        return Ok(true);
    }
    let first = path.get_item(0)?;
    Ok(first.eq(0)? || first.eq("\0")?)
}

/// Whether there is a NUL in a text or in bytes.
pub(crate) fn has_null(name: &Bound<'_, PyAny>) -> PyResult<bool> {
    if name.is_instance_of::<PyString>() {
        name.contains("\0")
    } else if name.is_instance_of::<PyBytes>() || name.is_instance_of::<PyByteArray>() {
        name.contains(0)
    } else {
        Ok(false)
    }
}

/// The kernel takes a path up to its first NUL, which is another file than a program may have checked.
///
/// # Errors
/// `ValueError` for a path with a NUL in it, unless it is a name in the abstract namespace.
pub(crate) fn refuse_null(path: &Bound<'_, PyAny>) -> PyResult<()> {
    if has_null(path)? && !is_abstract(path)? {
        return Err(PyValueError::new_err("embedded null byte"));
    }
    Ok(())
}

/// The families whose addresses are understood here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Inet,
    Inet6,
    Unix,
    Other,
}

impl Family {
    pub(super) fn of(address: &Address) -> Self {
        match address {
            Address::Inet(SocketAddr::V4(_)) => Family::Inet,
            Address::Inet(SocketAddr::V6(_)) => Family::Inet6,
            Address::Unix(_) => Family::Unix,
            Address::Other { .. } => Family::Other,
        }
    }
}

/// An address as programs give it, for a socket of `family`. `None` for whatever takes Python's own socket module to
/// understand or to refuse: names, zones, empty strings, wrong types.
#[inline]
pub(super) fn parsed(address: &Bound<'_, PyAny>, family: Family) -> Option<Address> {
    if family == Family::Unix {
        let path = address.cast_exact::<PyString>().ok()?.to_str().ok()?;
        // Other characters depend on the encoding of the file system.
        let plain = !path.is_empty() && path.is_ascii() && !path.contains('\0');
        return plain.then(|| Address::Unix(path.as_bytes().to_vec()));
    }
    let parts = address.cast_exact::<PyTuple>().ok()?;
    let host = parts.get_borrowed_item(0).ok()?;
    let host = host.cast_exact::<PyString>().ok()?;
    let host = host.to_str().ok()?;
    let number =
        |i: usize| parts.get_borrowed_item(i).ok()?.cast_exact::<PyInt>().ok()?.extract::<u32>().ok();
    let port = u16::try_from(number(1)?).ok()?;
    match (family, parts.len()) {
        (Family::Inet, 2) => {
            let ip: Ipv4Addr = host.parse().ok()?;
            Some(Address::Inet(SocketAddrV4::new(ip, port).into()))
        }
        (Family::Inet6, len @ 2..=4) => {
            let ip: Ipv6Addr = host.parse().ok()?;
            let flowinfo = if len > 2 { number(2).filter(|flowinfo| *flowinfo < 1 << 20)? } else { 0 };
            let scope = if len > 3 { number(3)? } else { 0 };
            Some(Address::Inet(SocketAddrV6::new(ip, port, flowinfo, scope).into()))
        }
        _ => None,
    }
}
