"""Types of `ferrio.graph`: asyncio has it from Python 3.14 on."""

import sys

if sys.version_info >= (3, 14):
    from asyncio.graph import *
else:
    from ._newer import FrameCallGraphEntry as FrameCallGraphEntry
    from ._newer import FutureCallGraph as FutureCallGraph
    from ._newer import capture_call_graph as capture_call_graph
    from ._newer import format_call_graph as format_call_graph
    from ._newer import print_call_graph as print_call_graph
