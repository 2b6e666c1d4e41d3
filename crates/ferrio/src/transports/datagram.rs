//! The datagram endpoint's class: what it holds, receiving, and its end. Sending is in `datagram_send.rs`.
//!
//! One event brings everything that has arrived, up to a batch (`driver/datagram.rs`); `datagram_received()` is called
//! for each. What the protocol sends meanwhile may be held back to go out together: then an echo server makes two
//! syscalls for sixteen datagrams. `ferrio_core::batch_timing` decides; whatever the program does to look, or to send
//! elsewhere, sends what is held first. Sockets of other families than IPv4, IPv6 and Unix go through Python's own
//! methods, which know their addresses.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::os::fd::RawFd;

use ferrio_core::batch_timing::BatchTiming;
use ferrio_core::driver::datagram::INET_SLOT;
use ferrio_core::driver::{Address, Interest, socket};
use ferrio_core::write_queue::FlowControl;
use ferrio_object::{Any, Args, Class, ClassBuilder, GilStatic, Obj, ObjCell, Signature, Traverse};
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::address::{self, Family};
use super::attached::{Attached, Cause, warn_unclosed};
use super::datagram_send::Queued;
use super::extra_info::ExtraInfo;
use super::flow::Flow;
use super::held_socket::{Connected, HeldSocket};
use crate::event_loop::{Loop, SCRATCH_LEN, held_writes, watches};
use crate::exceptions::{self, FromIo};

/// Whose `logger` is used.
pub(super) const MODULE: &str = "ferrio.selector_events";

/// The contents of a datagram endpoint.
pub struct DatagramTransport {
    pub(super) attached: Attached,
    pub(super) fd: Cell<RawFd>,
    pub(super) sock: HeldSocket,
    extra: ExtraInfo,
    pub(super) family: Cell<Family>,
    /// asyncio's `_address`: where `create_datagram_endpoint(remote_addr=…)` said that everything goes.
    pub(super) address: ObjCell,
    pub(super) connected: Cell<bool>,
    /// The address of the last datagram in both forms: the next one's is mostly the same.
    pub(super) last: RefCell<Option<(Obj, Address)>>,
    pub(super) queue: RefCell<VecDeque<Queued>>,
    /// Size of the queue as flow control counts it.
    pub(super) queued: Cell<usize>,
    pub(super) flow: Cell<FlowControl>,
    /// A batch is being delivered: what is sent may be held back.
    pub(super) delivering: Cell<bool>,
    /// Whether it is, and for how long.
    pub(super) timing: Cell<BatchTiming>,
    /// On the loop's list of transports that hold something back.
    pub(super) listed: Cell<bool>,
    /// Datagrams that were received before a `KeyboardInterrupt` came out of the protocol.
    undelivered: RefCell<VecDeque<(Obj, Obj)>>,
    pub(super) watched: Cell<Interest>,
    /// asyncio's `_conn_lost`: not zero from when `connection_lost()` is scheduled on; counts sends after that.
    pub(super) conn_lost: Cell<u32>,
    pub(super) closing: Cell<bool>,
}

/// `ferrio.selector_events._SelectorDatagramTransport`.
fn python_class(py: Python<'_>) -> PyResult<&Obj> {
    static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
    let cell = CLASS.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = crate::imported::module(py, MODULE)?.getattr("_SelectorDatagramTransport")?;
    Ok(cell.get_or_init(|| class.into()))
}

impl Flow for DatagramTransport {
    fn attached(&self) -> &Attached {
        &self.attached
    }

    fn flow(&self) -> &Cell<FlowControl> {
        &self.flow
    }

    fn pending(&self) -> usize {
        // What is held back until a batch is delivered has not been offered to the kernel.
        if self.delivering.get() && !self.watched.get().is_writable() { 0 } else { self.queued.get() }
    }

    fn offer(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::send_held_back(this, py)
    }
}

impl DatagramTransport {
    /// An endpoint over a non-blocking socket; `connection_made()` is called in the next turn.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed or the descriptor is another transport's, what the socket raises.
    pub(crate) fn open(
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        sock: &Obj,
        protocol: &Obj,
        address: Option<Obj>,
        waiter: Option<Obj>,
        extra: Option<Obj>,
    ) -> PyResult<Obj<Self>> {
        event_loop.check_closed()?;
        let this = Obj::<Self>::create_of(py, python_class(py)?)?;
        this.address.set(address);
        Self::begin(&this, py, event_loop, sock, protocol, waiter, extra)?;
        Ok(this)
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<6> = Signature::new(
            "_SelectorDatagramTransport",
            ["loop", "sock", "protocol", "address", "waiter", "extra"],
        )
        .required(3);
        let [event_loop, sock, protocol, address, waiter, extra] = args.bind(&SIGNATURE)?;
        let (Some(event_loop), Some(sock), Some(protocol)) = (event_loop, sock, protocol) else {
            return Ok(());
        };
        let Some(event_loop) = Obj::<Loop>::from_bound(event_loop) else {
            return Err(PyTypeError::new_err("a transport of ferrio's needs a loop of ferrio's"));
        };
        this.address.set(Obj::unless_none(address));
        Self::begin(
            this,
            py,
            event_loop,
            &sock.into(),
            &protocol.into(),
            Obj::unless_none(waiter),
            Obj::unless_none(extra),
        )
    }

    fn begin(
        this: &Obj<Self>,
        py: Python<'_>,
        event_loop: &Obj<Loop>,
        sock: &Obj,
        protocol: &Obj,
        waiter: Option<Obj>,
        extra: Option<Obj>,
    ) -> PyResult<()> {
        let sock = Connected::Socket(sock.clone());
        let fd = sock.number(py)?;
        event_loop.sockets.claim(py, fd, this)?;
        this.fd.set(fd);
        this.sock.begin(py, sock);
        let (local, peer) = (socket::local_address(fd).ok(), socket::peer_address(fd).ok());
        this.family.set(local.as_ref().map_or(Family::Other, Family::of));
        this.connected.set(peer.is_some());
        this.extra.begin(py, extra, local, peer)?;
        // An empty address stands for none, as it does in asyncio.
        if let Some(address) = this.address.get()
            && !address.bind(py).is_truthy()?
        {
            this.address.set(None);
        }
        this.attached.begin(py, event_loop, protocol, waiter)?;
        this.attached.call_soon(py, "connection_made", this, None, |py, held, _| {
            held[0].cast::<Self>().map_or(Ok(()), |this| Self::made(this, py))
        })
    }

    /// The first callback: `connection_made()`, then receiving begins, then the waiter is woken.
    fn made(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let attached = &this.attached;
        if let Some(protocol) = attached.protocol() {
            let made = protocol.bind(py).call_method1(intern!(py, "connection_made"), (this,)).map(drop);
            attached.report_named(py, this, "connection_made()", made)?;
        }
        if !this.closing.get() {
            let started = Self::watch(this, py, Interest::READABLE);
            attached.report_named(py, this, "_add_reader()", started)?;
        }
        attached.wake_waiter(py)
    }

    pub(super) fn watch(this: &Obj<Self>, py: Python<'_>, side: Interest) -> PyResult<()> {
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        this.watched.set(this.watched.get().with(side));
        watches::watch_transport(&event_loop, py, this.fd.get(), side, this.clone())
    }

    pub(super) fn unwatch(this: &Obj<Self>, side: Interest) {
        let left = this.watched.get().without(side);
        if left != this.watched.replace(left)
            && let Some(event_loop) = this.attached.event_loop()
        {
            watches::unwatch_transport(&event_loop, this.fd.get(), side, this.as_any());
        }
    }

    /// The descriptor for a syscall: -1 if the socket is closed, also if that was not our doing.
    #[inline]
    pub(super) fn live_fd(&self, py: Python<'_>) -> RawFd {
        self.sock.live_fd(py, self.fd.get())
    }

    /// Serves an event.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>, side: Interest) -> PyResult<()> {
        if side.is_readable() && this.watched.get().is_readable() {
            Self::read_ready(this, py)
        } else if side.is_writable() && this.watched.get().is_writable() {
            let outcome = this.attached.run(py, Cause::Writing, || Self::send_queue(this, py));
            this.attached.report_named(py, this, "_sendto_ready()", outcome)
        } else {
            Ok(())
        }
    }

    fn read_ready(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let slot = match this.family.get() {
            Family::Inet | Family::Inet6 => INET_SLOT,
            Family::Unix => SCRATCH_LEN,
            Family::Other => return Self::read_by_method(this, py),
        };
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        let mut inbox = event_loop.sockets.take_inbox();
        let count = match inbox.receive(this.live_fd(py), slot) {
            Ok(count) => count,
            Err(err) => {
                event_loop.sockets.put_inbox(inbox);
                if err.kind() == std::io::ErrorKind::WouldBlock {
                    return Ok(());
                }
                let exc = exceptions::value_of(py, PyOSError::new_err_from_io(err));
                let told = this.attached.run(py, Cause::Reading, || Self::error_received(this, py, &exc));
                return this.attached.report_named(py, this, "_read_ready()", told);
            }
        };
        this.delivering.set(count > 1);
        if count > 1 {
            this.time(|timing| timing.batch_begins(held_writes::now()));
        }
        let mut outcome = Ok(());
        for i in 0..count {
            if this.closing.get() {
                break;
            }
            let (data, sender) = inbox.datagram(i);
            let data = PyBytes::new(py, data).into_any().into();
            let sender = match Self::sender(this, py, sender) {
                Ok(sender) => sender,
                Err(err) => {
                    outcome = this.attached.report_named(py, this, "_read_ready()", Err(err));
                    continue;
                }
            };
            if outcome.is_ok() {
                outcome = Self::deliver(this, py, &data, &sender);
            } else {
                // The loop is to end; what has been taken from the kernel must not be lost.
                this.undelivered.borrow_mut().push_back((data, sender));
            }
        }
        event_loop.sockets.put_inbox(inbox);
        if this.delivering.get() {
            outcome = outcome.and(Self::send_delivered(this, py));
            this.delivering.set(false);
            this.time(|timing| timing.batch_ended(held_writes::now()));
        }
        if !this.undelivered.borrow().is_empty() {
            this.attached.call_soon(py, "datagram_received", this, None, |py, held, _| {
                held[0].cast::<Self>().map_or(Ok(()), |this| Self::deliver_rest(this, py))
            })?;
        }
        outcome
    }

    fn deliver(this: &Obj<Self>, py: Python<'_>, data: &Obj, sender: &Obj) -> PyResult<()> {
        let Some(protocol) = this.attached.protocol() else { return Ok(()) };
        let told = this.attached.run(py, Cause::Reading, || {
            protocol.bind(py).call_method1(intern!(py, "datagram_received"), (data, sender)).map(drop)
        });
        // What the protocol wrote to a stream, before the next datagram of the batch: asyncio receives that in another
        // callback.
        this.send_others(py)?;
        if this.timing.get().holds() && this.time(|timing| timing.delivered(held_writes::now())) {
            Self::send_delivered(this, py)?;
        }
        match told {
            Ok(()) => Ok(()),
            told => this.attached.report_named(py, this, "_read_ready()", told),
        }
    }

    /// Sends what is held back, from the loop: in the context in which the protocol has sent it.
    fn send_delivered(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.queue.borrow().is_empty() {
            return Ok(());
        }
        let sent = this.attached.run(py, Cause::Reading, || Self::send_held_back(this, py));
        this.attached.report_named(py, this, "_sendto_ready()", sent)
    }

    /// The loop runs again.
    fn deliver_rest(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        loop {
            let next = this.undelivered.borrow_mut().pop_front();
            let (Some((data, sender)), Some(protocol)) = (next, this.attached.protocol()) else {
                return Ok(());
            };
            if !this.closing.get() {
                let told = this.attached.run(py, Cause::Reading, || {
                    protocol.bind(py).call_method1(intern!(py, "datagram_received"), (data, sender)).map(drop)
                });
                this.attached.report_named(py, this, "_read_ready()", told)?;
            }
        }
    }

    /// The address of a sender as Python shows it.
    fn sender(this: &Obj<Self>, py: Python<'_>, sender: Address) -> PyResult<Obj> {
        if let Some((shown, known)) = &*this.last.borrow()
            && *known == sender
        {
            return Ok(shown.clone());
        }
        // A sender without an address, as one end of a socket pair, is shown as `None`.
        let shown = address::shown(py, &sender)?.unwrap_or_else(|| Obj::none(py));
        let old = this.last.replace(Some((shown.clone(), sender)));
        drop(old);
        Ok(shown)
    }

    /// Receives through the socket's own method.
    fn read_by_method(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        let (Some(sock), Some(protocol)) = (this.sock.open_object(py)?, this.attached.protocol()) else {
            return Ok(());
        };
        let outcome = this.attached.run(py, Cause::Reading, || {
            match sock.bind(py).call_method1(intern!(py, "recvfrom"), (SCRATCH_LEN,)) {
                Ok(received) => {
                    let (data, sender) = (received.get_item(0)?, received.get_item(1)?);
                    protocol.bind(py).call_method1(intern!(py, "datagram_received"), (data, sender)).map(drop)
                }
                Err(err) if crate::exceptions::would_block(py, &err) => Ok(()),
                Err(err) if err.is_instance_of::<PyOSError>(py) => {
                    Self::error_received(this, py, &exceptions::value_of(py, err))
                }
                Err(err) if exceptions::is_exit(py, &err) => Err(err),
                Err(err) => Self::fatal_error(this, py, err, "Fatal read error on datagram transport"),
            }
        });
        this.attached.report_named(py, this, "_read_ready()", outcome)
    }

    /// An error of the network that the endpoint survives.
    pub(super) fn error_received(this: &Obj<Self>, py: Python<'_>, exc: &Obj) -> PyResult<()> {
        let Some(protocol) = this.attached.protocol() else { return Ok(()) };
        protocol.bind(py).call_method1(intern!(py, "error_received"), (exc,)).map(drop)
    }

    pub(super) fn fatal_error(this: &Obj<Self>, py: Python<'_>, err: PyErr, message: &str) -> PyResult<()> {
        let exc = exceptions::value_of(py, err);
        if exc.bind(py).is_instance_of::<PyOSError>() {
            this.attached.log_error(py, MODULE, this, message, &exc)?;
        } else {
            this.attached.report(py, this, message, ferrio_object::raise(py, &exc))?;
        }
        Self::force_close(this, py, Some(exc))
    }

    fn lose(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        this.conn_lost.set(this.conn_lost.get() + 1);
        this.attached.call_soon(py, "connection_lost", this, exc, |py, held, _| {
            let Some(this) = held[0].cast::<Self>() else { return Ok(()) };
            Self::connection_lost(this, py, held.get(1))
        })
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.closing.get() {
            return Ok(());
        }
        Self::send_held_back(this, py)?;
        if this.closing.replace(true) {
            return Ok(());
        }
        Self::unwatch(this, Interest::READABLE);
        if this.queue.borrow().is_empty() { Self::lose(this, py, None) } else { Ok(()) }
    }

    fn abort(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::send_held_back(this, py)?;
        Self::force_close(this, py, None)
    }

    fn force_close(this: &Obj<Self>, py: Python<'_>, exc: Option<Obj>) -> PyResult<()> {
        if this.conn_lost.get() > 0 {
            return Ok(());
        }
        let queue = this.queue.take();
        this.queued.set(0);
        drop(queue);
        this.closing.set(true);
        Self::unwatch(this, Interest::READABLE);
        Self::unwatch(this, Interest::WRITABLE);
        Self::lose(this, py, exc)
    }

    /// The last callback, called in a context: `connection_lost()`, then the socket is closed.
    pub(super) fn connection_lost(this: &Obj<Self>, py: Python<'_>, exc: Option<&Obj>) -> PyResult<()> {
        let told = match this.attached.protocol() {
            Some(protocol) => {
                let exc = exc.cloned().unwrap_or_else(|| Obj::none(py));
                protocol.bind(py).call_method1(intern!(py, "connection_lost"), (exc,)).map(drop)
            }
            None => Ok(()),
        };
        let reported = this.attached.report_named(py, this, "_call_connection_lost()", told);
        let closed = Self::let_go(this, py);
        reported.and(closed)
    }

    fn let_go(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.sock.is_open() {
            return Ok(());
        }
        if let Some(event_loop) = this.attached.event_loop() {
            event_loop.sockets.release(py, this.fd.get(), this);
        }
        let closed = this.sock.close(py);
        this.attached.clear();
        closed
    }

    pub(super) fn get_extra_info(
        this: &Obj<Self>,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        default: &Bound<'_, PyAny>,
    ) -> PyResult<Obj> {
        // A program that has the socket may use it behind our back.
        Self::send_held_back(this, py)?;
        this.extra.get(py, &this.sock, name, default)
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut info = vec![this.bind(py).get_type().name()?.to_string()];
        if !this.sock.is_open() {
            info.push("closed".to_owned());
        } else if this.closing.get() {
            info.push("closing".to_owned());
        }
        info.push(format!("fd={}", this.fd.get()));
        if this.attached.is_loop_open() {
            let state = |polling| if polling { "polling" } else { "idle" };
            Self::send_held_back(this, py)?;
            let watched = this.watched.get();
            info.push(format!("read={}", state(watched.is_readable())));
            info.push(format!("write=<{}, bufsize={}>", state(watched.is_writable()), this.pending()));
        }
        Ok(format!("<{}>", info.join(" ")))
    }

    fn buffer(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Self::send_held_back(this, py)?;
        let parts: Vec<_> = this.queue.borrow().iter().map(Queued::parts).collect();
        let items = parts.iter().map(|(data, to)| (PyBytes::new(py, data), to.shown(py)));
        let items: Vec<_> = items.collect();
        Ok(PyList::new(py, items)?.into_any().into())
    }

    /// `__del__` of a transport that nobody closed.
    fn del(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if !this.sock.is_open() {
            return Ok(());
        }
        let warned = warn_unclosed(py, this);
        warned.and(Self::let_go(this, py))
    }
}

impl Class for DatagramTransport {
    type Base = Any;
    ferrio_object::fields!(DatagramTransport {
        attached,
        fd,
        sock,
        extra,
        family,
        address,
        connected,
        last: each(|last, see| last.iter().for_each(|(sender, _)| see(sender)), Option::take),
        queue,
        queued,
        flow,
        delivering,
        timing,
        listed,
        undelivered,
        watched,
        conn_lost,
        closing
    });
    const NAME: &'static str = "ferrio._ferrio._DatagramTransport";
    const DOC: &'static str = "The native part of a transport over a datagram socket.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        DatagramTransport {
            attached: Attached::default(),
            fd: Cell::new(-1),
            sock: HeldSocket::default(),
            extra: ExtraInfo::default(),
            family: Cell::new(Family::Other),
            address: ObjCell::empty(),
            connected: Cell::new(false),
            last: RefCell::new(None),
            queue: RefCell::default(),
            queued: Cell::new(0),
            flow: Cell::new(FlowControl::default()),
            delivering: Cell::new(false),
            timing: Cell::new(BatchTiming::default()),
            listed: Cell::new(false),
            undelivered: RefCell::default(),
            watched: Cell::new(Interest::NONE),
            conn_lost: Cell::new(0),
            closing: Cell::new(false),
        }
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if let Err(err) = Self::del(this, py) {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .repr(Self::repr)
            .method("sendto", Self::sendto, "sendto($self, data, addr=None)\n--\n\n\
                Send a datagram to addr, or to the address the endpoint is connected to.\n\n\
                Never blocks, and buffers what cannot be sent now. Errors of the network go to the protocol's\n\
                error_received(). (An empty datagram is sent since 3.13, and ignored before.)")
            .method0("is_closing", |this: &Obj<Self>, _py: Python<'_>| this.closing.get(),
                "is_closing($self, /)\n--\n\nWhether the transport is closed or about to be.")
            .method0("close", Self::close, "close($self, /)\n--\n\n\
                Send what is buffered, then close; connection_lost(None) follows.")
            .method0("abort", Self::abort, "abort($self, /)\n--\n\n\
                Close at once, and drop what is buffered; connection_lost(None) follows.")
            .method1_named("set_protocol", |this: &Obj<Self>, _py: Python<'_>, protocol: &Bound<'_, PyAny>| {
                this.attached.set_protocol(protocol);
            }, || Signature::new("set_protocol", ["protocol"]), "set_protocol($self, /, protocol)\n--\n\nMake another protocol the receiver of the calls.")
            .method0("get_protocol", |this: &Obj<Self>, _py: Python<'_>| this.attached.protocol(),
                "get_protocol($self, /)\n--\n\nThe protocol.")
            .method0("__del__", Self::del, "")
            .getter("_sock", |this: &Obj<Self>, py: Python<'_>| this.sock.open_object(py), "")
            .getter("_sock_fd", |this: &Obj<Self>, _py: Python<'_>| this.fd.get(), "")
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.attached.event_loop(), "")
            .getset("_protocol", |this: &Obj<Self>, _py: Python<'_>| this.attached.protocol(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    if let Some(protocol) = value {
                        this.attached.set_protocol(protocol);
                    }
                    Ok(())
                }, "")
            .getter("_address", |this: &Obj<Self>, _py: Python<'_>| this.address.get(), "")
            .getter("_buffer", Self::buffer, "")
            .getter("_closing", |this: &Obj<Self>, _py: Python<'_>| this.closing.get(), "")
            .getter("_conn_lost", |this: &Obj<Self>, _py: Python<'_>| this.conn_lost.get(), "")
            .getter("_extra", |this: &Obj<Self>, py: Python<'_>| {
                this.extra.whole(py, &this.sock).map(Obj::from)
            }, "")
            .getter("max_size", |_this: &Obj<Self>, _py: Python<'_>| SCRATCH_LEN, "");
        Self::define_flow(class);
    }
}
