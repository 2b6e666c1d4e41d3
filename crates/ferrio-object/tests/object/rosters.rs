//! The roster: objects that are alive are on it, dying ones are not, and asking is safe at any time.

use crate::python;

#[test]
fn the_living_are_on_it() {
    python(
        "
assert members() == []
a, b, c = Member(), Member(), Member()
assert set(members()) == {a, b, c}
del b
assert set(members()) == {a, c}
d = Member()
assert set(members()) == {a, c, d}
a.leave(); a.leave()
assert set(members()) == {c, d}
a.__init__(); a.__init__()
assert sorted(map(id, members())) == sorted(map(id, [a, c, d]))
assert Member.__new__(Member) not in members()
",
    );
}

#[test]
fn it_holds_them_weakly() {
    python(
        "
member = Member()
before = sys.getrefcount(member)
found = members()
assert sys.getrefcount(member) == before + 1
del found
assert sys.getrefcount(member) == before
member = Member(); member.__init__(member)
assert len(members()) == 1
del member; gc.collect()
assert members() == []
",
    );
}

/// What a dying member holds asks for the roster, on which the member still stands.
#[test]
fn the_dying_are_not_handed_out() {
    python(
        "
seen = []
class Asks:
    def __del__(self): seen.append(members())
class Sub(Member): pass
for kind in Member, Sub:
    kind(Asks())
    assert seen.pop() == []
    # Nor one in a cycle that the collector is about to take apart.
    member = kind(); member.__init__([member, Asks()])
    del member; gc.collect()
    assert seen.pop() == []
    gc.collect()
    assert members() == []
",
    );
}

#[test]
fn a_finalizer_may_bring_one_back() {
    python(
        "
kept = []
class Sub(Member):
    def __del__(self): kept.extend(members())
Sub()
assert len(kept) == 1 and members() == kept
kept.clear()
assert members() == []
",
    );
}

#[test]
fn places_are_used_again() {
    python(
        "
for _ in range(20):
    many = [Member() for _ in range(500)]
    del many[::2]
    assert set(members()) == set(many)
    del many
assert members() == []
",
    );
}
