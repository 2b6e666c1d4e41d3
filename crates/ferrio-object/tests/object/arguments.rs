//! Binding arguments: as a Python function of the same signature binds them.

use crate::python;

/// Each call is made on a Python function too; both have to accept it with the same result, or refuse it with the same
/// type of exception.
#[test]
fn as_python_binds_them() {
    python(
        "
node = Node()
def bound(a, b=None, *, c=None): return a, b, c
def keywords(a, *, b): return a, b
def rest(a, *args, k=None): return a, args, k
def all(a, *args, **kwargs): return a, args, kwargs or None
def same(): return node
def echo(value, /): return value

class Str(str): pass
positional = [(), (1,), (1, 2), (1, 2, 3), tuple(range(12))]
keyword = [
    {}, {'a': 1}, {'b': 1}, {'c': 1}, {'k': 1}, {'a': 1, 'b': 2}, {'b': 1, 'c': 2}, {'a': 1, 'b': 2, 'c': 3},
    {'x': 1}, {'a': 1, 'x': 2}, {'self': 1}, {'\\ud800': 1}, {'\u{e9}': 1}, {Str('a'): 1}, {'': 0},
    {str(i): i for i in range(12)},
]
tried = 0
for model in bound, keywords, rest, all, same, echo:
    name = model.__name__
    method = getattr(node, name)
    for args, kwargs in itertools.product(positional, keyword):
        outcomes = []
        for f in model, method, functools.partial(method), lambda *a, **k: method.__call__(*a, **k):
            try:
                outcomes.append(f(*args, **kwargs))
            except TypeError as error:
                outcomes.append(TypeError)
        assert outcomes.count(outcomes[0]) == len(outcomes), (name, args, kwargs, outcomes)
        tried += 1
assert tried == 6 * len(positional) * len(keyword), tried
",
    );
}

#[test]
fn messages_say_what_is_wrong() {
    python(
        "
node = Node()
for call, text in (
    (lambda: node.bound(), \"bound() missing 1 required argument: 'a'\"),
    (lambda: node.bound(1, 2, 3), 'bound() takes 2 positional arguments but 3 were given'),
    (lambda: node.bound(1, a=2), \"bound() got multiple values for argument 'a'\"),
    (lambda: node.bound(1, d=2), \"bound() got an unexpected keyword argument 'd'\"),
    (lambda: node.keywords(), \"keywords() missing 2 required arguments: 'a' and 'b'\"),
    (lambda: Node(1, 2), 'Node() takes 1 positional argument but 2 were given'),
    (lambda: node.all(), \"all() missing 1 required argument: 'a'\"),
):
    with raises(TypeError, text):
        call()
",
    );
}

#[test]
fn keywords_have_to_be_strings() {
    python(
        "
node = Node()
for f in node.bound, node.all, Node, node:
    with raises(TypeError):
        f(**{1: 2})
",
    );
}

/// `Class(...)` goes by vectorcall; `type.__call__`, a subclass and `__init__` by tuple and dict.
#[test]
fn every_way_to_construct_binds_alike() {
    python(
        "
class Sub(Leaf): pass
def init(*args, **kwargs):
    made = Leaf.__new__(Leaf)
    assert made.__init__(*args, **kwargs) is None
    return made
ways = [Leaf, Sub, init, functools.partial(Leaf), functools.partial(type.__call__, Leaf), lambda *a, **k: Leaf(*a, **k)]
for args in (), (1,), (1, 2), (1, 2, 3), tuple(range(20)):
    for kwargs in {}, {'child': 1}, {'extra': 2}, {'child': 1, 'extra': 2}, {'x': 1}, {'child': 1, 'x': 2}:
        outcomes = []
        for way in ways:
            try:
                made = way(*args, **kwargs)
                outcomes.append((made.child, made.extra))
            except TypeError as error:
                outcomes.append(str(error))
        assert len(set(outcomes)) == 1, (args, kwargs, outcomes)
",
    );
}

#[test]
fn a_mapping_that_is_no_dict() {
    python(
        "
node = Node()
assert node.bound(**types.MappingProxyType({'a': 1})) == (1, None, None)
assert node(lambda *args: args, 1, 2) == (1, 2)
assert Node.count() == 0 and Node.count(1, 2) == 2 and node.count(1) == 1
",
    );
}
