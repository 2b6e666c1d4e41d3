//! The private attributes that loops written in Python on asyncio's parts set, and the two methods around a run
//! (asyncio has those since 3.13).
//!
//! Such loops put themselves together from asyncio's pieces: `nest_asyncio` runs turns inside of a turn, trio-asyncio and
//! toolkits for user interfaces bring a `run_forever()` of their own. What is set here takes effect as on asyncio.

use ferrio_object::{ClassBuilder, Obj};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::lifecycle::{Setup, track_coroutine_origins};
use super::turn;
use crate::event_loop::Loop;

type Value<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

fn truth(value: Value<'_, '_>) -> PyResult<bool> {
    value.map_or(Ok(false), pyo3::types::PyAnyMethods::is_truthy)
}

fn set_thread_id(this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>) -> PyResult<()> {
    match value {
        Some(value) if !value.is_none() => this.thread_id.set(value.extract()?),
        _ => this.stopped_running(),
    }
    Ok(())
}

fn set_signal_handlers(this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>) -> PyResult<()> {
    match value {
        Some(value) if value.is_instance_of::<PyDict>() => {
            this.signals.handlers.set(Some(value.into()));
            Ok(())
        }
        _ => Err(PyTypeError::new_err("the signal handlers are a dict")),
    }
}

fn set_origin_tracking(this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>) -> PyResult<()> {
    let enabled = truth(value)?;
    if enabled != this.origin_tracking.get().is_some() {
        this.origin_tracking.set(enabled.then_some(0));
    }
    Ok(())
}

fn run_forever_setup(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    this.check_closed()?;
    turn::check_running(this, py)?;
    let setup = Setup::enter(this, py)?;
    let Setup { asyncgen_hooks, outer, stock_outer } = setup;
    this.run_setup.set(Some(PyTuple::new(py, [Some(asyncgen_hooks), outer, stock_outer])?.into()));
    this.pace.expect();
    Ok(())
}

fn run_forever_cleanup(this: &Obj<Loop>, py: Python<'_>) -> PyResult<()> {
    this.stopping.set(false);
    let Some(setup) = this.run_setup.take() else {
        this.stopped_running();
        return Ok(());
    };
    let (hooks, outer, stock_outer): (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        setup.bind(py).extract()?;
    let setup = Setup {
        asyncgen_hooks: hooks.into(),
        outer: Obj::unless_none(Some(&outer)),
        stock_outer: Obj::unless_none(Some(&stock_outer)),
    };
    setup.leave(this, py)
}

fn old_agen_hooks(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Option<Obj>> {
    let Some(setup) = this.run_setup.get() else { return Ok(None) };
    Ok(Some(setup.bind(py).get_item(0)?.into()))
}

fn set_coroutine_origin_tracking(
    this: &Obj<Loop>,
    py: Python<'_>,
    enabled: &Bound<'_, PyAny>,
) -> PyResult<()> {
    track_coroutine_origins(this, py, enabled.is_truthy()?)
}

fn check_callback(_this: &Obj<Loop>, py: Python<'_>, args: ferrio_object::Args<'_, '_>) -> PyResult<()> {
    let (Some(callback), Some(method)) = (args.get(0), args.get(1)) else {
        return Err(PyTypeError::new_err("_check_callback() takes a callback and the name of a method"));
    };
    crate::debug::check_callback(py, &callback.into(), &method.extract::<String>()?)
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class
        .method0(
            "_run_forever_setup",
            run_forever_setup,
            "_run_forever_setup($self, /)\n--\n\n\
            Prepare for turns of the loop, as run_forever() does (since 3.13).",
        )
        .method0(
            "_run_forever_cleanup",
            run_forever_cleanup,
            "_run_forever_cleanup($self, /)\n--\n\n\
            Undo _run_forever_setup() (since 3.13).",
        )
        .method1("_set_coroutine_origin_tracking", set_coroutine_origin_tracking, "")
        .method("_check_callback", check_callback, "")
        .getter("_old_agen_hooks", old_agen_hooks, "")
        .getset(
            "_transports",
            |this: &Obj<Loop>, py: Python<'_>| this.sockets.show_transports(py),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.sockets.own_transports.set(Obj::unless_none(value));
                Ok(())
            },
            "The transports over sockets, by descriptor: as they are when one asks.",
        )
        .getset(
            "_current_handle",
            |this: &Obj<Loop>, _py: Python<'_>| this.current_handle.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.current_handle.set(Obj::unless_none(value));
                Ok(())
            },
            "The handle that runs, in debug mode.",
        )
        .getset(
            "_thread_id",
            |this: &Obj<Loop>, _py: Python<'_>| Some(this.thread_id.get()).filter(|id| *id != 0),
            set_thread_id,
            "",
        )
        .getset(
            "_closed",
            |this: &Obj<Loop>, _py: Python<'_>| this.closed.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.closed.set(truth(value)?);
                Ok(())
            },
            "",
        )
        .getset(
            "_debug",
            |this: &Obj<Loop>, _py: Python<'_>| this.debug.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.debug.set(truth(value)?);
                Ok(())
            },
            "",
        )
        .getset(
            "_coroutine_origin_tracking_enabled",
            |this: &Obj<Loop>, _py: Python<'_>| this.origin_tracking.get().is_some(),
            set_origin_tracking,
            "",
        )
        .getset(
            "_signal_handlers",
            |this: &Obj<Loop>, py: Python<'_>| -> PyResult<Obj> {
                Ok(this.signals.handlers(py)?.into_any().into())
            },
            set_signal_handlers,
            "",
        )
        .getset(
            "_executor_shutdown_called",
            |this: &Obj<Loop>, _py: Python<'_>| this.executor_shutdown_called.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.executor_shutdown_called.set(truth(value)?);
                Ok(())
            },
            "",
        )
        .getset(
            "_asyncgens_shutdown_called",
            |this: &Obj<Loop>, _py: Python<'_>| this.asyncgens_shutdown_called.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.asyncgens_shutdown_called.set(truth(value)?);
                Ok(())
            },
            "",
        )
        .getset(
            "_asyncgens",
            |this: &Obj<Loop>, py: Python<'_>| super::lifecycle::asyncgens(this, py).map(Obj::from),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.asyncgens.set(Obj::unless_none(value));
                Ok(())
            },
            "",
        )
        .getset(
            "_task_factory",
            |this: &Obj<Loop>, _py: Python<'_>| this.task_factory.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.task_factory.set(Obj::unless_none(value));
                Ok(())
            },
            "",
        )
        .getset(
            "_exception_handler",
            |this: &Obj<Loop>, _py: Python<'_>| this.exception_handler.get(),
            |this: &Obj<Loop>, _py: Python<'_>, value: Value<'_, '_>| {
                this.exception_handler.set(Obj::unless_none(value));
                Ok(())
            },
            "",
        );
}
