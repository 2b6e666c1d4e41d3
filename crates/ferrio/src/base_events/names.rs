//! Names and addresses: `getaddrinfo`, `getnameinfo`, and addresses that need no resolver.

use std::net::{Ipv4Addr, Ipv6Addr};

use ferrio_core::clock;
use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::resolve;
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::Loop;
use crate::imported::socket_module;
use crate::log::{self, Level};
use crate::transports::has_null;

/// What is wanted of an address: the keyword arguments of `getaddrinfo`.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) family: Obj,
    pub(super) kind: Obj,
    pub(super) proto: Obj,
    pub(super) flags: Obj,
}

ferrio_object::traverse!(struct Wanted { family, kind, proto, flags });

impl Wanted {
    /// Stream sockets; zero for whatever is not given.
    pub(super) fn stream(
        py: Python<'_>,
        family: Option<&Bound<'_, PyAny>>,
        proto: Option<&Bound<'_, PyAny>>,
        flags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let zero: Obj = 0_i32.into_pyobject(py)?.into_any().into();
        let or_zero = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| zero.clone(), Obj::from);
        Ok(Wanted {
            family: or_zero(family),
            kind: socket_module(py)?.getattr(intern!(py, "SOCK_STREAM"))?.into(),
            proto: or_zero(proto),
            flags: or_zero(flags),
        })
    }
}

/// The address infos of `(host, port, …)`: without asking anybody if the host is a number, else through the loop's
/// `getaddrinfo`, which users replace.
///
/// # Errors
/// What the resolver raises.
pub(super) async fn ensure_resolved(
    co: &Co,
    event_loop: &Local<Loop>,
    address: &Local,
    wanted: &Kept<Wanted>,
) -> PyResult<Vec<Obj>> {
    let wait = {
        let (py, wanted, address) = (co.py(), wanted.get(), address.get());
        let address = address.bind(py);
        let (host, port) = (address.get_item(0)?, address.get_item(1)?);
        // The C library takes a name up to its first NUL: another host than the one that a program may have checked.
        if has_null(&host)? || has_null(&port)? {
            return Err(PyValueError::new_err("embedded null character"));
        }
        if let Some(info) = numeric(py, address, &host, &port, &wanted)? {
            return Ok(vec![info]);
        }
        let kwargs = PyDict::new(py);
        kwargs.set_item(intern!(py, "family"), &wanted.family)?;
        kwargs.set_item(intern!(py, "type"), &wanted.kind)?;
        kwargs.set_item(intern!(py, "proto"), &wanted.proto)?;
        kwargs.set_item(intern!(py, "flags"), &wanted.flags)?;
        let event_loop = event_loop.get();
        let pending =
            event_loop.bind(py).call_method(intern!(py, "getaddrinfo"), (host, port), Some(&kwargs))?;
        co.wait(Obj::from(pending))
    };
    let infos = wait.await?;
    let py = co.py();
    if infos.is_none() {
        return Ok(Vec::new());
    }
    infos.bind(py).try_iter()?.map(|info| info.map(Obj::from)).collect()
}

/// The address info of a host that is a number already; `None` if the resolver has to be asked.
fn numeric(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    host: &Bound<'_, PyAny>,
    port: &Bound<'_, PyAny>,
    wanted: &Wanted,
) -> PyResult<Option<Obj>> {
    if host.is_none() {
        return Ok(None);
    }
    let socket = socket_module(py)?;
    let constant = |name: &str| socket.getattr(name)?.extract::<i64>();
    let (tcp, udp) = (constant("IPPROTO_TCP")?, constant("IPPROTO_UDP")?);
    let proto: i64 = wanted.proto.bind(py).extract()?;
    if ![0, tcp, udp].contains(&proto) {
        return Ok(None);
    }
    let kind: i64 = wanted.kind.bind(py).extract()?;
    let proto = if kind == constant("SOCK_STREAM")? {
        tcp
    } else if kind == constant("SOCK_DGRAM")? {
        udp
    } else {
        return Ok(None);
    };
    let Some(port) = numeric_port(py, port)? else { return Ok(None) };
    let text: String = if let Ok(bytes) = host.cast::<PyBytes>() {
        bytes.call_method1("decode", ("idna",))?.extract()?
    } else if let Ok(text) = host.cast::<PyString>() {
        text.to_str()?.to_owned()
    } else {
        return Ok(None);
    };
    let family: i64 = wanted.family.bind(py).extract()?;
    let (inet, inet6) = (socket.getattr("AF_INET")?, socket.getattr("AF_INET6")?);
    let any = family == constant("AF_UNSPEC")?;
    let has_ipv6 = socket.getattr("has_ipv6")?.is_truthy()?;
    let rest = |i: usize| if address.len()? > i { address.get_item(i).map(Obj::from) } else { zero(py) };
    // A zone after the address (`fe80::1%eth0`) is the resolver's to understand; it does not parse here.
    let (af, sockaddr) = if (any || family == inet.extract::<i64>()?) && text.parse::<Ipv4Addr>().is_ok() {
        (inet, (&text, port).into_pyobject(py)?.into_any())
    } else if has_ipv6 && (any || family == inet6.extract::<i64>()?) && text.parse::<Ipv6Addr>().is_ok() {
        (inet6, (&text, port, rest(2)?, rest(3)?).into_pyobject(py)?.into_any())
    } else {
        return Ok(None);
    };
    Ok(Some((af, &wanted.kind, proto, "", sockaddr).into_pyobject(py)?.into_any().into()))
}

/// `_ipaddr_info()`: the address info of a numeric host.
///
/// # Errors
/// What decoding the host or a number that is none raises.
pub(crate) fn ipaddr_info(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    [host, port]: [&Bound<'_, PyAny>; 2],
    [family, kind, proto]: [&Bound<'_, PyAny>; 3],
) -> PyResult<Option<Obj>> {
    let wanted = Wanted { family: family.into(), kind: kind.into(), proto: proto.into(), flags: zero(py)? };
    numeric(py, address, host, port, &wanted)
}

fn zero(py: Python<'_>) -> PyResult<Obj> {
    Ok(0_i32.into_pyobject(py)?.into_any().into())
}

/// A port as a number; `None` for the name of a service.
fn numeric_port(py: Python<'_>, port: &Bound<'_, PyAny>) -> PyResult<Option<Obj>> {
    let empty = |port: &Bound<'_, PyAny>| {
        port.cast::<PyBytes>().is_ok_and(|bytes| bytes.as_bytes().is_empty())
            || port.cast::<PyString>().is_ok_and(|text| text.len().is_ok_and(|len| len == 0))
    };
    if port.is_none() || empty(port) {
        return zero(py).map(Some);
    }
    match py.get_type::<pyo3::types::PyInt>().call1((port,)) {
        Ok(port) => Ok(Some(port.into())),
        Err(err) if err.is_instance_of::<PyTypeError>(py) || err.is_instance_of::<PyValueError>(py) => {
            ferrio_object::swallow(py, err);
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// Address infos with the families taking turns, `first` of the first family ahead of the others (RFC 8305).
pub(crate) fn interleave(py: Python<'_>, infos: Vec<Obj>, first: usize) -> PyResult<Vec<Obj>> {
    let mut families: Vec<(i64, std::collections::VecDeque<Obj>)> = Vec::new();
    for info in infos {
        let family: i64 = info.bind(py).get_item(0)?.extract()?;
        match families.iter_mut().find(|(known, _)| *known == family) {
            Some((_, group)) => group.push_back(info),
            None => families.push((family, [info].into())),
        }
    }
    let mut ordered = Vec::new();
    if let Some((_, group)) = families.first_mut() {
        for _ in 1..first {
            ordered.extend(group.pop_front());
        }
    }
    while families.iter().any(|(_, group)| !group.is_empty()) {
        ordered.extend(families.iter_mut().filter_map(|(_, group)| group.pop_front()));
    }
    Ok(ordered)
}

fn getaddrinfo(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<6> =
        Signature::new("getaddrinfo", ["host", "port", "family", "type", "proto", "flags"]).positional(2);
    let bound = args.bind(&SIGNATURE)?;
    let mut passed: Vec<Obj> = bound[..2].iter().flatten().copied().map(Obj::from).collect();
    for arg in &bound[2..] {
        passed.push(arg.map_or_else(|| zero(py), |arg| Ok(arg.into()))?);
    }
    coro::coroutine(py, "getaddrinfo", move |co| {
        let (this, passed) = (co.hold(this), co.keep(passed));
        async move {
            let started = clock::monotonic();
            let shown = if this.get().debug.get() { Some(described(co.py(), &passed.get())?) } else { None };
            let infos = lookup(&co, &this, &passed).await?;
            if let Some(shown) = shown {
                log_lookup(&this.get(), co.py(), &shown, clock::monotonic() - started, &infos)?;
            }
            Ok(infos)
        }
    })
}

async fn lookup(co: &Co, this: &Local<Loop>, passed: &Kept<Vec<Obj>>) -> PyResult<Obj> {
    if let Some(infos) = resolve::infos(co, this, passed).await? {
        return Ok(infos);
    }
    let wait = co.wait(in_executor(&this.get(), co.py(), "getaddrinfo", &passed.get())?);
    wait.await
}

/// Has the `socket` module's function run where the program has blocking calls run.
fn in_executor(this: &Obj<Loop>, py: Python<'_>, function: &str, args: &[Obj]) -> PyResult<Obj> {
    let function = socket_module(py)?.getattr(function)?.into();
    let all = [Obj::none(py), function].into_iter().chain(args.iter().cloned());
    let all = PyTuple::new(py, all.collect::<Vec<_>>())?;
    Ok(this.bind(py).call_method1(intern!(py, "run_in_executor"), all)?.into())
}

fn described(py: Python<'_>, args: &[Obj]) -> PyResult<String> {
    let mut shown = format!("{}:{}", args[0].bind(py).str()?, args[1].bind(py).repr()?);
    for (name, value) in ["family", "type", "proto", "flags"].iter().zip(&args[2..]) {
        if value.bind(py).is_truthy()? {
            let value = value.bind(py).repr()?;
            shown = format!("{shown}, {name}={value}");
        }
    }
    Ok(shown)
}

/// Debug mode logs every lookup, the slow ones at a higher level.
fn log_lookup(this: &Obj<Loop>, py: Python<'_>, shown: &str, took: f64, infos: &Obj) -> PyResult<()> {
    let infos = infos.bind(py).repr()?;
    let message = format!("Getting address info {shown} took {:.3}ms: {infos}", took * 1e3);
    let level = if took >= this.slow_callback_duration.get() { Level::Info } else { Level::Debug };
    log::write(py, "ferrio.base_events", level, (message,))
}

fn getnameinfo(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sockaddr, flags] = args.bind(&Signature::new("getnameinfo", ["sockaddr", "flags"]).required(1))?;
    let sockaddr = Obj::or_none(py, sockaddr);
    let flags = flags.map_or_else(|| zero(py), |flags| Ok(flags.into()))?;
    coro::coroutine(py, "getnameinfo", move |co| {
        let (this, passed) = (co.hold(this), co.keep(vec![sockaddr, flags]));
        async move {
            if let Some(names) = resolve::names(&co, &this, &passed).await? {
                return Ok(names);
            }
            let wait = co.wait(in_executor(&this.get(), co.py(), "getnameinfo", &passed.get())?);
            wait.await
        }
    })
}

fn py_ensure_resolved(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<6> =
        Signature::new("_ensure_resolved", ["address", "family", "type", "proto", "flags", "loop"])
            .positional(1);
    let [address, family, kind, proto, flags, _] = args.bind(&SIGNATURE)?;
    let address = Obj::or_none(py, address);
    let mut wanted = Wanted::stream(py, family, proto, flags)?;
    if let Some(kind) = kind {
        wanted.kind = kind.into();
    }
    coro::coroutine(py, "_ensure_resolved", move |co| {
        let (this, address, wanted) = (co.hold(this), co.hold(address), co.keep(wanted));
        async move {
            let infos = ensure_resolved(&co, &this, &address, &wanted).await?;
            Ok(PyList::new(co.py(), infos)?.into())
        }
    })
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine(
            "getaddrinfo",
            getaddrinfo,
            "getaddrinfo($self, host, port, *, family=0, type=0, proto=0, flags=0)\n--\n\n\
             Coroutine: socket.getaddrinfo() without blocking the loop; returns what that returns.\n\n\
             In a thread of the default executor if one was set or the function was replaced, else without Python.",
        )
        .coroutine(
            "getnameinfo",
            getnameinfo,
            "getnameinfo($self, sockaddr, flags=0)\n--\n\n\
             Coroutine: socket.getnameinfo() without blocking the loop; in threads as getaddrinfo().",
        )
        .coroutine("_ensure_resolved", py_ensure_resolved, "");
}
