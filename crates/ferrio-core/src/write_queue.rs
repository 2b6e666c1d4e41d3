//! The bytes that a transport has yet to send, and when to tell its protocol to pause.
//!
//! Chunks are kept as they were given (a Python `bytes` by reference, no copy) and go out many at a time: `slices`
//! shows the front of the queue to one vectored write, `advance` takes off what the kernel took. A chunk that is done
//! is handed to the caller rather than dropped inside, because dropping a Python object may run Python code, which
//! may write to the same transport again.
//!
//! Pausing is asyncio's: above the high-water mark the protocol's `pause_writing` is called, at or below the low one
//! `resume_writing`, each once per crossing. [`FlowControl`] decides, the transport calls.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::iter;

/// Pending chunks, oldest first. Only the first may have been sent in part.
#[derive(Debug)]
pub struct WriteQueue<B> {
    chunks: VecDeque<B>,
    /// How much of the first chunk has been sent; always less than its length.
    sent: usize,
    /// Bytes not sent yet, in all chunks.
    pending: usize,
}

impl<B: AsRef<[u8]>> WriteQueue<B> {
    pub const fn new() -> Self {
        Self { chunks: VecDeque::new(), sent: 0, pending: 0 }
    }

    /// How many bytes wait to be sent.
    pub fn len(&self) -> usize {
        self.pending
    }

    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// How many chunks those bytes are in.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Appends a chunk, whose bytes must not change while it is queued. An empty one is dropped.
    pub fn push(&mut self, chunk: B) {
        let len = chunk.as_ref().len();
        if len != 0 {
            self.pending += len;
            self.chunks.push_back(chunk);
        }
    }

    /// What is left of the first chunk: with a single chunk a plain `send` is cheaper than a vectored one.
    pub fn front(&self) -> Option<&[u8]> {
        self.chunks.front().map(|chunk| &chunk.as_ref()[self.sent..])
    }

    /// The unsent bytes, chunk by chunk.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let rest = self.chunks.iter().skip(1).map(AsRef::as_ref);
        self.front().into_iter().chain(rest)
    }

    /// Fills `out` with the unsent bytes from the front on, and returns how many slices were filled.
    pub fn slices<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slot, bytes) in iter::zip(out, self.iter()) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Takes `n` sent bytes off the front, and drops the chunks that are done. Panics if there are fewer than `n`.
    pub fn advance(&mut self, n: usize) {
        self.advance_with(n, drop);
    }

    /// [`WriteQueue::advance`], with the done chunks going to `done`: for an owner that may drop them only after it
    /// has let go of the queue.
    pub fn advance_into(&mut self, n: usize, done: &mut impl Extend<B>) {
        self.advance_with(n, |chunk| done.extend(iter::once(chunk)));
    }

    fn advance_with(&mut self, n: usize, mut done: impl FnMut(B)) {
        assert!(n <= self.pending, "{n} bytes sent of {} pending", self.pending);
        self.pending -= n;
        if self.pending == 0 {
            self.sent = 0;
            while let Some(chunk) = self.chunks.pop_front() {
                done(chunk);
            }
            return;
        }
        self.sent += n;
        while let Some(chunk) = self.chunks.front() {
            let len = chunk.as_ref().len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            // The books are right before the chunk goes, whatever its drop does.
            if let Some(chunk) = self.chunks.pop_front() {
                done(chunk);
            }
        }
    }

    /// Takes all chunks out. The first is whole, even if part of it has been sent.
    pub fn take_all(&mut self) -> VecDeque<B> {
        self.sent = 0;
        self.pending = 0;
        std::mem::take(&mut self.chunks)
    }

    /// Drops all chunks.
    pub fn clear(&mut self) {
        self.take_all();
    }
}

impl<B: AsRef<[u8]>> Default for WriteQueue<B> {
    fn default() -> Self {
        Self::new()
    }
}

/// The two levels of pending bytes at which a protocol pauses and resumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaterMarks {
    high: usize,
    low: usize,
}

/// Limits that contradict each other; displays as the message of asyncio's `ValueError`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadLimits {
    pub high: i128,
    pub low: i128,
}

impl fmt::Display for BadLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "high ({}) must be >= low ({}) must be >= 0", self.high, self.low)
    }
}

impl std::error::Error for BadLimits {}

impl WaterMarks {
    /// What asyncio's transports begin with.
    pub const DEFAULT_HIGH: usize = 64 * 1024;
    /// What its TLS transports begin with.
    pub const DEFAULT_HIGH_TLS: usize = 512 * 1024;

    /// The limits of `set_write_buffer_limits(high, low)`, in bytes: without `high`, four times `low`, or 64 KiB if
    /// that is missing too; without `low`, a quarter of `high`. Errors: `high` below `low`.
    pub fn new(high: Option<usize>, low: Option<usize>) -> Result<Self, BadLimits> {
        let wide = |limit| limit as i128;
        Self::with_default(high.map(wide), low.map(wide), Self::DEFAULT_HIGH)
    }

    /// [`WaterMarks::new`] for limits as Python gives them, which may be negative (an error that names the number),
    /// and with the `high` to take when none is given. Limits above `usize::MAX` mean no limit.
    pub fn with_default(
        high: Option<i128>,
        low: Option<i128>,
        default_high: usize,
    ) -> Result<Self, BadLimits> {
        let high = match (high, low) {
            (Some(high), _) => high,
            (None, Some(low)) => low.saturating_mul(4),
            (None, None) => default_high as i128,
        };
        // Rounded down like Python's `//`: a negative `high` is reported with the `low` asyncio would compute.
        let low = low.unwrap_or_else(|| high.div_euclid(4));
        if high < low || low < 0 {
            return Err(BadLimits { high, low });
        }
        let narrow = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Self { high: narrow(high), low: narrow(low) })
    }

    pub const fn high(self) -> usize {
        self.high
    }

    pub const fn low(self) -> usize {
        self.low
    }
}

impl Default for WaterMarks {
    fn default() -> Self {
        Self { high: Self::DEFAULT_HIGH, low: Self::DEFAULT_HIGH / 4 }
    }
}

/// The protocol's `pause_writing` must be called now.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause;

/// The protocol's `resume_writing` must be called now.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resume;

/// Whether a protocol has been told to pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlowControl {
    marks: WaterMarks,
    paused: bool,
}

impl FlowControl {
    pub const fn new(marks: WaterMarks) -> Self {
        Self { marks, paused: false }
    }

    pub const fn marks(self) -> WaterMarks {
        self.marks
    }

    /// Whether the last call to the protocol was `pause_writing`.
    pub const fn is_paused(self) -> bool {
        self.paused
    }

    /// New limits, with `len` bytes pending. Lower limits may pause at once; higher ones resume only with the next
    /// drain, as in asyncio.
    pub fn set_marks(&mut self, marks: WaterMarks, len: usize) -> Option<Pause> {
        self.marks = marks;
        self.after_push(len)
    }

    /// To be called when bytes were queued; `len` are pending now.
    pub fn after_push(&mut self, len: usize) -> Option<Pause> {
        if self.paused || len <= self.marks.high {
            return None;
        }
        self.paused = true;
        Some(Pause)
    }

    /// To be called when bytes were sent; `len` are pending now.
    pub fn after_drain(&mut self, len: usize) -> Option<Resume> {
        if !self.paused || len > self.marks.low {
            return None;
        }
        self.paused = false;
        Some(Resume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(high: Option<usize>, low: Option<usize>) -> (usize, usize) {
        let marks = WaterMarks::new(high, low).unwrap();
        (marks.high(), marks.low())
    }

    #[test]
    fn missing_limits_follow_the_given_one() {
        assert_eq!(marks(None, None), (65536, 16384));
        assert_eq!(marks(Some(1000), None), (1000, 250));
        assert_eq!(marks(None, Some(1000)), (4000, 1000));
        assert_eq!(marks(None, Some(0)), (0, 0));
        assert_eq!(marks(Some(0), None), (0, 0));
        assert_eq!(marks(Some(3), Some(3)), (3, 3));
        assert_eq!(marks(None, Some(usize::MAX)), (usize::MAX, usize::MAX));
        assert_eq!(WaterMarks::default(), WaterMarks::new(None, None).unwrap());
        let tls = WaterMarks::with_default(None, None, WaterMarks::DEFAULT_HIGH_TLS).unwrap();
        assert_eq!((tls.high(), tls.low()), (512 * 1024, 128 * 1024));
    }

    #[test]
    fn bad_limits_say_what_asyncio_says() {
        let error = WaterMarks::new(Some(10), Some(11)).unwrap_err();
        assert_eq!(error.to_string(), "high (10) must be >= low (11) must be >= 0");
        let error = WaterMarks::with_default(Some(1), Some(-1), 0).unwrap_err();
        assert_eq!(error.to_string(), "high (1) must be >= low (-1) must be >= 0");
        // Python: -1 // 4 == -1, 4 * -2 == -8.
        assert_eq!(WaterMarks::with_default(Some(-1), None, 0).unwrap_err(), BadLimits { high: -1, low: -1 });
        assert_eq!(WaterMarks::with_default(None, Some(-2), 0).unwrap_err(), BadLimits { high: -8, low: -2 });
    }

    #[test]
    fn each_crossing_is_told_once() {
        let mut flow = FlowControl::new(WaterMarks::new(Some(10), Some(4)).unwrap());
        assert_eq!(flow.after_push(10), None);
        assert_eq!(flow.after_push(11), Some(Pause));
        assert_eq!(flow.after_push(20), None);
        assert_eq!(flow.after_drain(5), None);
        assert_eq!(flow.after_push(12), None);
        assert_eq!(flow.after_drain(4), Some(Resume));
        assert_eq!(flow.after_drain(0), None);
        assert_eq!(flow.set_marks(WaterMarks::new(Some(0), None).unwrap(), 1), Some(Pause));
        assert_eq!(flow.set_marks(WaterMarks::default(), 1), None);
        assert!(flow.is_paused());
        assert_eq!(flow.after_drain(1), Some(Resume));
    }

    #[test]
    fn a_short_write_leaves_the_rest_in_place() {
        let mut queue = WriteQueue::new();
        for chunk in [&b"abc"[..], b"", b"defg", b"h"] {
            queue.push(chunk);
        }
        assert_eq!((queue.len(), queue.chunk_count()), (8, 3));
        let mut done = Vec::new();
        queue.advance_into(4, &mut done);
        assert_eq!(done, [&b"abc"[..]]);
        assert_eq!(queue.front(), Some(&b"efg"[..]));
        let mut out = [IoSlice::new(&[]); 8];
        assert_eq!(queue.slices(&mut out), 2);
        assert_eq!((&*out[0], &*out[1]), (&b"efg"[..], &b"h"[..]));
        assert_eq!(queue.slices(&mut out[..1]), 1);
        queue.advance_into(3, &mut done);
        assert_eq!(done.len(), 2);
        assert_eq!(queue.take_all(), [&b"h"[..]]);
        assert!(queue.is_empty() && queue.front().is_none());
    }

    #[test]
    #[should_panic(expected = "3 bytes sent of 2 pending")]
    fn more_than_pending_cannot_be_sent() {
        let mut queue = WriteQueue::new();
        queue.push(b"ab");
        queue.advance(3);
    }
}
