//! Running until something is done, closing, and what happens around both: the running-loop mark, async generators.

use std::ffi::CString;

use ferrio_object::{Args, ClassBuilder, Obj, Signature, ThreadState};
use pyo3::exceptions::{PyResourceWarning, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

use super::turn;
use crate::event_loop::{ExceptionContext, Loop, LoopRef, Ready, Timer, running};
use crate::log::{self, Level};
use crate::warnings;
use crate::{coro, exceptions, stock, task};

/// What `run_forever` has set up and must put back.
pub(super) struct Setup {
    pub(super) asyncgen_hooks: Obj,
    pub(super) outer: Option<Obj>,
    pub(super) stock_outer: Option<Obj>,
}

impl Setup {
    pub(super) fn enter(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Setup> {
        let asyncgen_hooks = py.import("sys")?.call_method0("get_asyncgen_hooks")?.into();
        this.thread_id.set(ThreadState::ident());
        let outer = running::set(py, Some(this.as_any().clone()));
        let mut setup = Setup { asyncgen_hooks, outer, stock_outer: None };
        match setup.set_up(this, py) {
            Ok(()) => Ok(setup),
            Err(err) => {
                // What made it fail is what the caller has to know.
                if let Err(other) = setup.leave(this, py) {
                    ferrio_object::swallow(py, other);
                }
                Err(err)
            }
        }
    }

    fn set_up(&mut self, this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
        if this.debug.get() {
            track_coroutine_origins(this, py, true)?;
        }
        let hooks = PyDict::new(py);
        hooks.set_item("firstiter", this.bind(py).getattr("_asyncgen_firstiter_hook")?)?;
        hooks.set_item("finalizer", this.bind(py).getattr("_asyncgen_finalizer_hook")?)?;
        py.import("sys")?.call_method("set_asyncgen_hooks", (), Some(&hooks))?;
        this.cooperative_select.set(cooperative_select(py)?);
        self.stock_outer = stock::enter_loop(py, this)?;
        super::signals::guard(this, py)
    }

    /// Every step is made, whatever becomes of the others; the first error counts.
    pub(super) fn leave(self, this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
        this.stopped_running();
        running::set(py, self.outer);
        let restore_hooks = || -> PyResult<()> {
            let hooks = self.asyncgen_hooks.bind(py);
            py.import("sys")?
                .call_method1("set_asyncgen_hooks", (hooks.get_item(0)?, hooks.get_item(1)?))
                .map(drop)
        };
        super::signals::unguard(this);
        let steps = [
            stock::leave_loop(py, this, self.stock_outer),
            track_coroutine_origins(this, py, false),
            restore_hooks(),
        ];
        let mut outcome = Ok(());
        for step in steps {
            match (step, &outcome) {
                (Err(err), Ok(())) => outcome = Err(err),
                (Err(err), Err(_)) => ferrio_object::swallow(py, err),
                (Ok(()), _) => {}
            }
        }
        outcome
    }
}

/// `select.select`, if Python code has taken its place, as gevent's and eventlet's does.
fn cooperative_select(py: Python<'_>) -> PyResult<Option<Obj>> {
    let modules = py.import("sys")?.getattr(intern!(py, "modules"))?.cast_into::<PyDict>()?;
    let Some(module) = modules.get_item(intern!(py, "select"))? else { return Ok(None) };
    let select = module.getattr_opt(intern!(py, "select"))?;
    Ok(select.filter(|select| !select.is_instance_of::<PyCFunction>()).map(Obj::from))
}

/// While a loop in debug mode runs, coroutines remember where they were created.
pub(super) fn track_coroutine_origins(event_loop: &Obj<Loop>, py: Python<'_>, enabled: bool) -> PyResult<()> {
    /// asyncio's `constants.DEBUG_STACK_DEPTH`.
    const DEPTH: i32 = 10;
    let before = event_loop.origin_tracking.get();
    if enabled == before.is_some() {
        return Ok(());
    }
    let sys = py.import("sys")?;
    if enabled {
        let depth = sys.call_method0(intern!(py, "get_coroutine_origin_tracking_depth"))?.extract()?;
        event_loop.origin_tracking.set(Some(depth));
        sys.call_method1(intern!(py, "set_coroutine_origin_tracking_depth"), (DEPTH,))?;
    } else {
        event_loop.origin_tracking.set(None);
        sys.call_method1(intern!(py, "set_coroutine_origin_tracking_depth"), (before,))?;
    }
    Ok(())
}

fn run_until_complete(this: &Obj<Loop>, py: Python<'_>, future: &Bound<'_, PyAny>) -> PyResult<Obj> {
    this.check_closed()?;
    turn::check_running(this, py)?;
    let new_task = !crate::future_likes::is_future(py, future)?;
    let future = task::ensure_future(py, future, Some(&LoopRef::Native(this.clone())))?;
    if new_task {
        // An exception raised here reports itself; "destroyed but pending" would only add noise.
        future.bind(py).setattr(intern!(py, "_log_destroy_pending"), false)?;
    }
    // Always the same object: a library (anyio) knows by it which task the loop runs for.
    let stopper = crate::imported::module(py, "ferrio._ferrio")?.getattr(intern!(py, STOP_WHEN_DONE))?;
    future.bind(py).call_method1(intern!(py, "add_done_callback"), (&stopper,))?;
    let outcome = this.bind(py).call_method0(intern!(py, "run_forever"));
    let fut = future.bind(py);
    if let Err(err) = outcome {
        let done = fut.call_method0(intern!(py, "done"))?.is_truthy()?;
        if new_task && done && !fut.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            // The coroutine raised BaseException: mark it as retrieved, it is on its way to the caller.
            fut.call_method0(intern!(py, "exception"))?;
        }
        fut.call_method1(intern!(py, "remove_done_callback"), (&stopper,))?;
        return Err(err);
    }
    fut.call_method1(intern!(py, "remove_done_callback"), (&stopper,))?;
    if !fut.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Err(PyRuntimeError::new_err("Event loop stopped before Future completed."));
    }
    Ok(fut.call_method0(intern!(py, "result"))?.into())
}

/// What the module calls the done-callback of `run_until_complete`; asyncio's name.
pub(crate) const STOP_WHEN_DONE: &str = "_run_until_complete_cb";

/// The done-callback of `run_until_complete`.
pub(crate) fn py_stop_when_done(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [fut] = args.bind(&Signature::new(STOP_WHEN_DONE, ["fut"]))?;
    let Some(fut) = fut else { return Ok(()) };
    if !fut.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        let exc = fut.call_method0(intern!(py, "exception"))?;
        // The loop has stopped already, by this very exception passing through it.
        if !exc.is_none() && exceptions::is_exit(py, &PyErr::from_value(exc)) {
            return Ok(());
        }
    }
    let event_loop = crate::future_likes::loop_of(py, fut)?;
    event_loop.as_any().bind(py).call_method0(intern!(py, "stop"))?;
    Ok(())
}

fn close(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    if this.thread_id.get() != 0 {
        return Err(PyRuntimeError::new_err("Cannot close a running event loop"));
    }
    if this.closed.get() {
        return Ok(());
    }
    if this.debug.get() {
        log::write(py, "ferrio.base_events", Level::Debug, ("Close %r", this))?;
    }
    super::selector::close(this, py)?;
    // The loop is closed whatever becomes of its signal handlers.
    let signals = super::signals::remove_all(this, py);
    this.closed.set(true);
    crate::imported::loop_closed(py);
    // Each container is emptied before its contents are dropped: dropping runs Python code.
    let ready = std::mem::take(&mut *this.ready.borrow_mut());
    for item in ready.iter() {
        match item {
            Ready::Call(handle) => handle.empty(),
            Ready::CallThreadSafe(handle) => handle.base().empty(),
            _ => {}
        }
    }
    drop(ready);
    let timers: Vec<_> = this.timers.borrow_mut().drain().collect();
    for timer in &timers {
        if let Timer::Call(timer) = timer {
            timer.base().empty();
        }
    }
    drop(timers);
    super::io::close(this);
    this.files.close(py);
    this.executor_shutdown_called.set(true);
    if let Some(executor) = this.default_executor.take() {
        let kwargs = PyDict::new(py);
        kwargs.set_item("wait", false)?;
        executor.bind(py).call_method("shutdown", (), Some(&kwargs))?;
    }
    let driver = this.driver.borrow_mut().take();
    drop(driver);
    // It has a descriptor too, and a closed loop may be kept for as long as the process lives.
    let waker = this.waker.borrow_mut().take();
    drop(waker);
    for cell in [&this.scheduled, &this.own_ready] {
        cell.set(None);
    }
    let moved = std::mem::take(&mut *this.moved.borrow_mut());
    drop(moved);
    super::selector::drop_selector(this, py)?;
    signals
}

/// `__del__` of a loop that nobody closed.
pub(super) fn finalize(this: &Obj<Loop>, py: Python<'_>) {
    if this.closed.get() || this.driver.borrow().is_none() {
        return;
    }
    let warn = || -> PyResult<()> {
        // Not through the warnings module: the interpreter may be past importing.
        let message = CString::new(format!("unclosed event loop {}", this.bind(py).repr()?))?;
        PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &message, 1)
    };
    if let Err(err) = warn() {
        err.write_unraisable(py, Some(this.bind(py)));
    }
    if this.thread_id.get() == 0
        && let Err(err) = this.bind(py).call_method0("close")
    {
        err.write_unraisable(py, Some(this.bind(py)));
    }
}

pub(super) fn asyncgens<'py>(this: &Obj<Loop>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(asyncgens) = this.asyncgens.get() {
        return Ok(asyncgens.into_bound(py));
    }
    let set = py.import("weakref")?.getattr("WeakSet")?.call0()?;
    this.asyncgens.set(Some((&set).into()));
    Ok(set)
}

fn asyncgen_firstiter(this: &Obj<Loop>, py: Python<'_>, generator: &Bound<'_, PyAny>) -> PyResult<()> {
    if this.asyncgens_shutdown_called.get() {
        let message = format!(
            "asynchronous generator {} was scheduled after loop.shutdown_asyncgens() call",
            generator.repr()?
        );
        warnings::warn_of::<PyResourceWarning>(py, &message, this.as_any())?;
    }
    asyncgens(this, py)?.call_method1("add", (generator,))?;
    Ok(())
}

fn asyncgen_finalizer(this: &Obj<Loop>, py: Python<'_>, generator: &Bound<'_, PyAny>) -> PyResult<()> {
    asyncgens(this, py)?.call_method1("discard", (generator,))?;
    if !this.closed.get() {
        // May come from any thread: garbage collection runs where it likes.
        let create_task = this.bind(py).getattr("create_task")?;
        let aclose = generator.call_method0("aclose")?;
        this.bind(py).call_method1("call_soon_threadsafe", (create_task, aclose))?;
    }
    Ok(())
}

fn shutdown_asyncgens(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj> {
    coro::coroutine(py, "BaseEventLoop.shutdown_asyncgens", move |co| {
        let this = co.hold(this);
        async move {
            let (wait, generators) = {
                let (py, this) = (co.py(), this.get());
                this.asyncgens_shutdown_called.set(true);
                let set = asyncgens(&this, py)?;
                if set.len()? == 0 {
                    return Ok(Obj::none(py));
                }
                let generators: Vec<Obj> =
                    set.try_iter()?.map(|generator| generator.map(Obj::from)).collect::<PyResult<_>>()?;
                set.call_method0("clear")?;
                let acloses: PyResult<Vec<Obj>> = generators
                    .iter()
                    .map(|generator| Ok(generator.bind(py).call_method0("aclose")?.into()))
                    .collect();
                (co.wait(crate::gather::gather_objects(py, &acloses?, true)?), co.keep(generators))
            };
            let results = wait.await?;
            let (py, generators) = (co.py(), generators.get());
            for (result, generator) in results.bind(py).try_iter()?.zip(generators.iter()) {
                let result = result?;
                if result.is_instance_of::<pyo3::exceptions::PyBaseException>() {
                    let shown = generator.bind(py).repr()?;
                    let message =
                        format!("an error occurred during closing of asynchronous generator {shown}");
                    ExceptionContext::new(py)
                        .with("message", message)?
                        .with("exception", result)?
                        .with("asyncgen", generator)?
                        .report_to(&this.get())?;
                }
            }
            Ok(Obj::none(py))
        }
    })
}

fn repr(this: &Obj<Loop>, py: Python<'_>) -> PyResult<String> {
    let name = this.bind(py).get_type().name()?;
    Ok(format!(
        "<{name} running={} closed={} debug={}>",
        if this.thread_id.get() == 0 { "False" } else { "True" },
        if this.closed.get() { "True" } else { "False" },
        this.bind(py).call_method0(intern!(py, "get_debug"))?.repr()?,
    ))
}

fn set_debug(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [enabled] = args.bind(&Signature::new("set_debug", ["enabled"]))?;
    let enabled = enabled.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)?;
    this.debug.set(enabled);
    if this.thread_id.get() != 0 {
        track_coroutine_origins(this, py, enabled)?;
    }
    Ok(())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .repr(repr)
        .method1_named("run_until_complete", run_until_complete, || Signature::new("run_until_complete", ["future"]), "run_until_complete($self, /, future)\n--\n\n\
            Run until the future (or the coroutine, as a task) is done; return its result or raise its exception.\n\n\
            Raises RuntimeError if the loop is running or closed, or was stopped before the future was done.")
        .method0("close", close, "close($self, /)\n--\n\nClose the loop: nothing scheduled runs any more.\n\n\
            Raises RuntimeError if the loop is running. Closing again does nothing.")
        .method0("is_running", |this: &Obj<Loop>, _py: Python<'_>| this.thread_id.get() != 0,
            "is_running($self, /)\n--\n\nWhether the loop is running.")
        .method0("is_closed", |this: &Obj<Loop>, _py: Python<'_>| this.closed.get(),
            "is_closed($self, /)\n--\n\nWhether the loop was closed.")
        .method0("get_debug", |this: &Obj<Loop>, _py: Python<'_>| this.debug.get(),
            "get_debug($self, /)\n--\n\nWhether debug mode is on.")
        .method("set_debug", set_debug, "set_debug($self, /, enabled)\n--\n\nSwitch debug mode on or off.")
        .coroutine0("shutdown_asyncgens", shutdown_asyncgens, "shutdown_asyncgens($self, /)\n--\n\n\
            Coroutine: close all asynchronous generators that were iterated on this loop (since 3.6).")
        .method1("_asyncgen_firstiter_hook", asyncgen_firstiter, "")
        .method1("_asyncgen_finalizer_hook", asyncgen_finalizer, "")
        .method0("_check_closed", |this: &Obj<Loop>, _py: Python<'_>| this.check_closed(), "")
        .method0("__del__", |this: &Obj<Loop>, py: Python<'_>| finalize(this, py), "");
}
