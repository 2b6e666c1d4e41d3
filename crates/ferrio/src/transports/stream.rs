//! The stream transport's class: what it holds, how it begins, and what can be asked of it.
//!
//! Instances are made of the Python class `ferrio.selector_events._SelectorSocketTransport`, which adds nothing but
//! the abstract base. Receiving is in `read.rs`, sending in `write.rs`, ending in `end.rs`.
//!
//! The descriptor is registered with the driver only while there is something to wait for: with an empty interest
//! the kernel would go on reporting hang-ups. It is taken out before the socket is closed, so that a number that is
//! used again is never somebody else's.

use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;

use ferrio_core::driver::{Address, Interest, Readiness, Token, socket};
use ferrio_core::write_queue::{FlowControl, WriteQueue};
use ferrio_core::write_timing::{Habit, WriteTiming};
use ferrio_object::{
    Any, Args, Class, ClassBuilder, Erased, GilStatic, Methods, Obj, ObjCell, Replaceable, Replaced,
    Signature,
};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::attached::{Attached, Cause};
use super::chunk::Chunk;
use super::extra_info::ExtraInfo;
use super::flow::Flow;
use super::held_socket::{Connected, HeldSocket};
use super::protocol::ProtocolKind;
use super::read::ReadSize;
use crate::event_loop::registration::ensure_driver_watched;
use crate::event_loop::{Loop, Ready, Source};
use crate::future::Future;
use crate::streams::StreamReaderProtocol;

/// The contents of a stream transport.
pub struct StreamTransport {
    pub(crate) fd: Cell<RawFd>,
    pub(super) attached: Attached,
    pub(super) sock: HeldSocket,
    extra: ExtraInfo,
    pub(super) kind: RefCell<ProtocolKind>,
    pub(super) server: ObjCell,
    pub(super) token: Cell<Option<Token>>,
    pub(super) interest: Cell<Interest>,
    /// Whether a read that brings less than it had room for leaves nothing behind, and none has been full so far.
    reads_out: Cell<bool>,
    pub(super) queue: RefCell<WriteQueue<Chunk>>,
    pub(super) flow: Cell<FlowControl>,
    /// When what is written is sent.
    pub(super) timing: Cell<WriteTiming>,
    /// What the connections of the server together have shown; a client's connection has its own.
    pub(super) habit: OnceCell<Rc<Cell<Habit>>>,
    /// On the loop's list of transports that are asked when the step returns.
    pub(super) listed: Cell<bool>,
    /// The future that `sendfile()` waits on until the queue is empty.
    pub(super) empty_waiter: ObjCell<Future>,
    /// The future that `sendfile()` waits on until the kernel takes data again.
    pub(super) room_waiter: ObjCell<Future>,
    /// asyncio's `_conn_lost`: not zero from when `connection_lost()` is scheduled on; counts writes after that.
    pub(super) conn_lost: Cell<u32>,
    pub(super) lost_exc: ObjCell,
    pub(super) closing: Cell<bool>,
    pub(super) eof: Cell<bool>,
    pub(super) paused: Cell<bool>,
    /// Where the next read goes.
    pub(super) read_size: Cell<ReadSize>,
    /// Which of the methods that streams call mean something else than ours.
    replaced: Replaced,
}

/// What streams call on a transport.
const CALLED: [&str; 7] =
    ["write", "writelines", "close", "is_closing", "pause_reading", "resume_reading", "get_extra_info"];

impl Replaceable for StreamTransport {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&CALLED);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

/// What a transport is made of.
pub(crate) struct Opening<'a> {
    pub(crate) sock: Connected,
    pub(crate) protocol: &'a Obj,
    /// A future that gets a result when `connection_made()` has been called.
    pub(crate) waiter: Option<Obj>,
    /// Who the peer is, if `accept` has told; else the kernel is asked.
    pub(crate) peer: Option<Address>,
    pub(crate) extra: Option<Obj>,
    pub(crate) server: Option<Obj>,
    /// Since 3.15: what the loop calls the protocol in, all of it.
    pub(crate) context: Option<Obj>,
}

/// `ferrio.selector_events._SelectorSocketTransport`, fetched when the first connection is opened.
fn python_class(py: Python<'_>) -> PyResult<&Obj> {
    static CLASS: GilStatic<OnceCell<Obj>> = GilStatic::new(OnceCell::new());
    let cell = CLASS.get(py);
    if let Some(class) = cell.get() {
        return Ok(class);
    }
    let class = crate::imported::module(py, "ferrio.selector_events")?.getattr("_SelectorSocketTransport")?;
    Ok(cell.get_or_init(|| class.into()))
}

impl Flow for StreamTransport {
    fn attached(&self) -> &Attached {
        &self.attached
    }

    fn flow(&self) -> &Cell<FlowControl> {
        &self.flow
    }

    fn pending(&self) -> usize {
        self.queue.borrow().len()
    }

    fn offer(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        Self::send_held(this, py)
    }
}

impl StreamTransport {
    /// Asks for what serving the next event will use, a stage at a time (`base_events/ahead.rs`).
    #[inline]
    pub(crate) fn prefetch_stage(this: &Obj<Self>, py: Python<'_>, stage: usize) {
        if stage == 0 {
            return this.prefetch();
        }
        match (&*this.kind.borrow(), stage) {
            (ProtocolKind::Reader(protocol), _) => {
                StreamReaderProtocol::prefetch_stage(protocol, py, stage - 1);
            }
            (ProtocolKind::None, _) => {}
            (_, 1) => this.attached.prefetch(),
            _ => {}
        }
    }

    /// A transport over a connected, non-blocking socket; `connection_made()` is called in the next turn.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed or the descriptor is another transport's, what the socket raises.
    pub(crate) fn open(py: Python<'_>, event_loop: &Obj<Loop>, opening: Opening<'_>) -> PyResult<Obj<Self>> {
        event_loop.check_closed()?;
        let this = Obj::<Self>::create_of(py, python_class(py)?)?;
        Self::begin(&this, py, event_loop, opening)?;
        Ok(this)
    }

    fn init(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<6> = Signature::new(
            "_SelectorSocketTransport",
            ["loop", "sock", "protocol", "waiter", "extra", "server"],
        )
        .required(3);
        let [event_loop, sock, protocol, waiter, extra, server] = args.bind(&SIGNATURE)?;
        let (Some(event_loop), Some(sock), Some(protocol)) = (event_loop, sock, protocol) else {
            return Ok(());
        };
        let Some(event_loop) = Obj::<Loop>::from_bound(event_loop) else {
            return Err(PyTypeError::new_err("a transport of ferrio's needs a loop of ferrio's"));
        };
        let protocol = Obj::from(protocol);
        let opening = Opening {
            sock: Connected::Socket(sock.into()),
            protocol: &protocol,
            waiter: Obj::unless_none(waiter),
            peer: None,
            extra: Obj::unless_none(extra),
            server: Obj::unless_none(server),
            context: None,
        };
        Self::begin(this, py, event_loop, opening)
    }

    /// The transport to call natively, if `obj` is one of ours with nothing replaced.
    #[inline]
    pub(crate) fn plain(obj: &Obj) -> Option<&Obj<Self>> {
        obj.cast::<Self>().filter(|ours| !ours.replaces_any())
    }

    fn begin(this: &Obj<Self>, py: Python<'_>, event_loop: &Obj<Loop>, opening: Opening<'_>) -> PyResult<()> {
        let fd = opening.sock.number(py)?;
        event_loop.sockets.claim(py, fd, this)?;
        this.fd.set(fd);
        this.sock.begin(py, opening.sock);
        this.attached.begin(py, event_loop, opening.protocol, opening.waiter)?;
        if let (true, Some(context)) = (cfg!(Py_3_15), opening.context) {
            this.attached.share_context(context);
        }
        let peer = opening.peer.or_else(|| socket::peer_address(fd).ok());
        this.extra.begin(py, opening.extra, socket::local_address(fd).ok(), peer)?;
        Self::set_protocol(this, py, opening.protocol.bind(py))?;
        if let Some(server) = &opening.server {
            crate::server::attach(py, server, this.as_any())?;
            if let Some(habit) = crate::server::write_habit(server) {
                this.timing.set(WriteTiming::new(habit.get()));
                // It is empty: a transport begins once.
                let _ = this.habit.set(habit);
            }
        }
        this.server.set(opening.server);
        // Small writes go out at once; on what is not TCP the option does not exist. A short read from a TCP socket has
        // taken all there was. From a Unix socket it may have come to where descriptors are attached.
        this.reads_out.set(socket::set_nodelay(fd).is_ok());
        event_loop.push(|| Ready::Connected(Erased::new(this.clone())));
        Loop::left_for_turn(event_loop);
        Ok(())
    }

    /// The first callback: `connection_made()`, then reading begins, then the waiter is woken.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    pub(crate) fn connected(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if let Some(protocol) = this.attached.protocol() {
            let outcome = this.attached.run_once(py, Cause::Made, || {
                protocol.bind(py).call_method1(intern!(py, "connection_made"), (this,)).map(drop)
            });
            let shown = || {
                let method = protocol.bind(py).getattr(intern!(py, "connection_made"))?;
                crate::debug::format_callback(py, &method, &[this.as_any().clone()])
            };
            this.attached.report_callback(py, this, shown, outcome)?;
        }
        if Self::is_reading(this, py) {
            let started = Self::want(this, this.interest.get().with(Interest::READABLE));
            let shown = || Ok("_SelectorTransport._add_reader()".to_owned());
            this.attached.report_callback(py, this, shown, started)?;
        }
        this.attached.wake_waiter(py)
    }

    /// Registers for `interest`, which may be none, instead of what was waited for before.
    pub(super) fn want(this: &Obj<Self>, interest: Interest) -> PyResult<()> {
        if interest == this.interest.get() {
            return Ok(());
        }
        let Some(event_loop) = this.attached.event_loop() else { return Ok(()) };
        let fd = this.fd.get();
        match this.token.get() {
            None => {
                let asked = this.asked(interest);
                ensure_driver_watched(&event_loop)?;
                let token = event_loop.register(fd, asked, Source::Stream(Erased::new(this.clone())))?;
                this.token.set(Some(token));
            }
            Some(token) if interest.is_empty() => {
                this.token.set(None);
                event_loop.deregister(fd, token);
            }
            Some(token) => event_loop.reregister(fd, token, this.asked(interest))?,
        }
        this.interest.set(interest);
        Ok(())
    }

    /// What the driver is asked for. Who only reads is told of changes, where reading tells whether something is left.
    fn asked(&self, interest: Interest) -> Interest {
        if self.reads_out.get() && interest == Interest::READABLE { interest.on_change() } else { interest }
    }

    /// Something may be left that is no change any more: from now on the driver is to report what there is, and looks
    /// anew for it.
    pub(super) fn report_rest(this: &Obj<Self>) -> PyResult<()> {
        if !this.reads_out.replace(false) {
            return Ok(());
        }
        match (this.token.get(), this.attached.event_loop()) {
            (Some(token), Some(event_loop)) => {
                event_loop.reregister(this.fd.get(), token, this.interest.get())
            }
            _ => Ok(()),
        }
    }

    /// Serves an event.
    ///
    /// # Errors
    /// `KeyboardInterrupt`, `SystemExit`.
    #[inline]
    pub(crate) fn ready(this: &Obj<Self>, py: Python<'_>, readiness: Readiness) -> PyResult<()> {
        // Hang-ups are reported whatever was asked for.
        if readiness.readable && this.interest.get().is_readable() {
            let outcome = Self::read_ready(this, py);
            // The loop ends before all was read, or the peer's end, an error or urgent data may be behind what was.
            if outcome.is_err() || (readiness.writable && !this.interest.get().is_writable()) {
                let rest = Self::report_rest(this);
                outcome?;
                rest?;
            } else {
                outcome?;
            }
        }
        if readiness.writable && this.interest.get().is_writable() {
            if this.room_waiter.is_some() {
                return Self::room(this, py);
            }
            Self::write_ready(this, py)?;
        }
        Ok(())
    }

    /// The descriptor for a syscall: -1 if the socket is closed, also if that was not our doing.
    #[inline]
    pub(super) fn live_fd(&self, py: Python<'_>) -> RawFd {
        self.sock.live_fd(py, self.fd.get())
    }

    /// Whether `close()` was called or the connection is lost.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn get_is_closing(this: &Obj<Self>, _py: Python<'_>) -> bool {
        this.closing.get()
    }

    pub(crate) fn is_reading(this: &Obj<Self>, _py: Python<'_>) -> bool {
        !this.closing.get() && !this.paused.get()
    }

    fn set_protocol(this: &Obj<Self>, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let kind = ProtocolKind::of(py, protocol)?;
        let old = this.kind.replace(kind);
        this.attached.set_protocol(protocol);
        drop(old);
        Ok(())
    }

    pub(super) fn get_extra_info(
        this: &Obj<Self>,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        default: &Bound<'_, PyAny>,
    ) -> PyResult<Obj> {
        // A program that has the socket may use it behind our back.
        Self::send_held(this, py)?;
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
            let interest = this.interest.get();
            info.push(format!("read={}", state(interest.is_readable())));
            Self::send_held(this, py)?;
            let pending = this.queue.borrow().len();
            info.push(format!("write=<{}, bufsize={pending}>", state(interest.is_writable())));
        }
        Ok(format!("<{}>", info.join(" ")))
    }

    fn buffer(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Self::send_held(this, py)?;
        let chunks: Vec<_> = this.queue.borrow().iter().map(<[u8]>::to_vec).collect();
        let chunks = chunks.iter().map(|chunk| PyBytes::new(py, chunk));
        Ok(PyList::new(py, chunks.collect::<Vec<_>>())?.into())
    }

    /// A future that is done when the queue is empty; until it is taken back, writing is refused.
    ///
    /// # Errors
    /// `RuntimeError` if there is one already or the transport is closed.
    pub(crate) fn make_empty_waiter(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj<Future>> {
        if this.empty_waiter.is_some() {
            return Err(PyRuntimeError::new_err("Empty waiter is already set"));
        }
        let Some(event_loop) = this.attached.event_loop() else {
            return Err(PyRuntimeError::new_err("the transport is closed"));
        };
        let waiter = Future::create(py, crate::event_loop::LoopRef::Native(event_loop))?;
        this.empty_waiter.set(Some(waiter.clone()));
        Self::send_held(this, py)?;
        if this.queue.borrow().is_empty() {
            crate::future::wake(&waiter, py)?;
        }
        Ok(waiter)
    }

    pub(crate) fn reset_empty_waiter(this: &Obj<Self>) {
        this.empty_waiter.set(None);
    }
}

impl Class for StreamTransport {
    type Base = Any;
    ferrio_object::fields!(StreamTransport {
        fd,
        attached,
        sock,
        extra,
        kind,
        server,
        token,
        interest,
        reads_out,
        queue: unowned,
        flow,
        timing,
        habit: unowned,
        listed,
        empty_waiter,
        room_waiter,
        conn_lost,
        lost_exc,
        closing,
        eof,
        paused,
        read_size,
        replaced
    });
    const NAME: &'static str = "ferrio._ferrio._StreamTransport";
    const DOC: &'static str = "The native part of a transport over a stream socket.";
    const FINALIZE: bool = true;

    fn blank() -> Self {
        StreamTransport {
            fd: Cell::new(-1),
            attached: Attached::default(),
            sock: HeldSocket::default(),
            extra: ExtraInfo::default(),
            kind: RefCell::default(),
            server: ObjCell::empty(),
            token: Cell::new(None),
            interest: Cell::new(Interest::NONE),
            reads_out: Cell::new(false),
            queue: RefCell::new(WriteQueue::new()),
            flow: Cell::new(FlowControl::default()),
            timing: Cell::new(WriteTiming::new(Habit::default())),
            habit: OnceCell::new(),
            listed: Cell::new(false),
            empty_waiter: ObjCell::empty(),
            room_waiter: ObjCell::empty(),
            conn_lost: Cell::new(0),
            lost_exc: ObjCell::empty(),
            closing: Cell::new(false),
            eof: Cell::new(false),
            paused: Cell::new(false),
            read_size: Cell::default(),
            replaced: Replaced::unknown(),
        }
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        if this.sock.is_open()
            && let Err(err) = Self::abandoned(this, py)
        {
            err.write_unraisable(py, Some(this.bind(py)));
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .replaceable()
            .repr(Self::repr)
            .method0(
                "is_closing",
                Self::get_is_closing,
                "is_closing($self, /)\n--\n\n\
                Whether the transport is closed or about to be.",
            )
            .method0(
                "is_reading",
                Self::is_reading,
                "is_reading($self, /)\n--\n\n\
                Whether data would be passed on now (since 3.7).",
            )
            .method1_named(
                "set_protocol",
                Self::set_protocol,
                || Signature::new("set_protocol", ["protocol"]),
                "set_protocol($self, /, protocol)\n--\n\n\
                Make another protocol the receiver of the calls.",
            )
            .method0(
                "get_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.attached.protocol(),
                "get_protocol($self, /)\n--\n\nThe protocol.",
            )
            .method0("_make_empty_waiter", Self::make_empty_waiter, "")
            .method0(
                "_reset_empty_waiter",
                |this: &Obj<Self>, _py: Python<'_>| this.empty_waiter.set(None),
                "",
            )
            .getter("_sock", |this: &Obj<Self>, py: Python<'_>| this.sock.open_object(py), "")
            .getter("_sock_fd", |this: &Obj<Self>, _py: Python<'_>| this.fd.get(), "")
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.attached.event_loop(), "")
            .getset(
                "_protocol",
                |this: &Obj<Self>, _py: Python<'_>| this.attached.protocol(),
                |this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    value.map_or(Ok(()), |protocol| Self::set_protocol(this, py, protocol))
                },
                "",
            )
            .getter("_server", |this: &Obj<Self>, _py: Python<'_>| this.server.get(), "")
            .getter("_buffer", Self::buffer, "")
            .getter("_closing", |this: &Obj<Self>, _py: Python<'_>| this.closing.get(), "")
            .getter("_paused", |this: &Obj<Self>, _py: Python<'_>| this.paused.get(), "")
            .getter("_eof", |this: &Obj<Self>, _py: Python<'_>| this.eof.get(), "")
            .getter("_conn_lost", |this: &Obj<Self>, _py: Python<'_>| this.conn_lost.get(), "")
            .getter("_empty_waiter", |this: &Obj<Self>, _py: Python<'_>| this.empty_waiter.get(), "")
            .getset(
                "_extra",
                |this: &Obj<Self>, py: Python<'_>| this.extra.whole(py, &this.sock).map(Obj::from),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.extra.replace(value.map(Obj::from));
                    Ok(())
                },
                "",
            )
            .getter("_start_tls_compatible", |_this: &Obj<Self>, _py: Python<'_>| true, "")
            .getter(
                "_sendfile_compatible",
                |_this: &Obj<Self>, py: Python<'_>| -> PyResult<Obj> {
                    Ok(py.import("ferrio.constants")?.getattr("_SendfileMode")?.getattr("TRY_NATIVE")?.into())
                },
                "",
            )
            .getter("max_size", |_this: &Obj<Self>, _py: Python<'_>| crate::event_loop::SCRATCH_LEN, "");
        Self::define_flow(class);
        Self::define_read(class);
        Self::define_write(class);
        Self::define_end(class);
    }
}
