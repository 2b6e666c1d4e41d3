"""What asyncio does not have: a queue between threads and tasks, gather and map with a limit, a rate limiter; native.

    from ferrio.extras import ThreadQueue, RateLimiter, gather_limited, map_limited

They work with ferrio however it is used (`ferrio run`, `install()`, `import ferrio as asyncio`), and belong to no
module of asyncio's.
"""

from ._native import RateLimiter, ThreadQueue, gather_limited, map_limited

__all__ = ("RateLimiter", "ThreadQueue", "gather_limited", "map_limited")
