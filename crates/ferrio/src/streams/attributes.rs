//! The attributes of a `StreamReader` that programs and asyncio's own tests look at, above all `_buffer`.
//!
//! asyncio's `_buffer` is the bytearray itself, and old code empties it or appends to it. Here it is a copy that is
//! kept alike for as long as somebody else holds it: taken over before the reader looks at its buffer, written back
//! after. A reader whose `_buffer` nobody holds pays for none of this.

use ferrio_object::{ClassBuilder, Obj};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PySlice};

use super::DEFAULT_LIMIT;
use super::dict_state::DictState;
use super::reader::{StreamReader, limit_of};
use crate::event_loop::LoopRef;

impl DictState for StreamReader {}

impl StreamReader {
    /// Takes over what is in the bytearray that was given out.
    pub(super) fn import(&self, py: Python<'_>) -> PyResult<()> {
        let Some(exported) = self.exported.take() else { return Ok(()) };
        let data = exported.bind(py).cast::<PyByteArray>().map(pyo3::types::PyByteArrayMethods::to_vec)?;
        {
            let mut buffer = self.buffer.borrow_mut();
            if buffer.as_slice() != data {
                buffer.clear();
                buffer.extend_from_slice(&data);
            }
        }
        // The one reference is ours: nobody can see the bytearray any more.
        if exported.refcount() > 1 {
            self.exported.set(Some(exported));
        }
        Ok(())
    }

    /// Writes the buffer back to the bytearray that was given out.
    pub(super) fn export(&self, py: Python<'_>) -> PyResult<()> {
        let Some(exported) = self.exported.get() else { return Ok(()) };
        let data = PyBytes::new(py, self.buffer.borrow().as_slice());
        exported.bind(py).set_item(PySlice::full(py), data)
    }

    fn get_buffer(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        this.unpack();
        this.import(py)?;
        if let Some(exported) = this.exported.get() {
            return Ok(exported);
        }
        let made = Obj::from(PyByteArray::new(py, this.buffer.borrow().as_slice()));
        this.exported.set(Some(made.clone()));
        Ok(made)
    }

    fn set_buffer(this: &Obj<Self>, py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let value = value.ok_or_else(|| PyValueError::new_err("_buffer cannot be deleted"))?;
        let value = match value.cast::<PyByteArray>() {
            Ok(value) => value.into(),
            Err(_) => Obj::from(PyByteArray::from(value)?),
        };
        this.whole.set(None);
        this.exported.set(Some(value));
        this.import(py)
    }

    fn get_limit(this: &Obj<Self>, _py: Python<'_>) -> usize {
        this.limit.get()
    }

    fn set_limit(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(value) = value {
            this.limit.set(limit_of(value)?);
        }
        Ok(())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let mut shown = vec!["StreamReader".to_owned()];
        let length = this.len(py)?;
        if length > 0 {
            shown.push(format!("{length} bytes"));
        }
        if this.eof.get() {
            shown.push("eof".to_owned());
        }
        if this.limit.get() != DEFAULT_LIMIT {
            shown.push(format!("limit={}", this.limit.get()));
        }
        for (name, value) in [
            ("waiter", this.waiter.get()),
            ("exception", this.exception.get()),
            ("transport", this.transport.get()),
        ] {
            if let Some(value) = value {
                shown.push(format!("{name}={}", value.bind(py).repr()?));
            }
        }
        if this.paused.get() {
            shown.push("paused".to_owned());
        }
        Ok(format!("<{}>", shown.join(" ")))
    }
}

/// An attribute that shows a cell; `None` and deletion empty it.
macro_rules! cell {
    ($class:expr, $ty:ty, $name:literal, $field:ident) => {
        $class.getset(
            $name,
            |this: &ferrio_object::Obj<$ty>, py: pyo3::Python<'_>| -> pyo3::PyResult<_> {
                <$ty as super::dict_state::DictState>::take_over(this, py)?;
                Ok(this.$field.get())
            },
            |this: &ferrio_object::Obj<$ty>,
             py: pyo3::Python<'_>,
             value: Option<&pyo3::Bound<'_, pyo3::PyAny>>| {
                <$ty as super::dict_state::DictState>::take_over(this, py)?;
                this.$field.set(ferrio_object::Obj::unless_none(value));
                <$ty as super::dict_state::DictState>::write_back(this, py)
            },
            "",
        )
    };
}

/// An attribute that shows a flag.
macro_rules! flag {
    ($class:expr, $ty:ty, $name:literal, $field:ident) => {
        $class.getset(
            $name,
            |this: &ferrio_object::Obj<$ty>, py: pyo3::Python<'_>| -> pyo3::PyResult<_> {
                <$ty as super::dict_state::DictState>::take_over(this, py)?;
                Ok(this.$field.get())
            },
            |this: &ferrio_object::Obj<$ty>,
             py: pyo3::Python<'_>,
             value: Option<&pyo3::Bound<'_, pyo3::PyAny>>| {
                use pyo3::types::PyAnyMethods;
                <$ty as super::dict_state::DictState>::take_over(this, py)?;
                this.$field.set(value.map_or(Ok(false), |value| value.is_truthy())?);
                <$ty as super::dict_state::DictState>::write_back(this, py)
            },
            "",
        )
    };
}

/// The attribute `_loop`.
macro_rules! event_loop {
    ($class:expr, $ty:ty) => {
        $class.getset(
            "_loop",
            |this: &ferrio_object::Obj<$ty>, py: pyo3::Python<'_>| -> pyo3::PyResult<_> {
                <$ty as super::dict_state::DictState>::take_over(this, py)?;
                Ok(this.event_loop.borrow().as_ref().map(|event_loop| event_loop.as_any().clone()))
            },
            |this: &ferrio_object::Obj<$ty>,
             py: pyo3::Python<'_>,
             value: Option<&pyo3::Bound<'_, pyo3::PyAny>>| {
                <$ty as super::dict_state::DictState>::take_over(this, py)?;
                let old = this.event_loop.replace(value.map(crate::event_loop::LoopRef::new));
                drop(old);
                <$ty as super::dict_state::DictState>::write_back(this, py)
            },
            "",
        )
    };
}

pub(super) use {cell, event_loop, flag};

pub(super) fn define(class: &mut ClassBuilder<StreamReader>) {
    class
        .repr(StreamReader::repr)
        .method0(
            "exception",
            |this: &Obj<StreamReader>, _py: Python<'_>| this.exception.get(),
            "exception($self, /)\n--\n\nThe exception that reads fail with, or None.",
        )
        .getset("_buffer", StreamReader::get_buffer, StreamReader::set_buffer, "")
        .getset("_limit", StreamReader::get_limit, StreamReader::set_limit, "");
    flag!(class, StreamReader, "_eof", eof);
    flag!(class, StreamReader, "_paused", paused);
    cell!(class, StreamReader, "_waiter", waiter);
    cell!(class, StreamReader, "_exception", exception);
    cell!(class, StreamReader, "_transport", transport);
    cell!(class, StreamReader, "_source_traceback", source_traceback);
    event_loop!(class, StreamReader);
}

/// `loop.is_closed()`.
pub(super) fn is_closed(py: Python<'_>, event_loop: &LoopRef) -> PyResult<bool> {
    event_loop.as_any().bind(py).call_method0(intern!(py, "is_closed"))?.is_truthy()
}
