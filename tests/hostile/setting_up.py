"""`run_forever()` fails before its first turn: the loop is then as it was."""

import asyncio
import resource
import sys

from survival import program


async def five():
    return 5


def as_it_was(loop):
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    assert sys.get_asyncgen_hooks() == (None, None)
    assert sys.get_coroutine_origin_tracking_depth() == 0
    assert asyncio.run(five()) == 5
    assert loop.run_until_complete(five()) == 5
    loop.close()
    assert loop.is_closed()
    return "done"


def fails_once(attribute, debug=False):
    class Loop(asyncio.SelectorEventLoop):
        fails = True

        def __getattribute__(self, name):
            if name == attribute and self.fails:
                raise MemoryError
            return super().__getattribute__(name)

    loop = Loop()
    loop.set_debug(debug)
    future = loop.create_future()
    future.set_result(5)
    try:
        loop.run_until_complete(future)
    except MemoryError:
        pass
    else:
        return "nothing failed"
    loop.fails = False
    loop.set_debug(False)
    return as_it_was(loop)


@program()
def first_hook_of_asynchronous_generators():
    return fails_once("_asyncgen_firstiter_hook")


@program()
def second_hook_of_asynchronous_generators():
    return fails_once("_asyncgen_finalizer_hook")


@program()
def in_debug_mode():
    return fails_once("_asyncgen_firstiter_hook", debug=True)


@program()
def hooks_are_refused():
    """By an audit hook."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.set_result(5)
    refuse = [True]

    def audit(event, _args):
        if refuse[0] and event.startswith("sys.set_asyncgen_hook") and "finalizer" in event:
            raise PermissionError

    sys.addaudithook(audit)
    try:
        loop.run_until_complete(future)
    except PermissionError:
        refuse[0] = False
        return as_it_was(loop)
    return "nothing failed"


@program(beyond="needs no descriptor for that")
def no_descriptor_is_left():
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    future.set_result(5)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        loop.run_until_complete(future)
    except OSError:
        outcome = None
    else:
        outcome = "nothing failed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return outcome or as_it_was(loop)
