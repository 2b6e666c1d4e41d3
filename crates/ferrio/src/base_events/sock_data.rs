//! `sock_recv()` and `sock_sendall()` on a plain `socket.socket`, past its methods.
//!
//! On a socket of a derived class, or where `socket.socket` has been patched, the methods are called (`sock.rs`).

use std::cell::OnceCell;
use std::io::ErrorKind;
use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, socket};
use ferrio_object::{GilStatic, Obj, bytes_of, new_bytes, socket_descriptor};
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::kept;
use crate::coro::{Given, Memory, Operation, Step};
use crate::event_loop::{Loop, watches};
use crate::exceptions::FromIo;
use crate::future::Future;
use crate::imported::socket_module;

/// `socket.socket`, and the methods that it inherits.
struct Plain {
    class: Obj,
    recv: Obj,
    send: Obj,
}

fn plain(py: Python<'_>) -> PyResult<&Plain> {
    static PLAIN: GilStatic<OnceCell<Plain>> = GilStatic::new(OnceCell::new());
    let cell = PLAIN.get(py);
    if let Some(plain) = cell.get() {
        return Ok(plain);
    }
    let base = py.import("_socket")?.getattr("socket")?;
    let plain = Plain {
        class: socket_module(py)?.getattr("socket")?.into(),
        recv: base.getattr("recv")?.into(),
        send: base.getattr("send")?.into(),
    };
    Ok(cell.get_or_init(|| plain))
}

/// Whether `sock` may be used past its methods.
#[inline]
pub(super) fn is_plain(this: &Obj<Loop>, py: Python<'_>, sock: &Obj) -> PyResult<bool> {
    let plain = plain(py)?;
    let class = plain.class.bind(py);
    // Debug mode has something to say on blocking sockets. Plain sockets have no `__dict__`, so their class knows all.
    Ok(std::ptr::eq(sock.bind(py).get_type().as_ptr(), class.as_ptr())
        && !this.debug.get()
        && is_own(class, intern!(py, "recv"), &plain.recv)?
        && is_own(class, intern!(py, "send"), &plain.send)?)
}

#[inline]
fn is_own(class: &Bound<'_, PyAny>, name: &Bound<'_, PyString>, known: &Obj) -> PyResult<bool> {
    Ok(std::ptr::eq(class.getattr(name)?.as_ptr(), known.as_ptr()))
}

/// A number of bytes to receive, unless it is one that the method has to refuse.
#[inline]
pub(super) fn size(py: Python<'_>, n: &Obj) -> Option<usize> {
    match n.bind(py).extract::<usize>() {
        Ok(n) if n <= MOST => Some(n),
        Ok(_) => None,
        Err(err) => {
            ferrio_object::swallow(py, err);
            None
        }
    }
}

/// More is not received at once natively.
const MOST: usize = 1 << 30;
/// Bytes up to which receiving into the loop's buffer and copying is cheaper than an object that has to be shrunk.
const COPIED: usize = 4096;

fn descriptor(py: Python<'_>, sock: &Obj) -> PyResult<RawFd> {
    match socket_descriptor(py, sock) {
        Some(fd) => Ok(fd),
        None => sock.bind(py).call_method0(intern!(py, "fileno"))?.extract(),
    }
}

/// Waits for a socket that has refused.
fn wait(this: &Obj<Loop>, py: Python<'_>, sock: &Obj, fd: RawFd, side: Interest) -> PyResult<Obj<Future>> {
    match kept::wait_refused(this, py, sock, fd, side)? {
        Some(fut) => Ok(fut),
        None => watches::wait_ready(this, py, fd, side),
    }
}

/// Takes a wait back that has not ended by itself.
fn wait_no_more(this: &Obj<Loop>, fd: RawFd, side: Interest, fut: &Obj) {
    if let Some(fut) = fut.cast::<Future>()
        && !kept::wait_no_more(this, fd, side, fut)
    {
        watches::wait_no_more(this, fd, side, fut);
    }
}

/// A descriptor and a count in the one number that a parked operation keeps.
#[derive(Clone, Copy)]
struct FdAndCount {
    fd: RawFd,
    count: usize,
}

impl FdAndCount {
    /// Descriptors are far below 2^24: the kernel's own limit on their number is 2^20 unless somebody raises it.
    const FD_BITS: u32 = 24;

    fn pack(self) -> u64 {
        (self.count as u64) << Self::FD_BITS | self.fd as u64
    }

    fn unpack(number: u64) -> Self {
        let fd = (number & ((1 << Self::FD_BITS) - 1)) as RawFd;
        FdAndCount { fd, count: (number >> Self::FD_BITS) as usize }
    }
}

/// `sock_recv(sock, n)`.
pub(super) struct Recv;

impl Recv {
    #[inline]
    fn attempt(this: &Obj<Loop>, py: Python<'_>, sock: Obj, n: usize) -> PyResult<Step> {
        let fd = descriptor(py, &sock)?;
        let sockets = &this.sockets;
        // What comes next is mostly like what came last, on this loop.
        let received = if n <= COPIED || sockets.bulk.get() {
            new_bytes(py, n, |room| socket::recv_into_uninit(fd, room))?
        } else {
            let mut scratch = sockets.take_scratch();
            let most = n.min(scratch.len());
            let received = socket::recv(fd, &mut scratch[..most])
                .map(|count| sockets.spare.bytes(py, &scratch[..count]));
            sockets.put_scratch(scratch);
            match received {
                Ok(data) => Ok(data?),
                Err(err) => Err(err),
            }
        };
        match received {
            Ok(data) => {
                sockets.bulk.set(bytes_of(&data).is_some_and(|data| data.len() > COPIED));
                Ok(Step::Done(data))
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => {
                let fut = wait(this, py, &sock, fd, Interest::READABLE)?;
                let number = FdAndCount { fd, count: n }.pack();
                let memory = Memory { kept: [Some(sock), Some(fut.as_any().clone())], number };
                Ok(Step::Park(fut.into_any(), memory))
            }
            Err(err) => Err(PyOSError::new_err_from_io(err)),
        }
    }
}

impl Operation for Recv {
    type On = Loop;
    const NAME: &'static str = "sock_recv";

    #[inline]
    fn begin(this: &Obj<Loop>, py: Python<'_>, given: Given) -> PyResult<Step> {
        let [Some(sock), Some(n)] = given else { return Step::none(py) };
        let n = size(py, &n).unwrap_or_default();
        Self::attempt(this, py, sock, n)
    }

    #[inline]
    fn resume(this: &Obj<Loop>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        let [Some(sock), Some(fut)] = memory.kept else { return Step::none(py) };
        let FdAndCount { fd, count } = FdAndCount::unpack(memory.number);
        if let Err(err) = outcome {
            wait_no_more(this, fd, Interest::READABLE, &fut);
            return Err(err);
        }
        Self::attempt(this, py, sock, count)
    }
}

/// `sock_sendall(sock, data)`.
pub(super) struct SendAll;

impl SendAll {
    #[inline]
    fn attempt(this: &Obj<Loop>, py: Python<'_>, sock: Obj, data: Obj, mut sent: usize) -> PyResult<Step> {
        let fd = descriptor(py, &sock)?;
        let bytes = bytes_of(&data).unwrap_or_default();
        loop {
            match socket::send(fd, &bytes[sent..]) {
                Ok(count) => {
                    this.expect_io();
                    sent += count;
                }
                // Only now it has been refused: a short count alone does not say that a change will be reported.
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) => return Err(PyOSError::new_err_from_io(err)),
            }
            if sent == bytes.len() {
                return Step::none(py);
            }
        }
        let fut = wait(this, py, &sock, fd, Interest::WRITABLE)?;
        let both = PyTuple::new(py, [&sock, &data])?.into_any().into();
        let memory = Memory {
            kept: [Some(both), Some(fut.as_any().clone())],
            number: FdAndCount { fd, count: sent }.pack(),
        };
        Ok(Step::Park(fut.into_any(), memory))
    }
}

impl Operation for SendAll {
    type On = Loop;
    const NAME: &'static str = "sock_sendall";

    #[inline]
    fn begin(this: &Obj<Loop>, py: Python<'_>, given: Given) -> PyResult<Step> {
        let [Some(sock), Some(data)] = given else { return Step::none(py) };
        Self::attempt(this, py, sock, data, 0)
    }

    fn resume(this: &Obj<Loop>, py: Python<'_>, memory: Memory, outcome: PyResult<Obj>) -> PyResult<Step> {
        let [Some(both), Some(fut)] = memory.kept else { return Step::none(py) };
        let FdAndCount { fd, count } = FdAndCount::unpack(memory.number);
        if let Err(err) = outcome {
            wait_no_more(this, fd, Interest::WRITABLE, &fut);
            return Err(err);
        }
        let (sock, data): (Bound<'_, PyAny>, Bound<'_, PyAny>) = both.bind(py).extract()?;
        Self::attempt(this, py, sock.into(), data.into(), count)
    }
}
