//! File descriptors: what the driver's events are for, and `add_reader`/`add_writer`.
//!
//! An event names a token, not a descriptor. Tokens carry a generation, so an event for something that was closed
//! since is stale and finds nothing, even if the descriptor's number is in use again (uvloop #763, #738, #645).

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;

use ferrio_core::driver::{Events, Interest, Token};
use ferrio_object::{Args, ClassBuilder, Obj, ThreadState, Visit};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

use super::{FromIo, Loop, Ready};
use crate::handle::Handle;
use crate::loop_ref::LoopRef;
use crate::transports::StreamTransport;

/// What a registered descriptor belongs to.
pub(crate) enum Source {
    /// `add_reader`, `add_writer`.
    Watch(Watch),
    /// A stream transport.
    Stream(Obj<StreamTransport>),
    /// A listening socket of a server.
    Listener(Obj<crate::server::Listener>),
    /// The pipe that signals are written to.
    Signals,
}

/// Handles called when a descriptor is ready.
pub(crate) struct Watch {
    fd: RawFd,
    reader: RefCell<Option<Obj<Handle>>>,
    writer: RefCell<Option<Obj<Handle>>>,
    interest: Cell<Interest>,
}

impl Source {
    pub(crate) fn traverse(&self, visit: &mut Visit<'_>) {
        match self {
            Source::Watch(watch) => {
                for handle in [&watch.reader, &watch.writer] {
                    if let Ok(Some(handle)) = handle.try_borrow().as_deref() {
                        visit.through(handle);
                    }
                }
            }
            Source::Stream(transport) => visit.obj(transport),
            Source::Listener(listener) => visit.obj(listener),
            Source::Signals => {}
        }
    }
}

/// Queues what a poll brought.
#[inline]
pub(super) fn queue_events(this: &Obj<Loop>, _py: Python<'_>, events: &Events) -> PyResult<()> {
    let mut ready = this.ready.borrow_mut();
    for event in events.iter() {
        ready.push_back(Ready::Io {
            token: event.token,
            readable: event.readable,
            writable: event.writable,
        });
    }
    Ok(())
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
        Handles(Option<Obj<Handle>>, Option<Obj<Handle>>),
        Stream(Obj<StreamTransport>),
        Listener(Obj<crate::server::Listener>),
        Signals,
    }
    let target = match this.sources.borrow().get(token) {
        None => return Ok(()),
        Some(Source::Stream(transport)) => Target::Stream(transport.clone()),
        Some(Source::Listener(listener)) => Target::Listener(listener.clone()),
        Some(Source::Signals) => Target::Signals,
        Some(Source::Watch(watch)) => Target::Handles(
            readable.then(|| watch.reader.borrow().clone()).flatten(),
            writable.then(|| watch.writer.borrow().clone()).flatten(),
        ),
    };
    match target {
        Target::Stream(transport) => StreamTransport::ready(&transport, py, readable, writable),
        Target::Listener(listener) => crate::server::Listener::ready(&listener, py),
        Target::Signals => crate::signals::arrived(this, py),
        Target::Handles(reader, writer) => {
            for handle in [reader, writer].into_iter().flatten() {
                // The reader may have removed the writer.
                if !handle.cancelled.get() {
                    Handle::run(&handle, py)?;
                }
            }
            Ok(())
        }
    }
}

/// Flushes the transports written to in this turn.
pub(super) fn flush_writes(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let dirty = std::mem::take(&mut *this.dirty.borrow_mut());
    for transport in &dirty {
        StreamTransport::flush(transport, py)?;
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
            for handle in [watch.reader.take(), watch.writer.take()].into_iter().flatten() {
                handle.empty();
            }
        }
    }
    this.watched.borrow_mut().clear();
    drop(sources);
    let dirty = std::mem::take(&mut *this.dirty.borrow_mut());
    drop(dirty);
}

impl Loop {
    /// Registers a source of our own with the driver.
    ///
    /// # Errors
    /// `OSError` from the kernel, `RuntimeError` if the loop is closed.
    pub(crate) fn register(&self, fd: RawFd, interest: Interest, source: Source) -> PyResult<Token> {
        let driver = self.driver()?;
        let token = self.sources.borrow_mut().insert(source);
        if let Err(err) = driver.register(fd, token, interest) {
            let source = self.sources.borrow_mut().remove(token);
            drop(source);
            return Err(PyOSError::new_err_from_io(err));
        }
        Ok(token)
    }

    /// Changes what a source waits for.
    ///
    /// # Errors
    /// `OSError` from the kernel.
    pub(crate) fn reregister(&self, fd: RawFd, token: Token, interest: Interest) -> PyResult<()> {
        self.driver()?.reregister(fd, token, interest).map_err(PyOSError::new_err_from_io)
    }

    /// Takes a source out. Call it before the descriptor is closed. Does nothing if the loop is closed.
    pub(crate) fn deregister(&self, fd: RawFd, token: Token) {
        if let Some(driver) = self.open_driver() {
            // ENOENT and EBADF say that it is gone already, which is what is wanted.
            let _ = driver.deregister(fd);
        }
        let source = self.sources.borrow_mut().remove(token);
        drop(source);
    }
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

fn ensure_no_transport(this: &Obj<Loop>, py: Python<'_>, fd: RawFd) -> PyResult<()> {
    if let Some(transport) = crate::transports::using(this, fd) {
        let shown = transport.bind(py).repr()?;
        return Err(PyRuntimeError::new_err(format!(
            "File descriptor {fd} is used by transport {shown}"
        )));
    }
    Ok(())
}

fn watch(
    this: &Obj<Loop>,
    py: Python<'_>,
    args: Args<'_, '_>,
    side: Interest,
    name: &'static str,
) -> PyResult<Obj<Handle>> {
    if args.len() < 2 || args.has_keywords() {
        return Err(PyTypeError::new_err(format!("{name}() takes a file descriptor, a callback and its arguments")));
    }
    this.check_closed()?;
    let mut rest = args.iter();
    let (Some(file), Some(callback)) = (rest.next(), rest.next()) else { unreachable!("checked above") };
    let fd = fileno(py, file)?;
    ensure_no_transport(this, py, fd)?;
    let context = ThreadState::copy_context(py)?;
    let arguments = rest.map(Obj::from).collect();
    let handle = Handle::new(callback.into(), arguments, context, LoopRef::Native(this.clone()));
    let handle: Obj<Handle> = Obj::create(py, ((), handle))?;
    let driver = this.driver()?;
    let known = this.watched.borrow().get(&fd).copied();
    let (token, before) = match known {
        Some(token) => {
            let sources = this.sources.borrow();
            let Some(Source::Watch(watch)) = sources.get(token) else {
                return Err(PyRuntimeError::new_err(format!("File descriptor {fd} is not a watched one")));
            };
            (token, watch.interest.get())
        }
        None => {
            let watch = Watch {
                fd,
                reader: RefCell::new(None),
                writer: RefCell::new(None),
                interest: Cell::new(side),
            };
            let token = this.sources.borrow_mut().insert(Source::Watch(watch));
            if let Err(err) = driver.register(fd, token, side) {
                this.sources.borrow_mut().remove(token);
                return Err(PyOSError::new_err_from_io(err));
            }
            this.watched.borrow_mut().insert(fd, token);
            (token, side)
        }
    };
    let after = before.with(side);
    if after != before {
        driver.reregister(fd, token, after).map_err(PyOSError::new_err_from_io)?;
    }
    let old = {
        let sources = this.sources.borrow();
        let Some(Source::Watch(watch)) = sources.get(token) else { unreachable!("looked up above") };
        watch.interest.set(after);
        let place = if side.is_readable() { &watch.reader } else { &watch.writer };
        place.replace(Some(handle.clone()))
    };
    if let Some(old) = old {
        Handle::cancel(&old, py)?;
    }
    Ok(handle)
}

fn unwatch(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>, side: Interest) -> PyResult<bool> {
    if this.is_closed() {
        return Ok(false);
    }
    let fd = fileno(py, file)?;
    ensure_no_transport(this, py, fd)?;
    let Some(token) = this.watched.borrow().get(&fd).copied() else { return Ok(false) };
    let (old, left) = {
        let sources = this.sources.borrow();
        let Some(Source::Watch(watch)) = sources.get(token) else { return Ok(false) };
        let place = if side.is_readable() { &watch.reader } else { &watch.writer };
        let left = watch.interest.get().without(side);
        watch.interest.set(left);
        (place.take(), left)
    };
    if left.is_empty() {
        this.watched.borrow_mut().remove(&fd);
        this.deregister(fd, token);
    } else {
        this.reregister(fd, token, left)?;
    }
    match old {
        Some(old) => Handle::cancel(&old, py).map(|()| true),
        None => Ok(false),
    }
}

fn add_reader(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    watch(this, py, args, Interest::READABLE, "add_reader").map(drop)
}

fn add_writer(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    watch(this, py, args, Interest::WRITABLE, "add_writer").map(drop)
}

fn add_reader_handle(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Handle>> {
    watch(this, py, args, Interest::READABLE, "_add_reader")
}

fn add_writer_handle(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Handle>> {
    watch(this, py, args, Interest::WRITABLE, "_add_writer")
}

fn remove_reader(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    unwatch(this, py, file, Interest::READABLE)
}

fn remove_writer(this: &Obj<Loop>, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<bool> {
    unwatch(this, py, file, Interest::WRITABLE)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method("add_reader", add_reader, "add_reader($self, fd, callback, /, *args)\n--\n\n\
            Call callback(*args) whenever fd can be read. Replaces an earlier callback.")
        .method("add_writer", add_writer, "add_writer($self, fd, callback, /, *args)\n--\n\n\
            Call callback(*args) whenever fd can be written. Replaces an earlier callback.")
        .method1("remove_reader", remove_reader, "remove_reader($self, fd, /)\n--\n\n\
            Stop calling the reader of fd. Returns whether there was one.")
        .method1("remove_writer", remove_writer, "remove_writer($self, fd, /)\n--\n\n\
            Stop calling the writer of fd. Returns whether there was one.")
        .method("_add_reader", add_reader_handle, "")
        .method("_add_writer", add_writer_handle, "")
        .method1("_remove_reader", remove_reader, "")
        .method1("_remove_writer", remove_writer, "");
}
