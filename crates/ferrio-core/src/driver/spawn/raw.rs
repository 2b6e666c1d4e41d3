//! System calls that touch no thread-local storage: what a new process may call while it shares its parent's memory.
//!
//! The C library's functions leave their error in `errno`, which the new process shares with the thread that made it,
//! and that thread goes on meanwhile. So the call is made by an instruction of our own where we have one. Elsewhere the
//! parent waits until the program has begun ([`SHARES_ERRNO`]), and the C library's `syscall` serves.

use std::ffi::{c_long, c_void};
use std::os::fd::RawFd;

use super::ids;

/// Whether a call here writes to the `errno` of the parent's thread, which must not run then.
pub(super) const SHARES_ERRNO: bool = !cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// How many signals there are.
pub(super) const SIGNALS: i32 = 64;

/// A set of signals as the kernel has it.
pub(super) type SignalSet = u64;

/// Every signal.
pub(super) const ALL_SIGNALS: SignalSet = !0;

/// What a call returned: negative errors, as the kernel returns them.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: c_long, args: [usize; 5]) -> isize {
    let returned: isize;
    // SAFETY: the registers of the kernel's calling convention. What the call does is the caller's promise.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => returned,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    returned
}

/// What a call returned: negative errors, as the kernel returns them.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: c_long, args: [usize; 5]) -> isize {
    let returned: isize;
    // SAFETY: the registers of the kernel's calling convention. What the call does is the caller's promise.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => returned,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            options(nostack),
        );
    }
    returned
}

/// What a call returned: negative errors, as the kernel returns them.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn call(number: c_long, args: [usize; 5]) -> isize {
    // SAFETY: what the call does is the caller's promise.
    let returned = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4]) };
    if returned == -1 {
        // SAFETY: errno is always there.
        return -unsafe { *libc::__errno_location() } as isize;
    }
    returned as isize
}

/// An error number.
pub(super) type Errno = i32;

fn checked(returned: isize) -> Result<usize, Errno> {
    if returned < 0 { Err(returned.unsigned_abs() as Errno) } else { Ok(returned as usize) }
}

fn word(number: i32) -> usize {
    number as isize as usize
}

/// A copy of this process, which goes on from here with its own memory; 0 in the copy. The place that `pidfd` points at
/// gets a descriptor for it, with the flag for that.
///
/// # Safety
/// The copy has this thread alone, and other threads' locks as they were.
pub(super) unsafe fn clone_memory(flags: i32, pidfd: *mut RawFd) -> Result<usize, Errno> {
    // SAFETY: without a stack of its own the copy goes on on the copied one.
    checked(unsafe { call(libc::SYS_clone, [word(flags), 0, pidfd as usize, 0, 0]) })
}

/// Sets the flags of a descriptor.
pub(super) fn set_descriptor_flags(fd: RawFd, flags: i32) -> Result<usize, Errno> {
    // SAFETY: takes no pointers.
    checked(unsafe { call(libc::SYS_fcntl, [word(fd), word(libc::F_SETFD), word(flags), 0, 0]) })
}

/// A duplicate under the lowest free number from `from` on, which `exec` closes.
pub(super) fn duplicate_from(fd: RawFd, from: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: takes no pointers.
    let made =
        checked(unsafe { call(libc::SYS_fcntl, [word(fd), word(libc::F_DUPFD_CLOEXEC), word(from), 0, 0]) })?;
    Ok(made as RawFd)
}

/// A duplicate in the place of `place`, which `exec` keeps.
pub(super) fn duplicate_to(fd: RawFd, place: RawFd) -> Result<usize, Errno> {
    // SAFETY: takes no pointers; the process is about to be another one, whose descriptors these are.
    checked(unsafe { call(libc::SYS_dup3, [word(fd), word(place), 0, 0, 0]) })
}

/// Closes a descriptor.
pub(super) fn close(fd: RawFd) {
    // SAFETY: takes no pointers; as above.
    unsafe { call(libc::SYS_close, [word(fd), 0, 0, 0, 0]) };
}

/// Closes the descriptors from `first` to `last`, both included.
pub(super) fn close_range(first: u32, last: u32) -> Result<usize, Errno> {
    // SAFETY: takes no pointers; as above.
    checked(unsafe { call(libc::SYS_close_range, [first as usize, last as usize, 0, 0, 0]) })
}

/// Opens a directory.
///
/// # Safety
/// `path` is a C string.
pub(super) unsafe fn open_directory(path: *const libc::c_char) -> Result<RawFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: by contract.
    let fd =
        checked(unsafe { call(libc::SYS_openat, [word(libc::AT_FDCWD), path as usize, word(flags), 0, 0]) })?;
    Ok(fd as RawFd)
}

/// Reads entries of a directory; the kernel's records, of which there are so many bytes.
pub(super) fn entries(fd: RawFd, buffer: &mut [u64]) -> Result<usize, Errno> {
    let place = [word(fd), buffer.as_mut_ptr() as usize, size_of_val(buffer), 0, 0];
    // SAFETY: the kernel writes at most the size of the buffer.
    checked(unsafe { call(libc::SYS_getdents64, place) })
}

/// Changes the working directory.
///
/// # Safety
/// `path` is a C string.
pub(super) unsafe fn change_directory(path: *const libc::c_char) -> Result<usize, Errno> {
    // SAFETY: by contract.
    checked(unsafe { call(libc::SYS_chdir, [path as usize, 0, 0, 0, 0]) })
}

/// Sets the mask of permissions for files to be made.
pub(super) fn set_umask(mask: u32) {
    // SAFETY: takes no pointers.
    unsafe { call(libc::SYS_umask, [mask as usize, 0, 0, 0, 0]) };
}

/// Has the default action taken for `signal`. If `only_handled`, a signal that is ignored stays so.
pub(super) fn reset_signal(signal: i32, only_handled: bool) {
    /// The kernel's record on every machine, and the default action: all zeros.
    type Action = [usize; 8];
    /// The address that stands for "ignored".
    const IGNORED: usize = 1;
    let default: Action = [0; 8];
    let mut now: Action = [0; 8];
    let size = size_of::<SignalSet>();
    if only_handled {
        let ask = [word(signal), 0, (&raw mut now) as usize, size, 0];
        // SAFETY: the kernel fills a record that is not longer than the place for it.
        unsafe { call(libc::SYS_rt_sigaction, ask) };
        if now[0] <= IGNORED {
            return;
        }
    }
    let set = [word(signal), (&raw const default) as usize, 0, size, 0];
    // SAFETY: the kernel reads a record; two signals refuse, and have their default action already.
    unsafe { call(libc::SYS_rt_sigaction, set) };
}

/// Blocks exactly the signals of `set` in this thread; returns those blocked before.
pub(super) fn set_signal_mask(set: SignalSet) -> SignalSet {
    let mut before: SignalSet = 0;
    let (new, old) = ((&raw const set) as usize, (&raw mut before) as usize);
    // SAFETY: both are sets of the size that is said.
    unsafe {
        call(libc::SYS_rt_sigprocmask, [word(libc::SIG_SETMASK), new, old, size_of::<SignalSet>(), 0]);
    }
    before
}

/// Begins a session.
pub(super) fn begin_session() -> Result<usize, Errno> {
    // SAFETY: takes no pointers.
    checked(unsafe { call(libc::SYS_setsid, [0; 5]) })
}

/// Goes into a process group; 0 is one of its own.
pub(super) fn set_process_group(group: i32) -> Result<usize, Errno> {
    // SAFETY: takes no pointers.
    checked(unsafe { call(libc::SYS_setpgid, [0, word(group), 0, 0, 0]) })
}

/// Sets the supplementary groups, of this process alone.
pub(super) fn set_groups(groups: &[libc::gid_t]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads so many numbers.
    checked(unsafe { call(ids::SETGROUPS, [groups.len(), groups.as_ptr() as usize, 0, 0, 0]) })
}

/// Sets the real and the effective group.
pub(super) fn set_group(group: libc::gid_t) -> Result<usize, Errno> {
    // SAFETY: takes no pointers.
    checked(unsafe { call(ids::SETREGID, [group as usize, group as usize, 0, 0, 0]) })
}

/// Sets the real and the effective user.
pub(super) fn set_user(user: libc::uid_t) -> Result<usize, Errno> {
    // SAFETY: takes no pointers.
    checked(unsafe { call(ids::SETREUID, [user as usize, user as usize, 0, 0, 0]) })
}

/// Runs a program in this process. Returns only the error.
///
/// # Safety
/// A C string, and two lists of such that end with a null pointer.
pub(super) unsafe fn execute(
    program: *const libc::c_char,
    args: *const *const libc::c_char,
    env: *const *const libc::c_char,
) -> Errno {
    // SAFETY: by contract.
    let returned = unsafe { call(libc::SYS_execve, [program as usize, args as usize, env as usize, 0, 0]) };
    returned.unsigned_abs() as Errno
}

/// Writes to a descriptor.
pub(super) fn write(fd: RawFd, data: &[u8]) {
    // SAFETY: the kernel reads the slice. Where it fails nobody listens.
    unsafe { call(libc::SYS_write, [word(fd), data.as_ptr() as usize, data.len(), 0, 0]) };
}

/// Ends this process.
pub(super) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(libc::SYS_exit_group, [word(code), 0, 0, 0, 0]) };
    }
}

/// Memory of its own, page-aligned, without anything at its lower end.
pub(super) struct Stack {
    start: *mut c_void,
    size: usize,
}

// SAFETY: memory that belongs to it.
unsafe impl Send for Stack {}

impl Stack {
    const SIZE: usize = 64 * 1024;
    const GUARD: usize = 64 * 1024;

    /// A stack that grows down to a page that cannot be written to.
    pub(super) fn new() -> std::io::Result<Self> {
        let size = Self::GUARD + Self::SIZE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: new memory, at no place in particular.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let stack = Stack { start, size };
        // SAFETY: the upper part of it.
        super::super::sys::once(|| unsafe {
            libc::mprotect(start.byte_add(Self::GUARD), Self::SIZE, libc::PROT_READ | libc::PROT_WRITE)
        })?;
        Ok(stack)
    }

    /// Its upper end, where a stack begins.
    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: the end of the memory; aligned as a page is.
        unsafe { self.start.byte_add(self.size) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the whole of what was made; nobody runs on it any more.
        unsafe { libc::munmap(self.start, self.size) };
    }
}
