//! The OpenSSL that Python's `ssl` module has loaded, called directly.
//!
//! Python makes the `SSL*` of a connection, runs its handshake, its shutdown and every error path. What is left is data:
//! [`Connection`] decrypts from the caller's receive buffer into the caller's memory and encrypts into a buffer that the
//! caller sends, without a Python object per record.
//!
//! Nothing is linked. [`Library`] finds the functions in the very library that the extension `_ssl` uses, because a
//! process may hold a second OpenSSL (the wheels of psycopg and cryptography bring their own), and an `SSL*` of one is not
//! one of the other. Where the functions cannot be found or are not certain to be the right ones, [`Refusal`] says why.
//!
//! # Safety
//!
//! This crate is a room of its own for `unsafe`: calls through function pointers into OpenSSL, and callbacks from it.
//! What holds everywhere in it:
//!
//! * **The right functions.** A [`Library`] exists only if every symbol was found in the extension's own dependencies, no
//!   other library stands before them in the process, and the version is the one that Python reports. The signatures in
//!   `functions.rs` are those of OpenSSL's public headers from 1.1.1 on, where they have not changed since.
//! * **Proven pointers.** A pointer that was read from a Python object's memory is passed to OpenSSL only after
//!   [`Library::prove`] has shown, with reads that cannot fault, that an `SSL` of that context lies there.
//! * **Owned by C.** An `SSL` may outlive the [`Connection`] that drives it, so its BIO holds a reference of its own to
//!   the `Wire` between them, and drops it when OpenSSL destroys the BIO.
//! * **Behind a lock.** OpenSSL may call the BIO on another thread (Python's `SSLObject.read()` releases the GIL). The
//!   wire's contents are in a mutex; what it borrows from the caller is taken back under that mutex before the borrow ends.
//! * **No unwinding into C.** The callbacks run code that does not panic; an allocation that fails is reported to OpenSSL.

mod bio;
mod connection;
mod functions;
mod library;
mod probe;
mod proof;
mod wire;

pub use connection::{Connection, Read, Write};
pub use library::{Library, Refusal};
pub use proof::Claim;
