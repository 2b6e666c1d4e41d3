//! Python subclasses, and everything with which Python could get at an instance whose contents are not there.

use ferrio_object::Obj;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::attached;
use super::classes::{Leaf, Node};
use crate::python;

/// The derived class that was met last is remembered. Classes come and go at the same addresses, and change.
#[test]
fn only_what_is_derived_is_cast() {
    attached(|py, module| {
        let class = |bases: &[&str]| {
            let bases =
                pyo3::types::PyTuple::new(py, bases.iter().map(|base| module.getattr(*base).unwrap()));
            let class = py.import("builtins").unwrap().getattr("type").unwrap();
            class.call1(("Made", bases.unwrap(), PyDict::new(py))).unwrap()
        };
        let made = |class: &Bound<'_, PyAny>| Obj::from(class.call0().unwrap());
        let kept = class(&["Leaf"]);
        for round in 0..100 {
            let leaf = class(&["Leaf"]);
            assert!(made(&leaf).cast::<Leaf>().is_some() && made(&leaf).cast::<Node>().is_some());
            leaf.setattr("changed", round).unwrap();
            assert!(made(&leaf).cast::<Leaf>().is_some() && made(&kept).cast::<Leaf>().is_some());
            drop(leaf);
            let node = class(&["Node"]);
            assert!(made(&node).cast::<Leaf>().is_none() && made(&node).cast::<Node>().is_some());
            drop(node);
            let other = class(&[]);
            assert!(made(&other).cast::<Leaf>().is_none() && made(&other).cast::<Node>().is_none());
        }
    });
}

#[test]
fn cycles_through_a_subclass() {
    python(
        "
class Sub(Leaf): pass
class Slotted(Leaf):
    __slots__ = 'slot',
class Both(Slotted): pass

for kind, field in (Sub, 'child'), (Sub, 'anything'), (Slotted, 'slot'), (Slotted, 'extra'), (Both, 'slot'), (Both, 'free'):
    made = kind(); setattr(made, field, made)
    dead = weakref.ref(made)
    del made; gc.collect()
    assert dead() is None, (kind, field)
",
    );
}

#[test]
fn without_the_init_of_the_base() {
    python(
        "
class Sub(Leaf):
    def __init__(self): pass
sub = Sub()
assert sub.child is None and sub.extra is None and len(sub) == 0 and sub.__dict__ == {}
sub.child = sub
raw = Leaf.__new__(Leaf)
assert raw.child is None and repr(raw) == '<Node false>'
",
    );
}

#[test]
fn init_again() {
    python(
        "
node = Node(1)
node.__init__(2)
assert node.child == 2
node.__init__()
assert node.child is None
",
    );
}

#[test]
fn new_of_another_class_is_refused() {
    python(
        "
class Sub(Leaf): pass
for make in (
    lambda: object.__new__(Node),
    lambda: object.__new__(Sub),
    lambda: Node.__new__(Leaf),
    lambda: Node.__new__(Sub),
    lambda: Leaf.__new__(Node),
    lambda: Node.__new__(int),
    lambda: object.__new__(Sealed),
    lambda: Sealed(),
    lambda: type.__call__(Sealed),
):
    with raises(TypeError):
        make()

class Forced(Leaf):
    def __new__(cls):
        return object.__new__(cls)
with raises(TypeError, 'not safe'):
    Forced()

class Unsealed(Sealed): pass
with raises(TypeError):
    Unsealed()
class Forced(Sealed):
    def __new__(cls):
        return object.__new__(cls)
with raises(TypeError):
    Forced()
assert sealed().hello() == 'hello'
",
    );
}

#[test]
fn another_class_is_refused_or_harmless() {
    python(
        "
class Sub(Node): pass
class Other(Node): pass
class Wide(Node):
    __slots__ = 'slot',
class Plain: pass

for made, kind in (
    (Node(), Leaf), (Leaf(), Node), (Node(), Plain), (Plain(), Node), (Bare(), Node), (Node(), Holder),
    (Sub(), Wide), (Sub(), Leaf), (Node(), object), (Ordered(1), Bare), (Bare(), Derived), (Sub(), Plain),
):
    before = type(made)
    try:
        made.__class__ = kind
    except TypeError:
        assert type(made) is before
    else:
        # Where CPython finds the layouts the same, the object has to go on working and die as usual.
        repr(made)

sub = Sub(5)
sub.__class__ = Other
assert type(sub) is Other and sub.child == 5
",
    );
}

#[test]
fn incompatible_bases_are_refused() {
    python(
        "
for bases in (Node, Bare), (Leaf, Holder), (Node, int), (Ordered,):
    with raises(TypeError):
        type('Mixed', bases, {})
class Mixin: pass
class Mixed(Mixin, Leaf): pass
assert isinstance(Mixed(Mixed()).child, Node)
",
    );
}

#[test]
fn methods_refuse_other_objects() {
    python(
        "
for call in (
    lambda: Node.same(5),
    lambda: Node.echo(Bare(), 1),
    lambda: Node.bound(None, 1),
    lambda: Node.__init__(Bare()),
    lambda: Node.__repr__(5),
    lambda: Node.__len__([]),
    lambda: Node.child.__get__(5),
    lambda: Node.child.__set__(5, 5),
    lambda: Node.__call__(5),
    lambda: Leaf.extra.__get__(Node()),
    lambda: Steps.send(Node(), 1),
    lambda: Steps.__next__(Node()),
    lambda: Ordered.__lt__(Node(), 1),
    lambda: Watched.__setattr__(Node(), 'a', 1),
    lambda: Reviver.__del__(Node()),
):
    with raises(TypeError):
        call()
",
    );
}

#[test]
fn super_and_overridden_methods() {
    python(
        "
class Sub(Leaf):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made = True
    def echo(self, value):
        return super().echo(value), 'over'
    @property
    def kind(self):
        return 'sub' + super().kind
    def __repr__(self):
        return 'Sub' + super().__repr__()
sub = Sub(1, extra=2)
assert (sub.child, sub.extra, sub.made, sub.echo(3), sub.kind) == (1, 2, True, (3, 'over'), 'subnode')
assert repr(sub) == 'Sub<Node true>'
",
    );
}

#[test]
fn the_dict_can_be_replaced_but_not_deleted() {
    python(
        "
node = Node()
node.__dict__ = {'a': 1}
assert node.a == 1 and vars(node) == {'a': 1}
with raises(TypeError):
    node.__dict__ = 5
node.b = 2
del node.a
with raises(AttributeError):
    node.a
",
    );
}

#[test]
fn copying_and_pickling_go_through_new_or_are_refused() {
    python(
        "
import copy, pickle
for made in Node(1), Bare(1), sealed(), Steps(1):
    for copied in copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made)):
        try:
            repr(copied(made))
        except (TypeError, pickle.PicklingError):
            pass
",
    );
}

#[test]
fn names_docs_and_signatures() {
    python(
        "
import inspect
assert Node.__module__ == 'objects' and Node.__qualname__ == 'Node' and repr(Node) == \"<class 'objects.Node'>\"
assert Node.__doc__ == 'A node.' and str(inspect.signature(Node)) == '(child=None)'
assert str(inspect.signature(Node.bound)) == '(self, /, a, b=None, *, c=None)'
assert Leaf.__mro__ == (Leaf, Node, object)
assert isinstance(Node[int], types.GenericAlias)
",
    );
}

#[test]
fn what_is_set_can_be_watched() {
    python(
        "
watched = Watched()
watched.special = 1
watched.usual = 2
assert watched.special == 1 and watched.__dict__ == {'usual': 2}
del watched.special
assert watched.special is None
with raises(AttributeError, 'forbidden'):
    watched.forbidden = 1
with raises(AttributeError):
    del watched.missing
class Sub(Watched): pass
sub = Sub(); sub.special = sub; sub.more = sub
",
    );
}

#[test]
fn arguments_without_an_init_are_refused() {
    python(
        "
for call in lambda: Watched(1), lambda: Watched(a=1), lambda: Holder(1), lambda: Watched.__new__(Watched, 1):
    with raises(TypeError, 'takes no arguments'):
        call()
class Sub(Watched):
    def __init__(self, a): self.a = a
assert Sub(1).a == 1
",
    );
}

#[test]
fn order_and_hash() {
    python(
        "
one, two = Ordered(1), Ordered(2)
assert one < two and one <= one and two > one and two >= two and one != two and one == Ordered(1)
assert hash(one) == 1 and hash(Ordered(-1)) == -2 and len({one, two, Ordered(1)}) == 2
assert one != 1 and not one == 1
with raises(TypeError):
    one < 1
with raises(TypeError):
    one.__lt__()
assert one.__lt__(1) is NotImplemented
assert sorted([two, one]) == [one, two]
",
    );
}
