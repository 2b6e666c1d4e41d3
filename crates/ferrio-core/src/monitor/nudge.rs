//! Waking the event loop of another process.
//!
//! A script that `sys.remote_exec()` has left in a process runs when its main thread runs Python code next, and a loop
//! that waits in the kernel may not do so for hours. The one who may trace a process may also write to its descriptors:
//! the loop's eventfd is the one that its epoll instance watches with the token of wake-ups, and a write to it ends the
//! wait, whatever it waits for.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::driver::Token;

/// The descriptors in `fdinfo`, the description of an epoll instance, that are watched with the token of wake-ups.
fn watched_for_wake_ups(fdinfo: &str) -> Vec<i32> {
    let token = format!("{:x}", Token::WAKE.to_u64());
    fdinfo
        .lines()
        .filter_map(|line| line.strip_prefix("tfd:"))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let fd = words.next()?.parse().ok()?;
            let data = words.skip_while(|word| *word != "data:").nth(1)?;
            (data == token).then_some(fd)
        })
        .collect()
}

fn is_link_to(pid: u32, fd: i32, what: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|link| link.as_os_str() == what)
}

/// Wakes the loops of ours in the process `pid` that wait in epoll. Returns how many.
///
/// # Errors
/// Those of the system: `PermissionDenied` without the right to trace the process, `Unsupported` before Linux 5.6.
pub fn nudge(pid: u32) -> io::Result<usize> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let process: OwnedFd = pidfd_open(process, PidfdFlags::empty())?;
    let mut woken = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if !is_link_to(pid, fd, "anon_inode:[eventpoll]") {
            continue;
        }
        // It may be closed meanwhile.
        let Ok(fdinfo) = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")) else { continue };
        for eventfd in watched_for_wake_ups(&fdinfo) {
            if is_link_to(pid, eventfd, "anon_inode:[eventfd]") {
                let ours = pidfd_getfd(&process, eventfd, PidfdGetfdFlags::empty())?;
                rustix::io::write(&ours, &1_u64.to_ne_bytes())?;
                woken += 1;
            }
        }
    }
    Ok(woken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Backend, Epoll, Events};

    #[test]
    fn the_descriptor_of_wake_ups_is_told_by_its_token() {
        let fdinfo = "pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: ffffffffffffffff  pos:0 ino:1 sdev:f\n\
                      tfd:       17 events:     2019 data:        600000001  pos:0 ino:1 sdev:f\ntfd: x\n";
        assert_eq!(watched_for_wake_ups(fdinfo), [5]);
    }

    #[test]
    fn a_poll_ends() {
        let epoll = Epoll::new().unwrap();
        let poll = std::thread::spawn(move || {
            let mut events = Events::new();
            epoll.poll(&mut events, None).map(|()| events.woken())
        });
        while !poll.is_finished() {
            // Others may be waiting in this process too; ours is among them as soon as it waits.
            match nudge(std::process::id()) {
                Ok(_) => std::thread::yield_now(),
                // A container may forbid it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(poll.join().unwrap().unwrap());
    }
}
