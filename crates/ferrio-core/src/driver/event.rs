//! The words that the loop and a backend speak: token, interest, event, and the buffer of events.

/// Names the owner of a registration: a slot of a [`Registry`](crate::registry::Registry) and the generation of its
/// tenant, so that an event for a former tenant is recognised as stale.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(u64);

impl Token {
    /// Kept for the backends' own wake-up. A registry never reaches this slot.
    pub const WAKE: Self = Self(u64::MAX);

    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self((generation as u64) << 32 | slot as u64)
    }

    /// The slot in the registry.
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }

    /// How many tenants the slot had before this one.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The token as the word that goes through the kernel.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The token back from [`Token::to_u64`].
    pub const fn from_u64(word: u64) -> Self {
        Self(word)
    }
}

/// What to watch an fd for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Interest(u8);

impl Interest {
    /// Neither: only errors and hang-ups are reported.
    pub const NONE: Self = Self(0);
    pub const READABLE: Self = Self(1);
    pub const WRITABLE: Self = Self(2);
    pub const BOTH: Self = Self(3);
    const ON_CHANGE: u8 = 4;

    pub const fn is_readable(self) -> bool {
        self.0 & Self::READABLE.0 != 0
    }

    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same, reported when it comes about and not for as long as it is, by a backend that can: see [`super`].
    #[must_use]
    pub const fn on_change(self) -> Self {
        Self(self.0 | Self::ON_CHANGE)
    }

    pub const fn is_on_change(self) -> bool {
        self.0 & Self::ON_CHANGE != 0
    }

    /// This and `other` together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This less `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// An fd is ready. Errors and hang-ups set both flags, so that a read or a write meets the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub token: Token,
    pub readable: bool,
    pub writable: bool,
}

/// What an fd is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
}

impl Event {
    pub const fn readiness(&self) -> Readiness {
        Readiness { readable: self.readable, writable: self.writable }
    }
}

/// What one `poll` found. Kept by the loop and used again for each `poll`; never cleared byte by byte.
pub struct Events {
    ready: Vec<Event>,
    woken: bool,
    /// The kernel's own records, before they are translated.
    pub(super) raw: Vec<libc::epoll_event>,
}

impl Events {
    /// Room for this many events; the fds beyond are reported by the next `poll`. What serves an fd touches it
    /// again later in the turn (a task runs, data goes out), and what belongs to 64 connections, in the kernel too, is
    /// then still in the processor's second cache. That is worth more than the syscalls: with 512 connections at work
    /// a message over streams took 6 to 9 % less CPU with 32, 64 or 128 than when one `poll` brought them all.
    pub const CAPACITY: usize = 64;

    pub fn new() -> Self {
        Self::with_capacity(Self::CAPACITY)
    }

    /// Room for `capacity` events (at least one).
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { ready: Vec::with_capacity(capacity), woken: false, raw: Vec::with_capacity(capacity) }
    }

    /// How many events the next `poll` can take.
    pub fn capacity(&self) -> usize {
        self.raw.capacity()
    }

    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// No fd is ready. There may have been a wake-up all the same.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Whether the driver's [`Waker`](super::Waker) ended this `poll` (or would have).
    pub fn woken(&self) -> bool {
        self.woken
    }

    /// The event at `index`: lets the caller dispatch without holding a borrow of the buffer meanwhile.
    pub fn get(&self, index: usize) -> Option<Event> {
        self.ready.get(index).copied()
    }

    pub fn as_slice(&self) -> &[Event] {
        &self.ready
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.ready.iter().copied()
    }

    /// Empties the buffer.
    pub fn clear(&mut self) {
        self.ready.clear();
        self.raw.clear();
        self.woken = false;
    }

    pub(super) fn push(&mut self, event: Event) {
        self.ready.push(event);
    }

    pub(super) fn set_woken(&mut self) {
        self.woken = true;
    }

    /// Empties the buffer for a `poll`, and makes the usual room if there is none.
    pub(super) fn prepare(&mut self) {
        self.clear();
        if self.raw.capacity() == 0 {
            self.raw.reserve_exact(Self::CAPACITY);
        }
    }
}

/// Without memory until the first `poll`: an owner may `take` its buffer for the time of a turn and put it back, and
/// what stands in for it meanwhile must cost nothing.
impl Default for Events {
    fn default() -> Self {
        Self { ready: Vec::new(), woken: false, raw: Vec::new() }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("ready", &self.ready)
            .field("woken", &self.woken)
            .finish_non_exhaustive()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = Event;
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, Event>>;

    fn into_iter(self) -> Self::IntoIter {
        self.ready.iter().copied()
    }
}
