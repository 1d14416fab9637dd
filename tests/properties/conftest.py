"""How hard hypothesis tries: ``HYPOTHESIS_PROFILE=thorough`` searches for minutes, the default for seconds."""

import os

from hypothesis import HealthCheck, Phase, settings

_ALL = tuple(HealthCheck)
# Explaining a failure traces every line of the core; it costs minutes and says little here.
_PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
# The same examples in every run: a red build is red for everybody. The thorough profile looks for new ones.
settings.register_profile(
    "quick",
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=_ALL,
    phases=_PHASES,
)
settings.register_profile(
    "thorough",
    max_examples=5_000,
    stateful_step_count=80,
    deadline=None,
    print_blob=True,
    suppress_health_check=_ALL,
    phases=_PHASES,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
