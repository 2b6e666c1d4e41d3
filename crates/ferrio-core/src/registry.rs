//! From a kernel event back to its owner: slots that are used again, with generations.
//!
//! The kernel returns a word per event. A pointer in it would dangle when the owner goes away between the event and
//! its dispatch; an fd number may by then belong to another connection, whose user would get somebody else's data
//! (uvloop #763, #738, #645). A [`Token`] names a slot *and* its tenant: for a former tenant every lookup is `None`.
//!
//! Generations never wrap. A slot that has had 2^32 - 1 tenants is retired, which costs its few bytes once in
//! billions of connections and makes "a stale token is `None`" hold without a footnote.

use crate::driver::Token;

/// Values under tokens. A vacated slot is the next to be used again, while it is warm in the cache.
#[derive(Debug)]
pub struct Registry<T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<u32>,
    len: usize,
}

/// A place in a registry.
#[derive(Debug)]
pub struct Slot<T> {
    /// Of the tenant, or of the next one while the slot is vacant.
    generation: u32,
    value: Option<T>,
}

impl<T> Registry<T> {
    pub const fn new() -> Self {
        Self { slots: Vec::new(), vacant: Vec::new(), len: 0 }
    }

    pub fn with_capacity(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), vacant: Vec::new(), len: 0 }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes `value` in, and names it.
    pub fn insert(&mut self, value: T) -> Token {
        self.len += 1;
        if let Some(index) = self.vacant.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return Token::new(index, slot.generation);
        }
        let index = self.slots.len();
        // The last slot number belongs to `Token::WAKE`.
        assert!(index < u32::MAX as usize, "registry is full");
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Token::new(index as u32, 0)
    }

    /// Takes in the value that is made for its own token.
    pub fn insert_with(&mut self, make: impl FnOnce(Token) -> T) -> Token {
        let (index, generation) = match self.vacant.last() {
            Some(index) => (*index, self.slots[*index as usize].generation),
            None => (self.slots.len() as u32, 0),
        };
        let token = Token::new(index, generation);
        let inserted = self.insert(make(token));
        debug_assert_eq!(inserted, token);
        token
    }

    /// The place that a token names, whatever is in it: nothing is read.
    pub fn slot(&self, token: Token) -> Option<&Slot<T>> {
        self.slots.get(token.slot() as usize)
    }

    pub fn get(&self, token: Token) -> Option<&T> {
        let slot = self.slots.get(token.slot() as usize)?;
        if slot.generation == token.generation() { slot.value.as_ref() } else { None }
    }

    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.slot() as usize)?;
        if slot.generation == token.generation() { slot.value.as_mut() } else { None }
    }

    pub fn contains(&self, token: Token) -> bool {
        self.get(token).is_some()
    }

    /// Takes the value out; from now on its token is stale.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        let slot = self.slots.get_mut(token.slot() as usize)?;
        if slot.generation != token.generation() {
            return None;
        }
        let value = slot.value.take()?;
        self.len -= 1;
        self.vacate(token.slot());
        Some(value)
    }

    /// Moves an emptied slot on to its next generation, if it has one.
    fn vacate(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        // The last generation is left unused by tenants, so that it can mark the retired slot.
        slot.generation += 1;
        if slot.generation != u32::MAX {
            self.vacant.push(index);
        }
    }

    /// All values with their tokens, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        (0_u32..).zip(&self.slots).filter_map(|(index, slot)| {
            slot.value.as_ref().map(|value| (Token::new(index, slot.generation), value))
        })
    }

    /// All values with their tokens, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Token, &mut T)> {
        (0_u32..).zip(&mut self.slots).filter_map(|(index, slot)| {
            let generation = slot.generation;
            slot.value.as_mut().map(|value| (Token::new(index, generation), value))
        })
    }

    /// Takes all values out; every token is stale when this returns, whether or not the iterator is used up.
    pub fn drain(&mut self) -> std::vec::IntoIter<T> {
        let mut values = Vec::with_capacity(self.len);
        for index in 0..self.slots.len() {
            if let Some(value) = self.slots[index].value.take() {
                values.push(value);
                self.vacate(index as u32);
            }
        }
        self.len = 0;
        values.into_iter()
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_retires_before_its_generation_wraps() {
        let mut registry = Registry::new();
        let first = registry.insert(0);
        registry.remove(first);
        registry.slots[0].generation = u32::MAX - 1;
        let last = registry.insert(1);
        assert_eq!((last.slot(), last.generation()), (0, u32::MAX - 1));
        assert_eq!(registry.remove(last), Some(1));
        let next = registry.insert(2);
        assert_eq!((next.slot(), next.generation()), (1, 0));
        assert_eq!(registry.get(first), None);
        assert_eq!(registry.get(last), None);
        assert_eq!(registry.get(Token::new(0, u32::MAX)), None);
    }

    #[test]
    fn insert_with_shows_the_token_it_returns() {
        let mut registry = Registry::new();
        let a = registry.insert_with(|token| token);
        assert_eq!(registry.get(a), Some(&a));
        registry.remove(a);
        let b = registry.insert_with(|token| token);
        assert_eq!(registry.get(b), Some(&b));
        assert_ne!(a, b);
    }

    #[test]
    fn the_wake_token_is_nobodys() {
        let mut registry = Registry::new();
        registry.insert(());
        assert!(!registry.contains(Token::WAKE));
    }
}
