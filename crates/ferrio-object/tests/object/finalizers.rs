//! Finalizers: once per life, in the middle of errors, and bringing the object back.

use crate::python;

#[test]
fn it_runs_once_and_can_resurrect() {
    python(
        "
saved = []
reviver = Reviver(saved.append)
ref = weakref.ref(reviver)
del reviver
assert len(saved) == 1 and ref() is saved[0]
reviver = saved.pop()
assert reviver.last_words == saved.append
reviver.last_words = None
del reviver
assert saved == [] and ref() is None

# As PEP 442 has it: not a second time.
reviver = Reviver(saved.append)
del reviver
saved.clear()
assert saved == []
",
    );
}

#[test]
fn in_a_cycle_too() {
    python(
        "
said, kept = [], []
reviver = Reviver(); reviver.last_words = functools.partial(lambda this, me: said.append(1), reviver)
del reviver; gc.collect()
assert said == [1]

reviver = Reviver()
reviver.last_words = functools.partial(lambda this, me: kept.append(me), reviver)
ref = weakref.ref(reviver)
del reviver; gc.collect()
assert len(kept) == 1
assert type(kept[0].last_words) is functools.partial
kept.clear(); gc.collect()
",
    );
}

#[test]
fn in_subclasses() {
    python(
        "
said = []
class Sub(Reviver): pass
class Del(Reviver):
    def __del__(self):
        said.append('del')
        super().__del__()
class Slotted(Reviver):
    __slots__ = ()
for kind, expected in (Sub, ['words']), (Del, ['del', 'words']), (Slotted, ['words']):
    kind(lambda this: said.append('words'))
    assert said == expected, (kind, said)
    said.clear()
    made = kind(lambda this: said.append('words')); made.last_words = functools.partial(lambda *args: said.append('words'), made)
    del made; gc.collect()
    assert said == expected, (kind, said)
    said.clear()
",
    );
}

#[test]
fn the_error_on_its_way_is_kept() {
    python(
        "
def failing():
    raise KeyError('on its way')
with unraisable() as seen:
    with raises(KeyError, 'on its way'):
        # They die on the way out of this list, which is never made.
        [Reviver(lambda this: None), Reviver(lambda this: 1 / 0), failing()]
assert seen == [(ZeroDivisionError, 'division by zero')], seen
",
    );
}

#[test]
fn one_that_has_nothing_to_say_is_not_called() {
    python(
        "
said = []
quiet = Reviver(said.append); quiet.quiet = True
del quiet
assert said == []
# A subclass is asked in any case: Python may have put a finalizer there.
class Sub(Reviver): pass
sub = Sub(lambda this: said.append('sub')); sub.quiet = True
del sub
assert said == ['sub']
",
    );
}

#[test]
fn weak_references_see_the_end() {
    python(
        "
ended = []
node = Node()
ref = weakref.ref(node, lambda ref: ended.append(ref()))
proxy = weakref.proxy(node)
table = weakref.WeakValueDictionary(key=node)
del node
assert ended == [None] and ref() is None and not table
with raises(ReferenceError):
    proxy.kind
",
    );
}
