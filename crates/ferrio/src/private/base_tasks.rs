//! `asyncio.base_tasks`: tasks as text, and their stacks.

use ferrio_object::{Args, ClassDef, Obj, Signature};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

fn repr(_py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [task] = args.bind(&Signature::new("_task_repr", ["task"]))?;
    task.map(|task| task.repr().map(Obj::from)).transpose()
}

fn repr_info(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [task] = args.bind(&Signature::new("_task_repr_info", ["task"]))?;
    task.map(|task| Ok(task.call_method0(intern!(py, "_repr_info"))?.into())).transpose()
}

fn get_stack(py: Python<'_>, args: Args<'_, '_>) -> PyResult<Option<Obj>> {
    let [task, limit] = args.bind(&Signature::new("_task_get_stack", ["task", "limit"]))?;
    let Some(task) = task else { return Ok(None) };
    let kwargs = PyDict::new(py);
    kwargs.set_item("limit", limit)?;
    Ok(Some(task.call_method(intern!(py, "get_stack"), (), Some(&kwargs))?.into()))
}

fn print_stack(py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    let [task, limit, file] = args.bind(&Signature::new("_task_print_stack", ["task", "limit", "file"]))?;
    let Some(task) = task else { return Ok(()) };
    let kwargs = PyDict::new(py);
    kwargs.set_item("limit", limit)?;
    kwargs.set_item("file", file)?;
    task.call_method(intern!(py, "print_stack"), (), Some(&kwargs)).map(drop)
}

pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ClassDef::function(module, "_task_repr", repr, "_task_repr(task)\n--\n\nrepr() of a task.")?;
    ClassDef::function(
        module,
        "_task_repr_info",
        repr_info,
        "_task_repr_info(task)\n--\n\nWhat repr() of a task says, as a list of strings.",
    )?;
    ClassDef::function(
        module,
        "_task_get_stack",
        get_stack,
        "_task_get_stack(task, limit)\n--\n\nThe frames of a task, at most `limit`.",
    )?;
    ClassDef::function(
        module,
        "_task_print_stack",
        print_stack,
        "_task_print_stack(task, limit, file)\n--\n\nPrint the stack of a task; to stderr if `file` is None.",
    )
}
