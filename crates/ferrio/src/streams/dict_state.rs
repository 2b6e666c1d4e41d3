//! The state of a protocol in its `__dict__`, where asyncio has it, and programs read, copy and restore it.
//!
//! It is in native fields until somebody asks for `__dict__`. From then on the dict has an entry for each of them: what a
//! program has put there is taken over before a field is used, and a change is written back. Such a protocol is called
//! through its methods, as one with replaced methods is.

use ferrio_object::{Obj, ObjCell};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::flow_control::FlowControlMixin;
use super::protocol::StreamReaderProtocol;

/// A class whose attributes may be in a dict too.
pub(super) trait DictState: Sized + 'static {
    /// Takes over what the dict says, before the fields are used.
    ///
    /// # Errors
    /// `TypeError` and the like for values that a field cannot have.
    fn take_over(_this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }

    /// Writes the fields back, after they were changed.
    ///
    /// # Errors
    /// `MemoryError`.
    fn write_back(_this: &Obj<Self>, _py: Python<'_>) -> PyResult<()> {
        Ok(())
    }
}

impl DictState for FlowControlMixin {
    #[inline]
    fn take_over(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.in_dict.get() { exchange(this, py, Direction::FromDict) } else { Ok(()) }
    }

    #[inline]
    fn write_back(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        if this.in_dict.get() { exchange(this, py, Direction::ToDict) } else { Ok(()) }
    }
}

impl DictState for StreamReaderProtocol {
    #[inline]
    fn take_over(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        FlowControlMixin::take_over(this.base(), py)
    }

    #[inline]
    fn write_back(this: &Obj<Self>, py: Python<'_>) -> PyResult<()> {
        FlowControlMixin::write_back(this.base(), py)
    }
}

/// Calls a method that uses the fields and may change them.
///
/// # Errors
/// What the method raises.
pub(super) fn with<T: DictState, R>(
    this: &Obj<T>,
    py: Python<'_>,
    method: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    T::take_over(this, py)?;
    let outcome = method();
    T::write_back(this, py)?;
    outcome
}

/// The fields of every protocol that can be set.
const FIELDS: [&str; 3] = ["_loop", "_paused", "_connection_lost"];
/// Those of one for streams.
const STREAM_FIELDS: [&str; 8] = [
    "_stream_reader_wr",
    "_source_traceback",
    "_reject_connection",
    "_task",
    "_transport",
    "_client_connected_cb",
    "_over_ssl",
    "_closed",
];

fn each_field(
    this: &Obj<FlowControlMixin>,
    py: Python<'_>,
    mut each: impl FnMut(Bound<'_, PyString>) -> PyResult<()>,
) -> PyResult<()> {
    for name in FIELDS {
        each(PyString::intern(py, name))?;
    }
    let Some(protocol) = this.as_any().cast::<StreamReaderProtocol>() else { return Ok(()) };
    for name in STREAM_FIELDS {
        each(PyString::intern(py, name))?;
    }
    // asyncio has these only where they are set, or on some versions.
    let rare: [(&str, &ObjCell, bool); 2] = [
        ("_strong_reader", &protocol.strong_reader, false),
        ("_stream_writer", &protocol.writer, cfg!(not(Py_3_13))),
    ];
    for (name, cell, always) in rare {
        if always || cell.is_some() {
            each(PyString::intern(py, name))?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Direction {
    ToDict,
    FromDict,
}

/// Copies the fields, through the attributes that show them.
#[cold]
fn exchange(this: &Obj<FlowControlMixin>, py: Python<'_>, direction: Direction) -> PyResult<()> {
    let dict = this.instance_dict(py)?;
    let object = this.bind(py);
    // The attributes would come back here.
    this.in_dict.set(false);
    let outcome = each_field(this, py, |name| {
        let ours = object.getattr(&name)?;
        match direction {
            Direction::ToDict => dict.set_item(name, ours),
            Direction::FromDict => match dict.get_item(&name)? {
                Some(theirs) if !theirs.is(&ours) => object.setattr(name, theirs),
                _ => Ok(()),
            },
        }
    });
    // A copy, to look at: the waiters are not for others to change.
    let shown = match direction {
        Direction::ToDict => {
            object.getattr("_drain_waiters").and_then(|waiters| dict.set_item("_drain_waiters", waiters))
        }
        Direction::FromDict => Ok(()),
    };
    this.in_dict.set(true);
    outcome.and(shown)
}

/// The getter of `__dict__`.
pub(super) fn get(this: &Obj<FlowControlMixin>, py: Python<'_>) -> PyResult<Obj> {
    if !this.in_dict.get() {
        exchange(this, py, Direction::ToDict)?;
    }
    Ok(this.instance_dict(py)?.into_any().into())
}

/// The setter of `__dict__`.
pub(super) fn set(
    this: &Obj<FlowControlMixin>,
    py: Python<'_>,
    value: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    get(this, py)?;
    match value {
        Some(value) => this.set_instance_dict(py, value),
        None => Err(pyo3::exceptions::PyTypeError::new_err("cannot delete __dict__")),
    }
}
