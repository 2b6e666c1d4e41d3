//! Between the loop and other threads: `to_thread` and `run_coroutine_threadsafe`.

use ferrio_object::{Args, ClassDef, Obj, Signature, ThreadState};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::coro::Local;
use crate::event_loop::{LoopRef, running};
use crate::{coro, coroutines, exceptions, future_likes, native_fn, task};

/// `to_thread(func, /, *args, **kwargs)`.
///
/// # Errors
/// `TypeError` if no function is given.
pub(crate) fn py_to_thread(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let (_, positional, keywords) = args.bind_all(&Signature::new("to_thread", []))?;
    if positional.is_empty() {
        return Err(PyTypeError::new_err("to_thread() missing 1 required positional argument: 'func'"));
    }
    let positional: Obj = PyTuple::new(py, positional)?.into();
    let keywords = keywords.map(Obj::from);
    coro::coroutine(py, "to_thread", move |co| {
        let (positional, keywords) = (co.hold(positional), keywords.map(|keywords| co.hold(keywords)));
        async move {
            let wait = {
                let py = co.py();
                let event_loop = running::get_running_loop(py)?;
                // The context of the task that awaits, as it is now: the thread gets a copy.
                let run = ThreadState::copy_context(py)?.bind(py).getattr(intern!(py, "run"))?;
                let positional = positional.get();
                let bound: Vec<_> = std::iter::once(Ok(run))
                    .chain(positional.bind(py).try_iter()?)
                    .collect::<PyResult<_>>()?;
                let keywords = keywords.as_ref().map(Local::get);
                let keywords =
                    keywords.as_ref().map(|keywords| keywords.bind(py).cast::<PyDict>()).transpose()?;
                let call = crate::imported::module(py, "functools")?
                    .getattr("partial")?
                    .call(PyTuple::new(py, bound)?, keywords)?;
                let args = (py.None(), call);
                co.wait(Obj::from(event_loop.bind(py).call_method1(intern!(py, "run_in_executor"), args)?))
            };
            drop((positional, keywords));
            wait.await
        }
    })
}

/// `run_coroutine_threadsafe(coro, loop)`.
///
/// # Errors
/// `TypeError` if it is no coroutine, `RuntimeError` if the loop is closed.
pub(crate) fn py_run_coroutine_threadsafe(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [coro, event_loop] = args.bind(&Signature::new("run_coroutine_threadsafe", ["coro", "loop"]))?;
    let (Some(coro), Some(event_loop)) = (coro, event_loop) else {
        return Err(PyTypeError::new_err("run_coroutine_threadsafe() takes a coroutine and a loop"));
    };
    if !coroutines::is_coroutine(py, coro)? {
        return Err(PyTypeError::new_err("A coroutine object is required"));
    }
    let future: Obj = py.import("concurrent.futures")?.getattr("Future")?.call0()?.into();
    let held = vec![coro.into(), event_loop.into(), future.clone()];
    let start =
        native_fn::function(py, "run_coroutine_threadsafe.<locals>.callback", held, |py, held, _args| {
            let [coro, event_loop, future] = held else { return Ok(()) };
            let started = task::ensure_future(py, coro.bind(py), Some(&LoopRef::new(event_loop.bind(py))))
                .and_then(|task| future_likes::chain(py, &task, future));
            let Err(err) = started else { return Ok(()) };
            if exceptions::is_exit(py, &err) {
                return Err(err);
            }
            let future = future.bind(py);
            let exc = exceptions::value_of(py, err);
            if future.call_method0(intern!(py, "set_running_or_notify_cancel"))?.is_truthy()? {
                future.call_method1(intern!(py, "set_exception"), (&exc,))?;
            }
            Err(ferrio_object::raise(py, &exc))
        })?;
    event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (start,))?;
    Ok(future)
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::coroutine_function(
        module,
        "to_thread",
        py_to_thread,
        "to_thread(func, /, *args, **kwargs)\n--\n\nCoroutine: call func(*args, **kwargs) in a thread of the default \
         executor,\nin a copy of the current context. (Since 3.9)",
    )?;
    ClassDef::function(
        module,
        "run_coroutine_threadsafe",
        py_run_coroutine_threadsafe,
        "run_coroutine_threadsafe(coro, loop)\n--\n\nRun a coroutine on the loop of another thread; return a \
         concurrent.futures.Future. (Since 3.5.1)",
    )
}
