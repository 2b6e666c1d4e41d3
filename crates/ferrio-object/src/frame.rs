//! The frame of a coroutine written as a Rust `async fn`: what it waits for, what it keeps, how values pass in and out.
//!
//! A Rust future is opaque to the garbage collector. So no Python reference may live in one while it is suspended: what
//! has to survive an await is in the frame, which the coroutine object shows to the collector, and the future has a
//! [`Local`] (for an object) or a [`Kept`] (for a Rust value with objects in it), which only know where. The compiler holds this rule: [`Suspended::new`] asks for a future that is `Send`,
//! and [`Obj`], `Bound` and `Python` are not, so that one of them across an await is an error. [`Co`],
//! [`Local`] and [`Kept`] are `Send` without a promise of ours: they share the frame through [`GilShared`], which shows it to
//! attached threads and leaks it on others, and ask the interpreter before they say that the thread is attached.
//!
//! `PyErr` and `Py` are `Send`. An exception kept across an await is therefore to be held as an object, by hand.

use std::any::Any as AnyValue;
use std::cell::{Cell, RefCell};
use std::future::Future as RustFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::obj::{Any, Obj};
use crate::shared::GilShared;
use crate::traverse::{Traverse, Visit};

/// What a suspended coroutine waits for.
pub enum Awaiting {
    Nothing,
    /// About to be driven for the first time.
    Fresh(Obj),
    /// This very object was yielded.
    Yielded(Obj),
    /// An awaitable's iterator, to which everything is passed through.
    Iterator(Obj),
}

/// Shared between the coroutine object and the Rust future it drives.
pub struct Frame {
    awaiting: RefCell<Awaiting>,
    /// What the last await gave, on its way to the Rust future.
    arrived: Cell<Option<PyResult<Obj>>>,
    held: RefCell<Vec<Option<Obj>>>,
    kept: RefCell<Vec<Option<Rc<dyn Keep>>>>,
}

/// A Rust value in a frame.
trait Keep: Traverse + AnyValue {}

impl<T: Traverse + AnyValue> Keep for T {}

/// Puts a value into a free place.
fn place<T>(places: &RefCell<Vec<Option<T>>>, value: T) -> usize {
    let mut places = places.borrow_mut();
    if let Some(free) = places.iter().position(Option::is_none) {
        places[free] = Some(value);
        return free;
    }
    places.push(Some(value));
    places.len() - 1
}

/// Empties a place, if the frame can be reached from this thread.
fn vacate<T>(
    frame: &GilShared<Frame>,
    places: impl for<'a> Fn(&'a Frame) -> &'a RefCell<Vec<Option<T>>>,
    index: usize,
) {
    // On a detached thread what is there stays with the frame.
    // SAFETY: may be asked anywhere.
    if unsafe { ffi::PyGILState_Check() } != 1 {
        return;
    }
    let old = match places(frame.get(attached())).try_borrow_mut() {
        Ok(mut places) => places.get_mut(index).and_then(Option::take),
        Err(_) => None,
    };
    drop(old);
}

// SAFETY: each field once. What is kept has a second owner only on the stack of the coroutine, which runs then.
unsafe impl Traverse for Frame {
    fn traverse(&self, visit: &mut Visit<'_>) {
        if let Ok(awaiting) = self.awaiting.try_borrow() {
            match &*awaiting {
                Awaiting::Nothing => {}
                Awaiting::Fresh(obj) | Awaiting::Yielded(obj) | Awaiting::Iterator(obj) => {
                    obj.traverse(visit);
                }
            }
        }
        self.held.traverse(visit);
        if let Ok(kept) = self.kept.try_borrow() {
            for value in kept.iter().flatten() {
                value.traverse(visit);
            }
        }
    }
}

impl Frame {
    /// Notes what is waited for, and returns what was.
    #[inline]
    pub fn set_awaiting(&self, awaiting: Awaiting) -> Awaiting {
        self.awaiting.replace(awaiting)
    }

    /// What is waited for.
    pub fn awaited(&self) -> Option<Obj> {
        match &*self.awaiting.borrow() {
            Awaiting::Nothing => None,
            Awaiting::Fresh(obj) | Awaiting::Yielded(obj) | Awaiting::Iterator(obj) => Some(obj.clone()),
        }
    }

    /// Hands an outcome to the await at which the future stands.
    #[inline]
    pub fn arrive(&self, outcome: PyResult<Obj>) {
        self.arrived.set(Some(outcome));
    }

    fn clear(&self) {
        let awaiting = self.awaiting.replace(Awaiting::Nothing);
        drop(awaiting);
        let held = self.held.take();
        drop(held);
        let kept = self.kept.take();
        drop(kept);
        drop(self.arrived.take());
    }
}

/// The token, for what may be carried to other threads.
///
/// # Panics
/// On a detached thread.
#[inline]
fn attached<'py>() -> Python<'py> {
    // SAFETY: may be asked anywhere; where the answer is yes the thread is attached, and stays so as long as what was
    // called here is on its stack: detaching takes a closure that no token can enter.
    unsafe {
        assert!(ffi::PyGILState_Check() == 1, "a coroutine's frame is used on a detached thread");
        Python::assume_attached()
    }
}

type Body = Pin<Box<dyn RustFuture<Output = PyResult<Obj>>>>;

/// A Rust future and its frame.
pub struct Suspended {
    frame: Arc<GilShared<Frame>>,
    body: RefCell<Option<Body>>,
}

impl Suspended {
    /// The future that `body` makes, not begun. It is `Send`, so no Python reference is in it while it is suspended.
    pub fn new<F>(py: Python<'_>, body: impl FnOnce(Co) -> F) -> Suspended
    where
        F: RustFuture<Output = PyResult<Obj>> + Send + 'static,
    {
        let frame = Frame {
            awaiting: RefCell::new(Awaiting::Nothing),
            arrived: Cell::new(None),
            held: RefCell::new(Vec::new()),
            kept: RefCell::new(Vec::new()),
        };
        let frame = Arc::new(GilShared::new(py, frame));
        let body: Body = Box::pin(body(Co(Arc::clone(&frame))));
        Suspended { frame, body: RefCell::new(Some(body)) }
    }

    /// The frame.
    #[inline]
    pub fn frame<'a>(&'a self, py: Python<'a>) -> &'a Frame {
        self.frame.get(py)
    }

    /// Runs the future up to its next await or its end. `Pending`: it has put what it awaits into the frame.
    #[inline]
    pub fn poll(&self) -> Poll<PyResult<Obj>> {
        // The body is out of its place while it runs: it may be asked for from within.
        let Some(mut body) = self.body.borrow_mut().take() else { return Poll::Pending };
        let polled = body.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
        if polled.is_pending() {
            self.body.borrow_mut().replace(body);
        }
        polled
    }

    /// Drops the future where it stands, whose guards do what `finally` would, and then what its frame holds.
    ///
    /// # Panics
    /// On a detached thread.
    pub fn clear(&self) {
        let body = self.body.borrow_mut().take();
        drop(body);
        self.frame.get(attached()).clear();
    }
}

// SAFETY: the frame has many owners, the one that shows it is this: neither `Co`, `Local` nor `Kept` does.
unsafe impl Traverse for Suspended {
    fn traverse(&self, visit: &mut Visit<'_>) {
        // SAFETY: there is a `Visit` only where the collector calls, which is on an attached thread.
        let py = unsafe { Python::assume_attached() };
        self.frame.get(py).traverse(visit);
    }
}

/// The coroutine seen from inside: a Rust `async fn` awaits Python through it.
#[derive(Clone)]
pub struct Co(Arc<GilShared<Frame>>);

impl Co {
    /// The token. It cannot be kept over an await; ask for it after each.
    ///
    /// # Panics
    /// On a detached thread.
    #[inline]
    pub fn py(&self) -> Python<'_> {
        attached()
    }

    /// Awaits a Python awaitable: a future, a task, a coroutine, anything with `__await__`. It is in the frame from here
    /// on, so one thing is waited for at a time.
    ///
    /// # Errors
    /// What it raises, what is thrown in from outside, `TypeError` if it cannot be awaited.
    #[inline]
    pub fn wait(&self, awaitable: impl Into<Waitable>) -> Wait<'_> {
        let py = self.py();
        let old = self.0.get(py).set_awaiting(Awaiting::Fresh(awaitable.into().0));
        debug_assert!(matches!(old, Awaiting::Nothing), "a coroutine waits for one thing at a time");
        drop(old);
        Wait { frame: &self.0, begun: false }
    }

    /// Keeps a reference in the frame, where the garbage collector sees it.
    #[inline]
    pub fn hold<T: 'static>(&self, obj: impl Into<Obj<T>>) -> Local<T> {
        let index = place(&self.0.get(self.py()).held, obj.into().into_any());
        Local { frame: Arc::clone(&self.0), index, contents: PhantomData }
    }

    /// Keeps a Rust value in the frame, where the garbage collector sees what it refers to. It is dropped with what is
    /// returned: guards are kept too.
    pub fn keep<T: Traverse + AnyValue>(&self, value: T) -> Kept<T> {
        let index = place(&self.0.get(self.py()).kept, Rc::new(value) as Rc<dyn Keep>);
        Kept { frame: Arc::clone(&self.0), index, contents: PhantomData }
    }
}

/// An object, from any of the forms in which callers have one.
pub struct Waitable(Obj);

impl<T: 'static> From<Obj<T>> for Waitable {
    #[inline]
    fn from(obj: Obj<T>) -> Self {
        Waitable(obj.into_any())
    }
}

impl<T: 'static> From<&Obj<T>> for Waitable {
    #[inline]
    fn from(obj: &Obj<T>) -> Self {
        Waitable(obj.as_any().clone())
    }
}

/// The place of a reference in a frame. Only this value knows it, so what is there is a `T`.
pub struct Local<T: 'static = Any> {
    frame: Arc<GilShared<Frame>>,
    index: usize,
    contents: PhantomData<fn() -> T>,
}

impl<T: 'static> Local<T> {
    /// A new reference to the object.
    ///
    /// # Panics
    /// On a detached thread, or when the frame was cleared, after which the coroutine does not run.
    #[inline]
    pub fn get(&self) -> Obj<T> {
        let held = self.frame.get(attached()).held.borrow();
        let Some(Some(obj)) = held.get(self.index) else {
            panic!("a coroutine's frame is used after its end")
        };
        // SAFETY: `hold` and `set` put a `T` there, and nobody else does; attached.
        unsafe { Obj::from_borrowed(obj.as_ptr()) }
    }

    /// Puts another object in its place.
    ///
    /// # Panics
    /// As [`Local::get`].
    #[inline]
    pub fn set(&self, obj: Obj<T>) {
        let old = self.frame.get(attached()).held.borrow_mut()[self.index].replace(obj.into_any());
        drop(old);
    }
}

impl<T: 'static> Drop for Local<T> {
    fn drop(&mut self) {
        vacate(&self.frame, |frame| &frame.held, self.index);
    }
}

/// The place of a Rust value in a frame.
pub struct Kept<T: Traverse + AnyValue> {
    frame: Arc<GilShared<Frame>>,
    index: usize,
    contents: PhantomData<fn() -> T>,
}

impl<T: Traverse + AnyValue> Kept<T> {
    /// The value. Not to be kept over an await, as no `Rc` can.
    ///
    /// # Panics
    /// As [`Local::get`].
    pub fn get(&self) -> Rc<T> {
        let kept = self.frame.get(attached()).kept.borrow();
        let Some(Some(value)) = kept.get(self.index) else {
            panic!("a coroutine's frame is used after its end")
        };
        let value: Rc<dyn AnyValue> = Rc::<dyn Keep>::clone(value);
        value.downcast().expect("the place is this value's alone")
    }
}

impl<T: Traverse + AnyValue> Drop for Kept<T> {
    fn drop(&mut self) {
        vacate(&self.frame, |frame| &frame.kept, self.index);
    }
}

/// The leaf of every await.
#[must_use = "nothing is waited for until it is awaited"]
pub struct Wait<'co> {
    frame: &'co GilShared<Frame>,
    begun: bool,
}

impl RustFuture for Wait<'_> {
    type Output = PyResult<Obj>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<PyResult<Obj>> {
        if !self.begun {
            self.begun = true;
            return Poll::Pending;
        }
        match self.frame.get(attached()).arrived.take() {
            Some(arrived) => Poll::Ready(arrived),
            None => Poll::Pending,
        }
    }
}
