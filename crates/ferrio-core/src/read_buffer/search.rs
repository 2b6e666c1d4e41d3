//! Looking for the end of a message: the rules of `StreamReader.readuntil` and `readline`.
//!
//! A search that has to wait keeps how far it looked, so that no byte is looked at twice, except that as many as the
//! longest separator less one are looked at again: a separator may have begun in them. The rules to the letter:
//!
//! * With several separators (since asyncio 3.13) the match that *ends* first wins, and of two that end together
//!   the shorter one.
//! * The limit counts the bytes before the separator. Beyond it, a match is an overrun whose `consumed` is the length
//!   of the message without separator; without a match, `consumed` are the bytes that cannot be part of a separator.
//! * The limit is looked at before the end of the stream: too many bytes at the end are an overrun, not incomplete.
//! * An overrun leaves the data where it is.
//!
//! Asyncio keeps an offset into its buffer while it waits, which points to the wrong bytes if another task reads
//! meanwhile. Here a state keeps a position in the stream, which does not.

use std::fmt;

use memchr::{memchr, memmem};

use super::ReadBuffer;

/// Where the first newline of `data` is.
pub fn newline(data: &[u8]) -> Option<usize> {
    memchr(b'\n', data)
}

/// How far a search got. A new one looks from the front; keep it while waiting for more bytes, and make a new one for
/// the next message.
#[derive(Clone, Copy, Debug, Default)]
pub struct SearchState {
    /// The position in the stream before which no match begins.
    searched: u64,
}

impl SearchState {
    pub const fn new() -> Self {
        Self { searched: 0 }
    }
}

/// What a search came to.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Search {
    /// A message, separator included, is the first `end` bytes of the buffer.
    Found { end: usize },
    /// Not yet: try again with the same state when more bytes have come.
    NeedMore,
    /// The stream has ended without a separator: all bytes of the buffer are a partial message.
    Incomplete,
    /// The message is longer than the limit.
    Overrun(LimitOverrun),
}

/// The data of asyncio's `LimitOverrunError`; displays as its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitOverrun {
    pub kind: OverrunKind,
    /// How many bytes at the front of the buffer belong to the message for certain, the separator not counted.
    pub consumed: usize,
}

/// How a message was found to be too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverrunKind {
    /// Its separator came, too late.
    Found,
    /// Its separator has not come within the limit.
    NotFound,
}

impl LimitOverrun {
    /// The message of the exception, which people match on.
    pub const fn message(self) -> &'static str {
        match self.kind {
            OverrunKind::Found => "Separator is found, but chunk is longer than limit",
            OverrunKind::NotFound => "Separator is not found, and chunk exceed the limit",
        }
    }
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for LimitOverrun {}

/// Separators that cannot be searched for; displays as the message of asyncio's `ValueError`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadSeparators {
    /// There are none.
    None,
    /// One of them is empty.
    Empty,
}

impl fmt::Display for BadSeparators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Separator should contain at least one element",
            Self::Empty => "Separator should be at least one-byte string",
        })
    }
}

impl std::error::Error for BadSeparators {}

/// Whether `separators` may be given to [`ReadBuffer::find_until`].
pub fn check_separators<S: AsRef<[u8]>>(separators: &[S]) -> Result<(), BadSeparators> {
    if separators.is_empty() {
        Err(BadSeparators::None)
    } else if separators.iter().any(|separator| separator.as_ref().is_empty()) {
        Err(BadSeparators::Empty)
    } else {
        Ok(())
    }
}

/// Where a separator begins and ends.
#[derive(Clone, Copy)]
struct Match {
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// Looks for a line: [`ReadBuffer::find_until`] with a newline.
    pub fn find_line(&self, limit: usize, eof: bool, state: &mut SearchState) -> Search {
        self.find_until(&[b"\n"], limit, eof, state)
    }

    /// Looks for the first message that ends with one of `separators` (none of them empty, see
    /// [`check_separators`]; their order does not matter).
    ///
    /// `limit` is the most bytes a message may have before its separator; `eof` says that no more bytes will come.
    /// Reads nothing: the caller takes what it was told.
    pub fn find_until<S: AsRef<[u8]>>(
        &self,
        separators: &[S],
        limit: usize,
        eof: bool,
        state: &mut SearchState,
    ) -> Search {
        debug_assert_eq!(check_separators(separators), Ok(()));
        let data = self.as_slice();
        let from = state.searched.saturating_sub(self.position()) as usize;
        let found = data.get(from..).and_then(|rest| first_match(rest, separators));
        if let Some(found) = found {
            let consumed = from + found.start;
            return if consumed > limit {
                Search::Overrun(LimitOverrun { kind: OverrunKind::Found, consumed })
            } else {
                Search::Found { end: from + found.end }
            };
        }
        let longest = separators.iter().map(|separator| separator.as_ref().len()).max().unwrap_or(1);
        let searched = (data.len() + 1).saturating_sub(longest);
        state.searched = self.position() + searched as u64;
        if searched > limit {
            Search::Overrun(LimitOverrun { kind: OverrunKind::NotFound, consumed: searched })
        } else if eof {
            Search::Incomplete
        } else {
            Search::NeedMore
        }
    }

    /// What `readline` does about an overrun: discards the line if its end has come, else everything.
    pub fn discard_line(&mut self, overrun: LimitOverrun) {
        if self.as_slice().get(overrun.consumed) == Some(&b'\n') {
            self.consume(overrun.consumed + 1);
        } else {
            self.clear();
        }
    }
}

/// The match that ends first, and of those the shortest.
fn first_match<S: AsRef<[u8]>>(data: &[u8], separators: &[S]) -> Option<Match> {
    let mut best: Option<Match> = None;
    for separator in separators {
        let separator = separator.as_ref();
        // A match that ends behind the best one is of no use.
        let reach = best.map_or(data, |best| &data[..best.end]);
        let start = match separator {
            [byte] => memchr(*byte, reach),
            _ => memmem::find(reach, separator),
        };
        if let Some(start) = start {
            let end = start + separator.len();
            if best.is_none_or(|best| (end, best.start) < (best.end, start)) {
                best = Some(Match { start, end });
            }
        }
    }
    best
}
