//! The ring itself: making one, entries in, completions out. It does not know what is watched.

use std::io;
use std::os::fd::RawFd;
use std::thread::{self, ThreadId};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

use crate::driver::forks::Process;

/// `user_data` of the poll on the wake-up's eventfd.
pub(super) const WAKE: u64 = u64::MAX;
/// `user_data` of cancellations, whose own outcome nobody needs.
pub(super) const CANCELLED: u64 = u64::MAX - 1;

const ENTRIES: u32 = 256;
/// More completions than this at once wait in the kernel, which keeps them all (`FEAT_NODROP`).
const COMPLETIONS: u32 = 2048;
/// The longest single wait, so that no sum overflows in the kernel; the caller waits on.
const LONGEST: Duration = Duration::from_secs(1 << 31);

/// Whether this system has what we need of `io_uring`.
#[derive(Debug)]
pub enum Availability {
    Available,
    /// [`OFF`](Availability::OFF) says so.
    SwitchedOff,
    /// What the kernel answered: `ENOSYS` if it is too old, `EPERM` under a seccomp filter or
    /// `kernel.io_uring_disabled`, `EINVAL` if it lacks a feature (before Linux 6.1).
    Refused(io::Error),
}

impl Availability {
    /// The environment variable that, set to `off`, makes a system one without `io_uring`: for tests, and for users
    /// that would rather not use it.
    pub const OFF: &str = "FERRIO_IO_URING";

    pub(in crate::driver) fn switched_off() -> bool {
        std::env::var_os(Self::OFF).is_some_and(|value| value == "off")
    }

    /// Whether an error in making a ring means that there are none to be had here, rather than not now.
    pub(in crate::driver) fn is_refusal(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Unsupported
            || matches!(
                error.raw_os_error(),
                Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EINVAL | libc::ENOMEM)
            )
    }
}

/// Tries it.
pub fn availability() -> Availability {
    if Availability::switched_off() {
        return Availability::SwitchedOff;
    }
    match Ring::new() {
        Ok(_) => Availability::Available,
        Err(error) => Availability::Refused(error),
    }
}

/// How a wait came back without completions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waited {
    /// The time is up, or there was no waiting.
    Over,
    /// Perhaps by a signal: the kernel hides that behind the number of entries it took.
    Cut,
}

pub(super) struct Completion {
    pub(super) user_data: u64,
    pub(super) result: i32,
    /// The poll goes on.
    pub(super) more: bool,
}

pub(super) struct Ring {
    io: IoUring,
    thread: ThreadId,
    process: Process,
    pub(super) wake_armed: bool,
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        if Availability::switched_off() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is switched off"));
        }
        let process = Process::current();
        let io = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(ENTRIES)?;
        if !(io.params().is_feature_nodrop() && io.params().is_feature_ext_arg()) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Ok(Self { io, thread: thread::current().id(), process, wake_armed: false })
    }

    /// Whether this thread of this process may use it.
    pub(super) fn is_ours(&self) -> bool {
        self.thread == thread::current().id() && self.process.is_current()
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: our entries (polls and cancellations) point to no memory.
            if unsafe { self.io.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.enter(0, EnterFlags::empty(), None)?;
        }
    }

    pub(super) fn push_poll(
        &mut self,
        fd: RawFd,
        user_data: u64,
        bits: u32,
        multishot: bool,
    ) -> io::Result<()> {
        let poll = opcode::PollAdd::new(Fd(fd), bits).multi(multishot).build().user_data(user_data);
        self.push(&poll)
    }

    pub(super) fn push_cancel(&mut self, user_data: u64) -> io::Result<()> {
        self.push(&opcode::PollRemove::new(user_data).build().user_data(CANCELLED))
    }

    /// Watches the eventfd, for edges: it is never read.
    pub(super) fn arm_wake(&mut self, eventfd: RawFd) -> io::Result<()> {
        self.push_poll(eventfd, WAKE, libc::POLLIN as u32, true)?;
        self.wake_armed = true;
        Ok(())
    }

    /// Cancels a poll; it has let go of its file when this returns.
    pub(super) fn cancel_now(&mut self, user_data: u64) -> io::Result<()> {
        self.push_cancel(user_data)?;
        // The poll ends in task work, which runs only in an enter that asks for events. EINTR is not possible, since
        // nothing is waited for.
        self.enter(0, EnterFlags::GETEVENTS, None).map(drop)
    }

    /// No completion is there, nor anything that could become one without a wait.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.io.completion().is_empty()
    }

    /// Submits what is queued and collects what is there, by a syscall only if there is something to do.
    pub(super) fn look(&mut self) -> io::Result<Waited> {
        let submission = self.io.submission();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        if !idle {
            self.enter(0, EnterFlags::GETEVENTS, None)?;
        }
        Ok(Waited::Over)
    }

    /// Submits what is queued and waits for a completion.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Waited> {
        let timeout = timeout.map(|timeout| Timespec::from(timeout.min(LONGEST)));
        match self.enter(1, EnterFlags::GETEVENTS, timeout.as_ref()) {
            Ok(()) => Ok(Waited::Cut),
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(Waited::Over),
            Err(error) => Err(error),
        }
    }

    fn enter(&mut self, want: u32, flags: EnterFlags, timeout: Option<&Timespec>) -> io::Result<()> {
        let count = self.io.submission().len() as u32;
        let submitter = self.io.submitter();
        let entered = match timeout {
            Some(timeout) => {
                let args = SubmitArgs::new().timespec(timeout);
                let flags = (flags | EnterFlags::EXT_ARG).bits();
                // SAFETY: with EXT_ARG the argument is this record, which lives through the call, as does the
                // timespec in it. The entries submitted point to no memory.
                unsafe { submitter.enter(count, want, flags, Some(&args)) }
            }
            // SAFETY: no argument. The entries submitted point to no memory.
            None => unsafe { submitter.enter::<libc::sigset_t>(count, want, flags.bits(), None) },
        };
        match entered {
            Ok(_) => Ok(()),
            // The kernel keeps more completions than it has room for: it takes entries again when we have taken some.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && !self.is_quiet() => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        let entry = self.io.completion().next()?;
        Some(Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            more: cqueue::more(entry.flags()),
        })
    }
}
