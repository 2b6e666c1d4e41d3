//! Objects kept by a holder that does not name their class.

use ferrio_object::{Erased, Obj};
use pyo3::prelude::*;

use super::attached;
use super::classes::{Bare, Derived, Node};

fn make(module: &Bound<'_, PyModule>, class: &str) -> Obj {
    module.getattr(class).unwrap().call0().unwrap().into()
}

#[test]
fn an_object_comes_back_as_what_it_was_handed_in_as() {
    attached(|_, module| {
        let node = make(module, "Node");
        let erased = Erased::new(node.cast::<Node>().unwrap().clone());
        assert!(erased.get::<Node>().unwrap().as_any().is(&node));
        assert!(erased.as_any().is(&node));
        assert!(erased.get::<Bare>().is_none());
    });
}

#[test]
fn a_derived_object_comes_back_as_its_base_only() {
    attached(|_, module| {
        let derived = make(module, "Derived");
        let erased = Erased::new(derived.cast::<Bare>().unwrap().clone());
        assert!(erased.get::<Bare>().unwrap().as_any().is(&derived));
        assert!(erased.get::<Derived>().is_none());
    });
}

#[test]
fn an_instance_of_a_python_subclass_comes_back_too() {
    attached(|py, module| {
        let bases = (module.getattr("Node").unwrap(),);
        let class = py.import("builtins").unwrap().getattr("type").unwrap();
        let class = class.call1(("Sub", bases, pyo3::types::PyDict::new(py))).unwrap();
        let sub: Obj = class.call0().unwrap().into();
        let erased = Erased::new(sub.cast::<Node>().unwrap().clone());
        assert!(erased.clone().get::<Node>().unwrap().as_any().is(&sub));
    });
}

#[test]
fn an_erased_object_is_a_reference() {
    attached(|py, module| {
        let node = make(module, "Node");
        let sys = py.import("sys").unwrap();
        let count = |obj: &Obj| sys.call_method1("getrefcount", (obj,)).unwrap().extract::<usize>().unwrap();
        let before = count(&node);
        let erased = Erased::new(node.cast::<Node>().unwrap().clone());
        let second = erased.clone();
        assert_eq!(count(&node), before + 2);
        drop((erased, second));
        assert_eq!(count(&node), before);
    });
}
