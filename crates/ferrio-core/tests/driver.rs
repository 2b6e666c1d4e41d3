//! The driver's promises (listed at the head of `driver/mod.rs`), on real pipes and sockets, on every path.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ferrio_core::driver::{Driver, DriverKind, Event, Events, Interest, Token};
use ferrio_core::registry::Registry;

const NOW: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(Duration::from_secs(600));

fn on_every_path(test: impl Fn(&Driver)) {
    for kind in [DriverKind::Epoll, DriverKind::EpollMillis, DriverKind::IoUring] {
        test(&Driver::with_kind(kind).unwrap());
    }
}

fn polled(driver: &Driver, timeout: Option<Duration>) -> Vec<Event> {
    let mut events = Events::new();
    driver.poll(&mut events, timeout).unwrap();
    events.iter().collect()
}

fn token(word: u64) -> Token {
    Token::from_u64(word)
}

fn event(word: u64, readable: bool, writable: bool) -> Event {
    Event { token: token(word), readable, writable }
}

#[test]
fn names_and_kinds() {
    assert_eq!(Driver::with_kind(DriverKind::Auto).unwrap().name(), "epoll");
    assert_eq!(Driver::with_kind(DriverKind::EpollMillis).unwrap().name(), "epoll-millis");
    assert_eq!("".parse::<DriverKind>().unwrap(), DriverKind::Auto);
    assert_eq!("epoll".parse::<DriverKind>().unwrap(), DriverKind::Epoll);
    assert_eq!("kqueue".parse::<DriverKind>().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn readiness_is_level_triggered() {
    on_every_path(|driver| {
        let (a, mut b) = UnixStream::pair().unwrap();
        driver.register(a.as_raw_fd(), token(1), Interest::READABLE).unwrap();
        assert!(polled(driver, NOW).is_empty());
        b.write_all(b"x").unwrap();
        for _ in 0..3 {
            assert_eq!(polled(driver, LONG), [event(1, true, false)]);
        }
        (&a).read_exact(&mut [0]).unwrap();
        assert!(polled(driver, NOW).is_empty());
    });
}

#[test]
fn interest_chooses_what_is_reported() {
    on_every_path(|driver| {
        let (a, mut b) = UnixStream::pair().unwrap();
        let fd = a.as_raw_fd();
        b.write_all(b"x").unwrap();
        driver.register(fd, token(1), Interest::WRITABLE).unwrap();
        assert_eq!(polled(driver, LONG), [event(1, false, true)]);
        driver.reregister(fd, token(2), Interest::BOTH).unwrap();
        assert_eq!(polled(driver, LONG), [event(2, true, true)]);
        driver.reregister(fd, token(3), Interest::BOTH.without(Interest::WRITABLE)).unwrap();
        assert_eq!(polled(driver, LONG), [event(3, true, false)]);
        driver.reregister(fd, token(4), Interest::NONE).unwrap();
        assert!(polled(driver, NOW).is_empty());
        driver.deregister(fd).unwrap();
        assert!(polled(driver, NOW).is_empty());
    });
}

/// `selectors` reports a hang-up to reader and writer alike, and so must we: a paused reader's transport, and the
/// write end of a pipe watched for reading, learn of their peer's end by it.
#[test]
fn a_hang_up_sets_both() {
    on_every_path(|driver| {
        let (reader, writer) = std::io::pipe().unwrap();
        driver.register(writer.as_raw_fd(), token(1), Interest::READABLE).unwrap();
        assert!(polled(driver, NOW).is_empty());
        drop(reader);
        assert_eq!(polled(driver, LONG), [event(1, true, true)]);

        let (a, b) = UnixStream::pair().unwrap();
        driver.register(a.as_raw_fd(), token(2), Interest::NONE).unwrap();
        drop(b);
        assert!(polled(driver, LONG).contains(&event(2, true, true)));
    });
}

#[test]
fn registration_errors_are_the_kernels() {
    on_every_path(|driver| {
        let (a, _b) = UnixStream::pair().unwrap();
        let fd = a.as_raw_fd();
        let code = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
        assert_eq!(code(driver.reregister(fd, token(1), Interest::BOTH)), Some(libc::ENOENT));
        assert_eq!(code(driver.deregister(fd)), Some(libc::ENOENT));
        driver.register(fd, token(1), Interest::BOTH).unwrap();
        assert_eq!(code(driver.register(fd, token(2), Interest::BOTH)), Some(libc::EEXIST));
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(code(driver.register(file.as_raw_fd(), token(3), Interest::BOTH)), Some(libc::EPERM));
        assert_eq!(code(driver.register(-1, token(4), Interest::BOTH)), Some(libc::EBADF));
    });
}

/// An event of a batch finds its connection closed, and fd number and slot in the hands of a new one: the mix-up that
/// sent responses to the wrong user (uvloop #763, #738, #645).
#[test]
fn an_event_for_a_closed_fd_is_stale_after_the_number_is_reused() {
    on_every_path(|driver| {
        let mut owners = Registry::new();
        let (ours, mut old_peer) = UnixStream::pair().unwrap();
        let mut ours = OwnedFd::from(ours);
        let fd = ours.as_raw_fd();
        let old = owners.insert("old");
        driver.register(fd, old, Interest::READABLE).unwrap();
        old_peer.write_all(b"for the old one").unwrap();
        let mut events = Events::new();
        driver.poll(&mut events, LONG).unwrap();
        assert_eq!(events.as_slice(), [Event { token: old, readable: true, writable: false }]);

        // What another event of the same batch does: it closes the connection and opens a new one. `dup2` closes the
        // old socket and gives its number to the new one, so that no other test can come in between.
        driver.deregister(fd).unwrap();
        owners.remove(old);
        let (replacement, mut new_peer) = UnixStream::pair().unwrap();
        rustix::io::dup2(&replacement, &mut ours).unwrap();
        assert_eq!(ours.as_raw_fd(), fd);
        let new = owners.insert("new");
        assert_eq!(new.slot(), old.slot());
        driver.register(fd, new, Interest::READABLE).unwrap();

        assert_eq!(owners.get(events.get(0).unwrap().token), None);
        assert!(polled(driver, NOW).is_empty());
        new_peer.write_all(b"for the new one").unwrap();
        assert_eq!(owners.get(polled(driver, LONG)[0].token), Some(&"new"));
    });
}

/// A descriptor closed while a duplicate lives keeps its registration in the kernel: its events must be stale too.
#[test]
fn a_duplicate_that_outlives_the_registration_is_stale() {
    on_every_path(|driver| {
        let mut owners = Registry::new();
        let (ours, mut peer) = UnixStream::pair().unwrap();
        let _duplicate = ours.try_clone().unwrap();
        let token = owners.insert(());
        driver.register(ours.as_raw_fd(), token, Interest::READABLE).unwrap();
        // A backend may tell the kernel with the next poll only.
        assert!(polled(driver, NOW).is_empty());
        drop(ours);
        owners.remove(token);
        peer.write_all(b"x").unwrap();
        let events = polled(driver, LONG);
        assert_eq!(events[0].token, token);
        assert!(owners.get(events[0].token).is_none());
    });
}

#[test]
fn a_timeout_is_never_early() {
    on_every_path(|driver| {
        let mut events = Events::new();
        for micros in [1, 50, 400, 999, 1000, 1001, 2500] {
            let timeout = Duration::from_micros(micros);
            for _ in 0..5 {
                let start = Instant::now();
                driver.poll(&mut events, Some(timeout)).unwrap();
                assert!(start.elapsed() >= timeout, "{timeout:?} took {:?}", start.elapsed());
                assert!(events.is_empty() && !events.woken());
            }
        }
    });
}

/// Every kernel of our CI has `epoll_pwait2`; were the call wrong, the driver would fall back and change its name.
#[test]
fn nanosecond_timeouts_do_not_fall_back_unseen() {
    let driver = Driver::with_kind(DriverKind::Epoll).unwrap();
    driver.poll(&mut Events::new(), Some(Duration::from_nanos(1))).unwrap();
    assert_eq!(driver.name(), "epoll");
}

#[test]
fn the_longest_timeouts_are_accepted() {
    on_every_path(|driver| {
        for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(1 << 40))] {
            driver.waker().wake();
            let mut events = Events::new();
            driver.poll(&mut events, timeout).unwrap();
            assert!(events.woken());
        }
    });
}

#[test]
fn a_wake_up_before_the_poll_ends_it_and_counts_once() {
    on_every_path(|driver| {
        let waker = driver.waker();
        for _ in 0..3 {
            for _ in 0..1000 {
                waker.wake();
            }
            let mut events = Events::new();
            driver.poll(&mut events, None).unwrap();
            assert!(events.woken());
            assert!(events.is_empty());
            driver.poll(&mut events, NOW).unwrap();
            assert!(!events.woken());
        }
    });
}

#[test]
fn a_wake_up_comes_beside_events() {
    on_every_path(|driver| {
        let (a, mut b) = UnixStream::pair().unwrap();
        driver.register(a.as_raw_fd(), token(9), Interest::READABLE).unwrap();
        b.write_all(b"x").unwrap();
        driver.waker().wake();
        let mut events = Events::new();
        driver.poll(&mut events, LONG).unwrap();
        assert!(events.woken());
        assert_eq!(events.as_slice(), [event(9, true, false)]);
    });
}

/// Publish, wake; poll, look: with a lost wake-up this hangs.
#[test]
fn no_wake_up_from_another_thread_is_lost() {
    const COUNT: usize = 50_000;
    on_every_path(|driver| {
        let published = Arc::new(AtomicUsize::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let waker = driver.waker();
                let published = Arc::clone(&published);
                thread::spawn(move || {
                    for _ in 0..COUNT {
                        // Relaxed: that the owner sees it is the waker's promise.
                        published.fetch_add(1, Ordering::Relaxed);
                        waker.wake();
                    }
                })
            })
            .collect();
        let mut events = Events::new();
        while published.load(Ordering::Relaxed) < 2 * COUNT {
            driver.poll(&mut events, None).unwrap();
            assert!(events.woken());
        }
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

#[test]
fn a_waker_outlives_its_driver() {
    let waker = Driver::new().unwrap().waker();
    waker.wake();
    waker.wake();
}

#[test]
fn another_thread_may_register_during_a_poll() {
    on_every_path(|driver| {
        let (a, mut b) = UnixStream::pair().unwrap();
        b.write_all(b"x").unwrap();
        thread::scope(|scope| {
            let polling = scope.spawn(|| polled(driver, LONG));
            driver.register(a.as_raw_fd(), token(5), Interest::READABLE).unwrap();
            assert_eq!(polling.join().unwrap(), [event(5, true, false)]);
        });
    });
}

#[test]
fn what_does_not_fit_comes_with_the_next_poll() {
    on_every_path(|driver| {
        let pairs: Vec<_> = (0..100).map(|_| UnixStream::pair().unwrap()).collect();
        for (word, (a, _)) in (0..).zip(&pairs) {
            driver.register(a.as_raw_fd(), token(word), Interest::WRITABLE).unwrap();
        }
        let mut events = Events::new();
        let mut words = std::collections::BTreeSet::new();
        for _ in 0..2 {
            driver.poll(&mut events, LONG).unwrap();
            assert_eq!(events.len(), Events::CAPACITY);
            words.extend(events.iter().map(|event| event.token.to_u64()));
        }
        assert!(words.into_iter().eq(0..100));
    });
}

#[test]
fn a_default_buffer_gets_its_room_from_the_first_poll() {
    let mut events = Events::default();
    assert_eq!(events.capacity(), 0);
    Driver::new().unwrap().poll(&mut events, NOW).unwrap();
    assert_eq!(events.capacity(), Events::CAPACITY);
}

#[test]
fn a_small_buffer_starves_nobody() {
    on_every_path(|driver| {
        let pairs: Vec<_> = (0..10).map(|_| UnixStream::pair().unwrap()).collect();
        for (word, (a, _)) in (0..).zip(&pairs) {
            driver.register(a.as_raw_fd(), token(word), Interest::WRITABLE).unwrap();
        }
        driver.waker().wake();
        let mut seen = std::collections::BTreeSet::new();
        let mut woken = 0;
        let mut events = Events::with_capacity(1);
        for _ in 0..11 {
            driver.poll(&mut events, LONG).unwrap();
            seen.extend(events.iter().map(|event| event.token.to_u64()));
            woken += usize::from(events.woken());
        }
        assert_eq!((seen.len(), woken), (10, 1));
    });
}
