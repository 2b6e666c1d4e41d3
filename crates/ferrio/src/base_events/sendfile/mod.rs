//! `sendfile` and `sock_sendfile`: a file to a socket inside the kernel, or through memory where that is impossible.
//!
//! The methods are asyncio's in number and name (`_sendfile_native`, `_sock_sendfile_fallback`, …), and each is called
//! through Python: that is where programs and tests switch one of the ways off.

mod fallback;

use std::io::ErrorKind;
use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, file};
use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{
    PyAttributeError, PyConnectionError, PyOSError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyInt, PyMemoryView, PySlice};

use super::connect::truthy;
use super::sock;
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::Loop;
use crate::exceptions::{self, FromIo};
use crate::imported::socket_module;
use crate::transports::StreamTransport;

pub(crate) use fallback::SendfileFallback;

/// Bytes read at once where the kernel does not do it: asyncio's numbers for sockets and for transports.
const SOCK_BLOCK: u64 = 256 * 1024;
const TRANSPORT_BLOCK: u64 = 16 * 1024;
/// The most that one call of the kernel's sends, in bytes; more is cut by it anyway.
const MAX_COUNT: u64 = 0x7fff_f000;
/// Linux' `ENOTCONN`.
const NOT_CONNECTED: i32 = 107;

/// `(sock or transport, file, offset=0, count=None)`.
struct Part {
    target: Obj,
    file: Obj,
    offset: Obj,
    count: Obj,
}

ferrio_object::traverse!(struct Part { target, file, offset, count });

impl Part {
    fn new(py: Python<'_>, bound: [Option<&Bound<'_, PyAny>>; 4]) -> PyResult<Self> {
        let [target, file, offset, count] = bound;
        Ok(Part {
            target: Obj::or_none(py, target),
            file: Obj::or_none(py, file),
            offset: match offset {
                Some(offset) => offset.into(),
                None => 0_i32.into_pyobject(py)?.into_any().into(),
            },
            count: Obj::or_none(py, count),
        })
    }

    /// Calls another method of the loop with the same arguments.
    fn pass_to(&self, this: &Obj<Loop>, py: Python<'_>, method: &str) -> PyResult<Obj> {
        let args = (&self.target, &self.file, &self.offset, &self.count);
        Ok(this.bind(py).call_method1(method, args)?.into())
    }

    /// The part as numbers; no count, or zero, is everything.
    fn numbers(&self, py: Python<'_>) -> PyResult<(u64, Option<u64>)> {
        let count = if self.count.is_none() { None } else { Some(self.count.bind(py).extract::<u64>()?) };
        Ok((self.offset.bind(py).extract()?, count.filter(|count| *count > 0)))
    }
}

fn not_available(py: Python<'_>, message: &str) -> PyErr {
    match exceptions::class(py, "SendfileNotAvailableError")
        .and_then(|class| class.bind(py).call1((message,)))
    {
        Ok(exc) => PyErr::from_value(exc),
        Err(err) => err,
    }
}

fn is_not_available(py: Python<'_>, err: &PyErr) -> PyResult<bool> {
    Ok(err.is_instance(py, exceptions::class(py, "SendfileNotAvailableError")?.bind(py)))
}

/// # Errors
/// `ValueError` and `TypeError` for what cannot be sent.
fn check_params(py: Python<'_>, part: &Part) -> PyResult<()> {
    let mode = part.file.bind(py).getattr_opt(intern!(py, "mode"))?;
    if let Some(mode) = mode
        && !mode.contains("b")?
    {
        return Err(PyValueError::new_err("file should be opened in binary mode"));
    }
    let kind = part.target.bind(py).getattr(intern!(py, "type"))?;
    if !kind.eq(socket_module(py)?.getattr(intern!(py, "SOCK_STREAM"))?)? {
        return Err(PyValueError::new_err("only SOCK_STREAM type sockets are supported"));
    }
    let (offset, count) = (part.offset.bind(py), part.count.bind(py));
    let bad = |what: &str, value: &Bound<'_, PyAny>| -> PyResult<String> {
        Ok(format!("{what} integer (got {})", value.repr()?))
    };
    if !count.is_none() {
        if !count.is_instance_of::<PyInt>() {
            return Err(PyTypeError::new_err(bad("count must be a positive", count)?));
        }
        if count.le(0)? {
            return Err(PyValueError::new_err(bad("count must be a positive", count)?));
        }
    }
    if !offset.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(bad("offset must be a non-negative", offset)?));
    }
    if offset.lt(0)? {
        return Err(PyValueError::new_err(bad("offset must be a non-negative", offset)?));
    }
    Ok(())
}

const PART: [&str; 4] = ["sock", "file", "offset", "count"];

fn sock_sendfile(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("sock_sendfile", ["sock", "file", "offset", "count", "fallback"])
            .positional(4)
            .required(2);
    let [target, file, offset, count, fallback] = args.bind(&SIGNATURE)?;
    let part = Part::new(py, [target, file, offset, count])?;
    // Unlike for the other methods, the default is to fall back.
    let fallback = fallback.map_or(Ok(true), |fallback| truthy(Some(fallback)))?;
    coro::coroutine(py, "sock_sendfile", move |co| {
        let (this, part) = (co.hold(this), co.keep(part));
        async move {
            let wait = {
                let (py, this, part) = (co.py(), this.get(), part.get());
                sock::check(&this, py, &part.target)?;
                check_params(py, &part)?;
                co.wait(part.pass_to(&this, py, "_sock_sendfile_native")?)
            };
            match wait.await {
                Err(err) if fallback && is_not_available(co.py(), &err)? => {
                    ferrio_object::swallow(co.py(), err);
                }
                outcome => return outcome,
            }
            let wait = co.wait(part.get().pass_to(&this.get(), co.py(), "_sock_sendfile_fallback")?);
            wait.await
        }
    })
}

/// The size of a file that the kernel can read.
///
/// # Errors
/// `SendfileNotAvailableError` for a file that is only a Python object.
fn size_of(py: Python<'_>, file: &Obj) -> PyResult<u64> {
    let fd = match file.bind(py).call_method0(intern!(py, "fileno")) {
        Ok(fd) => fd.extract()?,
        Err(err) => {
            let unsupported = crate::imported::module(py, "io")?.getattr("UnsupportedOperation")?;
            let expected = err.is_instance_of::<PyAttributeError>(py) || err.is_instance(py, &unsupported);
            return Err(if expected { not_available(py, "not a regular file") } else { err });
        }
    };
    file::size(fd).map_err(|_| not_available(py, "not a regular file"))
}

/// How far a file has been sent.
struct Progress {
    file: Local,
    offset: u64,
    /// Bytes to send in all, if that was said.
    count: Option<u64>,
    sent: u64,
}

enum Next {
    Done,
    /// Something went out, or nothing could: the socket is waited for.
    Wait,
}

impl Progress {
    /// How many bytes to ask for now.
    fn wanted(&self) -> usize {
        let left = self.count.map_or(MAX_COUNT, |count| count - self.sent);
        usize::try_from(left.min(MAX_COUNT)).unwrap_or(usize::MAX)
    }

    fn is_done(&self) -> bool {
        self.count.is_some_and(|count| self.sent >= count)
    }

    /// Takes note of what the kernel said.
    fn advance(&mut self, py: Python<'_>, outcome: std::io::Result<usize>) -> PyResult<Next> {
        match outcome {
            Ok(0) => Ok(Next::Done),
            Ok(count) => {
                self.sent += count as u64;
                Ok(if self.is_done() { Next::Done } else { Next::Wait })
            }
            Err(err) if matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Ok(Next::Wait)
            }
            // Most likely the file is not of a kind that can be mapped.
            Err(_) if self.sent == 0 => Err(not_available(py, "os.sendfile call failed")),
            Err(err) if err.raw_os_error() == Some(NOT_CONNECTED) => {
                let lost = PyConnectionError::new_err(("socket is not connected", NOT_CONNECTED));
                lost.set_cause(py, Some(PyOSError::new_err_from_io(err)));
                Err(lost)
            }
            Err(err) => Err(PyOSError::new_err_from_io(err)),
        }
    }

    /// The file's descriptor, asked for anew each time: if the file is closed meanwhile, its number may be that of
    /// another one, whose contents are nobody's business.
    ///
    /// # Errors
    /// `ValueError` if it is closed.
    fn source(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.file.get().bind(py).call_method0(intern!(py, "fileno"))?.extract()
    }

    /// Leaves the file where the sending ended: since 3.13 (not in 3.13.0 yet) also if nothing was sent.
    fn update_position(&self, py: Python<'_>) -> PyResult<()> {
        if self.sent == 0 && !cfg!(Py_3_13) {
            return Ok(());
        }
        crate::imported::module(py, "os")?
            .call_method1("lseek", (self.source(py)?, self.offset + self.sent, 0))
            .map(drop)
    }

    fn begin(co: &Co, part: &Part) -> PyResult<Option<Self>> {
        let py = co.py();
        let size = size_of(py, &part.file)?;
        let (offset, count) = part.numbers(py)?;
        if count.is_none() && size == 0 {
            return Ok(None);
        }
        Ok(Some(Progress { file: co.hold(&part.file), offset, count, sent: 0 }))
    }

    /// Has `attempt` ask the kernel. Whatever ends the sending, the file is left where it ended.
    fn step(
        &mut self,
        py: Python<'_>,
        attempt: impl Fn(Python<'_>, &Self) -> PyResult<std::io::Result<usize>>,
    ) -> PyResult<Next> {
        match attempt(py, self).and_then(|tried| self.advance(py, tried)) {
            Ok(Next::Wait) => Ok(Next::Wait),
            ended => {
                let positioned = self.update_position(py);
                ended.and_then(|next| positioned.map(|()| next))
            }
        }
    }

    /// The socket was waited for.
    fn waited(&self, py: Python<'_>, outcome: PyResult<()>) -> PyResult<()> {
        if outcome.is_err() {
            // What went wrong first is what is raised.
            let positioned = self.update_position(py);
            return outcome.and(positioned);
        }
        Ok(())
    }

    fn total(&self, py: Python<'_>) -> PyResult<Obj> {
        Ok(self.sent.into_pyobject(py)?.into_any().into())
    }
}

fn sock_sendfile_native(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let part = Part::new(py, args.bind(&Signature::new("_sock_sendfile_native", PART))?)?;
    coro::coroutine(py, "_sock_sendfile_native", move |co| {
        let (this, sock, part) = (co.hold(this), co.hold(&part.target), co.keep(part));
        async move {
            let Some(mut progress) = Progress::begin(&co, &part.get())? else {
                return Ok(0_i32.into_pyobject(co.py())?.into_any().into());
            };
            let attempt = |py: Python<'_>, progress: &Progress| {
                let fd: RawFd = sock.get().bind(py).call_method0(intern!(py, "fileno"))?.extract()?;
                let (source, offset, count) =
                    (progress.source(py)?, progress.offset + progress.sent, progress.wanted());
                // Reading the file can wait for the disk.
                Ok(py.detach(|| file::send_file(fd, source, offset, count)))
            };
            loop {
                match progress.step(co.py(), attempt)? {
                    Next::Done => return progress.total(co.py()),
                    Next::Wait => {
                        let ready = sock::ready(&co, &this, &sock, Interest::WRITABLE).await;
                        progress.waited(co.py(), ready)?;
                    }
                }
            }
        }
    })
}

/// The room that a file is read into where the kernel does not do it.
struct Block {
    buffer: Local,
    len: u64,
    /// How much was read last.
    read: u64,
    count: Option<u64>,
    sent: u64,
}

impl Block {
    fn begin(co: &Co, part: &Part, most: u64) -> PyResult<(Self, u64)> {
        let py = co.py();
        let (offset, count) = part.numbers(py)?;
        // Before 3.13, and in 3.13.0, an offset of 0 meant wherever the file was.
        let seeks = if cfg!(Py_3_13) { part.file.bind(py).hasattr(intern!(py, "seek"))? } else { offset > 0 };
        if seeks {
            part.file.bind(py).call_method1(intern!(py, "seek"), (offset,))?;
        }
        let len = count.map_or(most, |count| count.min(most));
        let buffer = PyByteArray::new_with(py, usize::try_from(len).unwrap_or(usize::MAX), |_| Ok(()))?;
        Ok((Block { buffer: co.hold(Obj::from(buffer)), len, read: 0, count, sent: 0 }, offset))
    }

    /// What was read last.
    fn piece(&self, py: Python<'_>) -> PyResult<Obj> {
        self.view(py, self.read)
    }

    fn view(&self, py: Python<'_>, len: u64) -> PyResult<Obj> {
        let view = PyMemoryView::from(self.buffer.get().bind(py))?;
        let len = isize::try_from(len).unwrap_or(isize::MAX);
        Ok(view.get_item(PySlice::new(py, 0, len, 1))?.into())
    }

    /// Reads the next piece in the default executor; false at the end.
    async fn read(&mut self, co: &Co, this: &Local<Loop>, file: &Local) -> PyResult<bool> {
        if let Some(count) = self.count {
            self.len = self.len.min(count - self.sent);
        }
        if self.len == 0 {
            return Ok(false);
        }
        let wait = {
            let py = co.py();
            let readinto = file.get().bind(py).getattr(intern!(py, "readinto"))?;
            let args = (py.None(), readinto, self.view(py, self.len)?);
            co.wait(Obj::from(this.get().bind(py).call_method1(intern!(py, "run_in_executor"), args)?))
        };
        let read = wait.await?;
        self.read = if read.is_none() { 0 } else { read.bind(co.py()).extract()? };
        Ok(self.read > 0)
    }

    fn sent(&mut self) {
        self.sent += self.read;
    }

    /// Leaves the file where the sending ended.
    fn update_position(&self, py: Python<'_>, file: &Obj, offset: u64) -> PyResult<()> {
        if self.sent > 0 && file.bind(py).hasattr(intern!(py, "seek"))? {
            file.bind(py).call_method1(intern!(py, "seek"), (offset + self.sent,))?;
        }
        Ok(())
    }

    fn total(&self, py: Python<'_>) -> PyResult<Obj> {
        Ok(self.sent.into_pyobject(py)?.into_any().into())
    }
}

fn sock_sendfile_fallback(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let part = Part::new(py, args.bind(&Signature::new("_sock_sendfile_fallback", PART))?)?;
    coro::coroutine(py, "_sock_sendfile_fallback", move |co| {
        let (this, sock, file, part) =
            (co.hold(this), co.hold(&part.target), co.hold(&part.file), co.keep(part));
        async move {
            let (mut block, offset) = Block::begin(&co, &part.get(), SOCK_BLOCK)?;
            let outcome = async {
                while block.read(&co, &this, &file).await? {
                    let wait = {
                        let (py, this) = (co.py(), this.get());
                        let args = (sock.get(), block.piece(py)?);
                        let sending = this.bind(py).call_method1(intern!(py, "sock_sendall"), args)?;
                        co.wait(Obj::from(sending))
                    };
                    wait.await?;
                    block.sent();
                }
                Ok(())
            }
            .await;
            block.update_position(co.py(), &file.get(), offset)?;
            outcome.and_then(|()| block.total(co.py()))
        }
    })
}

fn sendfile(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<5> =
        Signature::new("sendfile", ["transport", "file", "offset", "count", "fallback"])
            .positional(4)
            .required(2);
    let [target, file, offset, count, fallback] = args.bind(&SIGNATURE)?;
    let part = Part::new(py, [target, file, offset, count])?;
    let fallback = fallback.map_or(Ok(true), |fallback| truthy(Some(fallback)))?;
    coro::coroutine(py, "sendfile", move |co| {
        let (this, part) = (co.hold(this), co.keep(part));
        async move {
            if can_try_native(co.py(), &part.get().target)? {
                let wait = co.wait(part.get().pass_to(&this.get(), co.py(), "_sendfile_native")?);
                match wait.await {
                    Err(err) if fallback && is_not_available(co.py(), &err)? => {
                        ferrio_object::swallow(co.py(), err);
                    }
                    outcome => return outcome,
                }
            }
            if !fallback {
                let part = part.get();
                let shown = part.target.bind(co.py()).repr()?;
                return Err(PyRuntimeError::new_err(format!(
                    "fallback is disabled and native sendfile is not supported for transport {shown}"
                )));
            }
            let wait = co.wait(part.get().pass_to(&this.get(), co.py(), "_sendfile_fallback")?);
            wait.await
        }
    })
}

/// Whether the kernel may be able to send to the transport.
///
/// # Errors
/// `RuntimeError` if nothing can be sent to it.
fn can_try_native(py: Python<'_>, transport: &Obj) -> PyResult<bool> {
    let transport = transport.bind(py);
    if transport.call_method0(intern!(py, "is_closing"))?.is_truthy()? {
        return Err(PyRuntimeError::new_err("Transport is closing"));
    }
    let mode = transport.getattr_opt("_sendfile_compatible")?;
    // By name: a transport of stock asyncio's has a mode of stock asyncio's.
    let mode = mode.map(|mode| mode.getattr("name")).transpose()?;
    let is = |name: &str| mode.as_ref().map_or(Ok(false), |mode| mode.eq(name));
    if mode.is_none() || is("UNSUPPORTED")? {
        let shown = transport.repr()?;
        return Err(PyRuntimeError::new_err(format!("sendfile is not supported for transport {shown}")));
    }
    is("TRY_NATIVE")
}

fn sendfile_native(_this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let part = Part::new(py, args.bind(&Signature::new("_sendfile_native", PART))?)?;
    coro::coroutine(py, "_sendfile_native", move |co| {
        let part = co.keep(part);
        async move {
            let Some(transport) =
                part.get().target.cast::<StreamTransport>().map(|transport| co.hold(transport))
            else {
                return Err(not_available(co.py(), "sendfile syscall is not supported"));
            };
            let resume = StreamTransport::is_reading(&transport.get(), co.py());
            StreamTransport::pause_reading(&transport.get(), co.py())?;
            let wait = co.wait(StreamTransport::make_empty_waiter(&transport.get(), co.py())?);
            let outcome = match wait.await.map(drop) {
                Ok(()) => transmit(&co, &transport, &part).await,
                Err(err) => Err(err),
            };
            StreamTransport::sent_file(&transport.get())?;
            if resume {
                StreamTransport::resume_reading(&transport.get(), co.py())?;
            }
            outcome
        }
    })
}

async fn transmit(co: &Co, transport: &Local<StreamTransport>, part: &Kept<Part>) -> PyResult<Obj> {
    let progress = {
        let (py, part) = (co.py(), part.get());
        let sock = transport.get().bind(py).getattr(intern!(py, "_sock"))?;
        if sock.is_none() {
            return Err(PyConnectionError::new_err("Connection is closed by peer"));
        }
        let part = Part {
            target: sock.into(),
            file: part.file.clone(),
            offset: part.offset.clone(),
            count: part.count.clone(),
        };
        check_params(py, &part)?;
        Progress::begin(co, &part)?
    };
    let Some(mut progress) = progress else { return Ok(0_i32.into_pyobject(co.py())?.into_any().into()) };
    let attempt = |py: Python<'_>, progress: &Progress| {
        let offset = progress.offset + progress.sent;
        StreamTransport::send_file(&transport.get(), py, progress.source(py)?, offset, progress.wanted())
    };
    loop {
        match progress.step(co.py(), attempt)? {
            Next::Done => return progress.total(co.py()),
            Next::Wait => {
                let room = StreamTransport::wait_for_room(&transport.get(), co.py());
                let waited = match room.map(|room| co.wait(room)) {
                    Ok(wait) => wait.await.map(drop),
                    Err(err) => Err(err),
                };
                progress.waited(co.py(), waited)?;
            }
        }
    }
}

fn sendfile_fallback(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let part = Part::new(py, args.bind(&Signature::new("_sendfile_fallback", PART))?)?;
    coro::coroutine(py, "_sendfile_fallback", move |co| {
        let (this, file, part) = (co.hold(this), co.hold(&part.file), co.keep(part));
        async move {
            let (mut block, offset) = Block::begin(&co, &part.get(), TRANSPORT_BLOCK)?;
            let protocol = co.hold(SendfileFallback::begin(co.py(), &this.get(), &part.get().target)?);
            let outcome = async {
                while block.read(&co, &this, &file).await? {
                    let drained = SendfileFallback::drained(&protocol.get(), co.py())?;
                    if let Some(wait) = drained.map(|drained| co.wait(drained)) {
                        wait.await?;
                    }
                    let py = co.py();
                    part.get().target.bind(py).call_method1(intern!(py, "write"), (block.piece(py)?,))?;
                    block.sent();
                }
                Ok(())
            }
            .await;
            let positioned = block.update_position(co.py(), &file.get(), offset);
            SendfileFallback::restore(&protocol.get(), co.py())?;
            positioned?;
            outcome.and_then(|()| block.total(co.py()))
        }
    })
}

fn py_check_params(_this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let part = Part::new(py, args.bind(&Signature::new("_check_sendfile_params", PART))?)?;
    check_params(py, &part)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .coroutine("sendfile", sendfile, "sendfile($self, transport, file, offset=0, count=None, *, fallback=True)\n--\n\n\
            Coroutine: send a file, opened in binary mode, over a transport; returns the number of bytes sent.\n\n\
            offset: where in the file to begin.\n\
            count: bytes to send, all if None.\n\n\
            The file is left where the\n\
            sending ended, also after an error. Raises SendfileNotAvailableError if the kernel cannot do it and\n\
            fallback is false; RuntimeError for a transport that is closing or cannot send files. (Since 3.7)")
        .coroutine("sock_sendfile", sock_sendfile,
            "sock_sendfile($self, sock, file, offset=0, count=None, *, fallback=True)\n--\n\n\
             Coroutine: send a file, opened in binary mode, over a non-blocking stream socket; returns the number of\n\
             bytes sent.\n\n\
             offset: where in the file to begin.\n\
             count: bytes to send, all if None.\n\n\
             The file is left where the\n\
             sending ended, also after an error. Raises SendfileNotAvailableError if the kernel cannot do it and\n\
             fallback is false. (Since 3.7)")
        .coroutine("_sock_sendfile_native", sock_sendfile_native, "")
        .coroutine("_sock_sendfile_fallback", sock_sendfile_fallback, "")
        .coroutine("_sendfile_native", sendfile_native, "")
        .coroutine("_sendfile_fallback", sendfile_fallback, "")
        .method("_check_sendfile_params", py_check_params, "");
}
