//! Waiting for one direction of a descriptor: `add_reader`'s callbacks, operations like `sock_recv()`, and transports
//! that share a descriptor's table with them.

use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, Token};
use ferrio_object::{Class, Erased, Obj};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use smallvec::SmallVec;

use super::registration::{ensure_driver_watched, release};
use super::{Handle, Loop, LoopRef, Source, Waiter, Watch};
use crate::future::{self, Future};

/// The descriptor of an int or of anything with `fileno()`.
///
/// # Errors
/// `ValueError` for what has none.
pub(crate) fn fileno(py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<RawFd> {
    let fd = if file.is_instance_of::<pyo3::types::PyInt>() {
        file.extract::<RawFd>()?
    } else {
        match file.call_method0(intern!(py, "fileno")).and_then(|fd| fd.extract::<RawFd>()) {
            Ok(fd) => fd,
            Err(err) => {
                let shown = file.repr()?;
                let refused = PyValueError::new_err(format!("Invalid file object: {shown}"));
                refused.set_cause(py, Some(err));
                return Err(refused);
            }
        }
    };
    if fd < 0 {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
    }
    Ok(fd)
}

/// # Errors
/// `RuntimeError` if a transport that is not closing uses `fd`.
pub(crate) fn ensure_no_transport(this: &Obj<Loop>, py: Python<'_>, fd: RawFd) -> PyResult<()> {
    this.sockets.ensure_unused(py, fd, &fd.to_string())
}

/// Has a callback of the user's called when `file` is ready in one direction. Returns what was called before.
///
/// # Errors
/// As [`arm`].
pub(crate) fn watch_file(
    this: &Obj<Loop>,
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    fd: RawFd,
    side: Interest,
    handle: Obj<Handle>,
) -> PyResult<Option<Waiter>> {
    let old = arm(this, py, fd, side, |place| place.replace(Waiter::Handle(handle)))?;
    let token = this.watched.borrow().get(&fd).copied();
    if let Some(token) = token
        && let Some(Source::Watch(watch)) = this.sources.borrow().get(token)
        && watch.file.is_none()
    {
        watch.file.set(Some(file.into()));
    }
    Ok(old)
}

/// The descriptor under which `file`, which has none any more, is watched.
pub(crate) fn watched_as(this: &Obj<Loop>, file: &Bound<'_, PyAny>) -> Option<RawFd> {
    let sources = this.sources.borrow();
    sources.iter().find_map(|(_, source)| match source {
        Source::Watch(watch) if watch.file.get().is_some_and(|known| known.is_bound(file)) => Some(watch.fd),
        _ => None,
    })
}

/// Changes what waits for one direction of `fd`: `change` gets what is there now and leaves what is to be there.
pub(crate) fn arm<R>(
    this: &Obj<Loop>,
    py: Python<'_>,
    fd: RawFd,
    side: Interest,
    change: impl FnOnce(&mut Option<Waiter>) -> R,
) -> PyResult<R> {
    stop_keeping(this, py, fd)?;
    let known = this.watched.borrow().get(&fd).copied();
    let token = match known {
        Some(token) if widen(this, fd, token, side)? => token,
        _ => {
            if let Some(stale) = known {
                abandon(this, py, fd, stale)?;
            }
            ensure_driver_watched(this)?;
            let token = this.register(fd, side, Source::Watch(Watch::new(fd, side)))?;
            this.watched.borrow_mut().insert(fd, token);
            token
        }
    };
    let sources = this.sources.borrow();
    let Some(Source::Watch(watch)) = sources.get(token) else {
        return Err(PyRuntimeError::new_err(format!("File descriptor {fd} is not a watched one")));
    };
    watch.since(side).set(this.registrations.poll_count());
    Ok(change(&mut watch.side(side).borrow_mut()))
}

/// Adds a direction to what a known descriptor is watched for. False if the descriptor was closed without a word: what
/// has its number now is another one.
fn widen(this: &Obj<Loop>, fd: RawFd, token: Token, side: Interest) -> PyResult<bool> {
    let sources = this.sources.borrow();
    let Some(Source::Watch(watch)) = sources.get(token) else { return Ok(false) };
    // The kernel is told even if nothing changes for it: that is how a closed descriptor is found out.
    let after = watch.interest.get().with(side);
    let ours = this.try_reregister(fd, token, after)?;
    if ours {
        watch.interest.set(after);
    }
    Ok(ours)
}

/// Lets go of a watch whose descriptor was closed without a word. Operations find that out when they try again.
fn abandon(this: &Obj<Loop>, py: Python<'_>, fd: RawFd, token: Token) -> PyResult<()> {
    this.watched.borrow_mut().remove(&fd);
    let waiters = match this.sources.borrow().get(token) {
        Some(Source::Watch(watch)) => [watch.reader.take(), watch.writer.take()],
        _ => [None, None],
    };
    this.deregister(fd, token);
    for waiter in waiters.into_iter().flatten() {
        match waiter {
            Waiter::Handle(handle) => Handle::cancel(&handle, py)?,
            Waiter::Futures(futures) => tell_all(py, &futures)?,
            Waiter::Transport(_) => {}
        }
    }
    Ok(())
}

/// Wakes operations, each of which then tries again.
///
/// # Errors
/// What scheduling on the loop raises.
pub(crate) fn tell_all(py: Python<'_>, futures: &[Obj<Future>]) -> PyResult<()> {
    for fut in futures {
        future::wake(fut, py)?;
    }
    Ok(())
}

/// Watches what is kept (`kept.rs`) like any other descriptor, for as long as somebody waits for it.
pub(crate) fn stop_keeping(this: &Obj<Loop>, py: Python<'_>, fd: RawFd) -> PyResult<()> {
    let (reader, writer) = release(this, fd);
    for (futures, side) in [(reader, Interest::READABLE), (writer, Interest::WRITABLE)] {
        if !futures.is_empty() {
            arm(this, py, fd, side, |place| *place = Some(Waiter::Futures(futures)))?;
        }
    }
    Ok(())
}

/// Nobody waits for one direction of a watched descriptor any more. Hands out who did.
pub(crate) fn disarm(this: &Obj<Loop>, token: Token, side: Interest) -> PyResult<Option<Waiter>> {
    let fd = match this.sources.borrow().get(token) {
        Some(Source::Watch(watch)) => Some(watch.fd),
        _ => None,
    };
    fd.map_or(Ok(None), |fd| disarm_fd(this, fd, side))
}

/// As [`disarm`], by the descriptor.
///
/// # Errors
/// `OSError` from the driver if the loop is closed.
pub(crate) fn disarm_fd(this: &Obj<Loop>, fd: RawFd, side: Interest) -> PyResult<Option<Waiter>> {
    let Some(token) = this.watched.borrow().get(&fd).copied() else { return Ok(None) };
    let (old, left) = {
        let sources = this.sources.borrow();
        let Some(Source::Watch(watch)) = sources.get(token) else { return Ok(None) };
        let left = watch.interest.get().without(side);
        watch.interest.set(left);
        (watch.side(side).take(), left)
    };
    if left.is_empty() {
        this.watched.borrow_mut().remove(&fd);
        this.deregister(fd, token);
    } else if old.is_some() {
        match this.reregister(fd, token, left) {
            // The descriptor was closed first; there is nothing to switch off.
            Err(err) if this.is_closed() => return Err(err),
            _ => {}
        }
    }
    Ok(old)
}

/// A future that is done when `fd` is ready in one direction.
///
/// # Errors
/// `OSError` from the driver, `RuntimeError` if the loop is closed or a transport uses `fd`.
pub(crate) fn wait_ready(
    this: &Obj<Loop>,
    py: Python<'_>,
    fd: RawFd,
    side: Interest,
) -> PyResult<Obj<Future>> {
    ensure_no_transport(this, py, fd)?;
    let fut = Future::create(py, LoopRef::Native(this.clone()))?;
    let replaced = arm(this, py, fd, side, |place| match place {
        Some(Waiter::Futures(futures)) => {
            futures.push(fut.clone());
            None
        }
        _ => place.replace(Waiter::Futures(SmallVec::from([fut.clone()]))),
    })?;
    if let Some(Waiter::Handle(handle)) = replaced {
        Handle::cancel(&handle, py)?;
    }
    Ok(fut)
}

/// Gives up waiting: the counterpart of [`wait_ready`] for a future that is not done.
pub(crate) fn wait_no_more(this: &Obj<Loop>, fd: RawFd, side: Interest, fut: &Obj<Future>) {
    let Some(token) = this.watched.borrow().get(&fd).copied() else { return };
    let alone = {
        let sources = this.sources.borrow();
        let Some(Source::Watch(watch)) = sources.get(token) else { return };
        let mut place = watch.side(side).borrow_mut();
        let Some(Waiter::Futures(futures)) = &mut *place else { return };
        if !futures.iter().any(|known| known.is(fut)) {
            return;
        }
        if futures.len() > 1 {
            futures.retain(|known| !known.is(fut));
            false
        } else {
            true
        }
    };
    if alone {
        // A loop that was closed meanwhile waits for nothing.
        let old = disarm_fd(this, fd, side);
        drop(old);
    }
}

/// Has a transport of one of the classes that `base_events/io.rs` knows told when `fd` is ready in one direction, instead
/// of the waiter before.
///
/// # Errors
/// `OSError` from the driver (`PermissionError` for a file that cannot be polled), `RuntimeError` if the loop is closed.
pub(crate) fn watch_transport<T: Class>(
    this: &Obj<Loop>,
    py: Python<'_>,
    fd: RawFd,
    side: Interest,
    transport: Obj<T>,
) -> PyResult<()> {
    match arm(this, py, fd, side, |place| place.replace(Waiter::Transport(Erased::new(transport))))? {
        Some(Waiter::Handle(old)) => Handle::cancel(&old, py),
        _ => Ok(()),
    }
}

/// Tells a transport no more, unless somebody else has taken its place. Does nothing if the loop is closed.
pub(crate) fn unwatch_transport(this: &Obj<Loop>, fd: RawFd, side: Interest, transport: &Obj) {
    let ours = {
        let Some(token) = this.watched.borrow().get(&fd).copied() else { return };
        let sources = this.sources.borrow();
        let Some(Source::Watch(watch)) = sources.get(token) else { return };
        matches!(&*watch.side(side).borrow(), Some(Waiter::Transport(known)) if known.as_any().is(transport))
    };
    if ours {
        // A closed loop waits for nothing.
        let old = disarm_fd(this, fd, side);
        drop(old);
    }
}
