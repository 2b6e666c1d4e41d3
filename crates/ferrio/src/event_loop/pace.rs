//! How often a loop with work polls the driver.
//!
//! Polling costs as much as a whole task switch, so while work is ready it is done only now and then. The bound, which
//! `tests/test_fairness.py` holds: readiness and due timers are looked at again after at most [`MAX_TURNS`] turns, and
//! after the turn in which [`MAX_ITEMS`] items or [`MAX_DELAY`] seconds have gone by since the last look, where the
//! clock is read every [`CLOCK_TURNS`] turns.

use std::cell::Cell;

use ferrio_core::clock;

use super::interpreter::Checked;

/// Turns with work after which the driver is polled whatever happens.
const MAX_TURNS: u32 = 256;
/// Items run after which the driver is polled before the next turn.
const MAX_ITEMS: u32 = 256;
/// Seconds of work after which the driver is polled before the next turn.
const MAX_DELAY: f64 = 50e-6;
/// The clock is read in every so many turns.
const CLOCK_TURNS: u32 = 8;

/// What has happened since the driver was last polled.
pub(crate) struct Pace {
    pub(crate) turns: Cell<u32>,
    pub(crate) items: Cell<u32>,
    pub(crate) polled_at: Cell<f64>,
    /// How many of the next items are worth looking ahead of: the events of a poll that brought more than one, and as
    /// many again for the tasks that they wake.
    pub(crate) ahead: Cell<usize>,
    pub(crate) interpreter: Checked,
}

impl Pace {
    pub(crate) const fn new() -> Self {
        Pace {
            turns: Cell::new(MAX_TURNS),
            items: Cell::new(0),
            polled_at: Cell::new(0.0),
            ahead: Cell::new(0),
            interpreter: Checked::never(),
        }
    }

    #[inline]
    pub(crate) fn time_to_poll(&self) -> bool {
        let turns = self.turns.get() + 1;
        self.turns.set(turns);
        turns > MAX_TURNS
            || self.items.get() > MAX_ITEMS
            || (turns.is_multiple_of(CLOCK_TURNS) && clock::monotonic() - self.polled_at.get() > MAX_DELAY)
    }

    /// Makes the next turn poll.
    pub(crate) fn poll_next(&self) {
        self.turns.set(MAX_TURNS);
    }

    /// A timer has been set. If it is due already, it has its turn in the next one.
    #[inline]
    pub(crate) fn timer_set(&self, when: f64) {
        if when <= self.polled_at.get() {
            self.poll_next();
        }
    }
}
