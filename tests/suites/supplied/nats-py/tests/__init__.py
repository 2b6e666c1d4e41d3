"""The tests that the sdist of nats-py holds, and beside them the module that it lacks."""
