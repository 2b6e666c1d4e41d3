//! Declaring a class: the [`Class`] trait says what it is, the [`ClassBuilder`] gathers what Python sees of it.
//!
//! Only tables are written here. What makes a type object of them, and looks over the declaration, is `class_def.rs`.

use std::ffi::CString;
use std::marker::PhantomData;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;

use crate::args::{Args, Signature};
use crate::call::Sent;
use crate::class::Layout;
use crate::fields::{self, Fields};
use crate::obj::Obj;
use crate::special::Special;
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
    /// The fields, declared by [`fields!`](crate::fields!).
    const FIELDS: Fields<Self>;
    /// Whether the garbage collector tracks instances. Without it they are seen through by their only holder, if that
    /// one is tracked.
    const GC: bool = true;
    /// Whether [`Obj::create`] has a new instance tracked. If not, it is as one without `GC` until [`Obj::track`] is
    /// called: for instances that mostly die before the collector could be of use. What Python makes is tracked always.
    const BORN_TRACKED: bool = true;
    /// Whether Python may subclass it.
    const SUBCLASS: bool = true;
    /// Whether Python may instantiate it.
    const NEW: bool = true;
    /// Whether [`Class::finalize`] is called before an instance dies. Without `GC` only where Python cannot
    /// subclass, and then it may be called again when the object was brought back.
    const FINALIZE: bool = false;

    /// Contents of an instance on which `__init__` has not run.
    fn blank() -> Self;

    /// Lets go of every reference that can be part of a cycle. The object may be used afterwards. Where it is not said
    /// otherwise, each field is cleared in the order in which [`fields!`](crate::fields!) names them.
    fn clear(&self) {
        fields::clear(self);
    }

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
    pub(crate) methods: Vec<ffi::PyMethodDef>,
    pub(crate) getset: Vec<ffi::PyGetSetDef>,
    pub(crate) vectorcall: Option<ffi::vectorcallfunc>,
    pub(crate) specials: Vec<Special>,
    /// The methods that return coroutines.
    pub(crate) coroutines: Vec<String>,
    /// The methods that are functions written in Python to programs, and return no coroutines.
    pub(crate) functions: Vec<String>,
    /// Where an instance has the function that calls it.
    pub(crate) vectorcall_offset: Option<usize>,
    /// Whether an instance that is found on a class is called with the object in front, in place of being bound to it.
    pub(crate) method_descriptor: bool,
    class: PhantomData<T>,
}

pub(crate) fn leak(text: &str) -> *const c_char {
    // Interior NULs would be a typo in a literal of ours.
    CString::new(text).expect("no NUL in names and docs").into_raw()
}

macro_rules! slot {
    ($builder:expr, $id:ident, $function:expr) => {
        $builder.slots.push(ffi::PyType_Slot { slot: ffi::$id, pfunc: $function as *mut c_void })
    };
}
pub(crate) use slot;

impl<T: Class> ClassBuilder<T> {
    /// A class of which nothing has been said yet.
    pub(crate) fn new() -> Self {
        ClassBuilder {
            slots: Vec::new(),
            methods: Vec::new(),
            getset: Vec::new(),
            vectorcall: None,
            specials: Vec::new(),
            coroutines: Vec::new(),
            functions: Vec::new(),
            vectorcall_offset: None,
            method_descriptor: false,
            class: PhantomData,
        }
    }

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

    /// A method with exactly one argument that may also be given by its name, as functions written in Python take it.
    /// `_signature` is that of the method.
    pub fn method1_named<F, S, R>(&mut self, name: &str, _f: F, _signature: S, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>) -> R + Copy + 'static,
        S: Fn() -> Signature<1> + Copy + 'static,
        R: IntoResult,
    {
        let meth = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: trampoline::named::<T, F, S, R> };
        self.push_method(name, meth, ffi::METH_FASTCALL | ffi::METH_KEYWORDS, doc);
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

    /// `__await__` that gives the object itself while `_is_free` says so, and otherwise raises. `_is_free` does not panic.
    pub fn await_itself_if<P, E>(&mut self, _is_free: P, _error: E) -> &mut Self
    where
        P: for<'a> Fn(&'a T) -> bool + Copy + 'static,
        E: Fn() -> PyErr + Copy + 'static,
    {
        slot!(self, Py_am_await, trampoline::itself_if::<T, P, E>);
        self
    }

    /// `__aiter__` that gives the object itself.
    pub fn aiter_itself(&mut self) -> &mut Self {
        slot!(self, Py_am_aiter, trampoline::itself);
        self
    }

    /// `__anext__`, which returns a coroutine.
    pub fn anext<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_am_anext, trampoline::unary::<T, F, R>);
        self.coroutines.push("__anext__".to_owned());
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

    /// `__get__`: what the attribute is whose place on a class an instance has taken, for the class and for its instances.
    pub fn descriptor<F, R>(&mut self, _f: F) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        slot!(self, Py_tp_descr_get, trampoline::descr_get::<T, F, R>);
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
