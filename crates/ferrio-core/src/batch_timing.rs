//! When datagrams are sent that a protocol sends while a batch of received ones is delivered to it.
//!
//! asyncio receives one datagram per turn of the loop, and sends an answer at once. Here one event brings a batch, and
//! the answers to it can leave with one system call. They are held back for that where nobody can reasonably notice: on
//! an endpoint that has handled its last batches quickly, and until [`WAIT`] has passed or the batch is delivered. What
//! cannot be foreseen is a handler that takes long after some that did not; it ends the habit for long.
//!
//! [`BatchTiming`] belongs to one endpoint, which reports what it does, and the time in seconds where it is asked for.

use crate::write_timing::{Gathering, Habit, QUICK, Round};

/// Seconds after which what is held back is sent before the next datagram is delivered.
pub const WAIT: f64 = 100e-6;

/// What decides about the answers of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct BatchTiming {
    habit: Habit,
    /// When the batch began to be delivered.
    began: f64,
    /// The time at the last report.
    now: f64,
    /// Datagrams that were sent in the batch: none, one, or two for several.
    sent: u8,
    /// The time before the first of those that are held back.
    held_since: Option<f64>,
    /// Something was held back for too long.
    held_up: bool,
}

impl BatchTiming {
    /// A batch of several datagrams is about to be delivered.
    #[inline]
    pub fn batch_begins(&mut self, now: f64) {
        *self = Self { habit: self.habit, began: now, now, sent: 0, held_since: None, held_up: false };
    }

    /// A datagram is sent while a batch is delivered. Returns whether it is to be held back.
    #[inline]
    pub fn send(&mut self, gathering: Gathering) -> bool {
        self.sent = (self.sent + 1).min(2);
        let hold = match gathering {
            Gathering::Never => false,
            Gathering::Learned => self.habit.is_usual(),
            Gathering::Turn => true,
        };
        if hold {
            self.held_since.get_or_insert(self.now);
        }
        hold
    }

    /// Whether something is held back.
    #[inline]
    pub const fn holds(&self) -> bool {
        self.held_since.is_some()
    }

    /// A datagram has been delivered, and something is held back. Returns whether that is to be sent before the next.
    #[inline]
    pub fn delivered(&mut self, now: f64) -> bool {
        self.now = now;
        self.held_since.is_some_and(|since| now - since > WAIT)
    }

    /// What is held back is about to be sent.
    #[inline]
    pub fn sends_held(&mut self, now: f64) {
        if let Some(since) = self.held_since.take() {
            self.held_up |= now - since > QUICK;
        }
        self.now = now;
    }

    /// The batch has been delivered, and nothing is held back any more.
    pub fn batch_ended(&mut self, now: f64) {
        if self.sent > 1 {
            self.habit.note(if self.held_up {
                Round::HeldUp
            } else if now - self.began > QUICK && !self.habit.is_usual() {
                Round::Other
            } else {
                Round::Gathers
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::write_timing::{CAUTIOUS, USUAL};

    /// A batch whose handlers take so many seconds each, and answer; which answers were held back, and for how long at
    /// most.
    fn batch(timing: &mut BatchTiming, handlers: &[f64]) -> (Vec<bool>, f64) {
        let (mut now, mut longest, mut waiting) = (0.0, 0.0_f64, None);
        let mut held = Vec::new();
        timing.batch_begins(now);
        for took in handlers {
            held.push(timing.send(Gathering::Learned));
            if timing.holds() {
                waiting.get_or_insert(now);
            }
            now += took;
            if timing.holds() && timing.delivered(now) {
                timing.sends_held(now);
                longest = longest.max(now - waiting.take().unwrap());
            }
        }
        if timing.holds() {
            timing.sends_held(now);
            longest = longest.max(now - waiting.take().unwrap());
        }
        timing.batch_ended(now);
        assert!(!timing.holds());
        (held, longest)
    }

    fn used() -> BatchTiming {
        let mut timing = BatchTiming::default();
        for _ in 0..USUAL {
            assert_eq!(batch(&mut timing, &[1e-6; 4]).0, [false; 4]);
        }
        timing
    }

    #[test]
    fn answers_are_held_after_some_batches() {
        assert_eq!(batch(&mut used(), &[1e-6; 4]).0, [true; 4]);
    }

    #[test]
    fn the_setting_goes_before_the_habit() {
        let mut timing = used();
        timing.batch_begins(0.0);
        assert!(!timing.send(Gathering::Never));
        let mut timing = BatchTiming::default();
        timing.batch_begins(0.0);
        assert!(timing.send(Gathering::Turn));
    }

    #[test]
    fn nothing_waits_while_many_are_handled_that_take_a_little() {
        let mut timing = used();
        let (held, longest) = batch(&mut timing, &[60e-6; 16]);
        assert_eq!(held, [true; 16]);
        assert!(longest < WAIT + 60e-6, "{longest}");
        // The whole took a millisecond, and nothing waited for long.
        assert_eq!(batch(&mut timing, &[1e-6; 4]).0, [true; 4]);
    }

    #[test]
    fn a_slow_handler_ends_the_habit_for_long() {
        let mut timing = used();
        batch(&mut timing, &[1e-6, QUICK * 2.0, 1e-6]);
        for _ in 0..CAUTIOUS {
            assert_eq!(batch(&mut timing, &[1e-6; 2]).0, [false; 2]);
        }
        assert_eq!(batch(&mut timing, &[1e-6; 2]).0, [true; 2]);
    }

    #[test]
    fn batches_without_answers_change_nothing() {
        let mut timing = used();
        timing.batch_begins(0.0);
        timing.batch_ended(1.0);
        assert_eq!(batch(&mut timing, &[1e-6; 2]).0, [true; 2]);
    }

    proptest! {
        /// Whatever handlers take: what waits longer than a moment and one handler does not exist, and what waits for
        /// more than `QUICK` does so in one batch of `CAUTIOUS`.
        #[test]
        fn waits_are_short_or_rare(batches in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![9 => Just(1e-6), 3 => Just(50e-6), 1 => Just(2e-3)], 2..17), 1..300)
        ) {
            let mut timing = BatchTiming::default();
            let mut late = 0;
            for handlers in &batches {
                let slowest = handlers.iter().copied().fold(0.0, f64::max);
                let (_, longest) = batch(&mut timing, handlers);
                prop_assert!(longest <= WAIT + slowest + 1e-9);
                late += usize::from(longest > QUICK);
            }
            prop_assert!(late <= 1);
        }
    }
}
