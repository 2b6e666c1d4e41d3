//! `asyncio.shield`: a future that may be cancelled without the one behind it being cancelled.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop::LoopRef;
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
    let inner = task::ensure_future(py, arg, None)?;
    if future_likes::is_done(py, &inner)? {
        return Ok(inner);
    }
    let event_loop = LoopRef::new(future_likes::loop_of(py, inner.bind(py))?.bind(py));
    let outer = event_loop.create_future(py)?;
    let told = native_fn::done_callback(
        py,
        "shield.<locals>._inner_done_callback",
        vec![outer.clone()],
        inner_done,
    )?;
    if let Some(ours) = outer.cast::<Future>() {
        told.wakes(ours);
    }
    let dropped = native_fn::done_callback(
        py,
        "shield.<locals>._outer_done_callback",
        vec![inner.clone(), told.as_any().clone()],
        outer_done,
    )?;
    future_likes::on_done(py, &inner, &told)?;
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
    let [inner, told] = held else { return Ok(()) };
    if future_likes::is_done(py, inner)? {
        return Ok(());
    }
    if let Some(told) = told.cast_exact::<NativeFn>() {
        future_likes::off_done(py, inner, told)?;
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
    let context = PyDict::new(py);
    let name = exc.bind(py).get_type().name()?;
    context.set_item("message", format!("{name} exception in shielded future"))?;
    context.set_item("exception", exc)?;
    context.set_item("future", inner)?;
    if let Some(traceback) = inner.getattr_opt(intern!(py, "_source_traceback"))?
        && traceback.is_truthy()?
    {
        context.set_item("source_traceback", traceback)?;
    }
    LoopRef::new(future_likes::loop_of(py, inner)?.bind(py)).call_exception_handler(py, &context)
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
