//! The `io_uring` backend (Linux 6.1): readiness of descriptors through `IORING_OP_POLL_ADD`.
//!
//! **Level-triggered out of one-shot polls.** A poll of `io_uring`'s is armed, completes once and is gone (multishot
//! ones report edges, and would have every reader drain its socket with one `recv` too many). So what was reported is
//! armed again with the next `poll`, and if it is still ready the kernel completes it on the spot. That costs an entry
//! in the submission queue and no syscall: entries go in with the `io_uring_enter` that waits. For the same reason a
//! new registration, or a changed interest, costs no syscall, and a look at a quiet ring costs none either.
//!
//! **One thread's ring.** `DEFER_TASKRUN` has the kernel do its share only while we are in `poll`, instead of
//! interrupting whatever syscall the thread is in; it asks for a single submitting thread. A loop may be made by one
//! thread and run by another, so a `poll` by a new thread (or in a forked child, who must not touch the ring it
//! inherited) makes a new ring and arms everything there. What other threads change is queued in the table, and the
//! poller is nudged through the wake-up's eventfd.
//!
//! **A poll holds its file.** As long as one is armed, closing the descriptor does not close the file behind it, and
//! the peer of a socket waits for its end. So `deregister` cancels at once and waits for the cancellation (a syscall,
//! as `epoll_ctl` is one; none if the poll has just reported). Who closes a watched descriptor without deregistering
//! it sees the difference from epoll: its file is closed with the loop, or when the number is registered again.
//!
//! An entry's `user_data` is the descriptor and a serial number. A completion whose number is not the current one is
//! of a poll that was cancelled, and dropped; tokens stay in the table, and never go through the kernel.

mod ring;
mod table;

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub use ring::{Availability, availability};
use ring::{CANCELLED, Ring, WAKE, Waited};
use table::Table;

use super::{Backend, Event, Events, Interest, Process, Token, Waker, file};

/// One ring and the eventfd that wakes it.
pub struct Uring {
    first: Generation,
    waker: Arc<Waker>,
}

/// What belongs to one process. A thread in `poll` holds these locks without the GIL, so a fork may find them held, and
/// nobody would ever release them in the child: a forked child makes its own.
struct Generation {
    process: Process,
    /// Held for as long as a thread is in `poll`. Comes before `table` where both are held.
    ring: Mutex<Option<Ring>>,
    table: Mutex<Table>,
    /// That of a forked child.
    next: OnceLock<Box<Generation>>,
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("table", &self.current().table).finish_non_exhaustive()
    }
}

impl Generation {
    fn new(ring: Option<Ring>, table: Table) -> Self {
        Self {
            process: Process::current(),
            ring: Mutex::new(ring),
            table: Mutex::new(table),
            next: OnceLock::new(),
        }
    }

    /// That of a forked child, which watches what the parent watched. If another thread was changing the table when the
    /// process forked, it is lost: the loop that it belongs to runs in that thread, which the child does not have.
    fn of_child(&self) -> Self {
        // The old ring holds the files of its polls.
        if let Some(mut ring) = unless_held(&self.ring) {
            drop(ring.take());
        }
        let table = unless_held(&self.table).map(|mut table| std::mem::take(&mut *table));
        Self::new(None, table.unwrap_or_default())
    }
}

/// Nothing panics half-way through a change of what these locks guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unless_held<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Uring {
    /// Errors: those of [`availability`], or the kernel's limits (`EMFILE`, `ENFILE`).
    pub fn new() -> io::Result<Self> {
        let ring = Ring::new()?;
        Ok(Self { first: Generation::new(Some(ring), Table::default()), waker: Arc::new(Waker::new()?) })
    }

    #[inline]
    fn current(&self) -> &Generation {
        let mut generation = &self.first;
        while !generation.process.is_current() {
            generation = generation.next.get_or_init(|| Box::new(generation.of_child()));
        }
        generation
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.current().table)
    }

    /// The ring, if nobody is in `poll`.
    fn idle_ring(&self) -> Option<MutexGuard<'_, Option<Ring>>> {
        unless_held(&self.current().ring)
    }

    /// Something was queued in the table: a `poll` in progress is to look at it.
    fn changed(&self) {
        if self.idle_ring().is_none() {
            self.waker.nudge();
        }
    }

    /// Cancels a poll, and comes back when the kernel has let go of its file; if another thread is in `poll`, that
    /// one does it when it has been nudged.
    fn cancel(&self, user_data: u64) -> io::Result<()> {
        if let Some(mut ring) = self.idle_ring()
            && let Some(ring) = ring.as_mut().filter(|ring| ring.is_ours())
        {
            return ring.cancel_now(user_data);
        }
        self.table().cancel_later(user_data);
        self.changed();
        Ok(())
    }

    /// The ring of this thread.
    fn own<'a>(&self, ring: &'a mut Option<Ring>) -> io::Result<&'a mut Ring> {
        if !ring.as_ref().is_some_and(Ring::is_ours) {
            self.waker.renew_if_forked()?;
            // The old one first: it holds the files of its polls.
            drop(ring.take());
            self.table().forget_armed();
        }
        match ring {
            Some(ring) => Ok(ring),
            None => Ok(ring.insert(Ring::new()?)),
        }
    }

    /// Queues what is to be armed and cancelled.
    fn prepare(&self, ring: &mut Ring) -> io::Result<()> {
        if !ring.wake_armed {
            ring.arm_wake(self.waker.fd())?;
        }
        let mut table = self.table();
        while let Some(user_data) = table.next_cancel() {
            ring.push_cancel(user_data)?;
        }
        while let Some(due) = table.next_due() {
            ring.push_poll(due.fd, due.user_data, due.bits, due.multishot)?;
        }
        Ok(())
    }

    /// Takes completions in until there are no more, or `events` is full; returns how many.
    fn harvest(&self, ring: &mut Ring, events: &mut Events) -> usize {
        let mut table = self.table();
        let mut count = 0;
        while events.len() < events.capacity()
            && let Some(completion) = ring.next()
        {
            count += 1;
            match completion.user_data {
                WAKE => {
                    ring.wake_armed = completion.more;
                    // A nudge is no wake-up.
                    if self.waker.acknowledge() {
                        events.set_woken();
                    }
                }
                CANCELLED => {}
                user_data => {
                    if let Some((token, bits)) =
                        table.completed(user_data, completion.result, completion.more)
                    {
                        events.push(Event {
                            token,
                            readable: bits & !table::OUT != 0,
                            writable: bits & !table::IN != 0,
                        });
                    }
                }
            }
        }
        count
    }

    fn wait(&self, ring: &mut Ring, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        // A sum that no clock reaches is no deadline.
        let deadline = timeout.map(|timeout| Instant::now().checked_add(timeout));
        let looks_only = timeout == Some(Duration::ZERO);
        let mut left = timeout;
        loop {
            self.prepare(ring)?;
            let waited = if looks_only || !ring.is_quiet() { ring.look()? } else { ring.wait(left)? };
            let count = self.harvest(ring, events);
            if !events.is_empty() || events.woken() || looks_only {
                return Ok(());
            }
            if let Some(Some(deadline)) = deadline {
                let now = Instant::now();
                if now >= deadline {
                    return Ok(());
                }
                left = Some(deadline - now);
            }
            // What completed was of no interest to the caller: on with the waiting. If nothing did, a signal came.
            if count == 0 && waited == Waited::Cut {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }
}

impl Backend for Uring {
    fn register(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let identity = file::Identity::of(fd)?;
        identity.check_pollable(fd)?;
        let stale = self.table().insert(fd, token, interest, identity)?;
        if let Some(user_data) = stale {
            return self.cancel(user_data);
        }
        self.changed();
        Ok(())
    }

    fn reregister(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        let identity = file::Identity::of(fd)?;
        self.table().change(fd, token, interest, identity)?;
        self.changed();
        Ok(())
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        let armed = self.table().remove(fd)?;
        armed.map_or(Ok(()), |user_data| self.cancel(user_data))
    }

    fn poll(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.prepare();
        let mut ring = lock(&self.current().ring);
        self.own(&mut ring).and_then(|ring| self.wait(ring, events, timeout))
    }

    fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::thread;

    use super::*;
    use crate::driver::testing::{forbid, interrupt};
    use crate::driver::{Driver, DriverKind};

    /// Whatever the machine of a test run has, what it has is used.
    #[test]
    fn it_is_used_where_it_is_to_be_had() {
        let expected = match availability() {
            Availability::Available => "io_uring",
            _ => "epoll",
        };
        assert_eq!(Driver::with_kind(DriverKind::IoUring).unwrap().name(), expected);
    }

    /// `ENOSYS` from an old kernel, `EPERM` from a seccomp filter, `EINVAL` from a kernel without our flags.
    #[test]
    fn a_system_without_it_gets_epoll() {
        for error in [libc::ENOSYS, libc::EPERM, libc::EINVAL] {
            let (name, availability) = thread::spawn(move || {
                forbid(libc::SYS_io_uring_setup, error);
                (Driver::with_kind(DriverKind::IoUring).unwrap().name(), availability())
            })
            .join()
            .unwrap();
            assert_eq!(name, "epoll");
            assert!(matches!(availability, Availability::Refused(why) if why.raw_os_error() == Some(error)));
        }
    }

    #[test]
    fn limits_are_errors_and_no_reason_to_fall_back() {
        let error = thread::spawn(|| {
            forbid(libc::SYS_io_uring_setup, libc::EMFILE);
            Driver::with_kind(DriverKind::IoUring).unwrap_err()
        });
        assert_eq!(error.join().unwrap().raw_os_error(), Some(libc::EMFILE));
    }

    /// Runs `f` in a forked child, which has ten seconds; whether it returned true.
    fn in_forked_child(f: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child runs `f`, which takes no lock of another thread's, and ends by `_exit`.
        unsafe {
            let child = libc::fork();
            assert!(child >= 0);
            if child == 0 {
                libc::alarm(10);
                libc::_exit(i32::from(!f()));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }

    #[test]
    fn a_fork_while_another_thread_holds_the_locks() {
        let Ok(uring) = Uring::new() else { return };
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (fd, token) = (reader.as_raw_fd(), Token::new(5, 0));
        std::io::Write::write_all(&mut &writer, b"x").unwrap();
        let child = || {
            let mut events = Events::new();
            // What was watched may be lost.
            let _ = uring.deregister(fd);
            uring.register(fd, token, Interest::READABLE).is_ok()
                && uring.poll(&mut events, Some(Duration::from_secs(5))).is_ok()
                && events.iter().any(|event| event.token == token && event.readable)
        };
        uring.register(fd, token, Interest::READABLE).unwrap();
        assert!(in_forked_child(child), "with free locks");
        let (held, release) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ring = lock(&uring.current().ring);
                let _table = uring.table();
                held.wait();
                release.wait();
            });
            held.wait();
            let ended = in_forked_child(child);
            release.wait();
            assert!(ended, "with both locks held");
        });
        // The parent's is as it was.
        let mut events = Events::new();
        uring.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert!(events.iter().any(|event| event.token == token));
    }

    #[test]
    fn a_forked_child_watches_what_its_parent_watched() {
        let Ok(uring) = Uring::new() else { return };
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let token = Token::new(6, 0);
        uring.register(reader.as_raw_fd(), token, Interest::READABLE).unwrap();
        uring.poll(&mut Events::new(), Some(Duration::ZERO)).unwrap();
        std::io::Write::write_all(&mut &writer, b"x").unwrap();
        assert!(in_forked_child(|| {
            let mut events = Events::new();
            uring.poll(&mut events, Some(Duration::from_secs(5))).is_ok()
                && events.iter().any(|event| event.token == token && event.readable)
        }));
    }

    #[test]
    fn a_signal_interrupts() {
        for timeout in [None, Some(Duration::from_secs(3600))] {
            let Ok(uring) = Uring::new() else { return };
            // The first wait of a ring also submits, which hides the signal from its result; the second does not.
            for _ in 0..2 {
                uring.waker().wake();
                uring.poll(&mut Events::new(), None).unwrap();
            }
            let error = interrupt(move || {
                let first = uring.poll(&mut Events::new(), timeout);
                first.and_then(|()| uring.poll(&mut Events::new(), timeout))
            });
            assert_eq!(error.unwrap_err().kind(), io::ErrorKind::Interrupted);
        }
    }
}
