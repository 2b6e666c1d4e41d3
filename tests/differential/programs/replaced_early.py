"""A method replaced on a base class before the loop's own class is asked for, which ferrio makes only then."""

import asyncio

from observe import emit, scenario


@scenario
def on_the_base_class_before_the_first_loop():
    seen = []
    original = asyncio.BaseEventLoop.call_soon

    def call_soon(self, *args, **kwargs):
        seen.append(1)
        return original(self, *args, **kwargs)

    asyncio.BaseEventLoop.call_soon = call_soon
    try:
        loop = asyncio.new_event_loop()
        loop.call_soon(int)
        emit(len(seen), "call_soon" in vars(type(loop)))
        loop.close()
    finally:
        asyncio.BaseEventLoop.call_soon = original
