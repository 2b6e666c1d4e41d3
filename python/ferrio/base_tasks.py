"""asyncio keeps the repr of tasks in a module of this name; here the extension has it, and there is nothing to show."""

__all__ = ()
