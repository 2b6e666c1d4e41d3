//! Sockets that `sock_recv()` and `sock_sendall()` have waited for, which stay known to the kernel.
//!
//! Watching a socket for each wait and no longer, asyncio's way, is two syscalls per wait, as much as the message
//! itself costs. Here a socket is registered with the kernel once, for both directions and for changes only: an
//! operation that waits has been refused before, so that a change is what comes next, and what changes while nobody
//! waits is not reported twice. A socket that was closed without a word, but lives on in another process, can for that
//! reason never make a loop spin.
//!
//! A number is used again after a close, and the kernel has then forgotten the registration by itself. So it counts
//! only for the same socket object, held weakly: its number cannot change but to none.

use std::cell::RefCell;
use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, Token};
use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::event_loop::registration::{ensure_driver_watched, release, token_of};
use crate::event_loop::{Futures, Kept, Loop, LoopRef, Source, watches};
use crate::future::Future;

/// A future that is done when `sock` is ready in a direction in which the kernel has just refused it. `None` where the
/// descriptor is in other use, and the wait has to be [`watches::wait_ready`]'s.
///
/// # Errors
/// `OSError` from the driver, `RuntimeError` if the loop is closed.
pub(super) fn wait_refused(
    this: &Obj<Loop>,
    py: Python<'_>,
    sock: &Obj,
    fd: RawFd,
    side: Interest,
) -> PyResult<Option<Obj<Future>>> {
    this.check_closed()?;
    if this.sockets.is_used(fd) {
        return Ok(None);
    }
    let known = this.watched.borrow().get(&fd).copied();
    // Made before anything is borrowed: to make an object may run the collector, and with it any code.
    let fut = Future::create(py, LoopRef::Native(this.clone()))?;
    if let Some(token) = known {
        let sources = this.sources.borrow();
        let Some(Source::Kept(kept)) = sources.get(token) else { return Ok(None) };
        if kept.is_of(py, sock) {
            this.expect_io();
            kept.side(side).borrow_mut().push(fut.clone());
            return Ok(Some(fut));
        }
    }
    // Two objects may share one descriptor; the other's operations go on waiting. If it was closed without a word, they
    // find that out when they try again.
    let stale = known.is_some_and(|token| is_stale(this, py, token, fd));
    let (mut reader, mut writer) = release(this, fd);
    if stale {
        watches::tell_all(py, &std::mem::take(&mut reader))?;
        watches::tell_all(py, &std::mem::take(&mut writer))?;
    }
    let owner = PyWeakrefReference::new(sock.bind(py))?.into_any().into();
    let kept = Kept { owner, reader: RefCell::new(reader), writer: RefCell::new(writer) };
    kept.side(side).borrow_mut().push(fut.clone());
    ensure_driver_watched(this)?;
    let Some(token) = this.register_changes(fd, Source::Kept(kept))? else { return Ok(None) };
    this.watched.borrow_mut().insert(fd, token);
    Ok(Some(fut))
}

/// Whether the socket that is kept on `fd` has another number now, or none.
fn is_stale(this: &Loop, py: Python<'_>, token: Token, fd: RawFd) -> bool {
    let owner = match this.sources.borrow().get(token) {
        Some(Source::Kept(kept)) => kept.owner.clone(),
        _ => return false,
    };
    let owner = owner.bind(py).cast::<PyWeakrefReference>().ok().and_then(PyWeakrefMethods::upgrade);
    let number = owner.and_then(|owner| owner.call_method0(intern!(py, "fileno")).ok());
    number.and_then(|number| number.extract::<RawFd>().ok()) != Some(fd)
}

/// Gives up waiting for `fut`. False if it was not waited for here.
pub(super) fn wait_no_more(this: &Loop, fd: RawFd, side: Interest, fut: &Obj<Future>) -> bool {
    let Some(token) = token_of(this, fd) else { return false };
    let mut waited = Futures::new();
    if let Some(Source::Kept(kept)) = this.sources.borrow().get(token) {
        let mut futures = kept.side(side).borrow_mut();
        // Moved out: dropping one may run code that comes back here.
        if let Some(place) = futures.iter().position(|known| known.is(fut)) {
            waited.push(futures.remove(place));
        }
    }
    !waited.is_empty()
}
