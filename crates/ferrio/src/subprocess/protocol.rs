//! `asyncio.subprocess.SubprocessStreamProtocol`: streams over the pipes of a child.

use std::cell::{Cell, RefCell};

use ferrio_object::{Args, Class, ClassBuilder, Obj, ObjCell, Replaced, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::attributes::{cell, flag};
use crate::event_loop::LoopRef;
use crate::future::Future;
use crate::future_likes;
use crate::streams::{self, FlowControlMixin, StreamReader, StreamWriter};

/// What a `SubprocessStreamProtocol` adds to a `FlowControlMixin`.
pub struct SubprocessStreamProtocol {
    limit: ObjCell,
    pub(super) stdin: ObjCell,
    pub(super) stdout: ObjCell,
    pub(super) stderr: ObjCell,
    transport: ObjCell,
    exited: Cell<bool>,
    /// The pipes that are read and still open.
    open: RefCell<Vec<i64>>,
    /// The future that is done when stdin is closed.
    stdin_closed: ObjCell,
    /// Which methods have been replaced (`feeding.rs`).
    pub(super) replaced: Replaced,
}

impl SubprocessStreamProtocol {
    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [limit, event_loop] =
            args.bind(&Signature::new("SubprocessStreamProtocol", ["limit", "loop"]))?;
        let (Some(limit), Some(event_loop)) = (limit, event_loop) else { return Ok(()) };
        let event_loop = LoopRef::new(event_loop);
        this.base().initialize(event_loop.clone());
        this.limit.set(Some(limit.into()));
        this.stdin_closed.set(Some(event_loop.create_future(py)?));
        Ok(())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut info = vec![this.bind(py).get_type().name()?.to_string()];
        for (name, stream) in [("stdin", &this.stdin), ("stdout", &this.stdout), ("stderr", &this.stderr)] {
            if let Some(stream) = stream.get() {
                info.push(format!("{name}={}", stream.bind(py).repr()?));
            }
        }
        Ok(format!("<{}>", info.join(" ")))
    }

    /// The stream of a pipe that is read.
    pub(super) fn reader(&self, fd: i64) -> Option<Obj> {
        match fd {
            1 => self.stdout.get(),
            2 => self.stderr.get(),
            _ => None,
        }
    }

    fn connection_made(this: &Obj<Self>, py: Python<'_>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        this.transport.set(Some(transport.into()));
        let pipe = |fd: i64| transport.call_method1(intern!(py, "get_pipe_transport"), (fd,));
        for (fd, stream) in [(1, &this.stdout), (2, &this.stderr)] {
            let pipe = pipe(fd)?;
            if pipe.is_none() {
                continue;
            }
            let limit = match this.limit.get() {
                Some(limit) => streams::limit_of(limit.bind(py))?,
                None => streams::DEFAULT_LIMIT,
            };
            let reader = StreamReader::create(py, limit, this.base().get_loop()?)?;
            reader.attach(pipe.into())?;
            stream.set(Some(reader.into_any()));
            this.open.borrow_mut().push(fd);
        }
        let pipe = pipe(0)?;
        if !pipe.is_none() {
            let event_loop = this.base().get_loop()?;
            let writer = StreamWriter::create(py, pipe.into(), this.as_any().clone(), None, event_loop)?;
            this.stdin.set(Some(writer.into_any()));
        }
        Ok(())
    }

    fn pipe_data_received(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [fd, data] = args.bind(&Signature::new("pipe_data_received", ["fd", "data"]))?;
        let (Some(fd), Some(data)) = (fd, data) else { return Ok(()) };
        match this.reader(fd.extract()?) {
            Some(reader) => reader.bind(py).call_method1(intern!(py, "feed_data"), (data,)).map(drop),
            None => Ok(()),
        }
    }

    fn pipe_connection_lost(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [fd, exc] = args.bind(&Signature::new("pipe_connection_lost", ["fd", "exc"]))?;
        let (Some(fd), exc) = (fd, exc.filter(|exc| !exc.is_none())) else { return Ok(()) };
        let fd: i64 = fd.extract()?;
        if fd == 0 {
            return Self::stdin_lost(this, py, exc);
        }
        if let Some(reader) = this.reader(fd) {
            match exc {
                None => reader.bind(py).call_method0(intern!(py, "feed_eof"))?,
                Some(exc) => reader.bind(py).call_method1(intern!(py, "set_exception"), (exc,))?,
            };
        }
        this.open.borrow_mut().retain(|open| *open != fd);
        this.close_if_over(py)
    }

    fn stdin_lost(this: &Obj<Self>, py: Python<'_>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(stdin) = this.stdin.get() {
            stdin.bind(py).call_method0(intern!(py, "close"))?;
        }
        this.bind(py).call_method1(intern!(py, "connection_lost"), (exc,))?;
        let Some(closed) = this.stdin_closed.get() else { return Ok(()) };
        match exc {
            None => drop(closed.bind(py).call_method1(intern!(py, "set_result"), (py.None(),))?),
            Some(exc) => {
                future_likes::fail(py, &closed, exc)?;
                // Nobody has to call wait_closed().
                match closed.cast::<Future>() {
                    Some(ours) => ours.log_traceback.set(false),
                    None => closed.bind(py).setattr(intern!(py, "_log_traceback"), false)?,
                }
            }
        }
        Ok(())
    }

    fn process_exited(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.exited.set(true);
        this.close_if_over(py)
    }

    /// Closes the transport when the process has ended and nothing more can be read.
    fn close_if_over(&self, py: Python<'_>) -> PyResult<()> {
        if !self.exited.get() || !self.open.borrow().is_empty() {
            return Ok(());
        }
        match self.transport.take() {
            Some(transport) => transport.bind(py).call_method0(intern!(py, "close")).map(drop),
            None => Ok(()),
        }
    }

    fn get_close_waiter(this: &Obj<Self>, _py: Python<'_>, stream: &Bound<'_, PyAny>) -> Option<Obj> {
        let of_stdin = this.stdin.get().is_some_and(|stdin| stdin.is_bound(stream));
        if of_stdin { this.stdin_closed.get() } else { None }
    }
}

impl Class for SubprocessStreamProtocol {
    type Base = FlowControlMixin;
    ferrio_object::fields!(SubprocessStreamProtocol {
        limit,
        stdin,
        stdout,
        stderr,
        transport,
        exited,
        open: unowned,
        stdin_closed,
        replaced
    });
    const NAME: &'static str = "asyncio.subprocess.SubprocessStreamProtocol";
    const DOC: &'static str = "SubprocessStreamProtocol(limit, loop)\n--\n\n\
        The protocol that makes streams of a child's pipes.";

    fn blank() -> Self {
        SubprocessStreamProtocol {
            limit: ObjCell::empty(),
            stdin: ObjCell::empty(),
            stdout: ObjCell::empty(),
            stderr: ObjCell::empty(),
            transport: ObjCell::empty(),
            exited: Cell::new(false),
            open: RefCell::new(Vec::new()),
            stdin_closed: ObjCell::empty(),
            replaced: Replaced::unknown(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .replaceable()
            .repr(Self::repr)
            .method1_named(
                "connection_made",
                Self::connection_made,
                || Signature::new("connection_made", ["transport"]),
                "connection_made($self, /, transport)\n--\n\nThe pipes are there: the streams are made.",
            )
            .method("pipe_data_received", Self::pipe_data_received, "")
            .method("pipe_connection_lost", Self::pipe_connection_lost, "")
            .method0("process_exited", Self::process_exited, "")
            .method1("_get_close_waiter", Self::get_close_waiter, "")
            .method0("_maybe_close_transport", |this: &Obj<Self>, py: Python<'_>| this.close_if_over(py), "")
            .getter(
                "_pipe_fds",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    Ok(PyList::new(py, &*this.open.borrow())?.into())
                },
                "",
            );
        cell!(class, SubprocessStreamProtocol, "_limit", limit);
        cell!(class, SubprocessStreamProtocol, "stdin", stdin);
        cell!(class, SubprocessStreamProtocol, "stdout", stdout);
        cell!(class, SubprocessStreamProtocol, "stderr", stderr);
        cell!(class, SubprocessStreamProtocol, "_transport", transport);
        cell!(class, SubprocessStreamProtocol, "_stdin_closed", stdin_closed);
        flag!(class, SubprocessStreamProtocol, "_process_exited", exited);
    }
}
