//! Sending datagrams: at once, or in batches where several wait.
//!
//! Addresses that are numbers are understood here; anything else (a name, a broadcast address, a wrong type) goes
//! through the socket's own `sendto()`, which resolves it or says what is wrong with it.

use std::io;

use ferrio_core::batch_timing::BatchTiming;
use ferrio_core::driver::datagram::{self, BATCH, Outgoing};
use ferrio_core::driver::{Address, Interest, socket};
use ferrio_object::{Args, BufferPlace, Erased, Obj, Signature};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use smallvec::SmallVec;

use super::address::{self, refuse_null};
use super::attached::Cause;
use super::chunk::{Chunk, Data};
use super::datagram::{DatagramTransport, MODULE};
use super::flow::Flow;
use crate::event_loop::held_writes;
use crate::exceptions::{self, FromIo, would_block};
use crate::log::{self, Level};

/// asyncio's `constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES`.
const WARN_AFTER: u32 = 5;
/// What a queued datagram counts for besides its data, in bytes: empty ones count too since 3.13.
const HEADER: usize = if cfg!(Py_3_13) { 8 } else { 0 };
/// Datagrams that are held back until a batch is delivered.
const HOLD: usize = 4 * BATCH;

/// Where a datagram goes.
#[derive(Clone)]
pub(super) enum Destination {
    Connected,
    To(Address),
    /// As it was given, for the socket's own `sendto()`.
    Given(Obj),
}

ferrio_object::traverse!(
    enum Destination {
        Connected,
        To(address),
        Given(address),
    }
);
impl Destination {
    pub(super) fn shown(&self, py: Python<'_>) -> Obj {
        match self {
            Destination::Connected => Obj::none(py),
            Destination::Given(address) => address.clone(),
            Destination::To(address) => {
                address::shown(py, address).ok().flatten().unwrap_or_else(|| Obj::none(py))
            }
        }
    }
}

/// A datagram that waits to be sent.
pub(super) struct Queued {
    data: Chunk,
    to: Destination,
}

ferrio_object::traverse!(struct Queued { data, to });

impl Queued {
    fn size(&self) -> usize {
        self.data.as_ref().len() + HEADER
    }

    /// The datagram as one of a batch; `None` if Python has to send it.
    fn outgoing(&self) -> Option<Outgoing<'_>> {
        match &self.to {
            Destination::Connected => Some((self.data.as_ref(), None)),
            Destination::To(address) => Some((self.data.as_ref(), Some(address))),
            Destination::Given(_) => None,
        }
    }

    /// Copies of the data and of where it goes: to make Python objects of them while the queue is borrowed may run the
    /// collector.
    pub(super) fn parts(&self) -> (Vec<u8>, Destination) {
        (self.data.as_ref().to_vec(), self.to.clone())
    }
}

/// What became of an attempt.
enum Attempt {
    Sent,
    /// The kernel takes nothing now.
    Full,
    /// An error of the network, for `error_received()`.
    Error(Obj),
    /// Anything else that Python's `sendto()` raised.
    Fatal(PyErr),
}

impl Attempt {
    fn of(py: Python<'_>, sent: io::Result<usize>) -> Self {
        match sent {
            Ok(_) => Attempt::Sent,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Attempt::Full,
            Err(err) => Attempt::Error(exceptions::value_of(py, PyOSError::new_err_from_io(err))),
        }
    }
}

impl DatagramTransport {
    /// `sendto(data, addr=None)`.
    ///
    /// # Errors
    /// `TypeError` for what is not bytes-like, `ValueError` for another address than the endpoint's own; what the
    /// protocol's `error_received()` raises.
    pub(super) fn sendto(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> = Signature::new("sendto", ["data", "addr"]).required(1);
        let [data, given] = args.bind(&SIGNATURE)?;
        let Some(data) = data else { return Ok(()) };
        let mut place = BufferPlace::new();
        let data = Data::new(&mut place, py, data)?;
        this.send_others(py)?;
        if !cfg!(Py_3_13) && data.len() == 0 {
            return Ok(());
        }
        let given = given.filter(|given| !given.is_none());
        let own = this.address.get();
        if let (Some(own), Some(given)) = (&own, given)
            && !given.eq(own)?
        {
            let own = own.bind(py).str()?;
            return Err(PyValueError::new_err(format!("Invalid address: must be None or {own}")));
        }
        if this.conn_lost.get() > 0 && (own.is_some() || !this.sock.is_open()) {
            return Self::send_to_lost(this, py);
        }
        let to = match &own {
            Some(own) => Self::destination(this, py, Some(own.bind(py))),
            None => Self::destination(this, py, given),
        };
        let held_back =
            this.delivering.get() && !this.watched.get().is_writable() && Self::is_to_wait(this, py);
        if !held_back && this.queue.borrow().is_empty() {
            match Self::attempt(this, py, &data, &to) {
                Attempt::Sent => return Ok(()),
                Attempt::Full => Self::wait_for_kernel(this, py)?,
                Attempt::Error(exc) => return Self::error_received(this, py, &exc),
                Attempt::Fatal(err) if exceptions::is_exit(py, &err) => return Err(err),
                Attempt::Fatal(err) => {
                    return Self::fatal_error(this, py, err, "Fatal write error on datagram transport");
                }
            }
        }
        let (data, buffer) = data.into_rest(py, 0);
        let item = Queued { data, to };
        this.queued.set(this.queued.get() + item.size());
        let waiting = {
            let mut queue = this.queue.borrow_mut();
            queue.push_back(item);
            queue.len()
        };
        let outcome = match held_back {
            true if waiting >= HOLD => Self::send_held_back(this, py),
            true => Ok(()),
            false => Self::pause_protocol(this, py),
        };
        // To release it may run Python code, which may send with us: all is in its place.
        drop(buffer);
        outcome
    }

    #[cold]
    fn send_to_lost(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.conn_lost.get() >= WARN_AFTER {
            log::write(py, MODULE, Level::Warning, ("socket.send() raised exception.",))?;
        }
        this.conn_lost.set(this.conn_lost.get() + 1);
        Ok(())
    }

    #[inline]
    fn destination(this: &Obj<Self>, py: Python<'_>, given: Option<&Bound<'_, PyAny>>) -> Destination {
        let Some(given) = given else {
            // Without either, the socket's own method says what is missing.
            return if this.connected.get() {
                Destination::Connected
            } else {
                Destination::Given(Obj::none(py))
            };
        };
        if this.connected.get() {
            return Destination::Connected;
        }
        if let Some((shown, known)) = &*this.last.borrow()
            && shown.is_bound(given)
        {
            return Destination::To(known.clone());
        }
        let Some(parsed) = address::parsed(given, this.family.get()) else {
            return Destination::Given(given.into());
        };
        let old = this.last.replace(Some((given.into(), parsed.clone())));
        drop(old);
        Destination::To(parsed)
    }

    #[inline]
    fn attempt(this: &Obj<Self>, py: Python<'_>, data: &Data<'_>, to: &Destination) -> Attempt {
        if let Some(event_loop) = this.attached.event_loop() {
            event_loop.expect_io();
        }
        let fd = this.live_fd(py);
        match to {
            Destination::Connected => Attempt::of(py, data.with(py, |bytes| socket::send(fd, bytes))),
            Destination::To(address) => {
                Attempt::of(py, data.with(py, |bytes| socket::send_to(fd, bytes, address)))
            }
            Destination::Given(address) => {
                let data = PyBytes::new(py, &data.with(py, <[u8]>::to_vec));
                Self::attempt_by_method(this, py, &data, address)
            }
        }
    }

    fn attempt_by_method(
        this: &Obj<Self>,
        py: Python<'_>,
        data: &Bound<'_, PyBytes>,
        address: &Obj,
    ) -> Attempt {
        let sent = refuse_null(address.bind(py))
            .and_then(|()| this.sock.object(py))
            .and_then(|sock| sock.bind(py).call_method1(intern!(py, "sendto"), (data, address)));
        match sent {
            Ok(_) => Attempt::Sent,
            Err(err) if would_block(py, &err) => {
                ferrio_object::swallow(py, err);
                Attempt::Full
            }
            Err(err) if err.is_instance_of::<PyOSError>(py) => Attempt::Error(exceptions::value_of(py, err)),
            Err(err) => Attempt::Fatal(err),
        }
    }

    /// Reports to what decides about holding back.
    #[inline]
    pub(super) fn time<R>(&self, report: impl FnOnce(&mut BatchTiming) -> R) -> R {
        let mut timing = self.timing.get();
        let answer = report(&mut timing);
        self.timing.set(timing);
        answer
    }

    /// Whether what is sent while a batch is delivered is held back.
    fn is_to_wait(this: &Obj<Self>, py: Python<'_>) -> bool {
        let Some(event_loop) = this.attached.event_loop() else { return false };
        let waits = this.time(|timing| timing.send(event_loop.held.gathering()));
        if waits && !this.listed.replace(true) {
            held_writes::add(&event_loop, py, Erased::new(this.clone()), |transport, py| {
                let Some(this) = transport.get::<Self>() else { return Ok(()) };
                this.listed.set(false);
                let sent = Self::send_held_back(this, py);
                this.attached.report_named(py, this, "_sendto_ready()", sent)
            });
        }
        waits
    }

    /// Sends what another transport of the loop holds back, so that bytes leave in the order of the writes.
    #[inline]
    pub(super) fn send_others(&self, py: Python<'_>) -> PyResult<()> {
        match self.attached.event_loop() {
            Some(event_loop) if event_loop.held.wait_for_step() && !self.listed.get() => {
                held_writes::send_all(&event_loop, py)
            }
            _ => Ok(()),
        }
    }

    /// Sends what is held back during the delivery of a batch.
    pub(super) fn send_held_back(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.delivering.get() || this.watched.get().is_writable() || this.queue.borrow().is_empty() {
            return Ok(());
        }
        this.time(|timing| timing.sends_held(held_writes::now()));
        Self::send_queue(this, py)?;
        Self::pause_protocol(this, py)
    }

    /// The kernel takes no more now.
    fn wait_for_kernel(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        this.attached.copy_context(py, Cause::Writing)?;
        Self::watch(this, py, Interest::WRITABLE)
    }

    /// Sends what is queued, as much as the kernel takes.
    pub(super) fn send_queue(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        while this.conn_lost.get() == 0 {
            match Self::send_some(this, py) {
                None => break,
                Some(Attempt::Sent) => {}
                Some(Attempt::Full) => {
                    if !this.watched.get().is_writable() {
                        Self::wait_for_kernel(this, py)?;
                    }
                    break;
                }
                Some(Attempt::Error(exc)) => Self::error_received(this, py, &exc)?,
                Some(Attempt::Fatal(err)) if exceptions::is_exit(py, &err) => return Err(err),
                Some(Attempt::Fatal(err)) => {
                    return Self::fatal_error(this, py, err, "Fatal write error on datagram transport");
                }
            }
        }
        Self::resume_protocol(this, py)?;
        if !this.queue.borrow().is_empty() || this.conn_lost.get() > 0 {
            return Ok(());
        }
        Self::unwatch(this, Interest::WRITABLE);
        if this.closing.get() {
            this.conn_lost.set(this.conn_lost.get() + 1);
            return Self::connection_lost(this, py, None);
        }
        Ok(())
    }

    /// Sends the front of the queue: a batch, or one that takes Python. `None` if nothing waits.
    fn send_some(this: &Obj<Self>, py: Python<'_>) -> Option<Attempt> {
        enum Front<'py> {
            Batch(io::Result<usize>),
            Given(Bound<'py, PyBytes>, Obj),
        }
        let front = {
            let queue = this.queue.borrow();
            let first = queue.front()?;
            if let Destination::Given(address) = &first.to {
                Front::Given(PyBytes::new(py, first.data.as_ref()), address.clone())
            } else {
                let outgoing: SmallVec<[Outgoing<'_>; BATCH]> =
                    queue.iter().take(BATCH).map_while(Queued::outgoing).collect();
                Front::Batch(datagram::send_batch(this.live_fd(py), &outgoing))
            }
        };
        match front {
            Front::Batch(sent) => {
                this.forget(match &sent {
                    Ok(count) => *count,
                    // The one that the error is about is gone too.
                    Err(err) => usize::from(err.kind() != io::ErrorKind::WouldBlock),
                });
                Some(Attempt::of(py, sent))
            }
            Front::Given(data, address) => {
                let attempt = Self::attempt_by_method(this, py, &data, &address);
                if !matches!(attempt, Attempt::Full) {
                    this.forget(1);
                }
                Some(attempt)
            }
        }
    }

    /// Takes datagrams off the front of the queue.
    fn forget(&self, count: usize) {
        let gone: SmallVec<[Queued; BATCH]> = {
            let mut queue = self.queue.borrow_mut();
            let count = count.min(queue.len());
            queue.drain(..count).collect()
        };
        let size: usize = gone.iter().map(Queued::size).sum();
        self.queued.set(self.queued.get() - size);
    }
}
