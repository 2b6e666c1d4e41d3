//! `sendfile` and `sock_sendfile`: from a file to a connection inside the kernel, or by hand where that cannot be.
//!
//! `_sock_sendfile_native` and the like are methods as in asyncio, called through the loop, so that a program (or a
//! test) can switch the system call off.

mod fallback;

use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{
    PyAttributeError, PyConnectionError, PyOSError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt};

use super::names::socket_module;
use super::sock::{check, check_ssl_socket, ready, would_block};
use super::{Loop, io};
use crate::coro::{self, Co};
use crate::exceptions;
use crate::transports::StreamTransport;

pub(crate) use fallback::SendfileFallback;

/// Linux' `ENOTCONN`.
const NOT_CONNECTED: i32 = 107;
/// asyncio's `constants.SENDFILE_FALLBACK_READBUFFER_SIZE`, in bytes.
const SOCK_BLOCK: i64 = 256 * 1024;
/// Bytes read at a time for a transport that has no system call of its own.
const TRANSPORT_BLOCK: i64 = 16 * 1024;

/// What to send: `count` bytes (`None`: to the end) of a file from `offset`.
#[derive(Clone)]
struct Part {
    file: Obj,
    offset: i64,
    count: Option<i64>,
}

impl Part {
    fn new(
        file: Option<&Bound<'_, PyAny>>,
        offset: Option<&Bound<'_, PyAny>>,
        count: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let Some(file) = file else { return Err(PyTypeError::new_err("a file is required")) };
        Ok(Part {
            file: file.into(),
            offset: offset.map_or(Ok(0), PyAnyMethods::extract)?,
            // A count of 0 is that of a caller who has none.
            count: count
                .filter(|count| !count.is_none())
                .map(PyAnyMethods::extract)
                .transpose()?
                .filter(|count| *count != 0),
        })
    }

    /// How much to take next, given what was sent; `None` at the end.
    fn block(&self, sent: i64, largest: i64) -> Option<i64> {
        let left = self.count.map_or(largest, |count| (count - sent).min(largest));
        (left > 0).then_some(left)
    }
}

fn not_available(py: Python<'_>, message: &str) -> PyErr {
    match exceptions::class(py, "SendfileNotAvailableError") {
        Ok(class) => match class.bind(py).call1((message,)) {
            Ok(exc) => PyErr::from_value(exc),
            Err(err) => err,
        },
        Err(err) => err,
    }
}

fn is_not_available(py: Python<'_>, err: &PyErr) -> bool {
    exceptions::class(py, "SendfileNotAvailableError").is_ok_and(|class| err.is_instance(py, class.bind(py)))
}

/// # Errors
/// `ValueError` and `TypeError` for what `sendfile` cannot work with.
fn check_params(
    py: Python<'_>,
    sock: &Bound<'_, PyAny>,
    file: &Bound<'_, PyAny>,
    offset: &Bound<'_, PyAny>,
    count: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let mode = file.getattr_opt(intern!(py, "mode"))?;
    if let Some(mode) = mode
        && !mode.contains("b")?
    {
        return Err(PyValueError::new_err("file should be opened in binary mode"));
    }
    if !sock.getattr(intern!(py, "type"))?.eq(socket_module(py)?.getattr(intern!(py, "SOCK_STREAM"))?)? {
        return Err(PyValueError::new_err("only SOCK_STREAM type sockets are supported"));
    }
    if let Some(count) = count.filter(|count| !count.is_none()) {
        let message = || Ok::<_, PyErr>(format!("count must be a positive integer (got {})", count.repr()?));
        if !count.is_instance_of::<PyInt>() {
            return Err(PyTypeError::new_err(message()?));
        }
        if count.le(0)? {
            return Err(PyValueError::new_err(message()?));
        }
    }
    let message =
        || Ok::<_, PyErr>(format!("offset must be a non-negative integer (got {})", offset.repr()?));
    if !offset.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(message()?));
    }
    if offset.lt(0)? {
        return Err(PyValueError::new_err(message()?));
    }
    Ok(())
}

fn sock_sendfile(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("sock_sendfile", ["sock", "file", "offset", "count", "fallback"])
            .positional(4)
            .required(2);
    let [sock, file, offset, count, fallback] = args.bind(&SIGNATURE)?;
    let owned = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    let (sock, file, count) = (owned(sock), owned(file), owned(count));
    let offset = offset.map_or_else(|| PyInt::new(py, 0).into_any().into(), Obj::from);
    let fallback = fallback.map_or(Ok(true), PyAnyMethods::is_truthy)?;
    let this = this.clone();
    coro::coroutine(py, "sock_sendfile", move |co| async move {
        check(&this, co.py(), &sock)?;
        let native: Obj = {
            let py = co.py();
            check_params(py, sock.bind(py), file.bind(py), offset.bind(py), Some(count.bind(py)))?;
            this.bind(py).call_method1("_sock_sendfile_native", (&sock, &file, &offset, &count))?.into()
        };
        match co.wait(native).await {
            Err(err) if fallback && is_not_available(co.py(), &err) => {
                ferrio_object::swallow(co.py(), err);
            }
            outcome => return outcome,
        }
        let by_hand: Obj = this
            .bind(co.py())
            .call_method1("_sock_sendfile_fallback", (&sock, &file, &offset, &count))?
            .into();
        co.wait(by_hand).await
    })
}

/// Puts the file's position behind what was sent, however it ends: the system call leaves it alone.
struct Position {
    fileno: RawFd,
    offset: i64,
    sent: i64,
    witness: Obj,
}

impl Drop for Position {
    fn drop(&mut self) {
        if self.sent == 0 {
            return;
        }
        let py = self.witness.py();
        let moved = (|| {
            let os = py.import("os")?;
            os.call_method1("lseek", (self.fileno, self.offset, os.getattr("SEEK_SET")?)).map(drop)
        })();
        if let Err(err) = moved {
            err.write_unraisable(py, None);
        }
    }
}

/// The descriptor and size of a regular file.
fn regular(py: Python<'_>, file: &Obj) -> PyResult<(RawFd, i64)> {
    let unsupported = py.import("io")?.getattr("UnsupportedOperation")?;
    let fileno: RawFd = match file.bind(py).call_method0(intern!(py, "fileno")) {
        Ok(fileno) => fileno.extract()?,
        Err(err) if err.is_instance_of::<PyAttributeError>(py) || err.is_instance(py, &unsupported) => {
            return Err(not_available(py, "not a regular file"));
        }
        Err(err) => return Err(err),
    };
    match py.import("os")?.call_method1("fstat", (fileno,)) {
        Ok(stat) => Ok((fileno, stat.getattr("st_size")?.extract()?)),
        Err(err) if err.is_instance_of::<PyOSError>(py) => Err(not_available(py, "not a regular file")),
        Err(err) => Err(err),
    }
}

async fn send_native(co: &Co, this: &Obj<Loop>, sock: &Obj, part: Part) -> PyResult<Obj> {
    let (fileno, size) = regular(co.py(), &part.file)?;
    let mut position = Position { fileno, offset: part.offset, sent: 0, witness: Obj::none(co.py()) };
    let largest = if part.count.is_some() { i64::MAX / 2 } else { size };
    while let Some(block) = part.block(position.sent, largest) {
        let outcome = {
            let py = co.py();
            let fd = io::fileno(py, sock.bind(py))?;
            // Reading the file may block, so Python's own call is used: it lets the GIL go.
            py.import("os")?
                .call_method1("sendfile", (fd, fileno, position.offset, block))
                .and_then(|sent| sent.extract::<i64>())
        };
        match outcome {
            Ok(0) => break,
            Ok(sent) => {
                position.offset += sent;
                position.sent += sent;
            }
            Err(err) if would_block(co.py(), &err) => ferrio_object::swallow(co.py(), err),
            Err(err) => return Err(send_failed(co.py(), err, position.sent)),
        }
        ready(co, this, sock, Interest::WRITABLE).await?;
    }
    Ok(position.sent.into_pyobject(co.py())?.into_any().into())
}

fn send_failed(py: Python<'_>, err: PyErr, sent: i64) -> PyErr {
    if !err.is_instance_of::<PyOSError>(py) {
        return err;
    }
    if sent == 0 {
        // Most likely a file that cannot be mapped; then plain sends may do.
        return not_available(py, "os.sendfile call failed");
    }
    let errno: Option<i32> =
        err.value(py).getattr(intern!(py, "errno")).and_then(|errno| errno.extract()).unwrap_or(None);
    if errno == Some(NOT_CONNECTED) {
        let lost = PyConnectionError::new_err(("socket is not connected", NOT_CONNECTED));
        lost.set_cause(py, Some(err));
        return lost;
    }
    err
}

fn sock_part(args: Args<'_, '_>, name: &'static str) -> PyResult<(Obj, Part)> {
    let [sock, file, offset, count] =
        args.bind(&Signature::new(name, ["sock", "file", "offset", "count"]))?;
    let Some(sock) = sock else { return Err(PyTypeError::new_err("a socket is required")) };
    Ok((sock.into(), Part::new(file, offset, count)?))
}

fn sock_sendfile_native(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let (sock, part) = sock_part(args, "_sock_sendfile_native")?;
    let this = this.clone();
    coro::coroutine(py, "_sock_sendfile_native", move |co| async move {
        send_native(&co, &this, &sock, part).await
    })
}

/// Where reading ended up: the file is put behind what was sent.
fn seek(py: Python<'_>, file: &Obj, to: i64) -> PyResult<()> {
    match file.bind(py).getattr_opt(intern!(py, "seek"))? {
        Some(seek) => seek.call1((to,)).map(drop),
        None => Ok(()),
    }
}

/// Reads the next block in a thread; `None` at the end.
async fn read_block(co: &Co, this: &Obj<Loop>, file: &Obj, block: i64) -> PyResult<Option<Obj>> {
    let reading: Obj = {
        let py = co.py();
        let read = file.bind(py).getattr(intern!(py, "read"))?;
        this.bind(py).call_method1(intern!(py, "run_in_executor"), (py.None(), read, block))?.into()
    };
    let data = co.wait(reading).await?;
    let some = data.bind(co.py()).len()? > 0;
    Ok(some.then_some(data))
}

fn sock_sendfile_fallback(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let (sock, part) = sock_part(args, "_sock_sendfile_fallback")?;
    let this = this.clone();
    coro::coroutine(py, "_sock_sendfile_fallback", move |co| async move {
        let mut sent = 0;
        let outcome = send_by_hand(&co, &this, &sock, &part, &mut sent).await;
        if sent > 0 {
            seek(co.py(), &part.file, part.offset + sent)?;
        }
        outcome?;
        Ok(sent.into_pyobject(co.py())?.into_any().into())
    })
}

async fn send_by_hand(co: &Co, this: &Obj<Loop>, sock: &Obj, part: &Part, sent: &mut i64) -> PyResult<()> {
    if part.offset != 0 {
        seek(co.py(), &part.file, part.offset)?;
    }
    while let Some(block) = part.block(*sent, SOCK_BLOCK) {
        let Some(data) = read_block(co, this, &part.file, block).await? else { break };
        let sending: Obj =
            this.bind(co.py()).call_method1(intern!(co.py(), "sock_sendall"), (sock, &data))?.into();
        co.wait(sending).await?;
        *sent += data.bind(co.py()).len()? as i64;
    }
    Ok(())
}

fn sendfile(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("sendfile", ["transport", "file", "offset", "count", "fallback"])
            .positional(4)
            .required(2);
    let [transport, file, offset, count, fallback] = args.bind(&SIGNATURE)?;
    let owned = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    let (transport, file, count) = (owned(transport), owned(file), owned(count));
    let offset = offset.map_or_else(|| PyInt::new(py, 0).into_any().into(), Obj::from);
    let fallback = fallback.map_or(Ok(true), PyAnyMethods::is_truthy)?;
    let this = this.clone();
    coro::coroutine(py, "sendfile", move |co| async move {
        let native = {
            let py = co.py();
            let bound = transport.bind(py);
            if bound.call_method0(intern!(py, "is_closing"))?.is_truthy()? {
                return Err(PyRuntimeError::new_err("Transport is closing"));
            }
            let modes = py.import("ferrio.constants")?.getattr("_SendfileMode")?;
            let mode = bound.getattr_opt("_sendfile_compatible")?;
            let mode = mode.map_or_else(|| modes.getattr("UNSUPPORTED"), Ok)?;
            if mode.is(&modes.getattr("UNSUPPORTED")?) {
                let shown = bound.repr()?;
                return Err(PyRuntimeError::new_err(format!(
                    "sendfile is not supported for transport {shown}"
                )));
            }
            mode.is(&modes.getattr("TRY_NATIVE")?)
        };
        if native {
            let sending: Obj = this
                .bind(co.py())
                .call_method1("_sendfile_native", (&transport, &file, &offset, &count))?
                .into();
            match co.wait(sending).await {
                Err(err) if fallback && is_not_available(co.py(), &err) => {
                    ferrio_object::swallow(co.py(), err);
                }
                outcome => return outcome,
            }
        }
        if !fallback {
            let shown = transport.bind(co.py()).repr()?;
            return Err(PyRuntimeError::new_err(format!(
                "fallback is disabled and native sendfile is not supported for transport {shown}"
            )));
        }
        let part = {
            let py = co.py();
            Part::new(Some(file.bind(py)), Some(offset.bind(py)), Some(count.bind(py)))?
        };
        send_through(&co, &this, &transport, part).await
    })
}

/// The system call on a transport's socket, while the transport stands aside.
fn sendfile_native(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> = Signature::new("_sendfile_native", ["transp", "file", "offset", "count"]);
    let [transport, file, offset, count] = args.bind(&SIGNATURE)?;
    let owned = |arg: Option<&Bound<'_, PyAny>>| arg.map_or_else(|| Obj::none(py), Obj::from);
    let (transport, file, offset, count) = (owned(transport), owned(file), owned(offset), owned(count));
    let this = this.clone();
    coro::coroutine(py, "_sendfile_native", move |co| async move {
        let Ok(transport) = transport.cast_into::<StreamTransport>() else {
            return Err(not_available(co.py(), "sendfile syscall is not supported"));
        };
        let fd = transport.fd.get();
        let reading = StreamTransport::is_reading(&transport, co.py());
        StreamTransport::pause_reading(&transport, co.py())?;
        let emptied = StreamTransport::make_empty_waiter(&transport, co.py())?;
        let outcome = if let Err(err) = co.wait(emptied).await {
            Err(err)
        } else {
            // The descriptor is the system call's now, as far as `sock_sendfile()` is concerned.
            this.sockets.release(fd);
            let sent = match begin(&this, co.py(), &transport, &file, &offset, &count) {
                Ok(sending) => co.wait(sending).await,
                Err(err) => Err(err),
            };
            if !transport.is_closing() {
                this.sockets.claim(co.py(), fd, &transport)?;
            }
            sent
        };
        StreamTransport::reset_empty_waiter(&transport);
        if reading {
            StreamTransport::resume_reading(&transport, co.py())?;
        }
        outcome
    })
}

fn begin(
    this: &Obj<Loop>,
    py: Python<'_>,
    transport: &Obj<StreamTransport>,
    file: &Obj,
    offset: &Obj,
    count: &Obj,
) -> PyResult<Obj> {
    let sock = transport.bind(py).getattr("_sock")?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("fallback", false)?;
    Ok(this.bind(py).call_method("sock_sendfile", (sock, file, offset, count), Some(&kwargs))?.into())
}

/// Reads the file and writes it to the transport, minding its back-pressure.
async fn send_through(co: &Co, this: &Obj<Loop>, transport: &Obj, part: Part) -> PyResult<Obj> {
    if part.offset != 0 {
        seek(co.py(), &part.file, part.offset)?;
    }
    let standing_in = SendfileFallback::begin(co.py(), this, transport)?;
    let mut sent: i64 = 0;
    let mut outcome = Ok(());
    while let Some(block) = part.block(sent, TRANSPORT_BLOCK) {
        let step = match read_block(co, this, &part.file, block).await {
            Ok(None) => break,
            Ok(Some(data)) => write_block(co, transport, &standing_in, &data).await.map(|len| sent += len),
            Err(err) => Err(err),
        };
        if step.is_err() {
            outcome = step;
            break;
        }
    }
    let restored = SendfileFallback::restore(&standing_in, co.py());
    if sent > 0 {
        seek(co.py(), &part.file, part.offset + sent)?;
    }
    outcome.and(restored)?;
    Ok(sent.into_pyobject(co.py())?.into_any().into())
}

async fn write_block(
    co: &Co,
    transport: &Obj,
    standing_in: &Obj<SendfileFallback>,
    data: &Obj,
) -> PyResult<i64> {
    if let Some(drained) = SendfileFallback::drained(standing_in, co.py())? {
        co.wait(drained).await?;
    }
    let py = co.py();
    // An array or the like that a file-like object's read() gave becomes bytes, which any transport takes.
    let data = if data.bind(py).is_instance_of::<PyBytes>() {
        data.clone()
    } else {
        py.get_type::<PyBytes>().call1((data,))?.into()
    };
    transport.bind(py).call_method1(intern!(py, "write"), (&data,))?;
    Ok(data.bind(py).len()? as i64)
}

fn sendfile_fallback(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<4> =
        Signature::new("_sendfile_fallback", ["transp", "file", "offset", "count"]);
    let [transport, file, offset, count] = args.bind(&SIGNATURE)?;
    let Some(transport) = transport.map(Obj::from) else {
        return Err(PyTypeError::new_err("a transport is required"));
    };
    let part = Part::new(file, offset, count)?;
    let this = this.clone();
    coro::coroutine(py, "_sendfile_fallback", move |co| async move {
        send_through(&co, &this, &transport, part).await
    })
}

fn py_check_params(_this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<4> =
        Signature::new("_check_sendfile_params", ["sock", "file", "offset", "count"]);
    let [sock, file, offset, count] = args.bind(&SIGNATURE)?;
    let (Some(sock), Some(file), Some(offset)) = (sock, file, offset) else { return Ok(()) };
    check_ssl_socket(py, sock)?;
    check_params(py, sock, file, offset, count)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method("sendfile", sendfile,
            "sendfile($self, transport, file, offset=0, count=None, *, fallback=True)\n--\n\n\
             Coroutine: send count bytes of a binary file from offset through a transport; returns the number sent\n\
             (since 3.7).\n\n\
             Raises SendfileNotAvailableError if the system cannot and fallback is false.")
        .method("sock_sendfile", sock_sendfile,
            "sock_sendfile($self, sock, file, offset=0, count=None, *, fallback=True)\n--\n\n\
             Coroutine: the same over a non-blocking stream socket (since 3.7).")
        .method("_sendfile_native", sendfile_native, "")
        .method("_sendfile_fallback", sendfile_fallback, "")
        .method("_sock_sendfile_native", sock_sendfile_native, "")
        .method("_sock_sendfile_fallback", sock_sendfile_fallback, "")
        .method("_check_sendfile_params", py_check_params, "");
}
