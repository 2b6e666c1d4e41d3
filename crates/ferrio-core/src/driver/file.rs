//! Files as the source of what goes to a socket.
//!
//! Unlike the calls in `socket.rs` these can wait, for the disk: the caller lets go of the GIL around them, and an
//! interruption by a signal comes back as `Interrupted`, so that Python's signal handlers run before the next try.

use std::io;
use std::os::fd::RawFd;

use super::sys::once;

/// Sends at most `count` bytes of `file`, from `offset` on, to the socket `to`, in the kernel. The file's own position
/// stays. `Ok(0)` is the end of the file.
///
/// Errors: `EINVAL` or `ENOSYS` for a file that cannot be mapped, `WouldBlock` if the socket takes nothing now.
pub fn send_file(to: RawFd, file: RawFd, offset: u64, count: usize) -> io::Result<usize> {
    let out_of_range = |_| io::Error::from_raw_os_error(libc::EOVERFLOW);
    let mut offset = libc::off64_t::try_from(offset).map_err(out_of_range)?;
    // SAFETY: the kernel reads and writes the one offset.
    let sent = once(|| unsafe { libc::sendfile64(to, file, &raw mut offset, count) })?;
    Ok(sent as usize)
}

/// The size of a file in bytes, as `fstat` tells it: zero for what has none.
pub fn size(fd: RawFd) -> io::Result<u64> {
    Ok(stat(fd)?.st_size as u64)
}

fn stat(fd: RawFd) -> io::Result<libc::stat64> {
    let mut stat = std::mem::MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the kernel fills the record, or fails.
    once(|| unsafe { libc::fstat64(fd, stat.as_mut_ptr()) })?;
    // SAFETY: fstat has succeeded, so the record is filled.
    Ok(unsafe { stat.assume_init() })
}

/// Which file a descriptor stands for, and of what type: what tells a number from the same number later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    mode: u32,
}

impl Identity {
    /// Errors: `EBADF`.
    pub(super) fn of(fd: RawFd) -> io::Result<Self> {
        let stat = stat(fd)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino, mode: stat.st_mode })
    }

    #[cfg(test)]
    pub(super) fn for_tests(inode: u64) -> Self {
        Self { device: 0, inode, mode: 0 }
    }

    /// Whether epoll would watch it: `io_uring` calls a regular file always ready. Errors: `EPERM`.
    pub(super) fn check_pollable(self, fd: RawFd) -> io::Result<()> {
        if matches!(self.mode & libc::S_IFMT, libc::S_IFSOCK | libc::S_IFIFO) {
            return Ok(());
        }
        // The type does not tell: a terminal can be polled and /dev/null cannot, and pidfds call themselves regular
        // files. So epoll is asked; such descriptors are few.
        let epoll = super::Epoll::new()?;
        super::Backend::register(&epoll, fd, super::Token::from_u64(0), super::Interest::NONE)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_part_of_a_file_and_its_end() {
        let path = std::env::temp_dir().join(format!("ferrio-send-file-{}", std::process::id()));
        let mut file =
            std::fs::File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"0123456789").unwrap();
        let (a, mut b) = UnixStream::pair().unwrap();
        assert_eq!(size(file.as_raw_fd()).unwrap(), 10);
        assert_eq!(send_file(a.as_raw_fd(), file.as_raw_fd(), 2, 5).unwrap(), 5);
        assert_eq!(send_file(a.as_raw_fd(), file.as_raw_fd(), 10, 5).unwrap(), 0);
        let mut got = [0; 5];
        b.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"23456");
        let far = send_file(a.as_raw_fd(), file.as_raw_fd(), u64::MAX, 1).unwrap_err();
        assert_eq!(far.raw_os_error(), Some(libc::EOVERFLOW));
    }
}
