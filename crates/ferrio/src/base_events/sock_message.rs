//! `sock_sendmsg`, `sock_recvmsg`, `sock_recvmsg_into`: messages with ancillary data, which is how one process hands
//! open files to another. asyncio has no such methods.
//!
//! A received descriptor is the receiver's to close, so none may get lost on the way to it. Receiving is the last
//! thing these coroutines do, and they do not wait after it: a cancellation or a timeout comes either before, and then
//! the message is still in the socket, or after the descriptors are the caller's. They are closed on `exec`, as
//! everything that Python opens (PEP 446; `socket.recvmsg()` leaves that to its caller).

use ferrio_core::driver::Interest;
use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::sock::{check, retry};
use crate::coro;
use crate::event_loop::Loop;
use crate::imported::socket_module;

fn owned_or(arg: Option<&Bound<'_, PyAny>>, default: impl FnOnce() -> PyResult<Obj>) -> PyResult<Obj> {
    arg.map_or_else(default, |arg| Ok(arg.into()))
}

fn zero(py: Python<'_>) -> PyResult<Obj> {
    Ok(0_i32.into_pyobject(py)?.into_any().into())
}

/// What is iterated in each attempt. Anything else than a list or a tuple might have nothing to give in the second.
fn repeatable(arg: &Obj, py: Python<'_>) -> PyResult<Obj> {
    let arg = arg.bind(py);
    let mut items = Vec::new();
    for item in arg.try_iter()? {
        items.push(item?);
    }
    Ok(PyTuple::new(py, items)?.into())
}

fn sock_sendmsg(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("sock_sendmsg", ["sock", "buffers", "ancdata", "flags", "address"]).required(2);
    let [sock, buffers, ancdata, flags, address] = args.bind(&SIGNATURE)?;
    let none = || Ok(Obj::none(py));
    let (sock, buffers) = (owned_or(sock, none)?, owned_or(buffers, none)?);
    let ancdata = owned_or(ancdata, || Ok(PyTuple::empty(py).into()))?;
    let flags = owned_or(flags, || zero(py))?;
    let address = owned_or(address, none)?;
    coro::coroutine(py, "sock_sendmsg", move |co| {
        let (this, sock) = (co.hold(this), co.hold(sock));
        let [buffers, ancdata, flags, address] = [buffers, ancdata, flags, address].map(|arg| co.hold(arg));
        async move {
            check(&this.get(), co.py(), &sock.get())?;
            buffers.set(repeatable(&buffers.get(), co.py())?);
            ancdata.set(repeatable(&ancdata.get(), co.py())?);
            retry(&co, &this, &sock, Interest::WRITABLE, |py| {
                let args = (buffers.get(), ancdata.get(), flags.get(), address.get());
                Ok(sock.get().bind(py).call_method1(intern!(py, "sendmsg"), args)?.into())
            })
            .await
        }
    })
}

fn sock_recvmsg(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> =
        Signature::new("sock_recvmsg", ["sock", "bufsize", "ancbufsize", "flags"]).required(2);
    let [sock, bufsize, ancbufsize, flags] = args.bind(&SIGNATURE)?;
    receive(this, py, "sock_recvmsg", "recvmsg", false, [sock, bufsize, ancbufsize, flags])
}

fn sock_recvmsg_into(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> =
        Signature::new("sock_recvmsg_into", ["sock", "buffers", "ancbufsize", "flags"]).required(2);
    let [sock, buffers, ancbufsize, flags] = args.bind(&SIGNATURE)?;
    receive(this, py, "sock_recvmsg_into", "recvmsg_into", true, [sock, buffers, ancbufsize, flags])
}

fn receive(
    this: &Obj<Loop>,
    py: Python<'_>,
    name: &'static str,
    method: &'static str,
    into: bool,
    args: [Option<&Bound<'_, PyAny>>; 4],
) -> PyResult<Obj> {
    let [sock, room, ancbufsize, flags] = args;
    let none = || Ok(Obj::none(py));
    let (sock, room) = (owned_or(sock, none)?, owned_or(room, none)?);
    let ancbufsize = owned_or(ancbufsize, || zero(py))?;
    let flags = owned_or(flags, || zero(py))?;
    coro::coroutine(py, name, move |co| {
        let (this, sock) = (co.hold(this), co.hold(sock));
        let [room, ancbufsize, flags] = [room, ancbufsize, flags].map(|arg| co.hold(arg));
        async move {
            check(&this.get(), co.py(), &sock.get())?;
            {
                let py = co.py();
                let closed_on_exec = socket_module(py)?.getattr(intern!(py, "MSG_CMSG_CLOEXEC"))?;
                flags.set(flags.get().bind(py).bitor(closed_on_exec)?.into());
                if into {
                    room.set(repeatable(&room.get(), py)?);
                }
            }
            retry(&co, &this, &sock, Interest::READABLE, |py| {
                let args = (room.get(), ancbufsize.get(), flags.get());
                Ok(sock.get().bind(py).call_method1(method, args)?.into())
            })
            .await
        }
    })
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method(
            "sock_sendmsg",
            sock_sendmsg,
            "sock_sendmsg($self, sock, buffers, ancdata=(), flags=0, address=None)\n--\n\n\
            Coroutine: send the buffers as one message, with ancillary data; as socket.sendmsg().\n\n\
            buffers: an iterable of bytes-like objects.\n\
            ancdata: an iterable of (level, type, data), as (SOL_SOCKET, SCM_RIGHTS, array('i', descriptors)) to hand\n\
            over descriptors.\n\
            address: where to, for a socket that is not connected.\n\n\
            Returns the number of bytes sent, on a stream socket perhaps fewer than given; the ancillary\n\
            data is sent with the first of them. ferrio only.",
        )
        .method(
            "sock_recvmsg",
            sock_recvmsg,
            "sock_recvmsg($self, sock, bufsize, ancbufsize=0, flags=0)\n--\n\n\
            Coroutine: receive at most bufsize bytes and ancbufsize bytes of ancillary data; as socket.recvmsg().\n\n\
            Returns (data, ancdata, msg_flags, address). Descriptors in ancdata are the caller's to close; they are\n\
            not inherited by other programs (msg_flags therefore has MSG_CMSG_CLOEXEC). Nothing is received if the\n\
            coroutine is cancelled. ferrio only.",
        )
        .method(
            "sock_recvmsg_into",
            sock_recvmsg_into,
            "sock_recvmsg_into($self, sock, buffers, ancbufsize=0, flags=0)\n--\n\n\
            As sock_recvmsg(), into an iterable of writable buffers; the first item of what it returns is the number\n\
            of bytes. ferrio only.",
        );
}
