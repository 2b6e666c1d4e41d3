//! Which of asyncio's methods have been replaced on a loop, by a subclass or on the instance.
//!
//! Subclasses of the loop are how CPython's tests and users' virtual clocks work, and a replaced `time`, `call_at` or
//! `_run_once` must be called. The plain loop must not pay for that: what a subclass overrides is found out once, at
//! construction, and what is set on an instance is noticed when it is set.

use ferrio_object::{Args, ClassBuilder, ClassDef, Obj};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Loop;

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

    const NAMES: [(&'static str, Hooks); 11] = [
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

fn init(this: &Obj<Loop>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
    const SIGNATURE: ferrio_object::Signature<1> =
        ferrio_object::Signature::new("BaseEventLoop", ["selector"]).required(0);
    let [selector] = args.bind(&SIGNATURE)?;
    this.open()?;
    crate::library::loop_opened(py)?;
    py.import("ferrio")?.call_method0("_settle")?;
    let native = ClassDef::type_object::<Loop>(py);
    let class = this.bind(py).get_type();
    let mut hooks = this.hooks.get();
    for (name, hook) in Hooks::NAMES {
        let name = PyString::intern(py, name);
        if !ClassDef::is_same_method(&class.getattr(&name)?, &native.bind(py).getattr(&name)?) {
            hooks = hooks.with(hook);
        }
    }
    this.hooks.set(hooks);
    if let Some(selector) = selector.filter(|selector| !selector.is_none()) {
        set_selector(this, py, Some(selector))?;
    }
    this.debug.set(crate::debug::is_debug_mode(py)?);
    Ok(())
}

fn setattr(
    this: &Obj<Loop>,
    _py: Python<'_>,
    name: &Bound<'_, PyAny>,
    _value: Option<&Bound<'_, PyAny>>,
) -> PyResult<bool> {
    if let Ok(name) = name.cast::<PyString>() {
        let name = name.to_str()?;
        if let Some((_, hook)) = Hooks::NAMES.iter().find(|(known, _)| *known == name) {
            // Set or deleted again: from here on the attribute is looked up.
            this.hooks.set(this.hooks.get().with(*hook));
        }
    }
    Ok(false)
}

fn get_selector(this: &Obj<Loop>, py: Python<'_>) -> PyResult<Obj> {
    this.selector.get().ok_or_else(|| {
        let name = this.bind(py).get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
        pyo3::exceptions::PyAttributeError::new_err(format!(
            "'{name}' object has no attribute '_selector': ferrio's driver takes its place"
        ))
    })
}

fn set_selector(this: &Obj<Loop>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    this.selector.set(value.map(Obj::from));
    // The standard library's selectors do what our driver does, and `SelectorEventLoop(SelectSelector())` asks for no
    // more. Anything else (a virtual clock, a mock) has something of its own to say in each turn.
    let standard = match value {
        Some(value) => value.get_type().module()? == "selectors",
        None => true,
    };
    if !standard {
        this.hooks.set(this.hooks.get().with(Hooks::SELECTOR));
    }
    Ok(())
}

pub(super) fn define(class: &mut ClassBuilder<Loop>) {
    class.init(init).setattr(setattr).getset("_selector", get_selector, set_selector, "");
}
