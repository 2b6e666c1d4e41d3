//! `asyncio.base_subprocess.BaseSubprocessTransport`: a child process, its pipes, and the protocol that hears of them.
//!
//! What asyncio keeps in a `subprocess.Popen` is a native [`Child`] here where the process was made natively. The
//! `Popen` that programs know as `get_extra_info("subprocess")` is made when somebody asks for it (`popen_object.rs`), and
//! is asked from then on, since its methods may have been replaced.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_core::driver::child::Child;
use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell, Replaced, Signature};
use pyo3::exceptions::{
    PyNotImplementedError, PyOSError, PyPermissionError, PyProcessLookupError, PyResourceWarning,
    PyRuntimeError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::attributes::cell;
use crate::event_loop::LoopRef;
use crate::exceptions::FromIo;
use crate::log::{self, Level};
use crate::warnings;

/// Whose `logger` is used, and whose modules.
pub(super) const MODULE: &str = "ferrio.base_subprocess";

/// A call of the protocol that waits until `connection_made()` is on its way.
pub(super) struct PendingCall {
    pub(super) callback: Obj,
    pub(super) args: Vec<Obj>,
}

ferrio_object::traverse!(struct PendingCall { callback, args });

/// The contents of a transport.
pub struct SubprocessTransport {
    pub(super) event_loop: RefCell<Option<LoopRef>>,
    pub(super) protocol: ObjCell,
    /// asyncio's `_proc`, where it is an object.
    pub(super) proc: ObjCell,
    /// The process, where it was made natively.
    pub(super) child: RefCell<Option<Child>>,
    /// The process of a `Popen`, which is watched.
    pub(super) adopted: RefCell<Option<Child>>,
    /// The parent's ends of the pipes, where it was made natively.
    pub(super) files: [ObjCell; 3],
    /// The arguments of the program, for a `Popen`.
    pub(super) args: ObjCell,
    pub(super) pipesize: Cell<i32>,
    pub(super) pid: ObjCell,
    pub(super) returncode: ObjCell,
    /// Futures of `_wait()`. `None` once they are resolved.
    pub(super) exit_waiters: RefCell<Option<Vec<Obj>>>,
    /// `None` once `connection_made()` is on its way.
    pub(super) pending: RefCell<Option<VecDeque<PendingCall>>>,
    /// A dict of the pipes' protocols; None for one that is not connected yet.
    pub(super) pipes: ObjCell,
    pub(super) finished: Cell<bool>,
    closed: Cell<bool>,
    pub(super) extra: ObjCell,
    /// The poll after which something was last given to `call_soon()`.
    pub(super) called_in: Cell<Option<u32>>,
    /// Which methods have been replaced (`feeding.rs`).
    pub(super) replaced: Replaced,
}

impl SubprocessTransport {
    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<10> = Signature::new(
            "BaseSubprocessTransport.__init__",
            ["loop", "protocol", "args", "shell", "stdin", "stdout", "stderr", "bufsize", "waiter", "extra"],
        )
        .required(8);
        args.at_most(&SIGNATURE)?;
        let (bound, _, rest) = args.bind_all(&SIGNATURE)?;
        let [event_loop, protocol, program, shell, stdin, stdout, stderr, bufsize, waiter, extra] = bound;
        let (Some(event_loop), Some(protocol)) = (event_loop, protocol) else { return Ok(()) };
        this.begin(py, LoopRef::new(event_loop), protocol, Obj::unless_none(extra))?;
        for (fd, pipe) in (0..).zip([stdin, stdout, stderr]) {
            if let Some(pipe) = pipe
                && pipe.eq(super::PIPE)?
            {
                this.expect_pipe(py, fd)?;
            }
        }
        let kwargs = rest.unwrap_or_else(|| PyDict::new(py));
        for (name, value) in [
            ("args", program),
            ("shell", shell),
            ("stdin", stdin),
            ("stdout", stdout),
            ("stderr", stderr),
            ("bufsize", bufsize),
        ] {
            kwargs.set_item(name, value)?;
        }
        let started = this.bind(py).call_method(intern!(py, "_start"), (), Some(&kwargs));
        if let Err(err) = started {
            this.bind(py).call_method0(intern!(py, "close"))?;
            return Err(err);
        }
        let Some(proc) = this.proc.get() else {
            return Err(PyRuntimeError::new_err("_start() has made no process"));
        };
        let pid = proc.bind(py).getattr(intern!(py, "pid"))?;
        this.pid.set(Some((&pid).into()));
        this.extra_dict(py)?.bind(py).set_item(intern!(py, "subprocess"), &proc)?;
        Self::started(this, py, program, Obj::unless_none(waiter))
    }

    /// Sets what every transport begins with.
    pub(super) fn begin(
        &self,
        py: Python<'_>,
        event_loop: LoopRef,
        protocol: &Bound<'_, PyAny>,
        extra: Option<Obj>,
    ) -> PyResult<()> {
        let old = self.event_loop.replace(Some(event_loop));
        drop(old);
        self.protocol.set(Some(protocol.into()));
        self.extra.set(Some(extra.unwrap_or_else(|| PyDict::new(py).into())));
        self.pipes.set(Some(PyDict::new(py).into()));
        let old = self.exit_waiters.replace(Some(Vec::new()));
        drop(old);
        let old = self.pending.replace(Some(VecDeque::new()));
        drop(old);
        self.closed.set(false);
        Ok(())
    }

    /// There is to be a pipe for `fd`.
    pub(super) fn expect_pipe(&self, py: Python<'_>, fd: i32) -> PyResult<()> {
        match self.pipes.get() {
            Some(pipes) => pipes.bind(py).set_item(fd, py.None()),
            None => Ok(()),
        }
    }

    /// The process is there: its pipes are connected by a task.
    pub(super) fn started(
        this: &Obj<Self>,
        py: Python<'_>,
        args: Option<&Bound<'_, PyAny>>,
        waiter: Option<Obj>,
    ) -> PyResult<()> {
        let event_loop = this.get_loop()?;
        if event_loop.get_debug(py)? {
            let program = match args {
                Some(args) if args.is_instance_of::<PyBytes>() || args.is_instance_of::<PyString>() => {
                    args.clone()
                }
                Some(args) => args.get_item(0)?,
                None => py.None().into_bound(py),
            };
            let line = ("process %r created: pid %s", program, this.pid.get());
            log::write(py, MODULE, Level::Debug, line)?;
        }
        let connecting = this.bind(py).call_method1(intern!(py, "_connect_pipes"), (waiter,))?;
        event_loop.as_any().bind(py).call_method1(intern!(py, "create_task"), (connecting,)).map(drop)
    }

    /// The loop.
    ///
    /// # Errors
    /// `RuntimeError` after `connection_lost()`.
    pub(super) fn get_loop(&self) -> PyResult<LoopRef> {
        let event_loop = self.event_loop.borrow().clone();
        event_loop.ok_or_else(|| PyRuntimeError::new_err("the transport has no loop any more"))
    }

    /// Whether there is a process, or was until a moment ago.
    fn has_process(&self) -> bool {
        self.proc.is_some() || self.child.borrow().is_some()
    }

    /// `close()`.
    ///
    /// # Errors
    /// What the pipes and a `Popen` raise.
    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closed.replace(true) {
            return Ok(());
        }
        this.close_pipes(py)?;
        if this.returncode.is_some() || !this.is_running(py)? {
            return Ok(());
        }
        if this.get_loop()?.get_debug(py)? {
            log::write(py, MODULE, Level::Warning, ("Close running child process: kill %r", this))?;
        }
        match this.kill_now(py) {
            // It has ended meanwhile, or belongs to another user by now.
            Err(err)
                if err.is_instance_of::<PyProcessLookupError>(py)
                    || err.is_instance_of::<PyPermissionError>(py) =>
            {
                Ok(())
            }
            killed => killed,
        }
    }

    /// Closes the pipes that are connected, unless the loop is closed: they would have nobody to report it to.
    fn close_pipes(&self, py: Python<'_>) -> PyResult<()> {
        let Some(pipes) = self.pipes.get() else { return Ok(()) };
        for pipe in pipes.bind(py).call_method0(intern!(py, "values"))?.try_iter()? {
            let pipe = pipe?;
            if pipe.is_none() {
                continue;
            }
            let Ok(event_loop) = self.get_loop() else { continue };
            let closed = event_loop.as_any().bind(py).call_method0(intern!(py, "is_closed"))?;
            if !closed.is_truthy()? {
                pipe.getattr(intern!(py, "pipe"))?.call_method0(intern!(py, "close"))?;
            }
        }
        Ok(())
    }

    /// Whether the process has not ended yet.
    fn is_running(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(proc) = self.proc.get() {
            return Ok(proc.bind(py).call_method0(intern!(py, "poll"))?.is_none());
        }
        Ok(self.child.borrow().as_ref().is_some_and(|child| !child.has_ended()))
    }

    /// Kills the process; asks the `Popen` if there is one.
    fn kill_now(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(proc) = self.proc.get() {
            return proc.bind(py).call_method0(intern!(py, "kill")).map(drop);
        }
        self.signal_child(super::SIGKILL)
    }

    /// Sends a signal to a process that was made natively. One that has ended takes it in silence.
    fn signal_child(&self, signal: i32) -> PyResult<()> {
        const ESRCH: i32 = 3;
        let sent = self.child.borrow().as_ref().map_or(Ok(()), |child| child.signal(signal));
        match sent {
            Err(err) if err.raw_os_error() != Some(ESRCH) => Err(PyOSError::new_err_from_io(err)),
            _ => Ok(()),
        }
    }

    fn check_proc(this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        if this.has_process() { Ok(()) } else { Err(PyProcessLookupError::new_err(())) }
    }

    fn send_signal(this: &Obj<Self>, py: Python<'_>, signal: &Bound<'_, PyAny>) -> PyResult<()> {
        this.bind(py).call_method0(intern!(py, "_check_proc"))?;
        let Some(proc) = this.proc.get() else { return this.signal_child(signal.extract()?) };
        if cfg!(not(Py_3_13)) {
            return proc.bind(py).call_method1(intern!(py, "send_signal"), (signal,)).map(drop);
        }
        if this.returncode.is_some() {
            return Ok(());
        }
        if this.child.borrow().is_some() {
            return this.signal_child(signal.extract()?);
        }
        let pid = proc.bind(py).getattr(intern!(py, "pid"))?;
        match py.import(intern!(py, "os"))?.call_method1(intern!(py, "kill"), (pid, signal)) {
            Err(err) if err.is_instance_of::<PyProcessLookupError>(py) => Ok(()),
            sent => sent.map(drop),
        }
    }

    /// `terminate()` and `kill()`: before 3.13 they are the `Popen`'s.
    fn signal_by_name(&self, this: &Obj<Self>, py: Python<'_>, name: &str, signal: i32) -> PyResult<()> {
        if cfg!(Py_3_13) {
            return this.bind(py).call_method1(intern!(py, "send_signal"), (signal,)).map(drop);
        }
        this.bind(py).call_method0(intern!(py, "_check_proc"))?;
        match self.proc.get() {
            Some(proc) => proc.bind(py).call_method0(name).map(drop),
            None => self.signal_child(signal),
        }
    }

    fn terminate(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.signal_by_name(this, py, "terminate", super::SIGTERM)
    }

    fn kill(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.signal_by_name(this, py, "kill", super::SIGKILL)
    }

    fn get_pipe_transport(this: &Obj<Self>, py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let Some(pipes) = this.pipes.get() else { return Ok(Obj::none(py)) };
        let pipes = pipes.bind(py);
        if !pipes.contains(fd)? {
            return Ok(Obj::none(py));
        }
        Ok(pipes.get_item(fd)?.getattr(intern!(py, "pipe"))?.into())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut info = vec![this.bind(py).get_type().name()?.to_string()];
        if this.closed.get() {
            info.push("closed".to_owned());
        }
        let pid = this.pid.get();
        if let Some(pid) = &pid {
            info.push(format!("pid={}", pid.bind(py).str()?));
        }
        if let Some(returncode) = this.returncode.get() {
            info.push(format!("returncode={}", returncode.bind(py).str()?));
        } else {
            info.push(if pid.is_some() { "running" } else { "not started" }.to_owned());
        }
        let pipe = |fd: i32| -> PyResult<Option<Bound<'_, PyAny>>> {
            let Some(pipes) = this.pipes.get() else { return Ok(None) };
            let pipe = pipes.bind(py).call_method1(intern!(py, "get"), (fd,))?;
            Ok((!pipe.is_none()).then_some(pipe))
        };
        let mut show = |name: &str, pipe: &Option<Bound<'_, PyAny>>| -> PyResult<()> {
            if let Some(pipe) = pipe {
                info.push(format!("{name}={}", pipe.getattr(intern!(py, "pipe"))?.str()?));
            }
            Ok(())
        };
        show("stdin", &pipe(0)?)?;
        let (stdout, stderr) = (pipe(1)?, pipe(2)?);
        match (&stdout, &stderr) {
            (Some(output), Some(errors)) if output.is(errors) => show("stdout=stderr", &stdout)?,
            _ => {
                show("stdout", &stdout)?;
                show("stderr", &stderr)?;
            }
        }
        Ok(format!("<{}>", info.join(" ")))
    }

    /// `__del__`.
    fn del(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closed.get() || this.pipes.is_none() {
            return Ok(());
        }
        let message = format!("unclosed transport {}", this.bind(py).repr()?);
        let warned = warnings::warn_of::<PyResourceWarning>(py, &message, this.as_any());
        warned.and(Self::close(this, py))
    }

    /// asyncio's `_start()` of the base class.
    fn start(_this: &Obj<Self>, _py: Python<'_>, _args: Args<'_, '_>) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// The `_extra` of asyncio, without what is only made when it is asked for.
    pub(super) fn extra_dict(&self, py: Python<'_>) -> PyResult<Obj> {
        Ok(self.extra.get().unwrap_or_else(|| PyDict::new(py).into()))
    }
}

impl Class for SubprocessTransport {
    type Base = Any;
    ferrio_object::fields!(SubprocessTransport {
        event_loop,
        protocol,
        proc,
        child: unowned,
        adopted: unowned,
        files,
        args,
        pipesize,
        pid,
        returncode,
        exit_waiters,
        pending,
        pipes,
        finished,
        closed,
        extra,
        called_in,
        replaced
    });
    const NAME: &'static str = "ferrio._ferrio._BaseSubprocessTransport";
    const DOC: &'static str = "The native part of a transport of a child process.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        SubprocessTransport {
            event_loop: RefCell::new(None),
            protocol: ObjCell::empty(),
            proc: ObjCell::empty(),
            child: RefCell::new(None),
            adopted: RefCell::new(None),
            files: [ObjCell::empty(), ObjCell::empty(), ObjCell::empty()],
            args: ObjCell::empty(),
            pipesize: Cell::new(-1),
            pid: ObjCell::empty(),
            returncode: ObjCell::empty(),
            exit_waiters: RefCell::new(None),
            pending: RefCell::new(None),
            pipes: ObjCell::empty(),
            finished: Cell::new(false),
            closed: Cell::new(false),
            extra: ObjCell::empty(),
            called_in: Cell::new(None),
            replaced: Replaced::unknown(),
        }
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Err(err) = Self::del(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
        if let Err(err) = Self::leave_to_popen(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .replaceable()
            .repr(Self::repr)
            .method("_start", Self::start, "")
            .method1_named(
                "set_protocol",
                |this: &Obj<Self>, _py: Python<'_>, protocol: &Bound<'_, PyAny>| {
                    this.protocol.set(Some(protocol.into()));
                },
                || Signature::new("set_protocol", ["protocol"]),
                "set_protocol($self, /, protocol)\n--\n\nMake another protocol the receiver of the calls.",
            )
            .method0(
                "get_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.protocol.get(),
                "get_protocol($self, /)\n--\n\nThe protocol.",
            )
            .method0(
                "is_closing",
                |this: &Obj<Self>, _py: Python<'_>| this.closed.get(),
                "is_closing($self, /)\n--\n\nWhether close() was called.",
            )
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\nClose the pipes, and kill the process if it still runs.",
            )
            .method0(
                "get_pid",
                |this: &Obj<Self>, _py: Python<'_>| this.pid.get(),
                "get_pid($self, /)\n--\n\nThe number of the process.",
            )
            .method0(
                "get_returncode",
                |this: &Obj<Self>, _py: Python<'_>| this.returncode.get(),
                "get_returncode($self, /)\n--\n\n\
                The exit status, negative for the signal that ended the process; None while it runs.",
            )
            .method1_named(
                "get_pipe_transport",
                Self::get_pipe_transport,
                || Signature::new("get_pipe_transport", ["fd"]),
                "get_pipe_transport($self, /, fd)\n--\n\n\
                The transport of the pipe to stdin (0) or from stdout (1) or stderr (2); None if there is none.",
            )
            .method1_named(
                "send_signal",
                Self::send_signal,
                || Signature::new("send_signal", ["signal"]),
                "send_signal($self, /, signal)\n--\n\n\
                Send a signal. Raises ProcessLookupError once the process and its pipes are gone.",
            )
            .method0(
                "terminate",
                Self::terminate,
                "terminate($self, /)\n--\n\nSend SIGTERM.",
            )
            .method0("kill", Self::kill, "kill($self, /)\n--\n\nSend SIGKILL.")
            .method0("__del__", Self::del, "")
            .method0("_check_proc", Self::check_proc, "")
            .getset(
                "_closed",
                |this: &Obj<Self>, _py: Python<'_>| this.closed.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.closed.set(value.map_or(Ok(false), PyAnyMethods::is_truthy)?);
                    Ok(())
                },
                "",
            )
            .getset(
                "_loop",
                |this: &Obj<Self>, _py: Python<'_>| {
                    this.event_loop.borrow().as_ref().map(|event_loop| event_loop.as_any().clone())
                },
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    let value = value.filter(|value| !value.is_none()).map(LoopRef::new);
                    let old = this.event_loop.replace(value);
                    drop(old);
                    Ok(())
                },
                "",
            );
        cell!(class, SubprocessTransport, "_protocol", protocol);
        cell!(class, SubprocessTransport, "_pid", pid);
        cell!(class, SubprocessTransport, "_returncode", returncode);
        cell!(class, SubprocessTransport, "_pipes", pipes);
        Self::define_popen(class);
        Self::define_pipes(class);
        Self::define_ending(class);
    }
}
