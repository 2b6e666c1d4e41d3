//! The mode string of `open()`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

const O_CREATE: i32 = 0o100;
const O_EXCLUSIVE: i32 = 0o200;
const O_TRUNCATE: i32 = 0o1000;
const O_APPEND: i32 = 0o2000;

/// What a mode asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mode {
    kind: u8,
    updating: bool,
    pub(super) binary: bool,
}

impl Mode {
    /// # Errors
    /// `ValueError`, in the builtin `open()`'s words.
    pub(super) fn parse(mode: &str) -> PyResult<Self> {
        let invalid = || PyValueError::new_err(format!("invalid mode: '{mode}'"));
        let mut seen = Vec::new();
        for letter in mode.bytes() {
            if !b"rwaxbt+".contains(&letter) || seen.contains(&letter) {
                return Err(invalid());
            }
            seen.push(letter);
        }
        if seen.contains(&b'b') && seen.contains(&b't') {
            return Err(PyValueError::new_err("can't have text and binary mode at once"));
        }
        let mut kinds = seen.iter().copied().filter(|letter| b"rwax".contains(letter));
        let Some(kind) = kinds.next() else {
            // In these words: the builtin's raw file is the first to notice.
            let message = "Must have exactly one of create/read/write/append mode and at most one plus";
            return Err(PyValueError::new_err(message));
        };
        if kinds.next().is_some() {
            return Err(PyValueError::new_err("must have exactly one of create/read/write/append mode"));
        }
        Ok(Mode { kind, updating: seen.contains(&b'+'), binary: seen.contains(&b'b') })
    }

    pub(super) fn readable(self) -> bool {
        self.kind == b'r' || self.updating
    }

    pub(super) fn writable(self) -> bool {
        self.kind != b'r' || self.updating
    }

    pub(super) fn appending(self) -> bool {
        self.kind == b'a'
    }

    /// For `open(2)`; the numbers are those of Linux on x86, ARM and RISC-V.
    pub(super) fn flags(self) -> i32 {
        let access = match (self.readable(), self.writable()) {
            (true, true) => 2,
            (false, true) => 1,
            _ => 0,
        };
        access
            | match self.kind {
                b'w' => O_CREATE | O_TRUNCATE,
                b'a' => O_CREATE | O_APPEND,
                b'x' => O_CREATE | O_EXCLUSIVE,
                _ => 0,
            }
    }

    /// As the builtin's raw files show it.
    pub(super) fn shown(self) -> &'static str {
        match (self.kind, self.updating) {
            (b'x', false) => "xb",
            (b'x', true) => "xb+",
            (b'a', false) => "ab",
            (b'a', true) => "ab+",
            // `w+` is shown like this too.
            (_, true) => "rb+",
            (b'r', false) => "rb",
            _ => "wb",
        }
    }
}
