//! Attributes that programs read and set, and which are native cells.

/// An attribute that shows a cell; `None` and deletion empty it.
macro_rules! cell {
    ($class:expr, $ty:ty, $name:literal, $field:ident) => {
        cell!($class, $ty, $name, $field, "")
    };
    ($class:expr, $ty:ty, $name:literal, $field:ident, $doc:literal) => {
        $class.getset(
            $name,
            |this: &ferrio_object::Obj<$ty>, _py: pyo3::Python<'_>| this.$field.get(),
            |this: &ferrio_object::Obj<$ty>,
             _py: pyo3::Python<'_>,
             value: Option<&pyo3::Bound<'_, pyo3::PyAny>>| {
                this.$field.set(ferrio_object::Obj::unless_none(value));
                Ok(())
            },
            $doc,
        )
    };
}

/// An attribute that shows a flag.
macro_rules! flag {
    ($class:expr, $ty:ty, $name:literal, $field:ident) => {
        $class.getset(
            $name,
            |this: &ferrio_object::Obj<$ty>, _py: pyo3::Python<'_>| this.$field.get(),
            |this: &ferrio_object::Obj<$ty>,
             _py: pyo3::Python<'_>,
             value: Option<&pyo3::Bound<'_, pyo3::PyAny>>| {
                use pyo3::types::PyAnyMethods;
                this.$field.set(value.map_or(Ok(false), |value| value.is_truthy())?);
                Ok(())
            },
            "",
        )
    };
}

pub(super) use {cell, flag};
