//! Which methods of an object somebody has replaced: a Python subclass, a program that assigns to a class (ours, a
//! subclass, a base in between; before or after instances exist), or one that assigns to the instance.
//!
//! Where asyncio calls a method through `self`, ferrio goes past Python as long as that makes no difference. Whether it
//! does is asked each time, and costs two loads and two compares:
//!
//! * The version of the object's type. The interpreter gives a type a number when it looks something up on it, and takes
//!   the number away when the type or one of its bases changes (`tp_version_tag`); no two states of types ever have the
//!   same. The interpreter's own inline caches of methods rest on the same compare, on every version since 3.11. A type
//!   that has no number (3.13 on stops giving one to a type after 1,000 changes) is looked at anew each time.
//! * The length of the instance's `__dict__`, which is mostly not there. It shows what is put there past `setattr()`.
//!   One entry put in for another that was taken out is not seen; through `setattr()` and `delattr()` it is.
//!
//! An object with a replaced method is asked by name, as asyncio does it.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::boundary::boundary_int;
use crate::builder::{Class, ClassBuilder, slot};
use crate::class::{self, Layout};
use crate::class_def::ClassDef;
use crate::coroutine_function;
use crate::obj::{Any, Obj};
use crate::rebind::is_rebound;
use crate::shared::GilStatic;
use crate::special;

/// Some methods out of the list of a class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MethodSet(u32);

impl MethodSet {
    /// None of them.
    pub const NONE: MethodSet = MethodSet(0);

    /// The one of this name. To be used in a `const`: a name that is not in the list does not compile.
    ///
    /// # Panics
    /// If the name is not among the first 32.
    #[must_use]
    pub const fn named(names: &[&str], name: &str) -> Self {
        let mut index = 0;
        while index < names.len() {
            if same(names[index], name) {
                assert!(index < 32, "more methods than bits");
                return MethodSet(1 << index);
            }
            index += 1;
        }
        panic!("a method that is not in the list")
    }

    /// The first so many of a list.
    ///
    /// # Panics
    /// For more than 31.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        assert!(count < 32, "more methods than bits");
        MethodSet((1 << count) - 1)
    }

    /// Those of both.
    #[must_use]
    pub const fn or(self, other: MethodSet) -> MethodSet {
        MethodSet(self.0 | other.0)
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The methods of a class that can be replaced, and what is known of the classes that were looked at last; a `static`.
pub struct Methods {
    names: &'static [&'static str],
    seen: GilStatic<[Cell<Seen>; 4]>,
    next: GilStatic<Cell<usize>>,
}

/// A state of a type, and which methods are replaced in it.
#[derive(Clone, Copy)]
struct Seen {
    version: u32,
    replaced: MethodSet,
}

/// What no type has for a version, and no object remembers.
const NO_VERSION: u32 = 0;

impl Seen {
    const NOTHING: Seen = Seen { version: NO_VERSION, replaced: MethodSet::NONE };
}

/// In the contents of an object that has a `__dict__`: which of its methods were replaced when it was last looked at.
pub struct Replaced {
    /// The version of the type then. It begins as one that never comes.
    version: Cell<u32>,
    dict_len: Cell<u32>,
    now: Cell<MethodSet>,
    /// What was set on an object whose `__dict__` is not ours to look at.
    set: Cell<MethodSet>,
}

/// A class of which methods can be replaced. [`ClassBuilder::replaceable`] has to be called in its `define`.
pub trait Replaceable: Class {
    /// The methods.
    fn methods() -> &'static Methods;

    /// What the object remembers. A class whose own instances have no `__dict__` needs none; an instance of a
    /// Python subclass that has one is then asked by name.
    fn remembered(&self) -> Option<&Replaced> {
        None
    }
}

impl<T: Replaceable> Obj<T> {
    /// Whether one of these methods is another than the class's own.
    #[inline]
    pub fn replaces(&self, which: MethodSet) -> bool {
        self.replaced().0 & which.0 != 0
    }

    /// Whether any of the methods of the class is another.
    #[inline]
    pub fn replaces_any(&self) -> bool {
        self.replaced() != MethodSet::NONE
    }

    #[inline]
    fn replaced(&self) -> MethodSet {
        let version = version(self.type_ptr());
        match self.remembered() {
            Some(remembered) => {
                // A type without a version has 0 here, and what is remembered is then something else.
                if remembered.version.get() == version && remembered.dict_len.get() == self.dict_len() {
                    remembered.now.get()
                } else {
                    self.look(remembered)
                }
            }
            None => T::methods().of_type(self.py(), self.type_ptr(), true),
        }
    }

    /// How much there is in the `__dict__` that the class gave the instance.
    #[inline]
    fn dict_len(&self) -> u32 {
        let dict = self.dict();
        // SAFETY: null, or the dict of a live object.
        if dict.is_null() { 0 } else { unsafe { ffi::PyDict_Size(dict) as u32 } }
    }

    #[inline]
    fn dict(&self) -> *mut ffi::PyObject {
        match T::dict_offset() {
            // SAFETY: the offset is that of a `DictSlot`, which holds a dict or null.
            Some(at) => unsafe { *self.as_ptr().byte_add(at).cast::<*mut ffi::PyObject>() },
            None => ptr::null_mut(),
        }
    }

    #[cold]
    fn look(&self, remembered: &Replaced) -> MethodSet {
        let py = self.py();
        let methods = T::methods();
        let mut replaced = methods.of_type(py, self.type_ptr(), false).or(remembered.set.get());
        let dict = self.dict();
        if !dict.is_null() {
            // SAFETY: the dict of a live object. It is held: a key that is no string may run code when it is compared.
            let dict = unsafe { Obj::<Any>::from_borrowed(dict) };
            for (index, name) in methods.names.iter().enumerate() {
                let name = PyString::intern(py, name);
                // SAFETY: attached; a dict and a string. An error is what such a key raised: the name then counts as
                // replaced, and looking it up raises again.
                unsafe {
                    if ffi::PyDict_Contains(dict.as_ptr(), name.as_ptr()) != 0 {
                        replaced = replaced.or(MethodSet(1 << index));
                        ffi::PyErr_Clear();
                    }
                }
            }
        }
        // Given to the type by now, if it can have one.
        let version = version(self.type_ptr());
        remembered.version.set(if version == NO_VERSION { Replaced::NEVER } else { version });
        remembered.dict_len.set(self.dict_len());
        remembered.now.set(replaced);
        replaced
    }
}

impl ClassDef {
    /// Whether a method of a class itself is another than its own.
    #[inline]
    pub fn replaces_any<T: Replaceable>(py: Python<'_>) -> bool {
        T::methods().of_type(py, class::type_ptr::<T>(), false) != MethodSet::NONE
    }
}

impl Replaced {
    /// The last version that the interpreter would give, after four thousand million others.
    const NEVER: u32 = u32::MAX;

    /// Nothing is known of the object.
    #[must_use]
    pub const fn unknown() -> Self {
        Replaced {
            version: Cell::new(Self::NEVER),
            dict_len: Cell::new(0),
            now: Cell::new(MethodSet::NONE),
            set: Cell::new(MethodSet::NONE),
        }
    }
}

impl Default for Replaced {
    fn default() -> Self {
        Self::unknown()
    }
}

impl Methods {
    /// At most 32 names.
    #[must_use]
    pub const fn new(names: &'static [&'static str]) -> Self {
        assert!(names.len() <= 32, "more methods than bits");
        Methods {
            names,
            seen: GilStatic::new([const { Cell::new(Seen::NOTHING) }; 4]),
            next: GilStatic::new(Cell::new(0)),
        }
    }

    /// What is replaced on a type. `alone`: the instances remember nothing, so that one that can have methods of its own
    /// counts as having replaced all.
    #[inline]
    fn of_type(&self, py: Python<'_>, ty: *mut ffi::PyTypeObject, alone: bool) -> MethodSet {
        let version = version(ty);
        if version != NO_VERSION {
            for seen in self.seen.get(py) {
                let seen = seen.get();
                if seen.version == version {
                    return seen.replaced;
                }
            }
        }
        self.look(py, ty, alone)
    }

    #[cold]
    fn look(&self, py: Python<'_>, ty: *mut ffi::PyTypeObject, alone: bool) -> MethodSet {
        let mut replaced = MethodSet::NONE;
        for (index, name) in self.names.iter().enumerate() {
            let name = PyString::intern(py, name);
            // SAFETY: attached; a ready type.
            if unsafe { is_replaced(ty, &name) } {
                replaced = replaced.or(MethodSet(1 << index));
            }
        }
        // SAFETY: a ready type.
        if alone && unsafe { has_dict(ty) } {
            replaced = MethodSet(u32::MAX);
        }
        // SAFETY: attached; a ready type.
        unsafe { assign_version(ty) };
        let version = version(ty);
        if version != NO_VERSION {
            let next = self.next.get(py);
            let seen = self.seen.get(py);
            seen[next.get()].set(Seen { version, replaced });
            next.set((next.get() + 1) % seen.len());
        }
        replaced
    }
}

#[inline]
fn version(ty: *mut ffi::PyTypeObject) -> u32 {
    // SAFETY: the type of a live object; the field is the interpreter's number for its present state, 0 without one.
    unsafe { (*ty).tp_version_tag }
}

/// Has the interpreter give a type a version, unless it has one or can have none.
///
/// # Safety
/// Attached; `ty` is a ready type.
unsafe fn assign_version(ty: *mut ffi::PyTypeObject) {
    // SAFETY: by contract; neither runs Python code. Both are exported by these versions, and PyO3 names neither.
    unsafe {
        #[cfg(Py_3_12)]
        {
            unsafe extern "C" {
                fn PyUnstable_Type_AssignVersionTag(ty: *mut ffi::PyTypeObject) -> c_int;
            }
            PyUnstable_Type_AssignVersionTag(ty);
        }
        #[cfg(not(Py_3_12))]
        {
            unsafe extern "C" {
                // Assigns a version when it enters what it has found, or nothing, into the interpreter's cache.
                fn _PyType_Lookup(ty: *mut ffi::PyTypeObject, name: *mut ffi::PyObject)
                -> *mut ffi::PyObject;
            }
            let name = PyString::intern(Python::assume_attached(), "__class__");
            _PyType_Lookup(ty, name.as_ptr());
        }
    }
}

/// # Safety
/// `ty` is a ready type.
unsafe fn has_dict(ty: *mut ffi::PyTypeObject) -> bool {
    /// `Py_TPFLAGS_MANAGED_DICT`, since 3.11.
    const MANAGED_DICT: std::ffi::c_ulong = 1 << 4;
    // SAFETY: by contract.
    unsafe { (*ty).tp_dictoffset != 0 || ffi::PyType_GetFlags(ty) & MANAGED_DICT != 0 }
}

/// Whether what `name` means on a type is something else than what our classes have under it.
///
/// # Safety
/// Attached; `ty` is a ready type.
pub(crate) unsafe fn is_replaced(ty: *mut ffi::PyTypeObject, name: &Bound<'_, PyString>) -> bool {
    // SAFETY: by contract; a ready type has a tuple of types for its MRO. It is held, and so is what is found: a key of a
    // class's dict that is no string could run code of its own when it is compared.
    unsafe {
        let mro = Obj::<Any>::from_borrowed((*ty).tp_mro);
        let mut found: Option<Obj> = None;
        for at in 0..ffi::PyTuple_GET_SIZE(mro.as_ptr()) {
            let class = ffi::PyTuple_GET_ITEM(mro.as_ptr(), at).cast::<ffi::PyTypeObject>();
            let is_native = class::is_native(name.py(), class);
            if found.is_none()
                && let Some(entry) = own(class, name)
                // A descriptor that `rebind_methods` has put there stands for the one below it.
                && (is_native || !is_rebound(class, entry.as_ptr()))
            {
                found = Some(entry);
            }
            if is_native && let Some(declared) = declared(class, name) {
                return !found.is_some_and(|found| definition(found.as_ptr()) == Some(declared));
            }
        }
        // No native class has it: replaced if it is there at all, and not as our own Python class has it.
        found.is_some_and(|found| !OWN_FUNCTIONS.get(name.py()).borrow().iter().any(|own| own.is(&found)))
    }
}

/// What a class itself has under a name.
///
/// # Safety
/// Attached; `class` is a ready type.
unsafe fn own(class: *mut ffi::PyTypeObject, name: &Bound<'_, PyString>) -> Option<Obj> {
    // SAFETY: by contract.
    unsafe {
        // From 3.12 on the interpreter's own classes keep their dicts elsewhere.
        #[cfg(Py_3_12)]
        let dict = ffi::PyType_GetDict(class);
        #[cfg(not(Py_3_12))]
        let dict = ffi::Py_XNewRef((*class).tp_dict);
        if dict.is_null() {
            return None;
        }
        let dict = Obj::<Any>::from_owned(dict);
        let entry = ffi::PyDict_GetItemWithError(dict.as_ptr(), name.as_ptr());
        if entry.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        Some(Obj::from_borrowed(entry))
    }
}

/// The entry of a table of ours that a descriptor stands for, or that a class was made with.
#[derive(PartialEq, Eq)]
enum Definition {
    Method(*mut ffi::PyMethodDef),
    Attribute(*mut ffi::PyGetSetDef),
}

/// # Safety
/// `descriptor` is a live object.
unsafe fn definition(descriptor: *mut ffi::PyObject) -> Option<Definition> {
    // SAFETY: the layout is known once the object is exactly of that type.
    unsafe {
        let descriptor = special::ordinary_method(descriptor).unwrap_or(descriptor);
        let descriptor = coroutine_function::plain_function(descriptor).unwrap_or(descriptor);
        let ty = ffi::Py_TYPE(descriptor);
        if ty == &raw mut ffi::PyMethodDescr_Type {
            Some(Definition::Method((*descriptor.cast::<ffi::PyMethodDescrObject>()).d_method))
        } else if ty == &raw mut ffi::PyGetSetDescr_Type {
            Some(Definition::Attribute((*descriptor.cast::<ffi::PyGetSetDescrObject>()).d_getset))
        } else {
            None
        }
    }
}

/// # Safety
/// `class` is one of ours.
unsafe fn declared(class: *mut ffi::PyTypeObject, name: &Bound<'_, PyString>) -> Option<Definition> {
    let name = name.to_str().ok()?.as_bytes();
    // SAFETY: the tables of our classes are zero-terminated and never freed.
    unsafe {
        let mut method = (*class).tp_methods;
        while !method.is_null() && !(*method).ml_name.is_null() {
            if CStr::from_ptr((*method).ml_name).to_bytes() == name {
                return Some(Definition::Method(method));
            }
            method = method.add(1);
        }
        let mut attribute = (*class).tp_getset;
        while !attribute.is_null() && !(*attribute).name.is_null() {
            if CStr::from_ptr((*attribute).name).to_bytes() == name {
                return Some(Definition::Attribute(attribute));
            }
            attribute = attribute.add(1);
        }
        None
    }
}

/// The methods that classes of ours have in Python, because asyncio's have them on an abstract class.
static OWN_FUNCTIONS: GilStatic<RefCell<Vec<Obj>>> = GilStatic::new(RefCell::new(Vec::new()));

impl ClassDef {
    /// Has `function`, which a Python class of ours has as a method, count as the class's own and not as a replacement. To be
    /// called when the class is made, before a program can have put something else there.
    pub fn own_function(function: &Bound<'_, PyAny>) {
        OWN_FUNCTIONS.get(function.py()).borrow_mut().push(function.into());
    }
}

impl<T: Replaceable> ClassBuilder<T> {
    /// Has the class notice methods that are set on an instance.
    pub fn replaceable(&mut self) -> &mut Self {
        slot!(self, Py_tp_setattro, setattr::<T>);
        self
    }
}

/// `tp_setattro`.
unsafe extern "C" fn setattr<T: Replaceable>(
    slf: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> c_int {
    boundary_int(|py| {
        // SAFETY: called by the interpreter with an instance of `T`'s class.
        unsafe {
            let outcome = ffi::PyObject_GenericSetAttr(slf, name, value);
            if let Some(remembered) = Obj::<T>::from_ref(&slf).remembered() {
                if T::dict_offset().is_none() {
                    let name = Bound::ref_from_ptr(py, &name);
                    let name = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
                    let index = T::methods().names.iter().position(|known| Some(*known) == name);
                    let set = index.map_or(MethodSet::NONE, |index| MethodSet(1 << index));
                    remembered.set.set(remembered.set.get().or(set));
                }
                remembered.version.set(Replaced::NEVER);
            }
            if outcome < 0 { Err(PyErr::fetch(py)) } else { Ok(0) }
        }
    }) as c_int
}
