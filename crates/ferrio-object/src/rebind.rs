//! Methods of a class of ours that a Python subclass has again as its own.
//!
//! The interpreter calls a C method without detours only on objects of exactly the class that the method's descriptor
//! belongs to (`CALL_METHOD_DESCRIPTOR_*` in CPython's `bytecodes.c`). Where everybody uses one Python subclass, that is
//! a tenth of a short call.

use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::builder::Class;
use crate::class_def::ClassDef;

impl ClassDef {
    /// Gives `class`, which is derived from `T`'s class, descriptors of its own for the methods of these names. They
    /// are the same methods ([`ClassDef::is_same_method`]).
    ///
    /// # Errors
    /// `TypeError` if `class` is not derived from `T`'s or a name is no method of `T`'s own; `MemoryError`.
    pub fn rebind_methods<T: Class>(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<()> {
        let py = class.py();
        let base = Self::type_object::<T>(py);
        let base = base.bind(py).cast::<PyType>()?;
        if !class.is_subclass(base)? {
            return Err(PyTypeError::new_err(format!("{class} is not derived from {}", T::NAME)));
        }
        for name in names {
            let Some(def) = definition(&base.getattr("__dict__")?.get_item(name)?) else {
                return Err(PyTypeError::new_err(format!("{name} is no method of {}", T::NAME)));
            };
            // SAFETY: attached; a ready type of which instances are instances of `T`, as the method expects; the
            // definition is of a class of ours and so is never freed. What comes is owned, or null with an error set.
            let method = unsafe {
                let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), def);
                Bound::from_owned_ptr_or_err(py, method)?
            };
            class.setattr(*name, method)?;
        }
        Ok(())
    }

    /// Whether two attributes, looked up on classes, are one method of a class of ours.
    #[must_use]
    pub fn is_same_method(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> bool {
        one.is(other)
            || matches!((definition(one), definition(other)), (Some(one), Some(other)) if one == other)
    }
}

/// Whether an entry of `class`'s dict is a descriptor of one of our methods that was made for this very class.
///
/// # Safety
/// `class` is a ready type that is not ours, `entry` a live object.
pub(crate) unsafe fn is_rebound(class: *mut ffi::PyTypeObject, entry: *mut ffi::PyObject) -> bool {
    // SAFETY: the layout is known once the object is exactly of that type.
    unsafe {
        ffi::Py_TYPE(entry) == &raw mut ffi::PyMethodDescr_Type
            && ptr::eq((*entry.cast::<ffi::PyMethodDescrObject>()).d_common.d_type, class)
    }
}

/// What a method descriptor calls.
fn definition(descriptor: &Bound<'_, PyAny>) -> Option<*mut ffi::PyMethodDef> {
    // SAFETY: a valid object, whose layout is known once it is exactly of that type.
    unsafe {
        if ffi::Py_TYPE(descriptor.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
            return None;
        }
        Some((*descriptor.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_method)
    }
}
