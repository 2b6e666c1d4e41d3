//! What a `TaskGroup` keeps: the children that are not done, and the errors of those that have failed.
//!
//! Both are native until somebody asks for `_tasks` or `_errors`. From then on they are in the set and the list that
//! were handed out: a derived group whose own `_on_task_done()` takes a task out of `self._tasks` has taken it out.

use std::cell::RefCell;

use ferrio_object::{Obj, ObjCell};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PySet};

/// The place of a child that is in none.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Numbered places.
#[derive(Default)]
struct Places {
    taken: Vec<Option<Obj>>,
    free: Vec<u32>,
    count: usize,
}

ferrio_object::traverse!(struct Places { taken, free, count }, default);

impl Places {
    fn insert(&mut self, child: Obj) -> u32 {
        self.count += 1;
        if let Some(place) = self.free.pop() {
            self.taken[place as usize] = Some(child);
            return place;
        }
        self.taken.push(Some(child));
        (self.taken.len() - 1) as u32
    }

    fn remove(&mut self, place: u32, child: &Obj) -> Option<Obj> {
        let found = self.taken.get_mut(place as usize)?.take_if(|found| found.is(child))?;
        self.free.push(place);
        self.count -= 1;
        Some(found)
    }
}

/// The children that are not done.
#[derive(Default)]
pub(super) struct Children {
    native: RefCell<Places>,
    shown: ObjCell,
}

ferrio_object::traverse!(struct Children { native, shown });

impl Children {
    /// Takes a child in; gives its place.
    ///
    /// # Errors
    /// What hashing a foreign task raises.
    #[inline]
    pub(super) fn insert(&self, py: Python<'_>, child: &Obj) -> PyResult<u32> {
        let place = self.native.borrow_mut().insert(child.clone());
        if let Some(shown) = self.shown.get() {
            shown.bind(py).call_method1(intern!(py, "add"), (child,))?;
        }
        Ok(place)
    }

    /// Takes a child out.
    ///
    /// # Errors
    /// What hashing a foreign task raises.
    #[inline]
    pub(super) fn remove(&self, py: Python<'_>, place: u32, child: &Obj) -> PyResult<()> {
        let removed = self.native.borrow_mut().remove(place, child);
        drop(removed);
        if let Some(shown) = self.shown.get() {
            shown.bind(py).call_method1(intern!(py, "discard"), (child,))?;
        }
        Ok(())
    }

    /// The place of a child.
    pub(super) fn place_of(&self, child: &Obj) -> u32 {
        let native = self.native.borrow();
        let found = native.taken.iter().position(|place| place.as_ref().is_some_and(|held| held.is(child)));
        found.map_or(NOWHERE, |place| place as u32)
    }

    /// How many there are.
    ///
    /// # Errors
    /// What the length of what was put in the place of `_tasks` raises.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match self.shown.get() {
            Some(shown) => shown.bind(py).len(),
            None => Ok(self.native.borrow().count),
        }
    }

    /// All of them as they are now.
    ///
    /// # Errors
    /// As [`Children::len`].
    pub(super) fn all(&self, py: Python<'_>) -> PyResult<Vec<Obj>> {
        match self.shown.get() {
            Some(shown) => shown.bind(py).try_iter()?.map(|child| child.map(Obj::from)).collect(),
            None => Ok(self.native.borrow().taken.iter().flatten().cloned().collect()),
        }
    }

    /// `_tasks`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn show(&self, py: Python<'_>) -> PyResult<Obj> {
        if let Some(shown) = self.shown.get() {
            return Ok(shown);
        }
        let set = Obj::from(PySet::new(py, self.all(py)?)?);
        self.shown.set(Some(set.clone()));
        Ok(set)
    }

    /// Sets `_tasks`.
    pub(super) fn replace(&self, set: Option<Obj>) {
        self.shown.set(set);
    }
}

/// The exceptions of those that have failed.
#[derive(Default)]
pub(super) struct Errors {
    native: RefCell<Vec<Obj>>,
    shown: ObjCell,
}

ferrio_object::traverse!(struct Errors { native, shown });

impl Errors {
    /// One more.
    ///
    /// # Errors
    /// What the `append` of what was put in the place of `_errors` raises.
    pub(super) fn push(&self, py: Python<'_>, error: Obj) -> PyResult<()> {
        match self.shown.get() {
            Some(shown) => shown.bind(py).call_method1(intern!(py, "append"), (error,)).map(drop),
            None => {
                self.native.borrow_mut().push(error);
                Ok(())
            }
        }
    }

    /// How many there are.
    ///
    /// # Errors
    /// What the length of what was put in the place of `_errors` raises.
    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        match self.shown.get() {
            Some(shown) if shown.is_none() => Ok(0),
            Some(shown) => shown.bind(py).len(),
            None => Ok(self.native.borrow().len()),
        }
    }

    /// Takes all of them out.
    ///
    /// # Errors
    /// As [`Errors::len`].
    pub(super) fn take(&self, py: Python<'_>) -> PyResult<Vec<Obj>> {
        match self.shown.take() {
            Some(shown) if shown.is_none() => Ok(Vec::new()),
            Some(shown) => shown.bind(py).try_iter()?.map(|error| error.map(Obj::from)).collect(),
            None => Ok(self.native.take()),
        }
    }

    /// `_errors`.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn show(&self, py: Python<'_>) -> PyResult<Obj> {
        if let Some(shown) = self.shown.get() {
            return Ok(shown);
        }
        let list = Obj::from(PyList::new(py, self.native.take())?);
        self.shown.set(Some(list.clone()));
        Ok(list)
    }

    /// Sets `_errors`.
    pub(super) fn replace(&self, list: Option<Obj>) {
        self.shown.set(list);
    }
}
