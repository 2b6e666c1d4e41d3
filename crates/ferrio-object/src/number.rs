//! Numbers that programs give: delays, deadlines.

use pyo3::ffi;
use pyo3::prelude::*;

/// A number as a float. Exact `float`s and `int`s, nearly all there are, are read without asking the type for its slots:
/// `PyFloat_AsDouble` makes a float object of an int first.
///
/// # Errors
/// `TypeError` if it is no number, `OverflowError` for an int beyond all floats, and what `__float__` raises.
#[inline]
pub fn float_of(number: &Bound<'_, PyAny>) -> PyResult<f64> {
    // SAFETY: attached; a valid object, which is of the type that is read.
    unsafe {
        let ptr = number.as_ptr();
        if ffi::PyFloat_CheckExact(ptr) != 0 {
            return Ok(ffi::PyFloat_AS_DOUBLE(ptr));
        }
        if ffi::PyLong_CheckExact(ptr) != 0 {
            let value = ffi::PyLong_AsDouble(ptr);
            let failed = value == -1.0 && !ffi::PyErr_Occurred().is_null();
            return if failed { Err(PyErr::fetch(number.py())) } else { Ok(value) };
        }
    }
    number.extract::<f64>()
}
