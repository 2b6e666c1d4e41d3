//! How futures are shown: `repr`, and the log entry for an exception that nobody retrieved.

use ferrio_object::Obj;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::{Future, State, callbacks};

use crate::event_loop::ExceptionContext;

/// What `repr` says between the angle brackets after the class name, as a list of strings.
pub(crate) fn future_repr_info(py: Python<'_>, fut: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let state: String = fut.getattr(intern!(py, "_state"))?.extract()?;
    let mut info = vec![state.to_lowercase()];
    if state == State::Finished.name() {
        let exception = fut.getattr(intern!(py, "_exception"))?;
        if exception.is_none() {
            let result = fut.getattr(intern!(py, "_result"))?;
            let text = crate::imported::module(py, "reprlib")?.call_method1("repr", (result,))?;
            info.push(format!("result={}", text.cast::<PyString>()?));
        } else {
            info.push(format!("exception={}", exception.repr()?));
        }
    }
    let callbacks = get_future_callbacks(py, fut)?;
    if !callbacks.is_empty() {
        info.push(format_callbacks(py, &callbacks)?);
    }
    let traceback = fut.getattr(intern!(py, "_source_traceback"))?;
    if !traceback.is_none() && traceback.is_truthy()? {
        let frame = traceback.get_item(-1)?;
        info.push(format!("created at {}:{}", frame.get_item(0)?.str()?, frame.get_item(1)?.str()?));
    }
    Ok(info)
}

/// The callbacks of one of our futures or of a look-alike with `_callbacks`.
pub(crate) fn get_future_callbacks(py: Python<'_>, fut: &Bound<'_, PyAny>) -> PyResult<Vec<Obj>> {
    if let Some(ours) = Obj::<Future>::from_bound(fut) {
        let all = ours.callbacks.borrow().to_vec();
        return all.iter().map(|callback| callbacks::callback_object(py, callback)).collect();
    }
    let list = fut.getattr(intern!(py, "_callbacks"))?;
    if list.is_none() {
        return Ok(Vec::new());
    }
    list.try_iter()?.map(|entry| Ok(entry?.get_item(0)?.into())).collect()
}

pub(crate) fn format_callbacks(py: Python<'_>, all: &[Obj]) -> PyResult<String> {
    let format = |callback: &Obj| crate::debug::format_callback_source(py, callback.bind(py), &[], false);
    let text = match all {
        [] => String::new(),
        [one] => format(one)?,
        [one, two] => format!("{}, {}", format(one)?, format(two)?),
        [first, .., last] => {
            format!("{}, <{} more>, {}", format(first)?, all.len() - 2, format(last)?)
        }
    };
    Ok(format!("cb=[{text}]"))
}

/// `<Future pending cb=[…]>`, for futures whose `repr` is already being made `...`.
pub(crate) fn repr(py: Python<'_>, fut: &Obj) -> PyResult<String> {
    let fut = fut.bind(py);
    let name = fut.get_type().name()?;
    // A result may hold the future itself.
    let guard = crate::debug::ReprGuard::enter(py, fut)?;
    let Some(_guard) = guard else { return Ok("...".to_owned()) };
    // Subclasses (and Task) extend the information through `_repr_info`.
    let info = match fut.getattr_opt(intern!(py, "_repr_info"))? {
        Some(method) => method.call0()?.extract::<Vec<String>>()?,
        None => future_repr_info(py, fut)?,
    };
    Ok(format!("<{name} {}>", info.join(" ")))
}

/// `__del__`: an exception was set and nobody asked for it.
pub(super) fn never_retrieved(fut: &Obj<Future>, py: Python<'_>) {
    let Some(exc) = fut.exception.get().filter(|_| fut.log_traceback.get()) else { return };
    fut.log_traceback.set(false);
    let report = || -> PyResult<()> {
        let name = fut.bind(py).get_type().name()?;
        ExceptionContext::new(py)
            .with("message", format!("{name} exception was never retrieved"))?
            .with("exception", exc)?
            .with("future", fut)?
            .with_any("source_traceback", fut.source_traceback.get())?
            .report_to(fut.get_loop()?.as_any())
    };
    if let Err(err) = report() {
        err.write_unraisable(py, Some(fut.bind(py)));
    }
}
