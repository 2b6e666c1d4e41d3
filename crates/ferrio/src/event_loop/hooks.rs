//! Which of asyncio's methods have been replaced on a loop, by a subclass or on the instance.
//!
//! Subclasses of the loop are how CPython's tests and users' virtual clocks work, and a replaced `time`, `call_at` or
//! `_run_once` must be called. The plain loop must not pay for that: what a subclass overrides is found out once, at
//! construction, and what is set on an instance is noticed when it is set.

/// A set of replaced methods.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hooks(u32);

impl Hooks {
    pub(crate) const NONE: Hooks = Hooks(0);
    pub(crate) const CALL_SOON: Hooks = Hooks(1);
    pub(crate) const CALL_AT: Hooks = Hooks(1 << 1);
    pub(crate) const TIME: Hooks = Hooks(1 << 2);
    pub(crate) const RUN_ONCE: Hooks = Hooks(1 << 3);
    pub(crate) const PROCESS_EVENTS: Hooks = Hooks(1 << 4);
    pub(crate) const SELECTOR: Hooks = Hooks(1 << 5);
    pub(crate) const GET_DEBUG: Hooks = Hooks(1 << 6);
    pub(crate) const CREATE_FUTURE: Hooks = Hooks(1 << 7);
    pub(crate) const CREATE_TASK: Hooks = Hooks(1 << 8);
    pub(crate) const CALL_LATER: Hooks = Hooks(1 << 9);
    pub(crate) const WRITE_TO_SELF: Hooks = Hooks(1 << 10);
    pub(crate) const RUN_IN_EXECUTOR: Hooks = Hooks(1 << 11);

    pub(crate) const NAMES: [(&'static str, Hooks); 11] = [
        ("call_soon", Hooks::CALL_SOON),
        ("call_at", Hooks::CALL_AT),
        ("time", Hooks::TIME),
        ("_run_once", Hooks::RUN_ONCE),
        ("_process_events", Hooks::PROCESS_EVENTS),
        ("get_debug", Hooks::GET_DEBUG),
        ("create_future", Hooks::CREATE_FUTURE),
        ("create_task", Hooks::CREATE_TASK),
        ("call_later", Hooks::CALL_LATER),
        ("_write_to_self", Hooks::WRITE_TO_SELF),
        ("run_in_executor", Hooks::RUN_IN_EXECUTOR),
    ];

    #[inline]
    pub(crate) const fn contains(self, other: Hooks) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) const fn with(self, other: Hooks) -> Hooks {
        Hooks(self.0 | other.0)
    }
}
