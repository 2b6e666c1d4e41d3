//! `getaddrinfo` and `getnameinfo` without Python's: on native threads, or at once where nobody has to be asked.
//!
//! That is so as long as nobody can tell the difference: `socket.getaddrinfo` is the standard library's, no executor
//! was set, and the arguments are of the plain kinds. In all other cases the answer here is "not mine", and the
//! caller has Python's function run in the executor, which also has the right words for arguments that are wrong.

use std::ffi::CString;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ferrio_core::driver::Address;
use ferrio_core::driver::resolve::{self, Failure, Hints, Info};
use ferrio_object::Obj;
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyFunction, PyInt, PyList, PyString, PyTuple};

use super::calls;
use crate::coro::{Co, Kept, Local};
use crate::event_loop::{Hooks, Loop};
use crate::exceptions::FromIo;
use crate::imported::socket_module;
use crate::transports::host_text;

/// Whether Python's function `name` of the socket module may be bypassed.
fn may_bypass(this: &Obj<Loop>, py: Python<'_>, name: &str) -> PyResult<bool> {
    const REPLACED: ferrio_object::MethodSet =
        Hooks::RUN_IN_EXECUTOR.or(Hooks::RUN_ONCE).or(Hooks::TIME).or(Hooks::PROCESS_EVENTS);
    // After the executor's end, resolving is refused; the executor has the words for that.
    if this.custom_executor.get()
        || this.executor_shutdown_called.get()
        || this.own_selector.get()
        || this.replaces(REPLACED)
    {
        return Ok(false);
    }
    let socket = socket_module(py)?;
    let low = py.import(intern!(py, "_socket"))?;
    let builtin = |function: &Bound<'_, PyAny>| -> PyResult<bool> {
        Ok(function.is_exact_instance_of::<PyCFunction>()
            && function.getattr(intern!(py, "__self__"))?.is(&low)
            && function.getattr(intern!(py, "__name__"))?.eq(name)?)
    };
    let function = socket.getattr(name)?;
    if function.is_exact_instance_of::<PyFunction>() {
        // Who replaces it has written the other one in another module.
        return Ok(function
            .getattr(intern!(py, "__globals__"))?
            .is(socket.getattr(intern!(py, "__dict__"))?)
            && function.getattr(intern!(py, "__name__"))?.eq(name)?
            && builtin(&low.getattr(name)?)?);
    }
    builtin(&function)
}

/// The infos for the arguments of `socket.getaddrinfo()`: host, port, family, type, proto, flags. `None`: not mine.
///
/// # Errors
/// `socket.gaierror`, `OSError`, what audit hooks raise, `CancelledError`.
pub(super) async fn infos(co: &Co, this: &Local<Loop>, args: &Kept<Vec<Obj>>) -> PyResult<Option<Obj>> {
    let (host, service, hints) = {
        let (py, args) = (co.py(), args.get());
        if !may_bypass(&this.get(), py, "getaddrinfo")? {
            return Ok(None);
        }
        let [host, port, family, kind, protocol, flags] = &args[..] else { return Ok(None) };
        let (host, service) = (host_of(py, host)?, service_of(py, port));
        if matches!(host, Name::Unplain) || matches!(service, Name::Unplain) {
            return Ok(None);
        }
        let number = |arg: &Obj| arg.bind(py).extract::<i32>().ok();
        let (Some(family), Some(kind), Some(protocol), Some(flags)) =
            (number(family), number(kind), number(protocol), number(flags))
        else {
            return Ok(None);
        };
        // Without the flags, as CPython's function tells it.
        let event = intern!(py, "socket.getaddrinfo");
        audit(py, (event, &args[0], &args[1], family, kind, protocol))?;
        (host.get(), service.get(), Hints { family, kind, protocol, flags })
    };
    let lookup = {
        let (host, service) = (host.clone(), service.clone());
        move || resolve::addresses(host.as_deref(), service.as_deref(), hints)
    };
    let found = if asks_nobody(host.as_ref(), service.as_ref()) {
        lookup()
    } else {
        calls::on_thread(co, this, lookup).await?
    };
    match found {
        Ok(found) => shown(co.py(), &found).map(Some),
        Err(failure) => Err(error(co.py(), failure)?),
    }
}

/// Tells the audit hooks, which may refuse.
fn audit<'py>(py: Python<'py>, event: impl pyo3::call::PyCallArgs<'py>) -> PyResult<()> {
    py.import(intern!(py, "sys"))?.getattr(intern!(py, "audit"))?.call1(event).map(drop)
}

fn asks_nobody(host: Option<&CString>, service: Option<&CString>) -> bool {
    let host = host.is_none_or(|host| host.to_str().is_ok_and(|host| host.parse::<IpAddr>().is_ok()));
    host && service.is_none_or(|service| service.to_bytes().iter().all(u8::is_ascii_digit))
}

/// A host or a service as the resolver takes it.
enum Name {
    Absent,
    Text(CString),
    /// Python's own function has to see it.
    Unplain,
}

impl Name {
    fn of(bytes: &[u8]) -> Self {
        CString::new(bytes).map_or(Name::Unplain, Name::Text)
    }

    fn get(self) -> Option<CString> {
        match self {
            Name::Text(text) => Some(text),
            Name::Absent | Name::Unplain => None,
        }
    }
}

fn host_of(py: Python<'_>, host: &Obj) -> PyResult<Name> {
    let host = host.bind(py);
    if host.is_none() {
        return Ok(Name::Absent);
    }
    if let Ok(bytes) = host.cast::<PyBytes>() {
        return Ok(Name::of(bytes.as_bytes()));
    }
    let Ok(text) = host.cast::<PyString>() else { return Ok(Name::Unplain) };
    let Ok(plain) = text.to_str() else { return Ok(Name::Unplain) };
    if plain.is_ascii() && labels_fit(plain) {
        return Ok(Name::of(plain.as_bytes()));
    }
    match text.call_method1(intern!(py, "encode"), (intern!(py, "idna"),)) {
        Ok(encoded) => Ok(Name::of(encoded.cast::<PyBytes>()?.as_bytes())),
        Err(err) if err.is_instance_of::<pyo3::exceptions::PyUnicodeError>(py) => {
            ferrio_object::swallow(py, err);
            Ok(Name::Unplain)
        }
        Err(err) => Err(err),
    }
}

/// Whether the IDNA codec would give an ASCII name back as it is: labels of 1 to 63 characters, the last may be empty.
fn labels_fit(name: &str) -> bool {
    let inner = name.strip_suffix('.').unwrap_or(name);
    name.is_empty() || inner.split('.').all(|label| (1..64).contains(&label.len()))
}

fn service_of(py: Python<'_>, port: &Obj) -> Name {
    let port = port.bind(py);
    if port.is_none() {
        return Name::Absent;
    }
    if port.is_exact_instance_of::<PyInt>() {
        // Larger ones are refused in a way of each Python's own.
        return port.extract::<i64>().map_or(Name::Unplain, |port| Name::of(port.to_string().as_bytes()));
    }
    if let Ok(bytes) = port.cast::<PyBytes>() {
        return Name::of(bytes.as_bytes());
    }
    match port.cast::<PyString>().map(|text| text.to_str()) {
        Ok(Ok(text)) => Name::of(text.as_bytes()),
        _ => Name::Unplain,
    }
}

/// The infos as Python's function gives them.
fn shown(py: Python<'_>, infos: &[Info]) -> PyResult<Obj> {
    let socket = socket_module(py)?;
    let (families, kinds) =
        (socket.getattr(intern!(py, "AddressFamily"))?, socket.getattr(intern!(py, "SocketKind"))?);
    // A number for which there is no word stays one.
    let worded = |words: &Bound<'_, PyAny>, number: i32| -> PyResult<Obj> {
        match words.call1((number,)) {
            Ok(word) => Ok(word.into()),
            Err(err) if err.is_instance_of::<pyo3::exceptions::PyValueError>(py) => {
                ferrio_object::swallow(py, err);
                Ok(number.into_pyobject(py)?.into_any().into())
            }
            Err(err) => Err(err),
        }
    };
    let list = PyList::empty(py);
    for info in infos {
        let address: Obj = match &info.address {
            Address::Inet(SocketAddr::V4(address)) => {
                (address.ip().to_string(), address.port()).into_pyobject(py)?.into_any().into()
            }
            Address::Inet(SocketAddr::V6(address)) => {
                let (port, flowinfo, scope) = (address.port(), address.flowinfo(), address.scope_id());
                (host_text(*address.ip()), port, flowinfo, scope).into_pyobject(py)?.into_any().into()
            }
            Address::Unix(_) | Address::Other { .. } => {
                return Err(PyOSError::new_err(format!("address family {} is unknown", info.family)));
            }
        };
        let name = text(py, &info.canonical_name)?;
        let (family, kind) = (worded(&families, info.family)?, worded(&kinds, info.kind)?);
        list.append((family, kind, info.protocol, name, address))?;
    }
    Ok(list.into())
}

/// A name that the resolver gave: ASCII but for what somebody has written into a file.
fn text(py: Python<'_>, name: &[u8]) -> PyResult<Obj> {
    match std::str::from_utf8(name) {
        Ok(name) => Ok(PyString::new(py, name).into()),
        Err(_) => {
            Ok(crate::imported::module(py, "os")?.call_method1("fsdecode", (PyBytes::new(py, name),))?.into())
        }
    }
}

fn error(py: Python<'_>, failure: Failure) -> PyResult<PyErr> {
    match failure {
        Failure::System(err) => Ok(PyOSError::new_err_from_io(err)),
        Failure::Resolver { code, message } => {
            let class = socket_module(py)?.getattr(intern!(py, "gaierror"))?;
            Ok(PyErr::from_value(class.call1((code, message))?))
        }
    }
}

/// `(host, service)` for the arguments of `socket.getnameinfo()`: an address, flags. `None`: not mine.
///
/// # Errors
/// As [`infos`].
pub(super) async fn names(co: &Co, this: &Local<Loop>, args: &Kept<Vec<Obj>>) -> PyResult<Option<Obj>> {
    let (address, flags) = {
        let (py, args) = (co.py(), args.get());
        if !may_bypass(&this.get(), py, "getnameinfo")? {
            return Ok(None);
        }
        let [address, flags] = &args[..] else { return Ok(None) };
        let (Some(parsed), Ok(flags)) = (address_of(py, address), flags.bind(py).extract::<i32>()) else {
            return Ok(None);
        };
        audit(py, (intern!(py, "socket.getnameinfo"), address))?;
        (parsed, flags)
    };
    let numeric = {
        let socket = socket_module(co.py())?;
        let flag = |name: &str| socket.getattr(name)?.extract::<i32>();
        flag("NI_NUMERICHOST")? | flag("NI_NUMERICSERV")?
    };
    let lookup = move || resolve::names(&address, flags);
    let found =
        if flags & numeric == numeric { lookup() } else { calls::on_thread(co, this, lookup).await? };
    let py = co.py();
    match found {
        Ok((host, service)) => {
            Ok(Some((text(py, &host)?, text(py, &service)?).into_pyobject(py)?.into_any().into()))
        }
        Err(failure) => Err(error(py, failure)?),
    }
}

/// An address of plain numbers.
fn address_of(py: Python<'_>, address: &Obj) -> Option<Address> {
    let parts = address.bind(py).cast_exact::<PyTuple>().ok()?;
    let number = |i: usize| parts.get_item(i).ok()?.cast_exact::<PyInt>().ok()?.extract::<u32>().ok();
    let host: IpAddr = parts.get_item(0).ok()?.cast_exact::<PyString>().ok()?.to_str().ok()?.parse().ok()?;
    let port = u16::try_from(number(1)?).ok()?;
    let socket_address = match (host, parts.len()) {
        (IpAddr::V4(ip), 2) => SocketAddrV4::new(ip, port).into(),
        (IpAddr::V6(ip), len @ 2..=4) => {
            let flowinfo = if len > 2 { number(2).filter(|flowinfo| *flowinfo < 1 << 20)? } else { 0 };
            let scope = if len > 3 { number(3)? } else { 0 };
            SocketAddrV6::new(ip, port, flowinfo, scope).into()
        }
        _ => return None,
    };
    Some(Address::Inet(socket_address))
}
