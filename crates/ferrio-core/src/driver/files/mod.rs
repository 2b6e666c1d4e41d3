//! Operations on files, which may wait for a disk: done by `io_uring` where the system has it, else by threads.
//!
//! A file cannot be polled, so none of this goes through a [`Driver`](super::Driver); what a driver watches is the
//! eventfd of the engine ([`Files::fd`]), which is readable when something has completed.
//!
//! An operation owns what the kernel or a thread works on: its buffer, its path, a share of its file ([`Handle`]). It
//! comes back whole in its [`Completed`]. So the caller may lose interest at any time, and neither memory
//! nor descriptor is used again before the operation has ended.

mod operation;
mod ring;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

pub use operation::{Handle, Metadata, Operation, Value, position, rewind, seek};
use ring::Ring;

use super::forks::Process;
use super::{Availability, socket, sys};
use crate::blocking::BlockingPool;

/// Threads for what a ring does not do, or for everything.
static POOL: std::sync::LazyLock<BlockingPool> = std::sync::LazyLock::new(|| BlockingPool::new(32));

/// Which engine to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilesKind {
    /// `io_uring` where the system has it, else threads.
    #[default]
    IoUring,
    /// Threads.
    Pool,
}

impl FilesKind {
    /// The environment variable that [`FilesKind::from_env`] reads.
    pub const ENV: &str = "FERRIO_FILES";

    /// The kind named by the environment. Errors: `InvalidInput` for a name that is none.
    pub fn from_env() -> io::Result<Self> {
        std::env::var_os(Self::ENV).map_or(Ok(Self::default()), |name| name.to_string_lossy().parse())
    }
}

impl FromStr for FilesKind {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        match name {
            "" | "io_uring" => Ok(Self::IoUring),
            "pool" => Ok(Self::Pool),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("unknown engine {name:?} in {}: use io_uring or pool", Self::ENV),
            )),
        }
    }
}

/// What has become of an operation.
#[derive(Debug)]
pub struct Completed {
    /// As [`Files::submit`] named it.
    pub id: u64,
    pub operation: Operation,
    pub result: io::Result<Value>,
}

/// Where threads put what they have completed.
#[derive(Debug)]
struct Finished {
    completed: Mutex<Vec<Completed>>,
    eventfd: OwnedFd,
}

impl Finished {
    /// Makes the eventfd readable.
    fn tell(&self) {
        // EAGAIN means that the counter is full, and the eventfd readable; there is no other failure.
        drop(socket::write(self.eventfd.as_raw_fd(), &1_u64.to_ne_bytes()));
    }
}

/// The file operations of one loop. For one thread at a time.
#[derive(Debug)]
pub struct Files {
    ring: Option<Ring>,
    finished: Arc<Finished>,
    next: u64,
    process: Process,
}

impl Files {
    /// Errors: those of the kernel (`EMFILE`, `ENFILE`); a system without `io_uring` is none.
    pub fn new(kind: FilesKind) -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = sys::once(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        let eventfd = unsafe { OwnedFd::from_raw_fd(fd) };
        let ring = match kind {
            FilesKind::Pool => None,
            FilesKind::IoUring => match Ring::new(eventfd.as_raw_fd()) {
                Ok(ring) => Some(ring),
                Err(error) if Availability::is_refusal(&error) => None,
                Err(error) => return Err(error),
            },
        };
        let finished = Arc::new(Finished { completed: Mutex::default(), eventfd });
        Ok(Self { ring, finished, next: 0, process: Process::current() })
    }

    /// The engine's name as people read it in diagnostics.
    pub fn name(&self) -> &'static str {
        if self.ring.is_some() { "io_uring" } else { "pool" }
    }

    /// Whether it was made in this process. In a forked child it is of no use: what it has under way is its parent's,
    /// and so is what its eventfd says.
    pub fn is_ours(&self) -> bool {
        self.process.is_current()
    }

    /// For a forked child: gives up what is its parent's, and hands out copies of the operations under way, as far as
    /// there are any.
    pub fn into_copies(self) -> Vec<(u64, Operation)> {
        self.ring.map(Ring::into_copies).unwrap_or_default()
    }

    /// Readable when something has completed, until [`Files::acknowledge`].
    pub fn fd(&self) -> RawFd {
        self.finished.eventfd.as_raw_fd()
    }

    /// Begins an operation, and names it. Operations on one file are done in any order: begin one when the one before
    /// has completed. Errors: there is no thread to be had; the operation is then dropped.
    pub fn submit(&mut self, operation: Operation) -> io::Result<u64> {
        let id = self.next;
        self.next += 1;
        match &mut self.ring {
            Some(ring) if ring.takes(&operation) => ring.submit(id, operation),
            _ => {
                let finished = Arc::clone(&self.finished);
                POOL.spawn(Box::new(move || {
                    let mut operation = operation;
                    let result = operation.run();
                    let completed = Completed { id, operation, result };
                    finished.completed.lock().unwrap_or_else(PoisonError::into_inner).push(completed);
                    finished.tell();
                }))?;
            }
        }
        Ok(id)
    }

    /// Ends an operation that may wait for ever (on a pipe, a terminal): it completes with `ECANCELED`, unless it has
    /// completed already. A thread cannot be stopped: what it does goes on.
    pub fn cancel(&mut self, id: u64) {
        if let Some(ring) = &mut self.ring {
            ring.cancel(id);
        }
    }

    /// The next completed operation. Looks at no descriptor.
    pub fn completed(&mut self) -> Option<Completed> {
        let of_ring = self.ring.as_mut().and_then(Ring::completed);
        of_ring.or_else(|| self.finished.completed.lock().unwrap_or_else(PoisonError::into_inner).pop())
    }

    /// [`Files::fd`] was readable: it is not any more. Call it before [`Files::completed`].
    pub fn acknowledge(&mut self) {
        // EAGAIN: somebody was there before.
        drop(socket::read(self.fd(), &mut [0; 8]));
        if let Some(ring) = &mut self.ring
            && !ring.submit_rest()
        {
            self.finished.tell();
        }
    }
}

#[cfg(test)]
mod tests;
