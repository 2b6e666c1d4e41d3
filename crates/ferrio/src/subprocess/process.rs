//! `asyncio.subprocess.Process`.

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, ObjCell, Signature, WeakList};
use pyo3::exceptions::{PyAssertionError, PyBrokenPipeError, PyConnectionResetError};
use pyo3::intern;
use pyo3::prelude::*;

use super::attributes::cell;
use crate::coro;
use crate::exceptions;
use crate::gather;
use crate::log::{self, Level};

/// Whose `logger` is used.
const MODULE: &str = "ferrio.subprocess";

/// The contents of a `Process`.
pub struct Process {
    transport: ObjCell,
    protocol: ObjCell,
    event_loop: ObjCell,
    stdin: ObjCell,
    stdout: ObjCell,
    stderr: ObjCell,
    pid: ObjCell,
    dict: DictSlot,
    weaklist: WeakList,
}

impl Process {
    /// The process of a transport.
    ///
    /// # Errors
    /// What the protocol and the transport raise.
    pub(super) fn create(
        py: Python<'_>,
        transport: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<Obj<Self>> {
        let this: Obj<Self> = Obj::create(py, ((), Self::blank()))?;
        this.begin(py, transport, protocol, event_loop)?;
        Ok(this)
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let bound = args.bind(&Signature::new("Process", ["transport", "protocol", "loop"]))?;
        let [Some(transport), Some(protocol), Some(event_loop)] = bound else { return Ok(()) };
        this.begin(py, transport, protocol, event_loop)
    }

    fn begin(
        &self,
        py: Python<'_>,
        transport: &Bound<'_, PyAny>,
        protocol: &Bound<'_, PyAny>,
        event_loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.transport.set(Some(transport.into()));
        self.protocol.set(Some(protocol.into()));
        self.event_loop.set(Some(event_loop.into()));
        for (name, stream) in [("stdin", &self.stdin), ("stdout", &self.stdout), ("stderr", &self.stderr)] {
            stream.set(Obj::unless_none(Some(&protocol.getattr(name)?)));
        }
        self.pid.set(Some(transport.call_method0(intern!(py, "get_pid"))?.into()));
        Ok(())
    }

    fn the_transport<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.transport.get().unwrap_or_else(|| Obj::none(py)).into_bound(py)
    }

    fn is_debug(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(event_loop) = self.event_loop.get() else { return Ok(false) };
        event_loop.bind(py).call_method0(intern!(py, "get_debug"))?.is_truthy()
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let pid = this.pid.get().unwrap_or_else(|| Obj::none(py));
        Ok(format!("<{} {}>", this.bind(py).get_type().name()?, pid.bind(py).str()?))
    }

    fn wait(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "Process.wait", move |co| {
            let this = co.hold(this);
            async move {
                let waiting = {
                    let py = co.py();
                    this.get().the_transport(py).call_method0(intern!(py, "_wait")).map(Obj::from)
                };
                let wait = co.wait(waiting?);
                wait.await
            }
        })
    }

    fn call_transport(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        self.the_transport(py).call_method0(method).map(drop)
    }

    /// `_feed_stdin(input)`.
    fn feed_stdin(this: &Obj<Self>, py: Python<'_>, input: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let input = Obj::from(input);
        coro::coroutine(py, "Process._feed_stdin", move |co| {
            let (this, input) = (co.hold(this), co.hold(input));
            async move {
                let (debug, begun) = {
                    let (py, this) = (co.py(), this.get());
                    let debug = this.is_debug(py)?;
                    (
                        debug,
                        this.write_input(py, &this, &input.get(), debug).map(|draining| co.wait(draining)),
                    )
                };
                let drained = match begun {
                    Ok(wait) => wait.await.map(drop),
                    Err(err) => Err(err),
                };
                let (py, this) = (co.py(), this.get());
                if let Err(err) = drained {
                    if !err.is_instance_of::<PyBrokenPipeError>(py)
                        && !err.is_instance_of::<PyConnectionResetError>(py)
                    {
                        return Err(err);
                    }
                    let exc = exceptions::value_of(py, err);
                    if debug {
                        let line = ("%r communicate: stdin got %r", &this, exc);
                        log::write(py, MODULE, Level::Debug, line)?;
                    }
                }
                if debug {
                    log::write(py, MODULE, Level::Debug, ("%r communicate: close stdin", &this))?;
                }
                this.the_stdin(py).call_method0(intern!(py, "close"))?;
                Ok(Obj::none(py))
            }
        })
    }

    fn the_stdin<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.stdin.get().unwrap_or_else(|| Obj::none(py)).into_bound(py)
    }

    /// Writes what there is to write; returns what to wait for.
    fn write_input(&self, py: Python<'_>, this: &Obj<Self>, input: &Obj, debug: bool) -> PyResult<Obj> {
        let stdin = self.the_stdin(py);
        if !input.is_none() || cfg!(not(Py_3_12)) {
            stdin.call_method1(intern!(py, "write"), (input,))?;
            if debug {
                let line = ("%r communicate: feed stdin (%s bytes)", this, input.bind(py).len()?);
                log::write(py, MODULE, Level::Debug, line)?;
            }
        }
        Ok(stdin.call_method0(intern!(py, "drain"))?.into())
    }

    /// `_read_stream(fd)`.
    fn read_stream(this: &Obj<Self>, py: Python<'_>, fd: &Bound<'_, PyAny>) -> PyResult<Obj> {
        let fd: i64 = fd.extract()?;
        coro::coroutine(py, "Process._read_stream", move |co| {
            let this = co.hold(this);
            async move {
                let name = if fd == 1 { "stdout" } else { "stderr" };
                let (pipe, wait) = {
                    let (py, this) = (co.py(), this.get());
                    let pipe =
                        this.the_transport(py).call_method1(intern!(py, "get_pipe_transport"), (fd,))?;
                    let stream = match fd {
                        1 => this.stdout.get(),
                        2 => this.stderr.get(),
                        _ => return Err(PyAssertionError::new_err(())),
                    };
                    if this.is_debug(py)? {
                        let line = ("%r communicate: read %s", &this, name);
                        log::write(py, MODULE, Level::Debug, line)?;
                    }
                    let stream = stream.unwrap_or_else(|| Obj::none(py));
                    let reading = stream.bind(py).call_method0(intern!(py, "read"))?;
                    (co.hold(Obj::from(pipe)), co.wait(Obj::from(reading)))
                };
                let output = wait.await?;
                let (py, this) = (co.py(), this.get());
                if this.is_debug(py)? {
                    log::write(py, MODULE, Level::Debug, ("%r communicate: close %s", &this, name))?;
                }
                pipe.get().bind(py).call_method0(intern!(py, "close"))?;
                Ok(output)
            }
        })
    }

    fn noop(_this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        coro::coroutine(py, "Process._noop", |co| async move { Ok(Obj::none(co.py())) })
    }

    fn communicate(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        let [input] = args.bind(&Signature::new("communicate", ["input"]).required(0))?;
        let input = Obj::or_none(py, input);
        coro::coroutine(py, "Process.communicate", move |co| {
            let (this, input) = (co.hold(this), co.hold(input));
            async move {
                let all = {
                    let (py, this) = (co.py(), this.get());
                    let bound = this.bind(py);
                    let noop = || bound.call_method0(intern!(py, "_noop")).map(Obj::from);
                    let read =
                        |fd: i32| bound.call_method1(intern!(py, "_read_stream"), (fd,)).map(Obj::from);
                    // Before 3.12 stdin stays open if there is nothing to write.
                    let input = input.get();
                    let feeds = if cfg!(Py_3_12) { this.stdin.is_some() } else { !input.is_none() };
                    let stdin = if feeds {
                        bound.call_method1(intern!(py, "_feed_stdin"), (input,))?.into()
                    } else {
                        noop()?
                    };
                    let stdout = if this.stdout.is_some() { read(1)? } else { noop()? };
                    let stderr = if this.stderr.is_some() { read(2)? } else { noop()? };
                    gather::gather_objects(py, &[stdin, stdout, stderr], false)?
                };
                let wait = co.wait(all);
                let outputs = wait.await?;
                let outputs = co.hold(outputs);
                let waiting = this.get().bind(co.py()).call_method0(intern!(co.py(), "wait")).map(Obj::from);
                let wait = co.wait(waiting?);
                wait.await?;
                let (py, outputs) = (co.py(), outputs.get());
                let outputs = outputs.bind(py);
                Ok((outputs.get_item(1)?, outputs.get_item(2)?).into_pyobject(py)?.into_any().into())
            }
        })
    }
}

impl Class for Process {
    type Base = Any;
    ferrio_object::fields!(Process {
        transport,
        protocol,
        event_loop,
        stdin,
        stdout,
        stderr,
        pid,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.subprocess.Process";
    const DOC: &'static str = "Process(transport, protocol, loop)\n--\n\n\
        A child process, as create_subprocess_exec() and create_subprocess_shell() return it.\n\n\
        stdin is a StreamWriter, stdout and stderr are StreamReaders; each is None unless it was a PIPE.";

    fn blank() -> Self {
        Process {
            transport: ObjCell::empty(),
            protocol: ObjCell::empty(),
            event_loop: ObjCell::empty(),
            stdin: ObjCell::empty(),
            stdout: ObjCell::empty(),
            stderr: ObjCell::empty(),
            pid: ObjCell::empty(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .coroutine0(
                "wait",
                Self::wait,
                "wait($self, /)\n--\n\n\
                Coroutine: wait until the process has ended; returns its exit status. From Python 3.14 on a pipe that\n\
                others hold open is not waited for.",
            )
            .coroutine(
                "communicate",
                Self::communicate,
                "communicate($self, /, input=None)\n--\n\n\
                Coroutine: write `input` to stdin and close it, read stdout and stderr to their end, wait for the\n\
                process. Returns (stdout, stderr); None for what is no pipe.",
            )
            .method1_named(
                "send_signal",
                |this: &Obj<Self>, py: Python<'_>, signal: &Bound<'_, PyAny>| {
                    this.the_transport(py).call_method1(intern!(py, "send_signal"), (signal,)).map(drop)
                },
                || Signature::new("send_signal", ["signal"]),
                "send_signal($self, /, signal)\n--\n\nSend a signal to the process.",
            )
            .method0(
                "terminate",
                |this: &Obj<Self>, py: Python<'_>| this.call_transport(py, "terminate"),
                "terminate($self, /)\n--\n\nSend SIGTERM to the process.",
            )
            .method0(
                "kill",
                |this: &Obj<Self>, py: Python<'_>| this.call_transport(py, "kill"),
                "kill($self, /)\n--\n\nSend SIGKILL to the process.",
            )
            .coroutine1("_feed_stdin", Self::feed_stdin, "")
            .coroutine1("_read_stream", Self::read_stream, "")
            .coroutine0("_noop", Self::noop, "")
            .getter(
                "returncode",
                |this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    Ok(this.the_transport(py).call_method0(intern!(py, "get_returncode"))?.into())
                },
                "The exit status, negative for the signal that ended the process; None while it runs.",
            );
        cell!(class, Process, "_transport", transport);
        cell!(class, Process, "_protocol", protocol);
        cell!(class, Process, "_loop", event_loop);
        cell!(
            class,
            Process,
            "stdin",
            stdin,
            "The StreamWriter of the child's input; None unless stdin=PIPE was given."
        );
        cell!(
            class,
            Process,
            "stdout",
            stdout,
            "The StreamReader of the child's output; None unless stdout=PIPE was given."
        );
        cell!(
            class,
            Process,
            "stderr",
            stderr,
            "The StreamReader of the child's errors; None unless stderr=PIPE was given."
        );
        cell!(class, Process, "pid", pid, "The process's number.");
    }
}
