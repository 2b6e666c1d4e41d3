//! `LifoQueue` and `PriorityQueue`: queues with items in another order.

use ferrio_object::{Args, Class, ClassBuilder, Obj};
use pyo3::prelude::*;

use super::Queue;
use super::items::Order;

/// What a `LifoQueue` adds to a queue: nothing but its order.
pub struct LifoQueue;

/// What a `PriorityQueue` adds to a queue: nothing but its order.
pub struct PriorityQueue;

/// A queue that differs from [`Queue`] in the order of its items.
trait Ordered: Class<Base = Queue> {
    const ORDER: Order;
}

impl Ordered for LifoQueue {
    const ORDER: Order = Order::Lifo;
}

impl Ordered for PriorityQueue {
    const ORDER: Order = Order::Priority;
}

fn define<T: Ordered>(class: &mut ClassBuilder<T>) {
    class
        .init(|this: &Obj<T>, py: Python<'_>, args: Args<'_, '_>| Queue::init(this.base(), py, args))
        .method1(
            "_init",
            |this: &Obj<T>, py: Python<'_>, _maxsize: &Bound<'_, PyAny>| {
                this.base().items.start(py, T::ORDER);
            },
            "",
        )
        .method1(
            "_put",
            |this: &Obj<T>, py: Python<'_>, item: &Bound<'_, PyAny>| {
                this.base().items.put(py, T::ORDER, item.into())
            },
            "",
        )
        .method0("_get", |this: &Obj<T>, py: Python<'_>| this.base().items.get(py, T::ORDER), "");
}

impl Class for LifoQueue {
    type Base = Queue;
    ferrio_object::fields!(LifoQueue {});
    const NAME: &'static str = "asyncio.queues.LifoQueue";
    const DOC: &'static str = "LifoQueue(maxsize=0)\n--\n\nA queue that gives the newest item first.";

    fn blank() -> Self {
        LifoQueue
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
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
        define(class);
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
