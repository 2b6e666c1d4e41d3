"""call_later and call_at: order of deadlines, zero and negative delays, cancelling, handles.

A sleep in here is a timer like the others, due later: it ends when those before it have run.
"""

import asyncio

from observe import attempt, attempt_type, emit, new_loop, scenario, spin, watch_exceptions


@scenario
async def order_of_deadlines():
    loop = asyncio.get_running_loop()
    now = loop.time()
    done = loop.create_future()
    loop.call_at(now + 0.03, emit, "third")
    loop.call_at(now + 0.01, emit, "first")
    loop.call_at(now + 0.02, emit, "second")
    loop.call_at(now + 0.04, done.set_result, None)
    await done


@scenario
async def same_turn_order():
    loop = asyncio.get_running_loop()
    base = loop.time() - 1
    for i in (3, 1, 2, 0):
        loop.call_at(base + i / 10, emit, "due", i)
    loop.call_soon(emit, "soon")
    await spin(3)


@scenario
async def zero_and_negative():
    loop = asyncio.get_running_loop()
    loop.call_later(-1, emit, "negative one")
    loop.call_later(-2, emit, "negative two")
    loop.call_soon(emit, "soon")
    await asyncio.sleep(0.01)


@scenario
async def past_deadline_runs_in_the_next_turn():
    loop = asyncio.get_running_loop()
    loop.call_at(0, emit, "long past")
    await spin(1)
    emit("after one turn")
    await spin(1)
    emit("after two turns")


@scenario
async def cancel():
    loop = asyncio.get_running_loop()
    handle = loop.call_later(0.001, emit, "never")
    emit(handle.cancelled())
    handle.cancel()
    emit(handle.cancelled(), handle)
    handle.cancel()
    await asyncio.sleep(0.01)


@scenario
async def cancel_by_an_earlier_timer():
    loop = asyncio.get_running_loop()
    base = loop.time() - 1
    loop.call_at(base, lambda: later.cancel())
    later = loop.call_at(base + 0.5, emit, "never")
    await spin(3)
    emit(later.cancelled())


@scenario
async def cancel_after_it_ran():
    loop = asyncio.get_running_loop()
    handle = loop.call_later(0, emit, "ran")
    await asyncio.sleep(0.01)
    handle.cancel()
    emit(handle.cancelled())


@scenario
async def many_cancelled():
    loop = asyncio.get_running_loop()
    handles = [loop.call_later(3600, emit, i) for i in range(500)]
    for handle in handles:
        handle.cancel()
    kept = loop.call_later(0.001, emit, "the one left")
    await asyncio.sleep(0.01)
    emit(kept.cancelled(), all(h.cancelled() for h in handles))


@scenario
async def when():
    loop = asyncio.get_running_loop()
    at = loop.call_at(12345.5, emit)
    emit(at.when(), type(at), isinstance(at, asyncio.TimerHandle), isinstance(at, asyncio.Handle))
    before = loop.time()
    later = loop.call_later(10, emit)
    emit(before + 10 <= later.when() <= loop.time() + 10)
    at.cancel()
    later.cancel()
    emit(at.when())


@scenario
async def comparing():
    loop = asyncio.get_running_loop()
    low, high = loop.call_at(1e9, emit), loop.call_at(2e9, emit)
    same = loop.call_at(1e9, emit)
    emit(low < high, low <= high, low > high, low >= high, low == high)
    emit(low == same, low != same, low <= same, low < same, hash(low) == hash(same))
    attempt_type("with a number", lambda: low < 5)
    emit(low == 5, low != 5)
    for handle in (low, high, same):
        handle.cancel()


@scenario
async def wrong_arguments():
    loop = asyncio.get_running_loop()
    attempt_type("call_later()", loop.call_later)
    attempt_type("call_later(1)", loop.call_later, 1)
    attempt_type("call_at()", loop.call_at)
    attempt("call_later(None)", loop.call_later, None, emit)
    attempt("call_at(None)", loop.call_at, None, emit)
    attempt_type("call_later(text)", loop.call_later, "1", emit)


@scenario
async def failing_timer():
    loop = asyncio.get_running_loop()
    watch_exceptions(loop)

    def fails():
        raise OSError("timer")

    loop.call_later(0, fails)
    loop.call_later(0.001, emit, "next")
    await asyncio.sleep(0.01)


@scenario
def closed_with_timers():
    loop = new_loop()
    handle = loop.call_later(60, emit, "never")
    loop.close()
    emit(handle.cancelled())
    attempt("cancel", handle.cancel)
    attempt("call_later", loop.call_later, 1, emit)
    attempt("call_at", loop.call_at, 1, emit)


@scenario
async def sleep_values():
    emit(await asyncio.sleep(0, "zero"), await asyncio.sleep(-1, "negative"))
    emit(await asyncio.sleep(0.001, result="result"), await asyncio.sleep(0))


@scenario
def when_gives_back_what_was_given():
    """An int stays an int; so does anything that can be compared with the loop's clock."""
    from fractions import Fraction

    class Seconds(float):
        pass

    loop = new_loop()
    for when in (7328, 7328.5, True, Fraction(7328, 3), Seconds(3), 2**60, -1):
        handle = loop.call_at(when, emit)
        emit(type(handle.when()), handle.when() == when, handle.when() is when or isinstance(when, float))
        emit(hash(handle) == hash(when), handle == loop.call_at(when, emit))
        again = asyncio.TimerHandle(when, emit, (), loop)
        emit(type(again.when()), again)
        handle.cancel()
        emit(handle.when() == when, handle)
    emit(type(loop.call_later(5, emit).when()))
    emit(loop.call_at(3, emit) < loop.call_at(Fraction(10, 3), emit) < loop.call_at(3.5, emit))
    loop.close()
