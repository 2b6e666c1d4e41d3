//! The operations, and how a thread does them: one syscall each.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::driver::sys;

/// The kernel reads or writes at most this much at once.
pub(super) const LONGEST: usize = 0x7fff_f000;

/// A share of an open file. The descriptor is closed when the last share goes, if it is ours to close.
#[derive(Debug)]
pub struct Handle {
    fd: RawFd,
    owned: Option<OwnedFd>,
}

impl Handle {
    pub fn owned(fd: OwnedFd) -> Self {
        Self { fd: fd.as_raw_fd(), owned: Some(fd) }
    }

    /// A descriptor that somebody else closes, after its operations have ended.
    pub fn borrowed(fd: RawFd) -> Self {
        Self { fd, owned: None }
    }

    /// Makes a descriptor ours to close. The caller gives up what claim he has on it.
    pub fn adopt(fd: RawFd) -> Self {
        // SAFETY: the code that opened the descriptor hands it over to be closed here, once.
        Self::owned(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// The descriptor to close, if it is ours.
    pub fn into_owned(self) -> Option<OwnedFd> {
        self.owned
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Operation {
    /// Gives [`Value::Opened`]. `O_CLOEXEC` is added.
    Open {
        path: CString,
        flags: i32,
        mode: u32,
    },
    /// Reads at the file's position, at most `len` bytes, into the room that `buffer` has after what is in it.
    Read {
        file: Arc<Handle>,
        buffer: Vec<u8>,
        len: usize,
    },
    /// Writes `data`, from the given index on, at the file's position.
    Write {
        file: Arc<Handle>,
        data: Vec<u8>,
        from: usize,
    },
    /// Gives [`Value::Metadata`].
    Stat {
        file: Arc<Handle>,
    },
    /// `lseek`; gives the new position.
    Seek {
        file: Arc<Handle>,
        offset: i64,
        whence: i32,
    },
    Truncate {
        file: Arc<Handle>,
        len: u64,
    },
    /// To the disk; without times and the like if `data_only`.
    Sync {
        file: Arc<Handle>,
        data_only: bool,
    },
    /// The descriptor is taken out; dropped before that, it is closed without a word on errors.
    Close {
        fd: Option<OwnedFd>,
    },
    /// Writes all of `data` and lets go of the file: for who cannot wait for it.
    Finish {
        file: Arc<Handle>,
        data: Vec<u8>,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum Value {
    /// Bytes read or written, a position, or zero.
    Count(u64),
    Opened(OwnedFd),
    Metadata(Metadata),
}

/// What `fstat` tells.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Bytes.
    pub size: u64,
    /// Type and permissions, as `st_mode`.
    pub mode: u32,
    /// What the file would like to be read and written in, in bytes.
    pub block_size: u32,
}

impl Metadata {
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Neither a pipe nor a device: no operation on it waits for anybody but the disk.
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// Where the file is at. Waits for nothing. Errors: `ESPIPE` for what has no position.
pub fn position(fd: RawFd) -> io::Result<u64> {
    rewind(fd, 0)
}

/// Moves the position back by `count` bytes. Waits for nothing.
pub fn rewind(fd: RawFd, count: u64) -> io::Result<u64> {
    let back = i64::try_from(count).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    seek(fd, -back, libc::SEEK_CUR)
}

/// `lseek`. From the beginning or the present position it waits for nothing.
pub fn seek(fd: RawFd, offset: i64, whence: i32) -> io::Result<u64> {
    // SAFETY: takes no pointers.
    let position = sys::once(|| unsafe { libc::lseek64(fd, offset, whence) } as isize)?;
    Ok(position as u64)
}

impl Operation {
    /// Does it here and now, which may wait.
    pub fn run(&mut self) -> io::Result<Value> {
        match self {
            Self::Open { path, flags, mode } => {
                // SAFETY: a string with its NUL, which lives through the call.
                let fd =
                    sys::retry(|| unsafe { libc::open64(path.as_ptr(), *flags | libc::O_CLOEXEC, *mode) })?;
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
                Ok(Value::Opened(unsafe { OwnedFd::from_raw_fd(fd) }))
            }
            Self::Read { file, buffer, len } => {
                let room = buffer.spare_capacity_mut();
                let (start, len) = (room.as_mut_ptr(), room.len().min(*len).min(LONGEST));
                // SAFETY: the kernel writes at most `len` bytes to room that the vector has.
                let count = sys::retry(|| unsafe { libc::read(file.fd, start.cast(), len) })? as usize;
                // SAFETY: so many more bytes are initialised now.
                unsafe { buffer.set_len(buffer.len() + count) };
                Ok(Value::Count(count as u64))
            }
            Self::Write { file, data, from } => {
                let rest = &data[*from..];
                // SAFETY: the kernel reads at most that many bytes of a live slice.
                let count = sys::retry(|| unsafe {
                    libc::write(file.fd, rest.as_ptr().cast(), rest.len().min(LONGEST))
                })?;
                *from += count as usize;
                Ok(Value::Count(count as u64))
            }
            Self::Stat { file } => {
                let mut stat = MaybeUninit::<libc::stat64>::uninit();
                // SAFETY: the kernel fills the record, or fails.
                sys::once(|| unsafe { libc::fstat64(file.fd, stat.as_mut_ptr()) })?;
                // SAFETY: fstat has succeeded, so the record is filled.
                let stat = unsafe { stat.assume_init() };
                Ok(Value::Metadata(Metadata {
                    size: stat.st_size as u64,
                    mode: stat.st_mode,
                    block_size: stat.st_blksize as u32,
                }))
            }
            Self::Seek { file, offset, whence } => seek(file.fd, *offset, *whence).map(Value::Count),
            Self::Truncate { file, len } => {
                let len = i64::try_from(*len).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
                // SAFETY: takes no pointers.
                sys::retry(|| unsafe { libc::ftruncate64(file.fd, len) })?;
                Ok(Value::Count(0))
            }
            Self::Sync { file, data_only } => {
                sys::retry(|| {
                    // SAFETY: takes no pointers.
                    unsafe { if *data_only { libc::fdatasync(file.fd) } else { libc::fsync(file.fd) } }
                })?;
                Ok(Value::Count(0))
            }
            Self::Close { fd } => {
                let Some(fd) = fd.take() else { return Ok(Value::Count(0)) };
                let fd = fd.into_raw_fd();
                // The descriptor is gone whatever `close` says, so it is not tried again.
                // SAFETY: it was ours, and is nobody's from here on.
                sys::once(|| unsafe { libc::close(fd) })?;
                Ok(Value::Count(0))
            }
            Self::Finish { file, data } => {
                let data = std::mem::take(data);
                let mut write = Self::Write { file: Arc::clone(file), data, from: 0 };
                while let Self::Write { data, from, .. } = &write
                    && *from < data.len()
                {
                    write.run()?;
                }
                Ok(Value::Count(0))
            }
        }
    }
}
