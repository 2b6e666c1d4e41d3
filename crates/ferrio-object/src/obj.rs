//! `Obj<T>`: an owned reference to a Python object, typed by the Rust contents it is known to have.
//!
//! PyO3's `Py<T>` is made to travel between threads and therefore asks, when dropped, whether the thread is
//! attached. The objects of the hot path are created and dropped tens of millions of times a second on a thread
//! that is, so `Obj` is confined to it (`!Send`) and drops with a plain decrement.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{Borrowed, ffi};

use crate::builder::Class;
use crate::class;

/// The type of an object about which nothing is known.
pub struct Any(());

/// An owned, attached-thread-only reference to a Python object whose contents are a `T`.
#[repr(transparent)]
pub struct Obj<T: 'static = Any> {
    ptr: NonNull<ffi::PyObject>,
    contents: PhantomData<*const T>,
}

/// In debug builds: that the thread is attached and the object alive. Called where references come and go.
#[inline]
fn check(ptr: *mut ffi::PyObject) {
    if cfg!(debug_assertions) {
        // SAFETY: the first may be asked anywhere; the second reads a field of what must be an object.
        unsafe {
            assert!(ffi::PyGILState_Check() == 1, "a reference is used on a detached thread");
            assert!(ffi::Py_REFCNT(ptr) > 0, "a dead object is referred to");
        }
    }
}

impl<T: 'static> Obj<T> {
    /// Takes over a strong reference.
    ///
    /// # Safety
    /// `ptr` is non-null, owned by the caller, and an instance of `T`'s type; the thread is attached.
    #[inline]
    pub(crate) unsafe fn from_owned(ptr: *mut ffi::PyObject) -> Self {
        debug_assert!(!ptr.is_null());
        check(ptr);
        // SAFETY: non-null by the contract above.
        Obj { ptr: unsafe { NonNull::new_unchecked(ptr) }, contents: PhantomData }
    }

    /// Makes a new strong reference.
    ///
    /// # Safety
    /// As [`Obj::from_owned`], but `ptr` is only borrowed.
    #[inline]
    pub(crate) unsafe fn from_borrowed(ptr: *mut ffi::PyObject) -> Self {
        check(ptr);
        // SAFETY: valid object, thread attached, by the contract above.
        unsafe {
            ffi::Py_INCREF(ptr);
            Self::from_owned(ptr)
        }
    }

    /// Looks at a pointer variable as at a reference, without touching the count.
    ///
    /// # Safety
    /// As [`Obj::from_owned`], and the object stays alive as long as the variable is borrowed.
    #[inline]
    pub(crate) unsafe fn from_ref(ptr: &*mut ffi::PyObject) -> &Self {
        debug_assert!(!ptr.is_null());
        check(*ptr);
        // SAFETY: `Obj` is a transparent wrapper of a non-null object pointer.
        unsafe { &*std::ptr::from_ref(ptr).cast::<Self>() }
    }

    /// The token that the thread is attached. An `Obj` never leaves the attached thread (it is `!Send`, and
    /// detaching takes a `Send` closure), so code that can reach one is on it.
    #[inline]
    pub fn py(&self) -> Python<'_> {
        // SAFETY: see above.
        unsafe { Python::assume_attached() }
    }

    /// The raw pointer, borrowed.
    #[inline]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.ptr.as_ptr()
    }

    /// Gives up the reference as a raw pointer that the receiver owns.
    #[inline]
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        ManuallyDrop::new(self).ptr.as_ptr()
    }

    /// The same object as PyO3 sees it.
    #[inline]
    pub fn bind<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyAny> {
        // SAFETY: `self.ptr` is a valid object for as long as `self` is, and `NonNull` has the layout of a pointer.
        unsafe { Bound::ref_from_ptr(py, &*std::ptr::from_ref(&self.ptr).cast::<*mut ffi::PyObject>()) }
    }

    /// Hands the reference to PyO3.
    #[inline]
    pub fn into_bound(self, py: Python<'_>) -> Bound<'_, PyAny> {
        // SAFETY: an owned, valid reference.
        unsafe { Bound::from_owned_ptr(py, self.into_ptr()) }
    }

    /// Forgets what the contents are.
    #[inline]
    pub fn into_any(self) -> Obj {
        // SAFETY: every object is an instance of `Any`.
        unsafe { Obj::from_owned(self.into_ptr()) }
    }

    /// Forgets what the contents are, borrowed.
    #[inline]
    pub fn as_any(&self) -> &Obj {
        // SAFETY: same layout; every object is an instance of `Any`.
        unsafe { &*std::ptr::from_ref(self).cast::<Obj>() }
    }

    /// Whether both are the same object.
    #[inline]
    pub fn is<U: 'static>(&self, other: &Obj<U>) -> bool {
        std::ptr::eq(self.as_ptr(), other.as_ptr())
    }

    /// Whether this is the same object as one PyO3 holds.
    #[inline]
    pub fn is_bound(&self, other: &Bound<'_, PyAny>) -> bool {
        std::ptr::eq(self.as_ptr(), other.as_ptr())
    }

    /// Whether this is `None`.
    #[inline]
    pub fn is_none(&self) -> bool {
        // SAFETY: `Py_None` only yields an address.
        std::ptr::eq(self.as_ptr(), unsafe { ffi::Py_None() })
    }

    /// The address of the object's type, for identity checks.
    #[inline]
    pub fn type_ptr(&self) -> *mut ffi::PyTypeObject {
        // SAFETY: a valid object.
        unsafe { ffi::Py_TYPE(self.as_ptr()) }
    }

    /// How many references there are.
    #[inline]
    pub fn refcount(&self) -> isize {
        // SAFETY: a valid object.
        unsafe { ffi::Py_REFCNT(self.as_ptr()) }
    }
}

impl Obj {
    /// `None`.
    #[inline]
    pub fn none(_py: Python<'_>) -> Obj {
        // SAFETY: attached; `None` is always valid.
        unsafe { Obj::from_borrowed(ffi::Py_None()) }
    }

    /// An argument, for which `None` is as good as leaving it out.
    #[inline]
    pub fn unless_none(arg: Option<&Bound<'_, PyAny>>) -> Option<Obj> {
        arg.filter(|arg| !arg.is_none()).map(Obj::from)
    }

    /// An argument, or `None` where it was left out.
    #[inline]
    pub fn or_none(py: Python<'_>, arg: Option<&Bound<'_, PyAny>>) -> Obj {
        arg.map_or_else(|| Obj::none(py), Obj::from)
    }

    /// The PyO3 object in place, without a new reference.
    #[inline]
    pub fn of<'a>(any: &'a Bound<'_, PyAny>) -> &'a Obj {
        // SAFETY: `Bound` is a non-null object pointer with zero-sized markers, as `Obj` is.
        unsafe { &*std::ptr::from_ref(any).cast::<Obj>() }
    }

    /// The object as a `T`, if it is an instance of `T`'s class or of a subclass.
    #[inline]
    pub fn cast<T: Class>(&self) -> Option<&Obj<T>> {
        // SAFETY: the check shows that the contents are a `T`.
        class::is_instance::<T>(self.as_ptr()).then(|| unsafe { &*std::ptr::from_ref(self).cast::<Obj<T>>() })
    }

    /// The object as a `T`, if its type is exactly `T`'s class.
    #[inline]
    pub fn cast_exact<T: Class>(&self) -> Option<&Obj<T>> {
        // SAFETY: the check shows that the contents are a `T`.
        class::is_exact::<T>(self.as_ptr()).then(|| unsafe { &*std::ptr::from_ref(self).cast::<Obj<T>>() })
    }

    /// Whether the object's type is derived from `T`'s class directly: a marker for a family of classes, two loads and
    /// a compare however many they are.
    #[inline]
    pub fn is_child_of<T: Class>(&self) -> bool {
        // SAFETY: the type of a valid object; before the class is made its cell is null, and only `object`, of which an
        // instance has no use here, has a null base.
        let base = unsafe { (*self.type_ptr()).tp_base };
        !base.is_null() && std::ptr::eq(base, crate::fields::type_cell::<T>().get())
    }

    /// As [`Obj::cast`], keeping ownership; gives the object back if it is none.
    #[inline]
    pub fn cast_into<T: Class>(self) -> Result<Obj<T>, Obj> {
        if class::is_instance::<T>(self.as_ptr()) {
            // SAFETY: the check shows that the contents are a `T`.
            Ok(unsafe { Obj::from_owned(self.into_ptr()) })
        } else {
            Err(self)
        }
    }
}

impl<T: Class> Obj<T> {
    /// Creates an instance of exactly `T`'s class with the given contents.
    ///
    /// # Errors
    /// `MemoryError`.
    #[expect(clippy::inline_always)] // see `lifecycle::create`
    #[inline(always)]
    pub fn create(py: Python<'_>, parts: class::Parts<T>) -> PyResult<Obj<T>> {
        crate::lifecycle::create(py, || parts)
    }

    /// As [`Obj::create`], with the contents built in their place: for what is made all the time.
    ///
    /// # Errors
    /// `MemoryError`; `parts` is not asked for then.
    #[expect(clippy::inline_always)] // see `lifecycle::create`
    #[inline(always)]
    pub fn create_with(py: Python<'_>, parts: impl FnOnce() -> class::Parts<T>) -> PyResult<Obj<T>> {
        crate::lifecycle::create(py, parts)
    }

    /// Creates an instance of `class`, which is `T`'s class or one derived from it in Python, with blank contents
    /// and without calling `__init__`.
    ///
    /// # Errors
    /// `TypeError` if `class` is no such class, `MemoryError`.
    pub fn create_of(py: Python<'_>, class: &Obj) -> PyResult<Obj<T>> {
        crate::lifecycle::create_of(py, class)
    }

    /// Has the garbage collector track the object, if it does not: for classes that are not
    /// [`BORN_TRACKED`](Class::BORN_TRACKED). It stays tracked until it dies.
    #[inline]
    pub fn track(&self) {
        const { assert!(T::GC, "only a class with garbage collection has instances to track") };
        // SAFETY: a valid instance of a class with garbage collection, which what is derived from it has too.
        unsafe { crate::lifecycle::track(self.as_ptr()) }
    }

    /// Whether the object's type is exactly `T`'s class, not a subclass.
    #[inline]
    pub fn is_exact(&self) -> bool {
        class::is_exact::<T>(self.as_ptr())
    }

    /// The PyO3 object as a `T`, if it is an instance of `T`'s class or of a subclass.
    #[inline]
    pub fn from_bound<'a>(any: &'a Bound<'_, PyAny>) -> Option<&'a Obj<T>> {
        // SAFETY: `Bound` is a non-null object pointer with zero-sized markers, as `Obj` is; the check shows that
        // the contents are a `T`.
        class::is_instance::<T>(any.as_ptr()).then(|| unsafe { &*std::ptr::from_ref(any).cast::<Obj<T>>() })
    }

    /// The dict of the instance; made if there was none.
    ///
    /// # Errors
    /// `AttributeError` if the class has none, `MemoryError`.
    pub fn instance_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // SAFETY: attached; a valid object; a new reference or null with an error set.
        let dict = unsafe {
            let dict = ffi::PyObject_GenericGetDict(self.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, dict)?
        };
        Ok(dict.cast_into()?)
    }

    /// Puts another dict in the place of the instance's.
    ///
    /// # Errors
    /// `TypeError` for what is no dict.
    pub fn set_instance_dict(&self, py: Python<'_>, dict: &Bound<'_, PyAny>) -> PyResult<()> {
        // SAFETY: attached; two valid objects.
        let set = unsafe { ffi::PyObject_GenericSetDict(self.as_ptr(), dict.as_ptr(), std::ptr::null_mut()) };
        if set < 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
    }

    /// The object seen as its base class.
    #[inline]
    pub fn base(&self) -> &Obj<T::Base> {
        debug_assert!(class::is_instance::<T>(self.as_ptr()), "not an instance of {}", T::NAME);
        // SAFETY: an instance of `T` begins with an instance of its base.
        unsafe { &*std::ptr::from_ref(self).cast::<Obj<T::Base>>() }
    }

    /// The object seen as its base class, keeping ownership.
    #[inline]
    pub fn into_base(self) -> Obj<T::Base> {
        // SAFETY: an instance of `T` begins with an instance of its base.
        unsafe { Obj::from_owned(self.into_ptr()) }
    }
}

impl<T: Class> Deref for Obj<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        debug_assert!(class::is_instance::<T>(self.as_ptr()), "not an instance of {}", T::NAME);
        // SAFETY: the object is an instance of `T` (invariant of `Obj`), whose contents were written by `tp_new`.
        unsafe { class::contents::<T>(self.as_ptr()) }
    }
}

impl<T: 'static> Clone for Obj<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: `self` keeps the object alive; `Obj` exists on an attached thread only.
        unsafe { Obj::from_borrowed(self.as_ptr()) }
    }
}

impl<T: 'static> Drop for Obj<T> {
    #[inline]
    fn drop(&mut self) {
        check(self.as_ptr());
        // SAFETY: we own one reference; `Obj` exists on an attached thread only.
        unsafe { ffi::Py_DECREF(self.ptr.as_ptr()) }
    }
}

impl<T: 'static> fmt::Debug for Obj<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<object at {:p}>", self.ptr)
    }
}

impl<T: 'static> From<&Obj<T>> for Obj<T> {
    #[inline]
    fn from(obj: &Obj<T>) -> Obj<T> {
        obj.clone()
    }
}

impl<T> From<Bound<'_, T>> for Obj {
    #[inline]
    fn from(bound: Bound<'_, T>) -> Obj {
        // SAFETY: an owned, valid reference, on an attached thread.
        unsafe { Obj::from_owned(bound.into_ptr()) }
    }
}

impl<T> From<&Bound<'_, T>> for Obj {
    #[inline]
    fn from(bound: &Bound<'_, T>) -> Obj {
        // SAFETY: a borrowed, valid reference, on an attached thread.
        unsafe { Obj::from_borrowed(bound.as_ptr()) }
    }
}

impl<'py, T: 'static> IntoPyObject<'py> for Obj<T> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = std::convert::Infallible;

    #[inline]
    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(self.into_bound(py))
    }
}

impl<'a, 'py: 'a, T: 'static> IntoPyObject<'py> for &'a Obj<T> {
    type Target = PyAny;
    type Output = Borrowed<'a, 'py, PyAny>;
    type Error = std::convert::Infallible;

    #[inline]
    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(self.bind(py).as_borrowed())
    }
}

/// A field that may hold a reference: the `Py_CLEAR`/`Py_XSETREF` discipline as a type.
pub struct ObjCell<T: 'static = Any>(Cell<Option<Obj<T>>>);

impl<T: 'static> ObjCell<T> {
    /// An empty cell.
    #[inline]
    pub const fn empty() -> Self {
        ObjCell(Cell::new(None))
    }

    /// A cell holding `obj`.
    #[inline]
    pub const fn new(obj: Obj<T>) -> Self {
        ObjCell(Cell::new(Some(obj)))
    }

    /// A new reference to what the cell holds.
    #[inline]
    pub fn get(&self) -> Option<Obj<T>> {
        self.peek().cloned()
    }

    /// Whether the cell holds something.
    #[inline]
    pub fn is_some(&self) -> bool {
        self.peek().is_some()
    }

    /// Whether the cell is empty.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.peek().is_none()
    }

    /// Whether the cell holds this very object.
    #[inline]
    pub fn holds<U: 'static>(&self, obj: &Obj<U>) -> bool {
        self.peek().is_some_and(|held| held.is(obj))
    }

    /// Puts `value` in; the old one is dropped after the cell has changed.
    #[inline]
    pub fn set(&self, value: Option<Obj<T>>) {
        drop(self.0.replace(value));
    }

    /// Takes the value out.
    #[inline]
    pub fn take(&self) -> Option<Obj<T>> {
        self.0.take()
    }

    /// Puts `value` in and hands the old one out.
    #[inline]
    pub fn replace(&self, value: Option<Obj<T>>) -> Option<Obj<T>> {
        self.0.replace(value)
    }

    /// Looks at the value in place. Private: what the caller does while looking must not run Python code, or the
    /// cell may be emptied under the borrow.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&Obj<T>> {
        // SAFETY: one attached thread at a time, and the borrows taken in this crate end before any other code runs.
        unsafe { (*self.0.as_ptr()).as_ref() }
    }
}

impl<T: 'static> Default for ObjCell<T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: 'static> From<Option<Obj<T>>> for ObjCell<T> {
    fn from(value: Option<Obj<T>>) -> Self {
        ObjCell(Cell::new(value))
    }
}
