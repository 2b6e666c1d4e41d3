//! The bytes that a stream has received and nobody has read yet.
//!
//! A `bytearray` from which every read deletes its front (asyncio's) moves the rest down each time; this buffer only
//! moves a head offset, and compacts when it needs the room and at least half of what it holds has been read. The
//! socket receives straight into the spare room behind the data. That room is kept initialised, so that it can be
//! given out as a plain `&mut [u8]`: it is zeroed once, when the buffer grows, and not per read.
//!
//! Positions in the stream are counted from its start, not from the head. So a search that waits for more bytes
//! ([`SearchState`]) stays right even if somebody else reads in between (see `search.rs`).

mod search;

pub use search::{BadSeparators, LimitOverrun, OverrunKind, Search, SearchState, check_separators, newline};

/// Received bytes, read from the front.
#[derive(Debug, Default)]
pub struct ReadBuffer {
    /// Read bytes, the data, spare room; all of it initialised.
    storage: Vec<u8>,
    /// Where the data begins and ends in `storage`; both are zero when there is none.
    head: usize,
    tail: usize,
    /// How many bytes of the stream were read before `head`.
    position: u64,
}

impl ReadBuffer {
    /// An emptied buffer that is larger than this gives its memory back when it is next filled: a burst on one of
    /// many idle connections must not be paid for ever.
    const RETAINED: usize = 256 * 1024;

    pub const fn new() -> Self {
        Self { storage: Vec::new(), head: 0, tail: 0, position: 0 }
    }

    pub fn len(&self) -> usize {
        self.tail - self.head
    }

    pub fn is_empty(&self) -> bool {
        self.tail == self.head
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.storage[self.head..self.tail]
    }

    /// How many bytes of the stream have been read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How much memory the buffer holds.
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Appends `data`.
    pub fn extend_from_slice(&mut self, data: &[u8]) {
        self.release_burst();
        if self.storage.capacity() - self.tail < data.len() {
            self.compact();
        }
        // What fits into the initialised room is copied there; the rest is appended, which needs no zeroing.
        let room = (self.storage.len() - self.tail).min(data.len());
        let (within, beyond) = data.split_at(room);
        self.storage[self.tail..self.tail + room].copy_from_slice(within);
        self.storage.extend_from_slice(beyond);
        self.tail += data.len();
    }

    /// At least `n` bytes of room behind the data, all of it; what is in there is stale. After writing to its front,
    /// [`ReadBuffer::commit`] makes that part of the data.
    pub fn reserve_spare(&mut self, n: usize) -> &mut [u8] {
        self.release_burst();
        if self.storage.len() - self.tail < n {
            self.compact();
            if self.storage.len() - self.tail < n {
                // `reserve` grows by doubling, so the zeroing is paid once per byte of growth; taking all of the
                // new capacity makes the next reads free.
                self.storage.reserve(self.tail + n - self.storage.len());
                self.storage.resize(self.storage.capacity(), 0);
            }
        }
        &mut self.storage[self.tail..]
    }

    /// Makes the first `n` bytes of the spare room part of the data. Panics if there is less room.
    pub fn commit(&mut self, n: usize) {
        assert!(n <= self.storage.len() - self.tail, "commit beyond the spare room");
        self.tail += n;
    }

    /// Reads `n` bytes. Panics if there are fewer.
    pub fn consume(&mut self, n: usize) -> &[u8] {
        assert!(n <= self.len(), "{n} bytes consumed of {}", self.len());
        let start = self.head;
        self.head += n;
        self.position += n as u64;
        if self.head == self.tail {
            self.head = 0;
            self.tail = 0;
        }
        &self.storage[start..start + n]
    }

    /// Reads `n` bytes into a vector of their own. Panics if there are fewer.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        self.consume(n).to_vec()
    }

    /// Counts `n` bytes of the stream that were read without having been in here. Panics if there is data: those bytes
    /// would have come before it.
    pub fn passed_by(&mut self, n: usize) {
        assert!(self.is_empty(), "bytes passed by {} that were there before", self.len());
        self.position += n as u64;
    }

    /// Discards the data.
    pub fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Moves the data to the front if at least as much has been read as is left: then each byte moves at most once
    /// for each byte read.
    fn compact(&mut self) {
        if self.head > 0 && self.head >= self.len() {
            self.storage.copy_within(self.head..self.tail, 0);
            self.tail -= self.head;
            self.head = 0;
        }
    }

    fn release_burst(&mut self) {
        if self.tail == 0 && self.storage.capacity() > Self::RETAINED {
            self.storage = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_passed_by_count() {
        let mut buffer = ReadBuffer::new();
        buffer.extend_from_slice(b"abc");
        buffer.consume(3);
        buffer.passed_by(5);
        assert_eq!(buffer.position(), 8);
        // A search that had looked as far as the end of what passed by looks at what came after.
        let mut search = SearchState::new();
        assert_eq!(buffer.find_line(100, false, &mut search), Search::NeedMore);
        buffer.extend_from_slice(b"x\n");
        assert_eq!(buffer.find_line(100, false, &mut search), Search::Found { end: 2 });
    }

    #[test]
    fn spare_room_becomes_data_when_committed() {
        let mut buffer = ReadBuffer::new();
        assert!(buffer.reserve_spare(10).len() >= 10);
        buffer.reserve_spare(10)[..3].copy_from_slice(b"abc");
        assert!(buffer.is_empty());
        buffer.commit(3);
        buffer.extend_from_slice(b"def");
        assert_eq!(buffer.as_slice(), b"abcdef");
        assert_eq!(buffer.consume(2), b"ab");
        assert_eq!(buffer.take(4), b"cdef");
        assert_eq!((buffer.len(), buffer.position()), (0, 6));
    }

    #[test]
    fn a_stream_of_small_reads_needs_no_more_than_its_backlog() {
        let mut buffer = ReadBuffer::new();
        let mut next = 0_u8;
        let mut expected = 0_u8;
        for _ in 0..20_000 {
            let spare = buffer.reserve_spare(100);
            for byte in &mut spare[..100] {
                *byte = next;
                next = next.wrapping_add(1);
            }
            buffer.commit(100);
            while buffer.len() > 150 {
                for byte in buffer.consume(7) {
                    assert_eq!(*byte, expected);
                    expected = expected.wrapping_add(1);
                }
            }
        }
        assert!(buffer.capacity() <= 1024, "{}", buffer.capacity());
    }

    #[test]
    fn a_burst_is_given_back() {
        let mut buffer = ReadBuffer::new();
        buffer.extend_from_slice(&vec![0; 1024 * 1024]);
        buffer.clear();
        buffer.extend_from_slice(b"x");
        assert!(buffer.capacity() < 1024);
        assert_eq!(buffer.as_slice(), b"x");
    }

    #[test]
    #[should_panic(expected = "beyond the spare room")]
    fn no_more_than_the_spare_room_can_be_committed() {
        let mut buffer = ReadBuffer::new();
        let room = buffer.reserve_spare(1).len();
        buffer.commit(room + 1);
    }
}
