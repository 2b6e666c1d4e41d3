//! Serving: `create_server`, `create_unix_server`, `connect_accepted_socket`, and the end of listening.

use ferrio_object::{Args, ClassBuilder, Erased, Obj, Signature};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::connect::{begin_transport, expect_stream, truthy};
use super::names::{Wanted, ensure_resolved};
use super::sock::check_ssl_socket;
use super::ssl_arguments::Ssl;
use super::unix_paths;
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::Loop;
use crate::gather::gather_objects;
use crate::imported::socket_module;
use crate::log::{self, Level};
use crate::server::{Listener, Server, Serving};
use crate::sleep;
use crate::tls::Side;

/// Linux' `EADDRINUSE` and `EADDRNOTAVAIL`.
const ADDRESS_IN_USE: i32 = 98;
const ADDRESS_NOT_AVAILABLE: i32 = 99;

/// What `create_server()` was given and needs later.
struct Bind {
    port: Obj,
    wanted: Wanted,
    reuse_address: Option<bool>,
    reuse_port: bool,
    keep_alive: bool,
}

ferrio_object::traverse!(struct Bind { port, wanted, reuse_address, reuse_port, keep_alive });

fn create_server(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<14> = Signature::new(
        "create_server",
        [
            "protocol_factory",
            "host",
            "port",
            "family",
            "flags",
            "sock",
            "backlog",
            "ssl",
            "reuse_address",
            "reuse_port",
            "keep_alive",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
            "start_serving",
        ],
    )
    .positional(3)
    .required(1);
    let [
        factory,
        host,
        port,
        family,
        flags,
        sock,
        backlog,
        ssl,
        reuse_address,
        reuse_port,
        keep_alive,
        handshake,
        shutdown,
        start,
    ] = args.bind(&SIGNATURE)?;
    let flags = match flags {
        Some(flags) => flags.clone(),
        None => socket_module(py)?.getattr("AI_PASSIVE")?,
    };
    let bind = Bind {
        port: Obj::or_none(py, port),
        wanted: Wanted::stream(py, family, None, Some(&flags))?,
        reuse_address: Obj::unless_none(reuse_address).map(|given| given.bind(py).is_truthy()).transpose()?,
        reuse_port: truthy(reuse_port)?,
        keep_alive: truthy(keep_alive)?,
    };
    let ssl = Ssl::new(ssl, None, handshake, shutdown);
    let (factory, host, sock) = (Obj::unless_none(factory), Obj::unless_none(host), Obj::unless_none(sock));
    let backlog = backlog.map_or(Ok(100), PyAnyMethods::extract)?;
    let start = start.map_or(Ok(true), PyAnyMethods::is_truthy)?;
    coro::coroutine(py, "create_server", move |co| {
        let (this, bind) = (co.hold(this), co.keep(bind));
        let (host, sock) = (host.map(|host| co.hold(host)), sock.map(|sock| co.hold(sock)));
        let ours = host.is_some() || !bind.get().port.is_none();
        let plan = co.keep(Plan { factory, ssl, backlog, start, ours });
        async move {
            {
                let py = co.py();
                plan.get().ssl.check_server(py)?;
                if let Some(sock) = &sock {
                    check_ssl_socket(py, sock.get().bind(py))?;
                }
            }
            let sockets = match sock {
                Some(_) if ours => {
                    return Err(PyValueError::new_err(
                        "host/port and sock can not be specified at the same time",
                    ));
                }
                Some(sock) => {
                    expect_stream(co.py(), &sock.get())?;
                    co.keep(vec![sock.get()])
                }
                None if ours => {
                    let infos = resolve_hosts(&co, &this, host, &bind).await?;
                    co.keep(bind_all(&this.get(), co.py(), &infos, &bind.get())?)
                }
                None => return Err(PyValueError::new_err("Neither host/port nor sock were specified")),
            };
            let server = serve(&co, &this, sockets, &plan).await?;
            if this.get().debug.get() {
                let py = co.py();
                log::write(py, "ferrio.base_events", Level::Info, ("%r is serving", &server))?;
            }
            Ok(server.into_any())
        }
    })
}

/// What a server is made of, besides its sockets.
struct Plan {
    factory: Option<Obj>,
    ssl: Ssl,
    backlog: i32,
    /// Whether to begin to listen.
    start: bool,
    /// Whether the sockets are ours to close if that fails.
    ours: bool,
}

ferrio_object::traverse!(struct Plan { factory, ssl, backlog, start, ours });

/// The server of sockets that are bound. If nobody gets it, it does not go on listening.
async fn serve(
    co: &Co,
    this: &Local<Loop>,
    sockets: Kept<Vec<Obj>>,
    plan: &Kept<Plan>,
) -> PyResult<Obj<Server>> {
    let server = {
        let (py, plan, sockets) = (co.py(), plan.get(), sockets.get());
        for sock in &*sockets {
            sock.bind(py).call_method1(intern!(py, "setblocking"), (false,))?;
        }
        let serving = Serving {
            sockets: PyList::new(py, &*sockets)?.into(),
            protocol_factory: plan.factory.clone().unwrap_or_else(|| Obj::none(py)),
            ssl_context: plan.ssl.context(),
            tls: plan.ssl.params(py, Side::Server, None)?,
            backlog: plan.backlog,
        };
        co.hold(Server::create(py, &this.get(), serving)?)
    };
    drop(sockets);
    if plan.get().start {
        if let Err(err) = Server::listen(&server.get(), co.py()) {
            if plan.get().ours {
                Server::close(&server.get(), co.py())?;
            }
            return Err(err);
        }
        let wait = co.wait(sleep::yield_once(co.py())?);
        if let Err(err) = wait.await {
            Server::close(&server.get(), co.py())?;
            return Err(err);
        }
    }
    Ok(server.get())
}

/// The address infos of all hosts, each once, in order.
async fn resolve_hosts(
    co: &Co,
    this: &Local<Loop>,
    host: Option<Local>,
    bind: &Kept<Bind>,
) -> PyResult<Vec<Obj>> {
    let hosts = co.keep(host_list(co.py(), host.as_ref().map(Local::get))?);
    let (port, wanted) = (co.hold(&bind.get().port), co.keep(bind.get().wanted.clone()));
    let mut found: Vec<Obj> = if hosts.get().len() == 1 {
        let host = co.hold(&hosts.get()[0]);
        resolve_host(co, this, &host, &port, &wanted).await?
    } else {
        let wait = {
            let py = co.py();
            let lookups: PyResult<Vec<Obj>> = hosts
                .get()
                .iter()
                .map(|host| {
                    let (this, port, wanted) = (this.get(), port.get(), wanted.get());
                    coro::coroutine(py, "_create_server_getaddrinfo", move |co| {
                        let (this, host, port) = (co.hold(this), co.hold(host), co.hold(port));
                        let wanted = co.keep(Wanted::clone(&wanted));
                        async move {
                            let infos = resolve_host(&co, &this, &host, &port, &wanted).await?;
                            Ok(PyList::new(co.py(), infos)?.into())
                        }
                    })
                })
                .collect();
            let lookups = lookups?;
            if lookups.is_empty() {
                return Ok(Vec::new());
            }
            co.wait(gather_objects(py, &lookups, false)?)
        };
        let (lists, mut found) = (wait.await?, Vec::new());
        for list in lists.bind(co.py()).try_iter()? {
            for info in list?.try_iter()? {
                found.push(info?.into());
            }
        }
        found
    };
    let mut distinct: Vec<Obj> = Vec::with_capacity(found.len());
    for info in found.drain(..) {
        let py = co.py();
        let mut known = false;
        for other in &distinct {
            known = known || other.bind(py).eq(&info)?;
        }
        if !known {
            distinct.push(info);
        }
    }
    Ok(distinct)
}

async fn resolve_host(
    co: &Co,
    this: &Local<Loop>,
    host: &Local,
    port: &Local,
    wanted: &Kept<Wanted>,
) -> PyResult<Vec<Obj>> {
    let address = co.hold(Obj::from((host.get(), port.get()).into_pyobject(co.py())?.into_any()));
    let infos = ensure_resolved(co, this, &address, wanted).await?;
    if infos.is_empty() {
        let host = host.get();
        let shown = host.bind(co.py()).repr()?;
        return Err(PyOSError::new_err(format!("getaddrinfo({shown}) returned empty list")));
    }
    Ok(infos)
}

/// `host` may be a string, a sequence of strings, or nothing: all interfaces.
fn host_list(py: Python<'_>, host: Option<Obj>) -> PyResult<Vec<Obj>> {
    let Some(host) = host else { return Ok(vec![Obj::none(py)]) };
    let bound = host.bind(py);
    if let Ok(text) = bound.cast::<PyString>() {
        let all = text.to_str()?.is_empty();
        return Ok(vec![if all { Obj::none(py) } else { host }]);
    }
    if !bound.is_instance(&crate::imported::module(py, "collections.abc")?.getattr("Iterable")?)? {
        return Ok(vec![host]);
    }
    bound.try_iter()?.map(|host| host.map(Obj::from)).collect()
}

/// Closes the sockets made so far unless all went well.
struct Made<'py> {
    py: Python<'py>,
    sockets: Vec<Obj>,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for sock in self.sockets.drain(..) {
            if let Err(err) = sock.bind(self.py).call_method0("close") {
                err.write_unraisable(self.py, Some(sock.bind(self.py)));
            }
        }
    }
}

fn bind_all(this: &Obj<Loop>, py: Python<'_>, infos: &[Obj], bind: &Bind) -> PyResult<Vec<Obj>> {
    let mut made = Made { py, sockets: Vec::new() };
    for info in infos {
        bind_one(this, py, info, bind, &mut made.sockets)?;
    }
    if made.sockets.is_empty() {
        let addresses: PyResult<Vec<Obj>> =
            infos.iter().map(|info| Ok(info.bind(py).get_item(4)?.into())).collect();
        let shown = PyList::new(py, addresses?)?.repr()?;
        return Err(PyOSError::new_err(format!("could not bind on any address out of {shown}")));
    }
    Ok(std::mem::take(&mut made.sockets))
}

fn bind_one(
    this: &Obj<Loop>,
    py: Python<'_>,
    info: &Obj,
    bind: &Bind,
    sockets: &mut Vec<Obj>,
) -> PyResult<()> {
    let info = info.bind(py);
    let socket = socket_module(py)?;
    let (family, kind, proto) = (info.get_item(0)?, info.get_item(1)?, info.get_item(2)?);
    let sock = match socket.getattr("socket")?.call1((&family, &kind, &proto)) {
        Ok(sock) => sock,
        Err(err) if err.is_instance_of::<PyOSError>(py) => {
            // A combination of family, type and protocol that this system does not have.
            if this.debug.get() {
                let message = "create_server() failed to create socket.socket(%r, %r, %r)";
                log::write(py, "ferrio.base_events", Level::Warning, (message, family, kind, proto))?;
            }
            return Ok(());
        }
        Err(err) => return Err(err),
    };
    sockets.push((&sock).into());
    let set = |level: &str, option: &str| {
        sock.call_method1("setsockopt", (socket.getattr(level)?, socket.getattr(option)?, true)).map(drop)
    };
    if bind.reuse_address.unwrap_or(true) {
        set("SOL_SOCKET", "SO_REUSEADDR")?;
    }
    if bind.reuse_port {
        set_reuse_port(&socket, &sock)?;
    }
    if bind.keep_alive {
        set("SOL_SOCKET", "SO_KEEPALIVE")?;
    }
    let inet6 = family.eq(socket.getattr("AF_INET6")?)?;
    if inet6 && socket.getattr("has_ipv6")?.is_truthy()? && socket.hasattr("IPPROTO_IPV6")? {
        // Linux would listen on IPv4 too, where a socket of its own is bound.
        set("IPPROTO_IPV6", "IPV6_V6ONLY")?;
    }
    let address = info.get_item(4)?;
    let Err(err) = sock.call_method1("bind", (&address,)) else { return Ok(()) };
    if !err.is_instance_of::<PyOSError>(py) {
        return Err(err);
    }
    let errno: Option<i32> = err.value(py).getattr("errno")?.extract()?;
    let reason = err.value(py).str()?.to_string().to_lowercase();
    let message = format!("error while attempting to bind on address {}: {reason}", address.repr()?);
    if errno == Some(ADDRESS_NOT_AVAILABLE) {
        // The family is not enabled.
        sockets.pop();
        sock.call_method0("close")?;
        if this.debug.get() {
            log::write(py, "ferrio.base_events", Level::Warning, (message,))?;
        }
        return Ok(());
    }
    Err(PyOSError::new_err((errno, message)))
}

/// # Errors
/// `ValueError` if the system has no `SO_REUSEPORT`.
pub(crate) fn set_reuse_port(socket: &Bound<'_, PyAny>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
    if !socket.hasattr("SO_REUSEPORT")? {
        return Err(PyValueError::new_err("reuse_port not supported by socket module"));
    }
    match sock.call_method1("setsockopt", (socket.getattr("SOL_SOCKET")?, socket.getattr("SO_REUSEPORT")?, 1))
    {
        Ok(_) => Ok(()),
        Err(err) if err.is_instance_of::<PyOSError>(socket.py()) => Err(PyValueError::new_err(
            "reuse_port not supported by socket module, SO_REUSEPORT defined but not implemented.",
        )),
        Err(err) => Err(err),
    }
}

fn create_unix_server(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<10> = Signature::new(
        "create_unix_server",
        [
            "protocol_factory",
            "path",
            "sock",
            "backlog",
            "ssl",
            "ssl_handshake_timeout",
            "ssl_shutdown_timeout",
            "start_serving",
            "cleanup_socket",
            "mode",
        ],
    )
    .positional(2)
    .required(1);
    let [factory, path, sock, backlog, ssl, handshake, shutdown, start, cleanup, mode] =
        args.bind(&SIGNATURE)?;
    let ssl = Ssl::new(ssl, None, handshake, shutdown);
    let (factory, path, sock) = (Obj::unless_none(factory), Obj::unless_none(path), Obj::unless_none(sock));
    let backlog = backlog.map_or(Ok(100), PyAnyMethods::extract)?;
    let start = start.map_or(Ok(true), PyAnyMethods::is_truthy)?;
    // New in 3.13, where it is the default.
    let cleanup = cleanup.map_or(Ok(cfg!(Py_3_13)), PyAnyMethods::is_truthy)?;
    let mode = mode.map_or(Ok(None), PyAnyMethods::extract)?;
    coro::coroutine(py, "create_unix_server", move |co| {
        let this = co.hold(this);
        let (path, sock) = (path.map(|path| co.hold(path)), sock.map(|sock| co.hold(sock)));
        let plan = co.keep(Plan { factory, ssl, backlog, start, ours: path.is_some() });
        async move {
            plan.get().ssl.check_server(co.py())?;
            let sockets = {
                let get = |arg: &Option<Local>| arg.as_ref().map(Local::get);
                let sock = unix_listener(co.py(), get(&path), get(&sock), mode)?;
                if cleanup {
                    unix_paths::remember(&this.get(), co.py(), &sock)?;
                }
                co.keep(vec![sock])
            };
            let server = serve(&co, &this, sockets, &plan).await?;
            Ok(server.into_any())
        }
    })
}

/// The bound socket, made if a path was given.
fn unix_listener(py: Python<'_>, path: Option<Obj>, sock: Option<Obj>, mode: Option<u32>) -> PyResult<Obj> {
    let Some(path) = path else {
        if mode.is_some() {
            return Err(PyValueError::new_err("mode is for the file of a path, and no path was specified"));
        }
        let Some(sock) = sock else {
            return Err(PyValueError::new_err("path was not specified, and no sock specified"));
        };
        super::connect::expect_unix_stream(py, &sock)?;
        return Ok(sock);
    };
    if sock.is_some() {
        return Err(PyValueError::new_err("path and sock can not be specified at the same time"));
    }
    let path = py.import("os")?.call_method1("fspath", (path,))?;
    let socket = socket_module(py)?;
    let sock =
        socket.getattr("socket")?.call1((socket.getattr("AF_UNIX")?, socket.getattr("SOCK_STREAM")?))?;
    // Nobody connects before `listen()`, so nobody sees the file with the permissions that `bind()` gave it.
    let bound = unix_paths::remove_stale(py, &path)
        .and_then(|()| sock.call_method1("bind", (&path,)))
        .and_then(|_| mode.map_or(Ok(()), |mode| unix_paths::set_mode(py, &path, mode)));
    let Err(err) = bound else { return Ok(sock.into()) };
    sock.call_method0("close")?;
    if err.is_instance_of::<PyOSError>(py)
        && err.value(py).getattr("errno")?.extract::<Option<i32>>()? == Some(ADDRESS_IN_USE)
    {
        let message = format!("Address {} is already in use", path.repr()?);
        return Err(PyOSError::new_err((ADDRESS_IN_USE, message)));
    }
    Err(err)
}

/// `loop._stop_serving(sock)`.
fn stop_serving(this: &Obj<Loop>, py: Python<'_>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
    let fd: i32 = sock.call_method0(intern!(py, "fileno"))?.extract()?;
    let listener = this.sockets.listeners.borrow_mut().remove(&fd);
    if let Some(listener) = listener.as_ref().and_then(Erased::get) {
        Listener::stop(listener);
    }
    let path = this.sockets.unix_paths.borrow_mut().remove(&fd);
    sock.call_method0(intern!(py, "close"))?;
    match path {
        Some((path, inode)) => unix_paths::clean_up(py, path.bind(py), inode),
        None => Ok(()),
    }
}

fn connect_accepted_socket(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> = Signature::new(
        "connect_accepted_socket",
        ["protocol_factory", "sock", "ssl", "ssl_handshake_timeout", "ssl_shutdown_timeout"],
    )
    .positional(2)
    .required(2);
    let [factory, sock, ssl, handshake, shutdown] = args.bind(&SIGNATURE)?;
    let ssl = Ssl::new(ssl, None, handshake, shutdown);
    let (factory, sock) = (factory.map(Obj::from), sock.map(Obj::from));
    coro::coroutine(py, "connect_accepted_socket", move |co| {
        let (this, ssl) = (co.hold(this), co.keep(ssl));
        let (factory, sock) = (factory.map(|factory| co.hold(factory)), sock.map(|sock| co.hold(sock)));
        async move {
            let (Some(factory), Some(sock)) = (factory, sock) else {
                return Err(PyTypeError::new_err("a protocol factory and a socket are required"));
            };
            expect_stream(co.py(), &sock.get())?;
            ssl.get().check_timeouts(co.py())?;
            check_ssl_socket(co.py(), sock.get().bind(co.py()))?;
            let tls = co.keep(ssl.get().params(co.py(), Side::Server, None)?);
            let pair = begin_transport(&co, &this, &sock, false, &factory, &tls).await?;
            if this.get().debug.get() {
                let py = co.py();
                let (transport, protocol) = (pair.bind(py).get_item(0)?, pair.bind(py).get_item(1)?);
                let sock = transport.call_method1("get_extra_info", ("socket",))?;
                let args = ("%r handled: (%r, %r)", sock, transport, protocol);
                log::write(py, "ferrio.base_events", Level::Debug, args)?;
            }
            Ok(pair)
        }
    })
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine("create_server", create_server,
            "create_server($self, protocol_factory, host=None, port=None, *, family=0, flags=1, sock=None,\n\
             backlog=100, ssl=None, reuse_address=None, reuse_port=None, keep_alive=None,\n\
             ssl_handshake_timeout=None, ssl_shutdown_timeout=None, start_serving=True)\n--\n\n\
             Coroutine: listen on TCP; returns a Server.\n\n\
             protocol_factory: called without arguments for each connection; returns its protocol.\n\
             host: a name, a sequence of names, or None for all interfaces; or give `sock`, which is bound.\n\
             port: 0 or None lets the system choose one.\n\
             family, flags: as for getaddrinfo().\n\
             backlog: how many connections may wait to be accepted; 100 by default.\n\
             ssl: an ssl.SSLContext.\n\
             reuse_address, reuse_port, keep_alive: set these options of the socket (keep_alive since 3.13).\n\
             ssl_handshake_timeout, ssl_shutdown_timeout: seconds, 60 and 30 by default (since 3.7 and 3.11).\n\
             start_serving: False leaves it to Server.start_serving() to begin to accept (since 3.7).\n\n\
             Raises OSError if an address cannot be bound.")
        .coroutine("create_unix_server", create_unix_server,
            "create_unix_server($self, protocol_factory, path=None, *, sock=None, backlog=100, ssl=None,\n\
             ssl_handshake_timeout=None, ssl_shutdown_timeout=None, start_serving=True, cleanup_socket=True,\n\
             mode=None)\n--\n\n\
             Coroutine: listen on a Unix socket; returns a Server.\n\n\
             path: the socket's path, as str, bytes or a path object; or give `sock`, which is bound.\n\
             cleanup_socket: remove the socket's file when the server is closed (since 3.13).\n\
             mode: the permissions of the socket's file, set before anybody can connect (since 3.16).\n\n\
             Other parameters are those of create_server().")
        .coroutine("connect_accepted_socket", connect_accepted_socket,
            "connect_accepted_socket($self, protocol_factory, sock, *, ssl=None, ssl_handshake_timeout=None,\n\
             ssl_shutdown_timeout=None)\n--\n\n\
             Coroutine: serve a connection that was accepted elsewhere; returns (transport, protocol) (since 3.5.3).\n\n\
             sock: the connected socket, which the transport will own. Other parameters are those of create_server().")
        .method1("_stop_serving", stop_serving, "");
}
