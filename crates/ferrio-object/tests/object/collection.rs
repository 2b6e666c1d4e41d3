//! Garbage collection: whatever forms a cycle with instances is found, with and without a collector of their own.

use crate::python;

#[test]
fn a_cycle_through_contents() {
    python(
        "
node = Node(); node.child = Node(node)
dead = weakref.ref(node), weakref.ref(node.child)
del node
assert all(ref() for ref in dead)
gc.collect()
assert not any(ref() for ref in dead)
",
    );
}

#[test]
fn a_cycle_through_the_dict() {
    python(
        "
node = Node(); node.myself = node
assert node.__dict__ == {'myself': node}
dead = weakref.ref(node)
del node; gc.collect()
assert dead() is None
",
    );
}

#[test]
fn a_cycle_through_base_and_derived_contents() {
    python(
        "
for field in 'child', 'extra', 'other':
    leaf = Leaf(); setattr(leaf, field, leaf)
    dead = weakref.ref(leaf)
    del leaf; gc.collect()
    assert dead() is None, field
",
    );
}

#[test]
fn a_cycle_through_the_type() {
    python(
        "
class Sub(Node): pass
Sub.instance = Sub()
dead = weakref.ref(Sub), weakref.ref(Sub.instance)
del Sub; gc.collect()
assert not any(ref() for ref in dead)
",
    );
}

#[test]
fn what_is_referred_to_from_outside_stays() {
    python(
        "
node = Node(); node.child = node
ref = weakref.ref(node)
gc.collect()
assert ref() is node and node.child is node
node.child = None
del node
assert ref() is None
",
    );
}

#[test]
fn a_holder_shows_what_uncollected_objects_refer_to() {
    python(
        "
for kind in Bare, Derived:
    holder, node = Holder(), Node()
    node.holder = holder
    assert holder.hold(kind(node))
    dead = weakref.ref(node)
    del holder, node; gc.collect()
    assert dead() is None, kind
",
    );
}

#[test]
fn a_holder_shows_nothing_of_what_another_holds_too() {
    python(
        "
holder, node = Holder(), Node()
node.holder = holder
bare = Bare(node)
holder.hold(bare)
dead = weakref.ref(node)
del holder, node; gc.collect()
assert dead() is bare.target
bare.target = None
gc.collect()
assert dead() is None
",
    );
}

#[test]
fn a_python_subclass_of_an_uncollected_class_is_collected() {
    python(
        "
class Sub(Bare): pass
sub = Sub(); sub.target = sub
assert gc.is_tracked(sub)
del sub; gc.collect()

for kind in Sub,:
    holder, node = Holder(), Node()
    node.holder = holder
    holder.hold(kind(node))
    dead = weakref.ref(node)
    del holder, node; gc.collect()
    assert dead() is None
",
    );
}

#[test]
fn tracked_from_birth_and_only_with_collection() {
    python(
        "
assert gc.is_tracked(Node()) and gc.is_tracked(Leaf()) and gc.is_tracked(sealed())
assert not gc.is_tracked(Bare()) and not gc.is_tracked(Ordered(1))
node = Node()
assert gc.get_referents(Node(node)).count(node) == 1
assert Node in gc.get_referents(node)
",
    );
}

/// Of a class that is tracked on request.
#[test]
fn untracked_until_asked_for() {
    python(
        "
assert not gc.is_tracked(late(None))
made = late(None); made.track(); made.track()
assert gc.is_tracked(made)
# Its memory goes to the next one.
del made
assert not gc.is_tracked(late(None))
class Sub(Late): pass
assert gc.is_tracked(Late()) and gc.is_tracked(Sub())
",
    );
}

#[test]
fn an_untracked_object_is_seen_through_by_its_only_holder() {
    python(
        "
for track in False, True:
    holder, node = Holder(), Node()
    node.holder = holder
    made = late(node)
    if track:
        made.track()
    assert holder.hold(made)
    dead = weakref.ref(node)
    del holder, node, made; gc.collect()
    assert dead() is None, track
",
    );
}

#[test]
fn once_tracked_an_object_that_several_hold_is_collected() {
    python(
        "
holder, node = Holder(), Node()
node.holder = holder
node.made = late(node)
holder.hold(node.made)
dead = weakref.ref(node)
del holder, node; gc.collect()
assert dead() is not None
dead().made.track()
gc.collect()
assert dead() is None
",
    );
}

/// Garbage in small cycles: the collector runs on its own, in the middle of constructors too.
#[test]
fn collection_while_instances_are_made() {
    python(
        "
old = gc.get_threshold()
gc.set_threshold(1, 1, 1)
try:
    for i in range(2000):
        leaf = Leaf(Node(), extra=Holder())
        leaf.child.child = leaf
        leaf.extra.hold(Bare(leaf.child))
finally:
    gc.set_threshold(*old)
del leaf
gc.collect()
assert alive() == 0
",
    );
}

#[test]
fn a_long_chain_dies_without_deep_recursion() {
    let said = crate::in_process_of_its_own("collection::a_long_chain_dies_without_deep_recursion", || {
        python(
            "
def tracked(before):
    made = late(before)
    made.track()
    return made

for kind in Node, Leaf, Bare, lambda before: Node(Bare(before)), late, tracked:
    chain = None
    for i in range(300_000):
        chain = kind(chain)
    del chain
assert alive() == 0, alive()

# Finalizers run all the same, and a resurrected link keeps the rest of its chain.
kept = []
chain = None
for i in range(10_000):
    chain = Node(chain)
    if i == 5000:
        chain = Reviver(functools.partial((lambda rest, this: kept.append(this)), chain))
del chain
assert len(kept) == 1 and alive() == 5002, (kept, alive())
kept.clear(); gc.collect()
assert alive() == 0, alive()
",
        );
    });
    drop(said);
}
