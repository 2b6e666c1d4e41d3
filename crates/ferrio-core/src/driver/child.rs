//! A child process: its signals, its end, and how a loop comes to know of it.
//!
//! A child that nobody has reaped keeps its number, so a signal sent before that reaches it and no other. A child with a
//! pidfd is signalled through that, which also holds where somebody else reaps, or nobody has to (`SIGCHLD` ignored).

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::thread;
use std::{env, mem};

use super::sys::{once, retry};

/// How the end of children is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Watch {
    /// A pidfd among the loop's descriptors; a thread where the system has none.
    #[default]
    Pidfd,
    /// A thread for each child.
    Thread,
}

impl Watch {
    /// The environment variable that [`Watch::from_env`] reads.
    pub const ENV: &str = "FERRIO_CHILD_WATCHER";

    /// What the environment asks for: `pidfd`, `thread`, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` for another word.
    pub fn from_env() -> io::Result<Self> {
        match env::var_os(Self::ENV) {
            None => Ok(Self::Pidfd),
            Some(word) if word.is_empty() || word == "pidfd" => Ok(Self::Pidfd),
            Some(word) if word == "thread" => Ok(Self::Thread),
            Some(word) => Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!("unknown watcher {:?} in {}: use pidfd or thread", word.to_string_lossy(), Self::ENV),
            )),
        }
    }
}

/// A process that this one has made.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    pidfd: Option<OwnedFd>,
    reaped: bool,
}

impl Child {
    pub(super) fn new(pid: libc::pid_t, pidfd: Option<OwnedFd>) -> Self {
        Self { pid, pidfd, reaped: false }
    }

    /// A child that somebody else has made, and nobody has reaped.
    pub fn adopt(pid: libc::pid_t, watch: Watch) -> Self {
        Self::new(pid, if watch == Watch::Pidfd { open_pidfd(pid) } else { None })
    }

    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Readable when the child has ended.
    pub fn pidfd(&self) -> Option<RawFd> {
        self.pidfd.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether it was reaped here, or found to be reaped.
    pub fn is_reaped(&self) -> bool {
        self.reaped
    }

    /// Closes what [`Child::pidfd`] is the number of.
    pub fn close_pidfd(&mut self) {
        drop(self.pidfd.take());
    }

    /// Whether it has ended. Does not reap it.
    pub fn has_ended(&self) -> bool {
        if self.reaped {
            return true;
        }
        // SAFETY: an all-zero record is one.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
        // SAFETY: the kernel fills the record.
        let waited =
            retry(|| unsafe { libc::waitid(libc::P_PID, self.pid as libc::id_t, &raw mut info, flags) });
        // SAFETY: the kernel has filled it, or left the zeros.
        waited.is_err() || unsafe { info.si_pid() } != 0
    }

    /// Sends a signal. Errors: `ESRCH` if it was reaped, `EPERM`, `EINVAL`.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.reaped {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        if let Some(pidfd) = self.pidfd() {
            // SAFETY: takes no pointer but one that may be null.
            let sent = once(|| unsafe {
                libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, std::ptr::null::<()>(), 0) as isize
            });
            match sent {
                // A sandbox without the call.
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
                sent => return sent.map(drop),
            }
        }
        // SAFETY: takes no pointers.
        once(|| unsafe { libc::kill(self.pid, signal) }).map(drop)
    }

    /// Its exit status as Python has it (negative for the signal that killed it), if it has ended. Does not wait. Errors:
    /// `ECHILD` if somebody else has reaped it.
    pub fn try_wait(&mut self) -> io::Result<Option<i32>> {
        self.reap(libc::WNOHANG)
    }

    /// As [`Child::try_wait`], and waits for the end.
    pub fn wait(&mut self) -> io::Result<Option<i32>> {
        self.reap(0)
    }

    fn reap(&mut self, flags: i32) -> io::Result<Option<i32>> {
        if self.reaped {
            return Err(io::Error::from_raw_os_error(libc::ECHILD));
        }
        let mut status = 0;
        // SAFETY: the kernel writes a number.
        match retry(|| unsafe { libc::waitpid(self.pid, &raw mut status, flags) }) {
            Ok(0) => Ok(None),
            Ok(_) => {
                self.reaped = true;
                Ok(Some(exit_code(status)))
            }
            Err(error) => {
                self.reaped = true;
                Err(error)
            }
        }
    }

    /// Has a thread wait for the end, and call `ended` then. The child is not reaped by it.
    ///
    /// # Errors
    /// `EAGAIN` if there is no thread to be had.
    pub fn watch_on_thread(&self, ended: impl FnOnce() + Send + 'static) -> io::Result<()> {
        /// For one system call and a wake-up.
        const STACK: usize = 64 * 1024;
        let pid = self.pid;
        let wait = move || {
            wait_for_end(pid);
            ended();
        };
        thread::Builder::new().name("ferrio-waitpid".to_owned()).stack_size(STACK).spawn(wait).map(drop)
    }
}

/// A pidfd of a process. `None` where the system has none, or none left.
fn open_pidfd(pid: libc::pid_t) -> Option<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = once(|| unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) as isize }).ok()?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Some(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd as RawFd) })
}

/// Waits until a child has ended, and leaves it to be reaped by others. Returns at once if there is no such child.
fn wait_for_end(pid: libc::pid_t) {
    // SAFETY: an all-zero record is one.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel fills the record.
    let waited = retry(|| unsafe {
        libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, libc::WEXITED | libc::WNOWAIT)
    });
    drop(waited);
}

/// What Python makes of a status.
fn exit_code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}
