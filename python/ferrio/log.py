"""asyncio's logger, fetched when something is first logged: `logging` costs more to import than ferrio does."""


def __getattr__(name):
    if name != "logger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import logging

    global logger
    logger = logging.getLogger("asyncio")
    return logger
