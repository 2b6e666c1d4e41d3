//! Signals, as the loop meets them: bytes on a socket pair.
//!
//! The interpreter's C-level handler writes the signal's number to the fd given to `signal.set_wakeup_fd`, on whichever
//! thread the kernel chose; the loop watches the other end and runs the Python handlers. A socket pair and not a pipe, as
//! in asyncio: its buffer is larger, and both ends are non-blocking from the start, which `set_wakeup_fd` demands
//! (a handler that blocks would hang the process).
//!
//! A forked child shares the pair with its parent: a program that forks must call `set_wakeup_fd(-1)` in the child, or
//! the child's signals reach the parent's loop, and take another pair ([`SignalPipe::is_ours`]).

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use crate::driver::Process;

/// The way of signal numbers from the interpreter's handler to the loop.
#[derive(Debug)]
pub struct SignalPipe {
    reader: UnixStream,
    writer: UnixStream,
    process: Process,
}

impl SignalPipe {
    /// Both ends are non-blocking and close-on-exec.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, process: Process::current() })
    }

    /// Whether it was made in this process.
    pub fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    /// What `signal.set_wakeup_fd` gets. Belongs to the pipe: take it back (`-1`) before the pipe is dropped.
    pub fn write_fd(&self) -> RawFd {
        self.writer.as_raw_fd()
    }

    /// What the driver watches for reading.
    pub fn read_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// Calls `handle` for each signal number that has arrived, oldest first, until there is none. Zero is no signal
    /// number, and is skipped: programs write it to such pipes as a mere wake-up.
    pub fn drain(&self, mut handle: impl FnMut(u8)) {
        let mut buffer = [0; 256];
        loop {
            match (&self.reader).read(&mut buffer) {
                // We hold the writer ourselves, so the end of the stream comes only after somebody closed its fd
                // behind our back; there is nothing to wait for then.
                Ok(0) => return,
                Ok(count) => {
                    buffer[..count].iter().copied().filter(|signal| *signal != 0).for_each(&mut handle);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // WouldBlock: empty. Anything else will be met again by the driver as an event on this fd.
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn drained(pipe: &SignalPipe) -> Vec<u8> {
        let mut signals = Vec::new();
        pipe.drain(|signal| signals.push(signal));
        signals
    }

    #[test]
    fn numbers_arrive_in_order_and_zero_is_none() {
        let pipe = SignalPipe::new().unwrap();
        assert!(drained(&pipe).is_empty());
        (&pipe.writer).write_all(&[2, 0, 15]).unwrap();
        (&pipe.writer).write_all(&[2]).unwrap();
        assert_eq!(drained(&pipe), [2, 15, 2]);
        assert!(drained(&pipe).is_empty());
    }

    #[test]
    fn a_flood_blocks_neither_side() {
        let pipe = SignalPipe::new().unwrap();
        let mut written = 0;
        let full = loop {
            match (&pipe.writer).write(&[7; 100]) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert_eq!(drained(&pipe).len(), written);
    }

    /// The handler may be entered again by what it calls; the bytes are then shared out, not repeated.
    #[test]
    fn drains_may_nest() {
        let pipe = SignalPipe::new().unwrap();
        (&pipe.writer).write_all(&[1]).unwrap();
        let mut seen = Vec::new();
        pipe.drain(|signal| {
            seen.push(signal);
            if signal < 3 {
                (&pipe.writer).write_all(&[signal + 1]).unwrap();
                pipe.drain(|inner| seen.push(inner));
            }
        });
        assert_eq!(seen, [1, 2]);
    }
}
