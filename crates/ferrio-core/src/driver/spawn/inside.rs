//! What a new process does until it is another program.
//!
//! It shares its parent's memory, and the parent goes on meanwhile. So nothing here allocates, takes a lock, panics,
//! writes to memory outside its own stack or touches thread-local storage: system calls of [`raw`] and pointers only.
//! All signals are blocked until handlers, which are the parent's code, are reset.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;

use super::raw::{self, Errno};
use super::{Failure, Plan, RECORD, Step};

/// The exit status of a process that has not become the program; its parent reads why from the pipe.
const NEVER_BEGAN: i32 = 255;

/// The descriptors that a program begins with.
const STANDARD: RawFd = 3;

/// The new process. `plan` is a [`Plan`].
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: the parent keeps the plan until this process has ended or is another program.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let failure = match prepare(plan) {
        Ok(()) => Failure { errno: execute(plan), step: Step::Execute },
        Err(failure) => failure,
    };
    let mut record = [0; RECORD];
    for (place, byte) in record.iter_mut().zip(failure.errno.to_ne_bytes()) {
        *place = byte;
    }
    let [.., last] = &mut record;
    *last = failure.step as u8;
    raw::write(plan.report, &record);
    raw::exit(NEVER_BEGAN)
}

fn prepare(plan: &Plan) -> Result<(), Failure> {
    let early = |errno: Errno| Failure { errno, step: Step::Prepare };
    let command = &plan.command;
    for fd in &command.kept {
        if *fd != plan.report {
            raw::set_descriptor_flags(*fd, 0).map_err(early)?;
        }
    }
    place_standard(command.standard).map_err(early)?;
    if let Some(directory) = &command.directory {
        // SAFETY: a C string.
        unsafe { raw::change_directory(directory.as_ptr()) }
            .map_err(|errno| Failure { errno, step: Step::Directory })?;
    }
    if let Some(mask) = command.umask {
        raw::set_umask(mask);
    }
    if command.restore_signals {
        // What CPython ignores from its start on.
        raw::reset_signal(libc::SIGPIPE, false);
        raw::reset_signal(libc::SIGXFSZ, false);
    }
    for signal in 1..=raw::SIGNALS {
        raw::reset_signal(signal, true);
    }
    raw::set_signal_mask(plan.mask);
    if command.new_session {
        raw::begin_session().map_err(early)?;
    }
    if let Some(group) = command.process_group {
        raw::set_process_group(group).map_err(early)?;
    }
    if let Some(groups) = &command.groups {
        raw::set_groups(groups).map_err(early)?;
    }
    if let Some(group) = command.group {
        raw::set_group(group).map_err(early)?;
    }
    if let Some(user) = command.user {
        raw::set_user(user).map_err(early)?;
    }
    if command.close_others {
        close_others(plan);
    }
    Ok(())
}

/// Puts what is to be standard input, output and error under their numbers. One that comes from another's number is
/// moved out of the way first.
fn place_standard(mut sources: [Option<RawFd>; 3]) -> Result<(), Errno> {
    for (place, source) in (0..).zip(&mut sources) {
        if let Some(fd) = source
            && *fd < STANDARD
            && *fd != place
        {
            *fd = raw::duplicate_from(*fd, STANDARD)?;
        }
    }
    for (place, source) in (0..).zip(sources) {
        match source {
            Some(fd) if fd == place => raw::set_descriptor_flags(fd, 0)?,
            Some(fd) => raw::duplicate_to(fd, place)?,
            None => 0,
        };
    }
    Ok(())
}

/// Closes every descriptor but the standard ones, those to be kept, and the report, which `exec` closes.
fn close_others(plan: &Plan) {
    let mut first = STANDARD as u32;
    // Sorted.
    for fd in &plan.command.kept {
        let Ok(fd) = u32::try_from(*fd) else { continue };
        if fd > first && raw::close_range(first, fd.wrapping_sub(1)).is_err() {
            return close_listed(plan);
        }
        if fd >= first {
            first = fd.wrapping_add(1);
        }
    }
    if raw::close_range(first, u32::MAX).is_err() {
        close_listed(plan);
    }
}

/// The same where there is no `close_range`, which came with Linux 5.9.
fn close_listed(plan: &Plan) {
    let keep = |fd: RawFd| fd < STANDARD || plan.command.kept.contains(&fd);
    // SAFETY: a C string.
    let Ok(directory) = (unsafe { raw::open_directory(c"/proc/self/fd".as_ptr()) }) else {
        for fd in (STANDARD..plan.descriptors).filter(|fd| !keep(*fd)) {
            raw::close(fd);
        }
        return;
    };
    let mut buffer = [0_u64; 512];
    while let Ok(filled) = raw::entries(directory, &mut buffer)
        && filled > 0
    {
        let start = buffer.as_ptr();
        let mut at = 0;
        while at < filled {
            // SAFETY: the kernel's records lie one behind the other, each aligned, with its length in itself.
            let (name, length) = unsafe {
                let entry = start.byte_add(at).cast::<libc::dirent64>();
                ((&raw const (*entry).d_name).cast::<c_char>(), (&raw const (*entry).d_reclen).read())
            };
            at = at.wrapping_add(usize::from(length));
            // SAFETY: a name ends with a zero.
            if let Some(fd) = unsafe { number(name) }
                && fd != directory
                && !keep(fd)
            {
                raw::close(fd);
            }
        }
    }
    raw::close(directory);
}

/// The number that a name is.
///
/// # Safety
/// `name` is a C string.
unsafe fn number(mut name: *const c_char) -> Option<RawFd> {
    let mut number: RawFd = 0;
    loop {
        // SAFETY: not beyond the zero at the end.
        let digit = unsafe { name.read() } as u8;
        if digit == 0 {
            return Some(number);
        }
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.wrapping_mul(10).wrapping_add(RawFd::from(digit.wrapping_sub(b'0')));
        name = name.wrapping_add(1);
    }
}

/// Becomes the program: the first of the candidates that there is. Returns the error of the first one that is there
/// and cannot be run, or else of the last.
fn execute(plan: &Plan) -> Errno {
    let (mut last, mut telling) = (libc::ENOENT, None);
    for program in &plan.command.programs {
        // SAFETY: C strings, and lists of such that end with a null pointer.
        last = unsafe { raw::execute(program.as_ptr(), plan.args.as_ptr(), plan.env.as_ptr()) };
        if last != libc::ENOENT && last != libc::ENOTDIR && telling.is_none() {
            telling = Some(last);
        }
    }
    telling.unwrap_or(last)
}

/// What `clone` calls is given a pointer that may be written through; nothing here does.
pub(super) fn argument(plan: &Plan) -> *mut c_void {
    ptr::from_ref(plan).cast_mut().cast()
}
