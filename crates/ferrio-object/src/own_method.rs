//! Telling the methods of our classes from those of the interpreter's and of other extensions.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::class;
use crate::class_def::ClassDef;

impl ClassDef {
    /// The class that a method descriptor belongs to, if that is one of ours or one that `rebind_methods` has given methods.
    pub fn class_of_method<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyType>> {
        let py = object.py();
        // SAFETY: a live object, whose layout is known once it is exactly of that type; its class is a ready type, which has
        // a tuple of types for its MRO.
        unsafe {
            if ffi::Py_TYPE(object.as_ptr()) != &raw mut ffi::PyMethodDescr_Type {
                return None;
            }
            let class = (*object.as_ptr().cast::<ffi::PyMethodDescrObject>()).d_common.d_type;
            let class = Bound::from_borrowed_ptr(py, class.cast()).cast_into_unchecked::<PyType>();
            let is_ours = class.mro().iter().any(|base| class::is_native(py, base.as_ptr().cast()));
            is_ours.then_some(class)
        }
    }
}
