//! Connecting: `create_connection` with happy eyeballs, `create_unix_connection`.

use std::cell::RefCell;
use std::collections::VecDeque;

use ferrio_object::{Args, ClassBuilder, Obj, Signature, ThreadState, Wait};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::names::{Wanted, ensure_resolved, interleave};
use super::owned_socket::OwnedSocket;
use super::race;
use super::sock::check_ssl_socket;
use super::ssl_arguments::Ssl;
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::exceptions;
use crate::future::Future;
use crate::imported::socket_module;
use crate::log::{self, Level};
use crate::tls::{Side, TlsParams};
use crate::transports::{Connected, Opening, StreamTransport};

pub(super) fn truthy(arg: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    arg.map_or(Ok(false), PyAnyMethods::is_truthy)
}

/// # Errors
/// `ValueError` if the socket is no stream socket.
pub(super) fn expect_stream(py: Python<'_>, sock: &Obj) -> PyResult<()> {
    let sock = sock.bind(py);
    if sock.getattr(intern!(py, "type"))?.eq(socket_module(py)?.getattr(intern!(py, "SOCK_STREAM"))?)? {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("A Stream Socket was expected, got {}", sock.repr()?)))
}

/// # Errors
/// `ValueError` if the socket is no Unix stream socket.
pub(super) fn expect_unix_stream(py: Python<'_>, sock: &Obj) -> PyResult<()> {
    let sock = sock.bind(py);
    let socket = socket_module(py)?;
    let unix = sock.getattr("family")?.eq(socket.getattr("AF_UNIX")?)?;
    if unix && sock.getattr("type")?.eq(socket.getattr("SOCK_STREAM")?)? {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("A UNIX Domain Stream Socket was expected, got {}", sock.repr()?)))
}

/// Makes protocol and transport of a connected socket and waits for `connection_made()`. A socket that is `ours` is
/// closed if it does not come to a transport; one of the user's only since 3.14 (gh-153133).
///
/// # Errors
/// What the factory raises, `CancelledError`.
pub(super) async fn begin_transport(
    co: &Co,
    this: &Local<Loop>,
    sock: &Local,
    ours: bool,
    factory: &Local,
    tls: &Kept<Option<TlsParams>>,
) -> PyResult<Obj> {
    let (wait, protocol, transport) = {
        let (py, this, sock) = (co.py(), this.get(), sock.get());
        let owned = (ours || cfg!(Py_3_14)).then(|| OwnedSocket::new(sock.clone()));
        sock.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
        let context = if cfg!(Py_3_15) { Some(ThreadState::copy_context(py)?) } else { None };
        let protocol: Obj = factory.get().bind(py).call0()?.into();
        let waiter = Future::create(py, LoopRef::Native(this.clone()))?;
        let opening = Opening {
            sock: Connected::Socket(sock.clone()),
            protocol: &protocol,
            waiter: Some(waiter.clone().into_any()),
            peer: None,
            extra: None,
            server: None,
            context,
        };
        let transport = match &*tls.get() {
            Some(tls) => tls.open(py, &this, opening, waiter.as_any())?,
            None => StreamTransport::open(py, &this, opening)?.into_any(),
        };
        if let Some(owned) = &owned {
            owned.keep(py);
        }
        (co.wait(waiter), co.hold(protocol), co.hold(transport))
    };
    if let Err(err) = wait.await {
        transport.get().bind(co.py()).call_method0(intern!(co.py(), "close"))?;
        return Err(err);
    }
    let py = co.py();
    Ok((transport.get(), protocol.get()).into_pyobject(py)?.into_any().into())
}

/// What `create_connection()` was given.
struct Target {
    host: Option<Obj>,
    port: Option<Obj>,
    wanted: Wanted,
    local_addr: Option<Obj>,
    delay: Option<Obj>,
    interleave: usize,
    all_errors: bool,
}

ferrio_object::traverse!(struct Target { host, port, wanted, local_addr, delay, interleave, all_errors });

fn create_connection(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<15> = Signature::new(
        "create_connection",
        [
            "protocol_factory",
            "host",
            "port",
            "ssl",
            "family",
            "proto",
            "flags",
            "sock",
            "local_addr",
            "server_hostname",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
            "happy_eyeballs_delay",
            "interleave",
            "all_errors",
        ],
    )
    .positional(3)
    .required(1);
    let [
        factory,
        host,
        port,
        ssl,
        family,
        proto,
        flags,
        sock,
        local_addr,
        server_hostname,
        handshake,
        shutdown,
        delay,
        interleave,
        all_errors,
    ] = args.bind(&SIGNATURE)?;
    let ssl = Ssl::new(ssl, server_hostname, handshake, shutdown);
    let delay = Obj::unless_none(delay);
    let interleave = match Obj::unless_none(interleave) {
        Some(interleave) => interleave.bind(py).extract()?,
        // Without happy eyeballs the resolver's order is kept.
        None => usize::from(delay.is_some()),
    };
    let target = Target {
        host: Obj::unless_none(host),
        port: Obj::unless_none(port),
        wanted: Wanted::stream(py, family, proto, flags)?,
        local_addr: Obj::unless_none(local_addr),
        delay,
        interleave,
        all_errors: truthy(all_errors)?,
    };
    let (factory, sock) = (Obj::or_none(py, factory), Obj::unless_none(sock));
    coro::coroutine(py, "create_connection", move |co| {
        let (this, ssl, target) = (co.hold(this), co.keep(ssl), co.keep(target));
        let (factory, given) = (co.hold(factory), sock.map(|sock| co.hold(sock)));
        async move {
            let ours = {
                let (py, target) = (co.py(), target.get());
                ssl.get().check_client(py, target.host.as_ref())?;
                if let Some(sock) = &given {
                    check_ssl_socket(py, sock.get().bind(py))?;
                }
                target.host.is_some() || target.port.is_some()
            };
            let sock = match given {
                Some(_) if ours => {
                    return Err(PyValueError::new_err(
                        "host/port and sock can not be specified at the same time",
                    ));
                }
                Some(sock) => {
                    // AF_UNIX is let through too, although there is a method of its own for it.
                    expect_stream(co.py(), &sock.get())?;
                    sock
                }
                None if ours => co.hold(connect(&co, &this, &target).await?),
                None => {
                    return Err(PyValueError::new_err(
                        "host and port was not specified and no sock specified",
                    ));
                }
            };
            let tls = {
                let target = target.get();
                co.keep(ssl.get().params(co.py(), Side::Client, target.host.as_ref())?)
            };
            let pair = begin_transport(&co, &this, &sock, ours, &factory, &tls).await?;
            if this.get().debug.get() {
                log_connected(co.py(), &pair, &target.get())?;
            }
            Ok(pair)
        }
    })
}

fn log_connected(py: Python<'_>, pair: &Obj, target: &Target) -> PyResult<()> {
    let (transport, protocol) = (pair.bind(py).get_item(0)?, pair.bind(py).get_item(1)?);
    let sock = transport.call_method1("get_extra_info", ("socket",))?;
    let or_none = |arg: &Option<Obj>| arg.clone().unwrap_or_else(|| Obj::none(py));
    let (host, port) = (or_none(&target.host), or_none(&target.port));
    let args = ("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol);
    log::write(py, "ferrio.base_events", Level::Debug, args)
}

/// The infos of an address, of which there has to be one.
async fn some_infos(
    co: &Co,
    this: &Local<Loop>,
    address: &Local,
    wanted: &Kept<Wanted>,
) -> PyResult<Vec<Obj>> {
    let infos = ensure_resolved(co, this, address, wanted).await?;
    if infos.is_empty() {
        return Err(PyOSError::new_err("getaddrinfo() returned empty list"));
    }
    Ok(infos)
}

/// Resolves and connects.
async fn connect(co: &Co, this: &Local<Loop>, target: &Kept<Target>) -> PyResult<Obj> {
    let (address, wanted, local_addr, delay) = {
        let target = target.get();
        let address: Obj = (&target.host, &target.port).into_pyobject(co.py())?.into_any().into();
        let local_addr = target.local_addr.as_ref().map(|address| co.hold(address));
        let delay = target.delay.as_ref().map(|delay| co.hold(delay));
        (co.hold(address), co.keep(target.wanted.clone()), local_addr, delay)
    };
    let infos = co.keep(some_infos(co, this, &address, &wanted).await?);
    let local = match &local_addr {
        None => co.keep(None),
        Some(address) => co.keep(Some(some_infos(co, this, address, &wanted).await?)),
    };
    let (infos, errors) = {
        let (py, target) = (co.py(), target.get());
        let infos = Vec::clone(&infos.get());
        let infos = if target.interleave > 0 { interleave(py, infos, target.interleave)? } else { infos };
        // One list of errors per attempt, in the order in which they were begun.
        (co.keep(RefCell::new(VecDeque::from(infos))), co.hold(Obj::from(PyList::empty(py).into_any())))
    };
    let sock = match &delay {
        None => connect_in_turn(co, this, &infos, &local, &errors).await?,
        Some(delay) => race(co, this, &infos, &local, &errors, delay).await?,
    };
    match sock {
        Some(sock) => Ok(sock),
        None => Err(all_failed(co.py(), &errors.get(), target.get().all_errors)?),
    }
}

/// The addresses that have not been tried yet.
type Untried = RefCell<VecDeque<Obj>>;

async fn connect_in_turn(
    co: &Co,
    this: &Local<Loop>,
    infos: &Kept<Untried>,
    local: &Kept<Option<Vec<Obj>>>,
    errors: &Local,
) -> PyResult<Option<Obj>> {
    loop {
        let Some(info) = infos.get().borrow_mut().pop_front().map(|info| co.hold(info)) else {
            return Ok(None);
        };
        let mine = co.hold(begin_errors(co.py(), errors)?);
        match connect_sock(co, this, &info, local, &mine).await {
            Ok(sock) => return Ok(Some(sock)),
            Err(err) if err.is_instance_of::<PyOSError>(co.py()) => ferrio_object::swallow(co.py(), err),
            Err(err) => return Err(err),
        }
    }
}

/// Happy eyeballs: an attempt that is slow is joined by the next one.
async fn race(
    co: &Co,
    this: &Local<Loop>,
    infos: &Kept<Untried>,
    local: &Kept<Option<Vec<Obj>>>,
    errors: &Local,
    delay: &Local,
) -> PyResult<Option<Obj>> {
    let outcome = race::race(co, this, delay, |py| {
        let Some(info) = infos.get().borrow_mut().pop_front() else { return Ok(None) };
        let (this, local, mine) = (this.get(), Option::clone(&local.get()), begin_errors(py, errors)?);
        coro::coroutine(py, "_connect_sock", move |co| {
            let (this, info, local, mine) = (co.hold(this), co.hold(info), co.keep(local), co.hold(mine));
            async move { connect_sock(&co, &this, &info, &local, &mine).await }
        })
        .map(Some)
    })
    .await?;
    // Two may have succeeded in the same turn.
    for sock in outcome.late {
        sock.bind(co.py()).call_method0("close")?;
    }
    Ok(outcome.winner.map(|(_, sock)| sock))
}

fn begin_errors(py: Python<'_>, errors: &Local) -> PyResult<Obj> {
    let mine = PyList::empty(py).into_any();
    errors.get().bind(py).call_method1("append", (&mine,))?;
    Ok(mine.into())
}

/// Creates, binds and connects one socket. Errors are noted in `errors` too.
async fn connect_sock(
    co: &Co,
    this: &Local<Loop>,
    info: &Local,
    local: &Kept<Option<Vec<Obj>>>,
    errors: &Local,
) -> PyResult<Obj> {
    // The list must not be kept by the error that is raised, nor by what holds that: no cycle.
    let noted = |py: Python<'_>, err: PyErr| -> PyErr {
        if !err.is_instance_of::<PyOSError>(py) {
            return err;
        }
        let exc = exceptions::value_of(py, err);
        match errors.get().bind(py).call_method1("append", (&exc,)) {
            Ok(_) => ferrio_object::raise(py, &exc),
            Err(err) => err,
        }
    };
    let sock = {
        let py = co.py();
        let made = make_socket(py, &info.get(), local.get().as_deref(), &errors.get());
        co.keep(OwnedSocket::new(made.map_err(|err| noted(py, err))?))
    };
    let connecting = {
        let (py, info) = (co.py(), info.get());
        let args = (sock.get().get(py), info.bind(py).get_item(4)?);
        let connecting = this.get().bind(py).call_method1(intern!(py, "sock_connect"), args);
        connecting.map(|connecting| co.wait(Obj::from(connecting)))
    };
    let outcome = match connecting {
        Ok(wait) => wait.await.map(drop),
        Err(err) => Err(err),
    };
    match outcome {
        Ok(()) => Ok(sock.get().keep(co.py())),
        Err(err) => Err(noted(co.py(), err)),
    }
}

fn make_socket(py: Python<'_>, info: &Obj, local: Option<&[Obj]>, errors: &Obj) -> PyResult<Obj> {
    let info = info.bind(py);
    let (family, kind, proto) = (info.get_item(0)?, info.get_item(1)?, info.get_item(2)?);
    let sock = socket_module(py)?.getattr(intern!(py, "socket"))?.call1((&family, kind, proto))?;
    let owned = OwnedSocket::new((&sock).into());
    sock.call_method1(intern!(py, "setblocking"), (false,))?;
    let Some(local) = local else { return Ok(owned.keep(py)) };
    for candidate in local {
        let candidate = candidate.bind(py);
        if !candidate.get_item(0)?.eq(&family)? {
            continue;
        }
        let address = candidate.get_item(4)?;
        match sock.call_method1("bind", (&address,)) {
            Ok(_) => return Ok(owned.keep(py)),
            Err(err) if err.is_instance_of::<PyOSError>(py) => {
                let reason = err.value(py).str()?.to_string().to_lowercase();
                let message =
                    format!("error while attempting to bind on address {}: {reason}", address.repr()?);
                let errno: Option<i32> = err.value(py).getattr("errno")?.extract()?;
                let exc = exceptions::value_of(py, PyOSError::new_err((errno, message)));
                errors.bind(py).call_method1("append", (exc,))?;
            }
            Err(err) => return Err(err),
        }
    }
    // All bind attempts failed: the last is raised, and noted again where it is caught.
    if errors.bind(py).len()? > 0 {
        return Err(PyErr::from_value(errors.bind(py).call_method0("pop")?));
    }
    Err(PyOSError::new_err(format!("no matching local address with family={} found", family.repr()?)))
}

/// The error to raise when no attempt succeeded.
fn all_failed(py: Python<'_>, errors: &Obj, all: bool) -> PyResult<PyErr> {
    let mut flat: Vec<Bound<'_, PyAny>> = Vec::new();
    for list in errors.bind(py).try_iter()? {
        for exc in list?.try_iter()? {
            flat.push(exc?);
        }
    }
    // The lists would keep the exceptions, and those their tracebacks, alive.
    errors.bind(py).call_method0("clear")?;
    if all {
        let group = crate::imported::module(py, "builtins")?.getattr("ExceptionGroup")?;
        return Ok(PyErr::from_value(group.call1(("create_connection failed", PyList::new(py, flat)?))?));
    }
    let shown: PyResult<Vec<String>> = flat.iter().map(|exc| Ok(exc.str()?.to_string())).collect();
    let shown = shown?;
    match flat.into_iter().next() {
        Some(first) if shown.iter().all(|other| *other == shown[0]) => Ok(PyErr::from_value(first)),
        _ => Ok(PyOSError::new_err(format!("Multiple exceptions: {}", shown.join(", ")))),
    }
}

fn create_unix_connection(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<7> = Signature::new(
        "create_unix_connection",
        [
            "protocol_factory",
            "path",
            "ssl",
            "sock",
            "server_hostname",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
        ],
    )
    .positional(2)
    .required(1);
    let [factory, path, ssl, sock, server_hostname, handshake, shutdown] = args.bind(&SIGNATURE)?;
    let ssl = Ssl::new(ssl, server_hostname, handshake, shutdown);
    let factory = Obj::or_none(py, factory);
    let (path, sock) = (Obj::unless_none(path), Obj::unless_none(sock));
    coro::coroutine(py, "create_unix_connection", move |co| {
        let (this, ssl, factory) = (co.hold(this), co.keep(ssl), co.hold(factory));
        let (path, sock) = (path.map(|path| co.hold(path)), sock.map(|sock| co.hold(sock)));
        async move {
            ssl.get().check_unix_client(co.py())?;
            let ours = path.is_some();
            let sock = match (path, sock) {
                (Some(_), Some(_)) => {
                    return Err(PyValueError::new_err("path and sock can not be specified at the same time"));
                }
                (Some(path), None) => {
                    let (made, wait) = connect_unix(&co, &this.get(), path.get())?;
                    wait.await?;
                    co.hold(made.get().keep(co.py()))
                }
                (None, Some(sock)) => {
                    expect_unix_stream(co.py(), &sock.get())?;
                    sock
                }
                (None, None) => return Err(PyValueError::new_err("no path and sock were specified")),
            };
            let tls = co.keep(ssl.get().params(co.py(), Side::Client, None)?);
            begin_transport(&co, &this, &sock, ours, &factory, &tls).await
        }
    })
}

/// Makes a Unix socket and begins to connect it.
fn connect_unix<'co>(co: &'co Co, this: &Obj<Loop>, path: Obj) -> PyResult<(Kept<OwnedSocket>, Wait<'co>)> {
    let py = co.py();
    let path = py.import("os")?.call_method1("fspath", (path,))?;
    let socket = socket_module(py)?;
    let (family, kind) = (socket.getattr("AF_UNIX")?, socket.getattr("SOCK_STREAM")?);
    let sock = socket.getattr("socket")?.call1((family, kind, 0))?;
    let made = co.keep(OwnedSocket::new((&sock).into()));
    sock.call_method1("setblocking", (false,))?;
    let connecting = this.bind(py).call_method1("sock_connect", (&sock, path))?;
    Ok((made, co.wait(Obj::from(connecting))))
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine("create_connection", create_connection,
            "create_connection($self, protocol_factory, host=None, port=None, *, ssl=None, family=0, proto=0,\n\
             flags=0, sock=None, local_addr=None, server_hostname=None, ssl_handshake_timeout=None,\n\
             ssl_shutdown_timeout=None, happy_eyeballs_delay=None, interleave=None, all_errors=False)\n--\n\n\
             Coroutine: connect to a TCP server; returns (transport, protocol).\n\n\
             protocol_factory: called without arguments once connected; returns the protocol.\n\
             host, port: where to; or give `sock`, which is connected already.\n\
             ssl: an ssl.SSLContext, or True for a client's default one.\n\
             server_hostname: the name that the certificate has to have; `host` by default.\n\
             family, proto, flags: as for getaddrinfo().\n\
             local_addr: a pair (host, port) to bind to.\n\
             ssl_handshake_timeout, ssl_shutdown_timeout: seconds, 60 and 30 by default (since 3.7 and 3.11).\n\
             happy_eyeballs_delay: seconds after which a slow attempt is joined by the next (RFC 8305; since 3.8).\n\
             interleave: how many addresses of the first family are tried before the next family's (since 3.8).\n\
             all_errors: raise an ExceptionGroup of all errors (since 3.12).\n\n\
             Raises OSError if no address answers, and what the handshake raises.")
        .coroutine("create_unix_connection", create_unix_connection,
            "create_unix_connection($self, protocol_factory, path=None, *, ssl=None, sock=None,\n\
             server_hostname=None, ssl_handshake_timeout=None, ssl_shutdown_timeout=None)\n--\n\n\
             Coroutine: connect to a Unix socket; returns (transport, protocol).\n\n\
             path: the socket's path, as str, bytes or a path object; or give `sock`, which is connected already.\n\n\
             With `ssl`, server_hostname has to be given. Other parameters are those of create_connection().");
}
