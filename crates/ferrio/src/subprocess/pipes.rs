//! How the pipes of a child are connected, and what their protocols report.

use std::cell::Cell;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, ClassDef, DictSlot, Obj, ObjCell, Replaced, Signature, WeakList,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::attributes::{cell, flag};
use super::feeding;
use super::transport::{PendingCall, SubprocessTransport};
use crate::coro::{self, Co, Local};
use crate::transports::ReadPipe;
use crate::{exceptions, future_likes};

impl SubprocessTransport {
    /// `_connect_pipes(waiter)`.
    fn connect_pipes(this: &Obj<Self>, py: Python<'_>, waiter: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let waiter = Obj::from(waiter);
        coro::coroutine(py, "BaseSubprocessTransport._connect_pipes", move |co| {
            let (this, waiter) = (co.hold(this), co.hold(waiter));
            async move {
                let connected = Self::connect_all(&co, &this).await;
                let (py, this, waiter) = (co.py(), this.get(), waiter.get());
                let connected = connected.and_then(|()| this.announce(&this, py));
                match connected {
                    Err(err) if exceptions::is_exit(py, &err) => return Err(err),
                    Err(err) => {
                        let exc = exceptions::value_of(py, err);
                        this.close_ends(py)?;
                        if !waiter.is_none() && !future_likes::is_cancelled(py, &waiter)? {
                            future_likes::fail(py, &waiter, exc.bind(py))?;
                        }
                    }
                    Ok(()) => {
                        if !waiter.is_none() && !future_likes::is_cancelled(py, &waiter)? {
                            future_likes::resolve(py, &waiter, Obj::none(py))?;
                        }
                    }
                }
                Ok(Obj::none(py))
            }
        })
    }

    async fn connect_all(co: &Co, this: &Local<Self>) -> PyResult<()> {
        for fd in 0..3_u8 {
            let wait = {
                let (py, this) = (co.py(), this.get());
                let Some(file) = this.end(py, fd)? else { continue };
                let (class, connect) = if fd == 0 {
                    (ClassDef::type_object::<WritePipeProtocol>(py), intern!(py, "connect_write_pipe"))
                } else {
                    (ClassDef::type_object::<ReadPipeProtocol>(py), intern!(py, "connect_read_pipe"))
                };
                let make = py.import(intern!(py, "functools"))?.getattr(intern!(py, "partial"))?;
                let factory = make.call1((class, &this, fd))?;
                let event_loop = this.get_loop()?;
                let connecting = event_loop.as_any().bind(py).call_method1(connect, (factory, file))?;
                co.wait(Obj::from(connecting))
            };
            let connected = wait.await?;
            let py = co.py();
            let (pipe, protocol) = (connected.bind(py).get_item(0)?, connected.bind(py).get_item(1)?);
            if let Some(pipe) = Obj::<ReadPipe>::from_bound(&pipe) {
                pipe.feed_by(feeding::feed);
            }
            if let Some(pipes) = this.get().pipes.get() {
                pipes.bind(py).set_item(fd, protocol)?;
            }
        }
        Ok(())
    }

    /// Our end of a pipe, if there is one: a file object.
    fn end(&self, py: Python<'_>, fd: u8) -> PyResult<Option<Obj>> {
        if self.child.borrow().is_some() {
            return Ok(self.files[usize::from(fd)].get());
        }
        let Some(proc) = self.proc.get() else { return Ok(None) };
        let name = ["stdin", "stdout", "stderr"][usize::from(fd)];
        Ok(Obj::unless_none(Some(&proc.bind(py).getattr(name)?)))
    }

    /// Closes what is connected, and what is not yet.
    fn close_ends(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(pipes) = self.pipes.get() {
            for pipe in pipes.bind(py).call_method0(intern!(py, "values"))?.try_iter()? {
                let pipe = pipe?;
                if !pipe.is_none() {
                    pipe.getattr(intern!(py, "pipe"))?.call_method0(intern!(py, "close"))?;
                }
            }
        }
        for fd in 0..3 {
            if let Some(file) = self.end(py, fd)? {
                file.bind(py).call_method0(intern!(py, "close"))?;
            }
        }
        Ok(())
    }

    /// Has `connection_made()` called, and then whatever was to be called meanwhile.
    fn announce(&self, this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        self.note_call();
        let event_loop = self.get_loop()?;
        let made = self.protocol_method(py, "connection_made")?;
        event_loop.call_soon(py, &made, &[this.as_any().clone()], None)?;
        loop {
            let next = self.pending.borrow_mut().as_mut().and_then(std::collections::VecDeque::pop_front);
            let Some(PendingCall { callback, args }) = next else { break };
            event_loop.call_soon(py, &callback, &args, None)?;
        }
        let none = self.pending.take();
        drop(none);
        Ok(())
    }

    /// A bound method of the protocol.
    pub(super) fn protocol_method(&self, py: Python<'_>, name: &str) -> PyResult<Obj> {
        let protocol = self.protocol.get().unwrap_or_else(|| Obj::none(py));
        Ok(protocol.bind(py).getattr(name)?.into())
    }

    /// `self._call(callback, *args)`.
    pub(super) fn call_later(
        this: &Obj<Self>,
        py: Python<'_>,
        callback: Obj,
        args: Vec<Obj>,
    ) -> PyResult<()> {
        if this.replaces(feeding::CALL) {
            let args = PyTuple::new(py, std::iter::once(&callback).chain(&args).collect::<Vec<_>>())?;
            return this.bind(py).call_method1(intern!(py, "_call"), args).map(drop);
        }
        this.call_in_turn(py, callback, args)
    }

    /// Has the loop call something in its next turn, but not before `connection_made()`.
    fn call_in_turn(&self, py: Python<'_>, callback: Obj, args: Vec<Obj>) -> PyResult<()> {
        self.note_call();
        if let Some(pending) = &mut *self.pending.borrow_mut() {
            pending.push_back(PendingCall { callback, args });
            return Ok(());
        }
        self.get_loop()?.call_soon(py, &callback, &args, None)
    }

    fn call(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let ([callback], rest) = args.bind_rest(&Signature::new("_call", ["cb"]))?;
        this.call_in_turn(py, Obj::or_none(py, callback), rest.into_iter().map(Obj::from).collect())
    }

    fn pipe_connection_lost(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [fd, exc] = args.bind(&Signature::new("_pipe_connection_lost", ["fd", "exc"]))?;
        let lost = this.protocol_method(py, "pipe_connection_lost")?;
        Self::call_later(this, py, lost, vec![Obj::or_none(py, fd), Obj::or_none(py, exc)])?;
        this.bind(py).call_method0(intern!(py, "_try_finish")).map(drop)
    }

    fn pipe_data_received(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [fd, data] = args.bind(&Signature::new("_pipe_data_received", ["fd", "data"]))?;
        let received = this.protocol_method(py, "pipe_data_received")?;
        Self::call_later(this, py, received, vec![Obj::or_none(py, fd), Obj::or_none(py, data)])
    }

    pub(super) fn define_pipes(class: &mut ClassBuilder<Self>) {
        class
            .coroutine1("_connect_pipes", Self::connect_pipes, "")
            .method("_call", Self::call, "")
            .method("_pipe_connection_lost", Self::pipe_connection_lost, "")
            .method("_pipe_data_received", Self::pipe_data_received, "")
            .getter(
                "_pending_calls",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    let Some(calls) = &*this.pending.borrow() else { return Ok(Obj::none(py)) };
                    let calls = calls.iter().map(|call| {
                        let args = PyTuple::new(py, &call.args)?;
                        (call.callback.clone(), args).into_pyobject(py)
                    });
                    let calls = calls.collect::<PyResult<Vec<_>>>()?;
                    Ok(pyo3::types::PyList::new(py, calls)?.into())
                },
                "",
            );
    }
}

/// The contents of the protocol of a pipe that is written to, and of what every such protocol has.
pub struct WritePipeProtocol {
    /// The transport of the child.
    proc: ObjCell,
    fd: ObjCell,
    pipe: ObjCell,
    disconnected: Cell<bool>,
    dict: DictSlot,
    weaklist: WeakList,
}

impl WritePipeProtocol {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [proc, fd] = args.bind(&Signature::new("WriteSubprocessPipeProto", ["proc", "fd"]))?;
        this.proc.set(Obj::unless_none(proc));
        this.fd.set(Obj::unless_none(fd));
        this.pipe.set(None);
        this.disconnected.set(false);
        Ok(())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let name = this.bind(py).get_type().name()?;
        let fd = this.fd.get().unwrap_or_else(|| Obj::none(py));
        let pipe = this.pipe.get().unwrap_or_else(|| Obj::none(py));
        Ok(format!("<{name} fd={} pipe={}>", fd.bind(py).str()?, pipe.bind(py).repr()?))
    }

    /// The transport of the child.
    pub(super) fn transport(&self) -> Option<Obj> {
        self.proc.get()
    }

    /// The number that the pipe has in the child.
    pub(super) fn number(&self, py: Python<'_>) -> Option<i64> {
        self.fd.get()?.bind(py).extract().ok()
    }

    fn the_proc(&self, py: Python<'_>) -> Obj {
        self.proc.get().unwrap_or_else(|| Obj::none(py))
    }

    fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        this.disconnected.set(true);
        let fd = this.fd.get();
        this.the_proc(py).bind(py).call_method1(intern!(py, "_pipe_connection_lost"), (fd, exc))?;
        this.proc.set(None);
        Ok(())
    }

    fn tell(this: &Obj<Self>, py: Python<'_>, method: &str) -> PyResult<()> {
        let proc = this.the_proc(py);
        proc.bind(py).getattr(intern!(py, "_protocol"))?.call_method0(method).map(drop)
    }
}

impl Class for WritePipeProtocol {
    type Base = Any;
    ferrio_object::fields!(WritePipeProtocol {
        proc,
        fd,
        pipe,
        disconnected,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.base_subprocess.WriteSubprocessPipeProto";
    const DOC: &'static str = "The protocol of the pipe to a child's stdin.";

    fn blank() -> Self {
        WritePipeProtocol {
            proc: ObjCell::empty(),
            fd: ObjCell::empty(),
            pipe: ObjCell::empty(),
            disconnected: Cell::new(false),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .method1_named(
                "connection_made",
                |this: &Obj<Self>, _py: Python<'_>, transport: &Bound<'_, PyAny>| {
                    this.pipe.set(Some(transport.into()));
                },
                || Signature::new("connection_made", ["transport"]),
                "",
            )
            .method1_named(
                "connection_lost",
                Self::connection_lost,
                || Signature::new("connection_lost", ["exc"]),
                "",
            )
            .method0(
                "pause_writing",
                |this: &Obj<Self>, py: Python<'_>| Self::tell(this, py, "pause_writing"),
                "",
            )
            .method0(
                "resume_writing",
                |this: &Obj<Self>, py: Python<'_>| Self::tell(this, py, "resume_writing"),
                "",
            );
        cell!(class, WritePipeProtocol, "proc", proc);
        cell!(class, WritePipeProtocol, "fd", fd);
        cell!(class, WritePipeProtocol, "pipe", pipe);
        flag!(class, WritePipeProtocol, "disconnected", disconnected);
    }
}

/// The protocol of a pipe that is read from.
pub struct ReadPipeProtocol {
    /// Which methods have been replaced (`feeding.rs`).
    pub(super) replaced: Replaced,
}

impl ReadPipeProtocol {
    fn data_received(this: &Obj<Self>, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let (proc, fd) = (this.base().the_proc(py), this.base().fd.get());
        proc.bind(py).call_method1(intern!(py, "_pipe_data_received"), (fd, data)).map(drop)
    }
}

impl Class for ReadPipeProtocol {
    type Base = WritePipeProtocol;
    ferrio_object::fields!(ReadPipeProtocol { replaced });
    const NAME: &'static str = "asyncio.base_subprocess.ReadSubprocessPipeProto";
    const DOC: &'static str = "The protocol of a pipe from a child's stdout or stderr.";

    fn blank() -> Self {
        ReadPipeProtocol { replaced: Replaced::unknown() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.replaceable().method1_named(
            "data_received",
            Self::data_received,
            || Signature::new("data_received", ["data"]),
            "",
        );
    }
}
