//! `tasks._scheduled_tasks` (`_all_tasks` on 3.11): the tasks of all loops, for programs that go through them.
//!
//! asyncio has a `WeakSet`; here the registry is native, and this stands before it. The set's methods that follow from
//! these five come with the abstract class in `ferrio.tasks`.

use ferrio_object::{Any, Class, ClassBuilder, Obj};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::registry;

/// The set. It holds nothing itself.
pub struct ScheduledTasks {
    nothing: (),
}

impl ScheduledTasks {
    fn contains(_this: &Obj<Self>, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(registry::registered(py)?.iter().any(|known| known.is(task)))
    }

    fn tasks(_this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        Ok(registry::registered(py)?.try_iter()?.into_any().into())
    }

    fn len(_this: &Obj<Self>, py: Python<'_>) -> PyResult<usize> {
        registry::registered(py).map(|tasks: Bound<'_, PyList>| tasks.len())
    }

    fn add(_this: &Obj<Self>, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        registry::add(py, task)
    }

    fn discard(_this: &Obj<Self>, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        registry::discard(py, task)
    }
}

impl Class for ScheduledTasks {
    type Base = Any;
    ferrio_object::fields!(ScheduledTasks { nothing });
    const NAME: &'static str = "ferrio._ferrio._ScheduledTasks";
    const DOC: &'static str = "The tasks of all loops.";

    fn blank() -> Self {
        ScheduledTasks { nothing: () }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .method1("__contains__", Self::contains, "")
            .method0("__iter__", Self::tasks, "")
            .method0("__len__", Self::len, "")
            .method1("add", Self::add, "")
            .method1("discard", Self::discard, "");
    }
}
