//! Functions and methods that return coroutines, as `inspect`, `asyncio` and `unittest.mock` know them.
//!
//! What is asked of a coroutine function is whether it is a `types.FunctionType` with a `__code__` of which the flags
//! say so, and a function is also what binds to an instance as a `types.MethodType`. The interpreter's own types of C
//! functions answer neither. So an object of ours stands in the place of the C function: it calls the same entry of
//! the class's or module's table, and names, docs and signature are those of the C function. The code object is made
//! when it is first asked for.
//!
//! A call goes past the C function, to the entry of its table, and without a bound method (`Py_TPFLAGS_METHOD_DESCRIPTOR`).
//! Any call that the entry does not take is left to the C function, which also says what is wrong with it.

use std::cell::Cell;
use std::mem::offset_of;
use std::os::raw::c_int;
use std::ptr;

use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::args::{Args, Signature};
use crate::boundary::boundary;
use crate::builder::{Class, ClassBuilder};
use crate::class::{self, DictSlot, Instance, WeakList};
use crate::class_def::ClassDef;
use crate::obj::{Any, Obj, ObjCell};
use crate::trampoline::IntoResult;

/// A function or method of ours that returns coroutines, or one that asyncio has in Python.
struct CoroutineFunction {
    call: Cell<Option<ffi::vectorcallfunc>>,
    /// The entry of the class's or module's table, and the class of a method.
    entry: Cell<Option<ffi::PyMethodDefPointer>>,
    class: Cell<*mut ffi::PyTypeObject>,
    /// Whether it returns coroutines.
    is_coroutine: Cell<bool>,
    /// The C function or the method descriptor.
    plain: ObjCell,
    code: ObjCell,
    dict: DictSlot,
    weaklist: WeakList,
}

impl<T: Class> ClassBuilder<T> {
    /// As [`ClassBuilder::method0`], for a method that returns a coroutine.
    pub fn coroutine0<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.coroutines.push(name.to_owned());
        self.method0(name, f, doc)
    }

    /// As [`ClassBuilder::method0`], for a method that programs replace by a mock with `autospec`: mock gives the object
    /// to what it takes for a function written in Python, and to nothing else. It is a little slower to call.
    pub fn function0<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.functions.push(name.to_owned());
        self.method0(name, f, doc)
    }

    /// As [`ClassBuilder::method`], with the purpose of [`ClassBuilder::function0`].
    pub fn function<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.functions.push(name.to_owned());
        self.method(name, f, doc)
    }

    /// As [`ClassBuilder::method`], for a method that returns a coroutine.
    pub fn coroutine<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.coroutines.push(name.to_owned());
        self.method(name, f, doc)
    }

    /// As [`ClassBuilder::method1`], for a method that returns a coroutine.
    pub fn coroutine1<F, R>(&mut self, name: &str, f: F, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>) -> R + Copy + 'static,
        R: IntoResult,
    {
        self.coroutines.push(name.to_owned());
        self.method1(name, f, doc)
    }

    /// As [`ClassBuilder::method1_named`], for a method that returns a coroutine.
    pub fn coroutine1_named<F, S, R>(&mut self, name: &str, f: F, signature: S, doc: &str) -> &mut Self
    where
        F: for<'a, 'py> Fn(&'a Obj<T>, Python<'py>, &'a Bound<'py, PyAny>) -> R + Copy + 'static,
        S: Fn() -> Signature<1> + Copy + 'static,
        R: IntoResult,
    {
        self.coroutines.push(name.to_owned());
        self.method1_named(name, f, signature, doc)
    }
}

impl ClassDef {
    /// As [`ClassDef::function`], for a function that returns a coroutine.
    ///
    /// # Errors
    /// `MemoryError`.
    pub fn coroutine_function<F, R>(module: &Bound<'_, PyModule>, name: &str, f: F, doc: &str) -> PyResult<()>
    where
        F: for<'a, 'py> Fn(Python<'py>, Args<'a, 'py>) -> R + Copy + 'static,
        R: IntoResult,
    {
        Self::function(module, name, f, doc)?;
        let plain = module.getattr(name)?;
        let target = Target::of_function(&plain)?;
        let function = stand_for(module, plain, &target, true)?;
        module.add(name, function)
    }
}

/// Puts functions in the place of the ordinary methods of a class that is ready: of those that return `coroutines`, and
/// of other `functions`.
pub(crate) fn install(
    module: &Bound<'_, PyModule>,
    ty: &Bound<'_, PyAny>,
    coroutines: Vec<String>,
    functions: Vec<String>,
) -> PyResult<()> {
    let coroutines = coroutines.into_iter().map(|name| (name, true));
    for (name, is_coroutine) in coroutines.chain(functions.into_iter().map(|name| (name, false))) {
        let method = ty.getattr("__dict__")?.get_item(&name)?;
        let target = Target::of_method(&method)?;
        let name = PyString::intern(module.py(), &name);
        let function = stand_for(module, method, &target, is_coroutine)?;
        // Past the type's `setattr`, which would have a slot (`am_anext`) look the method up by name from now on.
        // SAFETY: attached; a heap type that is ready and that nobody has seen, which has its dict at hand on every
        // version; the type is told of the change.
        unsafe {
            let ty = ty.as_ptr().cast::<ffi::PyTypeObject>();
            if ffi::PyDict_SetItem((*ty).tp_dict, name.as_ptr(), function.as_ptr()) < 0 {
                return Err(PyErr::fetch(module.py()));
            }
            ffi::PyType_Modified(ty);
        }
    }
    Ok(())
}

/// The flags of a method with any arguments.
const ANY: c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// Where a call goes.
struct Target {
    call: ffi::vectorcallfunc,
    entry: Option<ffi::PyMethodDefPointer>,
    class: *mut ffi::PyTypeObject,
}

impl Target {
    fn of_method(method: &Bound<'_, PyAny>) -> PyResult<Target> {
        // SAFETY: a live object; the layout is known once it is exactly of that type.
        unsafe {
            let ty = ffi::Py_TYPE(method.as_ptr());
            if ty == &raw mut ffi::PyWrapperDescr_Type {
                // The method of a slot, which the interpreter calls itself.
                return Ok(Target { call: call_plain, entry: None, class: ptr::null_mut() });
            }
            if ty != &raw mut ffi::PyMethodDescr_Type {
                return Err(no_target());
            }
            let descriptor = method.as_ptr().cast::<ffi::PyMethodDescrObject>();
            let def = (*descriptor).d_method;
            let call: ffi::vectorcallfunc = match (*def).ml_flags {
                ffi::METH_NOARGS => call_method0,
                ffi::METH_O => call_method1,
                ANY => call_method,
                // Of a class or static.
                _ => return Err(no_target()),
            };
            Ok(Target { call, entry: Some((*def).ml_meth), class: (*descriptor).d_common.d_type })
        }
    }

    /// `function` was made by [`ClassDef::function`].
    fn of_function(function: &Bound<'_, PyAny>) -> PyResult<Target> {
        // SAFETY: as in `of_method`.
        unsafe {
            if ffi::PyCFunction_CheckExact(function.as_ptr()) == 0 {
                return Err(no_target());
            }
            let def = (*function.as_ptr().cast::<ffi::PyCFunctionObject>()).m_ml;
            if (*def).ml_flags != ANY {
                return Err(no_target());
            }
            Ok(Target { call: call_function, entry: Some((*def).ml_meth), class: ptr::null_mut() })
        }
    }
}

fn no_target() -> PyErr {
    PyTypeError::new_err("a coroutine function stands for an ordinary method or function")
}

fn stand_for(
    module: &Bound<'_, PyModule>,
    plain: Bound<'_, PyAny>,
    target: &Target,
    is_coroutine: bool,
) -> PyResult<Obj<CoroutineFunction>> {
    if !ClassDef::is_added::<CoroutineFunction>() {
        ClassDef::add::<CoroutineFunction>(module)?;
    }
    let contents = CoroutineFunction {
        call: Cell::new(Some(target.call)),
        entry: Cell::new(target.entry),
        class: Cell::new(target.class),
        is_coroutine: Cell::new(is_coroutine),
        plain: ObjCell::new(plain.into()),
        ..CoroutineFunction::blank()
    };
    Obj::create(module.py(), ((), contents))
}

/// The C function that a coroutine function stands for, borrowed; `None` for any other object.
///
/// # Safety
/// Attached; `function` is a live object, and is kept alive meanwhile.
pub(crate) unsafe fn plain_function(function: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    if !ClassDef::is_added::<CoroutineFunction>() || !class::is_exact::<CoroutineFunction>(function) {
        return None;
    }
    // SAFETY: an instance of the class, as just seen.
    unsafe { plain(function) }
}

/// # Safety
/// `function` is a `CoroutineFunction`.
#[inline]
unsafe fn plain(function: *mut ffi::PyObject) -> Option<*mut ffi::PyObject> {
    // SAFETY: by contract.
    unsafe { class::contents::<CoroutineFunction>(function).plain.peek().map(Obj::as_ptr) }
}

/// A call that is left to the C function.
///
/// # Safety
/// As for a `vectorcallfunc` of a `CoroutineFunction`.
#[cold]
unsafe extern "C" fn call_plain(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    boundary(|py| {
        // SAFETY: by contract; a reference of its own, since the call may let go of the function.
        unsafe {
            let Some(plain) = plain(callable) else {
                return Err(PyTypeError::new_err("the function is gone"));
            };
            let plain = Obj::<Any>::from_borrowed(plain);
            let result = ffi::PyObject_Vectorcall(plain.as_ptr(), args, nargsf, kwnames);
            if result.is_null() { Err(PyErr::fetch(py)) } else { Ok(result) }
        }
    })
}

/// The entry of a class's table, if the first argument is an instance of the class.
///
/// # Safety
/// As for a `vectorcallfunc` of a `CoroutineFunction` that stands for a method descriptor.
#[inline(always)]
#[expect(clippy::inline_always)] // a call between the interpreter and the method is what this is to spare
unsafe fn method_for(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
) -> Option<ffi::PyMethodDefPointer> {
    // SAFETY: by contract. The tables of our classes are never freed, nor are the classes.
    unsafe {
        let this = class::contents::<CoroutineFunction>(callable);
        let class = this.class.get();
        let fits = nargs > 0
            && (ffi::Py_TYPE(*args) == class || ffi::PyType_IsSubtype(ffi::Py_TYPE(*args), class) != 0);
        if fits { this.entry.get() } else { None }
    }
}

/// Whether names of arguments are given.
///
/// # Safety
/// `kwnames` is null or a tuple.
#[inline]
unsafe fn has_names(kwnames: *mut ffi::PyObject) -> bool {
    // SAFETY: by contract.
    unsafe { !kwnames.is_null() && ffi::PyTuple_GET_SIZE(kwnames) != 0 }
}

/// Of a method with any arguments (`METH_FASTCALL | METH_KEYWORDS`).
unsafe extern "C" fn call_method(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter; `install` gives this function to methods with such an entry only, and what
    // calls it keeps the function and the arguments alive.
    unsafe {
        let nargs = ffi::PyVectorcall_NARGS(nargsf);
        match method_for(callable, args, nargs) {
            Some(meth) => (meth.PyCFunctionFastWithKeywords)(*args, args.add(1), nargs - 1, kwnames),
            None => call_plain(callable, args, nargsf, kwnames),
        }
    }
}

/// Of a method without arguments (`METH_NOARGS`).
unsafe extern "C" fn call_method0(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `call_method`.
    unsafe {
        let nargs = ffi::PyVectorcall_NARGS(nargsf);
        match method_for(callable, args, nargs) {
            Some(meth) if nargs == 1 && !has_names(kwnames) => (meth.PyCFunction)(*args, ptr::null_mut()),
            _ => call_plain(callable, args, nargsf, kwnames),
        }
    }
}

/// Of a method with exactly one argument (`METH_O`).
unsafe extern "C" fn call_method1(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as in `call_method`.
    unsafe {
        let nargs = ffi::PyVectorcall_NARGS(nargsf);
        match method_for(callable, args, nargs) {
            Some(meth) if nargs == 2 && !has_names(kwnames) => (meth.PyCFunction)(*args, *args.add(1)),
            _ => call_plain(callable, args, nargsf, kwnames),
        }
    }
}

/// Of a function of a module, which has the entry of [`ClassDef::function`].
unsafe extern "C" fn call_function(
    callable: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: called by the interpreter; the C function was made by `ClassDef::function`, whose definition is never
    // freed and whose entry does not look at its first argument.
    unsafe {
        match class::contents::<CoroutineFunction>(callable).entry.get() {
            Some(meth) => {
                let nargs = ffi::PyVectorcall_NARGS(nargsf);
                (meth.PyCFunctionFastWithKeywords)(ptr::null_mut(), args, nargs, kwnames)
            }
            None => call_plain(callable, args, nargsf, kwnames),
        }
    }
}

/// `tp_descr_get`: as a function written in Python, it binds to anything but `None`.
unsafe extern "C" fn descr_get(
    function: *mut ffi::PyObject,
    obj: *mut ffi::PyObject,
    _ty: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // Exported by every version; PyO3 does not name it.
    unsafe extern "C" {
        fn PyMethod_New(function: *mut ffi::PyObject, obj: *mut ffi::PyObject) -> *mut ffi::PyObject;
    }
    // SAFETY: called by the interpreter with a `CoroutineFunction`, and an object or null.
    unsafe {
        if obj.is_null() || obj == ffi::Py_None() {
            ffi::Py_NewRef(function)
        } else {
            PyMethod_New(function, obj)
        }
    }
}

impl CoroutineFunction {
    fn plain<'py>(this: &Obj<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match this.plain.get() {
            Some(plain) => Ok(plain.bind(py).clone()),
            None => Err(PyAttributeError::new_err("the function is gone")),
        }
    }

    /// An attribute of the C function.
    fn attribute(this: &Obj<Self>, py: Python<'_>, name: &str) -> PyResult<Obj> {
        Ok(Self::plain(this, py)?.getattr(name)?.into())
    }

    /// `__signature__`. Before 3.13 `inspect` reads the signatures of the interpreter's own types of functions only.
    fn signature<'py>(this: &Obj<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let plain = Self::plain(this, py)?;
        py.import("inspect")?.call_method1("signature", (plain,)).map_err(|err| {
            // The docstring has none.
            if err.is_instance_of::<PyValueError>(py) {
                PyAttributeError::new_err("__signature__")
            } else {
                err
            }
        })
    }

    /// `__code__`: nothing runs it; it shows what kind of function this is, its name and its parameters.
    fn code(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        if let Some(code) = this.code.get() {
            return Ok(code);
        }
        let parameters = match Self::signature(this, py) {
            Ok(signature) => signature.str()?.to_string(),
            Err(err) if err.is_instance_of::<PyAttributeError>(py) => "(*args, **kwargs)".to_owned(),
            Err(err) => return Err(err),
        };
        let plain = Self::plain(this, py)?;
        let statement = if this.is_coroutine.get() { "async def" } else { "def" };
        let source = format!("{statement} function{parameters}: pass");
        let module = py.import("builtins")?.call_method1("compile", (source, "<ferrio>", "exec"))?;
        let code_type = py.import("types")?.getattr("CodeType")?;
        for constant in module.getattr("co_consts")?.try_iter()? {
            let constant = constant?;
            if constant.is_instance(&code_type)? {
                let kwargs = PyDict::new(py);
                kwargs.set_item("co_name", plain.getattr("__name__")?)?;
                kwargs.set_item("co_qualname", plain.getattr("__qualname__")?)?;
                let code = Obj::from(constant.call_method("replace", (), Some(&kwargs))?);
                this.code.set(Some(code.clone()));
                return Ok(code);
            }
        }
        Err(PyAttributeError::new_err("__code__"))
    }

    /// The defaults by name: those of parameters that are given by name alone, or of the others.
    fn defaults<'py>(
        this: &Obj<Self>,
        py: Python<'py>,
        by_name_alone: bool,
    ) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let signature = match Self::signature(this, py) {
            Ok(signature) => signature,
            Err(err) if err.is_instance_of::<PyAttributeError>(py) => return Ok(Vec::new()),
            Err(err) => return Err(err),
        };
        let mut defaults = Vec::new();
        for parameter in signature.getattr("parameters")?.call_method0("values")?.try_iter()? {
            let parameter = parameter?;
            let default = parameter.getattr("default")?;
            let keyword_only = parameter.getattr("kind")?.eq(parameter.getattr("KEYWORD_ONLY")?)?;
            if !default.is(&parameter.getattr("empty")?) && keyword_only == by_name_alone {
                defaults.push((parameter.getattr("name")?, default));
            }
        }
        Ok(defaults)
    }

    fn positional_defaults(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        let defaults = Self::defaults(this, py, false)?;
        if defaults.is_empty() {
            return Ok(None);
        }
        let defaults = PyTuple::new(py, defaults.into_iter().map(|(_, default)| default))?;
        Ok(Some(defaults.into()))
    }

    fn keyword_defaults(this: &Obj<Self>, py: Python<'_>) -> PyResult<Option<Obj>> {
        let defaults = Self::defaults(this, py, true)?;
        if defaults.is_empty() {
            return Ok(None);
        }
        let dict = PyDict::new(py);
        for (name, default) in defaults {
            dict.set_item(name, default)?;
        }
        Ok(Some(dict.into()))
    }

    /// `__module__`: that of the class for a method.
    fn module<'py>(this: &Obj<Self>, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let plain = Self::plain(this, py)?;
        match plain.getattr_opt("__objclass__")? {
            Some(class) => class.getattr("__module__"),
            None => plain.getattr("__module__"),
        }
    }

    fn globals(this: &Obj<Self>, py: Python<'_>) -> PyResult<Obj> {
        let name = Self::module(this, py)?;
        let modules = py.import("sys")?.getattr("modules")?;
        let module = modules.call_method1("get", (name,))?;
        Ok(module.getattr_opt("__dict__")?.unwrap_or_else(|| PyDict::new(py).into_any()).into())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let name = Self::plain(this, py)?.getattr("__qualname__")?;
        Ok(format!("<function {} at {:p}>", name.cast::<PyString>()?, this.as_ptr()))
    }
}

impl Class for CoroutineFunction {
    type Base = Any;
    crate::fields!(CoroutineFunction {
        call,
        entry: unowned,
        class: unowned,
        is_coroutine,
        plain,
        code,
        dict: DictSlot,
        weaklist: WeakList
    });
    const NAME: &'static str = "ferrio._ferrio._coroutine_function";
    const DOC: &'static str = "";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        CoroutineFunction {
            call: Cell::new(None),
            entry: Cell::new(None),
            class: Cell::new(ptr::null_mut()),
            is_coroutine: Cell::new(true),
            plain: ObjCell::empty(),
            code: ObjCell::empty(),
            dict: DictSlot::new(),
            weaklist: WeakList::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .repr(Self::repr)
            .method0(
                "__reduce__",
                |this: &Obj<Self>, py: Python<'_>| {
                    Ok::<_, PyErr>(Obj::from(Self::plain(this, py)?.call_method0("__reduce__")?))
                },
                "",
            )
            .getter(
                "__class__",
                |_this: &Obj<Self>, py: Python<'_>| {
                    Ok::<_, PyErr>(Obj::from(py.import("types")?.getattr("FunctionType")?))
                },
                "",
            )
            .getter("__code__", Self::code, "")
            .getter(
                "__signature__",
                |this: &Obj<Self>, py: Python<'_>| Self::signature(this, py).map(Obj::from),
                "",
            )
            .getter("__defaults__", Self::positional_defaults, "")
            .getter("__kwdefaults__", Self::keyword_defaults, "")
            .getter("__annotations__", |_this: &Obj<Self>, py: Python<'_>| Obj::from(PyDict::new(py)), "")
            .getter("__type_params__", |_this: &Obj<Self>, py: Python<'_>| Obj::from(PyTuple::empty(py)), "")
            .getter("__closure__", |_this: &Obj<Self>, py: Python<'_>| Obj::none(py), "")
            .getter("__globals__", Self::globals, "")
            .getter(
                "__module__",
                |this: &Obj<Self>, py: Python<'_>| Self::module(this, py).map(Obj::from),
                "",
            )
            .getter("__name__", |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "__name__"), "")
            .getter(
                "__qualname__",
                |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "__qualname__"),
                "",
            )
            .getter("__doc__", |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "__doc__"), "")
            .getter(
                "__text_signature__",
                |this: &Obj<Self>, py: Python<'_>| Self::attribute(this, py, "__text_signature__"),
                "",
            );
        class.slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_call, pfunc: ffi::PyVectorcall_Call as *mut _ });
        class.slots.push(ffi::PyType_Slot { slot: ffi::Py_tp_descr_get, pfunc: descr_get as *mut _ });
        class.vectorcall_offset =
            Some(Instance::<Self>::contents_offset() + offset_of!(CoroutineFunction, call));
        class.method_descriptor = true;
    }
}
