//! `asyncio.shield`: a future that may be cancelled without the one behind it being cancelled.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::ExceptionContext;
use crate::future::Future;
use crate::future_likes::{self, Outcome};
use crate::native_fn::{self, NativeFn};
use crate::task;

/// `shield(arg)`.
///
/// # Errors
/// As `ensure_future`.
pub(crate) fn py_shield(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    let [arg] = args.bind(&Signature::new("shield", ["arg"]))?;
    let Some(arg) = arg else { return Ok(Obj::none(py)) };
    shield(py, arg)
}

/// `shield(arg)`, for an argument in hand.
///
/// # Errors
/// As `ensure_future`.
pub(crate) fn shield(py: Python<'_>, arg: &Bound<'_, PyAny>) -> PyResult<Obj> {
    let inner = task::ensure_future(py, arg, None)?;
    if future_likes::is_done(py, &inner)? {
        return Ok(inner);
    }
    let event_loop = future_likes::loop_of(py, inner.bind(py))?;
    let outer = event_loop.create_future(py)?;
    let callback = native_fn::done_callback(
        py,
        "shield.<locals>._inner_done_callback",
        vec![outer.clone()],
        inner_done,
    )?;
    if let Some(ours) = outer.cast::<Future>() {
        callback.set_resolves(ours);
    }
    let dropped = native_fn::done_callback(
        py,
        "shield.<locals>._outer_done_callback",
        vec![inner.clone(), callback.as_any().clone()],
        outer_done,
    )?;
    future_likes::on_done(py, &inner, &callback)?;
    future_likes::on_done(py, &outer, &dropped)?;
    Ok(outer)
}

fn inner_done(py: Python<'_>, held: &[Obj], inner: &Bound<'_, PyAny>) -> PyResult<()> {
    let [outer] = held else { return Ok(()) };
    let bound = outer.bind(py);
    if bound.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        // Nobody waits any more; the exception counts as retrieved.
        return future_likes::outcome(py, inner).map(drop);
    }
    match future_likes::outcome(py, inner)? {
        Outcome::Cancelled => bound.call_method0(intern!(py, "cancel"))?,
        Outcome::Exception(exc) => bound.call_method1(intern!(py, "set_exception"), (exc,))?,
        Outcome::Result(value) => bound.call_method1(intern!(py, "set_result"), (value,))?,
    };
    Ok(())
}

fn outer_done(py: Python<'_>, held: &[Obj], _outer: &Bound<'_, PyAny>) -> PyResult<()> {
    let [inner, callback] = held else { return Ok(()) };
    if future_likes::is_done(py, inner)? {
        return Ok(());
    }
    if let Some(callback) = callback.cast_exact::<NativeFn>() {
        future_likes::off_done(py, inner, callback)?;
    }
    if cfg!(Py_3_14) {
        // However often the future is shielded, its exception is told of once.
        let logs = native_fn::done_callback(py, "_log_on_exception", Vec::new(), log_on_exception)?;
        future_likes::on_done(py, inner, &logs)?;
    }
    Ok(())
}

/// Since 3.14 an exception behind a shield that was given up goes to the exception handler at once.
fn log_on_exception(py: Python<'_>, _held: &[Obj], inner: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(ours) = Obj::<Future>::from_bound(inner)
        && !ours.log_traceback.get()
    {
        return Ok(());
    }
    let Outcome::Exception(exc) = future_likes::outcome(py, inner)? else { return Ok(()) };
    let name = exc.bind(py).get_type().name()?;
    let context = ExceptionContext::new(py)
        .with("message", format!("{name} exception in shielded future"))?
        .with("exception", exc)?
        .with("future", inner)?;
    let context = match inner.getattr_opt(intern!(py, "_source_traceback"))? {
        Some(traceback) if traceback.is_truthy()? => context.with("source_traceback", traceback)?,
        _ => context,
    };
    context.report_to(future_likes::loop_of(py, inner)?.as_any())
}

/// Adds what Python sees of this room to the extension.
///
/// # Errors
/// `MemoryError`.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "shield",
        py_shield,
        "shield(arg)\n--\n\n\
         A future with the outcome of `arg` that can be cancelled while `arg` goes on.",
    )
}
