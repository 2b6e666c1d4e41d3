"""asyncio's tunable constants, under its names and with its values.

They are for programs that read them; the extension has its own copy and does not look here.
"""

LOG_THRESHOLD_FOR_CONNLOST_WRITES = 5  # writes to a lost connection before a warning is logged
ACCEPT_RETRY_DELAY = 1  # seconds before accept() is tried again after running out of descriptors
DEBUG_STACK_DEPTH = 10  # frames kept of where an object was made, in debug mode
SSL_HANDSHAKE_TIMEOUT = 60.0  # seconds
SSL_SHUTDOWN_TIMEOUT = 30.0  # seconds
SENDFILE_FALLBACK_READBUFFER_SIZE = 1024 * 256  # bytes
FLOW_CONTROL_HIGH_WATER_SSL_READ = 256  # KiB
FLOW_CONTROL_HIGH_WATER_SSL_WRITE = 512  # KiB
THREAD_JOIN_TIMEOUT = 300  # seconds to wait for the default executor's threads


def __getattr__(name):
    if name != "_SendfileMode":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Made when asked for: the enum module would be a fifth of the time that importing ferrio takes.
    import enum

    global _SendfileMode
    _SendfileMode = enum.Enum("_SendfileMode", ["UNSUPPORTED", "TRY_NATIVE", "FALLBACK"], module=__name__)
    return _SendfileMode
