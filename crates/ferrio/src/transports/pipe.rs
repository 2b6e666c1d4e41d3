//! What the two transports over pipes have in common: the file that they take over, and its way from
//! `connection_made()` to `connection_lost()`, after which it is closed.
//!
//! When the file is read or written, and so what of it is watched, is each transport's own affair.

use std::cell::{Cell, OnceCell};
use std::os::fd::RawFd;

use ferrio_core::driver::socket::{self, FileKind};
use ferrio_object::{Args, Class, ClassBuilder, GilStatic, Obj, ObjCell, Signature, Traverse};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::attached::{Attached, warn_unclosed};
use crate::event_loop::Loop;
use crate::exceptions::FromIo;

/// Whose `logger` is used.
pub(super) const MODULE: &str = "ferrio.unix_events";

/// The file of a transport, and the protocol that hears what becomes of it.
pub(crate) struct Pipe {
    pub(super) attached: Attached,
    pub(super) fd: Cell<RawFd>,
    /// The file object; empty once it is closed.
    pub(super) file: ObjCell,
    extra: ObjCell,
    /// Nothing more is read, or accepted for writing.
    pub(super) closing: Cell<bool>,
}

ferrio_object::traverse!(struct Pipe { attached, fd, file, extra, closing });

impl Default for Pipe {
    fn default() -> Self {
        Pipe {
            attached: Attached::default(),
            fd: Cell::new(-1),
            file: ObjCell::empty(),
            extra: ObjCell::empty(),
            closing: Cell::new(false),
        }
    }
}

/// A class of `MODULE`, which `cell` keeps.
pub(super) fn kept_class<'py>(
    py: Python<'py>,
    cell: &'static GilStatic<OnceCell<Obj>>,
    name: &str,
) -> PyResult<&'py Obj> {
    let cell = cell.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = crate::imported::module(py, MODULE)?.getattr(name)?;
    Ok(cell.get_or_init(|| class.into()))
}

/// A transport over a pipe, a terminal, or a socket that is used in one direction.
pub(crate) trait OverPipe: Class {
    /// The name of the Python class that programs see.
    const PYTHON_NAME: &'static str;
    /// What a file is told that is none of these.
    const REFUSAL: &'static str;
    const SIGNATURE: Signature<5> =
        Signature::new(Self::PYTHON_NAME, ["loop", "pipe", "protocol", "waiter", "extra"]).required(3);

    fn pipe(&self) -> &Pipe;

    /// The Python class; looked up once, and kept.
    fn python_class(py: Python<'_>) -> PyResult<&Obj>;

    fn set_protocol(this: &Obj<Self>, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()>;

    /// After `connection_made()`, which may have closed the transport again: what of the file is watched from now on.
    fn start(this: &Obj<Self>, py: Python<'_>) -> PyResult<()>;

    /// A transport over `pipe`; `connection_made()` is called in the next turn.
    ///
    /// # Errors
    /// `ValueError` if it is no pipe, `RuntimeError` if the loop is closed.
    fn open(
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        pipe: &Obj,
        protocol: &Obj,
        waiter: Option<Obj>,
        extra: Option<Obj>,
    ) -> PyResult<Obj<Self>> {
        let this = Obj::<Self>::create_of(py, Self::python_class(py)?)?;
        Self::begin(&this, py, event_loop, pipe, protocol, waiter, extra)?;
        Ok(this)
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [event_loop, pipe, protocol, waiter, extra] = args.bind(&Self::SIGNATURE)?;
        let (Some(event_loop), Some(pipe), Some(protocol)) = (event_loop, pipe, protocol) else {
            return Ok(());
        };
        let Some(event_loop) = Obj::<Loop>::from_bound(event_loop) else {
            return Err(PyTypeError::new_err("a transport of ferrio's needs a loop of ferrio's"));
        };
        Self::begin(
            this,
            py,
            event_loop,
            &pipe.into(),
            &protocol.into(),
            Obj::unless_none(waiter),
            Obj::unless_none(extra),
        )
    }

    fn begin(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        file: &Obj,
        protocol: &Obj,
        waiter: Option<Obj>,
        extra: Option<Obj>,
    ) -> PyResult<()> {
        let pipe = this.pipe();
        let extra = extra.unwrap_or_else(|| PyDict::new(py).into_any().into());
        extra.bind(py).set_item(intern!(py, "pipe"), file)?;
        pipe.extra.set(Some(extra));
        let fd: RawFd = file.bind(py).call_method0(intern!(py, "fileno"))?.extract()?;
        if socket::file_kind(fd).map_err(PyOSError::new_err_from_io)? == FileKind::Other {
            return Err(PyValueError::new_err(Self::REFUSAL));
        }
        socket::set_nonblocking(fd).map_err(PyOSError::new_err_from_io)?;
        event_loop.check_closed()?;
        pipe.fd.set(fd);
        pipe.file.set(Some(file.clone()));
        pipe.attached.begin(py, event_loop, protocol, waiter)?;
        Self::set_protocol(this, py, protocol.bind(py))?;
        pipe.attached.call_soon(py, "connection_made", this, None, |py, held, _| {
            held[0].cast::<Self>().map_or(Ok(()), |this| Self::connected(this, py))
        })
    }

    /// The first callback: `connection_made()`, then the file is watched, then the waiter is woken.
    fn connected(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let attached = &this.pipe().attached;
        if let Some(protocol) = attached.protocol() {
            let made = protocol.bind(py).call_method1(intern!(py, "connection_made"), (this,)).map(drop);
            attached.report_named(py, this, "connection_made()", made)?;
        }
        let started = Self::start(this, py);
        attached.report_named(py, this, "_add_reader()", started)?;
        attached.wake_waiter(py)
    }

    /// Has `connection_lost()` called in the next turn.
    fn lose_soon(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.pipe().attached.call_soon(py, "connection_lost", this, exc, |py, held, _| {
            let Some(this) = held[0].cast::<Self>() else { return Ok(()) };
            Self::connection_lost(this, py, held.get(1))
        })
    }

    /// Tells the protocol, and closes the file. To be called in a context, as the loop calls what was given to `call_soon`.
    fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        let pipe = this.pipe();
        let Some(file) = pipe.file.get() else { return Ok(()) };
        let told = match pipe.attached.protocol() {
            Some(protocol) => {
                let exc = exc.cloned().unwrap_or_else(|| Obj::none(py));
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (exc,)).map(drop)
            }
            None => Ok(()),
        };
        let reported = pipe.attached.report_named(py, this, "_call_connection_lost()", told);
        pipe.file.set(None);
        let closed = file.bind(py).call_method0(intern!(py, "close")).map(drop);
        let closed = pipe.attached.report_named(py, this, "_call_connection_lost()", closed);
        this.forget_protocol();
        pipe.attached.clear();
        reported.and(closed)
    }

    /// Lets go of what is known of the protocol beside what it is attached to.
    fn forget_protocol(&self) {}

    /// How `repr()` begins: the class, whether it is closed, the descriptor.
    fn shown(this: &Obj<Self>, py: Python<'_>) -> PyResult<Vec<String>> {
        let pipe = this.pipe();
        let mut info = vec![this.bind(py).get_type().name()?.to_string()];
        if pipe.file.is_none() {
            info.push("closed".to_owned());
        } else if pipe.closing.get() {
            info.push("closing".to_owned());
        }
        let fd = pipe.fd.get();
        info.push(if fd < 0 { "fd=None".to_owned() } else { format!("fd={fd}") });
        Ok(info)
    }

    /// `__del__` of a transport that nobody closed.
    fn del(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let pipe = this.pipe();
        if pipe.file.is_none() {
            return Ok(());
        }
        let warned = warn_unclosed(py, this);
        let Some(file) = pipe.file.take() else { return warned };
        warned.and(file.bind(py).call_method0(intern!(py, "close")).map(drop))
    }

    fn define_pipe(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .method0(
                "is_closing",
                |this: &Obj<Self>, _py: Python<'_>| this.pipe().closing.get(),
                "is_closing($self, /)\n--\n\nWhether the transport is closed or about to be.",
            )
            .method1_named(
                "set_protocol",
                Self::set_protocol,
                || Signature::new("set_protocol", ["protocol"]),
                "set_protocol($self, /, protocol)\n--\n\nMake another protocol the receiver of the calls.",
            )
            .method0(
                "get_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.pipe().attached.protocol(),
                "get_protocol($self, /)\n--\n\nThe protocol.",
            )
            .method0("__del__", Self::del, "")
            .getset(
                "_pipe",
                |this: &Obj<Self>, _py: Python<'_>| this.pipe().file.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.pipe().file.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getter(
                "_fileno",
                |this: &Obj<Self>, _py: Python<'_>| {
                    let fd = this.pipe().fd.get();
                    (fd >= 0).then_some(fd)
                },
                "",
            )
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.pipe().attached.event_loop(), "")
            .getset(
                "_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.pipe().attached.protocol(),
                |this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    value.map_or(Ok(()), |protocol| Self::set_protocol(this, py, protocol))
                },
                "",
            )
            .getter("_closing", |this: &Obj<Self>, _py: Python<'_>| this.pipe().closing.get(), "")
            .getter("_extra", |this: &Obj<Self>, _py: Python<'_>| this.pipe().extra.get(), "");
    }
}
