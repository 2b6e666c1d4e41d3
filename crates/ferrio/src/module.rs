//! What the extension module holds: each room adds its own, bases before what is derived from them.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::{
    as_completed, base_events, coro, coroutines, debug, event_loop, extras, files, future, future_likes,
    gather, graph, legacy, locks, mocks, monitor, native_fn, private, queues, rebind, runners, server,
    shield, sleep, staggered, stock, streams, subprocess, task, taskgroups, threads, timeouts, tls,
    transports, trsock, wait, wait_for,
};

pub(crate) fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ferrio_object::fill_once(module, fill)
}

fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ferrio_object::stop_forced_unwinds();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    for add in [
        native_fn::add,
        coroutines::add,
        debug::add,
        trsock::add,
        event_loop::add,
        future::add,
        future_likes::add,
        task::add,
        gather::add,
        stock::add,
        coro::add,
        sleep::add,
        timeouts::add,
        taskgroups::add,
        wait_for::add,
        wait::add,
        as_completed::add,
        staggered::add,
        shield::add,
        locks::add,
        queues::add,
        files::add,
        transports::add,
        streams::add,
        tls::add,
        subprocess::add,
        server::add,
        base_events::add,
        rebind::add,
        threads::add,
        runners::add,
        private::add,
        mocks::add,
        graph::add,
        monitor::add,
        extras::add,
        legacy::add,
    ] {
        add(module)?;
    }
    forget_in_forked_child(module.py())
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
            let running = crate::event_loop::running::set(py, None);
            crate::event_loop::held_writes::forget_in_forked_child(py, running.as_ref());
            std::mem::forget(running);
            crate::stock::forget_in_forked_child(py)?;
            crate::task::registry::forget_in_forked_child(py)?;
            crate::monitor::forget_in_forked_child(py);
            crate::base_events::signals::forget_in_forked_child(py)
        },
    )?;
    let kwargs = PyDict::new(py);
    kwargs.set_item("after_in_child", forget)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&kwargs))?;
    Ok(())
}
