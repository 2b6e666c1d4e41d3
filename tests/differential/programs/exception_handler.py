"""The loop's exception handler: default, custom, wrong, failing."""

import asyncio

from observe import attempt, emit, new_loop, scenario, spin


@scenario
async def default_handler_logs():
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "only a message"})
    loop.call_exception_handler({"message": "with an exception", "exception": ValueError("inside")})
    loop.call_exception_handler({"message": "more keys", "zebra": 1, "apple": [2], "text": "three"})
    loop.call_exception_handler({})
    loop.default_exception_handler({"message": "called directly"})


@scenario
async def custom_handler():
    loop = asyncio.get_running_loop()
    emit(loop.get_exception_handler())

    def handler(loop_, context):
        emit("handler", loop_ is loop, sorted(context), context["message"])

    loop.set_exception_handler(handler)
    emit(loop.get_exception_handler() is handler)
    loop.call_exception_handler({"message": "to the handler"})
    loop.set_exception_handler(None)
    emit(loop.get_exception_handler())


@scenario
async def wrong_handlers():
    loop = asyncio.get_running_loop()
    attempt("number", loop.set_exception_handler, 42)
    attempt("text", loop.set_exception_handler, "text")
    attempt("fine", loop.set_exception_handler, print)
    attempt("none", loop.set_exception_handler, None)


@scenario
async def failing_handler():
    loop = asyncio.get_running_loop()

    def handler(loop, context):
        raise RuntimeError("the handler itself")

    loop.set_exception_handler(handler)
    loop.call_exception_handler({"message": "original", "exception": ValueError("first")})
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(emit, "goes on")
    await spin(2)


@scenario
async def failing_default_handler():
    loop = asyncio.get_running_loop()

    def broken(context):
        raise RuntimeError("default is broken")

    loop.default_exception_handler = broken
    loop.call_exception_handler({"message": "x"})


@scenario
def interrupting_handlers():
    for error in (KeyboardInterrupt("k"), SystemExit(2)):
        loop = new_loop()

        def handler(loop, context, error=error):
            raise error

        loop.set_exception_handler(handler)
        loop.call_soon(lambda: 1 / 0)
        loop.call_soon(loop.stop)
        attempt("run", loop.run_forever)
        loop.close()


@scenario(
    differs="The exception handler runs in the context of the callback that failed, as since 3.12.",
    differs_in=[(3, 11)],
    expected=[
        ["event", "of the callback", ["exception", "handle", "message"]],
    ],
)
async def handler_context_variables():
    import contextvars

    var = contextvars.ContextVar("var", default="default")
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: emit(var.get(), sorted(context)))
    ctx = contextvars.copy_context()
    ctx.run(var.set, "of the callback")
    loop.call_soon(lambda: 1 / 0, context=ctx)
    await spin(2)


@scenario
async def handler_calls_the_default_one():
    loop = asyncio.get_running_loop()

    def handler(loop, context):
        emit("before")
        loop.default_exception_handler(context)

    loop.set_exception_handler(handler)
    loop.call_soon(int, "not a number")
    await spin(2)


@scenario
async def handler_is_replaced_on_the_instance():
    loop = asyncio.get_running_loop()
    loop.call_exception_handler = lambda context: emit("replaced", sorted(context))
    loop.call_soon(int, "not a number")
    await spin(2)
    fut = loop.create_future()
    fut.set_exception(ValueError("lost"))
    del fut


@scenario(debug=True)
async def debug_mode_shows_where_it_was_made():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda loop, context: emit(sorted(context), [f.name for f in context["source_traceback"]][-1:])
    )
    loop.call_soon(int, "not a number")
    await spin(2)
