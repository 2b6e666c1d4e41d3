//! Telling a forked child from its parent: what the kernel shares between them belongs to one of them alone.

use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks this process is away from the one that asked first.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A number that differs between a parent and its forked child. Code that makes something that a child must not use
/// notes it, and compares.
pub(super) fn forks() -> u32 {
    static COUNTED: Once = Once::new();
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    COUNTED.call_once(|| {
        // SAFETY: the handler is a function that lives for ever and only touches an atomic, which is allowed in a
        // forked child. It fails only for want of memory; then a child is not told from its parent.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
    FORKS.load(Ordering::Relaxed)
}

/// In a forked child, closes a descriptor that it has inherited and that only a thread of the parent's uses.
pub fn close_in_forked_child(fd: RawFd) {
    // SAFETY: takes no pointers. The thread that owns the descriptor is not in this process; with a wrong number it
    // closes the wrong file, but cannot break memory.
    unsafe { libc::close(fd) };
}

/// The process in which something was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// This one.
    pub fn current() -> Self {
        Process(forks())
    }

    /// Whether it is this one.
    #[inline]
    pub fn is_current(self) -> bool {
        self == Self::current()
    }
}
