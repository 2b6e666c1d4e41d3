//! A node with everything a class can have, and a class derived from it.

use ferrio_object::{Any, Args, Class, ClassBuilder, DictSlot, Obj, ObjCell, Signature, WeakList};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Alive;

pub struct Node {
    pub child: ObjCell,
    weaklist: WeakList,
    dict: DictSlot,
    _alive: Alive,
}

impl Node {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<1> = Signature::new("Node", ["child"]).required(0);
        let [child] = args.bind(&SIGNATURE)?;
        this.child.set(child.map(Obj::from));
        Ok(())
    }

    fn set_child(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.child.set(value.map(Obj::from));
        Ok(())
    }

    fn bound(_this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<3> = Signature::new("bound", ["a", "b", "c"]).positional(2).required(1);
        tuple(py, args.bind(&SIGNATURE)?)
    }

    fn keywords(_this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> =
            Signature::new("keywords", ["a", "b"]).positional(1).require_keywords();
        tuple(py, args.bind(&SIGNATURE)?)
    }

    fn rest(_this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<2> = Signature::new("rest", ["a", "k"]).positional(1);
        let ([a, k], rest) = args.bind_rest(&SIGNATURE)?;
        let rest = PyTuple::new(py, rest)?.into_any();
        tuple(py, [a, Some(&rest), k])
    }

    fn all(_this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("all", ["a"]);
        let ([a], rest, extra) = args.bind_all(&SIGNATURE)?;
        let rest = PyTuple::new(py, rest)?.into_any();
        tuple(py, [a, Some(&rest), extra.map(Bound::into_any).as_ref()])
    }

    /// Calls what it is given, so that errors and re-entry come in from Python.
    fn call(_this: &Obj<Self>, py: Python<'_>, args: Args<'_, '_>) -> PyResult<Obj> {
        const SIGNATURE: Signature<1> = Signature::new("call", ["f"]);
        let ([f], rest) = args.bind_rest(&SIGNATURE)?;
        let rest: Vec<Obj> = rest.into_iter().map(Obj::from).collect();
        ferrio_object::vectorcall(py, &Obj::from(f.unwrap()), &rest)
    }
}

fn tuple<const N: usize>(py: Python<'_>, values: [Option<&Bound<'_, PyAny>>; N]) -> PyResult<Obj> {
    Ok(Obj::from(PyTuple::new(py, values)?))
}

impl Class for Node {
    type Base = Any;
    ferrio_object::fields!(Node { child, weaklist: WeakList, dict: DictSlot, _alive });
    const NAME: &'static str = "objects.Node";
    const DOC: &'static str = "Node(child=None)\n--\n\nA node.";

    fn blank() -> Self {
        Node {
            child: ObjCell::empty(),
            weaklist: WeakList::new(),
            dict: DictSlot::new(),
            _alive: Alive::new(),
        }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class
            .init(Self::init)
            .call(Self::call)
            .repr(|this: &Obj<Self>, _py: Python<'_>| format!("<Node {}>", this.child.is_some()))
            .len(|this: &Obj<Self>, _py: Python<'_>| Ok(usize::from(this.child.is_some())))
            .method0(
                "same",
                |this: &Obj<Self>, _py: Python<'_>| this.clone(),
                "same($self, /)\n--\n\nItself.",
            )
            .method1(
                "echo",
                |_this: &Obj<Self>, _py: Python<'_>, value: &Bound<'_, PyAny>| Obj::from(value),
                "",
            )
            .method("bound", Self::bound, "bound($self, /, a, b=None, *, c=None)\n--\n\nWhat was bound.")
            .method("keywords", Self::keywords, "")
            .method("rest", Self::rest, "")
            .method("all", Self::all, "")
            .staticmethod("count", |_py: Python<'_>, args: Args<'_, '_>| args.len(), "")
            .getter("kind", |_this: &Obj<Self>, _py: Python<'_>| "node", "")
            .getset("child", |this: &Obj<Self>, _py: Python<'_>| this.child.get(), Self::set_child, "")
            .generic();
    }
}

/// Derived from [`Node`], with a field more and a freelist.
pub struct Leaf {
    extra: ObjCell,
    _alive: Alive,
}

impl Leaf {
    fn init(this: &Obj<Self>, _py: Python<'_>, args: Args<'_, '_>) -> PyResult<()> {
        const SIGNATURE: Signature<2> = Signature::new("Leaf", ["child", "extra"]).required(0);
        let [child, extra] = args.bind(&SIGNATURE)?;
        this.base().child.set(child.map(Obj::from));
        this.extra.set(extra.map(Obj::from));
        Ok(())
    }

    fn set_extra(this: &Obj<Self>, _py: Python<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        this.extra.set(value.map(Obj::from));
        Ok(())
    }
}

impl Class for Leaf {
    type Base = Node;
    ferrio_object::fields!(Leaf { extra, _alive }, freelist);
    const NAME: &'static str = "objects.Leaf";
    const DOC: &'static str = "";

    fn blank() -> Self {
        Leaf { extra: ObjCell::empty(), _alive: Alive::new() }
    }

    fn define(class: &mut ClassBuilder<Self>) {
        class.init(Self::init).getset(
            "extra",
            |this: &Obj<Self>, _py: Python<'_>| this.extra.get(),
            Self::set_extra,
            "",
        );
    }
}
