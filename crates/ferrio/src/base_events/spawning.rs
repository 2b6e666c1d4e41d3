//! `_make_subprocess_transport`: a process is made, its transport with it, and the loop turns meanwhile.

use std::io::ErrorKind;
use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_core::driver::child::Watch;
use ferrio_core::driver::spawn::{self, Failure};
use ferrio_object::{Args, Obj, Signature};
use pyo3::exceptions::{PyDeprecationWarning, PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::children;
use crate::coro::{self, Co, Kept, Local};
use crate::event_loop::{Loop, LoopRef, watches};
use crate::exceptions::{self, FromIo};
use crate::future::Future;
use crate::shield;
use crate::subprocess::{self, Prepared, Request, Spawned, SubprocessTransport};

/// Where the watchers are that asyncio has, and which do not watch here.
const NAMES_OF_WATCHERS: &str = "ferrio._child_watchers";

/// The number of the signal that cannot be refused.
const SIGKILL: i32 = 9;

/// What a transport is made of, beside the process.
struct Wanted {
    protocol: Obj,
    request: Request,
    extra: Option<Obj>,
}

ferrio_object::traverse!(struct Wanted { protocol, request, extra });

/// `_make_subprocess_transport(protocol, args, shell, stdin, stdout, stderr, bufsize, extra=None, **kwargs)`.
pub(super) fn make_transport(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const NAME: &str = "_make_subprocess_transport";
    const SIGNATURE: Signature<8> =
        Signature::new(NAME, ["protocol", "args", "shell", "stdin", "stdout", "stderr", "bufsize", "extra"])
            .required(7);
    args.at_most(&SIGNATURE)?;
    let ([protocol, program, shell, stdin, stdout, stderr, bufsize, extra], _, kwargs) =
        args.bind_all(&SIGNATURE)?;
    let shell = shell.map_or(Ok(false), PyAnyMethods::is_truthy)?;
    let or_none = |arg| Obj::or_none(py, arg);
    let request = Request {
        args: or_none(program),
        shell,
        standard: [or_none(stdin), or_none(stdout), or_none(stderr)],
        bufsize: or_none(bufsize),
        kwargs: kwargs.map_or_else(|| Obj::none(py), Obj::from),
    };
    let wanted = Wanted { protocol: or_none(protocol), request, extra: Obj::unless_none(extra) };
    coro::coroutine(py, NAME, move |co| {
        let (this, wanted) = (co.hold(this), co.keep(wanted));
        async move {
            let watcher = program_watcher(co.py())?;
            match watcher.map(|watcher| co.hold(watcher)) {
                None => make(&co, &this, &wanted, None).await,
                Some(watcher) => make_under(&co, &this, &wanted, &watcher).await,
            }
        }
    })
}

/// As asyncio's `with watcher:`.
async fn make_under(co: &Co, this: &Local<Loop>, wanted: &Kept<Wanted>, watcher: &Local) -> PyResult<Obj> {
    let active = {
        let py = co.py();
        let watcher = watcher.get().into_bound(py);
        let entered = watcher.call_method0(intern!(py, "__enter__"))?;
        // 3.11 asks what entering it has returned.
        let asked = if cfg!(Py_3_12) { watcher } else { entered };
        asked.call_method0(intern!(py, "is_active")).and_then(|active| active.is_truthy())
    };
    let made = match active {
        Ok(true) => make(co, this, wanted, Some(watcher)).await,
        Ok(false) => Err(PyRuntimeError::new_err(
            "asyncio.get_child_watcher() is not activated, subprocess support is not installed.",
        )),
        Err(err) => Err(err),
    };
    let py = co.py();
    let (kind, value, traceback) = match &made {
        Ok(_) => (py.None().into_bound(py), py.None().into_bound(py), py.None().into_bound(py)),
        Err(err) => {
            let traceback = err.traceback(py).map_or_else(|| py.None().into_bound(py), Bound::into_any);
            (err.get_type(py).into_any(), err.value(py).clone().into_any(), traceback)
        }
    };
    let exit = intern!(py, "__exit__");
    let swallowed = watcher.get().bind(py).call_method1(exit, (kind, value, traceback))?.is_truthy()?;
    if swallowed && made.is_err() { Ok(Obj::none(py)) } else { made }
}

async fn make(co: &Co, this: &Local<Loop>, wanted: &Kept<Wanted>, watcher: Option<&Local>) -> PyResult<Obj> {
    let (waiter, prepared) = {
        let (py, wanted) = (co.py(), wanted.get());
        let waiter = LoopRef::Native(this.get()).create_future(py)?;
        let class = subprocess::transport_class(py)?;
        let prepared =
            if subprocess::is_plain(py, &class)? { subprocess::prepare(py, &wanted.request)? } else { None };
        (co.hold(waiter), prepared)
    };
    let mut given_up = None;
    let transport: Local = if let Some(prepared) = prepared {
        let (spawned, error) = spawn_natively(co, this, wanted, prepared).await?;
        given_up = error;
        let (py, wanted) = (co.py(), wanted.get());
        let parts = (waiter.get(), wanted.extra.clone());
        let transport =
            SubprocessTransport::of(py, &this.get(), &wanted.protocol, &wanted.request, spawned, parts)?;
        co.hold(transport.into_any())
    } else {
        let (py, wanted) = (co.py(), wanted.get());
        co.hold(by_popen(py, &this.get(), &wanted, &waiter.get())?)
    };
    watch(co.py(), &this.get(), &transport.get(), watcher.map(Local::get).as_ref())?;
    let outcome = match given_up {
        Some(error) => Err(PyErr::from_value(error.get().into_bound(co.py()))),
        None => {
            let wait = co.wait(waiter.get());
            wait.await.map(drop)
        }
    };
    let (error, wait) = {
        let py = co.py();
        match outcome {
            Ok(()) => return Ok(transport.get()),
            Err(err) if exceptions::is_exit(py, &err) => return Err(err),
            Err(err) => {
                let error = co.hold(exceptions::value_of(py, err));
                (error, co.wait(end(py, &transport.get())?))
            }
        }
    };
    wait.await?;
    Err(ferrio_object::raise(co.py(), &error.get()))
}

/// Closes a transport that nobody gets, which kills its process; returns what to wait for until it has ended.
fn end(py: Python<'_>, transport: &Obj) -> PyResult<Obj> {
    let transport = transport.bind(py);
    transport.call_method0(intern!(py, "close"))?;
    let waiting = transport.call_method0(intern!(py, "_wait"))?;
    if cfg!(Py_3_14) { shield::shield(py, &waiting) } else { Ok(waiting.into()) }
}

/// The transport whose process `Popen` makes, on the loop's thread.
fn by_popen(py: Python<'_>, this: &Obj<Loop>, wanted: &Wanted, waiter: &Obj) -> PyResult<Obj> {
    let request = &wanted.request;
    let kwargs = match request.kwargs.bind(py).cast::<PyDict>() {
        Ok(kwargs) => kwargs.copy()?,
        Err(_) => PyDict::new(py),
    };
    kwargs.set_item(intern!(py, "waiter"), waiter)?;
    kwargs.set_item(intern!(py, "extra"), &wanted.extra)?;
    let [stdin, stdout, stderr] = &request.standard;
    let (protocol, args, bufsize) = (&wanted.protocol, &request.args, &request.bufsize);
    let positional = (this, protocol, args, request.shell, stdin, stdout, stderr, bufsize);
    Ok(subprocess::transport_class(py)?.bind(py).call(positional, Some(&kwargs))?.into())
}

/// Has the end of the process noticed.
fn watch(py: Python<'_>, this: &Obj<Loop>, transport: &Obj, watcher: Option<&Obj>) -> PyResult<()> {
    if let Some(watcher) = watcher {
        let pid = transport.bind(py).call_method0(intern!(py, "get_pid"))?;
        let callback = this.bind(py).getattr(intern!(py, "_child_watcher_callback"))?;
        let add = intern!(py, "add_child_handler");
        return watcher.bind(py).call_method1(add, (pid, callback, transport)).map(drop);
    }
    let Some(ours) = transport.cast::<SubprocessTransport>() else { return Ok(()) };
    ours.adopt(py, way_of_watching()?)?;
    children::watch(this, py, ours)
}

/// How the environment wants children to be watched.
///
/// # Errors
/// `ValueError` for a word that is none.
pub(super) fn way_of_watching() -> PyResult<Watch> {
    Watch::from_env().map_err(|err| PyValueError::new_err(err.to_string()))
}

/// The child watcher that the program has set, up to 3.13, unless it is one of those that are mere names here.
fn program_watcher(py: Python<'_>) -> PyResult<Option<Obj>> {
    if cfg!(Py_3_14) {
        return Ok(None);
    }
    let events = crate::imported::module(py, "ferrio.events")?;
    let policy = events.call_method0(intern!(py, "get_event_loop_policy"))?;
    let of_names = |watcher: &Bound<'_, PyAny>| -> PyResult<bool> {
        watcher.get_type().getattr(intern!(py, "__module__"))?.eq(NAMES_OF_WATCHERS)
    };
    if let Some(watcher) = policy.getattr_opt(intern!(py, "_watcher"))?
        && (watcher.is_none() || of_names(&watcher)?)
    {
        return Ok(None);
    }
    let warnings = crate::imported::module(py, "warnings")?;
    let caught = warnings.call_method0(intern!(py, "catch_warnings"))?;
    caught.call_method0(intern!(py, "__enter__"))?;
    let deprecation = py.get_type::<PyDeprecationWarning>();
    let watcher = warnings
        .call_method1(intern!(py, "simplefilter"), (intern!(py, "ignore"), deprecation))
        .and_then(|_| events.call_method0(intern!(py, "get_child_watcher")));
    caught.call_method1(intern!(py, "__exit__"), (py.None(), py.None(), py.None()))?;
    let watcher = watcher?;
    Ok(if of_names(&watcher)? { None } else { Some(watcher.into()) })
}

/// Forgets that something waits for a report.
struct ReportGuard<'a> {
    this: &'a Local<Loop>,
    fd: RawFd,
    fut: Local<Future>,
}

impl Drop for ReportGuard<'_> {
    fn drop(&mut self) {
        watches::wait_no_more(&self.this.get(), self.fd, Interest::READABLE, &self.fut.get());
    }
}

/// Makes a process and waits until its program has begun. If the wait is given up it is killed, and the error of that is
/// returned beside it: it has to be reaped.
async fn spawn_natively(
    co: &Co,
    this: &Local<Loop>,
    wanted: &Kept<Wanted>,
    prepared: Prepared,
) -> PyResult<(Spawned, Option<Local>)> {
    let Prepared { command, memory, ends, theirs, pipesize, simple } = prepared;
    let mut spawning =
        spawn::spawn(command, memory, way_of_watching()?).map_err(PyOSError::new_err_from_io)?;
    drop(theirs);
    let mut given_up = None;
    loop {
        match spawning.finish() {
            Ok(Ok(child)) => return Ok((Spawned { child, ends, pipesize }, given_up)),
            Ok(Err(failure)) => return Err(failed(co.py(), failure, (&wanted.get(), simple), given_up)?),
            Err(err) if err.kind() == ErrorKind::WouldBlock => {}
            Err(err) => return Err(PyOSError::new_err_from_io(err)),
        }
        if let Err(err) = reported(co, this, spawning.fd()).await {
            if given_up.is_some() {
                // It is killed and reaped behind our back.
                return Err(err);
            }
            given_up = Some(co.hold(exceptions::value_of(co.py(), err)));
            if let Some(child) = spawning.child() {
                // It may have ended by itself.
                let _ = child.signal(SIGKILL);
            }
        }
    }
}

/// What to raise: the error of a wait that was given up comes first.
fn failed(
    py: Python<'_>,
    failure: Failure,
    (wanted, simple): (&Wanted, bool),
    given_up: Option<Local>,
) -> PyResult<PyErr> {
    match given_up {
        Some(error) => Ok(PyErr::from_value(error.get().into_bound(py))),
        None => subprocess::error(py, failure, &wanted.request, simple),
    }
}

/// Waits until there is something to read for us.
async fn reported(co: &Co, this: &Local<Loop>, fd: RawFd) -> PyResult<()> {
    let (wait, _guard) = {
        let fut = watches::wait_ready(&this.get(), co.py(), fd, Interest::READABLE)?;
        (co.wait(&fut), ReportGuard { this, fd, fut: co.hold(fut) })
    };
    wait.await.map(drop)
}
