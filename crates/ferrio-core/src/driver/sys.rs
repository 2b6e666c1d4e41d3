//! The one translation from a syscall's return value to `io::Result`, and the one retry on `EINTR`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A count or descriptor that is negative on failure, with `errno` set.
pub(super) trait Returned: Copy {
    fn failed(self) -> bool;
}

impl Returned for isize {
    fn failed(self) -> bool {
        self < 0
    }
}

impl Returned for i32 {
    fn failed(self) -> bool {
        self < 0
    }
}

/// Runs `call` once.
pub(super) fn once<T: Returned>(call: impl FnOnce() -> T) -> io::Result<T> {
    let returned = call();
    if returned.failed() { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Whether `fd` is ready for `events` (of `poll(2)`), or has an error or its end to report. Does not wait.
pub(super) fn is_ready(fd: RawFd, events: i16) -> io::Result<bool> {
    let mut look = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: the kernel writes to the one record.
    let ready = retry(|| unsafe { libc::poll(&raw mut look, 1, 0) })?;
    Ok(ready > 0)
}

/// Runs `call` until it is not interrupted by a signal. Only for calls on non-blocking descriptors: one that can
/// block must come back, so that Python's signal handlers run.
pub(super) fn retry<T: Returned>(mut call: impl FnMut() -> T) -> io::Result<T> {
    loop {
        match once(&mut call) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Puts `by` in the place of `fd`, under its number.
pub(super) fn replace(fd: &OwnedFd, by: OwnedFd) -> io::Result<()> {
    // SAFETY: takes no pointers; both descriptors are ours, and holders of `fd` mean what it stands for from now on.
    once(|| unsafe { libc::dup3(by.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}
