//! Allocations that fail, at every place in turn: `MemoryError`, and nothing is left behind.

use crate::{in_process_of_its_own, python};

/// In a process of its own, because the interpreter's own recovery is part of what runs. `Node[int]` is not tried:
/// 3.13 frees a half-made `types.GenericAlias` through a weak-reference list that was never set. Nor is a function made
/// within a call: where that fails, 3.13 gives up its code object twice.
#[test]
fn every_allocation_fails_once() {
    in_process_of_its_own("memory::every_allocation_fails_once", || {
        python(SCRIPT);
    });
}

const SCRIPT: &str = "
try:
    import _testcapi
except ImportError:
    _testcapi = None
    print('This Python comes without _testcapi: no allocation was made to fail.')

argument, word = object(), 'a word'.upper()
node, leaf, steps = Node(), Leaf(), None
class Sub(Leaf): pass
number = 10 ** 6

def pack(*args):
    return args

def stop(value):
    try:
        Steps(0, value).send(None)
    except StopIteration as caught:
        assert caught.value is value

conventions = [
    lambda: Node(argument), lambda: Node(child=argument), lambda: Sub(argument, extra=word), lambda: Bare(argument),
    lambda: (Leaf(argument, extra=word), Leaf(argument), Leaf()), lambda: Holder(), lambda: sealed(),
    lambda: node.bound(argument, b=word, c=argument), lambda: node.rest(argument, word, k=word),
    lambda: node.all(argument, word, **{word: argument}), lambda: node.kind, lambda: repr(node), lambda: len(node),
    lambda: node.echo(argument), lambda: Node.count(*range(300)), lambda: node(pack, *range(9)),
    lambda: Node.__init__(node, child=argument), lambda: Node.__new__(Node),
    lambda: stop(word), lambda: stop(argument), lambda: stop(None), lambda: list(Steps(3, word)),
    lambda: await_iter(Steps(1)), lambda: (Member(argument), members()), lambda: Ordered(number) < Ordered(number),
    lambda: setattr(Watched(), 'other', argument), lambda: weakref.ref(Leaf(argument)), lambda: Reviver(id),
]
kinds = [Node, Leaf, Bare, Holder, Sealed, Steps, Member, Ordered, Watched, Reviver, Sub, argument, word]

if _testcapi:
    touched = 0
    fails, remove = _testcapi.set_nomemory, _testcapi.remove_mem_hooks
    for convention in conventions:
        convention()
        gc.collect(); clear_recycled()
        before, counts = alive(), [sys.getrefcount(kind) for kind in kinds]
        failed = 0
        for start in range(120):
            outcome = None
            fails(start, start + 1)
            try:
                convention()
            except MemoryError:
                outcome = MemoryError
            except BaseException as error:
                outcome = error
            finally:
                remove()
            failed += outcome is MemoryError
            assert outcome is None or outcome is MemoryError, (start, repr(outcome))
            outcome = None
        touched += failed > 0
        gc.collect(); clear_recycled()
        assert alive() == before, (alive(), before)
        after = [sys.getrefcount(kind) for kind in kinds]
        assert after == counts, [b - a for a, b in zip(counts, after)]
    # Some allocate nothing: len(node), say, and whatever a freelist serves.
    assert touched > 20, touched
";
