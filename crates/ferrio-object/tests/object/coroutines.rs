//! `send`, `throw`, `__next__`, `am_send` and what `await` makes of them.

use crate::python;

#[test]
fn a_coroutine_of_steps() {
    python(
        "
steps = Steps(2, 'end')
assert iter(steps) is steps and steps.__await__() is steps
assert next(steps) is None and steps.send(5) == 5
with raises(StopIteration):
    steps.send(6)
for result in 'end', None, 1.5, (1, 2), ValueError('value'), StopIteration(3), b'', [1], True, 10**30:
    for resume in next, lambda steps: steps.send(None), lambda steps: steps.throw('text') if result == 'end' else steps.send(1):
        try:
            resume(Steps(0, result))
        except StopIteration as stop:
            assert stop.value is result or stop.value == 'text', (stop.value, result)
            assert stop.value == 'text' or type(result) is tuple or stop.args in ((result,), ()), stop.args
        else:
            assert False
",
    );
}

#[test]
fn awaited_and_yielded_from() {
    python(
        "
async def wait(steps):
    return await steps

def delegate(steps):
    return (yield from steps)

for driver in wait, delegate:
    for result in 'end', None, 7, (1, 2), [], ValueError('a value'):
        coroutine = driver(Steps(2, result))
        assert coroutine.send(None) is None
        assert coroutine.send('sent') == 'sent'
        try:
            coroutine.send(None)
        except StopIteration as stop:
            assert stop.value is result
        else:
            assert False

    coroutine = driver(Steps(2))
    coroutine.send(None)
    with raises(KeyError, 'thrown'):
        coroutine.throw(KeyError('thrown'))

    coroutine = driver(Steps(2))
    coroutine.send(None)
    coroutine.close()
",
    );
}

#[test]
fn every_value_as_the_result_of_many() {
    python(
        "
async def wait():
    return [await Steps(0, value) for value in (1, 'two', 3.0, None, (4,), b'5', 6)]
for _ in range(1000):
    try:
        wait().send(None)
    except StopIteration as stop:
        assert stop.value == [1, 'two', 3.0, None, (4,), b'5', 6]
",
    );
}

#[test]
fn await_iter_is_as_strict_as_await() {
    python(
        "
class Gives:
    def __init__(self, value): self.value = value
    def __await__(self): return self.value

async def coroutine(): pass
@types.coroutine
def generator(): yield
def plain(): yield
class Getattr:
    def __getattr__(self, name): return self

steps, co, gen = Steps(1), coroutine(), generator()
assert await_iter(steps) is steps and await_iter(co) is co and await_iter(gen) is gen
iterator = iter([])
assert await_iter(Gives(iterator)) is iterator
for bad in 5, None, plain(), Getattr(), Gives(5), Gives([]), Gives(co), Gives(gen), Node():
    async def wait(): await bad
    waiting = wait()
    try:
        waiting.send(None)
    except TypeError as error:
        expected = str(error)
    else:
        assert False, bad
    with raises(TypeError):
        await_iter(bad)
with raises(ZeroDivisionError):
    await_iter(type('Raises', (), {'__await__': lambda self: 1 / 0})())
co.close()
",
    );
}
