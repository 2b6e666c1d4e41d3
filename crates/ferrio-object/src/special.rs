//! Methods that the interpreter looks up on the type for a statement: `__aenter__`, `__aexit__`.
//!
//! Before 3.14 `async with` binds what it finds (`_PyObject_LookupSpecial`), and what binding a method of a C type
//! gives is a `builtin_function_or_method`, allocated, tracked and freed twice per `async with`: a quarter of taking a
//! free lock. So the class has a descriptor of ours there, which binds to a recycled object. Everything but being
//! called it leaves to the ordinary method: looked up on the class, that is what is found. From 3.14 on the interpreter
//! does not bind, and the ordinary method is the quicker one.

use std::cell::Cell;
use std::mem::offset_of;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

use crate::args::Args;
use crate::boundary::{boundary, entry, raise, shallow_entry};
use crate::builder::{Class, ClassBuilder};
use crate::class::{self, Instance};
use crate::class_def::ClassDef;
use crate::obj::{Obj, ObjCell};
use crate::trampoline::{IntoResult, conjure};

/// Whether an object is an instance of the class.
type Accepts = fn(*mut ffi::PyObject) -> bool;

/// A special method of a class that is being declared.
pub(crate) struct Special {
    name: String,
    call: ffi::vectorcallfunc,
    accepts: Accepts,
}

/// The descriptor in the class's dict.
struct SpecialMethod {
    /// The ordinary method descriptor.
    method: ObjCell,
    call: Cell<Option<ffi::vectorcallfunc>>,
    accepts: Cell<Option<Accepts>>,
}

/// What it gives for an instance.
struct BoundSpecial {
    call: Cell<Option<ffi::vectorcallfunc>>,
    this: ObjCell,
    method: ObjCell,
}

impl<T: Class> ClassBuilder<T> {
    /// As [`ClassBuilder::coroutine0`], for a method that statements look up.
    pub fn special0<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.note_special(name, call0::<T, F, R>);
        self.coroutine0(name, f, doc)
    }

    /// As [`ClassBuilder::coroutine`], for a method that statements look up.
    pub fn special<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.note_special(name, call::<T, F, R>);
        self.coroutine(name, f, doc)
    }

    fn note_special(&mut self, name: &str, call: ffi::vectorcallfunc) {
        if cfg!(not(Py_3_14)) {
            self.specials.push(Special { name: name.to_owned(), call, accepts: class::is_instance::<T> });
        }
    }
}

/// Puts the descriptors in the place of the ordinary methods of a class that is ready.
pub(crate) fn install(
    module: &Bound<'_, PyModule>,
    ty: &Bound<'_, PyAny>,
    specials: Vec<Special>,
) -> PyResult<()> {
    if specials.is_empty() {
        return Ok(());
    }
    if !ClassDef::is_added::<BoundSpecial>() {
        ClassDef::add::<SpecialMethod>(module)?;
        ClassDef::add::<BoundSpecial>(module)?;
    }
    for special in specials {
        let method = ty.getattr("__dict__")?.get_item(&special.name)?;
        let descriptor = SpecialMethod {
            method: ObjCell::new(method.into()),
            call: Cell::new(Some(special.call)),
            accepts: Cell::new(Some(special.accepts)),
        };
        let descriptor: Obj<SpecialMethod> = Obj::create(module.py(), ((), descriptor))?;
        ty.setattr(&special.name, descriptor)?;
    }
    Ok(())
}

/// The ordinary method in the place of which a descriptor of ours stands, borrowed; `None` for any other object.
///
/// # Safety
/// Attached; `descriptor` is a live object, and is kept alive by its class meanwhile.
pub(crate) unsafe fn ordinary_method(descriptor: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    if !ClassDef::is_added::<SpecialMethod>() || !class::is_exact::<SpecialMethod>(descriptor) {
        return None;
    }
    // SAFETY: an instance of the class, as just seen.
    unsafe { class::contents::<SpecialMethod>(descriptor).method.peek().map(Obj::as_ptr) }
}

unsafe extern "C" fn call0<T: Class, F, R>(
    callable: *mut ffi::PyObject,
    _args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    entry(|py| {
        // SAFETY: called by the interpreter with a `BoundSpecial`, whose `this` was checked to be an instance of `T` when
        // it was bound; the count and the names are the interpreter's.
        unsafe {
            let Some(this) = bound_to::<T>(callable) else { return raise(py, unbound()) };
            if ffi::PyVectorcall_NARGS(nargsf) != 0
                || !kwnames.is_null() && ffi::PyTuple_GET_SIZE(kwnames) != 0
            {
                let message = format!("{}: no arguments are taken", T::NAME);
                return raise(py, PyTypeError::new_err(message));
            }
            conjure::<F>()(&this, py).into_result(py)
        }
    })
}

unsafe extern "C" fn call<T: Class, F, R>(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
    R: IntoResult,
{
    entry(|py| {
        // SAFETY: as in `call0`; the arguments outlive the call.
        unsafe {
            let Some(this) = bound_to::<T>(callable) else { return raise(py, unbound()) };
            let args = Args::from_fastcall(py, args, ffi::PyVectorcall_NARGS(nargsf) as usize, kwnames);
            conjure::<F>()(&this, py, args).into_result(py)
        }
    })
}

/// The object that a bound method is bound to.
///
/// # Safety
/// `callable` is a `BoundSpecial` that was bound to an instance of `T`.
#[inline]
unsafe fn bound_to<T: Class>(callable: *mut ffi::PyObject) -> Option<Obj<T>> {
    // SAFETY: by contract. A reference of its own: the call may let go of the bound method.
    unsafe {
        let this = class::contents::<BoundSpecial>(callable).this.peek()?;
        Some(Obj::from_borrowed(this.as_ptr()))
    }
}

#[cold]
fn unbound() -> PyErr {
    PyTypeError::new_err("the method was bound to an object that is gone")
}

/// `tp_descr_get`.
unsafe extern "C" fn descr_get(
    descriptor: *mut ffi::PyObject,
    obj: *mut ffi::PyObject,
    ty: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    shallow_entry(|py| {
        // SAFETY: called by the interpreter with a `SpecialMethod`, and an object or null, or a class or null.
        unsafe {
            let special = class::contents::<SpecialMethod>(descriptor);
            let Some(method) = special.method.get() else {
                return raise(py, PyTypeError::new_err("a method without a class"));
            };
            let binds = !obj.is_null() && special.accepts.get().is_some_and(|accepts| accepts(obj));
            if !binds {
                // On the class it is the ordinary method; that one also says what is wrong with another object.
                let Some(get) = (*ffi::Py_TYPE(method.as_ptr())).tp_descr_get else {
                    return method.into_ptr();
                };
                return get(method.as_ptr(), obj, ty);
            }
            let call = special.call.get();
            let bound: PyResult<Obj<BoundSpecial>> = Obj::create_with(py, || {
                (
                    (),
                    BoundSpecial {
                        call: Cell::new(call),
                        this: ObjCell::new(Obj::from_borrowed(obj)),
                        method: ObjCell::new(method),
                    },
                )
            });
            bound.into_result(py)
        }
    })
}

impl BoundSpecial {
    /// The ordinary bound method.
    fn ordinary(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let (Some(obj), Some(method)) = (this.this.get(), this.method.get()) else {
            return Ok(Obj::none(py));
        };
        Ok(method.bind(py).call_method1("__get__", (obj,))?.into())
    }

    fn equal(
        this: &Obj<Self>,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        op: CompareOp,
    ) -> PyResult<Option<bool>> {
        let ordinary = Self::ordinary(this, py)?;
        let compared = match Obj::<BoundSpecial>::from_bound(other) {
            Some(other) => ordinary.bind(py).rich_compare(Self::ordinary(other, py)?, op)?,
            None => ordinary.bind(py).rich_compare(other, op)?,
        };
        compared.is_truthy().map(Some)
    }

    fn hash(this: &Obj<Self>, py: Python<'_>) -> PyResult<isize> {
        Self::ordinary(this, py)?.bind(py).hash()
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        Ok(Self::ordinary(this, py)?.bind(py).repr()?.to_string())
    }
}

/// `tp_getattro`: names, docs, `__self__` … are the ordinary method's.
unsafe extern "C" fn getattro(obj: *mut ffi::PyObject, name: *mut ffi::PyObject) -> *mut ffi::PyObject {
    boundary(|py| {
        // SAFETY: called by the interpreter with a `BoundSpecial` and a name.
        unsafe {
            let this = Obj::<BoundSpecial>::from_borrowed(obj);
            let name = Bound::ref_from_ptr(py, &name);
            if name.eq("__class__")? {
                // `inspect` looks into what is a bound method of Python's.
                return Ok(py.import("types")?.getattr("MethodType")?.into_ptr());
            }
            let ordinary = BoundSpecial::ordinary(&this, py)?;
            // Before 3.13 `inspect` reads the signatures of the interpreter's own types of methods only.
            if name.eq("__signature__")? {
                return Ok(py.import("inspect")?.call_method1("signature", (ordinary,))?.into_ptr());
            }
            Ok(ordinary.bind(py).getattr(name.cast::<pyo3::types::PyString>()?)?.into_ptr())
        }
    })
}

impl Class for SpecialMethod {
    type Base = crate::obj::Any;
    crate::fields!(SpecialMethod { method, call, accepts });
    const NAME: &'static str = "ferrio._ferrio._special_method";
    const DOC: &'static str = "";
    const NEW: bool = false;
    const SUBCLASS: bool = false;

    fn blank() -> Self {
        SpecialMethod { method: ObjCell::empty(), call: Cell::new(None), accepts: Cell::new(None) }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_descr_get, pfunc: descr_get as *mut _ });
    }
}

impl Class for BoundSpecial {
    type Base = crate::obj::Any;
    crate::fields!(BoundSpecial { call, this, method }, freelist);
    const NAME: &'static str = "ferrio._ferrio._bound_special_method";
    const DOC: &'static str = "";
    const NEW: bool = false;
    const SUBCLASS: bool = false;

    fn blank() -> Self {
        BoundSpecial { call: Cell::new(None), this: ObjCell::empty(), method: ObjCell::empty() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.compare(Self::equal, Self::hash).repr(Self::repr);
        class.slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_call, pfunc: ffi::PyVectorcall_Call as *mut _ });
        class.slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_getattro, pfunc: getattro as *mut _ });
        class.vectorcall_offset = Some(Instance::<Self>::contents_offset() + offset_of!(BoundSpecial, call));
    }
}
