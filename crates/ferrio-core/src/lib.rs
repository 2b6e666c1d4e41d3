//! The OS and the state machines of ferrio, without any Python.
//!
//! Everything an asyncio event loop needs below the object model lives here: a [`driver`] that waits for file
//! descriptors, [`timers`], the [`registry`] that turns a kernel event back into its owner, the pending bytes of a
//! transport ([`write_queue`]) and when they are sent ([`write_timing`], [`batch_timing`]), those of a stream
//! ([`read_buffer`]), the [`signal`] pipe, and native threads for [`blocking`] calls. The rooms above (`ferrio-object`, `ferrio`) join them to Python; CI proves with `cargo tree`
//! that no pyo3 is reachable from here.
//!
//! What holds everywhere in this crate:
//!
//! * **State machines take bytes and `now`.** None of them reads a clock or touches a descriptor, so that tests
//!   drive them with property tests and in virtual time. Only [`driver`], [`clock`], [`signal`] and [`blocking`] know
//!   the OS.
//! * **One owner thread.** Types are single-owner unless their docs say otherwise; what a second thread may touch
//!   is named: [`driver::Waker`], registration on a [`driver::Driver`], and [`blocking::BlockingPool`].
//! * **Values come back.** Generic containers hand a removed value to the caller instead of dropping it inside: in
//!   the loop the value is a Python object, and its `__del__` may call straight back into the container.
//! * **No unsafe**, except for the syscalls in [`driver`], which opts in under a `# Safety` head.

#![deny(unsafe_code)]

pub mod batch_timing;
pub mod blocking;
pub mod clock;
pub mod completions;
pub mod driver;
pub mod monitor;
pub mod read_buffer;
pub mod registry;
pub mod signal;
pub mod timers;
pub mod tls_state;
pub mod turn_queue;
pub mod write_queue;
pub mod write_timing;
