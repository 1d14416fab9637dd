"""Search effort of hypothesis: ``HYPOTHESIS_PROFILE=thorough`` searches for minutes, the default for seconds."""

import os

from hypothesis import HealthCheck, Phase, settings

_ALL = tuple(HealthCheck)
# The explain phase traces every line of the engine; it takes minutes and adds little here.
_PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)
# Use the same examples in every run, so that a failing build fails everywhere. The thorough profile draws new ones.
settings.register_profile(
    "quick",
    max_examples=200,
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
