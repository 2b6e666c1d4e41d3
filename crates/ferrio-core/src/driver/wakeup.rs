//! Ending a `poll` from another thread or from a signal handler: an eventfd.
//!
//! The eventfd is registered edge-triggered and never read: each write is a new edge, so a wake-up costs one write
//! and no read, and the counter would need 2^64 wake-ups to overflow. A flag coalesces: while a wake-up is on its
//! way, further ones cost one atomic swap and no syscall.
//!
//! No wake-up is lost. A caller publishes its work, then calls `wake`. If its swap finds the flag clear, it writes,
//! and the next `poll` returns. If it finds the flag set, the write that set it has not been reported yet; the
//! owner clears the flag (acquiring what the caller published) before it reports, and looks for work after that.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::forks::forks;
use super::sys;

/// Ends a `poll` of the driver it came from. May be called from any thread and from a signal handler, also after
/// the driver has gone.
#[derive(Debug)]
pub struct Waker {
    eventfd: OwnedFd,
    /// A wake-up was written and not yet reported. Set by wakers, cleared by the owner of the `poll`.
    pending: AtomicBool,
    forks: AtomicU32,
}

fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = sys::once(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { eventfd: eventfd()?, pending: AtomicBool::new(false), forks: AtomicU32::new(forks()) })
    }

    /// In a forked child: an eventfd of its own under the same number, or each would wake the other. It has to be
    /// registered anew. A wake-up that is on its way stays so.
    pub(super) fn renew_if_forked(&self) -> io::Result<()> {
        let now = forks();
        if self.forks.load(Ordering::Relaxed) == now {
            return Ok(());
        }
        sys::replace(&self.eventfd, eventfd()?)?;
        self.forks.store(now, Ordering::Relaxed);
        if self.pending.load(Ordering::Acquire) {
            self.nudge();
        }
        Ok(())
    }

    pub(super) fn fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }

    /// Makes the `poll` in progress, or else the next one, return with [`Events::woken`](super::Events::woken) set.
    /// Async-signal-safe: one atomic, one write, no allocation, no lock, and `errno` is left as it was.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.nudge();
        }
    }

    /// Ends a wait of the kernel's without a wake-up to report: something was queued for the thread in `poll`.
    pub(super) fn nudge(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: errno is a thread-local that is always there.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        let saved = unsafe { *errno };
        // SAFETY: `one` is eight live bytes, which is what an eventfd takes. The result needs no look: EAGAIN means
        // that the counter is full and the fd readable, and a write to our own open eventfd has no other failure.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
        // SAFETY: as above. A signal handler must not change what the interrupted code reads as its errno.
        unsafe { *errno = saved };
    }

    /// The owner's side: the wake-up is being reported, the next one must write again. Whether there was one.
    pub(super) fn acknowledge(&self) -> bool {
        // A swap and not a store: it reads the waker's `true`, and so acquires what was published before it.
        self.pending.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::socket;

    fn written(waker: &Waker) -> u64 {
        let mut count = [0; 8];
        socket::read(waker.fd(), &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    }

    #[test]
    fn wake_ups_coalesce_until_acknowledged() {
        let waker = Waker::new().unwrap();
        for _ in 0..1000 {
            waker.wake();
        }
        assert_eq!(written(&waker), 1);
        waker.wake();
        assert_eq!(written(&waker), 0);
        waker.acknowledge();
        waker.wake();
        assert_eq!(written(&waker), 1);
    }

    #[test]
    fn errno_is_left_alone() {
        let waker = Waker::new().unwrap();
        // A full counter makes the write fail.
        socket::write(waker.fd(), &(u64::MAX - 1).to_ne_bytes()).unwrap();
        // SAFETY: errno is a thread-local that is always there.
        unsafe { *libc::__errno_location() = libc::EXDEV };
        waker.wake();
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::EXDEV));
        assert_eq!(written(&waker), u64::MAX - 1);
    }
}
