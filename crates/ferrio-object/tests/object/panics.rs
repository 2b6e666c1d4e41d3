//! A panic is an exception for the caller, or a line for `sys.unraisablehook`, and life goes on.

use crate::python;

#[test]
fn whatever_python_calls_raises_system_error() {
    python(
        "
faulty = Faulty()
for call, text in (
    (lambda: faulty.method0(), 'in method0'),
    (lambda: faulty.method1(1), 'in method1'),
    (lambda: faulty.method(1, a=2), 'in method'),
    (lambda: Faulty.static(), 'in static'),
    (lambda: faulty.attribute, 'in getter'),
    (lambda: setattr(faulty, 'attribute', 1), 'in setter'),
    (lambda: delattr(faulty, 'attribute'), 'in setter'),
    (lambda: setattr(faulty, 'unsettable', 1), 'in setattr'),
    (lambda: Faulty('no place'), 'no such place: no place'),
    (lambda: faulty.__init__('no place'), 'no such place: no place'),
    (lambda: type('Sub', (Faulty,), {})('no place'), 'no such place'),
    (lambda: repr(faulty), 'in repr'),
    (lambda: faulty(), 'in call'),
    (lambda: len(faulty), 'in len'),
    (lambda: iter(faulty), 'in iter'),
    (lambda: faulty.__await__(), 'in await'),
    (lambda: next(faulty), 'in send'),
    (lambda: faulty.send(1), 'in send'),
    (lambda: faulty.throw(KeyError), 'in throw'),
    (lambda: faulty < 1, 'in compare'),
    (lambda: hash(faulty), 'in hash'),
):
    with raises(SystemError, 'ferrio panicked: ' + text):
        call()
    assert faulty.me is None
",
    );
}

#[test]
fn through_await_and_c_drivers() {
    python(
        "
async def wait():
    await Gives()
class Gives:
    def __await__(self): return faulty
faulty = Faulty()
with raises(SystemError, 'in send'):
    wait().send(None)
def delegate():
    yield from Gives().__await__()
with raises(SystemError, 'in iter'):
    next(delegate())
",
    );
}

#[test]
fn where_nothing_can_be_raised_it_is_reported() {
    python(
        "
def die(place, cycle):
    faulty = Faulty(place)
    if cycle:
        faulty.me = faulty
for place, cycle in ('finalize', False), ('finalize', True), ('drop', False), ('drop', True), ('clear', True):
    with unraisable() as seen:
        die(place, cycle)
        gc.collect()
    assert seen == [(SystemError, 'ferrio panicked: as told')], (place, cycle, seen)

# Whether there is something to finalize cannot be said: then it is asked.
with unraisable() as seen:
    die('wants_finalizer', False)
assert seen == [], seen
",
    );
}

/// An object that cannot be walked counts as referred to from outside, with all that it refers to.
#[test]
fn an_object_that_cannot_be_walked_stays() {
    python(
        "
faulty = Faulty('traverse')
faulty.me = faulty
keeper = [faulty]
del faulty
gc.collect(); gc.collect()
assert keeper[0].me is keeper[0]
keeper[0].__init__()
",
    );
}

#[test]
fn the_error_on_its_way_is_kept() {
    python(
        "
def failing():
    raise KeyError('on its way')
for place in 'finalize', 'drop':
    with unraisable() as seen:
        with raises(KeyError, 'on its way'):
            [Faulty(place), failing()]
    assert len(seen) == 1
",
    );
}

#[test]
fn a_panic_out_of_python_is_one_too() {
    python(
        "
node = Node()
with raises(SystemError, 'in method0'):
    node(Faulty().method0)
with raises(SystemError, 'in method0'):
    node(node, node, Faulty().method0)
",
    );
}
