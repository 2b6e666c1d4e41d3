//! `sock_recv` and its family: operations on a non-blocking socket of the user's.
//!
//! Each is tried at once, and waits for readiness only when the socket says so. They go through the socket object's
//! own methods, whatever class it is of; `sock_data.rs` has the short way for plain sockets.

use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_object::{Args, Buffer, ClassBuilder, Obj, Signature, bytes_of};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PyTuple};

use super::names::{Wanted, ensure_resolved};
use super::sock_data;
use crate::coro::{self, Co, Local};
use crate::event_loop::{Loop, watches};
use crate::exceptions::would_block;
use crate::future::Future;
use crate::imported::socket_module;
use crate::transports::refuse_null;

/// # Errors
/// `TypeError` for an `ssl.SSLSocket`.
pub(crate) fn check_ssl_socket(py: Python<'_>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
    // A program that has such a socket has imported ssl; importing it here would cost milliseconds.
    let modules = py.import("sys")?.getattr("modules")?;
    let ssl = modules.call_method1("get", ("ssl",))?;
    if !ssl.is_none() && sock.is_instance(&ssl.getattr("SSLSocket")?)? {
        return Err(PyTypeError::new_err("Socket cannot be of type SSLSocket"));
    }
    Ok(())
}

/// # Errors
/// `TypeError` for an `ssl.SSLSocket`, in debug mode `ValueError` for a blocking socket.
pub(super) fn check(this: &Obj<Loop>, py: Python<'_>, sock: &Obj) -> PyResult<()> {
    let sock = sock.bind(py);
    check_ssl_socket(py, sock)?;
    if this.debug.get() && sock.call_method0(intern!(py, "gettimeout"))?.ne(0)? {
        return Err(PyValueError::new_err("the socket must be non-blocking"));
    }
    Ok(())
}

/// Takes the wait back when the operation is cancelled.
struct WaitGuard {
    event_loop: Obj<Loop>,
    fd: RawFd,
    side: Interest,
    fut: Obj<Future>,
}

ferrio_object::traverse!(struct WaitGuard { event_loop, fd, side, fut });

impl Drop for WaitGuard {
    fn drop(&mut self) {
        watches::wait_no_more(&self.event_loop, self.fd, self.side, &self.fut);
    }
}

/// Waits until `sock` is ready in one direction.
pub(super) async fn ready(co: &Co, this: &Local<Loop>, sock: &Local, side: Interest) -> PyResult<()> {
    let waiting = {
        let (py, this) = (co.py(), this.get());
        let fd = watches::fileno(py, sock.get().bind(py))?;
        let fut = watches::wait_ready(&this, py, fd, side)?;
        co.keep(WaitGuard { event_loop: this, fd, side, fut })
    };
    let wait = co.wait(&waiting.get().fut);
    wait.await.map(drop)
}

/// Tries `attempt` until it does not block. It does not wait after it, so what it has received is not lost.
///
/// # Errors
/// What `attempt` raises, `CancelledError`.
pub(super) async fn retry(
    co: &Co,
    this: &Local<Loop>,
    sock: &Local,
    side: Interest,
    mut attempt: impl FnMut(Python<'_>) -> PyResult<Obj>,
) -> PyResult<Obj> {
    loop {
        match attempt(co.py()) {
            Err(err) if would_block(co.py(), &err) => ferrio_object::swallow(co.py(), err),
            outcome => return outcome,
        }
        ready(co, this, sock, side).await?;
    }
}

/// An operation that is one method of the socket, with the arguments as they are.
fn operation(
    this: &Obj<Loop>,
    py: Python<'_>,
    name: &'static str,
    method: &'static str,
    side: Interest,
    sock: Obj,
    args: Vec<Obj>,
) -> PyResult<Obj> {
    coro::coroutine(py, name, move |co| {
        let (this, sock, args) = (co.hold(this), co.hold(sock), co.keep(args));
        async move {
            check(&this.get(), co.py(), &sock.get())?;
            retry(&co, &this, &sock, side, |py| {
                let args = PyTuple::new(py, &*args.get())?;
                Ok(sock.get().bind(py).call_method1(method, args)?.into())
            })
            .await
        }
    })
}

fn owned<const N: usize>(py: Python<'_>, bound: [Option<&Bound<'_, PyAny>>; N]) -> [Obj; N] {
    bound.map(|arg| Obj::or_none(py, arg))
}

fn sock_recv(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock, n] = owned(py, args.bind(&Signature::new("sock_recv", ["sock", "n"]))?);
    if sock_data::is_plain(this, py, &sock)? && sock_data::size(py, &n).is_some() {
        return coro::ready_with::<sock_data::Recv>(py, this, [Some(sock), Some(n)]);
    }
    operation(this, py, "sock_recv", "recv", Interest::READABLE, sock, vec![n])
}

fn sock_recv_into(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock, buf] = owned(py, args.bind(&Signature::new("sock_recv_into", ["sock", "buf"]))?);
    operation(this, py, "sock_recv_into", "recv_into", Interest::READABLE, sock, vec![buf])
}

fn sock_recvfrom(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock, n] = owned(py, args.bind(&Signature::new("sock_recvfrom", ["sock", "bufsize"]))?);
    operation(this, py, "sock_recvfrom", "recvfrom", Interest::READABLE, sock, vec![n])
}

fn sock_recvfrom_into(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("sock_recvfrom_into", ["sock", "buf", "nbytes"]).required(2);
    let bound = args.bind(&SIGNATURE)?;
    let given = bound[2];
    let [sock, buf, _] = owned(py, bound);
    let nbytes: Obj = match given {
        Some(nbytes) if nbytes.is_truthy()? => nbytes.into(),
        _ => buf.bind(py).len()?.into_pyobject(py)?.into_any().into(),
    };
    operation(this, py, "sock_recvfrom_into", "recvfrom_into", Interest::READABLE, sock, vec![buf, nbytes])
}

fn sock_sendto(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock, data, address] =
        owned(py, args.bind(&Signature::new("sock_sendto", ["sock", "data", "address"]))?);
    operation(this, py, "sock_sendto", "sendto", Interest::WRITABLE, sock, vec![data, address])
}

fn sock_sendall(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock, data] = owned(py, args.bind(&Signature::new("sock_sendall", ["sock", "data"]))?);
    if sock_data::is_plain(this, py, &sock)? && bytes_of(&data).is_some() {
        return coro::ready_with::<sock_data::SendAll>(py, this, [Some(sock), Some(data)]);
    }
    coro::coroutine(py, "sock_sendall", move |co| {
        let (this, sock, rest) = (co.hold(this), co.hold(sock), co.hold(data));
        async move {
            check(&this.get(), co.py(), &sock.get())?;
            let len = Buffer::get(co.py(), &rest.get(), false)?.len();
            let mut sent = 0;
            loop {
                match sock.get().bind(co.py()).call_method1(intern!(co.py(), "send"), (rest.get(),)) {
                    Ok(count) => sent += count.extract::<usize>()?,
                    Err(err) if would_block(co.py(), &err) => ferrio_object::swallow(co.py(), err),
                    Err(err) => return Err(err),
                }
                if sent >= len {
                    return Ok(Obj::none(co.py()));
                }
                rest.set(after(co.py(), &rest.get(), len, sent)?);
                ready(&co, &this, &sock, Interest::WRITABLE).await?;
            }
        }
    })
}

/// The part of the data that is not sent, given what was left before.
fn after(py: Python<'_>, rest: &Obj, len: usize, sent: usize) -> PyResult<Obj> {
    let view = PyMemoryView::from(rest.bind(py))?.call_method1("cast", ("B",))?;
    let start = view.len()? - (len - sent);
    Ok(view.get_item(pyo3::types::PySlice::new(py, start as isize, isize::MAX, 1))?.into())
}

fn sock_accept(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock] = owned(py, args.bind(&Signature::new("sock_accept", ["sock"]))?);
    coro::coroutine(py, "sock_accept", move |co| {
        let (this, sock) = (co.hold(this), co.hold(sock));
        async move {
            check(&this.get(), co.py(), &sock.get())?;
            retry(&co, &this, &sock, Interest::READABLE, |py| {
                let accepted = sock.get().bind(py).call_method0(intern!(py, "accept"))?;
                accepted.get_item(0)?.call_method1(intern!(py, "setblocking"), (false,))?;
                Ok(accepted.into())
            })
            .await
        }
    })
}

fn sock_connect(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [sock, address] = owned(py, args.bind(&Signature::new("sock_connect", ["sock", "address"]))?);
    coro::coroutine(py, "sock_connect", move |co| {
        let (this, sock, address) = (co.hold(this), co.hold(sock), co.hold(address));
        async move {
            check(&this.get(), co.py(), &sock.get())?;
            let wanted = inet_wanted(co.py(), &sock.get())?.map(|wanted| co.keep(wanted));
            if let Some(wanted) = wanted {
                let infos = ensure_resolved(&co, &this, &address, &wanted).await?;
                let Some(info) = infos.into_iter().next() else {
                    return Err(PyOSError::new_err("getaddrinfo() returned empty list"));
                };
                address.set(info.bind(co.py()).get_item(4)?.into());
            } else {
                refuse_null(address.get().bind(co.py()))?;
            }
            match sock.get().bind(co.py()).call_method1(intern!(co.py(), "connect"), (address.get(),)) {
                Ok(_) => return Ok(Obj::none(co.py())),
                // Also after EINTR the connection goes on being made in the background.
                Err(err) if would_block(co.py(), &err) => ferrio_object::swallow(co.py(), err),
                Err(err) => return Err(err),
            }
            ready(&co, &this, &sock, Interest::WRITABLE).await?;
            let py = co.py();
            let socket = socket_module(py)?;
            let level = socket.getattr(intern!(py, "SOL_SOCKET"))?;
            let option = socket.getattr(intern!(py, "SO_ERROR"))?;
            let errno: i32 =
                sock.get().bind(py).call_method1(intern!(py, "getsockopt"), (level, option))?.extract()?;
            if errno != 0 {
                let message = format!("Connect call failed {}", address.get().bind(py).str()?);
                return Err(PyOSError::new_err((errno, message)));
            }
            Ok(Obj::none(py))
        }
    })
}

/// What to ask the resolver for; `None` if the family has no resolver.
fn inet_wanted(py: Python<'_>, sock: &Obj) -> PyResult<Option<Wanted>> {
    let sock = sock.bind(py);
    let socket = socket_module(py)?;
    let family = sock.getattr(intern!(py, "family"))?;
    let inet = family.eq(socket.getattr(intern!(py, "AF_INET"))?)?
        || (socket.getattr(intern!(py, "has_ipv6"))?.is_truthy()?
            && family.eq(socket.getattr(intern!(py, "AF_INET6"))?)?);
    if !inet {
        return Ok(None);
    }
    let proto = sock.getattr(intern!(py, "proto"))?;
    let mut wanted = Wanted::stream(py, Some(&family), Some(&proto), None)?;
    wanted.kind = sock.getattr(intern!(py, "type"))?.into();
    Ok(Some(wanted))
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine(
            "sock_recv",
            sock_recv,
            "sock_recv($self, sock, n)\n--\n\n\
            Coroutine: receive at most n bytes from a non-blocking socket; returns bytes.",
        )
        .coroutine(
            "sock_recv_into",
            sock_recv_into,
            "sock_recv_into($self, sock, buf)\n--\n\n\
            Coroutine: receive into a writable buffer; returns the number of bytes (since 3.7).",
        )
        .coroutine(
            "sock_recvfrom",
            sock_recvfrom,
            "sock_recvfrom($self, sock, bufsize)\n--\n\n\
            Coroutine: receive a datagram; returns (bytes, address) (since 3.11).",
        )
        .coroutine(
            "sock_recvfrom_into",
            sock_recvfrom_into,
            "sock_recvfrom_into($self, sock, buf, nbytes=0)\n--\n\n\
            Coroutine: receive a datagram into a buffer; returns (number of bytes, address) (since 3.11).",
        )
        .coroutine(
            "sock_sendall",
            sock_sendall,
            "sock_sendall($self, sock, data)\n--\n\n\
            Coroutine: send all of data.",
        )
        .coroutine(
            "sock_sendto",
            sock_sendto,
            "sock_sendto($self, sock, data, address)\n--\n\n\
            Coroutine: send a datagram; returns the number of bytes sent (since 3.11).",
        )
        .coroutine(
            "sock_accept",
            sock_accept,
            "sock_accept($self, sock)\n--\n\n\
            Coroutine: accept a connection; returns (socket, address), the socket non-blocking.",
        )
        .coroutine(
            "sock_connect",
            sock_connect,
            "sock_connect($self, sock, address)\n--\n\n\
            Coroutine: connect to a remote address, whose host is resolved if it is a name.",
        );
}
