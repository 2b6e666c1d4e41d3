//! Where the contents of an object lie in memory, and the objects that stand for a class.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use pyo3::{Python, ffi};

use crate::builder::Class;
use crate::fields;
use crate::lifecycle;
use crate::obj::Any;
use crate::shared::GilStatic;
use crate::traverse::Visit;

/// An instance in memory: the instance of the base class, then the contents of this one.
#[repr(C)]
pub struct Instance<T: Class> {
    base: <T::Base as Layout>::Instance,
    contents: T,
}

impl<T: Class> Instance<T> {
    /// Where the contents begin.
    pub(crate) const fn contents_offset() -> usize {
        std::mem::offset_of!(Instance<T>, contents)
    }
}

/// What every link of a class chain can do; implemented for [`Any`], the root, and for every [`Class`].
///
/// # Safety
/// Nobody else may implement it: everything here describes how the instance lies in memory.
pub unsafe trait Layout: Sized + 'static {
    /// The instance as CPython sees it.
    type Instance;
    /// The contents of the whole chain, root first.
    type Contents;
    /// The contents of this link alone.
    type Own;
    /// # Safety
    /// `obj` is a valid instance that outlives `'a`.
    #[doc(hidden)]
    unsafe fn own<'a>(obj: *mut ffi::PyObject) -> &'a Self::Own;
    #[doc(hidden)]
    fn blank_chain() -> Self::Contents;
    /// # Safety
    /// `obj` is memory for an instance of this class whose contents are not yet initialised.
    #[doc(hidden)]
    unsafe fn write_chain(obj: *mut ffi::PyObject, contents: Self::Contents);
    /// # Safety
    /// `obj`'s contents are initialised, and nobody uses them afterwards.
    #[doc(hidden)]
    unsafe fn drop_chain(obj: *mut ffi::PyObject);
    /// # Safety
    /// `obj` is a valid instance.
    #[doc(hidden)]
    unsafe fn traverse_chain(obj: *mut ffi::PyObject, visit: &mut Visit<'_>);
    /// # Safety
    /// `obj` is a valid instance.
    #[doc(hidden)]
    unsafe fn clear_chain(obj: *mut ffi::PyObject);
    /// Shows one reference to an object to the collector.
    ///
    /// An object that the collector does not know, of a class without garbage collection or not tracked yet, is seen
    /// through if the caller alone holds it: what it refers to is then the caller's in all but name. If it is shared,
    /// nothing is shown, since the other holder might be alive.
    ///
    /// # Safety
    /// `obj` is a valid instance of which the caller owns a reference.
    #[doc(hidden)]
    unsafe fn visit(obj: *mut ffi::PyObject, visit: &mut Visit<'_>);
    #[doc(hidden)]
    fn base_type() -> *mut ffi::PyTypeObject;
    /// Offsets of the weak-reference list and the dict from the object's address.
    #[doc(hidden)]
    fn weaklist_offset() -> Option<usize>;
    #[doc(hidden)]
    fn dict_offset() -> Option<usize>;
}

/// The contents with which an instance is created: `(parts of the base, contents)`; for a class without a base
/// among ours `((), contents)`.
pub type Parts<T> = <T as Layout>::Contents;

// SAFETY: a bare object; there is nothing in it.
unsafe impl Layout for Any {
    type Instance = ffi::PyObject;
    type Contents = ();
    type Own = ();

    unsafe fn own<'a>(_obj: *mut ffi::PyObject) -> &'a () {
        &()
    }

    fn blank_chain() {}
    unsafe fn write_chain(_obj: *mut ffi::PyObject, (): ()) {}
    unsafe fn drop_chain(_obj: *mut ffi::PyObject) {}
    unsafe fn traverse_chain(_obj: *mut ffi::PyObject, _visit: &mut Visit<'_>) {}
    unsafe fn clear_chain(_obj: *mut ffi::PyObject) {}

    #[inline]
    unsafe fn visit(obj: *mut ffi::PyObject, visit: &mut Visit<'_>) {
        visit.raw(obj);
    }

    fn base_type() -> *mut ffi::PyTypeObject {
        &raw mut ffi::PyBaseObject_Type
    }
    fn weaklist_offset() -> Option<usize> {
        None
    }
    fn dict_offset() -> Option<usize> {
        None
    }
}

// SAFETY: `Instance` is laid out as `class_def.rs` declares it to the interpreter.
unsafe impl<T: Class> Layout for T {
    type Instance = Instance<T>;
    type Contents = (<T::Base as Layout>::Contents, T);
    type Own = T;

    #[inline]
    unsafe fn own<'a>(obj: *mut ffi::PyObject) -> &'a T {
        // SAFETY: forwarded contract.
        unsafe { contents::<T>(obj) }
    }

    #[inline]
    fn blank_chain() -> Self::Contents {
        (T::Base::blank_chain(), T::blank())
    }

    #[expect(clippy::inline_always)] // see `lifecycle::create`
    #[inline(always)]
    unsafe fn write_chain(obj: *mut ffi::PyObject, (base, contents): Self::Contents) {
        // SAFETY: forwarded contract; `Instance<T>` begins with the base's instance.
        unsafe {
            T::Base::write_chain(obj, base);
            ptr::write(&raw mut (*obj.cast::<Instance<T>>()).contents, contents);
        }
    }

    #[inline]
    unsafe fn drop_chain(obj: *mut ffi::PyObject) {
        // SAFETY: forwarded contract. The derived part goes first, as constructors ran the other way round.
        unsafe {
            ptr::drop_in_place(&raw mut (*obj.cast::<Instance<T>>()).contents);
            T::Base::drop_chain(obj);
        }
    }

    #[inline]
    unsafe fn traverse_chain(obj: *mut ffi::PyObject, visit: &mut Visit<'_>) {
        // SAFETY: forwarded contract.
        unsafe {
            T::Base::traverse_chain(obj, visit);
            fields::traverse(contents::<T>(obj), visit);
        }
    }

    unsafe fn clear_chain(obj: *mut ffi::PyObject) {
        // SAFETY: forwarded contract.
        unsafe {
            contents::<T>(obj).clear();
            T::Base::clear_chain(obj);
        }
    }

    #[inline]
    unsafe fn visit(obj: *mut ffi::PyObject, visit: &mut Visit<'_>) {
        // SAFETY: by contract.
        unsafe {
            let known = if T::GC {
                T::BORN_TRACKED || lifecycle::is_tracked(obj)
            } else {
                // An instance of a Python subclass of a class without garbage collection may have it.
                ffi::PyObject_IS_GC(obj) != 0
            };
            if known {
                visit.raw(obj);
            } else if ffi::Py_REFCNT(obj) == 1 {
                T::traverse_chain(obj, visit);
            }
        }
    }

    fn base_type() -> *mut ffi::PyTypeObject {
        type_ptr::<T>()
    }

    fn weaklist_offset() -> Option<usize> {
        fields::weaklist::<T>()
            .map(|at| std::mem::offset_of!(Instance<T>, contents) + at)
            .or_else(T::Base::weaklist_offset)
    }

    fn dict_offset() -> Option<usize> {
        fields::dict::<T>()
            .map(|at| std::mem::offset_of!(Instance<T>, contents) + at)
            .or_else(T::Base::dict_offset)
    }
}

/// The contents of an instance.
///
/// # Safety
/// `obj` is an instance of `T`'s class that outlives `'a`.
#[inline]
pub(crate) unsafe fn contents<'a, T: Class>(obj: *mut ffi::PyObject) -> &'a T {
    // SAFETY: by contract.
    unsafe { &(*obj.cast::<Instance<T>>()).contents }
}

/// Holds a class's type object once it has been made; a `static` per class, made by [`fields!`](crate::fields!).
pub struct TypeCell {
    class: AtomicPtr<ffi::PyTypeObject>,
    /// The version (`tp_version_tag`) of the derived type that was met last. No other state of a type ever has the same,
    /// so what has it is derived from the class.
    derived: AtomicU32,
}

impl TypeCell {
    /// What no type has for a version.
    const NO_VERSION: u32 = u32::MAX;

    /// An empty cell.
    pub const fn new() -> Self {
        TypeCell { class: AtomicPtr::new(ptr::null_mut()), derived: AtomicU32::new(Self::NO_VERSION) }
    }

    #[inline]
    pub(crate) fn get(&self) -> *mut ffi::PyTypeObject {
        // Relaxed is enough: it is written once, under the GIL, before any instance exists.
        self.class.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, ty: *mut ffi::PyTypeObject) {
        self.class.store(ty, Ordering::Relaxed);
    }
}

impl Default for TypeCell {
    fn default() -> Self {
        Self::new()
    }
}

/// The type object of a class.
///
/// # Panics
/// If the class was not defined (a bug in the module's `init`).
#[inline]
pub(crate) fn type_ptr<T: Class>() -> *mut ffi::PyTypeObject {
    let ty = fields::type_cell::<T>().get();
    debug_assert!(!ty.is_null(), "class used before it was defined");
    ty
}

// Every class of ours, in the order they were made.
static NATIVE: GilStatic<RefCell<Vec<*mut ffi::PyTypeObject>>> = GilStatic::new(RefCell::new(Vec::new()));

/// Remembers a class that was made; its type is never freed.
pub(crate) fn register<T: Class>(py: Python<'_>, ty: *mut ffi::PyTypeObject) {
    fields::type_cell::<T>().set(ty);
    NATIVE.get(py).borrow_mut().push(ty);
}

/// Whether a type is a class of ours itself, and not one derived in Python.
pub(crate) fn is_native(py: Python<'_>, ty: *mut ffi::PyTypeObject) -> bool {
    NATIVE.get(py).borrow().contains(&ty)
}

/// The class of ours of which an instance of `ty` has the contents: `ty` itself or the first one that its layout goes
/// back to. Null if there is none.
///
/// # Safety
/// `ty` is a valid type.
pub(crate) unsafe fn native_base(py: Python<'_>, mut ty: *mut ffi::PyTypeObject) -> *mut ffi::PyTypeObject {
    let native = NATIVE.get(py).borrow();
    while !ty.is_null() && !native.contains(&ty) {
        // SAFETY: a valid type, whose base is one or null.
        ty = unsafe { (*ty).tp_base };
    }
    ty
}

#[inline]
pub(crate) fn is_exact<T: Class>(obj: *mut ffi::PyObject) -> bool {
    // SAFETY: `obj` is a valid object by the invariant of its holder.
    ptr::eq(unsafe { ffi::Py_TYPE(obj) }, fields::type_cell::<T>().get())
}

/// The objects of programs are mostly of a Python class derived from `T`, and of one such class. To walk its bases each
/// time would take seven times as long as to compare its version with that of the one before.
#[inline]
pub(crate) fn is_instance<T: Class>(obj: *mut ffi::PyObject) -> bool {
    let cell = fields::type_cell::<T>();
    // SAFETY: `obj` is a valid object by the invariant of its holder.
    let (ty, version) = unsafe { (ffi::Py_TYPE(obj), (*ffi::Py_TYPE(obj)).tp_version_tag) };
    ptr::eq(ty, cell.get())
        || version == cell.derived.load(Ordering::Relaxed)
        || is_derived(ty, version, cell)
}

/// Whether a type is derived from the class of `cell`, which remembers it if it has a version.
#[inline(never)]
fn is_derived(ty: *mut ffi::PyTypeObject, version: u32, cell: &TypeCell) -> bool {
    let class = cell.get();
    // SAFETY: both are valid types; the second is null only before the class was made, when it has no instance.
    let derived = !class.is_null() && unsafe { ffi::PyType_IsSubtype(ty, class) != 0 };
    if derived && version != 0 {
        cell.derived.store(version, Ordering::Relaxed);
    }
    derived
}

/// A field that makes instances weakly referenceable; `fields!` says which one it is.
#[repr(transparent)]
pub struct WeakList(Cell<*mut ffi::PyObject>);

/// A field that gives instances a `__dict__`; `fields!` says which one it is.
#[repr(transparent)]
pub struct DictSlot(Cell<*mut ffi::PyObject>);

impl WeakList {
    /// No weak references yet.
    pub const fn new() -> Self {
        WeakList(Cell::new(ptr::null_mut()))
    }
}

impl DictSlot {
    /// No dict yet.
    pub const fn new() -> Self {
        DictSlot(Cell::new(ptr::null_mut()))
    }
}

impl Default for WeakList {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for DictSlot {
    fn default() -> Self {
        Self::new()
    }
}
