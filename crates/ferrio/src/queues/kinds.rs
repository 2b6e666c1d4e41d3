//! `LifoQueue` and `PriorityQueue`: queues with items in another order.

use ferrio_object::{Args, Class, ClassBuilder, Obj};
use pyo3::prelude::*;

use super::Queue;
use super::items::Order;

/// What a `LifoQueue` adds to a queue: nothing but its order.
pub struct LifoQueue;

/// What a `PriorityQueue` adds to a queue: nothing but its order.
pub struct PriorityQueue;

impl Class for LifoQueue {
    type Base = Queue;
    ferrio_object::fields!(LifoQueue {});
    const NAME: &'static str = "asyncio.queues.LifoQueue";
    const DOC: &'static str = "LifoQueue(maxsize=0)\n--\n\nA queue that gives the newest item first.";

    fn blank() -> Self {
        LifoQueue
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(|this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| Queue::init(this.base(), py, args))
            .method1(
                "_init",
                |this: &Obj<Self>, py: Python<'_>, _maxsize: &Bound<'_, PyAny>| {
                    this.base().items.start(py, Order::Lifo);
                },
                "",
            )
            .method1(
                "_put",
                |this: &Obj<Self>, py: Python<'_>, item: &Bound<'_, PyAny>| {
                    this.base().items.put(py, Order::Lifo, item.into())
                },
                "",
            )
            .method0("_get", |this: &Obj<Self>, py: Python<'_>| this.base().items.get(py, Order::Lifo), "");
    }
}

impl Class for PriorityQueue {
    type Base = Queue;
    ferrio_object::fields!(PriorityQueue {});
    const NAME: &'static str = "asyncio.queues.PriorityQueue";
    const DOC: &'static str = "PriorityQueue(maxsize=0)\n--\n\n\
        A queue that gives the smallest item first; typically items are tuples (priority, data).";

    fn blank() -> Self {
        PriorityQueue
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(|this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>| Queue::init(this.base(), py, args))
            .method1(
                "_init",
                |this: &Obj<Self>, py: Python<'_>, _maxsize: &Bound<'_, PyAny>| {
                    this.base().items.start(py, Order::Priority);
                },
                "",
            )
            .method1(
                "_put",
                |this: &Obj<Self>, py: Python<'_>, item: &Bound<'_, PyAny>| {
                    this.base().items.put(py, Order::Priority, item.into())
                },
                "",
            )
            .method0(
                "_get",
                |this: &Obj<Self>, py: Python<'_>| this.base().items.get(py, Order::Priority),
                "",
            );
    }
}

/// The order that a queue's class stands for.
pub(super) fn order_of(queue: &Obj<Queue>) -> Order {
    if queue.is_exact() {
        return Order::Fifo;
    }
    if queue.as_any().cast::<LifoQueue>().is_some() {
        return Order::Lifo;
    }
    if queue.as_any().cast::<PriorityQueue>().is_some() { Order::Priority } else { Order::Fifo }
}
