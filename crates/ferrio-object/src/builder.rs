//! Declaring a class: the [`Class`] trait says what it is, the [`ClassBuilder`] gathers what Python sees of it.

use std::ffi::CString;
use std::marker::PhantomData;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyModule, PyTuple, PyType};

use crate::args::Args;
use crate::call::Sent;
use crate::class::{self, DictSlot, Layout, TypeCell, Visit, WeakList};
use crate::lifecycle::{self, FreeList};
use crate::obj::Obj;
use crate::special::{self, Special};
use crate::trampoline::{self, IntoResult};

/// A Python class whose instances hold a Rust value.
///
/// Methods take `&Obj<Self>`, which dereferences to `&Self`: contents change through cells only, since Python code
/// that runs in between may come back to the same object.
pub trait Class: Sized + 'static {
    /// The base: another class declared here, or [`Any`](crate::Any) for `object`.
    type Base: Layout;
    /// `module.Name` as `repr(type)` shows it.
    const NAME: &'static str;
    /// `__doc__`.
    const DOC: &'static str;
    /// Whether the garbage collector tracks instances. Without it, `traverse` serves [`Visit::through`] alone.
    const GC: bool = true;
    /// Whether Python may subclass it.
    const SUBCLASS: bool = true;
    /// Whether Python may instantiate it.
    const NEW: bool = true;
    /// Whether [`Class::finalize`] is called before an instance dies. Without `GC` only where Python cannot
    /// subclass, and then it may be called again when the object was brought back.
    const FINALIZE: bool = false;
    /// Where the [`WeakList`](crate::WeakList) field lies: `Some(offset_of!(Self, field))`. The interpreter reads and
    /// writes there, so it has to be that field.
    const WEAKLIST: Option<usize> = None;
    /// Where the [`DictSlot`](crate::DictSlot) field lies.
    const DICT: Option<usize> = None;

    /// The `static` that holds the type object.
    fn type_cell() -> &'static TypeCell;

    /// The `static` that holds the memory of dead instances, if it is worth it.
    fn freelist() -> Option<&'static FreeList> {
        None
    }

    /// Contents of an instance on which `__init__` has not run.
    fn blank() -> Self;

    /// Shows every reference that the contents hold to the garbage collector. Runs no Python code, takes no
    /// reference, and skips what is borrowed mutably at the moment.
    fn traverse(&self, visit: &mut Visit<'_>);

    /// Lets go of every reference that can be part of a cycle. The object may be used afterwards.
    fn clear(&self);

    /// Asked before an exact instance dies: whether [`Class::finalize`] has something to do. `base` is the contents of
    /// the base class; the object itself may not be touched any more.
    fn wants_finalizer(&self, _base: &<Self::Base as Layout>::Own) -> bool {
        true
    }

    /// `__del__`. May resurrect the object. Errors go to `sys.unraisablehook`.
    fn finalize(_this: &Obj<Self>, _py: Python<'_>) {}

    /// Fills in methods, attributes and slots.
    fn define(class: &mut ClassBuilder<Self>);
}

/// What Python sees of a class. Everything given here lives as long as the process, as types do.
pub struct ClassBuilder<T: Class> {
    pub(crate) slots: Vec<ffi::PyType_Slot>,
    methods: Vec<ffi::PyMethodDef>,
    getset: Vec<ffi::PyGetSetDef>,
    vectorcall: Option<ffi::vectorcallfunc>,
    pub(crate) specials: Vec<Special>,
    /// Where an instance has the function that calls it.
    pub(crate) vectorcall_offset: Option<usize>,
    class: PhantomData<T>,
}

fn leak(text: &str) -> *const c_char {
    // Interior NULs would be a typo in a literal of ours.
    CString::new(text).expect("no NUL in names and docs").into_raw()
}

macro_rules! slot {
    ($builder:expr, $id:ident, $function:expr) => {
        $builder.slots.push(ffi::PyType_Slot { slot: ffi::$id, pfunc: $function as *mut c_void })
    };
}

impl<T: Class> ClassBuilder<T> {
    fn push_method(&mut self, name: &str, meth: ffi::PyMethodDefPointer, flags: c_int, doc: &str) {
        self.methods.push(ffi::PyMethodDef {
            ml_name: leak(name),
            ml_meth: meth,
            ml_flags: flags,
            ml_doc: leak(doc),
        });
    }

    /// A method without arguments.
    pub fn method0<F, R>(&mut self, name: &str, _f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        let meth = ffi::PyMethodDefPointer { PyCFunction: trampoline::noargs::<T, F, R> };
        self.push_method(name, meth, ffi::METH_NOARGS, doc);
        self
    }

    /// A method with exactly one positional argument.
    pub fn method1<F, R>(&mut self, name: &str, _f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>) -> R + Copy + 'static,
        R: IntoResult,
    {
        let meth = ffi::PyMethodDefPointer { PyCFunction: trampoline::onearg::<T, F, R> };
        self.push_method(name, meth, ffi::METH_O, doc);
        self
    }

    /// A method with any arguments.
    pub fn method<F, R>(&mut self, name: &str, _f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        let meth = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::fastcall::<T, F, R> };
        self.push_method(name, meth, ffi::METH_FASTCALL | ffi::METH_KEYWORDS, doc);
        self
    }

    /// A static method.
    pub fn staticmethod<F, R>(&mut self, name: &str, _f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        let meth = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::plain::<F, R> };
        self.push_method(name, meth, ffi::METH_FASTCALL | ffi::METH_KEYWORDS | ffi::METH_STATIC, doc);
        self
    }

    /// `Class[item]`, for annotations.
    pub fn generic(&mut self) -> &mut Self {
        let meth = ffi::PyMethodDefPointer { PyCFunction: trampoline::class_getitem };
        self.push_method("__class_getitem__", meth, ffi::METH_O | ffi::METH_CLASS, "See PEP 585");
        self
    }

    /// A read-only attribute.
    pub fn getter<F, R>(&mut self, name: &str, _f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.getset.push(ffi::PyGetSetDef {
            name: leak(name),
            get: Some(trampoline::getter::<T, F, R>),
            set: None,
            doc: leak(doc),
            closure: ptr::null_mut(),
        });
        self
    }

    /// An attribute that can be set; the setter gets `None` when it is deleted.
    pub fn getset<F, R, S>(&mut self, name: &str, _get: F, _set: S, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
        S: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Option<&'a Bound<'py, PyAny>>) -> PyResult<()>
            + Copy
            + 'static,
    {
        self.getset.push(ffi::PyGetSetDef {
            name: leak(name),
            get: Some(trampoline::getter::<T, F, R>),
            set: Some(trampoline::setter::<T, S>),
            doc: leak(doc),
            closure: ptr::null_mut(),
        });
        self
    }

    /// `__init__`. Exact instances are made by one vectorcall without a tuple and a dict.
    pub fn init<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> PyResult<()> + Copy + 'static,
    {
        slot!(self, Py_tp_init, trampoline::init::<T, F>);
        self.vectorcall = Some(trampoline::construct::<T, F>);
        self
    }

    /// `__repr__`.
    pub fn repr<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_tp_repr, trampoline::unary::<T, F, R>);
        self
    }

    /// `__str__`, where it differs from `__repr__`.
    pub fn str<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_tp_str, trampoline::unary::<T, F, R>);
        self
    }

    /// `__call__`.
    pub fn call<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_tp_call, trampoline::call::<T, F, R>);
        self
    }

    /// `__len__` (`__bool__` follows from it).
    pub fn len<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> PyResult<usize> + Copy + 'static,
    {
        slot!(self, Py_sq_length, trampoline::length::<T, F>);
        self
    }

    /// `obj[i]`; a negative index has had the length added. `None` is an `IndexError`, and what ends iteration.
    pub fn item<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, isize) -> PyResult<Option<Obj>> + Copy + 'static,
    {
        slot!(self, Py_sq_item, trampoline::item::<T, F>);
        self
    }

    /// `__iter__` that gives the object itself.
    pub fn iter_itself(&mut self) -> &mut Self {
        slot!(self, Py_tp_iter, trampoline::itself);
        self
    }

    /// `__iter__`.
    #[expect(clippy::iter_not_returning_iterator)] // it declares one
    pub fn iter<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_tp_iter, trampoline::unary::<T, F, R>);
        self
    }

    /// `__next__` of a plain iterator; `None` ends it.
    pub fn next<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> PyResult<Option<Obj>> + Copy + 'static,
    {
        slot!(self, Py_tp_iternext, trampoline::iternext::<T, F>);
        self
    }

    /// `__await__`.
    pub fn awaitable<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_am_await, trampoline::unary::<T, F, R>);
        self
    }

    /// `__await__` that gives the object itself.
    pub fn await_itself(&mut self) -> &mut Self {
        slot!(self, Py_am_await, trampoline::itself);
        self
    }

    /// `__aiter__` that gives the object itself.
    pub fn aiter_itself(&mut self) -> &mut Self {
        slot!(self, Py_am_aiter, trampoline::itself);
        self
    }

    /// `__anext__`.
    pub fn anext<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_am_anext, trampoline::unary::<T, F, R>);
        self
    }

    /// One function behind `send()`, `__next__` and `am_send`: C drivers and newer eval loops use the last, `await`
    /// on 3.11–3.13 the second. It gets `None` from `__next__` and what was sent otherwise.
    pub fn send<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Option<&'a Bound<'py, PyAny>>) -> PyResult<Sent>
            + Copy
            + 'static,
    {
        slot!(self, Py_am_send, trampoline::am_send::<T, F>);
        slot!(self, Py_tp_iternext, trampoline::iternext_send::<T, F>);
        let meth = ffi::PyMethodDefPointer { PyCFunction: trampoline::send_method::<T, F> };
        self.push_method(
            "send",
            meth,
            ffi::METH_O,
            "send($self, value, /)\n--\n\nResume with a value; yield or raise StopIteration.",
        );
        self
    }

    /// `throw(type[, value[, traceback]])`.
    pub fn throw<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> PyResult<Sent> + Copy + 'static,
    {
        let meth = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::throw_method::<T, F> };
        self.push_method(
            "throw",
            meth,
            ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            "throw(typ[,val[,tb]])\n--\n\nRaise an exception where it is suspended.",
        );
        self
    }

    /// Comparisons and `__hash__`; `None` is `NotImplemented`.
    pub fn compare<F, H>(&mut self, _compare: F, _hash: H) -> &mut Self
    where
        F: for<'a, 'py> Fn(
                &'a Obj<T>,
                Python<'py>,
                &'a Bound<'py, PyAny>,
                CompareOp,
            ) -> PyResult<Option<bool>>
            + Copy
            + 'static,
        H: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> PyResult<isize> + Copy + 'static,
    {
        slot!(self, Py_tp_richcompare, trampoline::richcompare::<T, F>);
        slot!(self, Py_tp_hash, trampoline::hash::<T, H>);
        self
    }

    /// Is told of every attribute that is set on an instance (`None`: deleted) and answers whether it dealt with it.
    pub fn setattr<F>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(
                &'a Obj<T>,
                Python<'py>,
                &'a Bound<'py, PyAny>,
                Option<&'a Bound<'py, PyAny>>,
            ) -> PyResult<bool>
            + Copy
            + 'static,
    {
        slot!(self, Py_tp_setattro, trampoline::setattr::<T, F>);
        self
    }
}

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
        !T::type_cell().get().is_null()
    }

    fn add_with_bases<T: Class>(
        module: &Bound<'_, PyModule>,
        python_base: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let mut class = ClassBuilder::<T> {
            slots: Vec::new(),
            methods: Vec::new(),
            getset: Vec::new(),
            vectorcall: None,
            specials: Vec::new(),
            vectorcall_offset: None,
            class: PhantomData,
        };
        T::define(&mut class);
        let specials = std::mem::take(&mut class.specials);
        let ty = finish(module, class, python_base)?;
        class::register::<T>(module.py(), ty.as_ptr().cast());
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
        // What the interpreter's allocators promise.
        assert!(align_of::<T>() <= 2 * size_of::<usize>());
    };
    check_field::<T>(T::WEAKLIST, size_of::<WeakList>());
    check_field::<T>(T::DICT, size_of::<DictSlot>());
    assert!(T::WEAKLIST.is_none() || T::Base::weaklist_offset().is_none(), "{}: two weak lists", T::NAME);
    assert!(T::DICT.is_none() || T::Base::dict_offset().is_none(), "{}: two dicts", T::NAME);

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
    if T::WEAKLIST.is_some() {
        offset_member("__weaklistoffset__", T::weaklist_offset().unwrap_or_default());
    }
    if T::DICT.is_some() {
        offset_member("__dictoffset__", T::dict_offset().unwrap_or_default());
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
