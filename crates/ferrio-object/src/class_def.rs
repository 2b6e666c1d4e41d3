//! Adding a class to a module: the type object is made of what its [`ClassBuilder`] gathered.
//!
//! What is declared is checked here before the interpreter relies on it: offsets, bases, garbage collection.

use std::os::raw::{c_int, c_void};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyTuple, PyType};

use crate::args::Args;
use crate::builder::{Class, ClassBuilder, leak, slot};
use crate::class::{self, DictSlot, Layout, WeakList};
use crate::coroutine_function;
use crate::fields;
use crate::lifecycle;
use crate::obj::Obj;
use crate::special;
use crate::trampoline::{self, IntoResult};

/// Makes classes and puts them into a module.
pub struct ClassDef;

impl ClassDef {
    /// Creates the type of `T` and adds it to `module` under its bare name. Bases come before derived classes.
    ///
    /// # Errors
    /// `MemoryError`, or what CPython finds wrong with the declaration.
    pub fn add<T: Class>(module: &Bound<'_, PyModule>) -> PyResult<()> {
        Self::add_with_bases::<T>(module, None)
    }

    /// As [`ClassDef::add`] for a class that also derives from `base`, a class written in Python which adds nothing to
    /// the layout of an object (`__slots__ = ()` all the way up).
    ///
    /// # Errors
    /// `TypeError` if `base` is no such class.
    pub fn add_derived<T: Class>(module: &Bound<'_, PyModule>, base: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::add_with_bases::<T>(module, Some(base))
    }

    /// Whether the class has been added.
    #[inline]
    pub fn is_added<T: Class>() -> bool {
        !fields::type_cell::<T>().get().is_null()
    }

    fn add_with_bases<T: Class>(
        module: &Bound<'_, PyModule>,
        python_base: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let mut class = ClassBuilder::<T>::new();
        T::define(&mut class);
        let specials = std::mem::take(&mut class.specials);
        let coroutines = std::mem::take(&mut class.coroutines);
        let functions = std::mem::take(&mut class.functions);
        let ty = finish(module, class, python_base)?;
        class::register::<T>(module.py(), ty.as_ptr().cast());
        coroutine_function::install(module, &ty, coroutines, functions)?;
        special::install(module, &ty, specials)?;
        let name = T::NAME.rsplit('.').next().unwrap_or(T::NAME);
        module.add(name, ty.clone())?;
        // The cell's own reference: a type lives as long as the process.
        std::mem::forget(ty);
        Ok(())
    }

    /// The type object of a class that was added.
    pub fn type_object<T: Class>(_py: Python<'_>) -> Obj {
        // SAFETY: a valid type object that is never freed.
        unsafe { Obj::from_borrowed(class::type_ptr::<T>().cast()) }
    }

    /// Adds a function to `module`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn function<F, R>(module: &Bound<'_, PyModule>, name: &str, _f: F, doc: &str) -> PyResult<()>
    where
        F: for<'a, 'py> Fn(Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        let def = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: leak(name),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::plain::<F, R> },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: leak(doc),
        }));
        let module_name = module.name()?;
        // SAFETY: the definition is never freed; `module` and its name are valid objects.
        let function = unsafe {
            Bound::from_owned_ptr_or_err(
                module.py(),
                ffi::PyCFunction_NewEx(def, ptr::null_mut(), module_name.as_ptr()),
            )?
        };
        module.add(name, function)
    }
}

/// That a field given by its offset is one: the interpreter writes there.
fn check_field<T: Class>(at: Option<usize>, size: usize) {
    if let Some(at) = at {
        assert!(
            at + size <= size_of::<T>() && at.is_multiple_of(align_of::<*mut c_void>()),
            "{}: an offset that is no field's",
            T::NAME
        );
    }
}

fn finish<'py, T: Class>(
    module: &Bound<'py, PyModule>,
    mut class: ClassBuilder<T>,
    python_base: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    const {
        assert!(
            T::GC || !T::FINALIZE || !T::SUBCLASS,
            "only the collector remembers that a finalizer has run; without it `wants_finalizer` must, on exact instances"
        );
        assert!(
            T::BORN_TRACKED || (T::GC && !T::FINALIZE),
            "to be tracked later is for a class with garbage collection, and a finalizer expects a tracked object"
        );
        // What the interpreter's allocators promise.
        assert!(align_of::<T>() <= 2 * size_of::<usize>());
    };
    check_field::<T>(fields::weaklist::<T>(), size_of::<WeakList>());
    check_field::<T>(fields::dict::<T>(), size_of::<DictSlot>());
    assert!(
        fields::weaklist::<T>().is_none() || T::Base::weaklist_offset().is_none(),
        "{}: two weak lists",
        T::NAME
    );
    assert!(fields::dict::<T>().is_none() || T::Base::dict_offset().is_none(), "{}: two dicts", T::NAME);

    let py = module.py();
    let mut flags = ffi::Py_TPFLAGS_DEFAULT;
    if T::SUBCLASS {
        flags |= ffi::Py_TPFLAGS_BASETYPE;
    }
    slot!(class, Py_tp_dealloc, lifecycle::dealloc::<T>);
    if T::GC {
        flags |= ffi::Py_TPFLAGS_HAVE_GC;
    }
    // Without garbage collection too: Python subclasses may have it, and walk the contents through these.
    slot!(class, Py_tp_traverse, lifecycle::traverse::<T>);
    slot!(class, Py_tp_clear, lifecycle::clear::<T>);
    if T::FINALIZE {
        slot!(class, Py_tp_finalize, lifecycle::finalize::<T>);
    }
    if T::NEW {
        slot!(class, Py_tp_new, lifecycle::new::<T>);
    } else {
        flags |= ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
        class.vectorcall = None;
    }
    if !T::DOC.is_empty() {
        class.slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_doc, pfunc: leak(T::DOC) as *mut c_void });
    }
    let mut members = Vec::new();
    let mut offset_member = |name: &str, offset: usize| {
        members.push(ffi::PyMemberDef {
            name: leak(name),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset as ffi::Py_ssize_t,
            flags: ffi::Py_READONLY,
            doc: ptr::null(),
        });
    };
    // Only where the class declares them itself; a derived class inherits the base's.
    if fields::weaklist::<T>().is_some() {
        offset_member("__weaklistoffset__", T::weaklist_offset().unwrap_or_default());
    }
    if fields::dict::<T>().is_some() {
        offset_member("__dictoffset__", T::dict_offset().unwrap_or_default());
        // Behind what the class defines itself: of two with one name the interpreter takes the first.
        class.getset.push(ffi::PyGetSetDef {
            name: leak("__dict__"),
            get: Some(ffi::PyObject_GenericGetDict),
            set: Some(ffi::PyObject_GenericSetDict),
            doc: ptr::null(),
            closure: ptr::null_mut(),
        });
    }
    if let Some(at) = class.vectorcall_offset {
        offset_member("__vectorcalloffset__", at);
        flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL;
    }
    if class.method_descriptor {
        // The interpreter keeps what it found on a class only if the type of that cannot change (`analyze_descriptor` in
        // CPython's `specialize.c`): else it looks the method up in each call.
        flags |= ffi::Py_TPFLAGS_METHOD_DESCRIPTOR | ffi::Py_TPFLAGS_IMMUTABLETYPE;
    }
    if !members.is_empty() {
        members.push(ffi::PyMemberDef::default());
        class
            .slots
            .push(ffi::PyType_Slot { slot: ffi::Py_tp_members, pfunc: members.leak().as_mut_ptr().cast() });
    }
    class.methods.push(ffi::PyMethodDef::zeroed());
    class
        .slots
        .push(ffi::PyType_Slot { slot: ffi::Py_tp_methods, pfunc: class.methods.leak().as_mut_ptr().cast() });
    class.getset.push(ffi::PyGetSetDef::default());
    class
        .slots
        .push(ffi::PyType_Slot { slot: ffi::Py_tp_getset, pfunc: class.getset.leak().as_mut_ptr().cast() });
    class.slots.push(ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() });
    let mut spec = ffi::PyType_Spec {
        name: leak(T::NAME),
        basicsize: size_of::<<T as Layout>::Instance>() as c_int,
        itemsize: 0,
        flags: flags as u32,
        slots: class.slots.as_mut_ptr(),
    };
    // SAFETY: the tables are leaked and zero-terminated, the spec is read during the call only, the base is a ready
    // type whose instance is the beginning of this one (a Python base, as checked, has a bare object's layout).
    unsafe {
        let base = Bound::<PyAny>::from_borrowed_ptr(py, T::Base::base_type().cast());
        let bases = match python_base {
            None => PyTuple::new(py, [base])?,
            Some(python_base) => {
                check_adds_nothing(python_base)?;
                if base.as_ptr() == (&raw mut ffi::PyBaseObject_Type).cast() {
                    PyTuple::new(py, [python_base])?
                } else {
                    PyTuple::new(py, [&base, python_base])?
                }
            }
        };
        let ty = ffi::PyType_FromModuleAndSpec(module.as_ptr(), &raw mut spec, bases.as_ptr());
        let ty = Bound::from_owned_ptr_or_err(py, ty)?;
        // A class without garbage collection would inherit it from its base.
        assert!(
            (ffi::PyType_IS_GC(ty.as_ptr().cast()) != 0) == T::GC,
            "{}: garbage collection other than declared",
            T::NAME
        );
        (*ty.as_ptr().cast::<ffi::PyTypeObject>()).tp_vectorcall = class.vectorcall;
        if let Some((_, bare)) = T::NAME.strip_prefix("asyncio.").and_then(|name| name.rsplit_once('.')) {
            // What stands for a class of Python's is called by its bare name in the interpreter's messages ("object
            // Lock can't be used in 'await' expression"). The name that CPython made is kept and freed elsewhere.
            (*ty.as_ptr().cast::<ffi::PyTypeObject>()).tp_name = leak(bare);
        }
        Ok(ty)
    }
}

/// Whether instances of a Python class are laid out as bare objects.
fn check_adds_nothing(base: &Bound<'_, PyAny>) -> PyResult<()> {
    let Ok(class) = base.cast::<PyType>() else {
        return Err(PyTypeError::new_err("a base must be a class"));
    };
    // SAFETY: a ready type object.
    let (size, item) = unsafe {
        let ty = class.as_type_ptr();
        ((*ty).tp_basicsize, (*ty).tp_itemsize)
    };
    let has_dict = class.getattr("__dictoffset__")?.extract::<isize>()? != 0;
    let has_weaklist = class.getattr("__weakrefoffset__")?.extract::<isize>()? != 0;
    if size != size_of::<ffi::PyObject>() as ffi::Py_ssize_t || item != 0 || has_dict || has_weaklist {
        return Err(PyTypeError::new_err("a base must not add anything to the layout of an object"));
    }
    Ok(())
}
