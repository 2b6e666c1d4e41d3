//! One operation at a time on a file: those of several tasks take turns, in the order in which they came.
//!
//! A turn ends when its task is through with it *and* nothing of it is under way: a task that is cancelled in the
//! middle of a read leaves, and the next one begins after that read.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ferrio_object::Obj;
use pyo3::prelude::*;

use super::file::File;
use crate::coro::{Co, Local};
use crate::event_loop::{Loop, LoopRef};
use crate::future::{self, Future};

/// Whether the turn is taken, and what waits for it.
#[derive(Default)]
pub(super) struct Turns {
    taken: Cell<bool>,
    /// The turn's task is gone, but not its operation.
    left: Cell<bool>,
    waiting: RefCell<VecDeque<Obj<Future>>>,
}

ferrio_object::traverse!(struct Turns { taken, left, waiting });

impl Turns {
    /// Nothing is under way any more.
    pub(super) fn operated(&self, py: Python<'_>) {
        if self.left.take() {
            self.pass_on(py);
        }
    }

    fn pass_on(&self, py: Python<'_>) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else { break };
            if future::wake(&next, py).unwrap_or(false) {
                return;
            }
        }
        self.taken.set(false);
    }
}

/// The turn.
pub(super) struct Turn<'a> {
    file: &'a Local<File>,
}

impl<'a> Turn<'a> {
    /// Waits for the turn.
    ///
    /// # Errors
    /// What is thrown in.
    pub(super) async fn of(co: &Co, event_loop: &Local<Loop>, file: &'a Local<File>) -> PyResult<Turn<'a>> {
        if file.get().turns.taken.replace(true) {
            let (wait, fut) = {
                let fut = Future::create(co.py(), LoopRef::Native(event_loop.get()))?;
                file.get().turns.waiting.borrow_mut().push_back(fut.clone());
                (co.wait(&fut), co.hold(fut))
            };
            if let Err(err) = wait.await {
                let (file, fut) = (file.get(), fut.get());
                if fut.is_done() && !fut.is_cancelled() {
                    // It was given the turn and cancelled at once.
                    file.turns.pass_on(co.py());
                } else {
                    file.turns.waiting.borrow_mut().retain(|known| !known.is(&fut));
                }
                return Err(err);
            }
        }
        Ok(Turn { file })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let file = self.file.get();
        if file.in_flight.get() {
            file.turns.left.set(true);
        } else {
            file.turns.pass_on(file.py());
        }
    }
}
