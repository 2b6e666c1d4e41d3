//! The CPU time of another process, all its threads, in nanoseconds.
//!
//! `/proc/PID/stat` counts in ticks of 10 ms, which is several per cent of a short measurement; the POSIX
//! CPU-time clock of the process has the scheduler's own resolution. The one room with `unsafe`.

use std::io;
use std::time::Duration;

/// A process's CPU-time clock. It stops being readable when the process ends.
#[derive(Clone, Copy)]
pub struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// Finds the clock of process `pid`; fails with `ESRCH` or `EPERM` as `clock_getcpuclockid(3)` does.
    pub fn of(pid: libc::pid_t) -> io::Result<Self> {
        let mut id: libc::clockid_t = 0;
        // SAFETY: `id` is a live, writable clockid_t for the whole call, and the call keeps no pointer.
        let code = unsafe { libc::clock_getcpuclockid(pid, &raw mut id) };
        if code == 0 { Ok(Self(id)) } else { Err(io::Error::from_raw_os_error(code)) }
    }

    /// CPU time consumed so far, user and system.
    pub fn now(self) -> io::Result<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a live, writable timespec for the whole call, and the call keeps no pointer.
        if unsafe { libc::clock_gettime(self.0, &raw mut time) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let seconds = u64::try_from(time.tv_sec).map_err(io::Error::other)?;
        let nanos = u32::try_from(time.tv_nsec).map_err(io::Error::other)?;
        Ok(Duration::new(seconds, nanos))
    }
}
