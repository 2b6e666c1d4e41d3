//! Signal handlers of a loop, and how a signal reaches a loop that waits.
//!
//! The interpreter's C-level handler writes the signal's number to the descriptor given to `signal.set_wakeup_fd`. The
//! loop watches the other end ([`SignalPipe`]) and runs its handlers as ordinary callbacks.
//!
//! A loop without handlers needs the descriptor too, but only while it waits in the driver ([`Guard`]). A signal that
//! arrives after the interpreter last looked, and before the driver waits, would only be noted: Ctrl-C would do nothing
//! until something else happens. While Python code runs there is none, as on stock: libraries (trio's guest mode) look
//! for one, and take it for another library's.
//!
//! The functions of `signal` are taken from `ferrio.unix_events.signal`, where tests replace them; the guard uses
//! `_signal` itself, which they do not count on.

use std::cell::Cell;
use std::rc::Rc;

use ferrio_core::driver::Interest;
use ferrio_core::signal::SignalPipe;
use ferrio_object::{Args, ClassBuilder, GilStatic, Obj, Signature, ThreadState, swap_wakeup_fd};
use pyo3::exceptions::{PyOSError, PyResourceWarning, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};

use crate::event_loop::{Handle, Loop, Pipe, Source, call_soon_native, make_handle};
use crate::exceptions::FromIo;
use crate::log::{self, Level};
use crate::warnings;
use crate::{coroutines, native_fn};

fn open_pipe(this: &Obj<Loop>) -> PyResult<Rc<SignalPipe>> {
    let open = this.signals.pipe.borrow_mut().take();
    if let Some(open) = open {
        if open.pipe.is_ours() {
            let pipe = Rc::clone(&open.pipe);
            *this.signals.pipe.borrow_mut() = Some(open);
            return Ok(pipe);
        }
        this.deregister(open.pipe.read_fd(), open.token);
        forget_ends(this);
    }
    let pipe = Rc::new(SignalPipe::new().map_err(PyOSError::new_err_from_io)?);
    let token = this.register(pipe.read_fd(), Interest::READABLE, Source::Signals)?;
    *this.signals.pipe.borrow_mut() = Some(Pipe { pipe: Rc::clone(&pipe), token });
    Ok(pipe)
}

/// An end of the pipe as a socket object of its own: `_csock`, to which programs write zeros to wake the loop and which
/// they give to `signal.set_wakeup_fd()`, or `_ssock`. `None` once the loop is closed.
fn end_of_pipe(this: &Obj<Loop>, py: Python<'_>, which: End) -> PyResult<Option<Obj>> {
    if this.is_closed() {
        return Ok(None);
    }
    let pipe = open_pipe(this)?;
    let cell = &this.signals.ends[which as usize];
    if let Some(sock) = cell.get() {
        return Ok(Some(sock));
    }
    let fd = match which {
        End::Read => pipe.read_fd(),
        End::Write => pipe.write_fd(),
    };
    let fd = py.import("os")?.call_method1("dup", (fd,))?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("fileno", &fd)?;
    let sock: Obj = py.import("socket")?.call_method("socket", (), Some(&kwargs))?.into();
    cell.set(Some(sock.clone()));
    Ok(Some(sock))
}

#[derive(Clone, Copy)]
enum End {
    Read,
    Write,
}

/// What a loop written in Python puts there is shown from then on; the loop's own pipe stays.
fn set_end(this: &Obj<Loop>, which: End, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    this.signals.ends[which as usize].set(Obj::unless_none(value));
    Ok(())
}

/// Lets go of the socket objects, which are the program's if it has kept them.
fn forget_ends(this: &Obj<Loop>) {
    for cell in &this.signals.ends {
        drop(cell.take());
    }
}

/// Signals have arrived at the loop.
///
/// # Errors
/// What handlers set with `signal.signal` raise, as `KeyboardInterrupt`.
pub(crate) fn arrived(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let pipe =
        this.signals.pipe.borrow().as_ref().map(|open| Rc::clone(&open.pipe)).filter(|pipe| pipe.is_ours());
    let mut numbers = Vec::new();
    if let Some(pipe) = pipe {
        pipe.drain(|number| numbers.push(number));
    }
    // The interpreter's own handlers first: what wakes the loop may be for them alone.
    let outcome = py.check_signals();
    if this.signals.has_handlers(py) {
        for number in numbers {
            this.bind(py).call_method1(intern!(py, "_handle_signal"), (number,))?;
        }
    }
    outcome
}

/// The descriptor of a loop of ours that is set, for a handler or while the loop waits; -1 if none. A forked child must
/// not keep it.
static GUARD: GilStatic<Cell<i32>> = GilStatic::new(Cell::new(-1));

/// Prepares for [`Guard::set`] in the run that begins.
///
/// # Errors
/// `OSError` if there are no descriptors left.
pub(crate) fn guard(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let fd = if is_main_thread(py)? { Some(open_pipe(this)?.write_fd()) } else { None };
    this.signals.guard.set(fd);
    Ok(())
}

/// The loop has stopped running.
pub(crate) fn unguard(this: &Obj<Loop>) {
    this.signals.guard.set(None);
}

/// While it lives, a signal that arrives wakes the loop.
pub(crate) struct Guard {
    fd: i32,
    before: i32,
}

impl Guard {
    /// To be set before the interpreter is asked for signals for the last time. `None` if the loop does not run on the
    /// main thread, or somebody else has a descriptor set: theirs is the older right.
    #[inline]
    pub(crate) fn set(this: &Obj<Loop>, py: Python<'_>) -> Option<Guard> {
        let fd = this.signals.guard.get()?;
        let before = swap_wakeup_fd(py, fd);
        if before != -1 && before != fd {
            swap_wakeup_fd(py, before);
            // Not looked for again in this run: setting theirs anew forgets how they wanted it.
            this.signals.guard.set(None);
            return None;
        }
        GUARD.get(py).set(fd);
        Some(Guard { fd, before })
    }

    #[inline]
    pub(crate) fn take_back(self, py: Python<'_>) {
        GUARD.get(py).set(self.before);
        // A signal handler of the program's that ran meanwhile may have set its own.
        let now = swap_wakeup_fd(py, self.before);
        if now != self.fd {
            swap_wakeup_fd(py, now);
        }
    }
}

/// In a forked child: its signals are not the parent's, whose loop must not be told of them.
///
/// # Errors
/// What `set_wakeup_fd` raises.
pub(crate) fn forget_in_forked_child(py: Python<'_>) -> PyResult<()> {
    let fd = GUARD.get(py).replace(-1);
    if fd != -1
        && let Some(before) = set_wakeup_fd(py, -1)?
        && before != fd
    {
        set_wakeup_fd(py, before)?;
    }
    Ok(())
}

/// Whether this is the thread that signals are handled on.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    match py.import("_thread")?.getattr_opt(intern!(py, "_get_main_thread_ident"))? {
        Some(main) => Ok(main.call0()?.extract::<u64>()? == ThreadState::ident()),
        // Before 3.13 only the refusal of other threads shows it.
        None => match set_wakeup_fd(py, -1)? {
            Some(-1) => Ok(true),
            Some(before) => set_wakeup_fd(py, before).map(|_| true),
            None => Ok(false),
        },
    }
}

/// `set_wakeup_fd`; gives the descriptor before, or nothing if this thread may not set it.
fn set_wakeup_fd(py: Python<'_>, fd: i32) -> PyResult<Option<i32>> {
    let kwargs = PyDict::new(py);
    // A full buffer wakes the loop as well as one more byte would.
    kwargs.set_item(intern!(py, "warn_on_full_buffer"), false)?;
    match py.import("_signal")?.call_method(intern!(py, "set_wakeup_fd"), (fd,), Some(&kwargs)) {
        Ok(before) => before.extract().map(Some),
        Err(err) if err.is_instance_of::<PyValueError>(py) => {
            ferrio_object::swallow(py, err);
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// The `signal` module as the loop's own module has it.
fn module(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    crate::imported::module(py, "ferrio.unix_events")?.getattr(intern!(py, "signal"))
}

fn check_signal(_this: &Obj<Loop>, py: Python<'_>, signal: &Bound<'_, PyAny>) -> PyResult<()> {
    if !signal.is_instance_of::<PyInt>() {
        let shown = signal.repr()?;
        return Err(PyTypeError::new_err(format!("sig must be an int, not {shown}")));
    }
    if !module(py)?.call_method0("valid_signals")?.contains(signal)? {
        return Err(PyValueError::new_err(format!("invalid signal number {signal}")));
    }
    Ok(())
}

fn check(this: &Obj<Loop>, py: Python<'_>, signal: &Bound<'_, PyAny>) -> PyResult<()> {
    this.bind(py).call_method1(intern!(py, "_check_signal"), (signal,)).map(drop)
}

fn cannot_be_caught(py: Python<'_>, signal: &Bound<'_, PyAny>, err: PyErr) -> PyErr {
    const EINVAL: i32 = 22;
    let errno = err.value(py).getattr("errno").and_then(|errno| errno.extract::<i32>());
    if err.is_instance_of::<PyOSError>(py) && errno.is_ok_and(|errno| errno == EINVAL) {
        let refused = PyRuntimeError::new_err(format!("sig {signal} cannot be caught"));
        ferrio_object::restore_context(
            py,
            &refused.value(py).into(),
            Some(&crate::exceptions::value_of(py, err)),
        );
        return refused;
    }
    err
}

/// Gives the descriptor up when the last handler is gone. Where that fails nothing is lost, so it is only logged.
fn release(this: &Obj<Loop>, py: Python<'_>, signals: &Bound<'_, PyAny>) -> PyResult<()> {
    if this.signals.has_handlers(py) {
        return Ok(());
    }
    GUARD.get(py).set(-1);
    if let Err(err) = signals.call_method1(intern!(py, "set_wakeup_fd"), (-1,)) {
        if !err.is_instance_of::<PyValueError>(py) && !err.is_instance_of::<PyOSError>(py) {
            return Err(err);
        }
        let message = "set_wakeup_fd(-1) failed: %s";
        log::write(py, "ferrio.log", Level::Info, (message, err.value(py)))?;
    }
    Ok(())
}

fn add_signal_handler(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let ([signal, callback], rest) =
        args.bind_rest(&Signature::new("add_signal_handler", ["sig", "callback"]))?;
    let (Some(signal), Some(callback)) = (signal, callback) else { unreachable!("both are required") };
    if coroutines::is_coroutine(py, callback)? || coroutines::is_coroutine_function(py, callback)? {
        return Err(PyTypeError::new_err("coroutines cannot be used with add_signal_handler()"));
    }
    check(this, py, signal)?;
    this.check_closed()?;
    let signals = module(py)?;
    // First, because it refuses threads other than the main one.
    if let Err(err) = signals.call_method1(intern!(py, "set_wakeup_fd"), (open_pipe(this)?.write_fd(),)) {
        if err.is_instance_of::<PyValueError>(py) || err.is_instance_of::<PyOSError>(py) {
            let refused = PyRuntimeError::new_err(err.value(py).str()?.to_string());
            let exc = crate::exceptions::value_of(py, err);
            ferrio_object::restore_context(py, &refused.value(py).into(), Some(&exc));
            return Err(refused);
        }
        return Err(err);
    }
    GUARD.get(py).set(open_pipe(this)?.write_fd());
    let arguments = rest.into_iter().map(Obj::from).collect();
    let context = ThreadState::copy_context(py)?;
    let handle = make_handle(this, py, callback.into(), arguments, Some(context))?;
    handle.track();
    let handlers = this.signals.handlers(py)?;
    handlers.set_item(signal, &handle)?;
    let installed = native_fn::function(py, "_sighandler_noop", Vec::new(), |_py, _held, _args| Ok(()))
        .and_then(|noop| signals.call_method1(intern!(py, "signal"), (signal, noop)))
        // Interrupted system calls of other code are restarted; the driver's wait never is.
        .and_then(|_| signals.call_method1("siginterrupt", (signal, false)));
    if let Err(err) = installed {
        if handlers.contains(signal)? {
            handlers.del_item(signal)?;
        }
        if err.is_instance_of::<PyOSError>(py) {
            release(this, py, &signals)?;
        }
        return Err(cannot_be_caught(py, signal, err));
    }
    Ok(())
}

fn handle_signal(this: &Obj<Loop>, py: Python<'_>, signal: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(handle) = this.signals.handlers(py)?.get_item(signal)? else { return Ok(()) };
    let Some(handle) = Obj::<Handle>::from_bound(&handle).cloned() else { return Ok(()) };
    if handle.cancelled.get() {
        this.bind(py).call_method1(intern!(py, "remove_signal_handler"), (signal,))?;
        return Ok(());
    }
    let Some(callback) = handle.callback.get() else { return Ok(()) };
    // A handle of its own for each arrival: one that has run is empty.
    let arguments: Vec<Obj> = handle.args();
    call_soon_native(this, py, &callback, &arguments, handle.context(py)?.as_ref()).map(drop)
}

fn remove_signal_handler(this: &Obj<Loop>, py: Python<'_>, signal: &Bound<'_, PyAny>) -> PyResult<bool> {
    check(this, py, signal)?;
    let handlers = this.signals.handlers(py)?;
    let Some(handle) = handlers.get_item(signal)? else { return Ok(false) };
    handlers.del_item(signal)?;
    let signals = module(py)?;
    let default = if signal.eq(signals.getattr(intern!(py, "SIGINT"))?)? {
        signals.getattr("default_int_handler")?
    } else {
        signals.getattr("SIG_DFL")?
    };
    signals
        .call_method1(intern!(py, "signal"), (signal, default))
        .map_err(|err| cannot_be_caught(py, signal, err))?;
    release(this, py, &signals)?;
    drop(handle);
    Ok(true)
}

/// The loop is being closed: its handlers and its pipe go.
///
/// # Errors
/// As `remove_signal_handler`.
pub(crate) fn remove_all(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let removed = if this.signals.has_handlers(py) { remove_handlers(this, py) } else { Ok(()) };
    let pipe = this.signals.pipe.borrow_mut().take();
    if let Some(Pipe { pipe, token }) = pipe {
        this.deregister(pipe.read_fd(), token);
    }
    for cell in &this.signals.ends {
        if let Some(sock) = cell.take() {
            sock.bind(py).call_method0(intern!(py, "close"))?;
        }
    }
    removed
}

fn remove_handlers(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let handlers = this.signals.handlers(py)?;
    let finalizing = crate::imported::module(py, "ferrio.unix_events")?
        .getattr("sys")?
        .call_method0("is_finalizing")?
        .is_truthy()?;
    if finalizing {
        handlers.clear();
        let shown = this.bind(py).repr()?;
        let message = format!(
            "Closing the loop {shown} on interpreter shutdown stage, skipping signal handlers removal"
        );
        return warnings::warn_of::<PyResourceWarning>(py, &message, this.as_any());
    }
    for signal in handlers.keys() {
        this.bind(py).call_method1(intern!(py, "remove_signal_handler"), (signal,))?;
    }
    Ok(())
}

pub(crate) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .getset(
            "_ssock",
            |this: &Obj<Loop>, py: Python<'_>| end_of_pipe(this, py, End::Read),
            |this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                set_end(this, End::Read, value)
            },
            "",
        )
        .getset(
            "_csock",
            |this: &Obj<Loop>, py: Python<'_>| end_of_pipe(this, py, End::Write),
            |this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                set_end(this, End::Write, value)
            },
            "",
        )
        .method("add_signal_handler", add_signal_handler,
            "add_signal_handler($self, /, sig, callback, *args)\n--\n\n\
            Call callback(*args) in the loop whenever the signal arrives. Replaces an earlier handler.\n\n\
            Raises ValueError for an invalid signal number, TypeError for coroutines, RuntimeError if the signal\n\
            cannot be caught or this is not the main thread.")
        .method1_named("remove_signal_handler", remove_signal_handler, || Signature::new("remove_signal_handler", ["sig"]), "remove_signal_handler($self, /, sig)\n--\n\n\
            Remove the handler; the signal has its default effect again. Returns whether there was one.")
        .method1("_handle_signal", handle_signal, "")
        .method1("_check_signal", check_signal, "");
}
