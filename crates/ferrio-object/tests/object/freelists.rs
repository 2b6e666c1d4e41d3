//! Memory that is used again is a new object in every respect.

use crate::python;

#[test]
fn the_memory_is_used_again() {
    python(
        "
leaf = Leaf('child', 'extra')
place = id(leaf)
del leaf
leaf = Leaf()
assert id(leaf) == place
assert leaf.child is None and leaf.extra is None and leaf.__dict__ == {}
",
    );
}

#[test]
fn the_finalizer_runs_again() {
    python(
        "
said = []
for i in range(5):
    reviver = Reviver(lambda this: said.append(id(this)))
    del reviver
assert len(said) == 5 and len(set(said)) == 1, said
assert not gc.is_finalized(Reviver())

# One that was brought back and died for good leaves no mark either.
kept = []
reviver = Reviver(kept.append)
place = id(reviver)
del reviver
assert gc.is_finalized(kept[0])
kept.clear()
reviver = Reviver(lambda this: said.append('again'))
assert id(reviver) == place and not gc.is_finalized(reviver)
del reviver
assert said[-1] == 'again'
",
    );
}

#[test]
fn weak_references_to_the_old_are_dead() {
    python(
        "
reviver = Reviver()
old = weakref.ref(reviver)
place = id(reviver)
del reviver
reviver = Reviver()
assert id(reviver) == place and old() is None
assert weakref.ref(reviver) is not old and weakref.getweakrefcount(reviver) == 0
",
    );
}

#[test]
fn it_is_tracked_again() {
    python(
        "
for _ in range(3):
    leaf = Leaf(); leaf.child = leaf
    assert gc.is_tracked(leaf)
    dead = weakref.ref(leaf)
    del leaf; gc.collect()
    assert dead() is None
",
    );
}

#[test]
fn subclasses_and_derived_classes_keep_out() {
    python(
        "
class Sub(Leaf): pass
for _ in range(100):
    Sub(), Leaf(), Node(), Bare(), Derived()
assert type(Leaf()) is Leaf and type(Sub()) is Sub and type(Derived()) is Derived
",
    );
}

#[test]
fn more_than_it_keeps() {
    python(
        "
for kind in Leaf, Bare, Reviver:
    many = [kind() for _ in range(5000)]
    assert len(set(map(id, many))) == 5000
    del many
    many = [kind() for _ in range(5000)]
    assert len(set(map(id, many))) == 5000
    del many
",
    );
}
