//! `create_datagram_endpoint`.

use std::cell::RefCell;

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::names::{Wanted, ensure_resolved};
use super::owned_socket::OwnedSocket;
use super::pipes::until_made;
use super::serve::set_reuse_port;
use super::unix_paths;
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::exceptions;
use crate::future::Future;
use crate::imported::socket_module;
use crate::log::{self, Level};
use crate::transports::DatagramTransport;

/// What `create_datagram_endpoint()` was given. Arguments that are false count as not given, as in asyncio.
struct Endpoint {
    local_addr: Option<Obj>,
    remote_addr: Option<Obj>,
    wanted: Wanted,
    reuse_port: Option<Obj>,
    allow_broadcast: Option<Obj>,
}

/// Addresses of one family and protocol to bind and to connect to.
struct Pair {
    family: Obj,
    proto: Obj,
    local: Option<Obj>,
    remote: Option<Obj>,
}

ferrio_object::traverse!(struct Pair { family, proto, local, remote });

ferrio_object::traverse!(struct Endpoint { local_addr, remote_addr, wanted, reuse_port, allow_broadcast });

fn truthy_or_none(arg: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Obj>> {
    match arg {
        Some(arg) if arg.is_truthy()? => Ok(Some(arg.into())),
        _ => Ok(None),
    }
}

fn create_datagram_endpoint(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<9> = Signature::new(
        "create_datagram_endpoint",
        [
            "protocol_factory",
            "local_addr",
            "remote_addr",
            "family",
            "proto",
            "flags",
            "reuse_port",
            "allow_broadcast",
            "sock",
        ],
    )
    .positional(3)
    .required(1);
    let [factory, local_addr, remote_addr, family, proto, flags, reuse_port, allow_broadcast, sock] =
        args.bind(&SIGNATURE)?;
    let mut wanted = Wanted::stream(py, family, proto, flags)?;
    wanted.kind = socket_module(py)?.getattr(intern!(py, "SOCK_DGRAM"))?.into();
    let endpoint = Endpoint {
        local_addr: truthy_or_none(local_addr)?,
        remote_addr: truthy_or_none(remote_addr)?,
        wanted,
        reuse_port: truthy_or_none(reuse_port)?,
        allow_broadcast: truthy_or_none(allow_broadcast)?,
    };
    let factory = Obj::or_none(py, factory);
    let sock = Obj::unless_none(sock);
    coro::coroutine(py, "create_datagram_endpoint", move |co| {
        let (this, factory, endpoint) = (co.hold(this), co.hold(factory), co.keep(endpoint));
        let given = sock.map(|sock| co.hold(sock));
        async move {
            // A socket of ours is closed if the factory fails, one that was given stays open.
            let (ours, given, remote) = match given {
                Some(given) => {
                    let (py, sock) = (co.py(), given.get());
                    check_given(py, &sock, &endpoint.get())?;
                    sock.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
                    (None, Some(sock), None)
                }
                None => {
                    let (sock, remote) = open(&co, &this, &endpoint).await?;
                    (Some(sock), None, remote)
                }
            };
            let (waiter, protocol, transport) = {
                let (py, this) = (co.py(), this.get());
                let sock = ours.as_ref().map(|ours| ours.get().get(py)).or(given);
                let protocol: Obj = factory.get().bind(py).call0()?.into();
                let waiter = Future::create(py, LoopRef::Native(this.clone()))?;
                let make = intern!(py, "_make_datagram_transport");
                let transport: Obj =
                    this.bind(py).call_method1(make, (sock, &protocol, remote, &waiter))?.into();
                if let Some(ours) = &ours {
                    ours.get().keep(py);
                }
                (co.hold(waiter), co.hold(protocol), co.hold(transport))
            };
            if this.get().debug.get() {
                log_created(co.py(), &endpoint.get(), &transport.get(), &protocol.get())?;
            }
            until_made(&co, &waiter, &transport).await?;
            Ok((transport.get(), protocol.get()).into_pyobject(co.py())?.into_any().into())
        }
    })
}

fn log_created(py: Python<'_>, endpoint: &Endpoint, transport: &Obj, protocol: &Obj) -> PyResult<()> {
    let remote = endpoint.remote_addr.clone().unwrap_or_else(|| Obj::none(py));
    match &endpoint.local_addr {
        Some(local) => {
            let message = "Datagram endpoint local_addr=%r remote_addr=%r created: (%r, %r)";
            log::write(py, "ferrio.base_events", Level::Info, (message, local, remote, transport, protocol))
        }
        None => {
            let message = "Datagram endpoint remote_addr=%r created: (%r, %r)";
            log::write(py, "ferrio.base_events", Level::Debug, (message, remote, transport, protocol))
        }
    }
}

/// # Errors
/// `ValueError` for a stream socket, and for arguments that are about a socket to be made.
fn check_given(py: Python<'_>, sock: &Obj, endpoint: &Endpoint) -> PyResult<()> {
    let sock = sock.bind(py);
    if sock.getattr(intern!(py, "type"))?.eq(socket_module(py)?.getattr(intern!(py, "SOCK_STREAM"))?)? {
        let expected = if cfg!(Py_3_13) { "datagram socket" } else { "UDP Socket" };
        return Err(PyValueError::new_err(format!("A {expected} was expected, got {}", sock.repr()?)));
    }
    let wanted = &endpoint.wanted;
    let number = |arg: &Obj| truthy_or_none(Some(arg.bind(py)));
    let mut problems: Vec<String> = Vec::new();
    for (name, value) in [
        ("local_addr", endpoint.local_addr.clone()),
        ("remote_addr", endpoint.remote_addr.clone()),
        ("family", number(&wanted.family)?),
        ("proto", number(&wanted.proto)?),
        ("flags", number(&wanted.flags)?),
        ("reuse_port", endpoint.reuse_port.clone()),
        ("allow_broadcast", endpoint.allow_broadcast.clone()),
    ] {
        if let Some(value) = value {
            problems.push(format!("{name}={}", value.bind(py).str()?));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(PyValueError::new_err(format!(
        "socket modifier keyword arguments can not be used when sock is specified. ({})",
        problems.join(", ")
    )))
}

/// Makes, binds and connects the socket. Hands out the remote address too.
async fn open(
    co: &Co,
    this: &Local<Loop>,
    endpoint: &Kept<Endpoint>,
) -> PyResult<(Kept<OwnedSocket>, Option<Obj>)> {
    let mut first: Option<Local> = None;
    let pairs = co.keep(pairs(co, this, endpoint).await?);
    let count = pairs.get().len();
    for index in 0..count {
        match open_pair(co, this, endpoint, &pairs, index).await {
            Ok(sock) => return Ok((sock, pairs.get()[index].remote.clone())),
            Err(err) if err.is_instance_of::<PyOSError>(co.py()) => {
                let exc = exceptions::value_of(co.py(), err);
                first.get_or_insert_with(|| co.hold(exc));
            }
            Err(err) => return Err(err),
        }
    }
    Err(match first {
        Some(exc) => ferrio_object::raise(co.py(), &exc.get()),
        None => PyValueError::new_err("can not get address information"),
    })
}

async fn open_pair(
    co: &Co,
    this: &Local<Loop>,
    endpoint: &Kept<Endpoint>,
    pairs: &Kept<Vec<Pair>>,
    index: usize,
) -> PyResult<Kept<OwnedSocket>> {
    let (sock, wait) = {
        let (py, endpoint, pairs) = (co.py(), endpoint.get(), pairs.get());
        let pair = &pairs[index];
        let socket = socket_module(py)?;
        let sock = socket.getattr(intern!(py, "socket"))?.call1((
            &pair.family,
            &endpoint.wanted.kind,
            &pair.proto,
        ))?;
        let owned = co.keep(OwnedSocket::new((&sock).into()));
        if endpoint.reuse_port.is_some() {
            set_reuse_port(&socket, &sock)?;
        }
        if endpoint.allow_broadcast.is_some() {
            let (level, option) = (socket.getattr("SOL_SOCKET")?, socket.getattr("SO_BROADCAST")?);
            sock.call_method1("setsockopt", (level, option, 1))?;
        }
        sock.call_method1(intern!(py, "setblocking"), (false,))?;
        if endpoint.local_addr.is_some() {
            sock.call_method1("bind", (pair.local.clone().unwrap_or_else(|| Obj::none(py)),))?;
        }
        let wait = match &pair.remote {
            // A connected socket would not hear the answers to what it broadcasts.
            Some(remote) if endpoint.allow_broadcast.is_none() => {
                let this = this.get();
                let connecting = this.bind(py).call_method1(intern!(py, "sock_connect"), (&sock, remote))?;
                Some(co.wait(Obj::from(connecting)))
            }
            _ => None,
        };
        (owned, wait)
    };
    if let Some(wait) = wait {
        wait.await?;
    }
    Ok(sock)
}

/// What to try, in order.
async fn pairs(co: &Co, this: &Local<Loop>, endpoint: &Kept<Endpoint>) -> PyResult<Vec<Pair>> {
    {
        let (py, endpoint) = (co.py(), endpoint.get());
        let pair = |local: Option<Obj>, remote: Option<Obj>| Pair {
            family: endpoint.wanted.family.clone(),
            proto: endpoint.wanted.proto.clone(),
            local,
            remote,
        };
        let family = endpoint.wanted.family.bind(py);
        if endpoint.local_addr.is_none() && endpoint.remote_addr.is_none() {
            if family.eq(0)? {
                return Err(PyValueError::new_err("unexpected address family"));
            }
            return Ok(vec![pair(None, None)]);
        }
        if family.eq(socket_module(py)?.getattr(intern!(py, "AF_UNIX"))?)? {
            for addr in [&endpoint.local_addr, &endpoint.remote_addr].into_iter().flatten() {
                if !addr.bind(py).is_instance_of::<PyString>() {
                    return Err(PyTypeError::new_err("string is expected"));
                }
            }
            if let Some(local) = &endpoint.local_addr {
                unix_paths::remove_stale(py, local.bind(py))?;
            }
            return Ok(vec![pair(endpoint.local_addr.clone(), endpoint.remote_addr.clone())]);
        }
    }
    let wanted = co.keep(endpoint.get().wanted.clone());
    let (local, remote) = {
        let endpoint = endpoint.get();
        let held = |addr: &Option<Obj>| addr.as_ref().map(|addr| co.hold(addr));
        (held(&endpoint.local_addr), held(&endpoint.remote_addr))
    };
    // Both addresses of an endpoint have to be of one family and protocol.
    let found = co.keep(RefCell::new(Vec::new()));
    for (is_local, addr) in [(true, &local), (false, &remote)] {
        let Some(addr) = addr else { continue };
        let two = addr.get().bind(co.py()).cast::<PyTuple>().is_ok_and(|addr| addr.len() == 2);
        if !two {
            return Err(PyTypeError::new_err("2-tuple is expected"));
        }
        let infos = ensure_resolved(co, this, addr, &wanted).await?;
        if infos.is_empty() {
            return Err(PyOSError::new_err("getaddrinfo() returned empty list"));
        }
        for info in infos {
            join(co.py(), &mut found.get().borrow_mut(), &info, is_local)?;
        }
    }
    let mut found = found.get().take();
    found.retain(|pair: &Pair| {
        (pair.local.is_some() || local.is_none()) && (pair.remote.is_some() || remote.is_none())
    });
    Ok(found)
}

/// Adds an address info to the pair of its family and protocol.
fn join(py: Python<'_>, found: &mut Vec<Pair>, info: &Obj, is_local: bool) -> PyResult<()> {
    let info = info.bind(py);
    let (family, proto) = (info.get_item(0)?, info.get_item(2)?);
    let address: Obj = info.get_item(4)?.into();
    let mut known = None;
    for (i, pair) in found.iter().enumerate() {
        if pair.family.bind(py).eq(&family)? && pair.proto.bind(py).eq(&proto)? {
            known = Some(i);
        }
    }
    let place = known.unwrap_or(found.len());
    if known.is_none() {
        found.push(Pair { family: family.into(), proto: proto.into(), local: None, remote: None });
    }
    let side = if is_local { &mut found[place].local } else { &mut found[place].remote };
    let old = side.replace(address);
    drop(old);
    Ok(())
}

fn make_transport(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<DatagramTransport>> {
    const SIGNATURE: Signature<5> =
        Signature::new("_make_datagram_transport", ["sock", "protocol", "address", "waiter", "extra"])
            .required(2);
    let [sock, protocol, address, waiter, extra] = args.bind(&SIGNATURE)?;
    DatagramTransport::open(
        py,
        this,
        &Obj::or_none(py, sock),
        &Obj::or_none(py, protocol),
        Obj::unless_none(address),
        Obj::unless_none(waiter),
        Obj::unless_none(extra),
    )
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine("create_datagram_endpoint", create_datagram_endpoint,
            "create_datagram_endpoint($self, protocol_factory, local_addr=None, remote_addr=None, *, family=0,\n\
             proto=0, flags=0, reuse_port=None, allow_broadcast=None, sock=None)\n--\n\n\
             Coroutine: open a datagram socket; returns (transport, protocol).\n\n\
             It is bound to local_addr and connected to remote_addr, (host, port) pairs or paths with\n\
             family=AF_UNIX; or give a socket. With allow_broadcast it is not connected, and remote_addr is only\n\
             where everything is sent to. Raises OSError if no address can be used.")
        .method("_make_datagram_transport", make_transport, "");
}
