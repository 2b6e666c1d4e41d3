//! File descriptors: what the driver's events are for, and who waits for what.
//!
//! An event names a token, not a descriptor. Tokens carry a generation, so an event for something that was closed
//! since is stale and finds nothing, even if the descriptor's number is in use again (uvloop #763, #738, #645).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;

use ferrio_core::driver::datagram::Inbox;
use ferrio_core::driver::{Events, Interest, PageBuffer, Token};
use ferrio_object::{Obj, SpareBytes, Visit};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use smallvec::SmallVec;

use super::kept::{self, Kept};
use super::{Loop, Polled, Ready, calls};
use crate::exceptions::FromIo;
use crate::future::{self, Future};
use crate::handle::Handle;
use crate::loop_ref::LoopRef;
use crate::server::Listener;
use crate::transports::StreamTransport;

/// What a registered descriptor belongs to.
pub(crate) enum Source {
    /// `add_reader`, `add_writer`.
    Watch(Watch),
    /// A socket that `sock_recv()` and `sock_sendall()` wait for.
    Kept(Kept),
    /// A stream transport.
    Stream(Obj<StreamTransport>),
    /// A listening socket of a server.
    Listener(Obj<Listener>),
    /// The pipe that signals are written to.
    Signals,
    /// File operations have completed.
    Files,
}

/// Who is told when a descriptor is ready.
pub(crate) struct Watch {
    fd: RawFd,
    reader: RefCell<Option<Waiter>>,
    writer: RefCell<Option<Waiter>>,
    interest: Cell<Interest>,
    /// The polls that there had been when the waiter of each side came. An event out of the last of them is older than
    /// the waiter, and meant for the one before it.
    reader_since: Cell<u32>,
    writer_since: Cell<u32>,
}

impl Watch {
    fn new(fd: RawFd, interest: Interest) -> Self {
        Watch {
            fd,
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            interest: Cell::new(interest),
            reader_since: Cell::new(0),
            writer_since: Cell::new(0),
        }
    }

    fn since(&self, side: Interest) -> &Cell<u32> {
        if side.is_readable() { &self.reader_since } else { &self.writer_since }
    }

    /// Who is meant by an event of the poll before which there had been fewer than `polls`.
    #[inline]
    fn meant(&self, side: Interest, polls: u32) -> Option<Waiter> {
        let waiter = self.side(side).borrow().clone();
        // An operation only tries once more, and its like may have waited before.
        waiter.filter(|waiter| matches!(waiter, Waiter::Futures(_)) || self.since(side).get() != polls)
    }

    fn side(&self, side: Interest) -> &RefCell<Option<Waiter>> {
        if side.is_readable() { &self.reader } else { &self.writer }
    }
}

/// Futures of operations that wait for one direction of a descriptor: mostly one.
pub(super) type Futures = SmallVec<[Obj<Future>; 1]>;

/// Who waits for one direction of a descriptor.
#[derive(Clone)]
pub(crate) enum Waiter {
    /// A callback of the user's, called again and again.
    Handle(Obj<Handle>),
    /// Operations like `sock_recv()`, each of which tries again when its future is done.
    Futures(Futures),
    /// A transport that waits here like a callback of the user's would.
    Transport(Polled),
}

impl Waiter {
    fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Waiter::Handle(handle) => visit.through(handle),
            Waiter::Futures(futures) => futures.iter().for_each(|fut| visit.obj(fut)),
            Waiter::Transport(transport) => transport.traverse(visit),
        }
    }
}

/// Size of the buffer that all connections of a loop receive into, in bytes; also what asyncio reads at most at once.
pub(crate) const SCRATCH_LEN: usize = 256 * 1024;

/// What a loop knows about its sockets.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Empty until the first read, and while it is in use.
    scratch: Cell<PageBuffer>,
    /// What `bytes` are made of.
    pub(crate) spare: SpareBytes,
    /// Whether the last `sock_recv()` brought much.
    pub(super) bulk: Cell<bool>,
    /// What all datagram endpoints receive into; made with the first datagram.
    inbox: Cell<Option<Box<Inbox>>>,
    /// Weak references to the transports by descriptor: asked when somebody else wants to use the same one.
    transports: RefCell<HashMap<RawFd, Obj>>,
    pub(crate) listeners: RefCell<HashMap<RawFd, Obj<Listener>>>,
    /// Paths (and their inodes) to remove when the server on a descriptor stops.
    pub(crate) unix_paths: RefCell<HashMap<RawFd, (Obj, u64)>>,
}

impl Sockets {
    /// The scratch buffer, to be put back before any Python code runs.
    #[inline]
    pub(crate) fn take_scratch(&self) -> PageBuffer {
        let scratch = self.scratch.take();
        if scratch.is_empty() { PageBuffer::new(SCRATCH_LEN) } else { scratch }
    }

    #[inline]
    pub(crate) fn put_scratch(&self, scratch: PageBuffer) {
        self.scratch.set(scratch);
    }

    /// Where datagrams are received into. To be put back when they are delivered; whoever asks meanwhile gets another.
    #[inline]
    pub(crate) fn take_inbox(&self) -> Box<Inbox> {
        self.inbox.take().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn put_inbox(&self, inbox: Box<Inbox>) {
        self.inbox.set(Some(inbox));
    }

    /// Notes that `transport` uses `fd`.
    ///
    /// # Errors
    /// `RuntimeError` if another transport that is not closing uses it.
    pub(crate) fn claim<T: 'static>(&self, py: Python<'_>, fd: RawFd, transport: &Obj<T>) -> PyResult<()> {
        self.ensure_unused(py, fd, &fd.to_string())?;
        let weak = PyWeakrefReference::new(transport.bind(py))?.into_any().into();
        let old = self.transports.borrow_mut().insert(fd, weak);
        drop(old);
        Ok(())
    }

    /// Forgets that `transport` uses `fd`. Call it before the descriptor is closed.
    pub(crate) fn release<T: 'static>(&self, py: Python<'_>, fd: RawFd, transport: &Obj<T>) {
        let Some(weak) = self.transports.borrow().get(&fd).cloned() else { return };
        // The descriptor may have been closed before, and its number be another transport's by now.
        let ours = weak.bind(py).call0().is_ok_and(|user| user.is_none() || user.is(transport.bind(py)));
        if ours {
            let old = self.transports.borrow_mut().remove(&fd);
            drop(old);
        }
    }

    /// # Errors
    /// `RuntimeError` if a transport that is not closing uses `fd`.
    pub(crate) fn ensure_unused(&self, py: Python<'_>, fd: RawFd, shown: &str) -> PyResult<()> {
        let Some(weak) = self.transports.borrow().get(&fd).cloned() else { return Ok(()) };
        let transport = weak.bind(py).call0()?;
        if transport.is_none() || transport.call_method0(intern!(py, "is_closing"))?.is_truthy()? {
            return Ok(());
        }
        let transport = transport.repr()?;
        Err(PyRuntimeError::new_err(format!("File descriptor {shown} is used by transport {transport}")))
    }

    /// Whether a transport has the descriptor, or had it and has not let go of it.
    pub(super) fn is_used(&self, fd: RawFd) -> bool {
        self.transports.borrow().contains_key(&fd)
    }

    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(listeners) = self.listeners.try_borrow() {
            listeners.values().for_each(|listener| visit.obj(listener));
        }
    }

    fn clear(&self) {
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        drop(listeners);
        let paths = std::mem::take(&mut *self.unix_paths.borrow_mut());
        drop(paths);
        self.spare.clear();
    }
}

impl Source {
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Source::Watch(watch) => {
                for waiter in [&watch.reader, &watch.writer] {
                    if let Ok(Some(waiter)) = waiter.try_borrow().as_deref() {
                        waiter.traverse(visit);
                    }
                }
            }
            Source::Kept(kept) => kept.traverse(visit),
            Source::Stream(transport) => visit.obj(transport),
            Source::Listener(listener) => visit.obj(listener),
            Source::Signals | Source::Files => {}
        }
    }
}

/// Queues what a poll brought.
#[inline]
pub(super) fn queue_events(this: &Obj<Loop>, py: Python<'_>, events: &Events) -> PyResult<()> {
    this.registrations.polled(events.len());
    this.sockets.spare.rewind();
    {
        let mut ready = this.ready.borrow_mut();
        for event in events.iter() {
            ready.push_back_with(|| Ready::Io {
                token: event.token,
                readable: event.readable,
                writable: event.writable,
            });
        }
    }
    if events.woken() { calls::deliver(this, py) } else { Ok(()) }
}

/// Polls without waiting, for loops whose waiting is done elsewhere.
pub(super) fn poll_now(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let driver = this.driver()?;
    let mut events = this.events.take();
    let polled = driver.poll(&mut events, Some(std::time::Duration::ZERO));
    let outcome = polled.map_err(PyOSError::new_err_from_io).and_then(|()| queue_events(this, py, &events));
    this.events.replace(events);
    outcome
}

/// Serves one event.
#[inline]
pub(super) fn dispatch(
    this: &Obj<Loop>,
    py: Python<'_>,
    token: Token,
    readable: bool,
    writable: bool,
) -> PyResult<()> {
    enum Target {
        Futures(Futures, Futures),
        Waiters(Option<Waiter>, Option<Waiter>),
        Stream(Obj<StreamTransport>),
        Listener(Obj<Listener>),
        Signals,
        Files,
    }
    let target = match this.sources.borrow().get(token) {
        None => return Ok(()),
        Some(Source::Stream(transport)) => Target::Stream(transport.clone()),
        Some(Source::Listener(listener)) => Target::Listener(listener.clone()),
        Some(Source::Signals) => Target::Signals,
        Some(Source::Kept(kept)) => {
            let (reader, writer) = kept.woken(readable, writable);
            Target::Futures(reader, writer)
        }
        Some(Source::Files) => Target::Files,
        Some(Source::Watch(watch)) => Target::Waiters(
            readable.then(|| watch.meant(Interest::READABLE, this.registrations.polls())).flatten(),
            writable.then(|| watch.meant(Interest::WRITABLE, this.registrations.polls())).flatten(),
        ),
    };
    match target {
        Target::Stream(transport) => StreamTransport::ready(&transport, py, readable, writable),
        Target::Listener(listener) => Listener::ready(&listener, py),
        Target::Signals => crate::signals::arrived(this, py),
        Target::Futures(reader, writer) => {
            tell_all(py, &reader)?;
            tell_all(py, &writer)
        }
        Target::Files => crate::files::arrived(this, py),
        Target::Waiters(reader, writer) => {
            for (waiter, side) in [(reader, Interest::READABLE), (writer, Interest::WRITABLE)] {
                match waiter {
                    None => {}
                    // The reader may have removed the writer.
                    Some(Waiter::Handle(handle)) if handle.cancelled.get() => {}
                    Some(Waiter::Handle(handle)) => Handle::run(&handle, py)?,
                    Some(Waiter::Transport(transport)) => transport.ready(py, side)?,
                    Some(Waiter::Futures(futures)) => {
                        disarm(this, token, side)?;
                        tell_all(py, &futures)?;
                    }
                }
            }
            Ok(())
        }
    }
}

/// Flushes the transports written to in this turn.
pub(super) fn flush_writes(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let dirty = std::mem::take(&mut *this.dirty.borrow_mut());
    let quiet_poll = this.quiet_poll();
    for (done, transport) in dirty.iter().enumerate() {
        if let Err(err) = StreamTransport::flush(transport, py, quiet_poll) {
            // The loop is to end, and may run again: the others' data is not to be lost by that.
            this.dirty.borrow_mut().extend(dirty[done + 1..].iter().cloned());
            return Err(err);
        }
    }
    // The emptied vector goes back so that its memory is used again, unless a flush wrote to others.
    let mut dirty = dirty;
    dirty.clear();
    let mut now = this.dirty.borrow_mut();
    if now.is_empty() {
        *now = dirty;
    }
    Ok(())
}

/// Lets go of every source; the descriptors belong to their owners.
pub(super) fn close(this: &Obj<Loop>) {
    let sources: Vec<_> = this.sources.borrow_mut().drain().collect();
    for source in &sources {
        if let Source::Watch(watch) = source {
            for waiter in [watch.reader.take(), watch.writer.take()].into_iter().flatten() {
                if let Waiter::Handle(handle) = waiter {
                    handle.empty();
                }
            }
        }
    }
    this.watched.borrow_mut().clear();
    this.registrations.clear();
    drop(sources);
    let dirty = std::mem::take(&mut *this.dirty.borrow_mut());
    drop(dirty);
    this.sockets.clear();
    this.calls.clear();
}

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

pub(super) fn ensure_no_transport(this: &Obj<Loop>, py: Python<'_>, fd: RawFd) -> PyResult<()> {
    this.sockets.ensure_unused(py, fd, &fd.to_string())
}

/// Changes who waits for one direction of `fd`: `change` gets what is there now and leaves what is to be there.
pub(super) fn arm<R>(
    this: &Obj<Loop>,
    py: Python<'_>,
    fd: RawFd,
    side: Interest,
    change: impl FnOnce(&mut Option<Waiter>) -> R,
) -> PyResult<R> {
    keep_no_more(this, py, fd)?;
    let known = this.watched.borrow().get(&fd).copied();
    let token = match known {
        Some(token) if widen(this, fd, token, side)? => token,
        _ => {
            if let Some(stale) = known {
                abandon(this, py, fd, stale)?;
            }
            let token = this.register(fd, side, Source::Watch(Watch::new(fd, side)))?;
            this.watched.borrow_mut().insert(fd, token);
            token
        }
    };
    let sources = this.sources.borrow();
    let Some(Source::Watch(watch)) = sources.get(token) else {
        return Err(PyRuntimeError::new_err(format!("File descriptor {fd} is not a watched one")));
    };
    watch.since(side).set(this.registrations.polls());
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

pub(super) fn tell_all(py: Python<'_>, futures: &[Obj<Future>]) -> PyResult<()> {
    for fut in futures.iter().filter(|fut| !fut.is_done()) {
        future::set_result(fut, py, Obj::none(py))?;
    }
    Ok(())
}

/// Watches what is kept (`kept.rs`) like any other descriptor, for as long as somebody waits for it.
pub(super) fn keep_no_more(this: &Obj<Loop>, py: Python<'_>, fd: RawFd) -> PyResult<()> {
    let (reader, writer) = kept::release(this, fd);
    for (futures, side) in [(reader, Interest::READABLE), (writer, Interest::WRITABLE)] {
        if !futures.is_empty() {
            arm(this, py, fd, side, |place| *place = Some(Waiter::Futures(futures)))?;
        }
    }
    Ok(())
}

/// Nobody waits for one direction of a watched descriptor any more. Hands out who did.
fn disarm(this: &Obj<Loop>, token: Token, side: Interest) -> PyResult<Option<Waiter>> {
    let fd = match this.sources.borrow().get(token) {
        Some(Source::Watch(watch)) => Some(watch.fd),
        _ => None,
    };
    fd.map_or(Ok(None), |fd| disarm_fd(this, fd, side))
}

pub(super) fn disarm_fd(this: &Obj<Loop>, fd: RawFd, side: Interest) -> PyResult<Option<Waiter>> {
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

/// Has a transport told when `fd` is ready in one direction, instead of whoever was told before.
pub(super) fn watch_transport(
    this: &Obj<Loop>,
    py: Python<'_>,
    fd: RawFd,
    side: Interest,
    transport: Polled,
) -> PyResult<()> {
    match arm(this, py, fd, side, |place| place.replace(Waiter::Transport(transport)))? {
        Some(Waiter::Handle(old)) => Handle::cancel(&old, py),
        _ => Ok(()),
    }
}

/// Tells a transport no more, unless somebody else has taken its place. Does nothing if the loop is closed.
pub(super) fn unwatch_transport(this: &Obj<Loop>, fd: RawFd, side: Interest, transport: &Polled) {
    let ours = {
        let Some(token) = this.watched.borrow().get(&fd).copied() else { return };
        let sources = this.sources.borrow();
        let Some(Source::Watch(watch)) = sources.get(token) else { return };
        matches!(&*watch.side(side).borrow(), Some(Waiter::Transport(known)) if known.is(transport))
    };
    if ours {
        // A closed loop waits for nothing.
        let old = disarm_fd(this, fd, side);
        drop(old);
    }
}
