//! `asyncio.queues`: the queue, what it keeps its items in, and its two relatives.

mod items;
mod kinds;
mod queue;
mod wait;

pub(crate) use kinds::{LifoQueue, PriorityQueue};
pub(crate) use queue::{Exception, Queue, raise};
