"""The garbage collector of a process that holds a workspace: what it looks at, and how often.

A look at every agent and every table of contacts holds everybody up for longer than any command takes. The records of the core
hold no cycles, so there is next to nothing to find among them.
"""

import gc
from typing import Final

# Young objects before a look at them; looks before one at the middle-aged; those before one at all. A look costs up to 2 µs for
# each that lives, for what it refers to is not in the caches: 50,000 young ones took 25 ms, 10,000 middle-aged ones still 20. So
# small helpings, and a look at all as seldom as before.
_THRESHOLDS: Final = (1_000, 2, 50_000)


def stand_back() -> None:
    """While a workspace is built from its journal nothing of it is garbage: the collector waits for ``settle_down``."""
    gc.disable()


def settle_down() -> None:
    """What has been built so far is here to stay: the collector looks at it once more and never again, and seldom at the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
