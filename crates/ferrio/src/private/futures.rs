//! `asyncio.futures`: how one future gets the outcome of another.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::exceptions::PyAssertionError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::future_likes::{self, convert_exception, transfer};

fn get_loop(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [fut] = args.bind(&Signature::new("_get_loop", ["fut"]))?;
    fut.map(|fut| Ok(future_likes::loop_of(py, fut)?.as_any().clone())).transpose()
}

fn chain_future(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    match args.bind(&Signature::new("_chain_future", ["source", "destination"]))? {
        [Some(source), Some(destination)] => future_likes::chain(py, &source.into(), &destination.into()),
        _ => Ok(()),
    }
}

fn asked(fut: &Bound<'_, PyAny>, name: &Bound<'_, pyo3::types::PyString>) -> PyResult<bool> {
    fut.call_method0(name)?.is_truthy()
}

fn copy_future_state(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [Some(source), Some(dest)] = args.bind(&Signature::new("_copy_future_state", ["source", "dest"]))?
    else {
        return Ok(());
    };
    if !asked(source, intern!(py, "done"))? {
        return Err(PyAssertionError::new_err("the source is not done"));
    }
    if asked(dest, intern!(py, "cancelled"))? {
        return Ok(());
    }
    if asked(dest, intern!(py, "done"))? {
        return Err(PyAssertionError::new_err("the destination is done"));
    }
    transfer(py, source, Obj::of(dest))
}

fn set_concurrent_future_state(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let signature = Signature::new("_set_concurrent_future_state", ["concurrent", "source"]);
    let [Some(concurrent), Some(source)] = args.bind(&signature)? else { return Ok(()) };
    if !asked(source, intern!(py, "done"))? {
        return Err(PyAssertionError::new_err("the source is not done"));
    }
    transfer(py, source, Obj::of(concurrent))
}

fn convert_future_exc(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [exc] = args.bind(&Signature::new("_convert_future_exc", ["exc"]))?;
    exc.map(|exc| convert_exception(py, exc).map(Obj::from)).transpose()
}

fn set_result_unless_cancelled(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let signature = Signature::new("_set_result_unless_cancelled", ["fut", "result"]);
    let [Some(fut), Some(result)] = args.bind(&signature)? else { return Ok(()) };
    if asked(fut, intern!(py, "cancelled"))? {
        return Ok(());
    }
    fut.call_method1(intern!(py, "set_result"), (result,)).map(drop)
}

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(
        module,
        "_get_loop",
        get_loop,
        "_get_loop(fut)\n--\n\nThe loop of a future, ours or not.",
    )?;
    ClassDef::function(
        module,
        "_chain_future",
        chain_future,
        "_chain_future(source, destination)\n--\n\n\
        Let `destination` end as `source` does; cancelling it cancels `source`. Each may be of asyncio or of\n\
        concurrent.futures.",
    )?;
    ClassDef::function(
        module,
        "_copy_future_state",
        copy_future_state,
        "_copy_future_state(source, dest)\n--\n\nGive a future the outcome of another that is done.",
    )?;
    ClassDef::function(
        module,
        "_set_concurrent_future_state",
        set_concurrent_future_state,
        "_set_concurrent_future_state(concurrent, source)\n--\n\n\
        Give a concurrent.futures.Future the outcome of a future that is done.",
    )?;
    ClassDef::function(
        module,
        "_convert_future_exc",
        convert_future_exc,
        "_convert_future_exc(exc)\n--\n\nAn exception of concurrent.futures as asyncio's own of that name.",
    )?;
    ClassDef::function(
        module,
        "_set_result_unless_cancelled",
        set_result_unless_cancelled,
        "_set_result_unless_cancelled(fut, result)\n--\n\nSet the result of a future that is not cancelled.",
    )
}
