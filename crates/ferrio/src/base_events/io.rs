//! What the driver's events are for: each goes to the source that its token names (`event_loop/sources.rs`).

use ferrio_core::driver::{Events, Interest, Readiness, Token};
use ferrio_object::{Erased, Obj};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::child_watchers::WatchedChild;
use super::{calls, children};
use crate::event_loop::watches::{disarm, tell_all};
use crate::event_loop::{Futures, Handle, Loop, Ready, Source, Waiter, held_writes};
use crate::exceptions::FromIo;
use crate::server::Listener;
use crate::subprocess::SubprocessTransport;
use crate::transports::{DatagramTransport, ReadPipe, StreamTransport, WritePipe};

/// Queues what a poll brought.
#[inline]
pub(super) fn queue_events(this: &Obj<Loop>, py: Python<'_>, events: &Events) -> PyResult<()> {
    this.registrations.note_poll();
    this.sockets.spare.rewind();
    {
        let mut ready = this.ready.borrow_mut();
        for event in events.iter() {
            ready.push_back_with(|| Ready::Io { token: event.token, readiness: event.readiness() });
        }
    }
    if events.woken() { calls::deliver(this, py) } else { Ok(()) }
}

/// Polls without waiting, and serves what there is at once.
///
/// # Errors
/// `OSError` from the driver; `KeyboardInterrupt`, `SystemExit`.
pub(super) fn serve_now(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let driver = this.driver()?;
    let mut events = Events::new();
    driver.poll(&mut events, Some(std::time::Duration::ZERO)).map_err(PyOSError::new_err_from_io)?;
    this.registrations.note_poll();
    for event in events.iter() {
        dispatch(this, py, event.token, event.readiness())?;
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
pub(super) fn dispatch(this: &Obj<Loop>, py: Python<'_>, token: Token, readiness: Readiness) -> PyResult<()> {
    enum Target {
        Futures(Futures, Futures),
        Waiters(Option<Waiter>, Option<Waiter>),
        Stream(Erased),
        Listener(Erased),
        Signals,
        Files,
    }
    let target = match this.sources.borrow().get(token) {
        None => return Ok(()),
        Some(Source::Stream(transport)) => Target::Stream(transport.clone()),
        Some(Source::Listener(listener)) => Target::Listener(listener.clone()),
        Some(Source::Signals) => Target::Signals,
        Some(Source::Kept(kept)) => {
            let (reader, writer) = kept.woken(readiness);
            Target::Futures(reader, writer)
        }
        Some(Source::Files) => Target::Files,
        Some(Source::Watch(watch)) => {
            let polls = this.registrations.poll_count();
            Target::Waiters(
                if readiness.readable { watch.meant(Interest::READABLE, polls) } else { None },
                if readiness.writable { watch.meant(Interest::WRITABLE, polls) } else { None },
            )
        }
    };
    match target {
        Target::Stream(transport) => match transport.get() {
            Some(transport) => StreamTransport::ready(transport, py, readiness),
            None => Ok(()),
        },
        Target::Listener(listener) => listener.get().map_or(Ok(()), |listener| Listener::ready(listener, py)),
        Target::Signals => super::signals::arrived(this, py),
        Target::Futures(reader, writer) => {
            tell_all(py, &reader)?;
            tell_all(py, &writer)
        }
        Target::Files => crate::files::arrived(this, py),
        Target::Waiters(reader, writer) => {
            for (waiter, side) in [(reader, Interest::READABLE), (writer, Interest::WRITABLE)] {
                if this.held.wait_for_step() {
                    // What the reader wrote, before the writer is called.
                    held_writes::send_all(this, py)?;
                }
                match waiter {
                    None => {}
                    // The reader may have removed the writer.
                    Some(Waiter::Handle(handle)) if handle.cancelled.get() => {}
                    Some(Waiter::Handle(handle)) if handle.replaces_any() => {
                        Handle::run_by_name(&handle, py)?;
                    }
                    Some(Waiter::Handle(handle)) => Handle::run_kept(&handle, py, this)?,
                    Some(Waiter::Transport(transport)) => tell_transport(this, &transport, py, side)?,
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
    this.held.clear();
    this.sockets.clear();
    this.calls.clear();
}

/// Tells one of the transports that wait in the table of `add_reader`.
///
/// # Errors
/// `KeyboardInterrupt`, `SystemExit`.
#[inline]
fn tell_transport(this: &Obj<Loop>, transport: &Erased, py: Python<'_>, side: Interest) -> PyResult<()> {
    if let Some(transport) = transport.get::<DatagramTransport>() {
        DatagramTransport::ready(transport, py, side)
    } else if let Some(transport) = transport.get::<ReadPipe>() {
        ReadPipe::ready(transport, py)
    } else if let Some(transport) = transport.get::<WritePipe>() {
        WritePipe::ready(transport, py, side)
    } else if let Some(transport) = transport.get::<SubprocessTransport>() {
        children::ended(this, py, transport)
    } else if let Some(child) = transport.get::<WatchedChild>() {
        children::ended(this, py, child)
    } else {
        Ok(())
    }
}
