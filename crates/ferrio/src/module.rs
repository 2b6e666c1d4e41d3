//! Everything that the extension module holds, in one list.

use ferrio_object::ClassDef;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

pub(crate) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    classes(module)?;
    functions(module)?;
    crate::extras::add(module)?;
    crate::files::add(module)?;
    task_functions(module)?;
    crate::coroutines::add_mark(module)?;
    forget_in_forked_child(module.py())
}

fn classes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Bases first.
    ClassDef::add::<crate::future::Future>(module)?;
    ClassDef::add::<crate::future::FutureIter>(module)?;
    ClassDef::add::<crate::task::Task>(module)?;
    ClassDef::add::<crate::gather::Gathering>(module)?;
    ClassDef::add::<crate::task::StepCallable>(module)?;
    ClassDef::add::<crate::task::WakeupCallable>(module)?;
    ClassDef::add::<crate::task::EagerFactory>(module)?;
    ClassDef::add::<crate::event_loop::Handle>(module)?;
    ClassDef::add::<crate::event_loop::TimerHandle>(module)?;
    crate::coroutines::add_class::<crate::coro::Coroutine>(module, |obj| {
        Some(obj.cast_exact::<crate::coro::Coroutine>()?.closed())
    })?;
    crate::coroutines::add_class::<crate::sleep::Sleep>(module, |obj| {
        Some(obj.cast_exact::<crate::sleep::Sleep>()?.closed())
    })?;
    crate::coroutines::add_class::<crate::sleep::Yield>(module, |obj| {
        Some(obj.cast_exact::<crate::sleep::Yield>()?.closed())
    })?;
    ClassDef::add::<crate::native_fn::NativeFn>(module)?;
    ClassDef::add::<crate::wait::Waiting>(module)?;
    ClassDef::add::<crate::as_completed::AsCompleted>(module)?;
    ClassDef::add::<crate::staggered::Race>(module)?;
    ClassDef::add::<crate::event_loop::Loop>(module)?;
    ClassDef::add::<crate::transports::StreamTransport>(module)?;
    ClassDef::add::<crate::transports::DatagramTransport>(module)?;
    ClassDef::add::<crate::transports::ReadPipe>(module)?;
    ClassDef::add::<crate::transports::WritePipe>(module)?;
    ClassDef::add::<crate::server::Listener>(module)?;
    ClassDef::add::<crate::base_events::SendfileFallback>(module)?;
    ClassDef::add::<crate::trsock::TransportSocket>(module)?;
    ClassDef::add::<crate::server::Server>(module)?;
    crate::streams::classes(module)?;
    crate::coroutines::add_class::<crate::coro::ReadyCoroutine>(module, |obj| {
        Some(obj.cast_exact::<crate::coro::ReadyCoroutine>()?.closed())
    })?;
    ClassDef::add::<crate::timeouts::Timeout>(module)?;
    crate::coroutines::add_class::<crate::wait_for::WaitFor>(module, |obj| {
        Some(obj.cast_exact::<crate::wait_for::WaitFor>()?.closed())
    })?;
    ClassDef::add::<crate::taskgroups::TaskGroup>(module)?;
    ClassDef::add::<crate::runners::Runner>(module)?;
    ClassDef::add::<crate::locks::Waiters>(module)?;
    ClassDef::add::<crate::locks::Lock>(module)?;
    ClassDef::add::<crate::locks::Event>(module)?;
    ClassDef::add::<crate::locks::Condition>(module)?;
    ClassDef::add::<crate::locks::Semaphore>(module)?;
    ClassDef::add::<crate::locks::BoundedSemaphore>(module)?;
    ClassDef::add::<crate::locks::Barrier>(module)?;
    ClassDef::add::<crate::queues::Queue>(module)?;
    ClassDef::add::<crate::queues::LifoQueue>(module)?;
    ClassDef::add::<crate::queues::PriorityQueue>(module)?;
    Ok(())
}

fn functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_get_running_loop",
        crate::event_loop::running::py_get,
        "_get_running_loop()\n--\n\nThe running event loop, or None.",
    )?;
    ClassDef::function(
        module,
        "_set_running_loop",
        crate::event_loop::running::py_set,
        "_set_running_loop(loop, /)\n--\n\nSet the running event loop of this thread.",
    )?;
    ClassDef::function(
        module,
        "get_running_loop",
        crate::event_loop::running::py_get_running_loop,
        "get_running_loop()\n--\n\nThe running event loop. Raises RuntimeError if there is none. (Since 3.7)",
    )?;
    ClassDef::function(
        module,
        "get_event_loop",
        crate::event_loop::running::py_get_event_loop,
        "get_event_loop()\n--\n\nThe running event loop, or the one that the policy gives.",
    )?;
    ClassDef::function(
        module,
        crate::base_events::STOP_WHEN_DONE,
        crate::base_events::py_stop_when_done,
        "_run_until_complete_cb(fut)\n--\n\nThe done-callback of run_until_complete(): stop the future's loop.",
    )?;
    ClassDef::function(
        module,
        "current_task",
        crate::task::registry::py_current_task,
        "current_task(loop=None)\n--\n\nThe task that is running in the loop, or None (since 3.7).",
    )?;
    ClassDef::function(
        module,
        "all_tasks",
        crate::task::registry::py_all_tasks,
        "all_tasks(loop=None)\n--\n\nThe set of tasks of the loop that are not done (since 3.7).",
    )?;
    ClassDef::function(
        module,
        "_register_task",
        crate::task::registry::py_register,
        "_register_task(task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_unregister_task",
        crate::task::registry::py_unregister,
        "_unregister_task(task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_register_eager_task",
        crate::task::registry::py_register_eager,
        "_register_eager_task(task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_unregister_eager_task",
        crate::task::registry::py_unregister_eager,
        "_unregister_eager_task(task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_enter_task",
        crate::task::registry::py_enter,
        "_enter_task(loop, task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_leave_task",
        crate::task::registry::py_leave,
        "_leave_task(loop, task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "_every_task",
        crate::task::registry::py_every,
        "_every_task()\n--\n\nThe tasks of this extension, of all loops.",
    )?;
    ClassDef::function(
        module,
        "_meet_stock",
        crate::stock::py_meet,
        "_meet_stock(_asyncio, all_tasks)\n--\n\nTell and ask stock asyncio from now on.",
    )?;
    ClassDef::function(
        module,
        "_swap_current_task",
        crate::task::registry::py_swap_current,
        "_swap_current_task(loop, task)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "isfuture",
        crate::future_likes::py_isfuture,
        "isfuture(obj, /)\n--\n\nWhether obj is a future (since 3.5).",
    )?;
    ClassDef::function(
        module,
        "wrap_future",
        crate::future_likes::py_wrap_future,
        "wrap_future(future, *, loop=None)\n--\n\nWrap a concurrent.futures.Future.",
    )?;
    ClassDef::function(
        module,
        "gather",
        crate::gather::py_gather,
        "gather(*coros_or_futures, return_exceptions=False)\n--\n\n\
         A future with the list of all results.\n\n\
         The first exception is passed on at once, the other awaitables go on; with return_exceptions exceptions\n\
         are results like any other. Cancelling the future cancels all children.",
    )?;
    ClassDef::function(
        module,
        "sleep",
        crate::sleep::py_sleep,
        "sleep(delay, result=None)\n--\n\nCoroutine: wait `delay` seconds, then return `result`.\n\n\
         Zero lets the loop turn once. Raises ValueError for NaN.",
    )?;
    ClassDef::function(module, "_is_debug_mode", crate::debug::py_is_debug_mode, "_is_debug_mode()\n--\n\n")?;
    ClassDef::function(module, "_get_function_source", crate::debug::py_get_function_source, "")?;
    ClassDef::function(module, "_format_callback_source", crate::debug::py_format_callback_source, "")?;
    ClassDef::function(module, "_format_callback", crate::debug::py_format_callback, "")?;
    ClassDef::function(module, "_format_args_and_kwargs", crate::debug::py_format_args_and_kwargs, "")?;
    ClassDef::function(module, "_format_coroutine", crate::debug::py_format_coroutine, "")?;
    ClassDef::function(
        module,
        "extract_stack",
        crate::debug::py_extract_stack,
        "extract_stack(f=None, limit=None)\n--\n\nA traceback.StackSummary of the current stack.",
    )?;
    ClassDef::function(
        module,
        "timeout",
        crate::timeouts::py_timeout,
        "timeout(delay)\n--\n\nAsynchronous context manager that cancels the block after `delay` seconds.\n\n\
         The cancellation leaves the block as TimeoutError. None is no limit. (Since 3.11)",
    )?;
    ClassDef::function(
        module,
        "timeout_at",
        crate::timeouts::py_timeout_at,
        "timeout_at(when)\n--\n\nAs timeout(), with a point in time on the loop's clock. (Since 3.11)",
    )?;
    ClassDef::function(
        module,
        "wait_for",
        crate::wait_for::py_wait_for,
        "wait_for(fut, timeout)\n--\n\nCoroutine: await `fut` for at most `timeout` seconds; None is no limit.\n\n\
         When the time is up, `fut` is cancelled and TimeoutError raised; a result that it gives all the same is\n\
         returned. With no time left only what is done already is taken.",
    )?;
    ClassDef::function(
        module,
        "run",
        crate::runners::py_run,
        "run(main, *, debug=None, loop_factory=None)\n--\n\nRun a coroutine on a loop of its own; return its result.\n\n\
         Afterwards all other tasks are cancelled, asynchronous generators and the default executor closed.\n\
         Raises RuntimeError if a loop is running in this thread. (Since 3.7, loop_factory since 3.12)",
    )?;
    ClassDef::function(
        module,
        "_cancel_all_tasks",
        crate::runners::py_cancel_all_tasks,
        "_cancel_all_tasks(loop)\n--\n\n",
    )?;
    ClassDef::function(
        module,
        "to_thread",
        crate::threads::py_to_thread,
        "to_thread(func, /, *args, **kwargs)\n--\n\nCoroutine: call func(*args, **kwargs) in a thread of the default \
         executor,\nin a copy of the current context. (Since 3.9)",
    )?;
    ClassDef::function(
        module,
        "run_coroutine_threadsafe",
        crate::threads::py_run_coroutine_threadsafe,
        "run_coroutine_threadsafe(coro, loop)\n--\n\nRun a coroutine on the loop of another thread; return a \
         concurrent.futures.Future. (Since 3.5.1)",
    )?;
    ClassDef::function(
        module,
        "_rebind_methods",
        crate::rebind::py_rebind_methods,
        "_rebind_methods(class)\n--\n\nMake the hot methods of a loop or transport class its own.",
    )?;
    ClassDef::function(
        module,
        "_feed_data_to_buffered_proto",
        crate::transports::py_feed_data,
        "_feed_data_to_buffered_proto(proto, data)\n--\n\nHand received bytes to a BufferedProtocol.",
    )?;
    ClassDef::function(
        module,
        "_driver_report",
        crate::base_events::py_driver_report,
        "_driver_report()\n--\n\nWhat `ferrio doctor` tells of drivers: a dict of 'driver', 'io_uring' and 'files'.",
    )?;
    crate::streams::functions(module)?;
    Ok(())
}

fn task_functions(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "create_task",
        crate::task::py_create_task,
        "create_task(coro, *, name=None, context=None, eager_start=None)\n--\n\n\
         Schedule a coroutine as a Task of the running loop (since 3.7).\n\n\
         Raises RuntimeError if no loop is running.",
    )?;
    ClassDef::function(
        module,
        "ensure_future",
        crate::task::py_ensure_future,
        "ensure_future(coro_or_future, *, loop=None)\n--\n\n\
         A future as it is, a coroutine or other awaitable as a Task of the loop (since 3.4.4).",
    )?;
    module.add("eager_task_factory", crate::task::eager_task_factory(module.py())?.bind(module.py()))?;
    ClassDef::function(
        module,
        "create_eager_task_factory",
        crate::task::py_create_eager_task_factory,
        "create_eager_task_factory(custom_task_constructor)\n--\n\n\
         A task factory that calls the constructor with eager_start=True (since 3.12).",
    )?;
    ClassDef::function(
        module,
        "wait",
        crate::wait::py_wait,
        "wait(fs, *, timeout=None, return_when='ALL_COMPLETED')\n--\n\n\
         Coroutine: wait for some or all of the futures; return the sets (done, pending).\n\n\
         `timeout` in seconds; when it is over, what is not done is pending, and nothing is raised or cancelled.\n\
         Coroutines are refused with TypeError (since 3.11), no futures at all with ValueError.",
    )?;
    ClassDef::function(
        module,
        "shield",
        crate::shield::py_shield,
        "shield(arg)\n--\n\n\
         A future with the outcome of `arg` that can be cancelled while `arg` goes on.",
    )?;
    ClassDef::function(
        module,
        "as_completed",
        crate::as_completed::py_as_completed,
        "as_completed(fs, *, timeout=None)\n--\n\n\
         Iterate over awaitables in the order in which they finish.\n\n\
         `async for` gives the futures, done (since 3.13); `for` gives coroutines that wait for the next one and\n\
         return its result or raise its exception. After `timeout` seconds both raise TimeoutError.",
    )?;
    ClassDef::function(
        module,
        "staggered_race",
        crate::staggered::py_staggered_race,
        "staggered_race(coro_fns, delay, *, loop=None)\n--\n\n\
         Coroutine: start one coroutine function after the other until one succeeds; cancel the rest.\n\n\
         The next is started when the one before fails, or `delay` seconds after it was started (None: only when\n\
         it fails). Returns (winner's result, its index, list of the exceptions of those that were started);\n\
         result and index are None if all failed.",
    )?;
    ClassDef::function(
        module,
        "iscoroutine",
        crate::coroutines::py_iscoroutine,
        "iscoroutine(obj)\n--\n\nWhether obj is a coroutine object.",
    )?;
    ClassDef::function(
        module,
        "iscoroutinefunction",
        crate::coroutines::py_iscoroutinefunction,
        "iscoroutinefunction(func)\n--\n\nWhether func is a coroutine function (deprecated since 3.14).",
    )?;
    ClassDef::function(
        module,
        "future_add_to_awaited_by",
        crate::future::awaited_by::py_add,
        "future_add_to_awaited_by(fut, waiter, /)\n--\n\nRecord that `fut` is awaited by `waiter` (since 3.14).",
    )?;
    ClassDef::function(
        module,
        "future_discard_from_awaited_by",
        crate::future::awaited_by::py_discard,
        "future_discard_from_awaited_by(fut, waiter, /)\n--\n\n\
         Record that `fut` is no longer awaited by `waiter` (since 3.14).",
    )?;
    Ok(())
}

/// A forked child inherits the thread's memory but not its loop: it has none running.
///
/// # Errors
/// What `os.register_at_fork` raises.
fn forget_in_forked_child(py: Python<'_>) -> PyResult<()> {
    let forget = PyCFunction::new_closure(
        py,
        None,
        None,
        |args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>| {
            // The loop's destructor would close descriptors that the parent's driver shares; it is the child's copy
            // of an object that the parent goes on using, and lives until the child ends.
            let py = args.py();
            std::mem::forget(crate::event_loop::running::set(py, None));
            crate::task::registry::forget_in_forked_child(py)?;
            crate::base_events::signals::forget_in_forked_child(py)
        },
    )?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("after_in_child", forget)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&kwargs))?;
    Ok(())
}
