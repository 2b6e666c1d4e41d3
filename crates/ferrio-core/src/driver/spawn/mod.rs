//! New processes, without waiting for them to begin.
//!
//! `fork` copies the page tables: 30 to 45 ms for each GiB of the parent. `vfork` and `posix_spawn` share the memory
//! instead, but hold the calling thread until the program has begun, which on a slow file system takes seconds. Here the
//! process is made by `clone` with the memory shared and a stack of its own, and the caller goes on at once. A pipe that
//! `exec` closes says when the program has begun; what went wrong before that is written to it.
//!
//! No thread is needed for it. A thread would have to take over what belongs to the caller's (priority, affinity,
//! namespaces, filters of system calls), and to live as long as the process: a child that asked to be killed with its
//! parent (`PR_SET_PDEATHSIG`) is killed when the thread that made it ends.
//!
//! A process that changes its user or groups gets a copy of the memory: the kernel would take the change for one of the
//! parent's memory too, and others of that user could look into it.

mod ids;
mod inside;
mod raw;

use std::ffi::{CStr, CString, c_char, c_void};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::{env, mem, ptr};

use super::child::{Child, Watch};
use super::socket;
use super::sys::once;
use crate::blocking;

/// What a new process is to be.
#[derive(Debug, Default)]
pub struct Command {
    /// The paths to try, in this order.
    pub programs: Vec<CString>,
    pub args: Vec<CString>,
    /// `NAME=value`; as this process has them if there is none.
    pub env: Option<Vec<CString>>,
    pub directory: Option<CString>,
    /// Standard input, output and error: this process's where there is none.
    pub standard: [Option<RawFd>; 3],
    /// Descriptors that the program gets under the numbers that they have here, whatever their flags say.
    pub kept: Vec<RawFd>,
    /// Whether all others but the standard ones are closed.
    pub close_others: bool,
    /// Whether signals that CPython ignores have their default action again.
    pub restore_signals: bool,
    pub new_session: bool,
    /// The process group to go into; 0 is a new one.
    pub process_group: Option<libc::pid_t>,
    pub umask: Option<u32>,
    /// Supplementary groups.
    pub groups: Option<Vec<libc::gid_t>>,
    pub group: Option<libc::gid_t>,
    pub user: Option<libc::uid_t>,
}

/// How the process gets its memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Memory {
    /// The parent's until the program begins, unless it changes its user or groups, or the system refuses.
    #[default]
    Shared,
    /// A copy, as `fork` makes it.
    Copied,
}

impl Memory {
    /// The environment variable that [`Memory::from_env`] reads.
    pub const ENV: &str = "FERRIO_SPAWN";

    /// What the environment asks for: `copy`, or nothing.
    ///
    /// # Errors
    /// `InvalidInput` for another word.
    pub fn from_env() -> io::Result<Self> {
        match env::var_os(Self::ENV) {
            None => Ok(Self::Shared),
            Some(word) if word.is_empty() || word == "share" => Ok(Self::Shared),
            Some(word) if word == "copy" => Ok(Self::Copied),
            Some(word) => Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!("unknown way {:?} in {}: use share or copy", word.to_string_lossy(), Self::ENV),
            )),
        }
    }
}

/// What a new process was about when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Step {
    /// Descriptors, session, group, user.
    Prepare = 1,
    /// The working directory.
    Directory = 2,
    /// The program.
    Execute = 3,
}

/// Why a program did not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    pub errno: i32,
    pub step: Step,
}

/// Bytes of what a new process reports: the error number, and the step in the last one.
const RECORD: usize = 8;

/// What the new process works with. Its parent keeps it until the program has begun.
struct Plan {
    command: Command,
    /// Lists that end with a null pointer; they point into `command` and `_strings`.
    args: Vec<*const c_char>,
    env: Vec<*const c_char>,
    /// The environment of this process at the time: another thread may change it while the new process still reads.
    _strings: Vec<CString>,
    /// The signals to be blocked in the program.
    mask: raw::SignalSet,
    /// Where a failure is written.
    report: RawFd,
    /// No descriptor has a higher number, as far as the limits say.
    descriptors: RawFd,
}

// SAFETY: the pointers lead to what belongs to it.
unsafe impl Send for Plan {}

/// A process that may not have begun its program yet. Dropped before that, it is killed.
pub struct Spawning {
    child: Option<Child>,
    /// Readable when the program has begun, or has failed to.
    report: OwnedFd,
    /// What the new process uses until then.
    used: Option<(Box<Plan>, Option<raw::Stack>)>,
}

impl std::fmt::Debug for Spawning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spawning").field("child", &self.child).finish_non_exhaustive()
    }
}

fn pointers<'a>(strings: impl IntoIterator<Item = &'a CString>) -> Vec<*const c_char> {
    strings.into_iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The environment of this process, as C sees it.
fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut strings = Vec::new();
    // SAFETY: a list of C strings that ends with a null pointer, or none. Programs change it only while no other thread
    // looks; Python's own changes are made with the GIL, which our caller has.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            strings.push(CStr::from_ptr(*next).to_owned());
            next = next.add(1);
        }
    }
    strings
}

/// A pipe whose ends are closed by `exec` and do not block, the writing one not among the standard descriptors.
fn report_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel fills two numbers.
    once(|| unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
    let (reader, writer) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    if writer.as_raw_fd() > libc::STDERR_FILENO {
        return Ok((reader, writer));
    }
    // SAFETY: takes no pointers.
    let moved = once(|| unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: as above.
    Ok((reader, unsafe { OwnedFd::from_raw_fd(moved) }))
}

/// Makes a process that is to be what `command` says. It inherits what belongs to this thread.
///
/// # Errors
/// `OSError`s of the kernel: `EAGAIN`, `ENOMEM`, `EMFILE`.
pub fn spawn(mut command: Command, memory: Memory, watch: Watch) -> io::Result<Spawning> {
    let (report, writer) = report_pipe()?;
    command.kept.push(writer.as_raw_fd());
    command.kept.sort_unstable();
    command.kept.dedup();
    let changes_owner = command.user.is_some() || command.group.is_some() || command.groups.is_some();
    let copied = memory == Memory::Copied || changes_owner;
    let strings = if command.env.is_none() { environment() } else { Vec::new() };
    let mut plan = Box::new(Plan {
        args: pointers(&command.args),
        env: pointers(command.env.as_ref().unwrap_or(&strings)),
        _strings: strings,
        mask: 0,
        report: writer.as_raw_fd(),
        // SAFETY: takes no pointers.
        descriptors: unsafe { libc::sysconf(libc::_SC_OPEN_MAX) }.clamp(256, 1 << 20) as RawFd,
        command,
    });
    let stack = if copied { None } else { Some(raw::Stack::new()?) };
    let before = raw::set_signal_mask(raw::ALL_SIGNALS);
    plan.mask = before;
    let made = begin(&plan, stack.as_ref(), watch);
    raw::set_signal_mask(before);
    drop(writer);
    let child = made?;
    Ok(Spawning { child: Some(child), report, used: Some((plan, stack)) })
}

/// Whether the kernel, or a filter of system calls, does not want what could also be done without.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EMFILE | libc::ENFILE)
    )
}

/// Makes the process: with a descriptor for it if that is wanted and can be had, on `stack` if there is one and that can
/// be had.
fn begin(plan: &Plan, stack: Option<&raw::Stack>, watch: Watch) -> io::Result<Child> {
    let mut outcome = Err(io::ErrorKind::Unsupported.into());
    let descriptor = watch == Watch::Pidfd;
    for (stack, descriptor) in [(stack, descriptor), (stack, false), (None, false)] {
        outcome = clone(plan, stack, descriptor);
        if !outcome.as_ref().is_err_and(is_refusal) {
            break;
        }
    }
    outcome
}

fn clone(plan: &Plan, stack: Option<&raw::Stack>, descriptor: bool) -> io::Result<Child> {
    let mut pidfd: RawFd = -1;
    let mut flags = libc::SIGCHLD;
    if descriptor {
        flags |= libc::CLONE_PIDFD;
    }
    let pid = match stack {
        Some(stack) => {
            flags |= libc::CLONE_VM;
            if raw::SHARES_ERRNO {
                flags |= libc::CLONE_VFORK;
            }
            // SAFETY: the function keeps to what may be done in shared memory (`inside.rs`). Plan and stack live until it
            // has ended or is another program, which `Spawning` waits for. The kernel writes a descriptor to `pidfd`.
            once(|| unsafe {
                libc::clone(inside::run, stack.top(), flags, inside::argument(plan), &raw mut pidfd)
            })?
        }
        None => {
            // SAFETY: the copy goes on below, where it takes no lock and allocates nothing.
            match unsafe { raw::clone_memory(flags, &raw mut pidfd) } {
                Ok(0) => {
                    inside::run(inside::argument(plan));
                    raw::exit(255)
                }
                Ok(pid) => pid as libc::pid_t,
                Err(errno) => return Err(io::Error::from_raw_os_error(errno)),
            }
        }
    };
    // SAFETY: a descriptor that the kernel has made for us; kernels before 5.2 leave the place alone.
    let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
    Ok(Child::new(pid, pidfd))
}

impl Spawning {
    /// Readable when the program has begun, or has failed to.
    pub fn fd(&self) -> RawFd {
        self.report.as_raw_fd()
    }

    /// The process. `None` once it was handed out.
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// The process once its program has begun, or why it did not: it has ended then, and is reaped. `WouldBlock` before.
    ///
    /// # Errors
    /// `WouldBlock`; nothing else is to be expected of a pipe.
    pub fn finish(&mut self) -> io::Result<Result<Child, Failure>> {
        let mut record = [0; RECORD];
        let count = socket::read(self.fd(), &mut record)?;
        let Some(mut child) = self.child.take() else { return Err(ErrorKind::NotFound.into()) };
        if count == 0 {
            drop(self.used.take());
            return Ok(Ok(child));
        }
        let [first, second, third, fourth, .., step] = record;
        let errno = i32::from_ne_bytes([first, second, third, fourth]);
        let step = match step {
            2 => Step::Directory,
            3 => Step::Execute,
            _ => Step::Prepare,
        };
        // It is about to end; killed, because it may have been stopped.
        drop(child.signal(libc::SIGKILL));
        drop(child.wait());
        drop(self.used.take());
        Ok(Err(Failure { errno, step }))
    }
}

impl Drop for Spawning {
    fn drop(&mut self) {
        let (Some(mut child), Some(used)) = (self.child.take(), self.used.take()) else { return };
        drop(child.signal(libc::SIGKILL));
        if matches!(child.try_wait(), Ok(None)) {
            // It may be held up in the kernel, and uses the memory for so long. Where there is no thread to wait for it,
            // the memory is left to it.
            let used = mem::ManuallyDrop::new(used);
            let wait = move || {
                drop(child.wait());
                drop(mem::ManuallyDrop::into_inner(used));
            };
            drop(blocking::shared().spawn(Box::new(wait)));
        }
    }
}

/// That a pointer to a plan may be given to `clone`.
const _: fn(*mut c_void) -> std::ffi::c_int = |plan| inside::run(plan);

#[cfg(test)]
mod tests;
