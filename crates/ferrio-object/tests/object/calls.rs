//! The balance of references over every calling convention, and what comes out of the calls.

use crate::python;

/// Calls each of these many times, by all their ways in, and looks whether arguments, results, names and types have
/// as many references as before. In a debug build of Python the total has to stand still too.
#[test]
fn references_balance() {
    python(
        "
argument, word, error = object(), 'a word of its own'.upper(), ValueError('mine')
node, leaf, bare, ordered, watched = Node(argument), Leaf(), Bare(), Ordered(7), Watched()
class Sub(Leaf): pass
class Slotted(Leaf): __slots__ = 's'

def failing(*args):
    raise error

def quietly(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except (TypeError, ValueError, AttributeError, StopIteration) as caught:
        caught.__traceback__ = caught.__context__ = None

def drive(steps, value):
    try:
        while True:
            steps.send(value)
    except StopIteration as stop:
        return stop.value

def attribute():
    node.attribute = argument
    del node.attribute
    watched.special = argument
    watched.other = argument
    del watched.special, watched.other

def child(kind):
    made = kind(argument)
    made.child = word
    made.child = None
    made.child = argument
    del made.child
    made.child = argument
    made.anything = argument if kind is not Slotted else None

conventions = {
    'noargs': lambda: node.same(),
    'noargs refused': lambda: quietly(node.same, argument),
    'onearg': lambda: node.echo(argument),
    'onearg refused': lambda: quietly(node.echo),
    'fastcall': lambda: node.bound(argument, word, c=argument),
    'fastcall refused': lambda: quietly(node.bound, argument, a=word),
    'fastcall unknown': lambda: quietly(node.bound, argument, **{word: argument}),
    'rest': lambda: node.rest(argument, word, argument, k=argument),
    'all': lambda: node.all(argument, word, **{word: argument}),
    'static': lambda: Node.count(argument, word),
    'unbound': lambda: Node.bound(node, argument),
    'getter': lambda: (node.kind, node.child),
    'setter': attribute,
    'contents': lambda: (child(Node), child(Leaf), child(Sub)),
    'slots': lambda: (repr(node), len(node), bool(node), hash(ordered), ordered < ordered, ordered == argument),
    'call': lambda: node(failing.__class__.__call__, (lambda *args: args), argument, word),
    'call, keywords refused': lambda: quietly(node, argument, **{word: argument}),
    'call that fails': lambda: quietly(node, failing, argument),
    'construct': lambda: (Leaf(argument, extra=word), Leaf(), Bare(argument), Node(child=argument)),
    'construct, refused': lambda: quietly(Leaf, argument, word, word),
    'construct a subclass': lambda: (Sub(argument, extra=word), Slotted(argument)),
    'init': lambda: leaf.__init__(argument, extra=word),
    'new': lambda: (Leaf.__new__(Leaf), Sub.__new__(Sub), quietly(object.__new__, Leaf)),
    'sealed': lambda: sealed(),
    'generic': lambda: Node[argument],
    'iterator': lambda: list(Steps(3, argument)),
    'next': lambda: quietly(next, Steps(0, argument)),
    'send': lambda: (drive(Steps(2, argument), word), drive(Steps(2, 12345), word), drive(Steps(1), word)),
    'throw': lambda: (quietly(Steps(1).throw, error), quietly(Steps(1).throw, ValueError), quietly(Steps(1).throw, word)),
    'throw refused': lambda: quietly(Steps(1).throw),
    'await': lambda: (await_iter(Steps(1, argument)), quietly(await_iter, argument)),
    'finalizer': lambda: Reviver(lambda this: argument),
    'roster': lambda: (Member(argument), members()),
    'weak references': lambda: (weakref.ref(leaf), weakref.ref(Leaf()), weakref.WeakSet([Node(argument)])),
    'class refused': lambda: quietly(setattr, leaf, '__class__', Node),
}

watchmen = [argument, word, error, node, leaf, bare, ordered, watched, Node, Leaf, Bare, Holder, Steps, Ordered,
            Watched, Sealed, Reviver, Member, Sub, Slotted, failing, TypeError, ValueError]
counts = lambda: [sys.getrefcount(one) for one in watchmen]
total = getattr(sys, 'gettotalrefcount', lambda: 0)
for name, call in conventions.items():
    for _ in range(50):
        call()
    clear_recycled()
    leaf.__init__(); gc.collect()
    before, total_before = counts(), total()
    for _ in range(2000):
        call()
    clear_recycled()
    leaf.__init__(); gc.collect()
    after, total_after = counts(), total()
    changed = {repr(one): b - a for one, a, b in zip(watchmen, before, after) if a != b}
    assert not changed, (name, changed)
    # The lists and numbers of this very count are a few.
    assert abs(total_after - total_before) < 200, (name, total_after - total_before)
",
    );
}

/// Freed memory keeps no reference to the type, and takes one when it is used again.
#[test]
fn types_are_counted_by_their_instances() {
    python(
        "
for kind in Node, Leaf, Bare, Reviver:
    empty = sys.getrefcount(kind)
    many = [kind() for _ in range(3000)]
    assert sys.getrefcount(kind) == empty + 3000
    del many
    assert sys.getrefcount(kind) == empty
    many = [kind() for _ in range(3000)]
    assert sys.getrefcount(kind) == empty + 3000
    del many
    assert sys.getrefcount(kind) == empty
",
    );
}

#[test]
fn results_of_every_kind() {
    python(
        "
node = Node()
assert node.same() is node and node.echo(None) is None
assert node.kind == 'node' and len(node) == 0 and not node
assert Node.count(1, 2, 3) == 3
",
    );
}

/// What is replaced is dropped last, so a destructor that comes back finds the object whole.
#[test]
fn a_destructor_that_comes_back() {
    python(
        "
seen = []
class Last:
    def __del__(self):
        seen.append(node.child)
        node.child = 'set by the destructor'
node = Node(Last())
node.child = 'new'
assert seen == ['new'] and node.child == 'set by the destructor'
node.child = Last()
del node.child
assert seen == ['new', None]
node.child = Last()
node.__init__('again')
assert seen == ['new', None, 'again']
",
    );
}

/// An argument or `self` may lose its other references while the call runs.
#[test]
fn arguments_live_through_the_call() {
    python(
        "
class Arg: pass
box = {'args': [Arg()]}
def f(*args):
    box.clear()
    gc.collect()
    return args
node = Node()
box['node'] = node
[arg] = box['args']
ref = weakref.ref(arg)
del arg
kwargs = {'f': f}
assert node(f, *box['args'])[0] is ref()
assert ref() is None
del node
assert Node()(f) == ()
",
    );
}
