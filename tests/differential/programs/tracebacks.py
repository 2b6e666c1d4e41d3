"""Tracebacks: the user's own frames, in order, without repetition; contexts and causes."""

import asyncio
import traceback

from observe import chain, emit, scenario, spin


def frames(exc):
    """The functions of this program in the traceback."""
    return [frame.name for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == __file__]


async def inner():
    await asyncio.sleep(0)
    raise ValueError("inner")


async def middle():
    await inner()


@scenario
async def through_awaits():
    try:
        await middle()
    except ValueError as exc:
        emit(frames(exc))


@scenario(
    differs="Each task that awaits a failed one sees in the traceback where the error was raised. In "
    "asyncio only the first does.",
    expected=[
        ["event", ["through_a_task", "middle", "inner"], []],
        ["event", ["through_a_task", "middle", "inner"], []],
    ],
)
async def through_a_task():
    task = asyncio.create_task(middle())
    for _ in range(2):
        try:
            await task
        except ValueError as exc:
            emit(frames(exc), chain(exc))


@scenario
async def through_a_future():
    fut = asyncio.get_running_loop().create_future()
    fut.set_exception(ValueError("stored"))
    for _ in range(3):
        try:
            await fut
        except ValueError as exc:
            emit(frames(exc))


@scenario
async def through_gather():
    try:
        await asyncio.gather(middle(), asyncio.sleep(0))
    except ValueError as exc:
        emit(frames(exc))


@scenario
async def through_wait_for():
    try:
        await asyncio.wait_for(middle(), 60)
    except ValueError as exc:
        emit(frames(exc))


@scenario
async def through_a_group():
    try:
        async with asyncio.TaskGroup() as tg:
            tg.create_task(middle())
    except ExceptionGroup as group:
        emit(frames(group), frames(group.exceptions[0]))


@scenario
async def raised_in_an_except_block():
    async def work():
        try:
            await inner()
        except ValueError:
            raise KeyError("second")  # noqa: B904 - the implicit context is the subject

    try:
        await asyncio.create_task(work())
    except KeyError as exc:
        emit(frames(exc), chain(exc))


@scenario
async def raised_from():
    async def work():
        try:
            await inner()
        except ValueError as exc:
            raise KeyError("second") from exc

    try:
        await asyncio.create_task(work())
    except KeyError as exc:
        emit(chain(exc), exc.__suppress_context__)


@scenario
async def context_of_the_waiter_is_not_mixed_in():
    task = asyncio.create_task(middle())
    try:
        raise KeyError("what the waiter is busy with")
    except KeyError:
        try:
            await task
        except ValueError as exc:
            emit(chain(exc))


@scenario
async def cancelled():
    async def work():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as exc:
            emit("inside", frames(exc))
            raise

    task = asyncio.create_task(work())
    await spin()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as exc:
        emit("outside", frames(exc), chain(exc))


@scenario
async def notes_are_kept():
    async def work():
        error = ValueError("noted")
        error.add_note("a note")
        raise error

    try:
        await asyncio.gather(work())
    except ValueError as exc:
        emit(exc.__notes__)
