//! What a queue keeps its items in.
//!
//! asyncio's `_queue` is a deque or a list, and subclasses and programs reach for it (`queue._queue.clear()`,
//! `item in queue._queue`). Nobody does so with most queues, and theirs is a native ring. The first one who asks for
//! `_queue` gets a real deque or list with the items in it, and from then on the queue lives in that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_object::{Obj, Visit};
use pyo3::exceptions::PyIndexError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// In which order items come out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Fifo,
    Lifo,
    Priority,
}

enum Store {
    Ring(VecDeque<Obj>),
    /// A deque or a list, or whatever a subclass has put there.
    Python(Obj),
}

/// The items.
pub(super) struct Items {
    order: Cell<Order>,
    store: RefCell<Store>,
}

impl Items {
    pub(super) const fn new() -> Self {
        Items { order: Cell::new(Order::Fifo), store: RefCell::new(Store::Ring(VecDeque::new())) }
    }

    /// Starts with no items.
    pub(super) fn start(&self, py: Python<'_>, order: Order) {
        self.order.set(order);
        // A heap is a Python list from the start: comparing its items runs Python code anyway.
        let store = match order {
            Order::Fifo | Order::Lifo => Store::Ring(VecDeque::new()),
            Order::Priority => Store::Python(PyList::empty(py).into()),
        };
        let old = self.store.replace(store);
        drop(old);
    }

    /// The Python object in which the items are, if they are not in the ring.
    fn python(&self) -> Option<Obj> {
        match &*self.store.borrow() {
            Store::Ring(_) => None,
            Store::Python(held) => Some(held.clone()),
        }
    }

    /// `not self._queue`.
    ///
    /// # Errors
    /// What the object there raises.
    #[inline]
    pub(super) fn is_empty(&self, py: Python<'_>) -> PyResult<bool> {
        if let Store::Ring(ring) = &*self.store.borrow() {
            return Ok(ring.is_empty());
        }
        self.python().map_or(Ok(true), |held| Ok(!held.bind(py).is_truthy()?))
    }

    /// `len(self._queue)`.
    ///
    /// # Errors
    /// What the object there raises.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> PyResult<usize> {
        if let Store::Ring(ring) = &*self.store.borrow() {
            return Ok(ring.len());
        }
        self.python().map_or(Ok(0), |held| held.bind(py).len())
    }

    /// `_put()`.
    ///
    /// # Errors
    /// What comparing the item raises, or the object that a subclass has put in the ring's place.
    #[inline]
    pub(super) fn put(&self, py: Python<'_>, order: Order, item: Obj) -> PyResult<()> {
        if let Store::Ring(ring) = &mut *self.store.borrow_mut() {
            ring.push_back(item);
            return Ok(());
        }
        let Some(held) = self.python() else { return Ok(()) };
        match order {
            Order::Priority => {
                py.import(intern!(py, "heapq"))?.call_method1(intern!(py, "heappush"), (held, item)).map(drop)
            }
            Order::Fifo | Order::Lifo => held.bind(py).call_method1(intern!(py, "append"), (item,)).map(drop),
        }
    }

    /// `_get()`.
    ///
    /// # Errors
    /// `IndexError` if there is no item, and as [`Items::put`].
    #[inline]
    pub(super) fn get(&self, py: Python<'_>, order: Order) -> PyResult<Obj> {
        if let Store::Ring(ring) = &mut *self.store.borrow_mut() {
            let item = if order == Order::Fifo { ring.pop_front() } else { ring.pop_back() };
            return item.ok_or_else(|| PyIndexError::new_err("pop from an empty queue"));
        }
        let Some(held) = self.python() else { return Ok(Obj::none(py)) };
        let item = match order {
            Order::Priority => {
                py.import(intern!(py, "heapq"))?.call_method1(intern!(py, "heappop"), (held,))?
            }
            Order::Fifo => held.bind(py).call_method0(intern!(py, "popleft"))?,
            Order::Lifo => held.bind(py).call_method0(intern!(py, "pop"))?,
        };
        Ok(item.into())
    }

    pub(super) fn order(&self) -> Order {
        self.order.get()
    }

    /// A list of the items as they stand.
    ///
    /// # Errors
    /// What iterating over the object there raises.
    pub(super) fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let ring: Vec<Obj> = match &*self.store.borrow() {
            Store::Ring(ring) => ring.iter().cloned().collect(),
            Store::Python(_) => Vec::new(),
        };
        match self.python() {
            None => PyList::new(py, ring),
            Some(held) => {
                let items = held.bind(py).try_iter()?.collect::<PyResult<Vec<_>>>()?;
                PyList::new(py, items)
            }
        }
    }

    /// `_queue`: from now on the items are in the object that this gives.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn expose(&self, py: Python<'_>) -> PyResult<Obj> {
        if let Some(held) = self.python() {
            return Ok(held);
        }
        let list = self.list(py)?;
        let shown: Obj = if self.order.get() == Order::Fifo {
            py.import("collections")?.call_method1("deque", (list,))?.into()
        } else {
            list.into()
        };
        self.replace(shown.clone());
        Ok(shown)
    }

    /// Sets `_queue`.
    pub(super) fn replace(&self, object: Obj) {
        let old = self.store.replace(Store::Python(object));
        drop(old);
    }

    pub(super) fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(store) = self.store.try_borrow() {
            match &*store {
                Store::Ring(ring) => ring.iter().for_each(|item| visit.obj(item)),
                Store::Python(held) => visit.obj(held),
            }
        }
    }

    pub(super) fn clear(&self) {
        let old = self.store.replace(Store::Ring(VecDeque::new()));
        drop(old);
    }
}
