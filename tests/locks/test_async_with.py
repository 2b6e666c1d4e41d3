"""`__aenter__` and `__aexit__` of native classes, as attributes: whatever binds them, they are methods.

Before 3.14 they are bound by a descriptor of ferrio's own (``crates/ferrio-object/src/special.rs``), which must not
show.
"""

import gc
import inspect
import weakref

import ferrio
import pytest

MAKERS = {
    "Lock": ferrio.Lock,
    "Semaphore": ferrio.Semaphore,
    "BoundedSemaphore": ferrio.BoundedSemaphore,
    "Condition": ferrio.Condition,
    "Barrier": lambda: ferrio.Barrier(1),
    "TaskGroup": ferrio.TaskGroup,
    "Timeout": lambda: ferrio.timeouts.Timeout(None),
}


@pytest.fixture(params=sorted(MAKERS))
def obj(request):
    return MAKERS[request.param]()


@pytest.mark.parametrize("name", ["__aenter__", "__aexit__"])
def test_is_a_method(obj, name):
    method, function = getattr(obj, name), getattr(type(obj), name)
    assert inspect.isfunction(function) and inspect.iscoroutinefunction(function)
    assert inspect.ismethod(method) and inspect.iscoroutinefunction(method)
    assert method.__self__ is obj
    assert method.__name__ == function.__name__ == name
    assert method.__doc__ == function.__doc__
    assert repr(method).startswith("<bound method ") and name in repr(method)
    with pytest.raises(AttributeError):
        method.no_such_attribute  # noqa: B018
    assert inspect.signature(method).parameters.keys() == {
        parameter for parameter in inspect.signature(function).parameters if parameter != "self"
    }


def test_equality_and_hash(obj):
    other = type(obj).__new__(type(obj))
    assert obj.__aenter__ == obj.__aenter__
    assert hash(obj.__aenter__) == hash(obj.__aenter__)
    assert obj.__aenter__ != obj.__aexit__
    assert obj.__aenter__ != other.__aenter__
    assert obj.__aenter__ != 42


def test_of_another_object(obj):
    with pytest.raises(TypeError):
        type(obj).__aenter__(42)
    for name in ["__aenter__", "__aexit__"]:
        for cls in type(obj).__mro__:
            if name in vars(cls):
                method = vars(cls)[name].__get__(42)
                with pytest.raises(TypeError):
                    method(None, None, None)


def test_arguments():
    lock = ferrio.Lock()
    with pytest.raises(TypeError):
        lock.__aenter__(1)
    with pytest.raises(TypeError):
        lock.__aenter__(self=lock)


def test_kept_and_called_later():
    async def main():
        lock = ferrio.Lock()
        enter, leave = lock.__aenter__, lock.__aexit__
        await enter()
        assert lock.locked()
        await leave(None, None, None)
        assert not lock.locked()
        await type(lock).__aenter__(lock)
        assert lock.locked()

    ferrio.run(main())


def test_subclasses_and_super():
    calls = []

    class Noted(ferrio.Lock):
        async def __aenter__(self):
            calls.append("enter")
            return await super().__aenter__()

        async def __aexit__(self, *args):
            calls.append(args)
            return await super().__aexit__(*args)

    async def main():
        async with Noted() as got:
            assert got is None
        with pytest.raises(KeyError):
            async with Noted():
                raise KeyError

    ferrio.run(main())
    assert calls[:3] == ["enter", (None, None, None), "enter"]
    assert calls[3][0] is KeyError


def test_collected_in_a_cycle():
    class Holder(ferrio.Lock):
        pass

    lock = Holder()
    lock.method = lock.__aenter__
    died = weakref.ref(lock)
    del lock
    gc.collect()
    assert died() is None
