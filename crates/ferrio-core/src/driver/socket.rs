//! The syscalls of the data path, on a descriptor that belongs to somebody else's object (a Python socket or file).
//!
//! Nothing here owns or closes the fd it is given; the caller keeps its owner alive through the call. All of them
//! answer `WouldBlock` when it is not ready, and retry when a signal interrupts them, which cannot delay Python's signal
//! handlers, since none of them waits. Sockets are asked not to with every call: the flag that `fcntl` sets belongs to the
//! open file, which others may share, and clear it. `accept` has no such flag; files that are no sockets are in `pipe.rs`.
//!
//! Sockets are written with `MSG_NOSIGNAL`, so that a closed peer is `EPIPE` and never `SIGPIPE`: the disposition of
//! that signal belongs to the program. Pipes have no such flag; the interpreter ignores `SIGPIPE` at start.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::address::{Address, Storage};
use super::sys::{is_ready, once, retry};

/// The most slices that one vectored call takes (`UIO_MAXIOV`); the vectored functions ignore slices beyond it, as
/// if the write had been short.
pub const MAX_SLICES: usize = 1024;

const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// What kind of file an fd is, as asyncio's pipe transports tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    Socket,
    Fifo,
    CharDevice,
    /// A regular file, directory, block device, or an anonymous inode.
    Other,
}

/// Receives into `buffer`. `Ok(0)` is the end of the stream, unless `buffer` is empty.
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the length of the slice.
    let count =
        retry(|| unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) })?;
    Ok(count as usize)
}

/// Receives into memory that others may have their hands on too, but not while this call lasts.
pub fn recv_into_cells(fd: RawFd, buffer: &[Cell<u8>]) -> io::Result<usize> {
    let start = buffer.as_ptr().cast_mut();
    // SAFETY: the kernel writes at most the length of the slice, to cells, which may be written to through `&`.
    let count = retry(|| unsafe { libc::recv(fd, start.cast(), buffer.len(), libc::MSG_DONTWAIT) })?;
    Ok(count as usize)
}

/// Receives into memory that need not be initialised: the first `n` bytes are, after `Ok(n)`.
pub fn recv_into_uninit(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the length of the slice, and reads none of it.
    let count =
        retry(|| unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) })?;
    Ok(count as usize)
}

/// Receives into the spare capacity of `buffer`, and adds what came to its length. The buffer is not grown: with no
/// spare capacity the answer is `Ok(0)`, which otherwise is the end of the stream.
pub fn recv_uninit(fd: RawFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let count = recv_into_uninit(fd, buffer.spare_capacity_mut())?;
    // SAFETY: the kernel has written `count` bytes behind the old length, within the capacity.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Receives one datagram and its sender. A datagram longer than `buffer` is cut.
pub fn recv_from(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
    let mut sender = Storage::new();
    let count = retry(|| {
        // SAFETY: the kernel writes at most the length of the slice, and at most `len` bytes of the record.
        sender.fill_by(|record, len| unsafe {
            libc::recvfrom(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT, record, len)
        })
    })?;
    Ok((count as usize, sender.decode()))
}

/// Sends what the socket takes of `data`.
pub fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most the length of the slice.
    let count = retry(|| unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), SEND_FLAGS) })?;
    Ok(count as usize)
}

/// Sends `data` as one datagram to `address`. Errors: also `InvalidInput` for an address too long for its family.
pub fn send_to(fd: RawFd, data: &[u8], address: &Address) -> io::Result<usize> {
    let to = Storage::encode(address)?;
    // SAFETY: the kernel reads at most the length of the slice and of the record.
    let count = retry(|| unsafe {
        libc::sendto(fd, data.as_ptr().cast(), data.len(), SEND_FLAGS, to.as_ptr(), to.len)
    })?;
    Ok(count as usize)
}

/// Sends what the socket takes of `slices`, in order, with one syscall.
pub fn send_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: an all-zero msghdr is a valid one (no name, no data, no control messages).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(MAX_SLICES) as _;
    // SAFETY: `IoSlice` has the layout of `iovec`; the kernel reads the slices and writes to none of them.
    let count = retry(|| unsafe { libc::sendmsg(fd, &raw const message, SEND_FLAGS) })?;
    Ok(count as usize)
}

/// Reads from a non-blocking pipe or character device. `Ok(0)` is the end of the file, unless `buffer` is empty.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the length of the slice.
    let count = retry(|| unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })?;
    Ok(count as usize)
}

/// [`recv_uninit`] for a pipe or character device.
pub fn read_uninit(fd: RawFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    // SAFETY: the kernel writes at most the length of the spare capacity, and reads none of it.
    let count = retry(|| unsafe { libc::read(fd, spare.as_mut_ptr().cast(), spare.len()) })?;
    // SAFETY: the kernel has written `count` bytes behind the old length, within the capacity.
    unsafe { buffer.set_len(buffer.len() + count as usize) };
    Ok(count as usize)
}

/// Writes what a non-blocking pipe or character device takes of `data`.
pub fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most the length of the slice.
    let count = retry(|| unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })?;
    Ok(count as usize)
}

/// Writes what a non-blocking pipe or character device takes of `slices`, in order, with one syscall.
pub fn write_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let len = slices.len().min(MAX_SLICES) as i32;
    // SAFETY: `IoSlice` has the layout of `iovec`; the kernel reads the slices.
    let count = retry(|| unsafe { libc::writev(fd, slices.as_ptr().cast(), len) })?;
    Ok(count as usize)
}

/// Accepts one connection on a non-blocking socket, and reports who it is. It is non-blocking and close-on-exec.
///
/// Errors that concern only the connection (`ECONNABORTED`) or the process (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`)
/// come back as they are: what to do about them is the server's decision.
pub fn accept(fd: RawFd) -> io::Result<(OwnedFd, Address)> {
    let mut peer = Storage::new();
    let accepted = retry(|| {
        // SAFETY: the kernel writes at most `len` bytes of the record.
        peer.fill_by(|record, len| unsafe {
            libc::accept4(fd, record, len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
        })
    })?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, peer.decode()))
}

/// [`accept`] for a socket that somebody has made blocking: looks first, and so waits only if somebody else is quicker.
/// To be called holding nothing that others wait for. `WouldBlock` also after an interruption by a signal.
pub fn accept_waiting(fd: RawFd) -> io::Result<(OwnedFd, Address)> {
    if !is_ready(fd, libc::POLLIN)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let mut peer = Storage::new();
    let accepted = once(|| {
        // SAFETY: as in `accept`.
        peer.fill_by(|record, len| unsafe {
            libc::accept4(fd, record, len, libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
        })
    });
    match accepted {
        // SAFETY: as in `accept`.
        Ok(accepted) => Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, peer.decode())),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

/// Whether system calls on `fd` do not wait. Errors: `EBADF`.
pub fn is_nonblocking(fd: RawFd) -> io::Result<bool> {
    // SAFETY: takes no pointers.
    let flags = once(|| unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK != 0)
}

/// Whether to close the socket may wait for what it has not sent (`SO_LINGER`), which no flag prevents.
pub fn lingers(fd: RawFd) -> bool {
    let mut linger = libc::linger { l_onoff: 0, l_linger: 0 };
    let mut len = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to the record.
    let asked = once(|| unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw mut linger).cast(), &raw mut len)
    });
    asked.is_ok() && linger.l_onoff != 0 && linger.l_linger > 0
}

/// The address the socket is bound to (`getsockname`).
pub fn local_address(fd: RawFd) -> io::Result<Address> {
    let mut address = Storage::new();
    // SAFETY: the kernel writes at most `len` bytes of the record.
    once(|| address.fill_by(|record, len| unsafe { libc::getsockname(fd, record, len) }))?;
    Ok(address.decode())
}

/// The address the socket is connected to (`getpeername`). Errors: `ENOTCONN`.
pub fn peer_address(fd: RawFd) -> io::Result<Address> {
    let mut address = Storage::new();
    // SAFETY: the kernel writes at most `len` bytes of the record.
    once(|| address.fill_by(|record, len| unsafe { libc::getpeername(fd, record, len) }))?;
    Ok(address.decode())
}

/// Tells the peer that nothing more will be sent; receiving goes on.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    once(|| unsafe { libc::shutdown(fd, libc::SHUT_WR) })?;
    Ok(())
}

/// Takes the pending error off the socket (`SO_ERROR`): the outcome of a non-blocking connect.
pub fn take_error(fd: RawFd) -> io::Result<Option<io::Error>> {
    let mut code: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `code`.
    once(|| unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut code).cast(), &raw mut len)
    })?;
    Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
}

/// Makes `fd` non-blocking (one syscall: `FIONBIO` needs no look at the other flags).
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    let mut on: libc::c_int = 1;
    // SAFETY: the kernel reads one int.
    once(|| unsafe { libc::ioctl(fd, libc::FIONBIO, &raw mut on) })?;
    Ok(())
}

/// Switches Nagle's algorithm off. Errors: `ENOPROTOOPT` or `EOPNOTSUPP` if the socket is not TCP.
pub fn set_nodelay(fd: RawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of `on`.
    once(|| unsafe {
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), len)
    })?;
    Ok(())
}

/// What kind of file `fd` is.
pub fn file_kind(fd: RawFd) -> io::Result<FileKind> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the record, or fails.
    once(|| unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
    // SAFETY: fstat has succeeded, so the record is filled.
    let mode = unsafe { stat.assume_init() }.st_mode;
    Ok(match mode & libc::S_IFMT {
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFIFO => FileKind::Fifo,
        libc::S_IFCHR => FileKind::CharDevice,
        _ => FileKind::Other,
    })
}

/// Whether `fd` is a socket.
pub fn is_socket(fd: RawFd) -> io::Result<bool> {
    Ok(file_kind(fd)? == FileKind::Socket)
}

/// Whether `fd` is a pipe, named or not.
pub fn is_fifo(fd: RawFd) -> io::Result<bool> {
    Ok(file_kind(fd)? == FileKind::Fifo)
}

/// Whether `fd` is a character device, such as a terminal.
pub fn is_char_device(fd: RawFd) -> io::Result<bool> {
    Ok(file_kind(fd)? == FileKind::CharDevice)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::ptr;

    use super::*;

    fn sigpipe_is_pending() -> bool {
        let mut pending = MaybeUninit::uninit();
        // SAFETY: the kernel fills the set, which is then looked at.
        unsafe {
            assert_eq!(libc::sigpending(pending.as_mut_ptr()), 0);
            libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
        }
    }

    /// The test runner ignores `SIGPIPE`, but a blocked signal is kept even so, where it can be seen.
    #[test]
    fn sockets_raise_no_sigpipe() {
        let mut pipe_only = MaybeUninit::uninit();
        // SAFETY: the set is emptied before use; the mask is this thread's, which ends with the test.
        unsafe {
            libc::sigemptyset(pipe_only.as_mut_ptr());
            libc::sigaddset(pipe_only.as_mut_ptr(), libc::SIGPIPE);
            assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, pipe_only.as_ptr(), ptr::null_mut()), 0);
        }
        let (a, b) = UnixStream::pair().unwrap();
        drop(b);
        let fd = a.as_raw_fd();
        let slices = [IoSlice::new(b"x")];
        assert_eq!(send(fd, b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
        assert!(!sigpipe_is_pending());
        assert_eq!(send_vectored(fd, &slices).unwrap_err().raw_os_error(), Some(libc::EPIPE));
        assert!(!sigpipe_is_pending());
        // The one that must raise it, as proof that it would be seen.
        assert_eq!(write_vectored(fd, &slices).unwrap_err().raw_os_error(), Some(libc::EPIPE));
        assert!(sigpipe_is_pending());
    }
}
