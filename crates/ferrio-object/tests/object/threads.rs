//! What may go to another thread, and the casts between typed and untyped references.

use std::thread;

use ferrio_object::{
    ClassDef, GilShared, GilStatic, Obj, ObjCell, StateAtHand, ThreadState, handled_exception, with_handled,
};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyType};

use crate::classes::{Leaf, Node, Sealed, alive};
use crate::{attached, references};

#[test]
fn a_shared_value_comes_back_from_a_thread() {
    attached(|py, _| {
        let list = PyList::empty(py);
        let before = references(&list);
        let shared = GilShared::new(py, Obj::from(&list));
        let shared = py.detach(|| thread::spawn(move || shared).join().unwrap());
        assert!(shared.get(py).is_bound(&list));
        let obj = shared.into_inner(py);
        assert_eq!(references(&list), before + 1);
        drop(obj);
        assert_eq!(references(&list), before);
    });
}

#[test]
fn a_shared_value_is_used_on_an_attached_thread() {
    attached(|py, _| {
        let shared = GilShared::new(py, Obj::from(PyList::empty(py)));
        let sum = py.detach(|| {
            thread::spawn(move || {
                Python::attach(|py| {
                    shared.get(py).bind(py).call_method1("append", (1,)).unwrap();
                    // Dropped here, attached: nothing is left.
                    shared.into_inner(py).bind(py).len().unwrap()
                })
            })
            .join()
            .unwrap()
        });
        assert_eq!(sum, 1);
    });
}

/// There is nothing else to be done: the reference count belongs to the thread that has the GIL.
#[test]
fn a_shared_value_dropped_on_a_detached_thread_is_leaked() {
    attached(|py, _| {
        let list = PyList::empty(py);
        let before = references(&list);
        let shared = GilShared::new(py, Obj::from(&list));
        py.detach(|| thread::spawn(move || drop(shared)).join().unwrap());
        assert_eq!(references(&list), before + 1, "leaked, and not touched");

        let shared = GilShared::new(py, Obj::from(&list));
        drop(shared);
        assert_eq!(references(&list), before + 1, "dropped where it may be");
    });
}

#[test]
fn a_static_asks_for_the_token() {
    static NUMBER: GilStatic<std::cell::Cell<u32>> = GilStatic::new(std::cell::Cell::new(1));
    attached(|py, _| {
        NUMBER.get(py).set(NUMBER.get(py).get() + 1);
        assert_eq!(NUMBER.get(py).get(), 2);
    });
}

#[test]
fn casts_go_by_the_type() {
    attached(|py, module| {
        let before = alive();
        let node = Obj::from(module.getattr("Node").unwrap().call0().unwrap());
        let leaf = Obj::from(module.getattr("Leaf").unwrap().call0().unwrap());
        assert!(node.cast::<Node>().is_some() && node.cast::<Leaf>().is_none());
        assert!(leaf.cast::<Node>().is_some() && leaf.cast_exact::<Node>().is_none());
        assert!(leaf.cast_exact::<Leaf>().is_some() && Obj::none(py).cast::<Node>().is_none());
        assert!(Obj::<Leaf>::from_bound(leaf.bind(py)).unwrap().is_exact());
        assert!(Obj::<Node>::from_bound(&py.None().into_bound(py)).is_none());

        let leaf = leaf.cast_into::<Leaf>().unwrap();
        leaf.base().child.set(Some(node.clone()));
        let base: Obj<Node> = leaf.into_base();
        assert!(base.child.holds(&node) && !base.is_exact() && base.base().is(&base));
        let Err(node) = node.cast_into::<Leaf>() else { panic!("a node is no leaf") };
        assert_eq!(node.refcount(), 2);
        drop(base);
        assert_eq!(node.refcount(), 1);
        drop(node);
        assert_eq!(alive(), before);
    });
}

#[test]
fn references_are_counted() {
    attached(|py, _| {
        let list = PyList::empty(py);
        let before = references(&list);
        let obj = Obj::from(&list);
        let twice = obj.clone();
        assert_eq!((references(&list), twice.refcount()), (before + 2, before + 2));
        assert!(twice.is(&obj) && twice.as_any().is(&obj) && !twice.is_none());
        let cell = ObjCell::new(twice);
        assert!(cell.is_some() && cell.get().is_some_and(|held| held.is(&obj)));
        drop(cell.replace(Some(obj)));
        assert!(cell.take().is_some() && cell.is_none() && cell.take().is_none());
        assert_eq!(references(&list), before);
        let bound = Obj::from(list).into_bound(py);
        assert_eq!(references(&bound), before);
    });
}

#[test]
fn created_without_a_call() {
    attached(|py, module| {
        let before = alive();
        let sealed = Sealed::make_one(py);
        assert_eq!(alive(), before + 1);
        assert!(sealed.is_exact() && sealed.refcount() == 1);
        assert!(ClassDef::type_object::<Sealed>(py).is_bound(&module.getattr("Sealed").unwrap()));
        drop(sealed);
        assert_eq!(alive(), before);
    });
}

#[test]
fn contexts_are_entered_and_left() {
    attached(|py, _| {
        let globals = pyo3::types::PyDict::new(py);
        py.run(c"import contextvars; var = contextvars.ContextVar('var', default=0)", Some(&globals), None)
            .unwrap();
        let var = globals.get_item("var").unwrap().unwrap();
        let value = || var.call_method0("get").unwrap().extract::<i32>().unwrap();
        let context = ThreadState::copy_context(py).unwrap();
        assert!(ThreadState::is_context(&context) && !ThreadState::is_context(&Obj::none(py)));
        let set = ThreadState::in_context(py, &context, || {
            var.call_method1("set", (7,))?;
            // It is entered: not again.
            let again = ThreadState::in_context(py, &context, || Ok::<_, PyErr>(()));
            assert!(again.unwrap_err().to_string().contains("already entered"));
            Ok::<_, PyErr>(value())
        });
        assert_eq!((set.unwrap(), value()), (7, 0));
        let failed = ThreadState::in_context(py, &context, || Err::<(), _>(PyKeyError::new_err("x")));
        assert!(failed.unwrap_err().is_instance_of::<PyKeyError>(py));
        let seen = ThreadState::in_context(py, &context, || Ok::<_, PyErr>(value()));
        assert_eq!((seen.unwrap(), value()), (7, 0));
        let none = ThreadState::in_context(py, &Obj::none(py), || Ok::<_, PyErr>(()));
        assert!(none.unwrap_err().to_string().contains("Context"));

        // A snapshot has what the current context has, and is made only if that is anything.
        assert!(ThreadState::snapshot(py).unwrap().is_none());
        let copy = ThreadState::in_context(py, &context, || ThreadState::snapshot(py)).unwrap().unwrap();
        assert!(!copy.is(&context));
        assert_eq!(ThreadState::in_context(py, &copy, || Ok::<_, PyErr>(value())).unwrap(), 7);
        assert!(PyErr::take(py).is_none());
    });
}

#[test]
fn an_exception_is_handled_for_a_while() {
    attached(|py, _| {
        let error = |text| Obj::from(PyKeyError::new_err(text).into_value(py).into_bound(py));
        let (outer, inner) = (error("outer"), error("inner"));
        let before = (outer.refcount(), inner.refcount());
        assert!(handled_exception(py).is_none());
        with_handled(py, &outer, || {
            with_handled(py, &inner, || assert!(handled_exception(py).unwrap().is(&inner)));
            assert!(handled_exception(py).unwrap().is(&outer));
            // Whatever is raised meanwhile has it as its context.
            let raised = py.eval(c"1 / 0", None, None).unwrap_err();
            let context = raised.value(py).getattr("__context__").unwrap();
            assert!(outer.is_bound(&context));
        });
        assert!(handled_exception(py).is_none());
        assert_eq!((outer.refcount(), inner.refcount()), before);
    });
}

#[test]
fn created_of_a_python_subclass_alone() {
    attached(|py, module| {
        let before = alive();
        let derive = |base: &str| {
            let base = module.getattr(base).unwrap();
            Obj::from(py.get_type::<PyType>().call1(("Sub", (base,), PyDict::new(py))).unwrap())
        };
        let node = Obj::<Node>::create_of(py, &derive("Node")).unwrap();
        assert!(!node.is_exact() && node.child.is_none());
        drop(node);
        drop(Obj::<Sealed>::create_of(py, &derive("Sealed")).unwrap());
        drop(Obj::<Leaf>::create_of(py, &Obj::from(module.getattr("Leaf").unwrap())).unwrap());
        // A leaf has contents of its own, which a node's constructor would leave out.
        let leaf = Obj::from(module.getattr("Leaf").unwrap());
        let unrelated = Obj::from(py.get_type::<PyType>());
        for class in [leaf, derive("Leaf"), derive("Bare"), unrelated, Obj::none(py)] {
            let refused = Obj::<Node>::create_of(py, &class).err().unwrap();
            assert!(refused.is_instance_of::<PyTypeError>(py), "{refused}");
        }
        py.import("gc").unwrap().call_method0("collect").unwrap();
        assert_eq!(alive(), before);
    });
}

/// In debug builds a reference that is used where nobody may is an assertion, not a corrupted count.
#[cfg(debug_assertions)]
#[test]
fn misuse_is_noticed_in_debug_builds() {
    struct Smuggled(Obj);
    // SAFETY: none: this is the bug that is to be noticed. The reference comes back before it is dropped.
    unsafe impl Send for Smuggled {}

    attached(|py, _| {
        let smuggled = Smuggled(Obj::from(PyList::empty(py)));
        let (noticed, smuggled) = py.detach(|| {
            thread::spawn(move || {
                let smuggled = smuggled;
                let clone = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| smuggled.0.clone()));
                (clone.map(std::mem::forget).is_err(), smuggled)
            })
            .join()
            .unwrap()
        });
        assert!(noticed, "a reference was cloned on a detached thread");
        drop(smuggled);
    });
}

#[test]
fn empty_contexts_are_used_again() {
    attached(|py, _| {
        let var =
            py.import("contextvars").unwrap().getattr("ContextVar").unwrap().call1(("recycled",)).unwrap();
        let fresh = || ThreadState::empty_context(py).unwrap();
        let first = fresh();
        let address = first.as_ptr();
        assert!(ThreadState::recycle_context(first).is_none());
        let again = fresh();
        assert_eq!(again.as_ptr(), address);

        // Somebody else has it, in whichever way; or it is not as it was.
        let held = again.clone();
        assert!(ThreadState::recycle_context(held).is_some_and(|back| back.is(&again)));
        let reference = py.import("weakref").unwrap().getattr("ref").unwrap().call1((&again,)).unwrap();
        let again = ThreadState::recycle_context(again).unwrap();
        assert!(again.is_bound(&reference.call0().unwrap()));
        drop(reference);
        let set = ThreadState::in_context(py, &again, || var.call_method1("set", (1,)).map(drop));
        set.unwrap();
        assert!(ThreadState::recycle_context(again).is_some());

        // Variables that were set and reset leave nothing.
        let clean = fresh();
        let outcome = ThreadState::in_context(py, &clean, || {
            let token = var.call_method1("set", (1,))?;
            var.call_method1("reset", (token,)).map(drop)
        });
        outcome.unwrap();
        let address = clean.as_ptr();
        assert!(ThreadState::recycle_context(clean).is_none());
        assert_eq!(fresh().as_ptr(), address);
        assert!(ThreadState::recycle_context(Obj::none(py)).is_some());
    });
}

/// Threads that take turns, each with a state at hand: what is read in it is the thread's own.
#[test]
fn each_thread_has_its_state_and_its_object() {
    attached(|py, _| {
        let set = |py: Python<'_>, depth: i32| {
            let sys = py.import("sys").unwrap();
            sys.call_method1("set_coroutine_origin_tracking_depth", (depth,)).unwrap();
        };
        let mine = Obj::from(PyList::empty(py));
        let before = ThreadState::replace_object(py, Some(mine.clone()));
        assert!(before.is_none());
        let outer = StateAtHand::begin(py);
        set(py, 3);
        for depth in [5, 7] {
            py.detach(|| {
                let others = move || {
                    Python::attach(|py| {
                        assert!(ThreadState::object(py).is_none(), "left by a thread that has ended");
                        let list = Obj::from(PyList::empty(py));
                        drop(ThreadState::replace_object(py, Some(list.clone())));
                        assert_eq!(ThreadState::origin_tracking_depth(py), 0);
                        let _at_hand = StateAtHand::begin(py);
                        set(py, depth);
                        assert_eq!(ThreadState::origin_tracking_depth(py), depth);
                        assert!(ThreadState::object(py).is_some_and(|object| object.is(&list)));
                    });
                    // Attached anew, such a thread has another state; the one from before is freed.
                    Python::attach(|py| assert_eq!(ThreadState::origin_tracking_depth(py), 0));
                };
                thread::spawn(others).join().unwrap();
            });
            assert_eq!(ThreadState::origin_tracking_depth(py), 3);
            assert!(ThreadState::object(py).is_some_and(|object| object.is(&mine)));
        }
        // Greenlets leave loops in any order.
        let inner = StateAtHand::begin(py);
        drop(outer);
        assert_eq!(ThreadState::origin_tracking_depth(py), 3);
        drop(inner);
        set(py, 0);
        assert_eq!(ThreadState::origin_tracking_depth(py), 0);
        let last = ThreadState::replace_object(py, None);
        assert!(last.is_some_and(|object| object.is(&mine)) && ThreadState::object(py).is_none());
    });
}
