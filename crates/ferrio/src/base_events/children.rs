//! How a loop comes to know that a child has ended: by its pidfd among the loop's descriptors, or from a thread.

use std::os::fd::RawFd;

use ferrio_core::driver::Interest;
use ferrio_core::driver::child::Child;
use ferrio_object::{Class, Obj};
use pyo3::intern;
use pyo3::prelude::*;

use super::calls;
use crate::event_loop::{ExceptionContext, Loop, watches};
use crate::exceptions;
use crate::log::{self, Level};
use crate::native_fn;
use crate::subprocess::SubprocessTransport;

/// Whose `logger` is used.
const MODULE: &str = "ferrio.unix_events";

/// An object that has a child whose end is to be noticed.
pub(super) trait HasChild: Class {
    /// Does something with the child, if it is still there.
    fn with_child<R>(&self, f: impl FnOnce(&mut Child) -> R) -> Option<R>;

    /// The child has ended.
    ///
    /// # Errors
    /// What is called then raises.
    fn ended(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        pid: i32,
        returncode: i32,
    ) -> PyResult<()>;
}

impl HasChild for SubprocessTransport {
    fn with_child<R>(&self, f: impl FnOnce(&mut Child) -> R) -> Option<R> {
        self.with_process(f)
    }

    fn ended(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        pid: i32,
        returncode: i32,
    ) -> PyResult<()> {
        let call = intern!(py, "_child_watcher_callback");
        event_loop.bind(py).call_method1(call, (pid, returncode, this)).map(drop)
    }
}

/// What is readable when the child has ended, where there is such a thing.
fn pidfd<T: HasChild>(of: &T) -> Option<RawFd> {
    of.with_child(|child| child.pidfd()).flatten()
}

/// Has the end of a child noticed.
///
/// # Errors
/// `OSError` if there is neither a descriptor nor a thread for it.
pub(super) fn watch<T: HasChild>(this: &Obj<Loop>, py: Python<'_>, parent: &Obj<T>) -> PyResult<()> {
    if let Some(pidfd) = pidfd(&**parent) {
        match watches::watch_transport(this, py, pidfd, Interest::READABLE, parent.clone()) {
            Ok(()) => return Ok(()),
            // No memory for one more, or a sandbox that lets pidfds be made and not waited for.
            Err(err) if !exceptions::is_exit(py, &err) => ferrio_object::swallow(py, err),
            Err(err) => return Err(err),
        }
    }
    let held = vec![this.as_any().clone(), parent.as_any().clone()];
    let ended = native_fn::done_callback(py, "_child_ended", held, |py, held, _fut| {
        let [event_loop, parent] = held else { return Ok(()) };
        match (event_loop.cast::<Loop>(), parent.cast::<T>()) {
            (Some(event_loop), Some(parent)) => report(event_loop, py, parent),
            _ => Ok(()),
        }
    })?;
    calls::when_done(this, py, &ended, |ticket| {
        let watching = parent.with_child(|child| child.watch_on_thread(move || ticket.complete(())));
        watching.unwrap_or(Ok(()))
    })
}

/// Does not wait for the end of a child any more.
pub(super) fn unwatch<T: HasChild>(this: &Obj<Loop>, parent: &Obj<T>) {
    if let Some(pidfd) = pidfd(&**parent) {
        watches::unwatch_transport(this, pidfd, Interest::READABLE, parent.as_any());
        parent.with_child(Child::close_pidfd);
    }
}

/// A pidfd says that a child has ended.
///
/// # Errors
/// `KeyboardInterrupt`, `SystemExit`.
pub(super) fn ended<T: HasChild>(this: &Obj<Loop>, py: Python<'_>, parent: &Obj<T>) -> PyResult<()> {
    match report(this, py, parent) {
        Err(err) if !exceptions::is_exit(py, &err) => ExceptionContext::new(py)
            .with("message", "Exception in callback PidfdChildWatcher._do_wait()")?
            .with("exception", exceptions::value_of(py, err))?
            .report_to(this),
        outcome => outcome,
    }
}

/// Reaps the child, and says so.
fn report<T: HasChild>(this: &Obj<Loop>, py: Python<'_>, parent: &Obj<T>) -> PyResult<()> {
    /// What asyncio reports of a child that somebody else has reaped.
    const UNKNOWN: i32 = 255;
    let Some(pid) = parent.with_child(|child| child.pid()) else { return Ok(()) };
    // What asyncio's watcher for this Python has to say.
    let threaded = pidfd(&**parent).is_none() || cfg!(not(Py_3_12));
    let reaped = parent.with_child(Child::try_wait);
    let returncode = match reaped {
        None | Some(Ok(None)) => return Ok(()),
        Some(Ok(Some(returncode))) => {
            if threaded && this.debug.get() {
                let line = ("process %s exited with returncode %s", pid, returncode);
                log::write(py, MODULE, Level::Debug, line)?;
            }
            returncode
        }
        Some(Err(_)) => {
            let message = if threaded {
                "Unknown child process pid %d, will report returncode 255"
            } else {
                "child process pid %d exit status already read:  will report returncode 255"
            };
            log::write(py, MODULE, Level::Warning, (message, pid))?;
            UNKNOWN
        }
    };
    unwatch(this, parent);
    T::ended(parent, py, this, pid, returncode)
}

/// `_child_watcher_callback(pid, returncode, transp)`.
pub(super) fn callback(this: &Obj<Loop>, py: Python<'_>, args: ferrio_object::Args<'_, '_>) -> PyResult<()> {
    const NAMES: [&str; 3] = ["pid", "returncode", "transp"];
    let [_pid, returncode, transport] =
        args.bind(&ferrio_object::Signature::new("_child_watcher_callback", NAMES))?;
    let Some(transport) = transport else { return Ok(()) };
    let exited = transport.getattr(intern!(py, "_process_exited"))?;
    if cfg!(Py_3_14) {
        return exited.call1((returncode,)).map(drop);
    }
    let later = intern!(py, "call_soon_threadsafe");
    if cfg!(Py_3_12) {
        return this.bind(py).call_method1(later, (exited, returncode)).map(drop);
    }
    // 3.11 leaves one turn to the callbacks of the pipes.
    let soon = this.bind(py).getattr(intern!(py, "call_soon"))?;
    this.bind(py).call_method1(later, (soon, exited, returncode)).map(drop)
}
