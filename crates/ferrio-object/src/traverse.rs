//! What the garbage collector is shown of a value, made from the value's type.
//!
//! A field that holds Python references cannot be forgotten. [`fields!`](crate::fields!) takes a class apart with a
//! pattern that names every field, so a new one does not compile until it is named. What is done with a field follows
//! from its type: one that implements [`Traverse`] is visited; one that is `Send` holds no [`Obj`], which is `!Send`,
//! and is passed over; anything else does not compile.
//!
//! Two kinds of `Send` values do hold references, and are passed over where they lie inside of another type:
//! [`GilShared`](crate::GilShared), which is shared with another thread, and PyO3's `Py` and `PyErr`. A class keeps an
//! [`Obj`] instead.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::raw::{c_int, c_void};
use std::rc::Rc;
use std::time::{Duration, Instant};

use pyo3::{Py, ffi};
use smallvec::{Array, SmallVec};

use crate::class::Layout;
use crate::erased::Erased;
use crate::obj::{Obj, ObjCell};

/// Where a walk of the garbage collector stands. Only [`Traverse`] can do something with it.
pub struct Visit<'a> {
    callback: ffi::visitproc,
    arg: *mut c_void,
    result: c_int,
    borrow: PhantomData<&'a ()>,
}

impl Visit<'_> {
    pub(crate) fn new(visit: ffi::visitproc, arg: *mut c_void) -> Self {
        Visit { callback: visit, arg, result: 0, borrow: PhantomData }
    }

    pub(crate) fn result(&self) -> c_int {
        self.result
    }

    #[inline]
    pub(crate) fn raw(&mut self, obj: *mut ffi::PyObject) {
        // A non-zero answer stops the walk: the collector asked for no more.
        if self.result == 0 && !obj.is_null() {
            // SAFETY: the collector's own function, with its own argument, on a valid object.
            self.result = unsafe { (self.callback)(obj, self.arg) };
        }
    }
}

/// A value that may hold Python references.
///
/// Implemented by [`traverse!`](crate::traverse!) for the types of a class's fields.
///
/// # Safety
/// `traverse` shows each reference that the value owns at most once, and no other: the collector subtracts what it is
/// shown from the count of references, and takes apart what has none left. It runs no Python code and changes nothing.
pub unsafe trait Traverse {
    /// Shows what the value owns. What is borrowed mutably at the moment is left out, and so counts as alive.
    fn traverse(&self, visit: &mut Visit<'_>);

    /// Lets go of what can be let go of through a shared reference. No borrow is held while something is dropped.
    fn clear(&self) {}
}

/// What a cell is left with when the value in it is let go of. Part of [`Traverse`] in all but name: a trait of its own,
/// so that `dyn Traverse` is possible. A field with a cell that holds a type without such a value does not compile,
/// unless it is `kept`.
#[doc(hidden)]
pub trait Vacate: Sized {
    /// Whether [`Vacate::vacant`] returns something, or there is nothing to let go of.
    const CAN_BE_VACANT: bool = false;

    #[must_use]
    fn vacant() -> Option<Self> {
        None
    }
}

/// A field of a class that is being walked: see [`fields!`](crate::fields!).
#[doc(hidden)]
pub struct Field<'a, T>(pub &'a T);

impl<T: Traverse> Field<'_, T> {
    #[inline]
    pub fn traverse(&self, visit: &mut Visit<'_>) {
        self.0.traverse(visit);
    }

    #[inline]
    pub fn clear(&self) {
        self.0.clear();
    }
}

/// The methods of a [`Field`] that cannot hold references. A type's own methods come before a trait's, so these are
/// found only for a type that is not [`Traverse`].
#[doc(hidden)]
pub trait HoldsNothing {
    #[inline]
    fn traverse(&self, _visit: &mut Visit<'_>) {}
    #[inline]
    fn clear(&self) {}
}

impl<T: Send> HoldsNothing for Field<'_, T> {}

// SAFETY: one reference, shown once.
unsafe impl<T: Layout> Traverse for Obj<T> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        // SAFETY: a valid instance of `T`'s class.
        unsafe { T::visit(self.as_ptr(), visit) };
    }
}

// SAFETY: as above; a cell that is read, and nothing runs that could change it meanwhile.
unsafe impl<T: Layout> Traverse for ObjCell<T> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Some(obj) = self.peek() {
            obj.traverse(visit);
        }
    }

    #[inline]
    fn clear(&self) {
        self.set(None);
    }
}

impl<T: Layout> Vacate for ObjCell<T> {
    const CAN_BE_VACANT: bool = true;

    fn vacant() -> Option<Self> {
        Some(ObjCell::empty())
    }
}

// SAFETY: one reference, shown once.
unsafe impl<T> Traverse for Py<T> {
    fn traverse(&self, visit: &mut Visit<'_>) {
        visit.raw(self.as_ptr());
    }
}

// SAFETY: what is in the cell is looked at by code that runs nothing else and changes nothing.
unsafe impl<T: Traverse + Vacate> Traverse for Cell<T> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        // SAFETY: a cell gives out no references, so that none to its contents is alive but this one; it is gone
        // before any other code runs.
        unsafe { &*self.as_ptr() }.traverse(visit);
    }

    fn clear(&self) {
        const { assert!(T::CAN_BE_VACANT, "no value to leave in the cell: `default` in `traverse!`, or `kept`") };
        if let Some(vacant) = T::vacant() {
            drop(self.replace(vacant));
        }
    }
}

// SAFETY: as for what is in the cell.
unsafe impl<T: Traverse + Vacate> Traverse for RefCell<T> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(contents) = self.try_borrow() {
            contents.traverse(visit);
        }
    }

    fn clear(&self) {
        const { assert!(T::CAN_BE_VACANT, "no value to leave in the cell: `default` in `traverse!`, or `kept`") };
        let Some(vacant) = T::vacant() else { return };
        let old = self.try_borrow_mut().map(|mut contents| std::mem::replace(&mut *contents, vacant));
        drop(old);
    }
}

// SAFETY: as for what is in it, which stays where it is once it is there.
unsafe impl<T: Traverse> Traverse for OnceCell<T> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Some(contents) = self.get() {
            contents.traverse(visit);
        }
    }

    fn clear(&self) {
        const { assert!(size_of::<T>() == usize::MAX, "what is in a `OnceCell` stays there: `kept`") };
    }
}

// SAFETY: as for what is in it.
unsafe impl<T: Traverse> Traverse for Option<T> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Some(contents) = self {
            contents.traverse(visit);
        }
    }

    fn clear(&self) {
        if let Some(contents) = self {
            contents.clear();
        }
    }
}

impl<T> Vacate for Option<T> {
    const CAN_BE_VACANT: bool = true;

    fn vacant() -> Option<Self> {
        Some(None)
    }
}

// SAFETY: as for what is in it, of which the box is the only owner.
unsafe impl<T: Traverse> Traverse for Box<T> {
    fn traverse(&self, visit: &mut Visit<'_>) {
        (**self).traverse(visit);
    }

    fn clear(&self) {
        (**self).clear();
    }
}

impl<T: Layout> Vacate for Obj<T> {}
impl<T> Vacate for Py<T> {}
impl<T> Vacate for Box<T> {}
impl<T, U> Vacate for (T, U) {}
impl<T, const N: usize> Vacate for [T; N] {}
impl<T> Vacate for Sharing<T> {}
impl Vacate for Erased {}

macro_rules! containers {
    ($($(#[$meta:meta])* [$($param:tt)*] $container:ty, $values:ident, $empty:expr;)*) => {$(
        // SAFETY: each element once, and each by its own rules.
        unsafe impl<$($param)*> Traverse for $container {
            #[inline]
            fn traverse(&self, visit: &mut Visit<'_>) {
                for element in self.$values() {
                    element.traverse(visit);
                }
            }

            fn clear(&self) {
                self.$values().for_each(Traverse::clear);
            }
        }

        impl<$($param)*> Vacate for $container {
            const CAN_BE_VACANT: bool = true;

            fn vacant() -> Option<Self> {
                Some($empty)
            }
        }
    )*};
}
// Keys are looked up by, and are no Python objects.
containers! {
    [T: Traverse] Vec<T>, iter, Vec::new();
    [T: Traverse] Box<[T]>, iter, Box::default();
    [T: Traverse] VecDeque<T>, iter, VecDeque::new();
    [K, T: Traverse, S: Default] HashMap<K, T, S>, values, HashMap::default();
    [K, T: Traverse] BTreeMap<K, T>, values, BTreeMap::new();
}

// SAFETY: each element once, and each by its own rules.
unsafe impl<A: Array<Item: Traverse>> Traverse for SmallVec<A> {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        for element in self {
            element.traverse(visit);
        }
    }

    fn clear(&self) {
        self.iter().for_each(Traverse::clear);
    }
}

impl<A: Array> Vacate for SmallVec<A> {
    const CAN_BE_VACANT: bool = true;

    fn vacant() -> Option<Self> {
        Some(SmallVec::new())
    }
}

// SAFETY: each element once, and each by its own rules.
unsafe impl<T: Traverse, const N: usize> Traverse for [T; N] {
    fn traverse(&self, visit: &mut Visit<'_>) {
        for element in self {
            element.traverse(visit);
        }
    }

    fn clear(&self) {
        self.iter().for_each(Traverse::clear);
    }
}

// SAFETY: each element once, and each by its own rules.
unsafe impl<T: Traverse, U: Traverse> Traverse for (T, U) {
    fn traverse(&self, visit: &mut Visit<'_>) {
        self.0.traverse(visit);
        self.1.traverse(visit);
    }

    fn clear(&self) {
        self.0.clear();
        self.1.clear();
    }
}

/// A value that a class shares with Rust code of its own, a future that it drives for one: shown to the collector by
/// this field, and by nothing else.
pub struct Sharing<T>(Rc<T>);

impl<T> Sharing<T> {
    /// Begins to share a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Sharing(Rc::new(value))
    }

    /// The value, for somebody who does not show it.
    #[must_use]
    pub fn share(&self) -> Rc<T> {
        Rc::clone(&self.0)
    }
}

impl<T> Deref for Sharing<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

// SAFETY: as for the value; there is one `Sharing` of it, and `Rc` is not `Traverse`.
unsafe impl<T: Traverse> Traverse for Sharing<T> {
    fn traverse(&self, visit: &mut Visit<'_>) {
        (**self).traverse(visit);
    }

    fn clear(&self) {
        (**self).clear();
    }
}

// SAFETY: one reference, shown once.
unsafe impl Traverse for Erased {
    #[inline]
    fn traverse(&self, visit: &mut Visit<'_>) {
        self.as_any().traverse(visit);
    }
}

macro_rules! holds_nothing {
    ($($plain:ty),*) => {$(
        // SAFETY: no references in it.
        unsafe impl Traverse for $plain {
            #[inline]
            fn traverse(&self, _visit: &mut Visit<'_>) {}
        }

        impl Vacate for $plain {
            /// Nothing to let go of.
            const CAN_BE_VACANT: bool = true;
        }
    )*};
}
// For pairs with one of them in it; a field of its own would not need it.
holds_nothing!(bool, u8, u32, u64, usize, i32, i64, isize, f64, String, &'static str, Duration, Instant);

/// How the garbage collector walks a type that is part of a class: `traverse!(struct Name { field, … })`,
/// `traverse!(enum Name { Variant, Variant(a, b), Variant { field } })`.
///
/// Every field of every variant is named, and treated as [`fields!`](crate::fields!) treats a class's; a name may be
/// followed by `: kept` or `: unowned` with the same meaning. Options at the end: with `, default` a cell that holds such
/// a value is left with [`Default::default`] when it is cleared; `, clear = function` is called first when the value itself
/// is, for what belongs to the fields that are let go of.
#[macro_export]
macro_rules! traverse {
    (
        struct $name:ident { $($field:ident $(: $kind:ident)?),* $(,)? } $(, $option:ident $(= $value:expr)?)*
    ) => {
        // SAFETY: the pattern names every field, and each is walked once, by its type.
        unsafe impl $crate::Traverse for $name {
            #[inline]
            fn traverse(&self, visit: &mut $crate::Visit<'_>) {
                $crate::__field!(begin);
                let Self { $($field),* } = self;
                $($crate::__field!(traverse visit, $field $($kind)?);)*
                let _ = visit;
            }

            fn clear(&self) {
                $crate::__field!(begin);
                $($crate::traverse!(@clear self, $option $($value)?);)*
                let Self { $($field),* } = self;
                $($crate::__field!(clear, $field $($kind)?);)*
            }
        }

        impl $crate::Vacate for $name {
            $($crate::traverse!(@vacant $option);)*
        }
    };
    (
        enum $name:ident {
            $($variant:ident
                $(($($element:ident $(: $element_kind:ident)?),* $(,)?))?
                $({ $($field:ident $(: $kind:ident)?),* $(,)? })?
            ),* $(,)?
        } $(, $option:ident $(= $value:expr)?)*
    ) => {
        // SAFETY: the patterns name every field, and each is walked once, by its type.
        unsafe impl $crate::Traverse for $name {
            #[inline]
            fn traverse(&self, visit: &mut $crate::Visit<'_>) {
                $crate::__field!(begin);
                match self {
                    $(Self::$variant $(($($element),*))? $({ $($field),* })? => {
                        $($($crate::__field!(traverse visit, $element $($element_kind)?);)*)?
                        $($($crate::__field!(traverse visit, $field $($kind)?);)*)?
                    })*
                }
                let _ = visit;
            }

            fn clear(&self) {
                $crate::__field!(begin);
                $($crate::traverse!(@clear self, $option $($value)?);)*
                match self {
                    $(Self::$variant $(($($element),*))? $({ $($field),* })? => {
                        $($($crate::__field!(clear, $element $($element_kind)?);)*)?
                        $($($crate::__field!(clear, $field $($kind)?);)*)?
                    })*
                }
            }
        }

        impl $crate::Vacate for $name {
            $($crate::traverse!(@vacant $option);)*
        }
    };
    (@vacant default) => {
        const CAN_BE_VACANT: bool = true;

        fn vacant() -> Option<Self> {
            Some(Self::default())
        }
    };
    (@vacant clear) => {};
    (@clear $this:ident, default) => {};
    (@clear $this:ident, clear $clear:expr) => {
        ($clear)($this);
    };
}

/// One step of a walk: what is done with one field. Part of [`fields!`](crate::fields!) and
/// [`traverse!`](crate::traverse!).
#[doc(hidden)]
#[macro_export]
macro_rules! __field {
    (traverse $visit:ident, $field:ident) => {
        $crate::Field($field).traverse($visit)
    };
    (clear, $field:ident) => {
        $crate::Field($field).clear()
    };
    // Makes the trait's methods known, and uses it, which not every type does.
    (begin) => {
        use $crate::HoldsNothing as _;
        $crate::Field(&()).clear();
    };
    (traverse $visit:ident, $field:ident kept) => {
        $crate::__field!(traverse $visit, $field)
    };
    (clear, $field:ident kept) => {
        let _ = $field;
    };
    (traverse $visit:ident, $field:ident unowned) => {
        let _ = $field;
    };
    (clear, $field:ident unowned) => {
        let _ = $field;
    };
    (traverse $visit:ident, $field:ident each($walk:expr, $take:expr)) => {
        $crate::traverse_each($field, $walk, $visit)
    };
    (clear, $field:ident each($walk:expr, $take:expr)) => {
        $crate::clear_each($field, $take)
    };
    // What the interpreter itself reads, writes and clears, and a place on a roster: `fields!` looks at the types.
    (traverse $visit:ident, $field:ident WeakList) => {
        let _ = $field;
    };
    (traverse $visit:ident, $field:ident DictSlot) => {
        let _ = $field;
    };
    (traverse $visit:ident, $field:ident Membership) => {
        let _ = $field;
    };
    (clear, $field:ident $kind:ident) => {
        let _ = $field;
    };
}

/// Walks a container that is not [`Traverse`] itself.
#[doc(hidden)]
#[inline]
pub fn traverse_each<C, T: Traverse>(
    container: &RefCell<C>,
    walk: impl FnOnce(&C, &mut dyn FnMut(&T)),
    visit: &mut Visit<'_>,
) {
    if let Ok(container) = container.try_borrow() {
        walk(&container, &mut |element| element.traverse(visit));
    }
}

/// Empties such a container.
#[doc(hidden)]
pub fn clear_each<C, R>(container: &RefCell<C>, take: impl FnOnce(&mut C) -> R) {
    let old = container.try_borrow_mut().map(|mut contents| take(&mut contents));
    drop(old);
}
