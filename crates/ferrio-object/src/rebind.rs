//! Methods of a class of ours that a Python subclass has again as its own.
//!
//! The interpreter calls a C method without detours only on objects of exactly the class that the method's descriptor
//! belongs to (`CALL_METHOD_DESCRIPTOR_*` in CPython's `bytecodes.c`). Where everybody uses one Python subclass, that is
//! a tenth of a short call.
//!
//! A method that a program puts on a base in between must not be hidden by that. So the bases are watched
//! (`PyType_Watch`, since 3.12): as soon as one of them changes, the class loses what it was given. Python 3.11 cannot
//! watch types, and its classes are given nothing.

#[cfg(Py_3_12)]
use std::cell::{Cell, RefCell};
#[cfg(Py_3_12)]
use std::ffi::c_int;
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::builder::Class;
use crate::class_def::ClassDef;
#[cfg(Py_3_12)]
use crate::obj::Obj;
use crate::replaced::is_replaced;
#[cfg(Py_3_12)]
use crate::shared::GilStatic;

/// A class with methods of its own that are one of ours.
#[cfg(Py_3_12)]
struct Rebound {
    class: Obj,
    names: Vec<Obj>,
}

impl ClassDef {
    /// Gives `class`, which is derived from `T`'s class, descriptors of its own for the methods of these names: they
    /// are the same methods. It keeps them until one of the classes between the two, or `T`'s, changes.
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
        let mut methods = Vec::new();
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
            let name = PyString::intern(py, name);
            // A program may have put something on a base before this class was made.
            // SAFETY: attached; a ready type.
            if !unsafe { is_replaced(class.as_type_ptr(), &name) } {
                methods.push((name, method));
            }
        }
        if !watch(class, base)? {
            return Ok(());
        }
        for (name, method) in &methods {
            class.setattr(name, method)?;
        }
        note(class, methods.into_iter().map(|(name, _)| name));
        Ok(())
    }
}

/// Has the interpreter report changes of `base` and of what lies between it and `class`; false if it cannot.
fn watch(class: &Bound<'_, PyType>, base: &Bound<'_, PyType>) -> PyResult<bool> {
    #[cfg(Py_3_12)]
    {
        let py = class.py();
        let Some(watcher) = watcher(py) else { return Ok(false) };
        for between in class.mro() {
            let between = between.cast_into::<PyType>()?;
            // SAFETY: attached; a watcher of ours and a type.
            if !between.is(class) && unsafe { ffi_watch::PyType_Watch(watcher, between.as_ptr()) } < 0 {
                return Err(PyErr::fetch(py));
            }
            if between.is(base) {
                break;
            }
        }
        Ok(true)
    }
    #[cfg(not(Py_3_12))]
    {
        let _ = (class, base);
        Ok(false)
    }
}

#[cfg(Py_3_12)]
mod ffi_watch {
    use std::ffi::c_int;

    use pyo3::ffi;

    // Exported since 3.12; PyO3 does not name them.
    unsafe extern "C" {
        pub(super) fn PyType_AddWatcher(callback: unsafe extern "C" fn(*mut ffi::PyObject) -> c_int)
        -> c_int;
        pub(super) fn PyType_Watch(watcher: c_int, ty: *mut ffi::PyObject) -> c_int;
    }
}

#[cfg(Py_3_12)]
static REBOUND: GilStatic<RefCell<Vec<Rebound>>> = GilStatic::new(RefCell::new(Vec::new()));

/// Remembers what the class has been given.
fn note<'py>(class: &Bound<'py, PyType>, names: impl Iterator<Item = Bound<'py, PyString>>) {
    #[cfg(Py_3_12)]
    {
        let rebound = Rebound { class: class.into(), names: names.map(Obj::from).collect() };
        REBOUND.get(class.py()).borrow_mut().push(rebound);
    }
    #[cfg(not(Py_3_12))]
    {
        let _ = (class, names);
    }
}

/// The number that the interpreter has given us, one of eight for all extensions together; `None` if there is none left.
#[cfg(Py_3_12)]
fn watcher(py: Python<'_>) -> Option<c_int> {
    static WATCHER: GilStatic<Cell<Option<c_int>>> = GilStatic::new(Cell::new(None));
    let cell = WATCHER.get(py);
    if cell.get().is_none() {
        // SAFETY: attached; a function of the right shape.
        let watcher = unsafe { ffi_watch::PyType_AddWatcher(modified) };
        if watcher < 0 {
            crate::error::swallow(py, PyErr::fetch(py));
            return None;
        }
        cell.set(Some(watcher));
    }
    cell.get()
}

/// Called when a watched type is about to change, or has just changed: the versions differ. It may change other types,
/// not this one.
#[cfg(Py_3_12)]
unsafe extern "C" fn modified(ty: *mut ffi::PyObject) -> c_int {
    // SAFETY: the interpreter calls it attached.
    let py = unsafe { Python::assume_attached() };
    let (derived, others) = REBOUND.get(py).take().into_iter().partition::<Vec<_>, _>(|rebound| {
        let class = rebound.class.as_ptr();
        // SAFETY: two types.
        !ptr::eq(class, ty) && unsafe { ffi::PyType_IsSubtype(class.cast(), ty.cast()) != 0 }
    });
    REBOUND.get(py).borrow_mut().extend(others);
    crate::error::with_saved_error(py, || {
        for Rebound { class, names } in derived {
            for name in names {
                // SAFETY: attached; a type that the interpreter has not begun to change, and a name.
                unsafe {
                    let entry = ffi::PyObject_GetAttr(class.as_ptr(), name.as_ptr());
                    if entry.is_null() {
                        ffi::PyErr_Clear();
                        continue;
                    }
                    let entry = Obj::<crate::obj::Any>::from_owned(entry);
                    // A program may have put something of its own there meanwhile.
                    if is_rebound(class.as_ptr().cast(), entry.as_ptr())
                        && ffi::PyObject_SetAttr(class.as_ptr(), name.as_ptr(), ptr::null_mut()) < 0
                    {
                        ffi::PyErr_Clear();
                    }
                }
            }
        }
    });
    0
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
