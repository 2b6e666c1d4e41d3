//! Registering descriptors with the driver, and whose a registration is.
//!
//! The driver knows a descriptor by its number, and the number may have been reused without notice: a program
//! closed a socket that an operation still waited on, and opened another. The operation then removes *its own*
//! registration when it gives up; removing the next owner's would make that one deaf. So every number's
//! registration has an owner, the token that it was made with, and nothing but the owner changes it.

use std::io;
use std::os::fd::RawFd;

use ferrio_core::driver::{Interest, Token};
use ferrio_object::Obj;
use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

use super::{Futures, Loop, Source};
use crate::exceptions::FromIo;

/// Has a loop written in Python watch the driver, if it could not do so before it ran (trio-asyncio). To be called before
/// something is registered.
///
/// # Errors
/// What the loop's own methods raise.
#[inline]
pub(crate) fn ensure_driver_watched(this: &Obj<Loop>) -> PyResult<()> {
    if this.unwatched.replace(false) {
        let py = this.py();
        this.bind(py).call_method0(intern!(py, "_make_self_pipe"))?;
    }
    Ok(())
}

impl Loop {
    /// How many polls there have been; wraps around.
    pub(crate) fn poll_count(&self) -> u32 {
        self.registrations.poll_count()
    }

    /// Registers a source of our own with the driver.
    ///
    /// # Errors
    /// `OSError` from the kernel, `RuntimeError` if the loop is closed.
    pub(crate) fn register(&self, fd: RawFd, interest: Interest, source: Source) -> PyResult<Token> {
        release(self, fd);
        let driver = self.driver()?;
        self.expect_io();
        let token = self.sources.borrow_mut().insert(source);
        if let Err(err) = driver.register(fd, token, interest) {
            let source = self.sources.borrow_mut().remove(token);
            drop(source);
            return Err(PyOSError::new_err_from_io(err));
        }
        self.registrations.set_owner(fd, token);
        Ok(token)
    }

    /// Registers a source for changes in both directions. `None` if the driver has no such thing.
    ///
    /// # Errors
    /// `OSError` from the kernel, `RuntimeError` if the loop is closed.
    pub(crate) fn register_changes(&self, fd: RawFd, source: Source) -> PyResult<Option<Token>> {
        let driver = self.driver()?;
        self.expect_io();
        let token = self.sources.borrow_mut().insert(source);
        if let Err(err) = driver.register_changes(fd, token) {
            let source = self.sources.borrow_mut().remove(token);
            drop(source);
            return match err.kind() {
                io::ErrorKind::Unsupported => Ok(None),
                _ => Err(PyOSError::new_err_from_io(err)),
            };
        }
        self.registrations.set_owner(fd, token);
        Ok(Some(token))
    }

    /// Changes what a source waits for. Does nothing for a source whose descriptor was closed and is another's now.
    ///
    /// # Errors
    /// `OSError` from the kernel.
    pub(crate) fn reregister(&self, fd: RawFd, token: Token, interest: Interest) -> PyResult<()> {
        self.try_reregister(fd, token, interest).map(drop)
    }

    /// The same; false if there is no registration of this source any more.
    ///
    /// # Errors
    /// `OSError` from the kernel.
    pub(crate) fn try_reregister(&self, fd: RawFd, token: Token, interest: Interest) -> PyResult<bool> {
        if self.registrations.owner(fd) != token {
            return Ok(false);
        }
        self.expect_io();
        match self.driver()?.reregister(fd, token, interest) {
            Ok(()) => Ok(true),
            // Closed without a word: the kernel has forgotten the registration by itself.
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(PyOSError::new_err_from_io(err)),
        }
    }

    /// Takes a source out. Call it before the descriptor is closed. Does nothing if the loop is closed.
    pub(crate) fn deregister(&self, fd: RawFd, token: Token) {
        if self.registrations.owner(fd) == token {
            self.registrations.set_owner(fd, Token::WAKE);
            if let Some(driver) = self.open_driver() {
                // ENOENT and EBADF say that it is gone already, which is what is wanted.
                let _ = driver.deregister(fd);
            }
        }
        let source = self.sources.borrow_mut().remove(token);
        drop(source);
    }
}

/// The token of the socket that is kept on `fd` (`base_events/kept.rs`).
pub(crate) fn token_of(this: &Loop, fd: RawFd) -> Option<Token> {
    let token = this.watched.borrow().get(&fd).copied()?;
    matches!(this.sources.borrow().get(token), Some(Source::Kept(_))).then_some(token)
}

/// Forgets the socket on `fd`, before the descriptor is put to another use. Returns what waits for it.
pub(crate) fn release(this: &Loop, fd: RawFd) -> (Futures, Futures) {
    let Some(token) = token_of(this, fd) else { return Default::default() };
    let waiters = match this.sources.borrow().get(token) {
        Some(Source::Kept(kept)) => (kept.reader.take(), kept.writer.take()),
        _ => Default::default(),
    };
    this.watched.borrow_mut().remove(&fd);
    this.deregister(fd, token);
    waiters
}
