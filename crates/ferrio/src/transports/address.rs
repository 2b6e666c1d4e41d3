//! Socket addresses as Python's `socket` module shows them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ferrio_core::driver::Address;
use ferrio_object::Obj;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

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
            Err(_) => Some(
                crate::library::module(py, "os")?.call_method1("fsdecode", (PyBytes::new(py, path),))?.into(),
            ),
        },
        Address::Inet(_) | Address::Other { .. } => None,
    })
}

/// An address that [`shown`] leaves to Python: a scoped one of IPv6 as the resolver writes it (`fe80::1%eth0`), and
/// `None` for a sender without an address.
///
/// # Errors
/// What the resolver raises.
pub(crate) fn shown_scoped(py: Python<'_>, address: &Address) -> PyResult<Obj> {
    let Address::Inet(SocketAddr::V6(address)) = address else { return Ok(Obj::none(py)) };
    let (port, flowinfo, scope) = (address.port(), address.flowinfo(), address.scope_id());
    let socket = crate::library::module(py, "socket")?;
    let flags: i32 = socket.getattr("NI_NUMERICHOST")?.extract()?;
    let flags = flags | socket.getattr("NI_NUMERICSERV")?.extract::<i32>()?;
    let named =
        socket.call_method1("getnameinfo", ((address.ip().to_string(), port, flowinfo, scope), flags))?;
    Ok((named.get_item(0)?, port, flowinfo, scope).into_pyobject(py)?.into_any().into())
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
