//! Which methods have been replaced, on an instance, a class, a base or a mixin, before and after instances exist.

use crate::python;

#[test]
fn on_the_instance() {
    python(
        "
for kind in Patched, Repatched, type('Sub', (Patched,), {}), type('Sub', (Repatched,), {}):
    made, other = kind(), kind()
    assert made.replaced == ''
    made.unrelated = 1
    assert made.replaced == ''
    made.one = None
    assert made.replaced == 'one' and other.replaced == ''
    made.two = None
    assert made.replaced == 'one two'
    del made.one
    assert made.replaced == 'two'
    # One goes, another comes: as many entries as before.
    del made.two; made.one = 1
    assert made.replaced == 'one'
    del made.one
    assert made.replaced == ''
",
    );
}

#[test]
fn in_the_dict_of_the_instance() {
    python(
        "
made = Patched()
assert made.replaced == ''
made.__dict__['one'] = None
assert made.replaced == 'one'
vars(made).update(two=None)
assert made.replaced == 'one two'
vars(made).clear()
assert made.replaced == ''
made.__dict__ = {'two': None}
assert made.replaced == 'two'
made.__dict__ = {}
assert made.replaced == ''
",
    );
}

#[test]
fn on_the_class_itself() {
    python(
        "
for kind in Patched, Slim, Plain:
    class Sub(kind): __slots__ = ()
    made, derived = kind(), Sub()
    assert made.replaced == derived.replaced == ''
    for name in 'one', 'two', '__aenter__', 'property':
        original = kind.__dict__[name]
        setattr(kind, name, lambda self: None)
        assert made.replaced == derived.replaced == name, (kind, name, made.replaced)
        assert kind().replaced == Sub().replaced == name
        setattr(kind, name, original)
        assert made.replaced == derived.replaced == '', (kind, name, made.replaced)
    original = kind.one
    kind.one = kind.two
    assert made.replaced == 'one'
    del kind.one
    assert made.replaced == 'one'
    kind.one = original
    assert made.replaced == ''
",
    );
}

#[test]
fn on_a_subclass() {
    python(
        "
for kind in Patched, Repatched, Slim, Plain:
    class Sub(kind):
        __slots__ = ()
        def one(self): return super().one()
    class Late(kind): __slots__ = ()
    class Below(Late): __slots__ = ()
    early, late, below = Sub(), Late(), Below()
    assert (early.replaced, late.replaced, below.replaced) == ('one', '', '')
    Late.two = lambda self: None
    assert (early.replaced, late.replaced, below.replaced) == ('one', 'two', 'two')
    del Late.two
    Below.one = lambda self: None
    assert (early.replaced, late.replaced, below.replaced) == ('one', '', 'one')
    del Sub.one
    assert early.replaced == '' and kind().replaced == ''
",
    );
}

#[test]
fn by_a_mixin_and_by_other_bases() {
    python(
        "
class Mixin: pass
class Before(Mixin, Patched): pass
class After(Patched, Mixin): pass
before, after = Before(), After()
Mixin.one = None
assert before.replaced == 'one' and after.replaced == ''
del Mixin.one
assert before.replaced == ''
class Other: two = None
Before.__bases__ = (Other, Patched)
assert before.replaced == 'two'
before.__class__ = After
assert before.replaced == ''
",
    );
}

#[test]
fn a_method_of_a_derived_class_of_ours_is_no_replacement() {
    python(
        "
made = Repatched()
assert made.one() == 11 and made.replaced == ''
original = Patched.one
Patched.one = lambda self: 12
assert made.one() == 11 and made.replaced == ''
Patched.two, two = (lambda self: 13), Patched.two
assert made.replaced == 'two'
Patched.one, Patched.two = original, two
assert made.replaced == ''
",
    );
}

#[test]
fn an_instance_with_a_dict_of_a_class_without() {
    python(
        "
class Sub(Plain): pass
made, other = Sub(), Sub()
assert made.replaced == ''
made.one = None
assert made.replaced == 'one' and other.replaced == ''
# Nothing is remembered of these: they are asked by name.
class Sub(Slim): pass
assert Sub().replaced == 'one two __aenter__ property'
assert Slim().replaced == ''
",
    );
}

#[test]
fn with_mock() {
    python(
        "
from unittest import mock
made = Patched()
with mock.patch.object(Patched, 'one', return_value=5) as one:
    assert made.replaced == 'one' and made.one() == 5 and one.call_count == 1
assert made.replaced == ''
with mock.patch.object(made, 'two'):
    assert made.replaced == 'two'
assert made.replaced == ''
",
    );
}

/// 3.13 gives a type a version 1,000 times, and then no more.
#[test]
fn after_so_many_changes_that_the_type_gets_no_version_any_more() {
    python(
        "
class Sub(Patched): pass
made = Sub()
for _ in range(1500):
    Sub.one = None
    assert made.replaced == 'one'
    del Sub.one
    assert made.replaced == ''
",
    );
}

#[test]
fn more_classes_than_are_remembered() {
    python(
        "
kinds = [type('Sub', (Slim,), {'__slots__': (), **({'one': None} if n % 2 else {})}) for n in range(9)]
for _ in range(3):
    assert [kind().replaced for kind in kinds] == ['', 'one'] * 4 + ['']
",
    );
}

#[test]
fn with_keys_that_are_no_strings() {
    python(
        "
class Key:
    def __hash__(self): return hash('one')
    def __eq__(self, other): raise ValueError('compared')
made = Patched()
made.__dict__[Key()] = 1
# Whether it is there cannot be found out: looking it up raises, and so it has to be looked up.
assert made.replaced == 'one'
",
    );
}
