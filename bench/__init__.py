"""ferrio's benchmark suite; see README.md.

Nothing here is imported by ferrio. This file stays empty of imports: a measured process imports
`bench.child` before it has chosen its asyncio, and no module on that path may load stock asyncio first.
"""
