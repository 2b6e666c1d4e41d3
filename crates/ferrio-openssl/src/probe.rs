//! Reading memory that may not be there.
//!
//! The kernel copies the bytes into a pipe, and reports an address that is not readable instead of ending the process.
//! `process_vm_readv` would do the same, but some sandboxes do not allow it; a pipe works everywhere.

use std::ffi::c_void;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// No page is smaller. A piece that does not cross such a boundary is readable as a whole or not at all.
const PIECE: usize = 4096;

/// A pipe through which memory is read.
pub struct Probe {
    reader: File,
    writer: OwnedFd,
}

impl Probe {
    /// `None` if there is no descriptor left.
    pub fn new() -> Option<Probe> {
        let mut ends = [-1; 2];
        // SAFETY: an array of two.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: two open descriptors that belong to nobody else.
        let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        for end in [&reader, &writer] {
            // SAFETY: an open descriptor.
            unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        Some(Probe { reader: File::from(reader), writer })
    }

    /// Up to `len` bytes from `address` on: fewer if the memory ends before.
    pub fn read(&mut self, address: *const c_void, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut done = 0;
        while done < len {
            let Some(start) = address.addr().checked_add(done) else { break };
            let piece = (PIECE - start % PIECE).min(len - done);
            let from = address.wrapping_byte_add(done);
            // SAFETY: the kernel reads the memory, and fails if it cannot. The pipe is empty, so a piece fits.
            let written = unsafe { libc::write(self.writer.as_raw_fd(), from, piece) };
            let Ok(written @ 1..) = usize::try_from(written) else { break };
            if self.reader.read_exact(&mut bytes[done..done + written]).is_err() {
                break;
            }
            done += written;
        }
        bytes.truncate(done);
        bytes
    }

    /// The words from `address` on, as far as they are readable.
    pub fn words(&mut self, address: *const c_void, count: usize) -> Vec<usize> {
        let bytes = self.read(address, count * size_of::<usize>());
        let (words, _) = bytes.as_chunks::<{ size_of::<usize>() }>();
        words.iter().map(|word| usize::from_ne_bytes(*word)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_there_is_read() {
        let mut probe = Probe::new().unwrap();
        let bytes: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        assert_eq!(probe.read(bytes.as_ptr().cast(), bytes.len()), bytes);
        assert_eq!(probe.read(bytes[7..].as_ptr().cast(), 9000), bytes[7..9007]);
        let words = [1_usize, usize::MAX, 3];
        assert_eq!(probe.words(words.as_ptr().cast(), 3), words);
    }

    #[test]
    fn memory_that_is_not_there_ends_the_read() {
        let mut probe = Probe::new().unwrap();
        for address in [0_usize, 8, 4096, usize::MAX - 7, usize::MAX, 0x7fff_ffff_ffff_f000, 1 << 63] {
            assert_eq!(probe.read(std::ptr::without_provenance(address), 64), []);
        }
        // SAFETY: a fresh mapping of two pages, the second of which cannot be read.
        let page = unsafe {
            let page = libc::mmap(
                std::ptr::null_mut(),
                2 * PIECE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(page, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(page.byte_add(PIECE), PIECE, libc::PROT_NONE), 0);
            page
        };
        assert_eq!(probe.read(page.wrapping_byte_add(PIECE - 100), 300), [0; 100]);
        // SAFETY: the mapping from above, of which nothing is in use.
        unsafe { libc::munmap(page, 2 * PIECE) };
    }
}
