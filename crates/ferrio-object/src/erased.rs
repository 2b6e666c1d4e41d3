//! Objects kept by a holder that does not name their class.
//!
//! A container that serves many classes, each of a room above its own, keeps them erased; the code that dispatches to
//! them names the classes. Asking is one comparison and does not touch the object, which may be in no cache.

use std::ptr;

use crate::builder::Class;
use crate::class::TypeCell;
use crate::fields;
use crate::obj::Obj;

/// A reference to an object, and the class that it was handed in as.
#[derive(Clone)]
pub struct Erased {
    obj: Obj,
    /// The cell of that class; each class has one of its own.
    class: &'static TypeCell,
}

impl Erased {
    /// Erases the class of `obj`.
    #[inline]
    pub fn new<T: Class>(obj: Obj<T>) -> Self {
        Erased { obj: obj.into_any(), class: fields::type_cell::<T>() }
    }

    /// The object as what it was handed in as; `None` if that was not a `T`.
    #[inline]
    pub fn get<T: Class>(&self) -> Option<&Obj<T>> {
        // SAFETY: `new` was given an `Obj<T>`: the cell is that of `T`, and only `T` has it.
        ptr::eq(self.class, fields::type_cell::<T>())
            .then(|| unsafe { &*ptr::from_ref(&self.obj).cast::<Obj<T>>() })
    }

    /// The object.
    #[inline]
    pub fn as_any(&self) -> &Obj {
        &self.obj
    }
}
