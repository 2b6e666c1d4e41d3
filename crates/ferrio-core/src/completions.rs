//! What a loop is told by threads that are not its own: that a call is done.
//!
//! The loop gives each call a number and hands a [`Ticket`] with it to the thread. The thread leaves the result in the
//! ticket's slot, posts the number, and wakes the loop. It knows neither Python nor the loop, which may be closed by
//! then: nobody collects the number, and the result is dropped with the slot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::Waker;

/// The numbers of calls that are done and not yet collected by the loop.
#[derive(Debug)]
pub struct Completions {
    done: Mutex<Vec<u64>>,
    waker: Arc<Waker>,
}

/// Where the result of a call is found. Empty before the call is done, and after it if the call came to nothing: it
/// panicked, or was thrown away by a pool that was shut down.
pub type Slot<T> = Arc<Mutex<Option<T>>>;

/// The right to complete one call.
#[derive(Debug)]
pub struct Ticket<T> {
    number: u64,
    slot: Slot<T>,
    completions: Arc<Completions>,
}

/// Values are moved in and out while a lock is held, which does not panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Completions {
    /// For the loop that `waker` wakes.
    pub fn new(waker: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self { done: Mutex::default(), waker })
    }

    /// The ticket for the call that the loop knows by `number`, and the place of its result.
    pub fn ticket<T>(self: &Arc<Self>, number: u64) -> (Ticket<T>, Slot<T>) {
        let slot = Slot::default();
        (Ticket { number, slot: Arc::clone(&slot), completions: Arc::clone(self) }, slot)
    }

    /// Collects the numbers of the calls that are done, in that order.
    pub fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.done))
    }
}

impl<T> Ticket<T> {
    /// The call is done.
    pub fn complete(self, value: T) {
        *lock(&self.slot) = Some(value);
    }
}

/// However a call ends, the loop is told.
impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        lock(&self.completions.done).push(self.number);
        self.completions.waker.wake();
    }
}

/// What is in the slot of a call.
pub fn result<T>(slot: &Slot<T>) -> Option<T> {
    lock(slot).take()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;
    use crate::driver::{Driver, Events};

    #[test]
    fn a_call_on_another_thread_ends_the_poll() {
        let driver = Driver::new().unwrap();
        let completions = Completions::new(driver.waker());
        let (ticket, slot) = completions.ticket(7);
        let thread = thread::spawn(move || ticket.complete("done"));
        let mut events = Events::new();
        let mut numbers = Vec::new();
        while numbers.is_empty() {
            driver.poll(&mut events, None).unwrap();
            assert!(events.woken());
            numbers = completions.take();
        }
        assert_eq!(numbers, [7]);
        assert_eq!(result(&slot), Some("done"));
        assert_eq!(result(&slot), None);
        thread.join().unwrap();
    }

    #[test]
    fn a_call_that_comes_to_nothing_is_told_too() {
        let driver = Driver::new().unwrap();
        let completions = Completions::new(driver.waker());
        let (ticket, slot) = completions.ticket::<()>(1);
        drop(ticket);
        let (panicking, _) = completions.ticket::<()>(2);
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _ticket = panicking;
            std::panic::resume_unwind(Box::new("on purpose"));
        }));
        assert!(unwound.is_err());
        assert_eq!(completions.take(), [1, 2]);
        assert_eq!(result(&slot), None);
    }

    #[test]
    fn a_loop_that_is_gone_is_no_harm() {
        let driver = Driver::new().unwrap();
        let completions = Completions::new(driver.waker());
        let (ticket, slot) = completions.ticket(1);
        drop((driver, completions, slot));
        ticket.complete(vec![1, 2, 3]);
    }
}
