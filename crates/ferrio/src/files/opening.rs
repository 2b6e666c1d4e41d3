//! `ferrio.files.open()`: what it is given, and the object that can be awaited or entered.

use std::cell::RefCell;
use std::ffi::{CString, c_int};
use std::os::fd::RawFd;
use std::sync::Arc;

use ferrio_core::driver::files::{self, Handle, Metadata, Operation, Value};
use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Signature};
use pyo3::exceptions::{
    PyOSError, PyOverflowError, PyRuntimeError, PyRuntimeWarning, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::file::{File, unsupported};
use super::mode::Mode;
use super::text::{self, Text};
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::{Engine, Loop};
use crate::exceptions::FromIo;

/// The least that is read ahead, and the most that is gathered before it is written.
const BUFFERING: usize = 64 * 1024;

/// The arguments of `open()`.
#[derive(Clone)]
pub(super) struct Request {
    name: Obj,
    target: Target,
    mode: Mode,
    /// As it was given; text files show it.
    pub(super) mode_given: String,
    buffering: isize,
    closefd: bool,
    opener: Option<Obj>,
    pub(super) text: text::Options,
}

ferrio_object::traverse!(struct Request { name, target, mode, mode_given, buffering, closefd, opener, text });

#[derive(Clone)]
enum Target {
    Path(CString),
    Descriptor(RawFd),
}

/// `buffering` as the builtin takes it, as a C int.
fn buffer_size(given: &Bound<'_, PyAny>) -> PyResult<isize> {
    given.extract::<c_int>().map(|size| size as isize).map_err(|err| {
        if err.is_instance_of::<PyOverflowError>(given.py()) {
            PyOverflowError::new_err("Python int too large to convert to C int")
        } else {
            err
        }
    })
}

impl Request {
    /// # Errors
    /// As the builtin `open()` for arguments that do not fit together.
    pub(super) fn of(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Self> {
        const SIGNATURE: Signature<8> = Signature::new(
            "open",
            ["file", "mode", "buffering", "encoding", "errors", "newline", "closefd", "opener"],
        )
        .required(1);
        let [file, mode, buffering, encoding, errors, newline, closefd, opener] = args.bind(&SIGNATURE)?;
        let mode_given = mode.map_or_else(|| Ok("r".to_owned()), PyAnyMethods::extract::<String>)?;
        let options = text::Options {
            encoding: Obj::unless_none(encoding),
            errors: Obj::unless_none(errors),
            newline: Obj::unless_none(newline),
        };
        Self::checked(
            py,
            Obj::or_none(py, file),
            mode_given,
            buffering.map_or(Ok(-1), buffer_size)?,
            options,
            closefd.map_or(Ok(true), PyAnyMethods::is_truthy)?,
            Obj::unless_none(opener),
        )
    }

    /// For the functions that read or write a whole file.
    ///
    /// # Errors
    /// As [`Request::of`].
    pub(super) fn simple(py: Python<'_>, name: Obj, mode: &str, options: text::Options) -> PyResult<Self> {
        Self::checked(py, name, mode.to_owned(), -1, options, true, None)
    }

    fn checked(
        py: Python<'_>,
        name: Obj,
        mode_given: String,
        buffering: isize,
        text: text::Options,
        closefd: bool,
        opener: Option<Obj>,
    ) -> PyResult<Self> {
        let mode = Mode::parse(&mode_given)?;
        if mode.binary {
            for (argument, given) in
                [("encoding", &text.encoding), ("errors", &text.errors), ("newline", &text.newline)]
            {
                if given.is_some() {
                    return Err(PyValueError::new_err(format!(
                        "binary mode doesn't take {} {argument} argument",
                        if argument == "newline" { "a" } else { "an" }
                    )));
                }
            }
            if buffering == 1 {
                let message =
                    c"line buffering (buffering=1) isn't supported in binary mode, the default buffer \
                    size will be used";
                PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), message, 1)?;
            }
        } else if buffering == 0 {
            return Err(PyValueError::new_err("can't have unbuffered text I/O"));
        }
        let target = target(py, &name)?;
        if !closefd && matches!(target, Target::Path(_)) {
            return Err(PyValueError::new_err("Cannot use closefd=False with file name"));
        }
        Ok(Request { name, target, mode, mode_given, buffering, closefd, opener, text })
    }

    pub(super) fn buffering_is_by_line(&self) -> bool {
        self.buffering == 1
    }

    pub(super) fn buffering_is_default(&self) -> bool {
        self.buffering < 0
    }

    /// `OSError` that names the file.
    fn error(&self, err: std::io::Error) -> PyErr {
        let errno = err.raw_os_error();
        let plain = PyOSError::new_err_from_io(err);
        let (Some(errno), Target::Path(_)) = (errno, &self.target) else { return plain };
        let py = self.name.py();
        let text = plain.value(py).getattr(intern!(py, "strerror")).map(Obj::from);
        match text {
            Ok(text) => PyOSError::new_err((
                errno,
                text.bind(py).clone().unbind(),
                self.name.bind(py).clone().unbind(),
            )),
            Err(err) => err,
        }
    }
}

fn target(py: Python<'_>, name: &Obj) -> PyResult<Target> {
    let given = name.bind(py);
    if given.is_instance_of::<pyo3::types::PyInt>() {
        let fd = given.extract::<RawFd>()?;
        if fd < 0 {
            return Err(PyValueError::new_err("negative file descriptor"));
        }
        return Ok(Target::Descriptor(fd));
    }
    let encoded = py.import("os")?.call_method1(intern!(py, "fsencode"), (given,)).map_err(|err| {
        if err.is_instance_of::<PyTypeError>(py) {
            let name = given.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!("expected str, bytes or os.PathLike object, not {name}"))
        } else {
            err
        }
    })?;
    let bytes = encoded.cast::<PyBytes>()?.as_bytes();
    CString::new(bytes).map(Target::Path).map_err(|_| PyValueError::new_err("embedded null byte"))
}

/// The loop that runs.
///
/// # Errors
/// `RuntimeError` if there is none, or none of ours.
fn native_loop(py: Python<'_>) -> PyResult<Obj<Loop>> {
    let running = crate::event_loop::running::get_running_loop(py)?;
    running
        .cast_into::<Loop>()
        .map_err(|_| PyRuntimeError::new_err("ferrio.files needs an event loop of ferrio's"))
}

/// Opens the file, as a binary one.
///
/// # Errors
/// What the builtin `open()` raises; what is thrown in.
pub(super) async fn open(co: &Co, request: &Kept<Request>) -> PyResult<Obj<File>> {
    let event_loop = co.hold(native_loop(co.py())?);
    let handle = descriptor(co, &event_loop, request).await?;
    let metadata = metadata(co, &event_loop, request, &handle).await?;
    let (py, request) = (co.py(), request.get());
    let handle = match (&request.target, request.closefd) {
        // Not before it has turned out to be one: what is not open is not ours to close.
        (Target::Descriptor(fd), true) => Arc::new(Handle::adopt(*fd)),
        _ => handle,
    };
    let mode = request.mode;
    let seekable = files::position(handle.fd()).is_ok();
    if mode.readable() && mode.writable() && !seekable && request.buffering != 0 {
        return Err(unsupported(py, "File or stream is not seekable."));
    }
    if mode.appending() && seekable {
        // As the builtin does, so that tell() tells the truth from the beginning.
        files::seek(handle.fd(), 0, 2).map_err(|err| request.error(err))?;
    }
    let buffering = match request.buffering {
        0 => 0,
        2.. => request.buffering as usize,
        _ => BUFFERING.max(metadata.block_size as usize),
    };
    let file = File::new(&event_loop.get(), handle, request.name.clone(), mode, buffering, metadata);
    Obj::create(py, ((), file))
}

/// The open descriptor; not ours to close if it was given.
async fn descriptor(co: &Co, event_loop: &Local<Loop>, request: &Kept<Request>) -> PyResult<Arc<Handle>> {
    let path = match &request.get().target {
        Target::Descriptor(fd) => return Ok(Arc::new(Handle::borrowed(*fd))),
        Target::Path(path) => path.clone(),
    };
    let flags = request.get().mode.flags();
    if let Some(opener) = &request.get().opener {
        let (py, request) = (co.py(), request.get());
        // What os.open would be given.
        let cloexec = py.import("os")?.getattr("O_CLOEXEC")?.extract::<i32>()?;
        let fd = opener.bind(py).call1((&request.name, flags | cloexec))?.extract::<RawFd>()?;
        if fd < 0 {
            return Err(PyValueError::new_err(format!("opener returned {fd}")));
        }
        py.import("os")?.call_method1("set_inheritable", (fd, false))?;
        return Ok(Arc::new(Handle::adopt(fd)));
    }
    let operation = Operation::Open { path, flags, mode: 0o666 };
    // Should nobody be waiting any more, the descriptor is closed with the outcome.
    match Engine::perform(co, event_loop, operation, None, true).await? {
        Ok(Value::Opened(fd)) => Ok(Arc::new(Handle::owned(fd))),
        Ok(_) => Err(PyOSError::new_err("open gave no descriptor")),
        Err(err) => Err(request.get().error(err)),
    }
}

async fn metadata(
    co: &Co,
    event_loop: &Local<Loop>,
    request: &Kept<Request>,
    handle: &Arc<Handle>,
) -> PyResult<Metadata> {
    let operation = Operation::Stat { file: Arc::clone(handle) };
    match Engine::perform(co, event_loop, operation, None, false).await? {
        Ok(Value::Metadata(metadata)) if metadata.is_directory() => {
            const EISDIR: i32 = 21;
            Err(request.get().error(std::io::Error::from_raw_os_error(EISDIR)))
        }
        Ok(Value::Metadata(metadata)) => Ok(metadata),
        Ok(_) => Err(PyOSError::new_err("fstat gave nothing")),
        Err(err) => Err(request.get().error(err)),
    }
}

/// What `open()` returns: it opens the file when it is awaited, or entered with `async with`.
pub struct Opening {
    request: RefCell<Option<Request>>,
    file: ObjCell,
}

impl Opening {
    fn coroutine(this: &Obj<Self>, py: Python<'_>, entering: bool) -> PyResult<Obj> {
        coro::coroutine(py, "open", move |co| {
            let this = co.hold(this);
            async move {
                // Each opens its own file; what is entered twice would close one of them only.
                let request = {
                    let this = this.get();
                    let request = this.request.borrow().clone();
                    request.filter(|_| !entering || this.file.is_none()).map(|request| co.keep(request))
                };
                let Some(request) = request else {
                    return Err(PyRuntimeError::new_err("the file was opened already"));
                };
                let file = if request.get().mode.binary {
                    open(&co, &request).await?.into_any()
                } else {
                    Text::open(&co, &request).await?.into_any()
                };
                if entering {
                    this.get().file.set(Some(file.clone()));
                }
                Ok(file)
            }
        })
    }

    fn exit(this: &Obj<Self>, py: Python<'_>, _args: Args<'_, '_>) -> PyResult<Obj> {
        coro::coroutine(py, "Opening.__aexit__", move |co| {
            let this = co.hold(this);
            async move {
                let (file, text) = {
                    let Some(file) = this.get().file.take() else { return Ok(Obj::none(co.py())) };
                    let (file, text) = (file.cast::<File>(), file.cast::<Text>());
                    (file.map(|file| co.hold(file)), text.map(|text| co.hold(text)))
                };
                if let Some(file) = file {
                    File::close(&co, &file).await?;
                } else if let Some(text) = text {
                    Text::close(&co, &text).await?;
                }
                Ok(Obj::none(co.py()))
            }
        })
    }
}

impl Class for Opening {
    type Base = Any;
    ferrio_object::fields!(Opening { request, file });
    const NAME: &'static str = "ferrio.files.Opening";
    const DOC: &'static str =
        "A file to be opened: `file = await opening`, or `async with opening as file`, which closes it.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Opening { request: RefCell::new(None), file: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .awaitable(|this: &Obj<Self>, py: Python<'_>| Self::coroutine(this, py, false))
            .coroutine0(
                "__aenter__",
                |this: &Obj<Self>, py: Python<'_>| Self::coroutine(this, py, true),
                "__aenter__($self, /)\n--\n\nOpen the file.",
            )
            .coroutine(
                "__aexit__",
                Self::exit,
                "__aexit__($self, exc_type, exc, tb, /)\n--\n\nClose the file.",
            );
    }
}

pub(super) fn py_open(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let request = Request::of(py, args)?;
    let opening = Opening { request: RefCell::new(Some(request)), file: ObjCell::empty() };
    Ok(Obj::<Opening>::create(py, ((), opening))?.into_any())
}
