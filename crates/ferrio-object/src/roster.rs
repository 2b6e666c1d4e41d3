//! A roster: the live instances of a class that asked to be on it, held weakly. `asyncio.all_tasks()` reads one.
//!
//! A weak set of Python weak references would cost an allocation and a dict entry for every task; here being on the
//! roster is an index, and leaving it happens when the instance's contents are dropped.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use pyo3::{Python, ffi};

use crate::builder::Class;
use crate::fields;
use crate::lifecycle::is_being_collected;
use crate::obj::Obj;
use crate::shared::GilStatic;

#[derive(Default)]
struct Slots {
    entries: Vec<*mut ffi::PyObject>,
    free: Vec<u32>,
}

/// The list itself; a `static`.
pub struct Roster<T: Class> {
    slots: GilStatic<RefCell<Slots>>,
    class: PhantomData<fn() -> T>,
}

/// A place on a [`Roster`], kept in the contents of the instance that stands on it; dropping it gives the place up.
pub struct Membership<T: Class> {
    place: Cell<Option<(&'static Roster<T>, u32)>>,
}

impl<T: Class> Roster<T> {
    /// An empty roster.
    pub const fn new() -> Self {
        Roster {
            slots: GilStatic::new(RefCell::new(Slots { entries: Vec::new(), free: Vec::new() })),
            class: PhantomData,
        }
    }

    /// Puts `obj` on the roster, unless it is on it.
    ///
    /// # Panics
    /// If `fields!` names no `Membership` among the fields of the class.
    pub fn join(&'static self, py: Python<'_>, obj: &Obj<T>) {
        // What makes the raw pointer safe to keep: the membership is itself a field of the object's contents, and so
        // dies with them. Nor can it be moved out of them.
        let membership = fields::membership::<T>(obj).expect("a class with a membership");
        if membership.place.get().is_some() {
            return;
        }
        let mut slots = self.slots.get(py).borrow_mut();
        let place = if let Some(place) = slots.free.pop() {
            slots.entries[place as usize] = obj.as_ptr();
            place
        } else {
            slots.entries.push(obj.as_ptr());
            (slots.entries.len() - 1) as u32
        };
        membership.place.set(Some((self, place)));
    }

    /// Strong references to all that are on the roster now and for which `wanted` holds.
    ///
    /// Not to those that the collector is about to take apart. Meanwhile it may run Python code (a weak reference's
    /// callback), which must not get hold of them. Weak references to them are gone by then, and so are the tasks in
    /// asyncio's `WeakSet`.
    pub fn collect(&self, py: Python<'_>, wanted: impl Fn(&T) -> bool) -> Vec<Obj<T>> {
        let mut all = self.present(py);
        // Not under the borrow: letting go of one may end it, which takes its place from the roster.
        all.retain(|obj| wanted(obj));
        all
    }

    /// Strong references to those that stand on `count` places from `start` on, as [`Roster::collect`] has them; nothing
    /// beyond the last place. To look at all of them a part at a time: none moves to another place.
    pub fn part(&self, py: Python<'_>, start: usize, count: usize) -> Option<Vec<Obj<T>>> {
        let slots = self.slots.get(py).borrow();
        let entries = slots.entries.get(start..).filter(|entries| !entries.is_empty())?;
        Some(Self::alive(&entries[..count.min(entries.len())]))
    }

    fn present(&self, py: Python<'_>) -> Vec<Obj<T>> {
        Self::alive(&self.slots.get(py).borrow().entries)
    }

    fn alive(entries: &[*mut ffi::PyObject]) -> Vec<Obj<T>> {
        entries
            .iter()
            .copied()
            .filter(|ptr| !ptr.is_null())
            // SAFETY: a non-null entry's membership has not been dropped, so neither have the contents of the object
            // it lies in; an object whose count is zero is being deallocated and may not be brought back.
            .filter(|ptr| unsafe { ffi::Py_REFCNT(*ptr) > 0 && !is_being_collected::<T>(*ptr) })
            // SAFETY: as above; attached.
            .map(|ptr| unsafe { Obj::from_borrowed(ptr) })
            .collect()
    }
}

impl<T: Class> Default for Roster<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Class> Membership<T> {
    /// On no roster yet.
    pub const fn none() -> Self {
        Membership { place: Cell::new(None) }
    }

    /// Gives the place up, if there is one.
    pub fn leave(&self) {
        if let Some((roster, place)) = self.place.take() {
            // SAFETY: contents of objects are used and dropped on attached threads only.
            let py = unsafe { Python::assume_attached() };
            let mut slots = roster.slots.get(py).borrow_mut();
            slots.entries[place as usize] = std::ptr::null_mut();
            slots.free.push(place);
        }
    }
}

impl<T: Class> Drop for Membership<T> {
    fn drop(&mut self) {
        self.leave();
    }
}
