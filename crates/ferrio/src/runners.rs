//! `asyncio.Runner` and `asyncio.run()`: a loop from its making to its end.
//!
//! Ctrl-C: the first one cancels the main task, so that the program can clean up; if it then ends by that
//! cancellation, `run()` raises KeyboardInterrupt. The second one raises KeyboardInterrupt on the spot.

use std::cell::Cell;

use ferrio_object::{
    Any, Args, Class, ClassBuilder, ClassDef, DictSlot, Obj, ObjCell, Signature, ThreadState, WeakList,
};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::{ExceptionContext, running};
use crate::{coroutines, exceptions, future_likes, gather, native_fn, task};

/// Seconds that closing waits for the default executor's threads, as in asyncio.
const THREAD_JOIN_TIMEOUT: u32 = 300;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Created,
    Initialized,
    Closed,
}

/// The contents of a `Runner`.
pub struct Runner {
    state: Cell<State>,
    debug: ObjCell,
    loop_factory: ObjCell,
    event_loop: ObjCell,
    context: ObjCell,
    interrupts: Cell<u32>,
    /// Whether the loop was made the thread's current one, which closing takes back.
    set_event_loop: Cell<bool>,
    dict: DictSlot,
    weaklist: WeakList,
}

impl Runner {
    fn new(debug: Option<Obj>, loop_factory: Option<Obj>) -> Runner {
        Runner {
            state: Cell::new(State::Created),
            debug: debug.into(),
            loop_factory: loop_factory.into(),
            event_loop: ObjCell::empty(),
            context: ObjCell::empty(),
            interrupts: Cell::new(0),
            set_event_loop: Cell::new(false),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    /// The loop, made now if it is not there yet.
    fn open(&self, py: Python<'_>) -> PyResult<Obj> {
        match self.state.get() {
            State::Closed => return Err(PyRuntimeError::new_err("Runner is closed")),
            State::Initialized => {
                if let Some(event_loop) = self.event_loop.get() {
                    return Ok(event_loop);
                }
            }
            State::Created => {}
        }
        let event_loop = if let Some(factory) = self.loop_factory.get() {
            factory.bind(py).call0()?
        } else {
            let events = py.import("ferrio.events")?;
            let event_loop = events.call_method0("new_event_loop")?;
            // Once only: child watchers of a policy are attached anew each time.
            if !self.set_event_loop.get() {
                events.call_method1("set_event_loop", (&event_loop,))?;
                self.set_event_loop.set(true);
            }
            event_loop
        };
        let event_loop = Obj::from(event_loop);
        self.event_loop.set(Some(event_loop.clone()));
        if let Some(debug) = self.debug.get() {
            event_loop.bind(py).call_method1("set_debug", (debug,))?;
        }
        self.context.set(Some(ThreadState::copy_context(py)?));
        self.state.set(State::Initialized);
        Ok(event_loop)
    }

    fn get_loop(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        this.open(py)
    }

    fn close(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.state.get() != State::Initialized {
            return Ok(());
        }
        let Some(event_loop) = this.event_loop.get() else { return Ok(()) };
        let wound_up = wind_up(py, &event_loop);
        let ended = this.end(py, &event_loop);
        wound_up.and(ended)
    }

    fn end(&self, py: Python<'_>, event_loop: &Obj) -> PyResult<()> {
        let unset = if self.set_event_loop.get() {
            py.import("ferrio.events")?.call_method1("set_event_loop", (py.None(),)).map(drop)
        } else {
            Ok(())
        };
        let closed = event_loop.bind(py).call_method0("close").map(drop);
        self.event_loop.set(None);
        self.state.set(State::Closed);
        unset.and(closed)
    }

    fn run(this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> = Signature::new("run", ["coro", "context"]).positional(1);
        let [coro, context] = args.bind(&SIGNATURE)?;
        let Some(coro) = coro else { return Err(PyTypeError::new_err("run() missing argument: 'coro'")) };
        Self::run_main(this, py, coro, context.filter(|context| !context.is_none()))
    }

    fn run_main(
        this: &Obj<Self>,
        py: Python<'_>,
        coro: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Obj> {
        let wrapped = main_coroutine(py, coro)?;
        if running::get(py).is_some() {
            return Err(PyRuntimeError::new_err("Runner.run() cannot be called from a running event loop"));
        }
        let event_loop = this.open(py)?;
        let kwargs = PyDict::new(py);
        match context {
            Some(context) => kwargs.set_item(intern!(py, "context"), context)?,
            None => kwargs.set_item(intern!(py, "context"), this.context.get())?,
        }
        let task: Obj =
            event_loop.bind(py).call_method(intern!(py, "create_task"), (wrapped,), Some(&kwargs))?.into();
        let interrupt = Interrupt::install(this, py, &task)?;
        this.interrupts.set(0);
        let outcome = event_loop.bind(py).call_method1(intern!(py, "run_until_complete"), (&task,));
        let outcome = match outcome {
            Err(err) if this.interrupts.get() > 0 && exceptions::err_is_cancelled(py, &err) => {
                this.interrupted(py, &task, err)
            }
            other => other.map(Obj::from),
        };
        let restored = interrupt.map_or(Ok(()), |interrupt| interrupt.remove(py));
        let outcome = outcome?;
        restored.map(|()| outcome)
    }

    /// The main task was cancelled and there was a Ctrl-C: which of the two is it?
    fn interrupted(&self, py: Python<'_>, task: &Obj, err: PyErr) -> PyResult<Obj> {
        let Some(uncancel) = task.bind(py).getattr_opt(intern!(py, "uncancel"))? else { return Err(err) };
        if uncancel.call0()?.eq(0)? {
            let interrupt = PyKeyboardInterrupt::new_err(());
            let exc = exceptions::value_of(py, err);
            ferrio_object::restore_context(py, &interrupt.value(py).into(), Some(&exc));
            return Err(interrupt);
        }
        Err(err)
    }

    /// SIGINT while `main_task` runs.
    fn on_sigint(&self, py: Python<'_>, main_task: &Obj) -> PyResult<()> {
        self.interrupts.set(self.interrupts.get() + 1);
        let main_task = main_task.bind(py);
        if self.interrupts.get() == 1 && !main_task.call_method0(intern!(py, "done"))?.is_truthy()? {
            main_task.call_method0(intern!(py, "cancel"))?;
            if let Some(event_loop) = self.event_loop.get() {
                // Wakes a loop that waits: a foreign one goes on waiting after a signal handler has run.
                let nothing = native_fn::function(py, "_wake", Vec::new(), |_py, _held, _args| Ok(()))?;
                event_loop.bind(py).call_method1(intern!(py, "call_soon_threadsafe"), (nothing,))?;
            }
            return Ok(());
        }
        Err(PyKeyboardInterrupt::new_err(()))
    }
}

/// The coroutine of `run()`. Other awaitables are taken too (since 3.14).
///
/// # Errors
/// `ValueError` (before 3.14) or `TypeError` for anything else.
fn main_coroutine(py: Python<'_>, coro: &Bound<'_, PyAny>) -> PyResult<Obj> {
    if coroutines::is_coroutine(py, coro)? {
        return Ok(coro.into());
    }
    if !cfg!(Py_3_14) {
        let shown = coro.repr()?;
        return Err(PyValueError::new_err(format!("a coroutine was expected, got {shown}")));
    }
    if crate::imported::module(py, "inspect")?.call_method1("isawaitable", (coro,))?.is_truthy()? {
        return crate::coro::coroutine(py, "_wrap_awaitable", move |co| {
            let awaitable = co.hold(Obj::from(coro));
            async move {
                let wait = co.wait(awaitable.get());
                wait.await
            }
        });
    }
    Err(PyTypeError::new_err("An asyncio.Future, a coroutine or an awaitable is required"))
}

/// The SIGINT handler of a run, where there is one: on the main thread, if the program has not set its own.
struct Interrupt {
    handler: Obj,
}

impl Interrupt {
    fn install(runner: &Obj<Runner>, py: Python<'_>, task: &Obj) -> PyResult<Option<Interrupt>> {
        let signal = py.import("signal")?;
        let sigint = signal.getattr(intern!(py, "SIGINT"))?;
        let default = signal.getattr(intern!(py, "default_int_handler"))?;
        if !signal.call_method1(intern!(py, "getsignal"), (&sigint,))?.is(&default) {
            return Ok(None);
        }
        let held = vec![runner.as_any().clone(), task.clone()];
        let handler = native_fn::function(py, "Runner._on_sigint", held, |py, held, _args| {
            let [runner, task] = held else { return Ok(()) };
            runner.cast::<Runner>().map_or(Ok(()), |runner| runner.on_sigint(py, task))
        })?;
        match signal.call_method1(intern!(py, "signal"), (sigint, &handler)) {
            Ok(_) => Ok(Some(Interrupt { handler })),
            // Not the main thread, or an embedded interpreter without signals.
            Err(err) if err.is_instance_of::<PyValueError>(py) => {
                ferrio_object::swallow(py, err);
                Ok(None)
            }
            Err(err) => Err(err),
        }
    }

    /// Puts the default handler back, unless the program has set another meanwhile.
    fn remove(self, py: Python<'_>) -> PyResult<()> {
        let signal = py.import("signal")?;
        let sigint = signal.getattr(intern!(py, "SIGINT"))?;
        if signal.call_method1(intern!(py, "getsignal"), (&sigint,))?.is(self.handler.bind(py)) {
            let default = signal.getattr(intern!(py, "default_int_handler"))?;
            signal.call_method1(intern!(py, "signal"), (sigint, default))?;
        }
        Ok(())
    }
}

/// What has to run on the loop before it is closed.
fn wind_up(py: Python<'_>, event_loop: &Obj) -> PyResult<()> {
    cancel_all_tasks(py, event_loop)?;
    let bound = event_loop.bind(py);
    let complete = |coro| bound.call_method1(intern!(py, "run_until_complete"), (coro,)).map(drop);
    complete(bound.call_method0(intern!(py, "shutdown_asyncgens"))?)?;
    let shutdown = bound.getattr(intern!(py, "shutdown_default_executor"))?;
    // The parameter came with 3.12; a loop of somebody else's may not have it before.
    let shutdown = if cfg!(Py_3_12) { shutdown.call1((THREAD_JOIN_TIMEOUT,))? } else { shutdown.call0()? };
    complete(shutdown)
}

fn cancel_all_tasks(py: Python<'_>, event_loop: &Obj) -> PyResult<()> {
    let tasks: Vec<Obj> = task::registry::all(py, event_loop)?
        .bind(py)
        .try_iter()?
        .map(|task| task.map(Obj::from))
        .collect::<PyResult<_>>()?;
    if tasks.is_empty() {
        return Ok(());
    }
    for task in &tasks {
        future_likes::cancel(py, task, None)?;
    }
    let all = gather::gather_objects(py, &tasks, true)?;
    event_loop.bind(py).call_method1(intern!(py, "run_until_complete"), (all,))?;
    for task in &tasks {
        let bound = task.bind(py);
        if bound.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            continue;
        }
        let exception = bound.call_method0(intern!(py, "exception"))?;
        if !exception.is_none() {
            ExceptionContext::new(py)
                .with("message", "unhandled exception during asyncio.run() shutdown")?
                .with("exception", exception)?
                .with("task", task)?
                .report_to(event_loop)?;
        }
    }
    Ok(())
}

/// `_cancel_all_tasks(loop)`.
///
/// # Errors
/// What the loop raises.
pub(crate) fn py_cancel_all_tasks(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [event_loop] = args.bind(&Signature::new("_cancel_all_tasks", ["loop"]))?;
    event_loop.map_or(Ok(()), |event_loop| cancel_all_tasks(py, &event_loop.into()))
}

/// `run(main, *, debug=None, loop_factory=None)`.
///
/// # Errors
/// What the coroutine raises, and `RuntimeError` if a loop is running in this thread.
pub(crate) fn py_run(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> = Signature::new("run", ["main", "debug", "loop_factory"]).positional(1);
    let [main, debug, loop_factory] = args.bind(&SIGNATURE)?;
    let Some(main) = main else { return Err(PyTypeError::new_err("run() missing argument: 'main'")) };
    if running::get(py).is_some() {
        return Err(PyRuntimeError::new_err("asyncio.run() cannot be called from a running event loop"));
    }
    let runner: Obj<Runner> =
        Obj::create(py, ((), Runner::new(Obj::unless_none(debug), Obj::unless_none(loop_factory))))?;
    runner.open(py)?;
    let outcome = Runner::run_main(&runner, py, main, None);
    let closed = Runner::close(&runner, py);
    match (outcome, closed) {
        (Err(err), Err(later)) => {
            // As leaving a `with` block would: the later error is raised, in the context of the earlier.
            let exc = exceptions::value_of(py, err);
            ferrio_object::restore_context(py, &later.value(py).into(), Some(&exc));
            Err(later)
        }
        (outcome, closed) => {
            let outcome = outcome?;
            closed.map(|()| outcome)
        }
    }
}

fn init(this: &Obj<Runner>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: Signature<2> = Signature::new("Runner", ["debug", "loop_factory"]).positional(0);
    let [debug, loop_factory] = args.bind(&SIGNATURE)?;
    this.debug.set(Obj::unless_none(debug));
    this.loop_factory.set(Obj::unless_none(loop_factory));
    Ok(())
}

fn enter(this: &Obj<Runner>, py: Python<'_>) -> PyResult<Obj> {
    this.open(py)?;
    Ok(this.as_any().clone())
}

fn exit(this: &Obj<Runner>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    args.bind(&Signature::new("__exit__", ["exc_type", "exc_val", "exc_tb"]))?;
    Runner::close(this, py)
}

impl Class for Runner {
    type Base = Any;
    ferrio_object::fields!(Runner {
        state,
        debug,
        loop_factory,
        event_loop,
        context,
        interrupts,
        set_event_loop,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "asyncio.runners.Runner";
    const DOC: &'static str = "Runner(*, debug=None, loop_factory=None)\n--\n\n\
        Context manager that owns an event loop and runs coroutines on it, one after the other.\n\n\
        Leaving it cancels the remaining tasks, closes asynchronous generators, joins the default executor's\n\
        threads and closes the loop. With a loop_factory the loop is not made the thread's current one. Since 3.11.";

    fn blank() -> Self {
        Self::new(None, None)
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(init)
            .method0("__enter__", enter, "__enter__($self, /)\n--\n\n")
            .method("__exit__", exit, "__exit__($self, /, exc_type, exc_val, exc_tb)\n--\n\n")
            .method0(
                "close",
                Self::close,
                "close($self, /)\n--\n\n\
                Cancel what is left, wait for it, and close the loop. Closing again does nothing.",
            )
            .method0("get_loop", Self::get_loop, "get_loop($self, /)\n--\n\nThe loop; made now if need be.")
            .method(
                "run",
                Self::run,
                "run($self, /, coro, *, context=None)\n--\n\n\
                Run a coroutine to its end and return its result.\n\n\
                All runs share one context unless another is given. The first Ctrl-C cancels the coroutine.\n\
                Raises RuntimeError if a loop is running in this thread or the runner is closed.",
            )
            .method0("_lazy_init", |this: &Obj<Self>, py: Python<'_>| this.open(py).map(drop), "")
            .getter("_loop", |this: &Obj<Self>, _py: Python<'_>| this.event_loop.get(), "")
            .getter("_context", |this: &Obj<Self>, _py: Python<'_>| this.context.get(), "")
            .getter("_interrupt_count", |this: &Obj<Self>, _py: Python<'_>| this.interrupts.get(), "")
            .getter("_set_event_loop", |this: &Obj<Self>, _py: Python<'_>| this.set_event_loop.get(), "")
            .getset(
                "_debug",
                |this: &Obj<Self>, _py: Python<'_>| this.debug.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.debug.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getset(
                "_loop_factory",
                |this: &Obj<Self>, _py: Python<'_>| this.loop_factory.get(),
                |this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                    this.loop_factory.set(Obj::unless_none(value));
                    Ok(())
                },
                "",
            )
            .getter(
                "_state",
                |this: &Obj<Self>, py: Python<'_>| {
                    let name = match this.state.get() {
                        State::Created => "created",
                        State::Initialized => "initialized",
                        State::Closed => "closed",
                    };
                    let states = crate::imported::module(py, "ferrio.runners")?.getattr("_State")?;
                    Ok::<_, PyErr>(Obj::from(states.call1((name,))?))
                },
                "",
            );
    }
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::add::<Runner>(module)?;
    ClassDef::function(
        module,
        "run",
        py_run,
        "run(main, *, debug=None, loop_factory=None)\n--\n\nRun a coroutine on a loop of its own; return its result.\n\n\
         Afterwards all other tasks are cancelled, asynchronous generators and the default executor closed.\n\n\
         debug: turn debug mode on or off; None leaves it to PYTHONASYNCIODEBUG and -X dev.\n\
         loop_factory: makes the loop, in place of new_event_loop() (since 3.12).\n\n\
         Raises RuntimeError if a loop is running in this thread. (Since 3.7)",
    )?;
    ClassDef::function(module, "_cancel_all_tasks", py_cancel_all_tasks, "_cancel_all_tasks(loop)\n--\n\n")
}
