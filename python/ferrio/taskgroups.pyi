"""Types of `ferrio.taskgroups`."""

from ._newer import TaskGroup as TaskGroup
