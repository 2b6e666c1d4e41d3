"""Measure what one shape leaves behind: ``measure.py SHAPE COUNT`` prints a JSON line per round.

COUNT objects are made over five rounds, after a warm-up that fills free lists, caches and the pools of the allocator.
After each round: resident memory (after ``malloc_trim``, so that the C allocator's own reserve does not count), the
interpreter's allocated blocks, and the collector's objects by type.
"""

import asyncio
import collections
import ctypes
import gc
import json
import sys

from connections import CONNECTIONS
from shapes import SHAPES
from waiting import WAITING

ROUNDS = 5


def resident_kib():
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def measure():
    for _ in range(3):
        gc.collect()
    objects = gc.get_objects()
    types = collections.Counter(type(obj).__qualname__ for obj in objects)
    count = len(objects)
    del objects
    return {
        "objects": count,
        "types": dict(types),
        "blocks": sys.getallocatedblocks(),
        "rss": resident_kib(),
    }


def main(name, count):
    shape = (SHAPES | CONNECTIONS | WAITING)[name]
    per_round = max(100, count // ROUNDS)
    with asyncio.Runner() as runner:
        runner.run(shape(per_round))
        print(json.dumps(measure()), flush=True)
        for _ in range(ROUNDS):
            runner.run(shape(per_round))
            print(json.dumps(measure()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
