//! Waiting for file descriptors: what a backend must provide, and the choice between backends.
//!
//! A backend is one sibling ([`epoll`], [`uring`]) that implements [`Backend`]. This is the whole list of what the event
//! loop relies on; a kqueue or `poll(2)` backend that keeps these promises needs no other change:
//!
//! 1. **Level-triggered readiness.** As long as an fd stays readable (writable) and registered for it, every `poll`
//!    reports it. Errors and hang-ups are reported as both readable and writable, whatever the interest was, the
//!    way `selectors` does it: the loop masks the event with the handlers it has. With [`Interest::on_change`] a backend
//!    may report an fd once for each change instead; the peer's end and urgent data are then reported as errors are,
//!    and to `reregister` makes it look at the fd anew.
//! 2. **Tokens are opaque.** The backend hands back the [`Token`] it was given, and never [`Token::WAKE`]. An event
//!    for an fd that was deregistered earlier in the same batch may still be delivered: the registry's generations
//!    make it stale.
//! 3. **`&self` everywhere.** One thread may sit in `poll` with the GIL released while another registers,
//!    reregisters or deregisters; a change made during a `poll` takes effect in that `poll`.
//! 4. **A timeout is never early**, apart from timeouts beyond what the kernel can express (`i32::MAX` milliseconds
//!    and more), which may return empty-handed: the loop computes the next timeout anyway. `Duration::ZERO` is a
//!    plain look that never sleeps. `None` waits for an event or a wake-up.
//! 5. **Interrupted is an error.** `EINTR` comes back as [`std::io::ErrorKind::Interrupted`], because the loop must
//!    run Python's signal handlers before it polls again.
//! 6. **Wake-ups.** [`Waker::wake`] ends the `poll` in progress, or the next one if none is; the backend consumes
//!    the wake-up and reports it as [`Events::woken`] and not as an event.
//! 7. **Close-on-exec.** No descriptor of the backend survives `exec`. After a `fork` the kernel object is shared
//!    with the parent, so the child must not use an inherited driver: it makes its own.
//!
//! Deregister an fd before closing it. The kernel's registration belongs to the open file description, not to the
//! number: if a duplicate lives on elsewhere (a forked child, `dup`), a closed but not deregistered fd goes on
//! producing events that nobody can switch off.
//!
//! # Safety
//!
//! This directory is the one place of the crate with `unsafe`: raw syscalls. What holds everywhere in it: buffers
//! passed to the kernel are live Rust slices whose length is passed with them; memory is taken as initialised only
//! up to the count that the kernel returned; descriptors made here are wrapped in `OwnedFd` at once. Functions take
//! somebody else's `RawFd` (a Python socket's) and never close it; with a wrong number they fail with `EBADF` or act
//! on the wrong file, but cannot break memory.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub mod address;
pub mod child;
pub mod datagram;
pub mod epoll;
mod event;
pub mod file;
pub mod files;
mod forks;
mod page_buffer;
pub mod pipe;
pub mod resolve;
pub mod socket;
pub mod spawn;
mod sys;
#[cfg(test)]
mod testing;
pub mod uring;
mod wakeup;

pub use address::{Address, Ipv4Text};
pub use epoll::{Epoll, Precision};
pub use event::{Event, Events, Interest, Readiness, Token};
pub use forks::{Process, close_in_forked_child};
pub use page_buffer::PageBuffer;
pub use uring::{Availability, Uring};
pub use wakeup::Waker;

/// What a backend provides. The promises behind the signatures are listed at the head of this module.
pub trait Backend: Send + Sync {
    /// Begins to watch `fd`. Errors: `EEXIST` if it is watched already, `EPERM` if it cannot be polled (a regular
    /// file), `EBADF`.
    fn register(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;

    /// Begins to watch `fd` in both directions for changes: it is reported when it becomes ready, not as long as it is.
    /// Errors: as [`Backend::register`], `Unsupported` from a backend that has no such thing.
    fn register_changes(&self, _fd: RawFd, _token: Token) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Replaces token and interest of a watched `fd`. Errors: `ENOENT` if it is not watched, `EBADF`.
    fn reregister(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;

    /// Stops watching `fd`. Errors: `ENOENT` if it is not watched, `EBADF` if it was closed first.
    fn deregister(&self, fd: RawFd) -> io::Result<()>;

    /// Waits for events, a wake-up or the end of `timeout`, and fills `events`, which it empties first.
    fn poll(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()>;

    /// The handle that ends a `poll` from any thread or signal handler.
    fn waker(&self) -> Arc<Waker>;
}

/// Which backend to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverKind {
    /// The best one this system has.
    #[default]
    Auto,
    /// epoll with nanosecond timeouts where the kernel has `epoll_pwait2`.
    Epoll,
    /// epoll held to millisecond timeouts: the path of kernels before 5.11, forced so that tests can run it.
    EpollMillis,
    /// `io_uring` where the system has it, else epoll. Never chosen by itself: it is not faster on every load.
    IoUring,
}

impl DriverKind {
    /// The environment variable that [`DriverKind::from_env`] reads.
    pub const ENV: &str = "FERRIO_DRIVER";

    /// The kind named by the environment, [`DriverKind::Auto`] if unset or empty. Errors: `InvalidInput` for a name
    /// that is none.
    pub fn from_env() -> io::Result<Self> {
        match std::env::var_os(Self::ENV) {
            None => Ok(Self::Auto),
            Some(name) => name.to_string_lossy().parse(),
        }
    }
}

impl FromStr for DriverKind {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        match name {
            "" | "auto" => Ok(Self::Auto),
            "epoll" => Ok(Self::Epoll),
            "epoll-millis" => Ok(Self::EpollMillis),
            "io_uring" => Ok(Self::IoUring),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("unknown driver {name:?} in {}: use epoll or io_uring", Self::ENV),
            )),
        }
    }
}

/// The backend in use. An enum and not a `dyn Backend`, so that `poll` and registration are direct calls.
#[derive(Debug)]
#[non_exhaustive]
pub enum Driver {
    Epoll(Epoll),
    /// Boxed, since it is twenty times the size of the other.
    Uring(Box<Uring>),
}

impl Driver {
    /// The driver that the environment asks for ([`DriverKind::from_env`]).
    pub fn new() -> io::Result<Self> {
        Self::with_kind(DriverKind::from_env()?)
    }

    /// A driver of the given kind; epoll instead of an `io_uring` that the system refuses. Errors: those of the kernel (`EMFILE`, `ENFILE`, `ENOMEM`).
    pub fn with_kind(kind: DriverKind) -> io::Result<Self> {
        let precision = match kind {
            DriverKind::Auto | DriverKind::Epoll => Precision::Nanoseconds,
            DriverKind::EpollMillis => Precision::Milliseconds,
            DriverKind::IoUring => match Uring::new() {
                Err(error) if Availability::is_refusal(&error) => Precision::Nanoseconds,
                made => return made.map(|uring| Self::Uring(Box::new(uring))),
            },
        };
        Ok(Self::Epoll(Epoll::with_precision(precision)?))
    }

    /// The backend's name as people read it in diagnostics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Epoll(epoll) => match epoll.precision() {
                Precision::Nanoseconds => "epoll",
                Precision::Milliseconds => "epoll-millis",
            },
            Self::Uring(_) => "io_uring",
        }
    }

    /// A descriptor that is readable while a `poll` would find something, for a loop that waits elsewhere. `None` for
    /// `io_uring`, which arms what it waits for in the call that waits.
    pub fn fd(&self) -> Option<RawFd> {
        match self {
            Self::Epoll(epoll) => Some(epoll.fd()),
            Self::Uring(_) => None,
        }
    }

    /// See [`Backend::register`].
    pub fn register(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.register(fd, token, interest),
            Self::Uring(uring) => uring.register(fd, token, interest),
        }
    }

    /// See [`Backend::register_changes`].
    pub fn register_changes(&self, fd: RawFd, token: Token) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.register_changes(fd, token),
            Self::Uring(uring) => uring.register_changes(fd, token),
        }
    }

    /// See [`Backend::reregister`].
    pub fn reregister(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.reregister(fd, token, interest),
            Self::Uring(uring) => uring.reregister(fd, token, interest),
        }
    }

    /// See [`Backend::deregister`].
    pub fn deregister(&self, fd: RawFd) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.deregister(fd),
            Self::Uring(uring) => uring.deregister(fd),
        }
    }

    /// See [`Backend::poll`].
    pub fn poll(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Epoll(epoll) => epoll.poll(events, timeout),
            Self::Uring(uring) => uring.poll(events, timeout),
        }
    }

    /// See [`Backend::waker`].
    pub fn waker(&self) -> Arc<Waker> {
        match self {
            Self::Epoll(epoll) => epoll.waker(),
            Self::Uring(uring) => uring.waker(),
        }
    }
}
