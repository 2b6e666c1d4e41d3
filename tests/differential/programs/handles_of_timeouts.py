"""What programs look at in a Timeout: the handle that ends it, its deadline, its state."""

import asyncio

from observe import emit, scenario


def shown(timeout):
    handle = timeout._timeout_handler
    if handle is None:
        return timeout._state.name, timeout._state.value, None
    return timeout._state.name, timeout._state.value, type(handle).__name__, handle.cancelled()


@scenario
async def through_its_life():
    loop = asyncio.get_running_loop()
    timeout = asyncio.timeout(60)
    emit(shown(timeout), timeout._task)
    async with timeout:
        emit(shown(timeout), timeout._task is asyncio.current_task(), timeout._cancelling)
        emit(timeout._timeout_handler.when() == timeout.when() == timeout._when)
        emit(timeout._timeout_handler is timeout._timeout_handler)
        timeout.reschedule(None)
        emit(shown(timeout), timeout._when)
        timeout.reschedule(loop.time() + 60)
        emit(shown(timeout))
    emit(shown(timeout))


@scenario
async def without_a_deadline():
    async with asyncio.timeout(None) as timeout:
        emit(shown(timeout))
    emit(shown(timeout))


@scenario
async def looked_at_and_still_in_time():
    try:
        async with asyncio.timeout(0.01) as timeout:
            emit(shown(timeout))
            await asyncio.Event().wait()
    except TimeoutError:
        emit(shown(timeout), timeout.expired())


@scenario
async def looked_at_when_the_time_is_up():
    try:
        async with asyncio.timeout(-1) as timeout:
            emit(shown(timeout))
            await asyncio.Event().wait()
    except TimeoutError:
        emit(shown(timeout), timeout.expired())


@scenario
async def cancelled_by_hand():
    async with asyncio.timeout(0.01) as timeout:
        timeout._timeout_handler.cancel()
        emit(shown(timeout))
        await asyncio.sleep(0.02)
    emit(shown(timeout), timeout.expired())


@scenario
async def looked_at_while_entering():
    seen = []

    class Watched(asyncio.Timeout):
        def _on_timeout(self):
            seen.append(self._timeout_handler is not None)
            super()._on_timeout()

    loop = asyncio.get_running_loop()
    try:
        async with Watched(loop.time() + 0.01) as timeout:
            emit(shown(timeout))
            await asyncio.Event().wait()
    except TimeoutError:
        emit(seen, shown(timeout))


@scenario
def states_of_runners():
    runner = asyncio.Runner(debug=False, loop_factory=asyncio.new_event_loop)
    emit(runner._state.name, runner._debug, runner._loop_factory is asyncio.new_event_loop, runner._context)
    with runner:
        emit(runner._state.name, runner._loop is runner.get_loop(), runner._interrupt_count)
        emit(type(runner._context).__name__, runner._set_event_loop)
    emit(runner._state is asyncio.runners._State.CLOSED, runner._loop)


@scenario
async def the_loop_of_a_group():
    group = asyncio.TaskGroup()
    emit(group._loop)
    async with group:
        emit(group._loop is asyncio.get_running_loop())
