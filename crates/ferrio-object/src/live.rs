//! The live instances of a family of classes, found among all objects that the garbage collector knows.
//!
//! For what is asked so seldom that nothing may be paid for it in advance: one look at every tracked object costs some
//! nanoseconds each, and instances that are tracked only for being found would cost each of them.

use pyo3::prelude::*;

use crate::builder::Class;
#[cfg(Py_3_12)]
use crate::fields;
use crate::obj::Obj;

/// The tracked instances of the classes that are derived from `T` directly.
///
/// # Errors
/// On 3.11, which cannot be asked without a list of all objects, `MemoryError`.
#[cfg(Py_3_12)]
pub fn live_children<T: Class>(_py: Python<'_>) -> PyResult<Vec<Obj>> {
    use std::ffi::{c_int, c_void};

    use pyo3::ffi;

    type Visitor = unsafe extern "C" fn(*mut ffi::PyObject, *mut c_void) -> c_int;
    unsafe extern "C" {
        // Of CPython's unstable API, since 3.12; PyO3 does not declare it.
        fn PyUnstable_GC_VisitObjects(visitor: Visitor, arg: *mut c_void);
    }

    unsafe extern "C" fn visit<T: Class>(obj: *mut ffi::PyObject, found: *mut c_void) -> c_int {
        // SAFETY: a valid object, of a type that is alive as long; the vector that `live_children` gave, which looks at it
        // again only afterwards. An object whose count is zero is being deallocated.
        unsafe {
            if (*ffi::Py_TYPE(obj)).tp_base == fields::type_cell::<T>().get() && ffi::Py_REFCNT(obj) > 0 {
                (*found.cast::<Vec<Obj>>()).push(Obj::from_borrowed(obj));
            }
        }
        1
    }

    let mut found: Vec<Obj> = Vec::new();
    // SAFETY: attached. The visitor makes no Python objects, which is all that is asked of it.
    unsafe { PyUnstable_GC_VisitObjects(visit::<T>, (&raw mut found).cast()) };
    Ok(found)
}

/// The tracked instances of the classes that are derived from `T` directly.
///
/// # Errors
/// `MemoryError`.
#[cfg(not(Py_3_12))]
pub fn live_children<T: Class>(py: Python<'_>) -> PyResult<Vec<Obj>> {
    let all = py.import("gc")?.call_method0("get_objects")?;
    let all = all.cast_into::<pyo3::types::PyList>()?;
    Ok(all.iter().filter(|obj| Obj::of(obj).is_child_of::<T>()).map(Obj::from).collect())
}
