"""get_event_loop, set_event_loop, policies, new_event_loop."""

import asyncio
import sys
import threading
import warnings

from observe import attempt, emit, new_loop, scenario


@scenario
def get_running_loop_outside():
    attempt("get_running_loop", asyncio.get_running_loop)
    emit(asyncio._get_running_loop())


@scenario
async def inside():
    emit(asyncio.get_event_loop() is asyncio.get_running_loop())


@scenario
def set_and_get():
    loop = new_loop()
    asyncio.set_event_loop(loop)
    emit(asyncio.get_event_loop() is loop)
    asyncio.set_event_loop(None)
    attempt("get_event_loop after None", asyncio.get_event_loop)
    loop.close()


@scenario
def set_something_else():
    if sys.version_info >= (3, 12):
        attempt("number", asyncio.set_event_loop, 42)
    else:
        attempt("text", asyncio.set_event_loop, "text")


@scenario
def in_another_thread():
    def work():
        attempt("get_event_loop", asyncio.get_event_loop)
        attempt("get_running_loop", asyncio.get_running_loop)

    thread = threading.Thread(target=work, name="worker")
    thread.start()
    thread.join()


@scenario
def warning_points_at_the_caller():
    if not (3, 12) <= sys.version_info[:2] < (3, 14):
        emit("no warning on this version")
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop = asyncio.get_event_loop_policy().get_event_loop()
    for warning in caught:
        emit(warning.category, str(warning.message), warning.filename == __file__)
    loop.close()
    asyncio.set_event_loop(None)


@scenario
def policy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        policy = asyncio.get_event_loop_policy()
        emit(policy is asyncio.get_event_loop_policy(), isinstance(policy, asyncio.AbstractEventLoopPolicy))
        attempt("set number", asyncio.set_event_loop_policy, 42)

        class Mine(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                emit("Mine.new_event_loop")
                return super().new_event_loop()

        asyncio.set_event_loop_policy(Mine())
        asyncio.new_event_loop().close()
        asyncio.run(asyncio.sleep(0))
        asyncio.set_event_loop_policy(None)
        asyncio.new_event_loop().close()


@scenario
def classes():
    loop = asyncio.new_event_loop()
    emit(isinstance(loop, asyncio.AbstractEventLoop), isinstance(loop, asyncio.SelectorEventLoop))
    emit(isinstance(loop, asyncio.BaseEventLoop))
    loop.close()


@scenario
async def abstract_loop():
    loop = asyncio.AbstractEventLoop()
    for name in ("run_forever", "stop", "is_running", "close", "time", "create_future", "get_debug"):
        attempt(name, getattr(loop, name))
    attempt("call_soon", loop.call_soon, print)
    attempt("call_later", loop.call_later, 1, print)


@scenario
async def set_running_loop_by_hand():
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)
    attempt("hidden", asyncio.get_running_loop)
    asyncio._set_running_loop(loop)
    emit(asyncio.get_running_loop() is loop)
