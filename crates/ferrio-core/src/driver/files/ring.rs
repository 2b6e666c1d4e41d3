//! File operations on a ring.
//!
//! The ring is not bound to a thread (no `SINGLE_ISSUER`): operations may be in flight while a loop changes threads. A
//! thread that ends takes its requests with it, and those are submitted again. `COOP_TASKRUN` spares us interrupts in
//! the middle of other work.
//!
//! Reads and writes are at the file's own position (`offset` -1), so that they are what `read` and `write` are:
//! appending, pipes, and descriptors shared with other processes behave as with the builtin `open()`.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};

use super::operation::LONGEST;
use super::{Completed, Metadata, Operation, Value};
use crate::driver::Availability;
use crate::driver::forks::Process;

const ENTRIES: u32 = 64;
/// At the file's own position.
const HERE: u64 = u64::MAX;
/// `user_data` of cancellations, whose own outcome nobody needs.
const CANCELLATION: u64 = u64::MAX;

struct InFlight {
    operation: Operation,
    /// What the kernel fills; it must not move.
    statx: Option<Box<libc::statx>>,
    cancelled: bool,
}

pub(super) struct Ring {
    io: IoUring,
    in_flight: HashMap<u64, InFlight>,
    truncates: bool,
    process: Process,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_flight", &self.in_flight.len()).finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(eventfd: RawFd) -> io::Result<Self> {
        if Availability::switched_off() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring is switched off"));
        }
        let process = Process::current();
        let io = IoUring::builder().setup_coop_taskrun().build(ENTRIES)?;
        let mut probe = Probe::new();
        io.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::OpenAt::CODE,
            opcode::Read::CODE,
            opcode::Write::CODE,
            opcode::Statx::CODE,
            opcode::Fsync::CODE,
            opcode::Close::CODE,
        ];
        let params = io.params();
        let supported = needed.iter().all(|code| probe.is_supported(*code));
        if !(supported && params.is_feature_nodrop() && params.is_feature_rw_cur_pos()) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        io.submitter().register_eventfd(eventfd)?;
        let truncates = probe.is_supported(opcode::Ftruncate::CODE);
        Ok(Self { io, in_flight: HashMap::new(), truncates, process })
    }

    /// Whether it can do that.
    pub(super) fn takes(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Seek { .. } | Operation::Finish { .. } => false,
            Operation::Truncate { .. } => self.truncates,
            _ => true,
        }
    }

    pub(super) fn submit(&mut self, id: u64, operation: Operation) {
        let statx = matches!(operation, Operation::Stat { .. }).then(|| {
            // SAFETY: plain integers, for which zero is a value.
            Box::new(unsafe { std::mem::zeroed::<libc::statx>() })
        });
        let mut in_flight = InFlight { operation, statx, cancelled: false };
        let entry = entry(&mut in_flight).user_data(id);
        self.in_flight.insert(id, in_flight);
        self.push(&entry);
    }

    pub(super) fn cancel(&mut self, id: u64) {
        if let Some(in_flight) = self.in_flight.get_mut(&id) {
            in_flight.cancelled = true;
            self.push(&opcode::AsyncCancel::new(id).build().user_data(CANCELLATION));
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to is on the heap, owned by the operation in `in_flight`, which is neither
        // moved out nor dropped before its completion was taken in (or the kernel has ended all, see `drop`).
        while unsafe { self.io.submission().push(entry) }.is_err() {
            // Each entry is submitted at once, so a full queue is one that the kernel has been refusing for want of
            // memory. There is nothing to do but to ask again.
            self.submit_rest();
        }
        self.submit_rest();
    }

    /// Submits what the kernel has not taken yet; whether it has taken all.
    pub(super) fn submit_rest(&mut self) -> bool {
        while !self.io.submission().is_empty() {
            match self.io.submit() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    pub(super) fn completed(&mut self) -> Option<Completed> {
        loop {
            let next = self.io.completion().next();
            let entry = match next {
                Some(entry) => entry,
                // More have completed than there was room for; a call fetches those that the kernel has kept.
                None if self.io.submission().cq_overflow() => {
                    self.io.submit().ok()?;
                    self.io.completion().next()?
                }
                None => return None,
            };
            let (id, result) = (entry.user_data(), entry.result());
            let Some(in_flight) = self.in_flight.remove(&id) else { continue };
            if !in_flight.cancelled && matches!(-result, libc::ECANCELED | libc::EINTR) {
                // Not by us: the thread that had submitted it has ended.
                self.submit(id, in_flight.operation);
                continue;
            }
            return Some(in_flight.completed(id, result));
        }
    }
}

impl InFlight {
    fn completed(mut self, id: u64, result: i32) -> Completed {
        if let Operation::Close { fd } = &mut self.operation
            && result != -libc::ECANCELED
        {
            // The kernel has closed it, whatever it says of that.
            let _ = fd.take().map(IntoRawFd::into_raw_fd);
        }
        let result = if result < 0 {
            Err(io::Error::from_raw_os_error(-result))
        } else {
            let count = result as usize;
            Ok(match &mut self.operation {
                Operation::Open { .. } => {
                    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                    Value::Opened(unsafe { OwnedFd::from_raw_fd(result) })
                }
                Operation::Read { buffer, .. } => {
                    // SAFETY: the kernel has initialised that many bytes of the room behind what was there.
                    unsafe { buffer.set_len(buffer.len() + count) };
                    Value::Count(count as u64)
                }
                Operation::Write { from, .. } => {
                    *from += count;
                    Value::Count(count as u64)
                }
                _ => match &self.statx {
                    Some(statx) => Value::Metadata(Metadata {
                        size: statx.stx_size,
                        mode: u32::from(statx.stx_mode),
                        block_size: statx.stx_blksize,
                    }),
                    None => Value::Count(0),
                },
            })
        };
        Completed { id, operation: self.operation, result }
    }
}

/// The entry for an operation. It points into the heap memory of the operation and of the `statx` record.
fn entry(in_flight: &mut InFlight) -> squeue::Entry {
    match &mut in_flight.operation {
        Operation::Open { path, flags, mode } => {
            // On a worker at once: tried inline, the kernel opens with `O_NONBLOCK`, which for a named pipe is
            // another thing than opening it.
            opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr())
                .flags(*flags | libc::O_CLOEXEC)
                .mode(*mode)
                .build()
                .flags(squeue::Flags::ASYNC)
        }
        Operation::Read { file, buffer, len } => {
            let room = buffer.spare_capacity_mut();
            let len = room.len().min(*len).min(LONGEST) as u32;
            opcode::Read::new(Fd(file.fd()), room.as_mut_ptr().cast(), len).offset(HERE).build()
        }
        Operation::Write { file, data, from } => {
            let rest = &data[*from..];
            let len = rest.len().min(LONGEST) as u32;
            opcode::Write::new(Fd(file.fd()), rest.as_ptr(), len).offset(HERE).build()
        }
        Operation::Truncate { file, len } => opcode::Ftruncate::new(Fd(file.fd()), *len).build(),
        Operation::Sync { file, data_only } => {
            let flags = if *data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            opcode::Fsync::new(Fd(file.fd())).flags(flags).build()
        }
        Operation::Close { fd } => opcode::Close::new(Fd(fd.as_ref().map_or(-1, AsRawFd::as_raw_fd))).build(),
        Operation::Stat { file } => {
            let record = in_flight.statx.as_deref_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
            opcode::Statx::new(Fd(file.fd()), c"".as_ptr(), record.cast())
                .flags(libc::AT_EMPTY_PATH)
                .mask(libc::STATX_BASIC_STATS)
                .build()
        }
        Operation::Seek { .. } | Operation::Finish { .. } => opcode::Nop::new().build(),
    }
}

impl Ring {
    /// Waits until everything has completed, but not for ever; whether it has.
    fn wait_for_all(&mut self) -> bool {
        let patience = Timespec::new().sec(5);
        loop {
            while let Some(completed) = self.completed() {
                drop(completed);
            }
            if self.in_flight.is_empty() {
                return true;
            }
            match self.io.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&patience)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return false,
                _ => {}
            }
        }
    }

    /// The operations under way, in a forked child: its copies of them.
    pub(super) fn into_copies(mut self) -> Vec<(u64, Operation)> {
        let in_flight = std::mem::take(&mut self.in_flight);
        in_flight.into_iter().map(|(id, in_flight)| (id, in_flight.operation)).collect()
    }

    fn cancel_those(&mut self, which: impl Fn(&Operation) -> bool) {
        let chosen = self.in_flight.iter().filter(|(_, in_flight)| which(&in_flight.operation));
        let ids: Vec<u64> = chosen.map(|(id, _)| *id).collect();
        for id in ids {
            self.cancel(id);
        }
    }
}

impl Drop for Ring {
    /// Memory that the kernel may still write to is not given back before it has ended: what only reads is cancelled,
    /// what writes is let finish, and all of it waited for. What takes seconds for that (a pipe that nobody reads) is
    /// cancelled too; a request that ignores even that (a dead network disk) keeps its memory for good.
    fn drop(&mut self) {
        // A forked child has its own copy of the buffers, and no business with its parent's ring.
        if !self.process.is_current() {
            return;
        }
        self.cancel_those(|operation| {
            matches!(operation, Operation::Read { .. } | Operation::Open { .. } | Operation::Stat { .. })
        });
        if !self.wait_for_all() {
            self.cancel_those(|_| true);
            if !self.wait_for_all() {
                std::mem::forget(std::mem::take(&mut self.in_flight));
            }
        }
    }
}
