//! Waiters, in order of arrival.
//!
//! A waiter that joins gets a ticket, and leaves by it. asyncio's deques search for a waiter from the front each time
//! one leaves: cancelling a million waiters from the back takes a million times half a million comparisons. Here a
//! place is found by halving, is left vacant, and vacant places are cleared away when they are as many as the others.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_object::{Any, Args, Class, ClassBuilder, Obj, ObjCell};
use pyo3::exceptions::PyIndexError;
use pyo3::intern;
use pyo3::prelude::*;
use smallvec::SmallVec;

use crate::future_likes;

struct Place {
    ticket: u64,
    waiter: Option<Obj>,
}

ferrio_object::traverse!(struct Place { ticket, waiter });

/// A line. Its first place is never vacant.
pub(crate) struct Line {
    places: RefCell<VecDeque<Place>>,
    vacant: Cell<usize>,
    next: Cell<u64>,
    /// Waiters whose ticket is below this one are done.
    done_until: Cell<u64>,
}

ferrio_object::traverse!(struct Line { places, vacant, next, done_until }, clear = Line::forget_vacant);

/// Fewer vacant places than this are not worth clearing away.
const FEW: usize = 32;

/// Room for more places than this is given back when nobody waits any more: a crowd may come only once.
const CROWD: usize = 1024;

impl Line {
    pub(crate) const fn new() -> Self {
        Line {
            places: RefCell::new(VecDeque::new()),
            vacant: Cell::new(0),
            next: Cell::new(0),
            done_until: Cell::new(0),
        }
    }

    /// Joins at the end; the ticket says where.
    #[inline]
    pub(crate) fn join(&self, waiter: Obj) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        self.places.borrow_mut().push_back(Place { ticket, waiter: Some(waiter) });
        ticket
    }

    /// Leaves the line, unless somebody else has taken the waiter out; hands the waiter back.
    #[inline]
    pub(crate) fn leave(&self, ticket: u64) -> Option<Obj> {
        let mut places = self.places.borrow_mut();
        let first = places.front()?.ticket;
        if first == ticket {
            return self.take_first(&mut places);
        }
        let at = places.binary_search_by_key(&ticket, |place| place.ticket).ok()?;
        let waiter = places[at].waiter.take()?;
        self.vacant.set(self.vacant.get() + 1);
        if self.vacant.get() > FEW && self.vacant.get() * 2 > places.len() {
            places.retain(|place| place.waiter.is_some());
            places.shrink_to(2 * FEW);
            self.vacant.set(0);
        }
        Some(waiter)
    }

    fn take_first(&self, places: &mut VecDeque<Place>) -> Option<Obj> {
        let waiter = places.pop_front()?.waiter;
        while places.front().is_some_and(|place| place.waiter.is_none()) {
            places.pop_front();
            self.vacant.set(self.vacant.get() - 1);
        }
        if places.is_empty() && places.capacity() > CROWD {
            *places = VecDeque::new();
        }
        waiter
    }

    /// Takes the first out.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Obj> {
        self.take_first(&mut self.places.borrow_mut())
    }

    /// The first.
    #[inline]
    pub(crate) fn first(&self) -> Option<Obj> {
        self.places.borrow().front().and_then(|place| place.waiter.clone())
    }

    /// How many wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.places.borrow().len() - self.vacant.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// All of them as they stand now: to walk them while they may come and go.
    #[inline]
    pub(crate) fn snapshot(&self) -> SmallVec<[Obj; 8]> {
        self.places.borrow().iter().filter_map(|place| place.waiter.clone()).collect()
    }

    /// The one at this index, vacant places counted; `None` behind the end.
    #[inline]
    #[allow(clippy::option_option)] // whether there is a place, and whether somebody stands in it
    fn at(&self, index: usize) -> Option<Option<Obj>> {
        self.places.borrow().get(index).map(|place| place.waiter.clone())
    }

    /// Whether `test` holds for any of them, the first ones first.
    ///
    /// # Errors
    /// What asking a foreign waiter raises.
    #[inline]
    pub(crate) fn any(&self, test: impl Fn(&Obj) -> PyResult<bool>) -> PyResult<bool> {
        let mut index = 0;
        while let Some(waiter) = self.at(index) {
            if let Some(waiter) = waiter
                && test(&waiter)?
            {
                return Ok(true);
            }
            index += 1;
        }
        Ok(false)
    }

    /// Wakes up to `count` of those who are not done, the first ones first; says how many there were.
    ///
    /// A waiter that is done stays in the line until its task has run. Those at the front that an earlier call has
    /// found so are not looked at again: when a crowd is cancelled, each of it calls this.
    ///
    /// # Errors
    /// What scheduling on a foreign loop raises.
    #[inline]
    pub(crate) fn wake(&self, py: Python<'_>, count: usize) -> PyResult<usize> {
        let mut woken = 0;
        while woken < count
            && let Some((ticket, waiter)) = self.from(self.done_until.get())
        {
            if future_likes::wake(py, &waiter)? {
                woken += 1;
            }
            self.done_until.set(self.done_until.get().max(ticket + 1));
        }
        Ok(woken)
    }

    /// The first waiter whose ticket is not below this one.
    #[inline]
    fn from(&self, ticket: u64) -> Option<(u64, Obj)> {
        let places = self.places.borrow();
        let first = places.front()?.ticket;
        // Where nobody has left, a ticket says the place.
        let guess = usize::try_from(ticket.saturating_sub(first)).unwrap_or(usize::MAX);
        let at = match places.get(guess) {
            Some(place) if place.ticket == ticket || guess == 0 => guess,
            _ => places.partition_point(|place| place.ticket < ticket),
        };
        places.range(at..).find_map(|place| Some((place.ticket, place.waiter.clone()?)))
    }

    /// Takes waiters out from the front until one of them can be woken, and wakes it.
    ///
    /// # Errors
    /// What scheduling on a foreign loop raises.
    #[inline]
    pub(crate) fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        while let Some(waiter) = self.pop() {
            if future_likes::wake(py, &waiter)? {
                break;
            }
        }
        Ok(())
    }
}

impl Line {
    /// Sets `_waiters` and its like: those who wait from now on.
    ///
    /// # Errors
    /// What iterating over them raises.
    pub(crate) fn replace(&self, waiters: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let waiters: Vec<Obj> = match waiters {
            Some(waiters) if !waiters.is_none() => {
                waiters.try_iter()?.map(|waiter| waiter.map(Obj::from)).collect::<PyResult<_>>()?
            }
            _ => Vec::new(),
        };
        let old = self.places.take();
        self.forget_vacant();
        drop(old);
        for waiter in waiters {
            self.join(waiter);
        }
        Ok(())
    }

    /// For the collector, which takes the places out.
    fn forget_vacant(&self) {
        self.vacant.set(0);
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// A line as Python sees it under `_waiters`, `_getters`, `_putters`: what asyncio has a deque for.
pub struct Waiters {
    primitive: ObjCell,
    line: Cell<Option<Pick>>,
}

/// Finds the line in the primitive that has it.
pub(crate) type Pick = for<'a> fn(&'a Obj) -> Option<&'a Line>;

impl Waiters {
    /// The line of a primitive.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn of(py: Python<'_>, primitive: &Obj, line: Pick) -> PyResult<Obj<Waiters>> {
        let contents = Waiters { primitive: ObjCell::new(primitive.clone()), line: Cell::new(Some(line)) };
        Obj::create(py, ((), contents))
    }

    fn with<R>(&self, f: impl FnOnce(&Line) -> R) -> Option<R> {
        let (primitive, line) = (self.primitive.get()?, self.line.get()?);
        line(&primitive).map(f)
    }

    fn all(&self) -> SmallVec<[Obj; 8]> {
        self.with(Line::snapshot).unwrap_or_default()
    }

    fn append(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        let [waiter] = args.bind(&ferrio_object::Signature::new("append", ["waiter"]))?;
        if let Some(waiter) = waiter {
            this.with(|line| line.join(waiter.into()));
        }
        Ok(())
    }

    fn popleft(this: &Obj<Self>, _py: Python<'_>) -> PyResult<Obj> {
        let first = this.with(Line::pop).flatten();
        first.ok_or_else(|| PyIndexError::new_err("pop from an empty deque"))
    }

    /// A deque of them, as asyncio has it.
    ///
    /// # Errors
    /// `MemoryError`.
    pub(crate) fn deque<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiters = pyo3::types::PyList::new(py, self.all())?;
        crate::imported::module(py, "collections")?.call_method1("deque", (waiters,))
    }

    /// `_wakeup_next(waiters)` of a queue: takes waiters out from the front until one of them can be woken.
    ///
    /// # Errors
    /// What the waiters' methods raise.
    pub(crate) fn wake_next_of(py: Python<'_>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(ours) = Obj::<Waiters>::from_bound(waiters) {
            return ours.with(|line| line.wake_next(py)).unwrap_or(Ok(()));
        }
        while waiters.is_truthy()? {
            let waiter = waiters.call_method0(intern!(py, "popleft"))?;
            if future_likes::wake(py, Obj::of(&waiter))? {
                break;
            }
        }
        Ok(())
    }

    fn repr(this: &Obj<Self>, py: Python<'_>) -> PyResult<String> {
        let shown = pyo3::types::PyList::new(py, this.all())?.repr()?;
        Ok(format!("deque({shown})"))
    }
}

impl Class for Waiters {
    type Base = Any;
    ferrio_object::fields!(Waiters { primitive, line });
    const NAME: &'static str = "ferrio._ferrio._waiters";
    const DOC: &'static str = "Futures of the tasks that wait, in order.";
    const SUBCLASS: bool = false;
    const NEW: bool = false;

    fn blank() -> Self {
        Waiters { primitive: ObjCell::empty(), line: Cell::new(None) }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .len(|this: &Obj<Self>, _py: Python<'_>| Ok(this.with(Line::len).unwrap_or(0)))
            .item(|this: &Obj<Self>, _py: Python<'_>, index: isize| {
                Ok(usize::try_from(index).ok().and_then(|index| this.all().get(index).cloned()))
            })
            .repr(Self::repr)
            .method("append", Self::append, "append($self, waiter, /)\n--\n\nAdd a future at the end.")
            .method0("popleft", Self::popleft, "popleft($self, /)\n--\n\nTake the first out.");
    }
}
