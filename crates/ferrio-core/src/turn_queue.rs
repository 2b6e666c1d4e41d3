//! The queue of what is ready to run: a ring that grows.
//!
//! As `VecDeque`, but an item is written to its slot field by field. `VecDeque::push_back` keeps the item in memory
//! for the case that the ring has to grow, and moves it from there in wider words than it was written with, which
//! stalls the processor.

/// A first-in first-out queue.
#[derive(Debug)]
pub struct TurnQueue<T> {
    /// As many slots as a power of two.
    slots: Vec<Option<T>>,
    head: usize,
    len: usize,
}

const FIRST: usize = 64;

impl<T> TurnQueue<T> {
    /// An empty queue. It allocates when something is pushed.
    #[must_use]
    pub const fn new() -> Self {
        TurnQueue { slots: Vec::new(), head: 0, len: 0 }
    }

    /// How many items wait.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends what `item` gives. It is asked for when its slot is ready: from then on nothing can panic, and the item
    /// need not be kept anywhere to be dropped.
    #[expect(clippy::inline_always)] // the item must not go through memory, see above
    #[inline(always)]
    pub fn push_back_with(&mut self, item: impl FnOnce() -> T) {
        if self.len == self.slots.len() {
            self.grow();
        }
        let at = (self.head + self.len) & (self.slots.len() - 1);
        let slot = &mut self.slots[at];
        debug_assert!(slot.is_none(), "only what is within `len` holds something");
        *slot = Some(item());
        self.len += 1;
    }

    /// Takes the oldest item out.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let at = self.head;
        self.head = (at + 1) & (self.slots.len() - 1);
        self.len -= 1;
        self.slots[at].take()
    }

    /// Where the oldest item is, or will be: another place after each [`TurnQueue::pop_front`] until as many items as
    /// the ring has slots have been taken out.
    #[inline]
    #[must_use]
    pub const fn position(&self) -> usize {
        self.head
    }

    /// Takes the newest item out.
    pub fn pop_back(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        self.len -= 1;
        let at = (self.head + self.len) & (self.slots.len() - 1);
        self.slots[at].take()
    }

    /// Puts `item` in the place of the one that is `at` places behind the oldest, and hands that one out.
    pub fn replace(&mut self, at: usize, item: T) -> Option<T> {
        if at >= self.len {
            return Some(item);
        }
        let at = (self.head + at) & (self.slots.len() - 1);
        self.slots[at].replace(item)
    }

    /// The item that is `at` places behind the oldest.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        if at < self.len { self.slots[(self.head + at) & (self.slots.len() - 1)].as_ref() } else { None }
    }

    /// Brings the newest item to the front.
    pub fn newest_first(&mut self) {
        if self.len < 2 {
            return;
        }
        let mask = self.slots.len() - 1;
        let newest = self.slots[(self.head + self.len - 1) & mask].take();
        self.head = self.head.wrapping_sub(1) & mask;
        self.slots[self.head] = newest;
    }

    /// The items, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len).filter_map(|i| self.slots[(self.head + i) & (self.slots.len() - 1)].as_ref())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let capacity = (self.slots.len() * 2).max(FIRST);
        // The oldest first, so that what wrapped around is in one piece again.
        self.slots.rotate_left(self.head);
        self.head = 0;
        self.slots.resize_with(capacity, || None);
    }
}

impl<T> Default for TurnQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> IntoIterator for TurnQueue<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<T>>>;

    fn into_iter(mut self) -> Self::IntoIter {
        self.slots.rotate_left(self.head);
        self.slots.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::TurnQueue;

    #[test]
    fn empty() {
        let mut queue = TurnQueue::<u8>::new();
        assert!(queue.is_empty());
        assert_eq!(queue.pop_front(), None);
        assert_eq!(queue.iter().count(), 0);
        assert_eq!(queue.into_iter().count(), 0);
    }

    proptest! {
        // Pushes, pops at both ends, newest first and replacements, in numbers that make it wrap around and grow in every
        // state.
        #[test]
        fn as_a_deque(script in prop::collection::vec((0..5, 1_usize..100), 0..60)) {
            let (mut queue, mut model) = (TurnQueue::new(), VecDeque::new());
            let mut next = 0;
            for (what, times) in script {
                for _ in 0..times {
                    match what {
                        0 => {
                            queue.push_back_with(|| next);
                            model.push_back(next);
                            next += 1;
                        }
                        1 => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                        2 => prop_assert_eq!(queue.pop_back(), model.pop_back()),
                        3 => {
                            let at = times * 7 % (model.len() + 1);
                            let expected = model.get_mut(at).map_or(next, |item| std::mem::replace(item, next));
                            prop_assert_eq!(queue.replace(at, next), Some(expected));
                            next += 1;
                        }
                        _ => {
                            queue.newest_first();
                            model.rotate_right(usize::from(!model.is_empty()));
                        }
                    }
                    prop_assert_eq!(queue.len(), model.len());
                    for at in [0, 1, 4, model.len() / 2, model.len()] {
                        prop_assert_eq!(queue.get(at), model.get(at));
                    }
                }
                prop_assert_eq!(queue.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
            }
            prop_assert_eq!(queue.into_iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
