//! Which of asyncio's methods have been replaced on a loop: by a subclass, on a class or on the instance, at any time.
//!
//! Subclasses of the loop are how CPython's tests and users' virtual clocks work, and a replaced `time`, `call_at` or
//! `_run_once` must be called. The plain loop pays a compare of two numbers for it ([`Replaceable`]).
//!
//! A loop's `__dict__` is that of a class written in Python: what is put there past `setattr()` is not seen.

use ferrio_object::{MethodSet, Methods, Replaceable, Replaced};

use super::Loop;

const NAMES: [&str; 11] = [
    "call_soon",
    "call_at",
    "time",
    "_run_once",
    "_process_events",
    "get_debug",
    "create_future",
    "create_task",
    "call_later",
    "_write_to_self",
    "run_in_executor",
];

/// What asyncio calls through a loop's `self`, or through the loop that it was given.
pub(crate) struct Hooks;

impl Hooks {
    pub(crate) const CALL_SOON: MethodSet = MethodSet::named(&NAMES, "call_soon");
    pub(crate) const CALL_AT: MethodSet = MethodSet::named(&NAMES, "call_at");
    pub(crate) const TIME: MethodSet = MethodSet::named(&NAMES, "time");
    pub(crate) const RUN_ONCE: MethodSet = MethodSet::named(&NAMES, "_run_once");
    pub(crate) const PROCESS_EVENTS: MethodSet = MethodSet::named(&NAMES, "_process_events");
    pub(crate) const GET_DEBUG: MethodSet = MethodSet::named(&NAMES, "get_debug");
    pub(crate) const CREATE_FUTURE: MethodSet = MethodSet::named(&NAMES, "create_future");
    pub(crate) const CREATE_TASK: MethodSet = MethodSet::named(&NAMES, "create_task");
    pub(crate) const CALL_LATER: MethodSet = MethodSet::named(&NAMES, "call_later");
    pub(crate) const WRITE_TO_SELF: MethodSet = MethodSet::named(&NAMES, "_write_to_self");
    pub(crate) const RUN_IN_EXECUTOR: MethodSet = MethodSet::named(&NAMES, "run_in_executor");
}

impl Replaceable for Loop {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    #[inline]
    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}
