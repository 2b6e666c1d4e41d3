//! The event loop: what it holds, what is queued on it, and what every room may know of it. Its methods are above, in
//! `base_events/`, one file per family.
//!
//! Everything here belongs to the loop's own thread, but for `call_soon_threadsafe`: another thread, holding the GIL,
//! may push onto the ready queue while the loop's thread is in the driver without it. No `RefCell` of the loop may
//! stay borrowed over code that can run Python.

mod exception_context;
pub(crate) mod first_run;
mod from_rust;
mod handle;
mod handle_args;
pub(crate) mod held_writes;
mod hooks;
mod interpreter;
mod loop_ref;
mod pace;
pub(crate) mod registration;
mod run_lock;
pub(crate) mod running;
mod sockets;
mod sources;
mod state;
mod timer_handle;
pub(crate) mod watches;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use ferrio_core::driver::{Driver, DriverKind, Events, Readiness, Token, Waker};
use ferrio_core::registry::Registry;
use ferrio_core::timers::{TimerKey, Timers};
use ferrio_core::turn_queue::TurnQueue;
use ferrio_object::{ClassDef, Erased, Obj, ObjCell, Replaced, ThreadState};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

pub(crate) use exception_context::ExceptionContext;
pub(crate) use from_rust::{Alarm, call_soon_native, make_handle, make_threadsafe_handle, resolve_later};
pub(crate) use handle::{Handle, ThreadSafeHandle};
pub(crate) use handle_args::HandleArgs;
pub(crate) use hooks::Hooks;
pub(crate) use loop_ref::LoopRef;
pub(crate) use pace::Pace;
pub(crate) use sockets::{SCRATCH_LEN, Sockets};
pub(crate) use sources::{Futures, Kept, Source, Waiter, Watch};
pub(crate) use state::{Calls, Engine, OutcomeSlot, Pending, Pipe, Registrations, Signals};
pub(crate) use timer_handle::TimerHandle;

use crate::exceptions::FromIo;
use crate::future::Future;
use crate::gather::Gathering;
use crate::native_fn::NativeFn;
use crate::task::Task;
use crate::taskgroups::TaskGroup;
use crate::timeouts::Timeout;

/// Something to do in this turn.
pub(crate) enum Ready {
    /// Step a task: start it, or resume it because what it awaited is done.
    Step(Obj<Task>),
    /// Call a handle.
    Call(Obj<Handle>),
    /// Call a handle that other threads may cancel meanwhile.
    CallThreadSafe(Obj<ThreadSafeHandle>),
    /// Tell a `gather()` that a child is done.
    GatherChild(Obj<Gathering>, Obj<Future>),
    /// Call a done-callback of ours with the future that is done.
    DoneCallback(Obj<NativeFn>, Obj<Future>),
    /// Give a future the result `None`, unless it is done: the end of a `sleep()`.
    Resolve(Obj<Future>),
    /// Let a timeout go off, if its deadline is still the one of that setting.
    Expire(Obj<Timeout>, u32),
    /// Tell a `TaskGroup` that a child is done; its place among the children.
    GroupChild(Obj<TaskGroup>, Obj<Future>, u32),
    /// A file descriptor became ready. The token is looked up when its turn comes: whatever was closed meanwhile is
    /// stale by then.
    Io { token: Token, readiness: Readiness },
    /// Tell the protocol of a stream transport that its connection is made, and begin to read.
    Connected(Erased),
    /// Tell the protocol of a stream transport that its connection is lost, and close the socket.
    Lost(Erased),
    /// Run a handle that Python code has queued, and leave it as it is: the program may queue it again.
    Again(Obj<Handle>),
    /// The same for a program's own object like one.
    Object(Obj),
}

ferrio_object::traverse!(enum Ready {
    Step(task),
    Call(handle),
    CallThreadSafe(handle),
    GatherChild(outer, child),
    DoneCallback(function, fut),
    Resolve(fut),
    Expire(timeout, setting),
    GroupChild(group, child, place),
    Io { token, readiness },
    Connected(transport),
    Lost(transport),
    Again(handle),
    Object(object),
});

/// Something to do later.
pub(crate) enum Timer {
    Call(Obj<TimerHandle>),
    Resolve(Obj<Future>),
    Timeout(Obj<Timeout>),
}

ferrio_object::traverse!(
    enum Timer {
        Call(handle),
        Resolve(fut),
        Timeout(timeout),
    }
);

/// The contents of a loop.
pub struct Loop {
    pub(crate) ready: RefCell<TurnQueue<Ready>>,
    pub(crate) timers: RefCell<Timers<Timer>>,
    /// How many timers had been set when the loop last stopped: the collector tracks the handles of those.
    pub(crate) timers_tracked: Cell<u64>,
    pub(crate) driver: RefCell<Option<Arc<Driver>>>,
    pub(crate) waker: RefCell<Option<Arc<Waker>>>,
    pub(crate) events: RefCell<Events>,
    pub(crate) sources: RefCell<Registry<Source>>,
    pub(crate) watched: RefCell<HashMap<RawFd, Token>>,
    pub(crate) registrations: Registrations,
    /// Which of the methods in `hooks.rs` are others than ours.
    pub(crate) replaced: Replaced,
    /// A selector that does something else than the driver was put in.
    pub(crate) own_selector: Cell<bool>,
    pub(crate) debug: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    pub(crate) stopping: Cell<bool>,
    /// The thread that runs the loop, 0 while none does.
    pub(crate) thread_id: Cell<u64>,
    /// Set while the loop's thread is, or is about to be, in the driver without the GIL.
    pub(crate) polling: Cell<bool>,
    pub(crate) pace: Pace,
    /// The task being stepped on this loop.
    pub(crate) current_task: ObjCell,
    /// Whether stock asyncio takes this loop for the running one, and is to know the current task.
    pub(crate) tells_stock: Cell<bool>,
    pub(crate) task_factory: ObjCell,
    pub(crate) exception_handler: ObjCell,
    pub(crate) default_executor: ObjCell,
    /// Whether the default executor is one that somebody has set.
    pub(crate) custom_executor: Cell<bool>,
    pub(crate) executor_shutdown_called: Cell<bool>,
    pub(crate) slow_callback_duration: Cell<f64>,
    pub(crate) clock_resolution: Cell<f64>,
    pub(crate) asyncgens: ObjCell,
    pub(crate) asyncgens_shutdown_called: Cell<bool>,
    pub(crate) selector: ObjCell,
    /// `select.select`, where somebody (gevent) has put Python code in its place: what waits then is that.
    pub(crate) cooperative_select: ObjCell,
    /// Whether a selector of the program's could not watch the driver yet.
    pub(crate) unwatched: Cell<bool>,
    /// Whether the queue or the timers are where Python code sees them.
    pub(crate) lists: Cell<bool>,
    /// Whether the loop was made with a selector of the program's, which watches the driver.
    pub(crate) self_pipe: Cell<bool>,
    /// What a program has put in the place of the ready queue (`_ready = ...`).
    pub(crate) own_ready: ObjCell,
    /// The list of timers, once a program has asked for it (`_scheduled`).
    pub(crate) scheduled: ObjCell,
    /// Timers of ours that have gone there, by their keys.
    pub(crate) moved: RefCell<HashMap<u64, Obj<TimerHandle>>>,
    /// What `_run_forever_setup()` is to put back: the hooks of async generators, the loops that ran before.
    pub(crate) run_setup: ObjCell,
    /// The handle that runs, in debug mode: reports of errors say where it was made.
    pub(crate) current_handle: ObjCell,
    pub(crate) origin_tracking: Cell<Option<i32>>,
    pub(crate) signals: Signals,
    pub(crate) held: held_writes::HeldWrites,
    pub(crate) sockets: Sockets,
    pub(crate) calls: Calls,
    pub(crate) files: Engine,
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

    /// Whether a thread runs the loop.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.thread_id.get() != 0
    }

    /// No thread runs the loop any more. The garbage collector is to track the handles that wait: they may wait for ever.
    pub(crate) fn stopped_running(&self) {
        self.thread_id.set(0);
        for item in self.ready.borrow().iter() {
            match item {
                Ready::Call(handle) | Ready::Again(handle) => handle.track(),
                Ready::CallThreadSafe(handle) => handle.track(),
                _ => {}
            }
        }
        let timers = self.timers.borrow();
        let tracked = self.timers_tracked.replace(timers.count_set());
        if tracked < timers.count_set() {
            for timer in timers.set_since(tracked) {
                if let Timer::Call(handle) = timer {
                    handle.track();
                }
            }
        }
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

    /// Appends to the ready queue. A caller on another thread also has to wake the loop.
    #[expect(clippy::inline_always)] // see `TurnQueue`
    #[inline(always)]
    pub(crate) fn push(&self, item: impl FnOnce() -> Ready) {
        self.ready.borrow_mut().push_back_with(item);
    }

    /// Something was sent, or is waited for, so that something may come from outside at once: the next turn looks.
    #[inline]
    pub(crate) fn expect_io(&self) {
        self.pace.expect();
    }

    /// Something was left for the end of the turn, or queued natively. Where Python code runs the queue, that is served
    /// when the driver's descriptor is found readable.
    #[inline]
    pub(crate) fn left_for_turn(this: &Obj<Self>) {
        if this.replaces(Hooks::CALL_SOON)
            && let Some(waker) = &*this.waker.borrow()
        {
            waker.wake();
        }
    }

    /// Wakes the loop's thread if it is waiting in the driver.
    #[inline]
    pub(crate) fn wake(&self) {
        self.pace.expect();
        // Where Python code has a part in the wait, it may have looked at the queue a moment ago and wait in a moment.
        if (self.polling.get() || self.own_selector.get() || self.lists.get())
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake();
        }
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

    /// Sets a timer, `when` in seconds of the loop's clock.
    #[inline]
    pub(crate) fn set_timer(&self, when: f64, timer: Timer) -> TimerKey {
        self.pace.timer_set(when);
        self.timers.borrow_mut().insert(when, timer)
    }

    /// Takes a timer out of the queue before it is due.
    pub(crate) fn forget_timer(this: &Obj<Self>, key: TimerKey) {
        let timer = this.timers.borrow_mut().cancel(key);
        if timer.is_none() {
            let moved = this.moved.borrow_mut().remove(&key.to_u64());
            if let Some(handle) = moved {
                // It stays in the list, as a cancelled one of asyncio's does.
                handle.base().cancelled.set(true);
                handle.base().empty();
            }
        }
        drop(timer);
    }

    /// Makes the driver: the one that the environment asks for, unless a kind is given.
    ///
    /// # Errors
    /// `OSError` from the kernel, `ValueError` for a name in the environment that is none.
    pub(crate) fn open(&self, kind: Option<DriverKind>) -> PyResult<()> {
        if self.driver.borrow().is_some() {
            return Ok(());
        }
        let driver =
            kind.map_or_else(Driver::new, Driver::with_kind).map_err(|err| match err.raw_os_error() {
                // A name in the environment that is none.
                None => PyValueError::new_err(err.to_string()),
                Some(errno @ (NOT_PERMITTED | NO_SUCH_CALL)) => {
                    let why = io::Error::from_raw_os_error(errno).to_string();
                    PyOSError::new_err((errno, format!("{REFUSED} ({why})")))
                }
                Some(_) => PyOSError::new_err_from_io(err),
            })?;
        *self.waker.borrow_mut() = Some(driver.waker());
        *self.driver.borrow_mut() = Some(Arc::new(driver));
        Ok(())
    }
}

/// `EPERM` and `ENOSYS` of Linux: what a sandbox and an old kernel answer.
const NOT_PERMITTED: i32 = 1;
const NO_SUCH_CALL: i32 = 38;
const REFUSED: &str = "the kernel or a sandbox refuses epoll or eventfd, with which ferrio's event loop waits: allow \
                       epoll_create1, epoll_ctl, epoll_pwait and eventfd2, or run the program without ferrio";

#[cold]
pub(crate) fn closed_error() -> PyErr {
    PyRuntimeError::new_err("Event loop is closed")
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Handle>(module)?;
    ClassDef::add::<TimerHandle>(module)?;
    ClassDef::add::<ThreadSafeHandle>(module)?;
    ClassDef::add::<running::RunningLoop>(module)?;
    ClassDef::function(
        module,
        "_get_running_loop",
        running::py_get,
        "_get_running_loop()\n--\n\nThe running event loop, or None.",
    )?;
    ClassDef::function(
        module,
        "_watch_for_foreign_loop",
        running::py_watch_for_foreign_loop,
        "_watch_for_foreign_loop(watcher)\n--\n\n\
         Call watcher(loop) once, when the first loop that is not ferrio's begins to run.",
    )?;
    ClassDef::function(
        module,
        "_set_running_loop",
        running::py_set,
        "_set_running_loop(loop, /)\n--\n\nSet the running event loop of this thread.",
    )?;
    ClassDef::function(
        module,
        "get_running_loop",
        running::py_get_running_loop,
        "get_running_loop()\n--\n\nThe running event loop. Raises RuntimeError if there is none. (Since 3.7)",
    )?;
    ClassDef::function(
        module,
        "get_event_loop",
        running::py_get_event_loop,
        "get_event_loop()\n--\n\nThe running event loop, or the one that the policy gives.",
    )
}
