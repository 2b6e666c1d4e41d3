//! One turn of the loop, and running turns until somebody stops it.
//!
//! ```text
//! poll the driver -> due timers -> everything that is ready by then
//! ```
//!
//! That is asyncio's order: what a poll finds runs in the same turn, behind what was queued before it. A loop that has
//! spun for long leaves polls out; `event_loop/pace.rs` says when.

use std::time::Duration;

use ferrio_core::clock;
use ferrio_core::driver::{Driver, Event, Events};
use ferrio_object::{ClassBuilder, ClassDef, MethodSet, Obj, Raised, StateAtHand};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::signals::Guard;
use super::{ahead, io, queue_view, replaced};
use crate::event_loop::{
    ExceptionContext, Handle, HandleArgs, Hooks, Loop, Ready, ThreadSafeHandle, Timer, first_run,
    held_writes, make_handle, running,
};
use crate::exceptions::{self, FromIo};
use crate::log::{self, Level};
use crate::native_fn::NativeFn;
use crate::task::StepCallable;
use crate::taskgroups::TaskGroup;
use crate::timeouts::Timeout;
use crate::transports::StreamTransport;
use crate::{debug, future, gather, task};

/// Items of one turn after which the clock is read, to see whether the interpreter's check is due.
const CHECK_ITEMS: usize = 256;

/// One iteration of a loop of which nothing is replaced.
pub(super) fn run_once(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let waiting = this.ready.borrow().len();
    let idle = waiting == 0;
    if idle || this.pace.time_to_look(waiting, |now| timer_is_due(this, now)) {
        poll(this, py, idle)?;
    }
    run_ready(this, py)
}

fn timer_is_due(this: &Obj<Loop>, now: f64) -> bool {
    this.timers.borrow_mut().next_deadline().is_some_and(|when| when <= now)
}

/// Polls the driver, queues what became ready, and moves due timers to the ready queue.
fn poll(this: &Obj<Loop>, py: Python<'_>, idle: bool) -> PyResult<()> {
    let timeout = if !idle || this.stopping.get() {
        Some(Duration::ZERO)
    } else {
        let next = this.timers.borrow_mut().next_deadline();
        next.map(|when| {
            let left = (when - clock::monotonic()).max(0.0);
            Duration::try_from_secs_f64(left).unwrap_or(MAX_WAIT).min(MAX_WAIT)
        })
    };
    let blocks = timeout != Some(Duration::ZERO);
    let mut events = this.events.take();
    let polled = poll_driver(this, py, &mut events, timeout, blocks);
    let now = clock::monotonic();
    // Queued before a signal handler may raise: changes that the kernel has reported once it does not report again.
    let outcome = polled.and_then(|()| io::queue_events(this, py, &events));
    let due = queue_due_timers(this, now + this.clock_resolution.get());
    let found = events.woken() || !events.is_empty();
    this.pace.looked(now, &events, due || found);
    // A wait that a signal has ended has found nothing; one that has found something was not ended by one.
    let interrupted = blocks && !found;
    this.events.replace(events);
    if interrupted {
        // A signal that arrived while we were in there has its Python handler called now.
        py.check_signals()?;
    }
    outcome?;
    this.pace.interpreter.if_due(py, now)
}

/// Waits for at most `timeout` seconds and queues what the driver has, for a turn that Python code makes.
///
/// # Errors
/// `OSError` from the driver; what signal handlers raise.
pub(super) fn wait_and_queue(
    this: &Obj<Loop>,
    py: Python<'_>,
    timeout: Option<f64>,
) -> PyResult<(Vec<Event>, bool)> {
    let timeout = timeout.map(|left| Duration::try_from_secs_f64(left).unwrap_or(MAX_WAIT).min(MAX_WAIT));
    let mut events = this.events.take();
    let polled = poll_driver(this, py, &mut events, timeout, timeout != Some(Duration::ZERO));
    let outcome = polled.and_then(|()| io::queue_events(this, py, &events));
    let found = (events.iter().collect(), events.woken());
    this.events.replace(events);
    py.check_signals()?;
    outcome.map(|()| found)
}

/// asyncio's own bound on one wait; a deadline further away is waited for in steps.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// An interrupted wait has found nothing.
fn poll_driver(
    this: &Obj<Loop>,
    py: Python<'_>,
    events: &mut Events,
    timeout: Option<Duration>,
    blocks: bool,
) -> PyResult<()> {
    let driver = this.driver()?;
    let polled = if blocks {
        // From here on a thread that pushes has to wake us: it can get the GIL any time. So has a signal handler.
        this.polling.set(true);
        let guard = Guard::set(this, py);
        let polled = match py.check_signals() {
            Ok(()) => wait(this, py, &driver, events, timeout),
            Err(raised) => Err(raised),
        };
        if let Some(guard) = guard {
            guard.take_back(py);
        }
        this.polling.set(false);
        polled?
    } else {
        driver.poll(events, timeout)
    };
    match polled {
        Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        polled => polled.map_err(PyOSError::new_err_from_io),
    }
}

/// Waits in the driver, without the GIL. Or, where `select.select` is somebody's Python code, in that: it has more to do
/// meanwhile than to let other threads run.
fn wait(
    this: &Obj<Loop>,
    py: Python<'_>,
    driver: &Driver,
    events: &mut Events,
    timeout: Option<Duration>,
) -> PyResult<std::io::Result<()>> {
    let Some((select, fd)) = this.cooperative_select.get().zip(driver.fd()) else {
        return Ok(py.detach(|| driver.poll(events, timeout)));
    };
    let none = PyList::empty(py);
    select.bind(py).call1(([fd], &none, &none, timeout.map(|timeout| timeout.as_secs_f64())))?;
    Ok(driver.poll(events, Some(Duration::ZERO)))
}

/// Moves the timers that are due at `until` (seconds) to the ready queue. Returns whether there were any.
pub(super) fn queue_due_timers(this: &Obj<Loop>, until: f64) -> bool {
    let mut any = false;
    this.timers.borrow_mut().drain_due(until, |_, timer| {
        any = true;
        match timer {
            Timer::Call(timer) => this.push(|| Ready::Call(timer.into_base())),
            Timer::Resolve(fut) => this.push(|| Ready::Resolve(fut)),
            Timer::Timeout(timeout) => {
                let setting = timeout.setting();
                this.push(|| Ready::Expire(timeout, setting));
            }
        }
    });
    any
}

/// Runs everything that is ready now; what is queued meanwhile waits for the next turn. Sends what is held back.
pub(super) fn run_ready(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    if this.held.wait_for_step() {
        // A turn within a step, as nested loops make it.
        held_writes::send_all(this, py)?;
    }
    this.held.turn_begins();
    let outcome = run_items(this, py);
    this.held.turn_ended();
    if this.held.wait_for_turn() {
        return outcome.and(held_writes::send_all(this, py));
    }
    outcome
}

fn run_items(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    let count = this.ready.borrow().len();
    let ahead = this.pace.runs(count);
    if this.debug.get() {
        return run_ready_watched(this, py, count);
    }
    if ClassDef::replaces_any::<Handle>(py) {
        return run_ready_by_handles(this, py, count);
    }
    if ahead > 0 {
        run_ahead(this, py, ahead)?;
    }
    let mut left = count - ahead;
    loop {
        for _ in 0..left.min(CHECK_ITEMS) {
            let Some(item) = this.ready.borrow_mut().pop_front() else { break };
            let ran = run(this, py, item);
            // Nothing else runs before what the step wrote is sent.
            let ran = if this.held.wait_for_step() { held_writes::step_returned(this, py, ran) } else { ran };
            ran.map_err(|raised| raised.take(py))?;
        }
        left = left.saturating_sub(CHECK_ITEMS);
        if left == 0 {
            return Ok(());
        }
        let checked = this.pace.interpreter.if_due(py, clock::monotonic());
        if this.held.wait_for_step() {
            // A signal handler may have written.
            held_writes::send_all(this, py)?;
        }
        checked?;
    }
}

/// As [`run_ready`], asking for what the items behind each will use. Apart, because a task switch takes a tenth longer
/// with it in its loop, and nothing that runs without a poll gains by it.
#[inline(never)]
fn run_ahead(this: &Obj<Loop>, py: Python<'_>, count: usize) -> PyResult<()> {
    for _ in 0..count {
        let Some(item) = this.ready.borrow_mut().pop_front() else { break };
        ahead::prefetch(this, py);
        run_apart(this, py, item).map_err(|raised| raised.take(py))?;
    }
    Ok(())
}

/// [`run`] for the rarer loops, so that it stays part of the plain one.
#[inline(never)]
fn run_apart(this: &Obj<Loop>, py: Python<'_>, item: Ready) -> Result<(), Raised> {
    let ran = run(this, py, item);
    if this.held.wait_for_step() { held_writes::step_returned(this, py, ran) } else { ran }
}

/// As [`run_ready`], where `Handle._run` was replaced.
#[cold]
fn run_ready_by_handles(this: &Obj<Loop>, py: Python<'_>, count: usize) -> PyResult<()> {
    for _ in 0..count {
        let Some(item) = this.ready.borrow_mut().pop_front() else { break };
        run_by_handle(this, py, item).map_err(|raised| raised.take(py))?;
    }
    Ok(())
}

/// Tasks are stepped by handles too with asyncio: what counts or times callbacks by `_run` sees those.
fn run_by_handle(this: &Obj<Loop>, py: Python<'_>, item: Ready) -> Result<(), Raised> {
    let Ready::Step(task) = item else { return run_apart(this, py, item) };
    let step = StepCallable::queued(py, &task)?;
    let handle = make_handle(this, py, step, HandleArgs::None, task.context(py)?)?;
    let outcome = Handle::run_by_name(&handle, py);
    handle.empty();
    let ran = outcome.map_err(Raised::from);
    if this.held.wait_for_step() { held_writes::step_returned(this, py, ran) } else { ran }
}

/// Runs one item, whose time has come elsewhere than in the queue.
///
/// # Errors
/// `KeyboardInterrupt`, `SystemExit`.
pub(super) fn run_item(this: &Obj<Loop>, py: Python<'_>, item: Ready) -> PyResult<()> {
    run_apart(this, py, item).map_err(|raised| raised.take(py))
}

/// As [`run_ready`], timing each item and telling of the slow ones.
fn run_ready_watched(this: &Obj<Loop>, py: Python<'_>, count: usize) -> PyResult<()> {
    for _ in 0..count {
        let Some(item) = this.ready.borrow_mut().pop_front() else { break };
        let shown = Shown::of(&item);
        let before = clock::monotonic();
        let run = if ClassDef::replaces_any::<Handle>(py) { run_by_handle } else { run_apart };
        run(this, py, item).map_err(|raised| raised.take(py))?;
        let took = clock::monotonic() - before;
        if took >= this.slow_callback_duration.get() {
            shown.warn_slow(py, took)?;
        }
        shown.done();
    }
    Ok(())
}

/// What is being run, for the report that it was slow.
enum Shown {
    Task(Obj),
    Handle(Obj<Handle>),
    Nothing,
}

impl Shown {
    fn of(item: &Ready) -> Shown {
        match item {
            Ready::Step(task) => Shown::Task(task.as_any().clone()),
            Ready::Call(handle) => Shown::Handle(handle.clone()),
            Ready::CallThreadSafe(handle) => Shown::Handle(handle.base().clone()),
            _ => Shown::Nothing,
        }
    }

    /// Logs that it took `took` seconds.
    fn warn_slow(&self, py: Python<'_>, took: f64) -> PyResult<()> {
        let shown = match self {
            Shown::Task(task) => task.bind(py).repr()?.to_string(),
            Shown::Handle(handle) => format_handle(py, handle)?,
            Shown::Nothing => return Ok(()),
        };
        let message = "Executing %s took %.3f seconds";
        log::write(py, "ferrio.base_events", Level::Warning, (message, shown, took))
    }

    /// It was shown, or need not be: a handle that has run lets go of what it called.
    fn done(self) {
        if let Shown::Handle(handle) = self {
            handle.empty();
        }
    }
}

/// A handle as the slow-callback report shows it: a task's step shows the task.
fn format_handle(py: Python<'_>, handle: &Obj<Handle>) -> PyResult<String> {
    if let Some(callback) = handle.callback.get()
        && let Some(owner) = callback.bind(py).getattr_opt(intern!(py, "__self__"))?
        && Obj::<task::Task>::from_bound(&owner).is_some()
    {
        return Ok(owner.repr()?.to_string());
    }
    Ok(handle.bind(py).str()?.to_string())
}

#[expect(clippy::inline_always)] // a call and its spills were a quarter of a task switch
#[inline(always)]
fn run(this: &Obj<Loop>, py: Python<'_>, item: Ready) -> Result<(), Raised> {
    match item {
        Ready::Step(task) => match task::run_ready(&task, py) {
            Ok(()) => Ok(()),
            Err(raised) => failed(this, py, &|py| task::wakeup_callable(py, &task), raised.take(py)),
        },
        Ready::Call(handle) => {
            if handle.cancelled.get() {
                return Ok(());
            }
            if handle.replaces_any() {
                let outcome = Handle::shown_while(&handle, this, || Handle::run_by_name(&handle, py));
                if !this.debug.get() {
                    handle.empty();
                }
                return Ok(outcome?);
            }
            // The report on slow callbacks of debug mode still wants to show it.
            if this.debug.get() {
                Ok(Handle::run_kept(&handle, py, this)?)
            } else {
                Handle::run_out(&handle, py)
            }
        }
        Ready::CallThreadSafe(handle) => {
            let call = || run_apart(this, py, Ready::Call(handle.base().clone()));
            ThreadSafeHandle::while_running(&handle, py, call)
        }
        Ready::GatherChild(outer, child) => match gather::child_done(&outer, py, &child) {
            Ok(()) => Ok(()),
            Err(err) => failed(this, py, &|py| gather::done_callable(py, &outer), err),
        },
        Ready::DoneCallback(function, fut) => match NativeFn::call_with(&function, py, fut.as_any()) {
            Ok(()) => Ok(()),
            Err(err) => failed(this, py, &|_| Ok(function.as_any().clone()), err),
        },
        Ready::GroupChild(group, child, place) => match TaskGroup::child_done(&group, py, &child, place) {
            Ok(()) => Ok(()),
            Err(err) => failed(this, py, &|py| TaskGroup::done_callable(&group, py, place), err),
        },
        Ready::Expire(timeout, setting) => match Timeout::expire_if(&timeout, py, setting) {
            Ok(()) => Ok(()),
            Err(err) => failed(this, py, &|_| Ok(timeout.as_any().clone()), err),
        },
        Ready::Resolve(fut) => {
            future::wake(&fut, py)?;
            Ok(())
        }
        Ready::Io { token, readiness } => Ok(io::dispatch(this, py, token, readiness)?),
        Ready::Connected(transport) => match transport.get() {
            Some(transport) => Ok(StreamTransport::connected(transport, py)?),
            None => Ok(()),
        },
        Ready::Lost(transport) => match transport.get() {
            Some(transport) => Ok(StreamTransport::lost(transport, py)?),
            None => Ok(()),
        },
        Ready::Again(handle) if handle.cancelled.get() => Ok(()),
        Ready::Again(handle) => Ok(Handle::run_kept(&handle, py, this)?),
        Ready::Object(object) => Ok(queue_view::run_object(py, &object)?),
    }
}

/// An error out of a callback of ours goes the way of any callback's: to the exception handler, unless it is to end
/// the loop.
#[cold]
fn failed(
    this: &Obj<Loop>,
    py: Python<'_>,
    callback: &dyn Fn(Python<'_>) -> PyResult<Obj>,
    err: PyErr,
) -> Result<(), Raised> {
    if exceptions::is_exit(py, &err) {
        return Err(err.into());
    }
    let shown = debug::format_callback_source(py, callback(py)?.bind(py), &[], false)?;
    ExceptionContext::new(py)
        .with("message", format!("Exception in callback {shown}"))?
        .with("exception", exceptions::value_of(py, err))?
        .report_to(this)?;
    Ok(())
}

fn run_forever(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    first_run::begins(py)?;
    this.bind(py).call_method0(intern!(py, "_run_forever_setup"))?;
    // PyO3 is to know that the thread is attached, or it would put off what `PyErr`s and `Py`s let go of when dropped.
    let outcome = Python::attach(|_| {
        let _at_hand = StateAtHand::begin(py);
        run_turns(this, py)
    });
    let left = this.bind(py).call_method0(intern!(py, "_run_forever_cleanup")).map(drop);
    outcome.and(left)
}

fn run_turns(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    loop {
        if !replaced::replaces_turn(this, Hooks::RUN_ONCE) {
            run_once(this, py)?;
        } else if this.replaces(Hooks::RUN_ONCE) {
            this.bind(py).call_method0(intern!(py, "_run_once"))?;
        } else {
            replaced::run_once(this, py)?;
        }
        if this.stopping.get() {
            return Ok(());
        }
    }
}

/// One iteration as `_run_once()` makes it.
fn turn(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    if replaced::replaces_turn(this, MethodSet::NONE) {
        replaced::run_once(this, py)
    } else {
        run_once(this, py)
    }
}

pub(super) fn check_running(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    if this.thread_id.get() != 0 {
        return Err(PyRuntimeError::new_err("This event loop is already running"));
    }
    if running::get(py).is_some() {
        return Err(PyRuntimeError::new_err("Cannot run the event loop while another loop is running"));
    }
    Ok(())
}

fn stop(this: &Obj<Loop>, _py: Python<'_>) {
    this.stopping.set(true);
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method0("run_forever", run_forever, "run_forever($self, /)\n--\n\nRun until stop() is called.")
        .method0(
            "stop",
            stop,
            "stop($self, /)\n--\n\nStop after the current turn of the loop.\n\n\
            Callbacks scheduled before are run; those that they schedule are not.",
        )
        .method0("_run_once", turn, "_run_once($self, /)\n--\n\nOne turn of the loop.")
        .method(
            "_check_running",
            |this: &Obj<Loop>, py: Python<'_>, _args: ferrio_object::Args<'_, '_>| check_running(this, py),
            "",
        )
        .getset(
            "_stopping",
            |this: &Obj<Loop>, _py: Python<'_>| this.stopping.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                this.stopping.set(value.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?);
                Ok(())
            },
            "",
        );
}
