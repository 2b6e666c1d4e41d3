"""Which random scripts the property tests play, and how many: the one place that tells hypothesis.

Every run plays the same ones, so that a change is judged by what it changed, and not by a script that nobody had tried
before and that comes up once in a hundred runs. Those are for who looks for them: `FERRIO_EXAMPLES=1000` makes up a
thousand new ones for each test, and a finding stays in `.hypothesis/` to be played first next time.
"""

import os

from hypothesis import Phase, settings

ASKED_FOR = os.environ.get("FERRIO_EXAMPLES")

PHASES = [phase for phase in Phase if phase is not Phase.shrink or "FERRIO_NO_SHRINK" not in os.environ]
"""With FERRIO_NO_SHRINK the first finding is reported as it is: quicker when only the verdict matters."""


def load_profile():
    """Make it the default of every `@given`; conftest.py does so before any test is imported.

    A script has no deadline: how long it takes says nothing about whether it is right.
    """
    settings.register_profile(
        "ferrio",
        derandomize=ASKED_FOR is None,
        max_examples=examples(100),
        deadline=None,
        print_blob=True,
        phases=PHASES,
    )
    settings.load_profile("ferrio")


def examples(usual):
    """How many scripts a test plays that plays *usual* ones where nothing else is asked for."""
    return usual if ASKED_FOR is None else int(ASKED_FOR)
