//! Looking into a running program: the tasks of a process as plain data, the socket over which they are asked for, and
//! what is shown of them.
//!
//! The process that is looked into makes a [`Snapshot`] and sends it as it is (`wire.rs`); sorting, trees and text are the
//! business of the process that asks. So a million tasks cost the program copies, and no more.

mod chart;
mod connection;
mod nudge;
mod place;
mod render;
mod snapshot;
mod wire;

pub use chart::tree;
pub use connection::{Answer, Client, Listener, ask, receive, send_to};
pub use nudge::nudge;
pub use place::{Place, directories};
pub use render::{json, table};
pub use snapshot::{Frame, Name, Snapshot, State, Task, Waits};
pub use wire::{decode, encode};
