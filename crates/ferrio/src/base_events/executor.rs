//! `run_in_executor` and the default executor.

use ferrio_object::{Args, ClassBuilder, Obj, Signature};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::event_loop::{Loop, LoopRef};
use crate::warnings;
use crate::{coro, debug};

fn run_in_executor(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let ([executor, func], rest) =
        args.bind_rest(&Signature::new("run_in_executor", ["executor", "func"]))?;
    let (Some(executor), Some(func)) = (executor, func) else { unreachable!("both are required") };
    this.check_closed()?;
    if this.debug.get() {
        debug::check_callback(py, &func.into(), "run_in_executor")?;
    }
    let executor = if executor.is_none() { default_executor(this, py)? } else { executor.clone() };
    let submitted = PyTuple::new(py, std::iter::once(func).chain(rest).collect::<Vec<_>>())?;
    let concurrent = executor.call_method1(intern!(py, "submit"), submitted)?;
    crate::future_likes::wrap_future(py, &concurrent, Some(this.bind(py)))
}

fn default_executor<'py>(this: &Obj<Loop>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if this.executor_shutdown_called.get() {
        return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
    }
    if let Some(executor) = this.default_executor.get() {
        return Ok(executor.into_bound(py));
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item("thread_name_prefix", "asyncio")?;
    let class = py.import("concurrent.futures")?.getattr("ThreadPoolExecutor")?;
    let executor = class.call((), Some(&kwargs))?;
    this.default_executor.set(Some((&executor).into()));
    Ok(executor)
}

fn set_default_executor(this: &Obj<Loop>, py: Python<'_>, executor: &Bound<'_, PyAny>) -> PyResult<()> {
    let class = py.import("concurrent.futures")?.getattr("ThreadPoolExecutor")?;
    if !executor.is_instance(&class)? {
        return Err(PyTypeError::new_err("executor must be ThreadPoolExecutor instance"));
    }
    this.default_executor.set(Some(executor.into()));
    this.custom_executor.set(true);
    Ok(())
}

fn shutdown_default_executor(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<1> = Signature::new("shutdown_default_executor", ["timeout"]).required(0);
    let [timeout] = args.bind(&SIGNATURE)?;
    let timeout = Obj::unless_none(timeout);
    coro::coroutine(py, "BaseEventLoop.shutdown_default_executor", move |co| {
        let (this, timeout) = (co.hold(this), timeout.map(|timeout| co.hold(timeout)));
        async move {
            this.get().executor_shutdown_called.set(true);
            let (executor, thread, fut) = {
                let py = co.py();
                let Some(executor) = this.get().default_executor.get() else { return Ok(Obj::none(py)) };
                let (thread, fut) = start_joining(&this.get(), py, &executor)?;
                (co.hold(executor), co.hold(thread), co.hold(fut))
            };
            let outcome = match &timeout {
                None => co.wait(fut.get()).await,
                Some(timeout) => crate::wait_for::wait_at_most(&co, &fut, timeout).await,
            };
            let py = co.py();
            match outcome {
                Ok(_) => {
                    thread.get().bind(py).call_method0("join")?;
                    Ok(Obj::none(py))
                }
                Err(err) if err.is_instance_of::<pyo3::exceptions::PyTimeoutError>(py) => {
                    let seconds = match &timeout {
                        Some(timeout) => timeout.get().bind(py).str()?.extract()?,
                        None => String::new(),
                    };
                    let message = format!(
                        "The executor did not finishing joining its threads within {seconds} seconds."
                    );
                    warnings::warn::<pyo3::exceptions::PyRuntimeWarning>(py, &message)?;
                    let kwargs = PyDict::new(py);
                    kwargs.set_item("wait", false)?;
                    executor.get().bind(py).call_method("shutdown", (), Some(&kwargs))?;
                    Ok(Obj::none(py))
                }
                Err(err) => Err(err),
            }
        }
    })
}

/// Begins to wait for the executor's threads, in a thread of its own: they are what is waited for. Returns the thread,
/// and the future that is resolved at the end.
fn start_joining(this: &Obj<Loop>, py: Python<'_>, executor: &Obj) -> PyResult<(Obj, Obj)> {
    let fut = LoopRef::Native(this.clone()).create_future(py)?;
    let join = crate::native_fn::function(
        py,
        "_do_shutdown",
        vec![executor.clone(), this.as_any().clone(), fut.clone()],
        |py, held, _args| {
            let [executor, event_loop, fut] = held else { return Ok(()) };
            let (event_loop, fut) = (event_loop.bind(py), fut.bind(py));
            let kwargs = PyDict::new(py);
            kwargs.set_item("wait", true)?;
            let outcome = executor.bind(py).call_method("shutdown", (), Some(&kwargs));
            if event_loop.call_method0("is_closed")?.is_truthy()? {
                return Ok(());
            }
            let (callback, value) = match outcome {
                Ok(_) => ("set_result", Obj::none(py)),
                Err(err) => ("set_exception", crate::exceptions::value_of(py, err)),
            };
            let done = crate::native_fn::function(
                py,
                "_executor_joined",
                vec![fut.into(), value],
                if callback == "set_result" { settle_result } else { settle_exception },
            )?;
            event_loop.call_method1("call_soon_threadsafe", (done,))?;
            Ok(())
        },
    )?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("target", join)?;
    let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&kwargs))?;
    thread.call_method0("start")?;
    Ok((thread.into(), fut))
}

fn settle_result(py: Python<'_>, held: &[Obj], _args: Args<'_, '_>) -> PyResult<()> {
    settle(py, held, "set_result")
}

fn settle_exception(py: Python<'_>, held: &[Obj], _args: Args<'_, '_>) -> PyResult<()> {
    settle(py, held, "set_exception")
}

fn settle(py: Python<'_>, held: &[Obj], method: &str) -> PyResult<()> {
    let [fut, value] = held else { return Ok(()) };
    let fut = fut.bind(py);
    if !fut.call_method0("done")?.is_truthy()? {
        fut.call_method1(method, (value,))?;
    }
    Ok(())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method("run_in_executor", run_in_executor, "run_in_executor($self, /, executor, func, *args)\n--\n\n\
            Call func(*args) in a thread (or process) of the executor; None is the default one.\n\n\
            Returns a future that gives the result.")
        .method1_named("set_default_executor", set_default_executor, || Signature::new("set_default_executor", ["executor"]), "set_default_executor($self, /, executor)\n--\n\n\
            Use this ThreadPoolExecutor where run_in_executor() is given None. Raises TypeError for another kind.")
        .coroutine("shutdown_default_executor", shutdown_default_executor,
            "shutdown_default_executor($self, timeout=None)\n--\n\n\
            Coroutine: wait until the default executor's threads have ended, at most `timeout` seconds (since 3.9,\n\
            the timeout since 3.12).")
        .getset("_default_executor", |this: &Obj<Loop>, _py: Python<'_>| this.default_executor.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                let value = value.filter(|value| !value.is_none());
                this.default_executor.set(value.map(Obj::from));
                this.custom_executor.set(value.is_some());
                Ok(())
            }, "")
        .getset("slow_callback_duration", |this: &Obj<Loop>, _py: Python<'_>| this.slow_callback_duration.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>| {
                if let Some(value) = value {
                    this.slow_callback_duration.set(value.extract()?);
                }
                Ok(())
            }, "Seconds after which debug mode calls a callback slow; 0.1 by default.");
}
