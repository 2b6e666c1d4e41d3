//! The epoll backend (Linux).
//!
//! Level-triggered: asyncio's `add_reader` promises to call again for as long as there is something to read. Each poll
//! then looks again at what the last one reported, which costs 3 to 4 % of an echo server; who can tell whether something
//! is left has itself registered for changes.
//!
//! Timeouts go through `epoll_pwait2` (Linux 5.11), which takes nanoseconds. Without it a timeout is rounded *up* to
//! milliseconds: a timer that fires late is asyncio's contract, one that fires early spins the loop. Whether the
//! kernel has the call is found out by calling it: `ENOSYS` says no, and so does `EPERM`, which seccomp filters of
//! older container runtimes answer to calls they do not know. It is called by number because glibc has a wrapper
//! only since 2.35, and wheels are built against older ones.
//!
//! A forked child shares the epoll instance with its parent: what one of them watches the other is told of, and what one
//! gives up the other loses. So the child's first call makes an instance of its own, under the same number, from the
//! list that is kept for this.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::forks::forks;
use super::{Backend, Event, Events, Interest, Token, Waker, sys};

/// How finely the kernel lets us wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// `epoll_pwait2`, as long as the kernel does not turn out to lack it.
    Nanoseconds,
    /// `epoll_wait` only.
    Milliseconds,
}

/// One epoll instance and the eventfd that wakes it.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
    waker: Arc<Waker>,
    /// Cleared for good when the kernel says that it has no `epoll_pwait2`.
    nanoseconds: AtomicBool,
    forks: AtomicU32,
    /// What is watched, for a forked child.
    watched: Mutex<Watched>,
}

/// Token and bits of each descriptor, by its number.
type Watched = Vec<Option<(Token, i32)>>;

/// The kernel's `__kernel_timespec`: 64 bits on every architecture, unlike libc's `timespec`.
#[repr(C)]
struct KernelTimespec {
    tv_sec: i64,
    tv_nsec: i64,
}

fn instance() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = sys::once(|| unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        Self::with_precision(Precision::Nanoseconds)
    }

    /// With [`Precision::Milliseconds`] the fallback is taken from the start.
    pub fn with_precision(precision: Precision) -> io::Result<Self> {
        let this = Self {
            fd: instance()?,
            waker: Arc::new(Waker::new()?),
            nanoseconds: AtomicBool::new(precision == Precision::Nanoseconds),
            forks: AtomicU32::new(forks()),
            watched: Mutex::default(),
        };
        this.watch_waker()?;
        Ok(this)
    }

    /// The instance: readable when there are events.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn watch_waker(&self) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, self.waker.fd(), Token::WAKE, libc::EPOLLIN | libc::EPOLLET)
    }

    /// Nothing panics half-way through a change.
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, fd: RawFd, as_what: Option<(Token, i32)>) {
        let Ok(at) = usize::try_from(fd) else { return };
        let mut watched = self.watched();
        if at >= watched.len() {
            if as_what.is_none() {
                return;
            }
            watched.resize(at + 1, None);
        }
        watched[at] = as_what;
    }

    fn add(&self, fd: RawFd, token: Token, bits: i32) -> io::Result<()> {
        self.own()?;
        self.control(libc::EPOLL_CTL_ADD, fd, token, bits)?;
        self.note(fd, Some((token, bits)));
        Ok(())
    }

    /// Makes sure that the instance is this process's.
    #[inline]
    fn own(&self) -> io::Result<()> {
        if self.forks.load(Ordering::Relaxed) == forks() { Ok(()) } else { self.renew() }
    }

    #[cold]
    fn renew(&self) -> io::Result<()> {
        let now = forks();
        sys::replace(&self.fd, instance()?)?;
        self.waker.renew_if_forked()?;
        self.watch_waker()?;
        for (fd, entry) in self.watched().iter_mut().enumerate() {
            if let Some((token, bits)) = *entry
                && self.control(libc::EPOLL_CTL_ADD, fd as RawFd, token, bits).is_err()
            {
                // Closed meanwhile.
                *entry = None;
            }
        }
        self.forks.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// What is in use now; [`Precision::Nanoseconds`] until the kernel was found to lack it.
    pub fn precision(&self) -> Precision {
        if self.nanoseconds.load(Ordering::Relaxed) {
            Precision::Nanoseconds
        } else {
            Precision::Milliseconds
        }
    }

    fn control(&self, operation: i32, fd: RawFd, token: Token, bits: i32) -> io::Result<()> {
        let mut record = libc::epoll_event { events: bits as u32, u64: token.to_u64() };
        // SAFETY: `record` lives through the call, which only reads it.
        sys::once(|| unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, &raw mut record) })?;
        Ok(())
    }

    /// Fills `raw` up to its capacity. `None` waits without end.
    fn wait(&self, raw: &mut Vec<libc::epoll_event>, timeout: Option<Duration>) -> io::Result<()> {
        raw.clear();
        let millis = match timeout {
            None => -1,
            Some(Duration::ZERO) => 0,
            Some(timeout) if self.precision() == Precision::Nanoseconds => {
                match self.wait_nanos(raw, timeout) {
                    Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                        self.nanoseconds.store(false, Ordering::Relaxed);
                        whole_millis(timeout)
                    }
                    result => return result,
                }
            }
            Some(timeout) => whole_millis(timeout),
        };
        // SAFETY: the buffer is live, and the kernel writes at most its capacity.
        let filled = sys::once(|| unsafe {
            libc::epoll_wait(self.fd.as_raw_fd(), raw.as_mut_ptr(), raw.capacity() as i32, millis)
        })?;
        // SAFETY: the kernel has written this many records.
        unsafe { raw.set_len(filled as usize) };
        Ok(())
    }

    fn wait_nanos(&self, raw: &mut Vec<libc::epoll_event>, timeout: Duration) -> io::Result<()> {
        let timeout = KernelTimespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // SAFETY: buffer and timespec are live, the kernel writes at most the capacity; a null signal mask (whose
        // size is then not looked at) leaves the mask as it is.
        let filled = sys::once(|| unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                raw.as_mut_ptr(),
                raw.capacity() as i32,
                &raw const timeout,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            ) as isize
        })?;
        // SAFETY: the kernel has written this many records.
        unsafe { raw.set_len(filled as usize) };
        Ok(())
    }
}

impl Backend for Epoll {
    fn register(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.add(fd, token, bits_of(interest))
    }

    fn register_changes(&self, fd: RawFd, token: Token) -> io::Result<()> {
        self.add(fd, token, libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET)
    }

    fn reregister(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.own()?;
        self.control(libc::EPOLL_CTL_MOD, fd, token, bits_of(interest))?;
        self.note(fd, Some((token, bits_of(interest))));
        Ok(())
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.own()?;
        self.note(fd, None);
        // The record is ignored, but kernels before 2.6.9 wanted a pointer: passing one costs nothing.
        self.control(libc::EPOLL_CTL_DEL, fd, Token::WAKE, 0)
    }

    fn poll(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.own()?;
        events.prepare();
        // Out of the buffer while it is read, so that the translated events can go in.
        let mut raw = std::mem::take(&mut events.raw);
        let result = self.wait(&mut raw, timeout);
        for record in &raw {
            let (bits, word) = (record.events as i32, record.u64);
            let token = Token::from_u64(word);
            if token == Token::WAKE {
                // Nobody nudges an epoll: changes made by other threads take effect by themselves.
                self.waker.acknowledge();
                events.set_woken();
            } else {
                events.push(Event {
                    token,
                    readable: bits & !libc::EPOLLOUT != 0,
                    writable: bits & !libc::EPOLLIN != 0,
                });
            }
        }
        events.raw = raw;
        result
    }

    fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

fn bits_of(interest: Interest) -> i32 {
    let mut bits = 0;
    if interest.is_readable() {
        bits |= libc::EPOLLIN;
    }
    if interest.is_writable() {
        bits |= libc::EPOLLOUT;
    }
    if interest.is_on_change() {
        bits |= libc::EPOLLET | libc::EPOLLRDHUP | libc::EPOLLPRI;
    }
    bits
}

/// Rounded up, so that no wait is early, and at most what the kernel takes.
fn whole_millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::{forbid, interrupt};

    #[test]
    fn millis_are_rounded_up() {
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(Duration::from_micros(999)), 1);
        assert_eq!(whole_millis(Duration::from_millis(1)), 1);
        assert_eq!(whole_millis(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(whole_millis(Duration::from_secs(3)), 3000);
        assert_eq!(whole_millis(Duration::MAX), i32::MAX);
    }

    #[test]
    fn descriptors_close_on_exec() {
        let epoll = Epoll::new().unwrap();
        for fd in [epoll.fd.as_raw_fd(), epoll.waker.fd()] {
            // SAFETY: takes no pointers.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            assert_ne!(flags & libc::FD_CLOEXEC, 0);
        }
    }

    /// A signal must come back to the loop as `EINTR`, whichever call is waiting.
    #[test]
    fn a_signal_interrupts() {
        for (precision, timeout) in [
            (Precision::Nanoseconds, None),
            (Precision::Nanoseconds, Some(Duration::from_secs(3600))),
            (Precision::Milliseconds, Some(Duration::from_secs(3600))),
        ] {
            let epoll = Epoll::with_precision(precision).unwrap();
            let error = interrupt(move || epoll.poll(&mut Events::new(), timeout)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        }
    }

    #[test]
    fn changes_are_reported_once() {
        use std::io::Write;
        let epoll = Epoll::new().unwrap();
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        epoll.register_changes(near.as_raw_fd(), Token::from_u64(7)).unwrap();
        let mut events = Events::new();
        let mut poll = || {
            epoll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            events.iter().map(|event| (event.token.to_u64(), event.readable)).collect::<Vec<_>>()
        };
        assert_eq!(poll(), [(7, false)]); // it can be written to
        assert_eq!(poll(), []);
        far.write_all(b"x").unwrap();
        assert_eq!(poll(), [(7, true)]);
        assert_eq!(poll(), []); // although it is still there
        far.write_all(b"x").unwrap();
        assert_eq!(poll(), [(7, true)]);
    }

    /// Old kernels say `ENOSYS`, old container runtimes `EPERM`.
    #[test]
    fn a_kernel_without_nanoseconds_is_noticed() {
        for error in [libc::ENOSYS, libc::EPERM] {
            let epoll = std::thread::spawn(move || {
                forbid(libc::SYS_epoll_pwait2, error);
                let epoll = Epoll::new().unwrap();
                assert_eq!(epoll.precision(), Precision::Nanoseconds);
                let mut events = Events::new();
                let start = std::time::Instant::now();
                epoll.poll(&mut events, Some(Duration::from_micros(200))).unwrap();
                assert!(start.elapsed() >= Duration::from_micros(200));
                assert!(events.is_empty());
                epoll.waker().wake();
                epoll.poll(&mut events, Some(Duration::from_secs(600))).unwrap();
                assert!(events.woken());
                epoll
            });
            assert_eq!(epoll.join().unwrap().precision(), Precision::Milliseconds);
        }
    }
}
