//! Comparing callables without running Python code, where that can be.

use pyo3::ffi;
use pyo3::prelude::*;

/// Whether two callables are equal, for what programs mostly have: functions and bound methods of functions, which are equal by
/// what they are and not by what some `__eq__` says. `None` if `==` has to be asked.
pub fn same_callable(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> Option<bool> {
    if one.is(other) {
        return Some(true);
    }
    match (kind_of(one)?, kind_of(other)?) {
        (Kind::Method { this, function }, Kind::Method { this: other_this, function: other_function }) => {
            Some(this == other_this && function == other_function)
        }
        // Another function, or of two kinds.
        _ => Some(false),
    }
}

/// Whether it is a function written in Python, or a bound method of one.
pub fn is_function(callable: &Bound<'_, PyAny>) -> bool {
    kind_of(callable).is_some()
}

enum Kind {
    Function,
    Method { this: *mut ffi::PyObject, function: *mut ffi::PyObject },
}

// Exported by every version; PyO3 does not name them. The functions give borrowed references.
unsafe extern "C" {
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyMethod_Self(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

fn kind_of(callable: &Bound<'_, PyAny>) -> Option<Kind> {
    let callable = callable.as_ptr();
    // SAFETY: a live object, whose layout is known once it is exactly of that type; the parts of a method are never null.
    unsafe {
        let ty = ffi::Py_TYPE(callable);
        if ty == &raw mut ffi::PyFunction_Type {
            return Some(Kind::Function);
        }
        if ty != &raw mut PyMethod_Type {
            return None;
        }
        let function = PyMethod_Function(callable);
        let is_plain = ffi::Py_TYPE(function) == &raw mut ffi::PyFunction_Type;
        is_plain.then(|| Kind::Method { this: PyMethod_Self(callable), function })
    }
}
