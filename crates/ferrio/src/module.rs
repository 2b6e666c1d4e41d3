//! Everything that the extension module holds, in one list.

use ferrio_object::ClassDef;
use pyo3::prelude::*;

use crate::{
    coro, debug, event_loop, future, future_likes, gather, handle, native_fn, running, server, sleep, staggered,
    task, transports, trsock,
};

pub(crate) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    classes(module)?;
    functions(module)?;
    running::forget_in_forked_child(module.py())
}

fn classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Bases first.
    ClassDef::add::<future::Future>(module)?;
    ClassDef::add::<future::FutureIter>(module)?;
    ClassDef::add::<task::Task>(module)?;
    ClassDef::add::<gather::Gathering>(module)?;
    ClassDef::add::<task::StepCallable>(module)?;
    ClassDef::add::<task::WakeupCallable>(module)?;
    ClassDef::add::<handle::Handle>(module)?;
    ClassDef::add::<handle::TimerHandle>(module)?;
    ClassDef::add::<coro::Coroutine>(module)?;
    ClassDef::add::<sleep::Sleep>(module)?;
    ClassDef::add::<native_fn::NativeFn>(module)?;
    ClassDef::add::<event_loop::Loop>(module)?;
    ClassDef::add::<transports::StreamTransport>(module)?;
    ClassDef::add::<trsock::TransportSocket>(module)?;
    ClassDef::add::<server::Server>(module)?;
    ClassDef::add::<server::Listener>(module)?;
    Ok(())
}

fn functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(module, "_get_running_loop", running::py_get,
        "_get_running_loop()\n--\n\nThe running event loop, or None.")?;
    ClassDef::function(module, "_set_running_loop", running::py_set,
        "_set_running_loop(loop, /)\n--\n\nSet the running event loop of this thread.")?;
    ClassDef::function(module, "get_running_loop", running::py_get_running_loop,
        "get_running_loop()\n--\n\nThe running event loop. Raises RuntimeError if there is none. (Since 3.7)")?;
    ClassDef::function(module, "get_event_loop", running::py_get_event_loop,
        "get_event_loop()\n--\n\nThe running event loop, or the one that the policy gives.")?;
    ClassDef::function(module, "current_task", task::registry::py_current_task,
        "current_task(loop=None)\n--\n\nThe task that is running in the loop, or None (since 3.7).")?;
    ClassDef::function(module, "all_tasks", task::registry::py_all_tasks,
        "all_tasks(loop=None)\n--\n\nThe set of tasks of the loop that are not done (since 3.7).")?;
    ClassDef::function(module, "_register_task", task::registry::py_register, "_register_task(task)\n--\n\n")?;
    ClassDef::function(module, "_unregister_task", task::registry::py_unregister,
        "_unregister_task(task)\n--\n\n")?;
    ClassDef::function(module, "_register_eager_task", task::registry::py_register_eager,
        "_register_eager_task(task)\n--\n\n")?;
    ClassDef::function(module, "_unregister_eager_task", task::registry::py_unregister_eager,
        "_unregister_eager_task(task)\n--\n\n")?;
    ClassDef::function(module, "_enter_task", task::registry::py_enter, "_enter_task(loop, task)\n--\n\n")?;
    ClassDef::function(module, "_leave_task", task::registry::py_leave, "_leave_task(loop, task)\n--\n\n")?;
    ClassDef::function(module, "_swap_current_task", task::registry::py_swap_current,
        "_swap_current_task(loop, task)\n--\n\n")?;
    ClassDef::function(module, "isfuture", future_likes::py_isfuture,
        "isfuture(obj, /)\n--\n\nWhether obj is a future (since 3.5).")?;
    ClassDef::function(module, "wrap_future", future_likes::py_wrap_future,
        "wrap_future(future, *, loop=None)\n--\n\nWrap a concurrent.futures.Future.")?;
    ClassDef::function(module, "gather", gather::py_gather,
        "gather(*coros_or_futures, return_exceptions=False)\n--\n\n\
         A future with the list of all results.\n\n\
         The first exception is passed on at once, the other awaitables go on; with return_exceptions exceptions\n\
         are results like any other. Cancelling the future cancels all children.")?;
    ClassDef::function(module, "sleep", sleep::py_sleep,
        "sleep(delay, result=None)\n--\n\nCoroutine: wait `delay` seconds, then return `result`.\n\n\
         Zero lets the loop turn once. Raises ValueError for NaN.")?;
    ClassDef::function(module, "staggered_race", staggered::py_staggered_race,
        "staggered_race(coro_fns, delay, *, loop=None)\n--\n\n\
         Coroutine: run coroutines with staggered starts; the first that succeeds wins, the others are cancelled.\n\n\
         The next starts when the one before fails or `delay` seconds have passed (None: only when it fails).\n\
         Returns (result of the winner or None, its index or None, list of the exceptions).")?;
    ClassDef::function(module, "_is_debug_mode", debug::py_is_debug_mode, "_is_debug_mode()\n--\n\n")?;
    ClassDef::function(module, "_get_function_source", debug::py_get_function_source, "")?;
    ClassDef::function(module, "_format_callback_source", debug::py_format_callback_source, "")?;
    ClassDef::function(module, "_format_callback", debug::py_format_callback, "")?;
    ClassDef::function(module, "_format_args_and_kwargs", debug::py_format_args_and_kwargs, "")?;
    ClassDef::function(module, "_format_coroutine", debug::py_format_coroutine, "")?;
    ClassDef::function(module, "extract_stack", debug::py_extract_stack,
        "extract_stack(f=None, limit=None)\n--\n\nA traceback.StackSummary of the current stack.")?;
    Ok(())
}
