//! Scheduling: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, `time`, `create_future`, `create_task`.

use ferrio_core::clock;
use ferrio_object::{Args, ClassBuilder, Obj, Signature, ThreadState, float_of};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::event_loop::{
    Handle, HandleArgs, Hooks, Loop, LoopRef, Ready, Timer, TimerHandle, make_handle, make_threadsafe_handle,
};
use crate::future::Future;
use crate::{debug, task};

/// `(callback, *args, context=None)` of the call_* methods, `lead` positional parameters before the callback.
struct Call {
    callback: Obj,
    args: HandleArgs,
    /// None is one without variables.
    context: Option<Obj>,
}

impl Call {
    #[expect(clippy::inline_always)] // the outcome must not go through memory: that was a twentieth of a `call_soon`
    #[inline(always)]
    fn parse<const N: usize>(
        py: Python<'_>,
        args: Args<'_, '_>,
        lead: usize,
        signature: &Signature<N>,
    ) -> PyResult<Call> {
        if !args.has_keywords() && args.len() > lead {
            let mut rest = args.iter().skip(lead);
            let callback = Obj::or_none(py, rest.next());
            return Ok(Call {
                callback,
                args: rest.map(Obj::from).collect(),
                context: ThreadState::snapshot(py)?,
            });
        }
        Self::parse_keywords(py, args, lead, signature)
    }

    #[cold]
    #[inline(never)]
    fn parse_keywords<const N: usize>(
        py: Python<'_>,
        args: Args<'_, '_>,
        lead: usize,
        signature: &Signature<N>,
    ) -> PyResult<Call> {
        let (bound, rest) = args.bind_rest(signature)?;
        let callback = Obj::or_none(py, bound[lead]);
        let context = match bound[lead + 1] {
            // What is no context is found out when the call is made, as with asyncio.
            Some(context) if !context.is_none() => Some(Obj::from(context)),
            _ => ThreadState::snapshot(py)?,
        };
        Ok(Call { callback, args: rest.into_iter().map(Obj::from).collect(), context })
    }
}

#[inline]
fn call_soon(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<Handle>> {
    const SIGNATURE: Signature<2> = Signature::new("call_soon", ["callback", "context"]).positional(1);
    let call = Call::parse(py, args, 0, &SIGNATURE)?;
    this.check_closed()?;
    if this.debug.get() {
        this.check_thread()?;
        debug::check_callback(py, &call.callback, "call_soon")?;
    }
    let handle = make_handle(this, py, call.callback, call.args, call.context)?;
    this.push(|| Ready::Call(handle.clone()));
    Ok(handle)
}

fn call_soon_threadsafe(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> =
        Signature::new("call_soon_threadsafe", ["callback", "context"]).positional(1);
    let call = Call::parse(py, args, 0, &SIGNATURE)?;
    this.check_closed()?;
    if this.debug.get() {
        debug::check_callback(py, &call.callback, "call_soon_threadsafe")?;
    }
    let handle = if cfg!(Py_3_14) {
        let handle = make_threadsafe_handle(this, py, call.callback, call.args, call.context)?;
        this.push(|| Ready::CallThreadSafe(handle.clone()));
        handle.into_any()
    } else {
        let handle = make_handle(this, py, call.callback, call.args, call.context)?;
        this.push(|| Ready::Call(handle.clone()));
        handle.into_any()
    };
    if this.replaces(Hooks::WRITE_TO_SELF) {
        this.bind(py).call_method0(intern!(py, "_write_to_self"))?;
    } else {
        this.wake();
    }
    Ok(handle)
}

fn call_later(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<3> =
        Signature::new("call_later", ["delay", "callback", "context"]).positional(2);
    let Some(delay) = lead(args, &SIGNATURE)?.filter(|delay| !delay.is_none()) else {
        return Err(PyTypeError::new_err("delay must not be None"));
    };
    if this.replaces(Hooks::CALL_AT.or(Hooks::TIME)) {
        let now = this.bind(py).call_method0(intern!(py, "time"))?;
        let when = now.add(delay)?;
        let ([_, callback, context], rest) = args.bind_rest(&SIGNATURE)?;
        let rest = [Some(&when), callback].into_iter().flatten().chain(rest);
        let rest = PyTuple::new(py, rest.collect::<Vec<_>>())?;
        let kwargs = PyDict::new(py);
        if let Some(context) = context {
            kwargs.set_item(intern!(py, "context"), context)?;
        }
        let call_at = this.bind(py).getattr(intern!(py, "call_at"))?;
        return Ok(call_at.call(rest, Some(&kwargs))?.into());
    }
    let delay = float_of(delay)?;
    let call = Call::parse(py, args, 1, &SIGNATURE)?;
    Ok(schedule_at(this, py, clock::monotonic() + delay, call)?.into_any())
}

fn call_at(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj<TimerHandle>> {
    const SIGNATURE: Signature<3> = Signature::new("call_at", ["when", "callback", "context"]).positional(2);
    let Some(given) = lead(args, &SIGNATURE)?.filter(|when| !when.is_none()) else {
        return Err(PyTypeError::new_err("when cannot be None"));
    };
    let when = float_of(given)?;
    let call = Call::parse(py, args, 1, &SIGNATURE)?;
    let timer = schedule_at(this, py, when, call)?;
    timer.show_as(given);
    Ok(timer)
}

/// The deadline of `call_later` and `call_at`. What else is wrong with a call comes before what is wrong with that.
#[inline]
fn lead<'a, 'py: 'a>(
    args: Args<'a, 'py>,
    signature: &Signature<3>,
) -> PyResult<Option<&'a Bound<'py, PyAny>>> {
    if args.len() >= 2 && !args.has_keywords() {
        return Ok(args.get(0));
    }
    let ([lead, _, _], _) = args.bind_rest(signature)?;
    Ok(lead)
}

#[inline]
fn schedule_at(this: &Obj<Loop>, py: Python<'_>, when: f64, call: Call) -> PyResult<Obj<TimerHandle>> {
    this.check_closed()?;
    if when.is_nan() {
        return Err(pyo3::exceptions::PyValueError::new_err("a timer cannot wait for NaN"));
    }
    if this.debug.get() {
        this.check_thread()?;
        debug::check_callback(py, &call.callback, "call_at")?;
    }
    let timer: Obj<TimerHandle> = Obj::create_with(py, || {
        let handle = Handle::new(call.callback, call.args, call.context, this.clone());
        (((), handle), TimerHandle::new(when))
    })?;
    if !this.is_running() {
        timer.track();
    }
    if this.debug.get() {
        timer.base().set_source_traceback(Some(debug::extract_stack(py)?));
    }
    let key = this.set_timer(when, Timer::Call(timer.clone()));
    timer.key.set(Some(key));
    Ok(timer)
}

fn time(_this: &Obj<Loop>, _py: Python<'_>) -> f64 {
    clock::monotonic()
}

#[inline]
fn create_future(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj<Future>> {
    Future::create(py, LoopRef::Native(this.clone()))
}

fn create_task(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("create_task", ["coro"]);
    let coro = match args.get(0) {
        Some(coro) => coro,
        // By keyword, or missing: then this is the error.
        None => match args.bind_all(&SIGNATURE)?.0 {
            [Some(coro)] => coro,
            [None] => return Err(PyTypeError::new_err("create_task() needs a coroutine")),
        },
    };
    if args.len() > 1 {
        return Err(PyTypeError::new_err("create_task() takes 1 positional argument but more were given"));
    }
    this.check_closed()?;
    if let Some(factory) = this.task_factory.get() {
        // The factory gets whatever keywords were given, and none that were not: a new keyword of asyncio's must not
        // break an old factory (uvloop 0.23 did that). Until 3.13 factories are not given the name, but the task is;
        // ours take it, so that an eager task has its name in its first step.
        let takes_name = cfg!(Py_3_14) || Obj::<task::EagerFactory>::from_bound(factory.bind(py)).is_some();
        let kwargs = PyDict::new(py);
        let mut name = None;
        if args.len() == 1 {
            task::refuse_coro_twice(&args)?;
        }
        args.each_keyword(|key, value| {
            if !takes_name && key.eq("name")? {
                name = Some(value.clone());
                return Ok(());
            }
            if key.eq("coro")? { Ok(()) } else { kwargs.set_item(key, value) }
        })?;
        // Before 3.13.3 a `context` of None was not passed on either.
        if kwargs.get_item("context")?.is_some_and(|context| context.is_none()) {
            kwargs.del_item("context")?;
        }
        let task = factory.bind(py).call((this, coro), Some(&kwargs))?;
        if let Some(name) = name.filter(|name| !name.is_none())
            && let Some(set_name) = task.getattr_opt(intern!(py, "set_name"))?
        {
            set_name.call1((name,))?;
        }
        return Ok(task.into());
    }
    Ok(task::create_from_call(py, LoopRef::Native(this.clone()), coro, args)?.into_any())
}

fn set_task_factory(this: &Obj<Loop>, _py: Python<'_>, factory: &Bound<'_, PyAny>) -> PyResult<()> {
    if factory.is_none() {
        this.task_factory.set(None);
        return Ok(());
    }
    if !factory.is_callable() {
        return Err(PyTypeError::new_err("task factory must be a callable or None"));
    }
    this.task_factory.set(Some(factory.into()));
    Ok(())
}

fn write_to_self(this: &Obj<Loop>, _py: Python<'_>) {
    this.wake();
}

fn timer_handle_cancelled(_this: &Obj<Loop>, _py: Python<'_>, _handle: &Bound<'_, PyAny>) {
    // asyncio counts cancelled timers here; ours leave the queue by themselves.
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method("call_soon", call_soon, "call_soon($self, /, callback, *args, context=None)\n--\n\n\
            Call callback(*args) in the next turn of the loop.\n\n\
            Callbacks run in the order in which they were scheduled, each once. `context` is the\n\
            contextvars.Context to run in (since 3.7), a copy of the current one by default. Returns a Handle.\n\
            Not thread-safe. Raises RuntimeError if the loop is closed.")
        .method("call_soon_threadsafe", call_soon_threadsafe,
            "call_soon_threadsafe($self, /, callback, *args, context=None)\n--\n\n\
            As call_soon(), from any thread or signal handler.")
        .method("call_later", call_later, "call_later($self, /, delay, callback, *args, context=None)\n--\n\n\
            Call callback(*args) in `delay` seconds. Returns a TimerHandle. Timers with the same deadline are\n\
            called in the order in which they were set.")
        .method("call_at", call_at, "call_at($self, /, when, callback, *args, context=None)\n--\n\n\
            Call callback(*args) when the loop's time() reaches `when`, in seconds. Returns a TimerHandle.")
        .method0("time", time, "time($self, /)\n--\n\nThe loop's monotonic clock, in seconds.")
        .method0("create_future", create_future, "create_future($self, /)\n--\n\nA Future of this loop.")
        .method("create_task", create_task,
            "create_task($self, /, coro, *, name=None, context=None, eager_start=None)\n--\n\n\
            Run a coroutine as a Task of this loop, and return the task. Parameters are those of\n\
            asyncio.create_task(); they go to the task factory, if there is one.")
        .method1_named("set_task_factory", set_task_factory, || Signature::new("set_task_factory", ["factory"]), "set_task_factory($self, /, factory)\n--\n\n\
            Let factory(loop, coro, **kwargs) make the tasks; None for the default. (Since 3.4.4)")
        .method0("get_task_factory", |this: &Obj<Loop>, _py: Python<'_>| this.task_factory.get(),
            "get_task_factory($self, /)\n--\n\nThe task factory, or None.")
        .method0("_write_to_self", write_to_self, "")
        .method1("_timer_handle_cancelled", timer_handle_cancelled, "");
}
