//! How often a loop that always has work looks outside: at the driver's descriptors and at its timers.
//!
//! asyncio looks in every turn, and programs count on it: their tests give the other side two `sleep(0)` to answer in.
//! A look costs as much as a whole task switch. So a loop looks in every turn until [`PATIENCE`] looks in a row have
//! found nothing, and then backs off. Anything from outside ends that: an event, a timer that is due, a call from
//! another thread. So does what has an answer as its consequence: data that is sent, a descriptor that is watched, a
//! timer that is due at once. While it lasts the next look comes
//!
//! - before the turn after [`MAX_ITEMS`] items or [`MAX_TURNS`] turns;
//! - at most [`CLOCK_TURNS`] turns after [`MAX_DELAY`] has passed, or a timer has become due.
//!
//! A busy server needs one look fewer. A poll that brings as many events as it has room for is followed by a turn in
//! which the tasks run that it has woken. If there are as many of them, that turn does not look: what it would find
//! only comes between these tasks and their connections, which the processor's second cache still holds.
//!
//! `tests/test_fairness.py` holds the bounds.

use std::cell::Cell;

use ferrio_core::clock;
use ferrio_core::driver::Events;

use super::interpreter::Checked;

/// Looks in a row that have found nothing, after which the loop backs off.
const PATIENCE: u32 = 64;
/// Turns without a look.
const MAX_TURNS: u32 = 256;
/// Items run without a look.
const MAX_ITEMS: u32 = 256;
/// Seconds without a look.
const MAX_DELAY: f64 = 50e-6;
/// While the loop backs off, the clock is read in every so many turns.
const CLOCK_TURNS: u32 = 8;

/// What has happened since the loop last looked outside.
pub(crate) struct Pace {
    /// Looks in a row that have found nothing.
    fruitless: Cell<u32>,
    turns: Cell<u32>,
    items: Cell<u32>,
    looked_at: Cell<f64>,
    /// Whether the last poll brought as many events as it had room for.
    full: Cell<bool>,
    /// The events of the last poll, if there were several.
    events: Cell<usize>,
    /// How many of the next items are worth looking ahead of: the events of a poll that brought more than one, and as
    /// many again for the tasks that they wake.
    ahead: Cell<usize>,
    pub(crate) interpreter: Checked,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Pace {
            fruitless: Cell::new(0),
            turns: Cell::new(0),
            items: Cell::new(0),
            looked_at: Cell::new(0.0),
            full: Cell::new(false),
            events: Cell::new(0),
            ahead: Cell::new(0),
            interpreter: Checked::never(),
        }
    }

    /// Whether this turn looks outside. `waiting` items are ready already; `is_due` says whether a timer is due at a
    /// time.
    #[inline]
    pub(crate) fn time_to_look(&self, waiting: usize, is_due: impl FnOnce(f64) -> bool) -> bool {
        if self.fruitless.get() < PATIENCE {
            return !(self.full.replace(false) && waiting >= Events::CAPACITY);
        }
        let turns = self.turns.get() + 1;
        self.turns.set(turns);
        if turns > MAX_TURNS || self.items.get() > MAX_ITEMS {
            return true;
        }
        turns.is_multiple_of(CLOCK_TURNS) && {
            let now = clock::monotonic();
            now - self.looked_at.get() > MAX_DELAY || is_due(now)
        }
    }

    /// The loop has looked, at `now`; `events` is what the driver had, and `found` whether there was anything at all.
    #[inline]
    pub(crate) fn looked(&self, now: f64, events: &Events, found: bool) {
        self.fruitless.set(if found { 0 } else { self.fruitless.get().saturating_add(1) });
        self.turns.set(0);
        self.items.set(0);
        self.looked_at.set(now);
        let count = events.len();
        self.full.set(count >= Events::CAPACITY);
        // What the poll before has woken comes first, and then what this one has found.
        let several = if count > 1 { count } else { 0 };
        let woken = self.ahead.get().min(self.events.replace(several));
        self.ahead.set(woken + 2 * several);
    }

    /// `count` items are about to run. Returns how many of them are worth looking ahead of.
    #[inline]
    pub(crate) fn runs(&self, count: usize) -> usize {
        self.items.set(self.items.get().saturating_add(count as u32));
        let left = self.ahead.get();
        let ahead = left.min(count);
        self.ahead.set(left - ahead);
        ahead
    }

    /// Something may come from outside at once. Makes the next turn look.
    #[inline]
    pub(crate) fn expect(&self) {
        self.fruitless.set(0);
    }

    /// A timer has been set. One that is due before a look comes by itself is expected.
    #[inline]
    pub(crate) fn timer_set(&self, when: f64) {
        if self.fruitless.get() >= PATIENCE && when <= clock::monotonic() + MAX_DELAY {
            self.expect();
        }
    }
}
