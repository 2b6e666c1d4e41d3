//! `asyncio.base_events` and `unix_events`: the event loop's class, its methods in one file per family, and the turn.
//!
//! What a loop holds is `event_loop/`, below; nothing below imports this room. The constructor finds out here which of
//! asyncio's methods a subclass replaces (`event_loop::Hooks`), and what is set on an instance is noticed when it is set.

mod ahead;
mod attributes;
mod calls;
mod child_watchers;
mod children;
mod connect;
mod datagram;
mod doctor;
mod executor;
mod handler;
mod io;
mod kept;
mod lifecycle;
mod names;
mod owned_socket;
mod pipes;
mod queue_view;
mod race;
mod readers;
mod replaced;
mod resolve;
mod schedule;
mod scheduled;
mod selector;
mod sendfile;
mod serve;
pub(crate) mod signals;
mod sock;
mod sock_data;
mod sock_message;
mod spawning;
mod ssl_arguments;
mod start_tls;
mod subprocesses;
mod turn;
mod underscored;
mod unix_paths;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use ferrio_core::driver::{DriverKind, Events};
use ferrio_core::registry::Registry;
use ferrio_core::timers::Timers;
use ferrio_core::turn_queue::TurnQueue;
use ferrio_object::{Any, Args, Class, ClassBuilder, ClassDef, Obj, ObjCell, Replaced};
use pyo3::prelude::*;

pub(crate) use names::{interleave, ipaddr_info};
use sendfile::SendfileFallback;
pub(crate) use serve::set_reuse_port;
pub(crate) use sock::check_ssl_socket;

use crate::event_loop::held_writes::HeldWrites;
use crate::event_loop::{Calls, Engine, Loop, Pace, Registrations, Signals, Sockets};

fn init(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: ferrio_object::Signature<1> =
        ferrio_object::Signature::new("BaseEventLoop", ["selector"]).required(0);
    let [selector] = args.bind(&SIGNATURE)?;
    crate::imported::before_a_loop(py)?;
    this.held.open(py)?;
    let selector = selector.filter(|selector| !selector.is_none());
    let own = selector.map_or(Ok(false), |selector| selector::is_own(selector))?;
    // A selector waits for the driver's descriptor, which only epoll has.
    this.open(if own { Some(DriverKind::Epoll) } else { None })?;
    crate::imported::loop_opened(py)?;
    py.import("ferrio")?.call_method0("_settle")?;
    this.debug.set(crate::debug::is_debug_mode(py)?);
    if let Some(selector) = selector {
        selector::given(this, py, selector)?;
    }
    Ok(())
}

impl Class for Loop {
    type Base = Any;
    ferrio_object::fields!(Loop {
        ready: each(|ready, see| ready.iter().for_each(see), std::mem::take),
        timers: each(|timers, see| timers.iter().for_each(see), Timers::drain),
        timers_tracked,
        driver,
        waker,
        events,
        sources: each(|sources, see| sources.iter().for_each(|(_, source)| see(source)), Registry::drain),
        watched,
        registrations,
        replaced,
        own_selector,
        debug,
        closed,
        stopping,
        thread_id,
        polling,
        pace,
        current_task,
        tells_stock,
        task_factory,
        exception_handler,
        default_executor,
        custom_executor,
        executor_shutdown_called,
        slow_callback_duration,
        clock_resolution,
        asyncgens,
        asyncgens_shutdown_called,
        selector,
        cooperative_select,
        unwatched,
        lists,
        self_pipe,
        own_ready,
        scheduled,
        moved,
        run_setup,
        current_handle,
        origin_tracking,
        signals,
        held,
        sockets,
        calls,
        files
    });
    const NAME: &'static str = "ferrio._ferrio._Loop";
    const DOC: &'static str = "_Loop()\n--\n\n\
        The native part of every ferrio event loop; BaseEventLoop adds the abstract class.";

    fn blank() -> Self {
        Loop {
            ready: RefCell::new(TurnQueue::new()),
            timers: RefCell::new(Timers::default()),
            timers_tracked: Cell::new(0),
            driver: RefCell::new(None),
            waker: RefCell::new(None),
            events: RefCell::new(Events::new()),
            sources: RefCell::new(Registry::default()),
            watched: RefCell::new(HashMap::new()),
            registrations: Registrations::default(),
            replaced: Replaced::unknown(),
            own_selector: Cell::new(false),
            debug: Cell::new(false),
            closed: Cell::new(false),
            stopping: Cell::new(false),
            thread_id: Cell::new(0),
            polling: Cell::new(false),
            pace: Pace::new(),
            current_task: ObjCell::empty(),
            tells_stock: Cell::new(false),
            task_factory: ObjCell::empty(),
            exception_handler: ObjCell::empty(),
            default_executor: ObjCell::empty(),
            custom_executor: Cell::new(false),
            executor_shutdown_called: Cell::new(false),
            slow_callback_duration: Cell::new(0.1),
            clock_resolution: Cell::new(ferrio_core::clock::resolution()),
            asyncgens: ObjCell::empty(),
            asyncgens_shutdown_called: Cell::new(false),
            selector: ObjCell::empty(),
            cooperative_select: ObjCell::empty(),
            unwatched: Cell::new(false),
            lists: Cell::new(false),
            self_pipe: Cell::new(false),
            own_ready: ObjCell::empty(),
            scheduled: ObjCell::empty(),
            moved: RefCell::new(HashMap::new()),
            run_setup: ObjCell::empty(),
            current_handle: ObjCell::empty(),
            origin_tracking: Cell::new(None),
            signals: Signals::default(),
            held: HeldWrites::default(),
            sockets: Sockets::default(),
            calls: Calls::default(),
            files: Engine::default(),
        }
    }

    const FINALIZE: bool = true;

    fn wants_finalizer(&self, _base: &()) -> bool {
        !self.closed.get()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        lifecycle::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.init(init).replaceable();
        selector::define(class);
        queue_view::define(class);
        scheduled::define(class);
        attributes::define(class);
        doctor::define(class);
        lifecycle::define(class);
        schedule::define(class);
        underscored::define(class);
        turn::define(class);
        handler::define(class);
        executor::define(class);
        readers::define(class);
        names::define(class);
        sock::define(class);
        sock_message::define(class);
        connect::define(class);
        serve::define(class);
        start_tls::define(class);
        datagram::define(class);
        pipes::define(class);
        subprocesses::define(class);
        sendfile::define(class);
        replaced::define(class);
        signals::define(class);
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Loop>(module)?;
    ClassDef::add::<queue_view::ReadyQueue>(module)?;
    ClassDef::add::<selector::DriverSelector>(module)?;
    ClassDef::add::<SendfileFallback>(module)?;
    child_watchers::add(module)?;
    ClassDef::function(
        module,
        lifecycle::STOP_WHEN_DONE,
        lifecycle::py_stop_when_done,
        "_run_until_complete_cb(fut)\n--\n\nThe done-callback of run_until_complete(): stop the future's loop.",
    )?;
    ClassDef::function(
        module,
        "_driver_report",
        doctor::py_driver_report,
        "_driver_report()\n--\n\nWhat `ferrio doctor` reports of drivers: a dict of 'driver', 'io_uring' and 'files'.",
    )
}
