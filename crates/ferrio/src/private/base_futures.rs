//! `asyncio.base_futures`: futures as text.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::prelude::*;

use crate::future;

fn repr(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<String>> {
    let [fut] = args.bind(&Signature::new("_future_repr", ["future"]))?;
    fut.map(|fut| future::repr_of(py, Obj::of(fut))).transpose()
}

fn repr_info(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [fut] = args.bind(&Signature::new("_future_repr_info", ["future"]))?;
    let info = fut.map(|fut| future::future_repr_info(py, fut)).transpose()?;
    info.map(|info| Ok(pyo3::types::PyList::new(py, info)?.into())).transpose()
}

/// Of pairs of a callback and its context.
fn format_callbacks(py: Python<'_>, args: Args<'_, '_>) -> PyResult<String> {
    let [cb] = args.bind(&Signature::new("_format_callbacks", ["cb"]))?;
    let mut all = Vec::new();
    if let Some(cb) = cb {
        for pair in cb.try_iter()? {
            all.push(Obj::from(pair?.get_item(0)?));
        }
    }
    future::format_callbacks(py, &all)
}

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(module, "_future_repr", repr, "_future_repr(future)\n--\n\nrepr() of a future.")?;
    ClassDef::function(
        module,
        "_future_repr_info",
        repr_info,
        "_future_repr_info(future)\n--\n\nWhat repr() of a future says, as a list of strings.",
    )?;
    ClassDef::function(
        module,
        "_format_callbacks",
        format_callbacks,
        "_format_callbacks(cb)\n--\n\nDone-callbacks as repr() of a future shows them.",
    )
}
