//! The event loop's class: its state, and what is queued on it. The methods are in one file per family.
//!
//! Everything here belongs to the loop's own thread, but for `call_soon_threadsafe`: another thread, holding the GIL,
//! may push onto the ready queue while the loop's thread is in the driver without it. No `RefCell` of the loop may
//! stay borrowed over code that can run Python.

mod ahead;
mod calls;
mod connect;
mod datagram;
mod doctor;
mod executor;
mod handler;
mod hooks;
mod interpreter;
mod io;
mod kept;
mod lifecycle;
mod names;
mod pipes;
mod polled;
mod readers;
mod registration;
mod replaced;
mod resolve;
mod schedule;
mod sendfile;
mod serve;
mod sock;
mod sock_data;
mod sock_message;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use ferrio_core::driver::{Driver, Events, Token, Waker};
use ferrio_core::registry::Registry;
use ferrio_core::timers::{TimerKey, Timers};
use ferrio_core::turn_queue::TurnQueue;
use ferrio_object::{Any, Class, ClassBuilder, Obj, ObjCell, ThreadState, TypeCell, Visit};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pub(crate) use doctor::py_driver_report;
pub(crate) use hooks::Hooks;
pub(crate) use io::{SCRATCH_LEN, Sockets, Source};
pub(crate) use lifecycle::{STOP_WHEN_DONE, py_stop_when_done};
pub(crate) use polled::Polled;
pub(crate) use schedule::{Alarm, call_soon_native, resolve_later};
pub(crate) use sendfile::SendfileFallback;

use crate::exceptions::FromIo;
use crate::future::Future;
use crate::gather::Gathering;
use crate::handle::Handle;
use crate::native_fn::NativeFn;
use crate::task::Task;
use crate::taskgroups::TaskGroup;
use crate::timeouts::Timeout;
use crate::timer_handle::TimerHandle;
use crate::transports::StreamTransport;

/// Something to do in this turn.
pub(crate) enum Ready {
    /// Step a task: start it, or resume it because what it awaited is done.
    Step(Obj<Task>),
    /// Call a handle.
    Call(Obj<Handle>),
    /// Tell a `gather()` that a child is done.
    GatherChild(Obj<Gathering>, Obj<Future>),
    /// Call a done-callback of ours with the future that is done.
    Tell(Obj<NativeFn>, Obj<Future>),
    /// Give a future the result `None`, unless it is done: the end of a `sleep()`.
    Resolve(Obj<Future>),
    /// Let a timeout go off, if its deadline is still the one of that setting.
    Expire(Obj<Timeout>, u32),
    /// Tell a `TaskGroup` that a child is done; its place among the children.
    GroupChild(Obj<TaskGroup>, Obj<Future>, u32),
    /// A file descriptor became ready. The token is looked up when its turn comes: whatever was closed meanwhile is
    /// stale by then.
    Io { token: Token, readable: bool, writable: bool },
    /// Tell a protocol that its connection is made, and begin to read.
    Connected(Obj<StreamTransport>),
    /// Tell a protocol that its connection is lost, and close the socket.
    Lost(Obj<StreamTransport>),
}

/// Something to do later.
pub(crate) enum Timer {
    Call(Obj<TimerHandle>),
    Resolve(Obj<Future>),
    Timeout(Obj<Timeout>),
}

/// The contents of a loop.
pub struct Loop {
    pub(crate) ready: RefCell<TurnQueue<Ready>>,
    pub(crate) timers: RefCell<Timers<Timer>>,
    driver: RefCell<Option<Arc<Driver>>>,
    waker: RefCell<Option<Arc<Waker>>>,
    events: RefCell<Events>,
    pub(crate) sources: RefCell<Registry<Source>>,
    pub(crate) watched: RefCell<HashMap<RawFd, Token>>,
    registrations: registration::Registrations,
    hooks: Cell<Hooks>,
    pub(crate) debug: Cell<bool>,
    closed: Cell<bool>,
    stopping: Cell<bool>,
    /// The thread that runs the loop, 0 while none does.
    pub(crate) thread_id: Cell<u64>,
    /// Set while the loop's thread is, or is about to be, in the driver without the GIL.
    polling: Cell<bool>,
    pace: turn::Pace,
    /// The task being stepped on this loop.
    pub(crate) current_task: ObjCell,
    /// Whether stock asyncio takes this loop for the running one, and is to know the current task.
    pub(crate) tells_stock: Cell<bool>,
    pub(crate) task_factory: ObjCell,
    pub(crate) exception_handler: ObjCell,
    pub(crate) default_executor: ObjCell,
    /// Whether the default executor is one that somebody has set.
    custom_executor: Cell<bool>,
    pub(crate) executor_shutdown_called: Cell<bool>,
    pub(crate) slow_callback_duration: Cell<f64>,
    pub(crate) clock_resolution: Cell<f64>,
    pub(crate) asyncgens: ObjCell,
    asyncgens_shutdown_called: Cell<bool>,
    selector: ObjCell,
    pub(crate) origin_tracking: Cell<Option<i32>>,
    pub(crate) signals: crate::signals::Signals,
    /// Transports with writes to flush at the end of the turn.
    pub(crate) dirty: RefCell<Vec<Obj<StreamTransport>>>,
    pub(crate) sockets: Sockets,
    calls: calls::Calls,
    pub(crate) files: crate::files::Engine,
}

impl Loop {
    /// `RuntimeError` if the loop is closed.
    #[inline]
    pub(crate) fn check_closed(&self) -> PyResult<()> {
        if self.closed.get() { Err(closed_error()) } else { Ok(()) }
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// In debug mode: refuses calls from a thread that is not the loop's.
    ///
    /// # Errors
    /// `RuntimeError` for those.
    pub(crate) fn check_thread(&self) -> PyResult<()> {
        let owner = self.thread_id.get();
        if owner != 0 && owner != ThreadState::ident() {
            return Err(PyRuntimeError::new_err(
                "Non-thread-safe operation invoked on an event loop other than the current one",
            ));
        }
        Ok(())
    }

    /// Appends to the ready queue. Whoever is on another thread also has to wake the loop.
    #[expect(clippy::inline_always)] // see `TurnQueue`
    #[inline(always)]
    pub(crate) fn push(&self, item: impl FnOnce() -> Ready) {
        self.ready.borrow_mut().push_back_with(item);
    }

    /// Wakes the loop's thread if it is waiting in the driver.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.polling.get()
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake();
        }
    }

    /// Whether a method of asyncio's that is called on the hot path has been replaced on this loop.
    #[inline]
    pub(crate) fn hooked(&self, hook: Hooks) -> bool {
        self.hooks.get().contains(hook)
    }

    /// The driver.
    ///
    /// # Errors
    /// `RuntimeError` if the loop is closed or its `__init__` did not run.
    pub(crate) fn driver(&self) -> PyResult<Arc<Driver>> {
        self.check_closed()?;
        let driver = self.driver.borrow().clone();
        driver.ok_or_else(|| PyRuntimeError::new_err("Event loop is not initialized"))
    }

    /// The driver, if it is still there: for clean-up that may come after `close()`.
    pub(crate) fn open_driver(&self) -> Option<Arc<Driver>> {
        self.driver.borrow().clone()
    }

    /// Takes a timer out of the queue before it is due.
    pub(crate) fn forget_timer(this: &Obj<Self>, key: TimerKey) {
        let timer = this.timers.borrow_mut().cancel(key);
        drop(timer);
    }

    fn open(&self) -> PyResult<()> {
        if self.driver.borrow().is_some() {
            return Ok(());
        }
        let driver = Driver::new().map_err(|err| match err.raw_os_error() {
            // A name in the environment that is none.
            None => PyValueError::new_err(err.to_string()),
            Some(_) => PyOSError::new_err_from_io(err),
        })?;
        *self.waker.borrow_mut() = Some(driver.waker());
        *self.driver.borrow_mut() = Some(Arc::new(driver));
        Ok(())
    }
}

#[cold]
pub(crate) fn closed_error() -> PyErr {
    PyRuntimeError::new_err("Event loop is closed")
}

impl Class for Loop {
    type Base = Any;
    const NAME: &'static str = "ferrio._ferrio._Loop";
    const DOC: &'static str =
        "The native part of every ferrio event loop; BaseEventLoop adds the abstract class.";

    fn type_cell() -> &'static TypeCell {
        static CELL: TypeCell = TypeCell::new();
        &CELL
    }

    fn blank() -> Self {
        Loop {
            ready: RefCell::new(TurnQueue::new()),
            timers: RefCell::new(Timers::default()),
            driver: RefCell::new(None),
            waker: RefCell::new(None),
            events: RefCell::new(Events::new()),
            sources: RefCell::new(Registry::default()),
            watched: RefCell::new(HashMap::new()),
            registrations: registration::Registrations::default(),
            hooks: Cell::new(Hooks::NONE),
            debug: Cell::new(false),
            closed: Cell::new(false),
            stopping: Cell::new(false),
            thread_id: Cell::new(0),
            polling: Cell::new(false),
            pace: turn::Pace::new(),
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
            origin_tracking: Cell::new(None),
            signals: crate::signals::Signals::default(),
            dirty: RefCell::new(Vec::new()),
            sockets: Sockets::default(),
            calls: calls::Calls::default(),
            files: crate::files::Engine::default(),
        }
    }

    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(ready) = self.ready.try_borrow() {
            for item in ready.iter() {
                match item {
                    Ready::Step(task) => visit.obj(task),
                    Ready::Call(handle) => visit.through(handle),
                    Ready::GatherChild(outer, child) => {
                        visit.obj(outer);
                        visit.obj(child);
                    }
                    Ready::Tell(function, fut) => {
                        visit.obj(function);
                        visit.obj(fut);
                    }
                    Ready::Resolve(fut) => visit.obj(fut),
                    Ready::Expire(timeout, _) => visit.obj(timeout),
                    Ready::GroupChild(group, child, _) => {
                        visit.obj(group);
                        visit.obj(child);
                    }
                    Ready::Io { .. } => {}
                    Ready::Connected(transport) | Ready::Lost(transport) => visit.obj(transport),
                }
            }
        }
        if let Ok(timers) = self.timers.try_borrow() {
            for timer in timers.iter() {
                match timer {
                    Timer::Call(handle) => visit.through(handle),
                    Timer::Resolve(fut) => visit.obj(fut),
                    Timer::Timeout(timeout) => visit.obj(timeout),
                }
            }
        }
        if let Ok(sources) = self.sources.try_borrow() {
            sources.iter().for_each(|(_, source)| source.traverse(visit));
        }
        if let Ok(dirty) = self.dirty.try_borrow() {
            dirty.iter().for_each(|transport| visit.obj(transport));
        }
        for cell in [
            &self.current_task,
            &self.task_factory,
            &self.exception_handler,
            &self.default_executor,
            &self.asyncgens,
            &self.selector,
        ] {
            visit.cell(cell);
        }
        self.signals.traverse(visit);
        self.sockets.traverse(visit);
        self.calls.traverse(visit);
        self.files.traverse(visit);
    }

    fn clear(&self) {
        drop(self.ready.try_borrow_mut().map(|mut ready| std::mem::take(&mut *ready)));
        drop(self.timers.try_borrow_mut().map(|mut timers| timers.drain()));
        drop(self.sources.try_borrow_mut().map(|mut sources| sources.drain()));
        drop(self.dirty.try_borrow_mut().map(|mut dirty| std::mem::take(&mut *dirty)));
        for cell in [
            &self.current_task,
            &self.task_factory,
            &self.exception_handler,
            &self.default_executor,
            &self.asyncgens,
            &self.selector,
        ] {
            cell.set(None);
        }
        self.signals.clear();
        self.calls.clear();
    }

    const FINALIZE: bool = true;

    fn wants_finalizer(&self, _base: &()) -> bool {
        !self.closed.get()
    }

    fn finalize(this: &Obj<Self>, py: Python<'_>) {
        lifecycle::finalize(this, py);
    }

    fn define(class: &mut ClassBuilder<Self>) {
        hooks::define(class);
        doctor::define(class);
        lifecycle::define(class);
        schedule::define(class);
        turn::define(class);
        handler::define(class);
        executor::define(class);
        readers::define(class);
        names::define(class);
        sock::define(class);
        sock_message::define(class);
        connect::define(class);
        serve::define(class);
        datagram::define(class);
        pipes::define(class);
        sendfile::define(class);
        replaced::define(class);
        crate::signals::define(class);
    }
}
