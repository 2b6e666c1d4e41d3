//! Stacks: where things were created.

use ferrio_object::{Args, Obj, Signature, running_frame};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// asyncio's `constants.DEBUG_STACK_DEPTH`.
const DEPTH: usize = 10;

/// The innermost frames of the caller, outermost first, as a `traceback.StackSummary`.
///
/// # Errors
/// What `traceback` raises.
pub(crate) fn extract_stack(py: Python<'_>) -> PyResult<Obj> {
    // Not `sys._getframe(0)`: 3.13 hands out the innermost frame there even while the interpreter is still making it, and
    // reads memory that is not set. A finalizer's native code (an async generator's) can ask in such a moment.
    let frame = running_frame(py).unwrap_or_else(|| Obj::none(py));
    summary(py, frame.bind(py), DEPTH)
}

fn summary(py: Python<'_>, frame: &Bound<'_, PyAny>, limit: usize) -> PyResult<Obj> {
    let traceback = crate::imported::module(py, "traceback")?;
    if frame.is_none() {
        return Ok(traceback.getattr("StackSummary")?.call0()?.into());
    }
    let kwargs = PyDict::new(py);
    kwargs.set_item("limit", limit)?;
    kwargs.set_item("lookup_lines", false)?;
    let walk = traceback.call_method1("walk_stack", (frame,))?;
    let stack = traceback.getattr("StackSummary")?.call_method("extract", (walk,), Some(&kwargs))?;
    stack.call_method0("reverse")?;
    Ok(stack.into())
}

pub(crate) fn py_extract_stack(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
    const SIGNATURE: Signature<2> = Signature::new("extract_stack", ["f", "limit"]).required(0);
    let [frame, limit] = args.bind(&SIGNATURE)?;
    let limit = match limit {
        Some(limit) if !limit.is_none() => limit.extract()?,
        _ => DEPTH,
    };
    match frame {
        Some(frame) if !frame.is_none() => summary(py, frame, limit),
        _ => {
            let frame = running_frame(py).unwrap_or_else(|| Obj::none(py));
            summary(py, frame.bind(py), limit)
        }
    }
}
