//! Memory that the kernel copies into, and where it begins.
//!
//! On AMD's Zen `rep movsb`, with which Linux copies from and to user memory there, takes some fifteen times as long if
//! the destination lies 1 to 31 bytes behind the source modulo 4096 (64 KiB: 22 µs instead of 1.5; from 256 bytes on it
//! shows). What the kernel copies from is often page-aligned, and an allocation of glibc's that has pages of its own
//! starts 16 bytes into the first of them: every read of a pipe, or of 64 KiB that a peer sent at once, was such a
//! copy. (Found for files by Xuanwo, "Rust std fs slower than Python", 2023.)

use std::ops::{Deref, DerefMut};

const PAGE: usize = 4096;

/// A fixed number of zeroed bytes, page-aligned.
#[derive(Debug, Default)]
pub struct PageBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl PageBuffer {
    /// The memory is the system's until it is touched.
    pub fn new(len: usize) -> Self {
        let memory = vec![0; len + PAGE];
        let start = memory.as_ptr().align_offset(PAGE);
        Self { memory, start, len }
    }
}

impl Deref for PageBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for PageBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_a_page_wherever_it_is_moved() {
        for len in [0, 1, 100, PAGE - 16, 256 * 1024] {
            let buffer = Box::new(PageBuffer::new(len));
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().addr() % PAGE, 0);
            assert!(buffer.iter().all(|byte| *byte == 0));
        }
        assert!(PageBuffer::default().is_empty());
    }
}
