//! What a driver holds of the files that it watches, and of the threads that use it; on every backend.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use ferrio_core::driver::{Driver, DriverKind, Event, Events, Interest, Token};

const NOW: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(Duration::from_secs(600));
const TOKEN: Token = Token::from_u64(5);

fn on_every_backend(test: impl Fn(Driver)) {
    for kind in [DriverKind::Epoll, DriverKind::IoUring] {
        test(Driver::with_kind(kind).unwrap());
    }
}

fn polled(driver: &Driver, timeout: Option<Duration>) -> Vec<Event> {
    let mut events = Events::new();
    driver.poll(&mut events, timeout).unwrap();
    events.iter().collect()
}

/// A poll of `io_uring`'s holds the file that it watches. Were it left in flight, the peer would wait for the end of
/// the connection until the next turn of a loop that may never come.
#[test]
fn a_closed_socket_is_closed_at_once() {
    on_every_backend(|driver| {
        for interest in [Interest::READABLE, Interest::NONE, Interest::BOTH] {
            let (ours, mut peer) = UnixStream::pair().unwrap();
            peer.set_nonblocking(true).unwrap();
            driver.register(ours.as_raw_fd(), TOKEN, interest).unwrap();
            polled(&driver, NOW);
            driver.reregister(ours.as_raw_fd(), TOKEN, interest.with(Interest::READABLE)).unwrap();
            polled(&driver, NOW);
            driver.deregister(ours.as_raw_fd()).unwrap();
            drop(ours);
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn a_driver_let_go_of_lets_go_of_its_files() {
    on_every_backend(|driver| {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        peer.set_read_timeout(LONG).unwrap();
        driver.register(ours.as_raw_fd(), TOKEN, Interest::READABLE).unwrap();
        assert!(polled(&driver, NOW).is_empty());
        drop((driver, ours));
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    });
}

/// Loops are made in one thread and run in another, and the kernel ends a thread's requests with the thread.
#[test]
fn what_one_thread_has_armed_another_is_told_of() {
    on_every_backend(|driver| {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            let driver = &driver;
            let fd = ours.as_raw_fd();
            scope.spawn(move || {
                driver.register(fd, TOKEN, Interest::READABLE).unwrap();
                assert!(polled(driver, NOW).is_empty());
            });
        });
        peer.write_all(b"x").unwrap();
        for _ in 0..2 {
            assert_eq!(polled(&driver, LONG), [Event { token: TOKEN, readable: true, writable: false }]);
        }
    });
}

#[test]
fn another_thread_may_deregister_during_a_poll() {
    on_every_backend(|driver| {
        let (ours, mut peer) = UnixStream::pair().unwrap();
        driver.register(ours.as_raw_fd(), TOKEN, Interest::READABLE).unwrap();
        assert!(polled(&driver, NOW).is_empty());
        thread::scope(|scope| {
            let polling = scope.spawn(|| {
                let mut events = Events::new();
                driver.poll(&mut events, LONG).unwrap();
                (events.len(), events.woken())
            });
            driver.deregister(ours.as_raw_fd()).unwrap();
            peer.write_all(b"x").unwrap();
            driver.waker().wake();
            assert_eq!(polling.join().unwrap(), (0, true));
        });
    });
}

/// The peer's end of sending does not concern a side that is not reading, and must not wake it over and over.
#[test]
fn a_half_closed_peer_is_no_event_for_who_is_not_reading() {
    on_every_backend(|driver| {
        let (mut ours, peer) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let error = loop {
            if let Err(error) = ours.write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let fd = ours.as_raw_fd();
        driver.register(fd, TOKEN, Interest::WRITABLE).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        for _ in 0..3 {
            assert!(polled(&driver, NOW).is_empty());
        }
        driver.waker().wake();
        assert!(polled(&driver, LONG).is_empty());

        // Room to write again is reported, for as long as there is.
        let mut drained = vec![0; 1 << 20];
        peer.set_nonblocking(true).unwrap();
        while (&peer).read(&mut drained).is_ok() {}
        for _ in 0..3 {
            assert_eq!(polled(&driver, LONG), [Event { token: TOKEN, readable: false, writable: true }]);
        }
        driver.reregister(fd, TOKEN, Interest::READABLE).unwrap();
        assert_eq!(polled(&driver, LONG), [Event { token: TOKEN, readable: true, writable: false }]);
        driver.reregister(fd, TOKEN, Interest::NONE).unwrap();
        for _ in 0..3 {
            assert!(polled(&driver, NOW).is_empty());
        }
    });
}

#[test]
fn a_device_without_poll_is_refused() {
    on_every_backend(|driver| {
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = driver.register(null.as_raw_fd(), TOKEN, Interest::READABLE).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    });
}
