//! Classes of which methods can be replaced: with and without a `__dict__`, a derived one, and one with `__aenter__`.

use ferrio_object::{
    Any, Args, Class, ClassBuilder, DictSlot, MethodSet, Methods, Obj, Replaceable, Replaced, WeakList,
};
use pyo3::prelude::*;

use super::Alive;

const NAMES: [&str; 4] = ["one", "two", "__aenter__", "property"];
const ONE: MethodSet = MethodSet::named(&NAMES, "one");
const TWO: MethodSet = MethodSet::named(&NAMES, "two");
const ENTER: MethodSet = MethodSet::named(&NAMES, "__aenter__");
const PROPERTY: MethodSet = MethodSet::named(&NAMES, "property");

/// The names of what is replaced on an object.
fn replaced<T: Replaceable>(this: &Obj<T>) -> String {
    let all = [("one", ONE), ("two", TWO), ("__aenter__", ENTER), ("property", PROPERTY)];
    all.iter().filter(|(_, which)| this.replaces(*which)).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn define<T: Replaceable>(class: &mut ClassBuilder<T>) {
    class
        .replaceable()
        .method0("one", |_: &Obj<T>, _: Python<'_>| 1, "")
        .method("two", |_: &Obj<T>, _: Python<'_>, _: Args<'_, '_>| 2, "")
        .special0("__aenter__", |_: &Obj<T>, _: Python<'_>| 3, "")
        .getter("property", |_: &Obj<T>, _: Python<'_>| 4, "")
        .getter("replaced", |this: &Obj<T>, _: Python<'_>| replaced(this), "");
}

/// Remembers what is replaced on each object.
pub struct Patched {
    replaced: Replaced,
    weaklist: WeakList,
    dict: DictSlot,
    _alive: Alive,
}

impl Replaceable for Patched {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Class for Patched {
    type Base = Any;
    ferrio_object::fields!(Patched { replaced, weaklist: WeakList, dict: DictSlot, _alive });
    const NAME: &'static str = "objects.Patched";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Patched {
            replaced: Replaced::unknown(),
            weaklist: WeakList::new(),
            dict: DictSlot::new(),
            _alive: Alive::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
    }
}

/// Derived from [`Patched`], with a method of its own of the same name: that is no replacement.
pub struct Repatched;

impl Class for Repatched {
    type Base = Patched;
    ferrio_object::fields!(Repatched {});
    const NAME: &'static str = "objects.Repatched";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Repatched
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.method0("one", |_: &Obj<Self>, _: Python<'_>| 11, "");
    }
}

/// Has no `__dict__`, and remembers nothing.
pub struct Slim {
    _alive: Alive,
}

impl Replaceable for Slim {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }
}

impl Class for Slim {
    type Base = Any;
    ferrio_object::fields!(Slim { _alive });
    const NAME: &'static str = "objects.Slim";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Slim { _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
    }
}

/// Has no `__dict__` of its own, and remembers what is set on an instance of a subclass that has one.
pub struct Plain {
    replaced: Replaced,
    _alive: Alive,
}

impl Replaceable for Plain {
    fn methods() -> &'static Methods {
        static METHODS: Methods = Methods::new(&NAMES);
        &METHODS
    }

    fn remembered(&self) -> Option<&Replaced> {
        Some(&self.replaced)
    }
}

impl Class for Plain {
    type Base = Any;
    ferrio_object::fields!(Plain { replaced, _alive });
    const NAME: &'static str = "objects.Plain";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Plain { replaced: Replaced::unknown(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        define(class);
    }
}
