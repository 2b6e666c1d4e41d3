//! What a queue keeps its items in.
//!
//! asyncio's `_queue` is a deque or a list, and subclasses and programs reach for it (`queue._queue.clear()`,
//! `item in queue._queue`). Nobody does so with most queues, and theirs is a native ring. The first that asks for
//! `_queue` gets a real deque or list with the items in it, and from then on the queue lives in that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_object::Obj;
use pyo3::exceptions::{PyAttributeError, PyIndexError};
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
    /// A subclass, this one, has an `_init()` that has put nothing there (yet).
    Missing(Obj),
}

impl Default for Store {
    fn default() -> Self {
        Store::Ring(VecDeque::new())
    }
}

ferrio_object::traverse!(
    enum Store {
        Ring(ring),
        Python(held),
        Missing(held),
    },
    default
);

/// Room for more items than this is given back when the last one is taken out: so many may come only once.
const FLOOD: usize = 1024;

/// The items.
pub(super) struct Items {
    order: Cell<Order>,
    store: RefCell<Store>,
}

ferrio_object::traverse!(struct Items { order, store });

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

    /// Leaves it to the `_init()` of a subclass to say where the items are.
    pub(super) fn leave_to(&self, class: Obj) {
        let old = self.store.replace(Store::Missing(class));
        drop(old);
    }

    /// The Python object in which the items are, for when they are not in the ring.
    fn python(&self, py: Python<'_>) -> PyResult<Obj> {
        let class = match &*self.store.borrow() {
            Store::Python(held) => return Ok(held.clone()),
            Store::Ring(_) => return Ok(Obj::none(py)),
            Store::Missing(class) => class.clone(),
        };
        let name = class.bind(py).getattr(intern!(py, "__name__"))?;
        Err(PyAttributeError::new_err(format!("'{name}' object has no attribute '_queue'")))
    }

    #[inline]
    pub(super) fn is_ring(&self) -> bool {
        matches!(&*self.store.borrow(), Store::Ring(_))
    }

    /// Whether there is anything to show of them.
    ///
    /// # Errors
    /// What the object there raises.
    pub(super) fn is_visible(&self, py: Python<'_>) -> PyResult<bool> {
        let missing = matches!(&*self.store.borrow(), Store::Missing(_));
        Ok(!missing && !self.is_empty(py)?)
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
        Ok(!self.python(py)?.bind(py).is_truthy()?)
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
        self.python(py)?.bind(py).len()
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
        let held = self.python(py)?;
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
        if self.is_ring() {
            return self.pop().ok_or_else(|| PyIndexError::new_err("pop from an empty queue"));
        }
        let held = self.python(py)?;
        let item = match order {
            Order::Priority => {
                py.import(intern!(py, "heapq"))?.call_method1(intern!(py, "heappop"), (held,))?
            }
            Order::Fifo => held.bind(py).call_method0(intern!(py, "popleft"))?,
            Order::Lifo => held.bind(py).call_method0(intern!(py, "pop"))?,
        };
        Ok(item.into())
    }

    /// The next item of the ring, if the items are there and there is one.
    #[inline]
    pub(super) fn pop(&self) -> Option<Obj> {
        let Store::Ring(ring) = &mut *self.store.borrow_mut() else { return None };
        let item = if self.order.get() == Order::Fifo { ring.pop_front() } else { ring.pop_back() };
        if ring.is_empty() && ring.capacity() > FLOOD {
            *ring = VecDeque::new();
        }
        item
    }

    pub(super) fn order(&self) -> Order {
        self.order.get()
    }

    /// A list of the items as they stand.
    ///
    /// # Errors
    /// What iterating over the object there raises.
    pub(super) fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let ring: Option<Vec<Obj>> = match &*self.store.borrow() {
            Store::Ring(ring) => Some(ring.iter().cloned().collect()),
            Store::Python(_) | Store::Missing(_) => None,
        };
        match ring {
            Some(ring) => PyList::new(py, ring),
            None => PyList::new(py, self.python(py)?.bind(py).try_iter()?.collect::<PyResult<Vec<_>>>()?),
        }
    }

    /// `_queue`: from now on the items are in the object that this gives.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(super) fn expose(&self, py: Python<'_>) -> PyResult<Obj> {
        if !self.is_ring() {
            return self.python(py);
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
}
