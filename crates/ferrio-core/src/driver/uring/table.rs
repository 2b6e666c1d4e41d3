//! What is watched, by descriptor, and how far the kernel knows of it. No syscalls in here.

use std::io;
use std::os::fd::RawFd;

use crate::driver::file::Identity;
use crate::driver::{Interest, Token};

pub(super) const IN: u32 = libc::POLLIN as u32;
pub(super) const OUT: u32 = libc::POLLOUT as u32;
/// Reported whatever was asked for.
const ALWAYS: u32 = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as u32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// To be armed with the next `poll`.
    Due { multishot: bool },
    /// A poll is in the kernel.
    Armed { multishot: bool },
    /// The kernel would not watch it (the descriptor was closed before it was armed): silent until it is registered
    /// again, as a closed descriptor is with epoll.
    Refused,
}

#[derive(Debug)]
struct Watched {
    token: Token,
    interest: Interest,
    identity: Identity,
    state: State,
    /// Of the poll in the kernel.
    serial: u32,
}

/// A poll to arm.
pub(super) struct Due {
    pub(super) fd: RawFd,
    pub(super) user_data: u64,
    pub(super) bits: u32,
    pub(super) multishot: bool,
}

/// Descriptors are small numbers, so that a vector is the fastest map of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    watched: Vec<Option<Watched>>,
    /// Descriptors with something to arm. One that has been removed since, or armed already, is passed over.
    due: Vec<RawFd>,
    cancels: Vec<u64>,
    serial: u32,
}

fn user_data(fd: RawFd, serial: u32) -> u64 {
    u64::from(serial) << 32 | u64::from(fd as u32)
}

fn bits_of(interest: Interest) -> u32 {
    let mut bits = 0;
    if interest.is_readable() {
        bits |= IN;
    }
    if interest.is_writable() {
        bits |= OUT;
    }
    bits
}

impl Watched {
    /// The poll in the kernel.
    fn armed(&self, fd: RawFd) -> Option<u64> {
        matches!(self.state, State::Armed { .. }).then(|| user_data(fd, self.serial))
    }
}

impl Table {
    fn slot(&mut self, fd: RawFd) -> Option<&mut Watched> {
        self.watched.get_mut(usize::try_from(fd).ok()?)?.as_mut()
    }

    fn known(&mut self, fd: RawFd) -> io::Result<&mut Watched> {
        self.slot(fd).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// Begins to watch `fd`. Gives the poll to cancel, if the number was watched for a file that was closed since.
    /// Errors: `EEXIST` if this very file is watched under the number.
    pub(super) fn insert(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        identity: Identity,
    ) -> io::Result<Option<u64>> {
        let index = usize::try_from(fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        let stale = match self.slot(fd) {
            Some(watched) if watched.identity == identity => {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            Some(watched) => watched.armed(fd),
            None => None,
        };
        if index >= self.watched.len() {
            self.watched.resize_with(index + 1, || None);
        }
        let state = State::Due { multishot: false };
        self.watched[index] = Some(Watched { token, interest, identity, state, serial: 0 });
        self.due.push(fd);
        Ok(stale)
    }

    /// Errors: `ENOENT` if this file is not watched under the number.
    pub(super) fn change(
        &mut self,
        fd: RawFd,
        token: Token,
        interest: Interest,
        identity: Identity,
    ) -> io::Result<()> {
        let watched = self.known(fd)?;
        if watched.identity != identity {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        watched.token = token;
        let same = watched.interest == interest;
        watched.interest = interest;
        if same && watched.state != State::Refused {
            return Ok(());
        }
        let armed = watched.armed(fd);
        watched.state = State::Due { multishot: false };
        self.cancels.extend(armed);
        self.due.push(fd);
        Ok(())
    }

    /// Watches `fd` no more. Gives the poll to cancel. Errors: `ENOENT`.
    pub(super) fn remove(&mut self, fd: RawFd) -> io::Result<Option<u64>> {
        let armed = self.known(fd)?.armed(fd);
        self.watched[fd as usize] = None;
        Ok(armed)
    }

    pub(super) fn cancel_later(&mut self, user_data: u64) {
        self.cancels.push(user_data);
    }

    pub(super) fn next_cancel(&mut self) -> Option<u64> {
        self.cancels.pop()
    }

    /// The next poll to arm, which counts as armed from now on.
    pub(super) fn next_due(&mut self) -> Option<Due> {
        while let Some(fd) = self.due.pop() {
            let serial = self.serial.wrapping_add(1);
            let Some(watched) = self.slot(fd) else { continue };
            let State::Due { multishot } = watched.state else { continue };
            watched.state = State::Armed { multishot };
            watched.serial = serial;
            let bits = bits_of(watched.interest);
            self.serial = serial;
            return Some(Due { fd, user_data: user_data(fd, serial), bits, multishot });
        }
        None
    }

    /// The ring is gone, and its polls with it.
    pub(super) fn forget_armed(&mut self) {
        self.cancels.clear();
        for (fd, watched) in (0..).zip(&mut self.watched) {
            if let Some(watched) = watched
                && let State::Armed { .. } = watched.state
            {
                watched.state = State::Due { multishot: false };
                self.due.push(fd);
            }
        }
    }

    /// A poll has completed. Gives whom to tell of what, if it is the current one and of interest.
    ///
    /// The kernel reports `POLLRDHUP` without having been asked. To somebody who does not read it says nothing, but
    /// armed again the poll would complete with it at once, for ever: such a descriptor is watched for edges until
    /// something else happens to it.
    pub(super) fn completed(&mut self, user_data: u64, result: i32, more: bool) -> Option<(Token, u32)> {
        let (fd, serial) = (user_data as u32 as RawFd, (user_data >> 32) as u32);
        let watched = self.slot(fd)?;
        let State::Armed { multishot } = watched.state else { return None };
        if watched.serial != serial {
            return None;
        }
        if result < 0 && result != -libc::ECANCELED {
            watched.state = State::Refused;
            return None;
        }
        // Cancelled, and not by us: the thread that armed it has ended. It is armed anew.
        let bits = if result < 0 { 0 } else { result as u32 & (bits_of(watched.interest) | ALWAYS) };
        if bits == 0 && more {
            return None;
        }
        watched.state = State::Due { multishot: bits == 0 && result >= 0 };
        let token = watched.token;
        self.due.push(fd);
        if multishot && more {
            self.cancels.push(user_data);
        }
        (bits != 0).then_some((token, bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = Token::from_u64(7);
    const RDHUP: i32 = libc::POLLRDHUP as i32;

    fn file(number: u64) -> Identity {
        Identity::for_tests(number)
    }

    fn armed(interest: Interest) -> (Table, u64) {
        let mut table = Table::default();
        table.insert(3, TOKEN, interest, file(1)).unwrap();
        let due = table.next_due().unwrap();
        assert_eq!((due.fd, due.bits, due.multishot), (3, bits_of(interest), false));
        (table, due.user_data)
    }

    #[test]
    fn what_was_reported_is_armed_again_under_another_number() {
        let (mut table, first) = armed(Interest::READABLE);
        assert!(table.next_due().is_none());
        assert_eq!(table.completed(first, libc::POLLIN.into(), false), Some((TOKEN, IN)));
        let second = table.next_due().unwrap().user_data;
        assert_ne!(first, second);
        assert_eq!(table.completed(first, libc::POLLIN.into(), false), None);
        assert_eq!(table.completed(second, libc::POLLHUP.into(), false), Some((TOKEN, libc::POLLHUP as u32)));
    }

    #[test]
    fn a_completion_on_its_way_when_the_number_changes_hands_is_dropped() {
        let (mut table, old) = armed(Interest::READABLE);
        assert_eq!(table.remove(3).unwrap(), Some(old));
        table.insert(3, TOKEN, Interest::READABLE, file(2)).unwrap();
        assert_eq!(table.completed(old, libc::POLLIN.into(), false), None);
        assert!(table.next_due().is_some());
        assert!(table.next_due().is_none());
    }

    /// The descriptor was closed without a word, and opened again.
    #[test]
    fn another_file_under_the_same_number_takes_its_place() {
        let (mut table, old) = armed(Interest::READABLE);
        let code = |error: io::Error| error.raw_os_error().unwrap();
        assert_eq!(code(table.insert(3, TOKEN, Interest::BOTH, file(1)).unwrap_err()), libc::EEXIST);
        assert_eq!(code(table.change(3, TOKEN, Interest::BOTH, file(2)).unwrap_err()), libc::ENOENT);
        assert_eq!(table.insert(3, TOKEN, Interest::BOTH, file(2)).unwrap(), Some(old));
    }

    #[test]
    fn a_changed_interest_cancels_and_a_changed_token_does_not() {
        let (mut table, old) = armed(Interest::READABLE);
        let other = Token::from_u64(8);
        table.change(3, other, Interest::READABLE, file(1)).unwrap();
        assert!(table.next_cancel().is_none() && table.next_due().is_none());
        table.change(3, other, Interest::BOTH, file(1)).unwrap();
        assert_eq!(table.next_cancel(), Some(old));
        let due = table.next_due().unwrap();
        assert_eq!(due.bits, IN | OUT);
        assert_eq!(table.completed(due.user_data, libc::POLLOUT.into(), false), Some((other, OUT)));
    }

    #[test]
    fn a_half_closed_peer_does_not_spin_who_is_not_reading() {
        let (mut table, first) = armed(Interest::WRITABLE);
        assert_eq!(table.completed(first, RDHUP, false), None);
        let edges = table.next_due().unwrap();
        assert!(edges.multishot);
        // Quiet from here on, until there is something to tell; then back to levels.
        assert_eq!(table.completed(edges.user_data, RDHUP, true), None);
        assert!(table.next_due().is_none());
        let both = RDHUP | i32::from(libc::POLLOUT);
        assert_eq!(table.completed(edges.user_data, both, true), Some((TOKEN, OUT)));
        assert_eq!(table.next_cancel(), Some(edges.user_data));
        assert!(!table.next_due().unwrap().multishot);
    }

    #[test]
    fn a_refused_descriptor_is_silent_until_it_is_registered_again() {
        let (mut table, first) = armed(Interest::READABLE);
        assert_eq!(table.completed(first, -libc::EBADF, false), None);
        assert!(table.next_due().is_none());
        table.change(3, TOKEN, Interest::READABLE, file(1)).unwrap();
        assert!(table.next_due().is_some());
    }

    #[test]
    fn a_new_ring_arms_everything() {
        let (mut table, first) = armed(Interest::READABLE);
        table.cancel_later(99);
        table.forget_armed();
        assert!(table.next_cancel().is_none());
        assert_ne!(table.next_due().unwrap().user_data, first);
    }

    #[test]
    fn a_poll_that_ended_with_its_thread_is_armed_anew() {
        let (mut table, first) = armed(Interest::READABLE);
        assert_eq!(table.completed(first, -libc::ECANCELED, false), None);
        assert!(!table.next_due().unwrap().multishot);
    }
}
