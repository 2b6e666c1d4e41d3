//! Timers: deadlines in order, cancelled in constant time.
//!
//! Most timers are timeouts that never fire: they are set and soon cancelled. So a cancel must not look for its
//! place in the heap. It takes the value out of its slot at once (the caller may free it), and leaves the heap entry
//! behind as dead; an entry is dead if its token is stale. Dead entries leave when they reach the top, when they are
//! the last in the array (set-and-cancel leaves nothing behind), or when there are more of them than live ones:
//! then the heap is rebuilt, so that memory stays within twice the live timers. Asyncio does the same with the same
//! thresholds in spirit (`_MIN_CANCELLED_TIMER_HANDLES_FRACTION`).
//!
//! The heap is four-ary: half as deep as a binary one, and the four children lie in two cache lines. Equal deadlines
//! fire in the order they were set, which asyncio's `heapq` does not promise and everybody relies on.

use crate::driver::Token;
use crate::registry::Registry;

/// Names a timer. It is stale, and every use of it `None`, once the timer has fired or was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerKey(Token);

impl TimerKey {
    /// The key as one word, for an owner that keeps it in an atomic or a raw field.
    pub const fn to_u64(self) -> u64 {
        self.0.to_u64()
    }

    /// The key back from [`TimerKey::to_u64`].
    pub const fn from_u64(word: u64) -> Self {
        Self(Token::from_u64(word))
    }
}

/// Values waiting for their deadlines. Deadlines are seconds on the caller's clock.
#[derive(Debug)]
pub struct Timers<T> {
    values: Registry<T>,
    /// A four-ary min-heap by [`Entry::rank`]. Holds every live timer once, and dead entries beside them.
    heap: Vec<Entry>,
    /// Breaks ties between equal deadlines: first set, first fired.
    next_sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The deadline as an integer that sorts like the float (see [`sortable`]).
    deadline: u64,
    sequence: u64,
    token: Token,
}

impl Entry {
    fn rank(&self) -> u128 {
        u128::from(self.deadline) << 64 | u128::from(self.sequence)
    }
}

const ARITY: usize = 4;

/// With fewer dead entries than this the heap is not worth rebuilding.
const MIN_DEAD: usize = 64;

/// After this many timers due at once, the others that are due are sorted, if a pass over the whole heap costs no more
/// than so many entries for each that was due.
const MIN_SORTED: usize = 64;
const SORTED_SHARE: usize = 16;

impl<T> Timers<T> {
    pub const fn new() -> Self {
        Self { values: Registry::new(), heap: Vec::new(), next_sequence: 0 }
    }

    /// How many timers wait; cancelled ones do not count.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Sets a timer. `deadline` must be a number; infinity is one, and never comes. (NaN is refused in debug builds
    /// and never fires in release builds.)
    pub fn insert(&mut self, deadline: f64, value: T) -> TimerKey {
        debug_assert!(!deadline.is_nan(), "a deadline must be a number");
        let token = self.values.insert(value);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.heap.push(Entry { deadline: sortable(deadline), sequence, token });
        self.sift_up(self.heap.len() - 1);
        TimerKey(token)
    }

    /// Cancels a timer and hands its value back; `None` if it has fired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let value = self.values.remove(key.0)?;
        // Taking the last entries off the array leaves a heap.
        while self.heap.last().is_some_and(|entry| self.is_dead(entry)) {
            self.heap.pop();
        }
        let dead = self.heap.len() - self.values.len();
        if dead > MIN_DEAD && dead > self.values.len() {
            self.compact();
        }
        Some(value)
    }

    /// The value of a timer that waits.
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.values.get(key.0)
    }

    /// When the next timer is due.
    pub fn next_deadline(&mut self) -> Option<f64> {
        self.drop_dead_top();
        self.heap.first().map(|entry| unsortable(entry.deadline))
    }

    /// Takes out the next timer if its deadline is not after `now`.
    pub fn pop_due(&mut self, now: f64) -> Option<(f64, T)> {
        loop {
            // NaN is unordered: it is never due, whatever `now` is.
            let entry = *self.heap.first()?;
            let deadline = unsortable(entry.deadline);
            let value = if self.is_dead(&entry) {
                None
            } else if deadline <= now {
                self.values.remove(entry.token)
            } else {
                return None;
            };
            self.pop_top();
            if let Some(value) = value {
                return Some((deadline, value));
            }
        }
    }

    /// Takes out all timers whose deadlines are not after `now`, and hands them over in order.
    pub fn drain_due(&mut self, now: f64, mut each: impl FnMut(f64, T)) {
        let mut popped = 0;
        while let Some((deadline, value)) = self.pop_due(now) {
            each(deadline, value);
            popped += 1;
            // A loop that was held up finds most of its timers due. Sorting them is quicker than sifting for each.
            if popped >= MIN_SORTED && popped * SORTED_SHARE >= self.heap.len() {
                return self.sort_due(now, each);
            }
        }
    }

    /// [`Timers::drain_due`] in one pass over the heap.
    fn sort_due(&mut self, now: f64, mut each: impl FnMut(f64, T)) {
        let mut due = Vec::new();
        let values = &self.values;
        self.heap.retain(|entry| {
            if !values.contains(entry.token) {
                return false;
            }
            // NaN is unordered, here too.
            let is_due = unsortable(entry.deadline) <= now;
            if is_due {
                due.push(*entry);
            }
            !is_due
        });
        self.heapify();
        due.sort_unstable_by_key(Entry::rank);
        for entry in due {
            if let Some(value) = self.values.remove(entry.token) {
                each(unsortable(entry.deadline), value);
            }
        }
    }

    /// How many timers have been set so far.
    pub fn count_set(&self) -> u64 {
        self.next_sequence
    }

    /// The values of the timers that wait and were set when [`Timers::count_set`] was `count` or more; in no particular
    /// order.
    pub fn set_since(&self, count: u64) -> impl Iterator<Item = &T> {
        let entries = self.heap.iter().filter(move |entry| entry.sequence >= count);
        entries.filter_map(|entry| self.values.get(entry.token))
    }

    /// The values of all timers that wait, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().map(|(_, value)| value)
    }

    /// Takes all timers out, in no particular order; every key is stale when this returns.
    pub fn drain(&mut self) -> std::vec::IntoIter<T> {
        self.heap.clear();
        self.values.drain()
    }

    /// Takes all timers out with their keys, which are stale when this returns, and deadlines; the earliest first.
    pub fn take_all(&mut self) -> Vec<(TimerKey, f64, T)> {
        let mut entries = std::mem::take(&mut self.heap);
        entries.sort_unstable_by_key(Entry::rank);
        let taken = entries.into_iter().filter_map(|entry| {
            let value = self.values.remove(entry.token)?;
            Some((TimerKey(entry.token), unsortable(entry.deadline), value))
        });
        taken.collect()
    }

    fn is_dead(&self, entry: &Entry) -> bool {
        !self.values.contains(entry.token)
    }

    fn drop_dead_top(&mut self) {
        while self.heap.first().is_some_and(|entry| self.is_dead(entry)) {
            self.pop_top();
        }
    }

    /// Removes the first entry. The heap is not empty.
    fn pop_top(&mut self) {
        self.heap.swap_remove(0);
        if !self.heap.is_empty() {
            self.sift_down(0);
        }
    }

    /// Rebuilds the heap from the live entries.
    fn compact(&mut self) {
        let values = &self.values;
        self.heap.retain(|entry| values.contains(entry.token));
        // A burst of cancelled timeouts must not hold its memory for ever.
        self.heap.shrink_to(self.heap.len() * 2);
        self.heapify();
    }

    /// Makes a heap of entries in any order.
    fn heapify(&mut self) {
        if self.heap.len() > 1 {
            for index in (0..=(self.heap.len() - 2) / ARITY).rev() {
                self.sift_down(index);
            }
        }
    }

    fn sift_up(&mut self, mut index: usize) {
        let entry = self.heap[index];
        while index > 0 {
            let parent = (index - 1) / ARITY;
            if self.heap[parent].rank() <= entry.rank() {
                break;
            }
            self.heap[index] = self.heap[parent];
            index = parent;
        }
        self.heap[index] = entry;
    }

    fn sift_down(&mut self, mut index: usize) {
        let heap = self.heap.as_mut_slice();
        let entry = heap[index];
        loop {
            let first = index * ARITY + 1;
            let Some(children) = heap.get(first..heap.len().min(first + ARITY)) else { break };
            let mut least = first;
            let mut least_rank = u128::MAX;
            for (offset, child) in children.iter().enumerate() {
                if child.rank() < least_rank {
                    least = first + offset;
                    least_rank = child.rank();
                }
            }
            if least_rank >= entry.rank() {
                break;
            }
            heap[index] = heap[least];
            index = least;
        }
        heap[index] = entry;
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The float's bits, turned so that integers sort as the floats do: negatives mirrored below zero, positives above.
/// NaN sorts above infinity, so that even in a release build it breaks no invariant.
fn sortable(deadline: f64) -> u64 {
    // Adding zero makes -0.0 the same as 0.0: they are one instant.
    let bits = (deadline + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn unsortable(word: u64) -> f64 {
    f64::from_bits(if word >> 63 == 1 { word & !(1 << 63) } else { !word })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_sort_like_floats() {
        let floats = [
            f64::NEG_INFINITY,
            -1e300,
            -1.5,
            -1e-300,
            0.0,
            1e-300,
            1.0,
            1.0 + f64::EPSILON,
            1e18,
            f64::INFINITY,
        ];
        for pair in floats.windows(2) {
            assert!(sortable(pair[0]) < sortable(pair[1]), "{pair:?}");
        }
        for float in floats {
            assert_eq!(unsortable(sortable(float)).to_bits(), float.to_bits());
        }
        assert_eq!(sortable(-0.0), sortable(0.0));
        assert!(sortable(f64::NAN) > sortable(f64::INFINITY));
    }

    #[test]
    fn those_set_since_are_those_that_still_wait() {
        let mut timers = Timers::new();
        timers.insert(3.0, "before");
        let count = timers.count_set();
        assert_eq!(timers.set_since(count).count(), 0);
        timers.insert(2.0, "after");
        let cancelled = timers.insert(1.0, "cancelled");
        timers.cancel(cancelled);
        timers.insert(0.0, "due");
        timers.pop_due(0.5);
        assert_eq!(timers.set_since(count).collect::<Vec<_>>(), [&"after"]);
        assert_eq!(timers.set_since(timers.count_set()).count(), 0);
    }

    #[test]
    fn set_and_cancel_leaves_nothing_behind() {
        let mut timers = Timers::new();
        timers.insert(1.0, 0);
        for round in 0..10_000 {
            let key = timers.insert(2.0, round);
            assert_eq!(timers.cancel(key), Some(round));
        }
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.values.iter().count(), 1);
    }

    #[test]
    fn all_are_taken_in_order() {
        let mut timers = Timers::new();
        let keys = [3.0, 1.0, 2.0, 1.0].map(|deadline| timers.insert(deadline, deadline.to_string()));
        timers.cancel(keys[2]);
        let taken = timers.take_all();
        assert_eq!(taken.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), [keys[1], keys[3], keys[0]]);
        assert_eq!(taken[2].1, 3.0);
        assert!(timers.is_empty() && timers.next_deadline().is_none() && timers.get(keys[0]).is_none());
    }

    #[test]
    fn dead_entries_never_outnumber_the_live() {
        let mut timers = Timers::new();
        let mut keys: Vec<_> = (0..10_000).map(|n| timers.insert(f64::from(n % 97), n)).collect();
        // From the front, so that trimming the tail of the array does not do it.
        while let Some(key) = (!keys.is_empty()).then(|| keys.swap_remove(0)) {
            timers.cancel(key);
            let dead = timers.heap.len() - timers.len();
            assert!(dead <= MIN_DEAD.max(timers.len()), "{dead} dead of {}", timers.heap.len());
        }
        assert!(timers.is_empty() && timers.heap.is_empty());
    }
}
