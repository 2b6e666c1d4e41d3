//! What the collector is shown of an object follows from the types of its fields.

use crate::python;

#[test]
fn a_cycle_through_a_field_of_any_type_is_collected() {
    python(
        "
fields = 'cell boxed option taken vec deque map array pair inner choice named foreign stays'.split()
for field in fields:
    class Witness: pass
    keeper, witness = Keeper(), Witness()
    keeper.keep(field, witness)
    witness.keeper = keeper
    dead = weakref.ref(witness)
    assert witness in gc.get_referents(keeper), field
    del keeper, witness; gc.collect()
    assert dead() is None, field
",
    );
}

#[test]
fn shown_once_each() {
    python(
        "
keeper, mark = Keeper(), object()
for field in 'cell', 'vec', 'map', 'choice', 'foreign':
    keeper.keep(field, mark)
assert sum(held is mark for held in gc.get_referents(keeper)) == 5
# A collection that was shown one twice would take the mark for garbage: the keeper is alive and refers to it.
gc.collect()
assert sum(held is mark for held in gc.get_referents(keeper)) == 5
",
    );
}

#[test]
fn cleared_but_for_what_is_kept() {
    python(
        "
keeper = Keeper()
marks = {}
for field in 'cell option taken vec deque map array pair inner choice foreign stays'.split():
    class Mark: pass
    mark = Mark()
    marks[field] = weakref.ref(mark)
    keeper.keep(field, mark)
    del mark
keeper.clear()
assert [field for field, mark in marks.items() if mark() is not None] == ['stays']
",
    );
}

#[test]
fn what_is_cleared_is_dropped_outside_of_any_borrow() {
    python(
        "
class Returns:
    def __init__(self, keeper, field): self.keeper, self.field = keeper, field
    def __del__(self): self.keeper.keep(self.field, 1)
keeper = Keeper()
for field in 'cell option taken vec deque map array pair inner choice foreign'.split():
    keeper.keep(field, Returns(keeper, field))
with unraisable() as seen:
    keeper.clear()
assert seen == [], seen
keeper.clear()
",
    );
}
