//! Reading and writing what is no socket (pipes, terminals, other character devices) without waiting for it.
//!
//! That a file does not block is a flag of the open file description, which duplicates and other processes share: any of
//! them may clear it. So each call says by itself that it is not to wait (`RWF_NOWAIT`; pipes and sockets know it from
//! Linux 6.5 on). Where the kernel or the file has no such thing, the flag is asked. What is left are blocking files that
//! cannot be asked not to wait: the functions here answer `Unsupported` for them, and the caller uses the `_waiting` ones,
//! holding nothing that others wait for. These look first, and so wait only if somebody else is quicker.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::RawFd;

use super::socket::{self, MAX_SLICES};
use super::sys::{is_ready, once, retry};

/// Bytes that a pipe which is reported as writable has room for (`PIPE_BUF`).
pub const WRITE_MAX: usize = 4096;

/// Bytes that a terminal which is reported as writable has room for. A write of two may block at the second: Linux checks
/// the room again at every control character, and a pseudoterminal counts a buffer of 256 bytes as full once it is begun.
const TERMINAL_WRITE_MAX: usize = 1;

/// Whether a file does not know `RWF_NOWAIT`, or the kernel or a sandbox not the system call.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL))
}

/// Reads. `Ok(0)` is the end of the file, unless `buffer` is empty. Errors: `WouldBlock`, and `Unsupported` where that
/// cannot be told without waiting.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut slices = [IoSliceMut::new(buffer)];
    // SAFETY: `IoSliceMut` has the layout of `iovec`; the kernel writes at most the length of the slice. The offset -1,
    // which is one word here and two for 32 bits, stands for the position of the file.
    let read = retry(|| unsafe {
        libc::syscall(libc::SYS_preadv2, fd, slices.as_mut_ptr(), 1, -1_isize, -1_isize, libc::RWF_NOWAIT)
            as isize
    });
    match read {
        Ok(count) => Ok(count as usize),
        Err(error) if !is_unknown(&error) => Err(error),
        Err(_) if socket::is_nonblocking(fd)? => socket::read(fd, buffer),
        Err(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// [`read`] for what is `Unsupported` there. `WouldBlock` also after an interruption by a signal.
pub fn read_waiting(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    if !is_ready(fd, libc::POLLIN)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: the kernel writes at most the length of the slice.
    let count = once(|| unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) });
    count.map(|count| count as usize).map_err(interrupted)
}

/// Writes what the file takes of `data`. Errors: as of [`read`].
pub fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    write_vectored(fd, &[IoSlice::new(data)])
}

/// Writes what the file takes of `slices`, in order, with one system call. Errors: as of [`read`].
pub fn write_vectored(fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let len = slices.len().min(MAX_SLICES);
    // SAFETY: `IoSlice` has the layout of `iovec`; the kernel reads the slices. The offset is as in `read`.
    let written = retry(|| unsafe {
        libc::syscall(libc::SYS_pwritev2, fd, slices.as_ptr(), len, -1_isize, -1_isize, libc::RWF_NOWAIT)
            as isize
    });
    match written {
        Ok(count) => Ok(count as usize),
        Err(error) if !is_unknown(&error) => Err(error),
        Err(_) if socket::is_nonblocking(fd)? => socket::write_vectored(fd, slices),
        Err(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// [`write()`] for what is `Unsupported` there, of at most [`WRITE_MAX`] bytes. `WouldBlock` also after an interruption by
/// a signal.
pub fn write_waiting(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    let data = &data[..data.len().min(WRITE_MAX)];
    // SAFETY: asks, and takes no pointers.
    let portion = if unsafe { libc::isatty(fd) } == 1 { TERMINAL_WRITE_MAX } else { WRITE_MAX };
    let mut sent = 0;
    for portion in data.chunks(portion) {
        match write_portion(fd, portion) {
            Ok(count) => sent += count,
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Writes what a file that is reported as writable takes without waiting.
fn write_portion(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    if !is_ready(fd, libc::POLLOUT)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: the kernel reads at most the length of the slice.
    let count = once(|| unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) });
    count.map(|count| count as usize).map_err(interrupted)
}

/// Sets how many bytes a pipe holds; the kernel rounds up.
pub fn set_size(fd: RawFd, size: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    once(|| unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, size) }).map(drop)
}

/// The loop runs the signal's handler, and is told again that the file is ready.
fn interrupted(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::Interrupted { io::ErrorKind::WouldBlock.into() } else { error }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use super::*;

    /// A pipe as other programs make it: blocking.
    fn pipe() -> (File, File) {
        let (reader, writer) = io::pipe().unwrap();
        (OwnedFd::from(reader).into(), OwnedFd::from(writer).into())
    }

    /// Both ends of a terminal, which has no `RWF_NOWAIT`.
    fn terminal() -> (File, File) {
        let (mut controller, mut terminal) = (-1, -1);
        // SAFETY: the function fills the two numbers; without a name and settings.
        let opened = unsafe {
            libc::openpty(
                &raw mut controller,
                &raw mut terminal,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        assert_eq!(opened, 0);
        // SAFETY: two descriptors that nobody else knows.
        unsafe { (File::from_raw_fd(controller), File::from_raw_fd(terminal)) }
    }

    fn read_somehow(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
        match read(fd, buffer) {
            Err(error) if error.kind() == ErrorKind::Unsupported => read_waiting(fd, buffer),
            result => result,
        }
    }

    fn write_somehow(fd: RawFd, data: &[u8]) -> io::Result<usize> {
        match write(fd, data) {
            Err(error) if error.kind() == ErrorKind::Unsupported => write_waiting(fd, data),
            result => result,
        }
    }

    #[test]
    fn blocking_files_are_not_waited_for() {
        for (mut reader, mut writer) in [pipe(), terminal()] {
            let mut buffer = [0; 100];
            assert!(!socket::is_nonblocking(reader.as_raw_fd()).unwrap());
            assert_eq!(
                read_somehow(reader.as_raw_fd(), &mut buffer).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
            writer.write_all(b"ab").unwrap();
            assert_eq!(read_somehow(reader.as_raw_fd(), &mut buffer).unwrap(), 2);
            assert_eq!(&buffer[..2], b"ab");
            let mut sent = 0;
            let full = loop {
                match write_somehow(writer.as_raw_fd(), &[b'x'; 10_000]) {
                    Ok(count) => sent += count,
                    Err(error) => break error,
                }
                assert!(sent < 100_000_000, "it takes everything");
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock);
            assert!(sent > 0);
            // What was taken is there.
            let mut received = 0;
            while received < sent.min(1000) {
                received += reader.read(&mut buffer).unwrap();
            }
        }
    }

    /// However little room is left, and also for newlines, of which each becomes two bytes.
    #[test]
    fn a_terminal_with_little_room_is_not_waited_for() {
        for byte in [b'x', b'\n'] {
            let (mut reader, writer) = terminal();
            for taken in 1..400 {
                while write_somehow(writer.as_raw_fd(), &[byte; 5000]).is_ok() {}
                reader.read_exact(&mut vec![0; taken]).unwrap();
            }
        }
    }

    #[test]
    fn the_end_and_errors() {
        let (reader, writer) = pipe();
        drop(writer);
        assert_eq!(read_somehow(reader.as_raw_fd(), &mut [0; 10]).unwrap(), 0);
        assert_eq!(read(-1, &mut [0; 10]).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(write(-1, b"x").unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
