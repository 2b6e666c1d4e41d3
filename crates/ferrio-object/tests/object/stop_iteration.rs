//! The recycled `StopIteration`: used again only while nobody can tell.

use crate::python;

const NEXT: &str = "
def stop(value):
    try:
        next(Steps(0, value))
    except StopIteration as caught:
        return caught
def drain(value):
    'By tp_iternext, and seen by nobody, on every version.'
    assert list(Steps(0, value)) == []
def finish(value):
    'As `await` does: by tp_iternext until 3.14, by am_send since.'
    async def wait(): return await Steps(0, value)
    try: wait().send(None)
    except StopIteration as outer: return outer.value
";

#[test]
fn one_that_somebody_holds_is_left_alone() {
    python(&format!(
        "{NEXT}
first = stop(1)
others = [stop(n) for n in range(2, 10)]
assert first.value == 1 and first.args == (1,)
assert [other.value for other in others] == list(range(2, 10))
assert len({{id(one) for one in [first, *others]}}) == 9
"
    ));
}

#[test]
fn its_arguments_that_somebody_holds_are_left_alone() {
    python(&format!(
        "{NEXT}
args = stop('first').args
drain('second')
stop('third')
assert args == ('first',)
"
    ));
}

/// It has been caught by Python code, so it has a traceback, a context, or whatever was put on it.
#[test]
fn one_with_a_history_is_not_used_again() {
    python(&format!(
        "{NEXT}
def leave(change):
    caught = stop(1)
    caught.__traceback__ = None
    change(caught)
    del caught
    try:
        next(Steps(0, 2))
    except StopIteration as fresh:
        assert fresh.value == 2 and fresh.args == (2,), (fresh.value, fresh.args)
        assert fresh.__context__ is None and fresh.__cause__ is None and not fresh.__suppress_context__
        assert not hasattr(fresh, 'mark') and not getattr(fresh, '__notes__', None)
        depth, tb = 0, fresh.__traceback__
        while tb:
            depth, tb = depth + 1, tb.tb_next
        assert depth == 1
    assert finish(3) == 3

def set(name, value):
    return lambda caught: setattr(caught, name, value)
for change in (
    lambda caught: None, set('mark', 1), set('__context__', KeyError()), set('__cause__', KeyError()),
    set('__suppress_context__', True), set('args', ()), set('args', (1, 2)), set('value', []), set('args', ([],)),
    lambda caught: caught.add_note('note'),
):
    leave(change)
"
    ));
}

#[test]
fn the_value_is_let_go() {
    python(&format!(
        "{NEXT}
for make in lambda: 'text'.join(['a', 'b']), lambda: 10 ** 50, lambda: b'bytes'[1:], lambda: 1.5 + len(sys.argv):
    value = make()
    before = sys.getrefcount(value)
    for use in finish, drain:
        use(value)
        clear_recycled()
        assert sys.getrefcount(value) == before, make
    clear_recycled()
"
    ));
}

/// Caught by Python code, it has a traceback; the frames on that are not kept longer than by an ordinary exception.
#[test]
fn the_frames_are_let_go() {
    python(&format!(
        "{NEXT}
def catch(resume):
    node = Node()
    ref = weakref.ref(node)
    try:
        resume(Steps(0, 1))
    except StopIteration as caught:
        assert caught.value == 1
    return ref
for resume in lambda steps: steps.send(None), lambda steps: steps.send(2):
    assert catch(resume)() is None
ref = catch(next)
clear_recycled()
assert ref() is None
ref = catch(next)
drain(2)
assert ref() is None
"
    ));
}

/// Of a value that can tell, nothing is kept even for a moment.
#[test]
fn only_atomic_values_are_kept() {
    python(&format!(
        "{NEXT}
class Text(str): pass
class Seen: pass
for make in Seen, Text, Node:
    value = make()
    ref = weakref.ref(value)
    assert finish(value) is value
    drain(value)
    del value
    assert ref() is None, make
before = alive()
value = Node()
finish((value, 1)); finish([value])
del value
assert alive() == before
"
    ));
}

/// Code that comes back out of the destructor of a value that was put there gets an exception of its own.
#[test]
fn a_destructor_that_comes_back() {
    python(&format!(
        "{NEXT}
results = []
class Back:
    def __del__(self):
        drain('inner')
        results.append('inner')
caught = stop('first')
caught.__traceback__ = None
caught.value = Back()
del caught
try:
    next(Steps(0, 'outer'))
except StopIteration as outer:
    assert outer.value == 'outer' and outer.args == ('outer',)
assert results == ['inner'], results
clear_recycled()
"
    ));
}
