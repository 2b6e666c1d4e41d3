//! Several datagrams with one syscall: `recvmmsg` and `sendmmsg`.
//!
//! A datagram costs about as much to receive as the syscall around it, and a socket that has one usually has more: one
//! call per event that takes what is there is also fair, since the driver reports the rest again.

use std::io;
use std::os::fd::RawFd;
use std::ptr;

use super::address::{Address, Storage};
use super::page_buffer::PageBuffer;
use super::sys::retry;

/// The most datagrams in one call.
pub const BATCH: usize = 16;
/// Room for the largest datagram of the internet protocols, in bytes.
pub const INET_SLOT: usize = 64 * 1024;
const BUFFER_LEN: usize = BATCH * INET_SLOT;

/// Where datagrams are received into. The memory is the system's until a datagram is long enough to touch it.
pub struct Inbox {
    buffer: PageBuffer,
    slot: usize,
    senders: [Storage; BATCH],
    headers: [libc::mmsghdr; BATCH],
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    pub fn new() -> Self {
        Self {
            buffer: PageBuffer::new(BUFFER_LEN),
            slot: INET_SLOT,
            senders: std::array::from_fn(|_| Storage::new()),
            // SAFETY: an all-zero header is a valid one (no name, no data, no control messages).
            headers: std::array::from_fn(|_| unsafe { std::mem::zeroed() }),
        }
    }

    /// Receives what is there, at most [`BATCH`] datagrams, and returns how many. Those longer than `slot` bytes are
    /// cut; the longer the slots, the fewer fit.
    ///
    /// An error that comes after the first datagram is kept by the kernel for the next call. Never waits.
    pub fn receive(&mut self, fd: RawFd, slot: usize) -> io::Result<usize> {
        self.slot = slot.clamp(1, BUFFER_LEN);
        let room = (BUFFER_LEN / self.slot).min(BATCH);
        let mut slices = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
        let chunks = self.buffer.chunks_exact_mut(self.slot);
        for (((slice, chunk), header), sender) in
            slices.iter_mut().zip(chunks).zip(&mut self.headers).zip(&mut self.senders)
        {
            *slice = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = sender.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        let headers = self.headers.as_mut_ptr();
        // SAFETY: the first `room` headers name slices of our buffer and address records of the length given, all of
        // which outlive the call; nobody else uses them.
        let count = retry(|| unsafe {
            libc::recvmmsg(fd, headers, room as libc::c_uint, libc::MSG_DONTWAIT as _, ptr::null_mut())
        })?;
        Ok(count as usize)
    }

    /// A datagram of the last [`Inbox::receive`] and its sender. Panics for one that cannot have been received.
    pub fn datagram(&mut self, i: usize) -> (&[u8], Address) {
        let header = &self.headers[i];
        let len = (header.msg_len as usize).min(self.slot);
        let sender = &mut self.senders[i];
        sender.len = header.msg_hdr.msg_namelen;
        let start = i * self.slot;
        (&self.buffer[start..start + len], sender.decode())
    }
}

/// A datagram to send, and where to: nowhere if the socket is connected.
pub type Outgoing<'a> = (&'a [u8], Option<&'a Address>);

/// Sends datagrams in order, at most [`BATCH`] of them, and returns how many went out. An error concerns the first.
///
/// Errors: also `InvalidInput` for an address too long for its family. Never waits.
pub fn send_batch(fd: RawFd, datagrams: &[Outgoing<'_>]) -> io::Result<usize> {
    let mut names: [Storage; BATCH] = std::array::from_fn(|_| Storage::new());
    let mut slices = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
    // SAFETY: as in `Inbox::new`.
    let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|_| unsafe { std::mem::zeroed() });
    let mut count = 0;
    for ((((data, to), name), slice), header) in
        datagrams.iter().zip(&mut names).zip(&mut slices).zip(&mut headers)
    {
        if let Some(address) = to {
            match Storage::encode(address) {
                Ok(encoded) => *name = encoded,
                Err(err) if count == 0 => return Err(err),
                // Its turn to be reported comes when those before it are gone.
                Err(_) => break,
            }
            header.msg_hdr.msg_name = name.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = name.len;
        }
        *slice = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the first `count` headers name live data, which the kernel only reads, and records of the length given.
    let sent =
        retry(|| unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), count as libc::c_uint, flags as _) })?;
    Ok(sent as usize)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn address(socket: &UdpSocket) -> Address {
        Address::Inet(socket.local_addr().unwrap())
    }

    #[test]
    fn many_go_and_come_in_order() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let to = address(&b);
        let data: Vec<Vec<u8>> = (0..BATCH as u8 + 4).map(|i| vec![i; usize::from(i)]).collect();
        let outgoing: Vec<Outgoing<'_>> = data.iter().map(|data| (&data[..], Some(&to))).collect();
        assert_eq!(send_batch(a.as_raw_fd(), &outgoing).unwrap(), BATCH);
        assert_eq!(send_batch(a.as_raw_fd(), &outgoing[BATCH..]).unwrap(), 4);
        let mut inbox = Inbox::new();
        assert_eq!(inbox.receive(b.as_raw_fd(), INET_SLOT).unwrap(), BATCH);
        for (i, data) in data[..BATCH].iter().enumerate() {
            let (got, from) = inbox.datagram(i);
            assert_eq!((got, from), (&data[..], address(&a)));
        }
        assert_eq!(inbox.receive(b.as_raw_fd(), INET_SLOT).unwrap(), 4);
        assert_eq!(inbox.datagram(3).0, &data[BATCH + 3][..]);
        let empty = inbox.receive(b.as_raw_fd(), INET_SLOT).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn long_datagrams_are_cut_to_their_slot() {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(&[7; 100]).unwrap();
        a.send(b"short").unwrap();
        let mut inbox = Inbox::new();
        assert_eq!(inbox.receive(b.as_raw_fd(), 10).unwrap(), 2);
        let (data, from) = inbox.datagram(0);
        assert_eq!(data, [7; 10]);
        assert_eq!(from, Address::Other { family: libc::AF_UNSPEC, data: vec![] });
        assert_eq!(inbox.datagram(1).0, b"short");
    }

    #[test]
    fn an_error_concerns_the_first() {
        let (a, b) = UnixDatagram::pair().unwrap();
        let bad = Address::Unix(vec![b'a'; 200]);
        assert_eq!(send_batch(a.as_raw_fd(), &[(b"x", None), (b"y", Some(&bad))]).unwrap(), 1);
        let err = send_batch(a.as_raw_fd(), &[(b"y", Some(&bad))]).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidInput);
        drop(b);
        assert!(send_batch(a.as_raw_fd(), &[(b"x", None)]).is_err());
    }
}
