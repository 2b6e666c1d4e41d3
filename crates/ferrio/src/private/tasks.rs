//! `asyncio.tasks`: the parts of `wait` and `wait_for`.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::{LoopRef, running};
use crate::{coro, sleep, task, wait, wait_for};

/// The waiter, and then whatever a timer or a future calls it with.
fn release_waiter(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let ([waiter], _rest) = args.bind_rest(&Signature::new("_release_waiter", ["waiter"]))?;
    let Some(waiter) = waiter else { return Ok(()) };
    if !waiter.call_method0(intern!(py, "done"))?.is_truthy()? {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

/// With the loop behind the future, as it was before 3.12, or without.
fn cancel_and_wait(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [fut, event_loop] = args.bind(&Signature::new("_cancel_and_wait", ["fut", "loop"]).required(1))?;
    let fut = Obj::or_none(py, fut);
    let event_loop = Obj::unless_none(event_loop);
    coro::coroutine(py, "_cancel_and_wait", move |co| {
        let (fut, given) = (co.hold(fut), event_loop.map(|event_loop| co.hold(event_loop)));
        async move {
            let event_loop = {
                let py = co.py();
                let event_loop = match &given {
                    Some(given) => given.get(),
                    None => running::get_running_loop(py)?,
                };
                co.keep(LoopRef::new(event_loop.bind(py)))
            };
            wait_for::cancel_and_wait(&co, &event_loop, &fut).await?;
            Ok(Obj::none(co.py()))
        }
    })
}

/// The loop is the running one, as everywhere.
fn wait_of_futures(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [fs, timeout, return_when, _loop] =
        args.bind(&Signature::new("_wait", ["fs", "timeout", "return_when", "loop"]))?;
    wait::wait(py, fs, timeout, return_when)
}

fn task_name_counter(py: Python<'_>, args: Args<'_, '_>) -> PyResult<u64> {
    args.none("_task_name_counter")?;
    Ok(task::next_number(py))
}

fn sleep0(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    args.none("_sleep0")?;
    sleep::one_turn(py)
}

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_release_waiter",
        release_waiter,
        "_release_waiter(waiter, *args)\n--\n\nEnd the wait for a future that is not done.",
    )?;
    ClassDef::coroutine_function(
        module,
        "_cancel_and_wait",
        cancel_and_wait,
        "_cancel_and_wait(fut, loop=None)\n--\n\nCoroutine: cancel a future and wait until it is done.",
    )?;
    ClassDef::coroutine_function(
        module,
        "_wait",
        wait_of_futures,
        "_wait(fs, timeout, return_when, loop)\n--\n\nCoroutine: what wait() does with futures.",
    )?;
    ClassDef::function(
        module,
        "_task_name_counter",
        task_name_counter,
        "_task_name_counter()\n--\n\nThe number in the name of the next task.",
    )?;
    ClassDef::function(module, "_sleep0", sleep0, "_sleep0()\n--\n\nCoroutine: let the loop turn once.")
}
