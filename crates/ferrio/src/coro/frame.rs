//! The frame of a native coroutine: what it waits for, what it keeps, and how values pass in and out.

use std::cell::{Cell, RefCell};
use std::future::Future as RustFuture;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ferrio_object::{Obj, Sharing};
use pyo3::prelude::*;

use crate::future::Future;

/// What a suspended coroutine waits for.
pub(super) enum Awaiting {
    Nothing,
    /// About to be driven for the first time.
    Fresh(Obj),
    /// One of our futures, which has been yielded.
    Future(Obj<Future>),
    /// Any other awaitable's iterator, to which everything is passed through.
    Iterator(Obj),
}

ferrio_object::traverse!(
    enum Awaiting {
        Nothing,
        Fresh(obj),
        Future(fut),
        Iterator(obj),
    }
);

/// Shared between the coroutine object and the Rust future it drives.
pub(super) struct Frame {
    pub(super) awaiting: RefCell<Awaiting>,
    /// What the last await gave, on its way to the Rust future.
    pub(super) arrived: Cell<Option<PyResult<Obj>>>,
    held: RefCell<Vec<Option<Obj>>>,
    /// Any object: it proves that whoever holds the frame is on an attached thread.
    witness: Obj,
}

ferrio_object::traverse!(struct Frame { awaiting, arrived: unowned, held, witness });

impl Frame {
    pub(super) fn new(py: Python<'_>) -> Sharing<Frame> {
        Sharing::new(Frame {
            awaiting: RefCell::new(Awaiting::Nothing),
            arrived: Cell::new(None),
            held: RefCell::new(Vec::new()),
            witness: Obj::none(py),
        })
    }

    pub(super) fn clear(&self) {
        let awaiting = self.awaiting.replace(Awaiting::Nothing);
        drop(awaiting);
        let held = self.held.take();
        drop(held);
    }
}

/// The coroutine seen from inside: a Rust `async fn` awaits Python through it.
#[derive(Clone)]
pub(crate) struct Co(pub(super) Rc<Frame>);

impl Co {
    /// The token. Ask for it after each await rather than keeping it over one.
    #[inline]
    pub(crate) fn py(&self) -> Python<'_> {
        self.0.witness.py()
    }

    /// Awaits a Python awaitable: a future, a task, a coroutine, anything with `__await__`.
    ///
    /// # Errors
    /// What it raises, what is thrown in from outside, `TypeError` if it cannot be awaited.
    pub(crate) fn wait(&self, awaitable: impl Into<Waitable>) -> Wait {
        Wait { frame: Rc::clone(&self.0), awaitable: Some(awaitable.into().0) }
    }

    /// Keeps a reference in the frame, where the garbage collector sees it.
    pub(crate) fn hold(&self, obj: impl Into<Waitable>) -> Local {
        let mut held = self.0.held.borrow_mut();
        held.push(Some(obj.into().0));
        Local { frame: Rc::clone(&self.0), index: held.len() - 1 }
    }
}

/// An object, from any of the forms in which callers have one.
pub(crate) struct Waitable(Obj);

impl<T: 'static> From<Obj<T>> for Waitable {
    fn from(obj: Obj<T>) -> Self {
        Waitable(obj.into_any())
    }
}

impl<T: 'static> From<&Obj<T>> for Waitable {
    fn from(obj: &Obj<T>) -> Self {
        Waitable(obj.as_any().clone())
    }
}

/// A reference kept in a frame.
pub(crate) struct Local {
    frame: Rc<Frame>,
    index: usize,
}

impl Local {
    /// The object. `None` if the garbage collector has cleared the frame, after which the coroutine does not run.
    #[inline]
    pub(crate) fn get(&self) -> Obj {
        let held = self.frame.held.borrow();
        held[self.index].clone().unwrap_or_else(|| self.frame.witness.clone())
    }

    /// Puts another object in its place.
    pub(crate) fn set(&self, obj: Obj) {
        let old = self.frame.held.borrow_mut()[self.index].replace(obj);
        drop(old);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let old = match self.frame.held.try_borrow_mut() {
            Ok(mut held) => held.get_mut(self.index).and_then(Option::take),
            Err(_) => None,
        };
        drop(old);
    }
}

/// The leaf of every await.
pub(crate) struct Wait {
    frame: Rc<Frame>,
    awaitable: Option<Obj>,
}

impl RustFuture for Wait {
    type Output = PyResult<Obj>;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<PyResult<Obj>> {
        if let Some(awaitable) = self.awaitable.take() {
            let old = self.frame.awaiting.replace(Awaiting::Fresh(awaitable));
            drop(old);
            return Poll::Pending;
        }
        match self.frame.arrived.take() {
            Some(arrived) => Poll::Ready(arrived),
            None => Poll::Pending,
        }
    }
}
