"""Shadow policy: a second policy evaluated in parallel with the active policy, without any effect.

A shadow applies the events of the live workspace and reports what its own policy would have decided differently. It is always
exactly one decision ahead of live routing: which agents are busy, with what and since when is as in live routing; where
contacts wait, with which requirement and rank, and which agents may take them, is as the shadow policy says. So each reported
difference stands alone and does not follow from an earlier one.
"""

from router.engine.shadow.shadow import Shadow

__all__ = ["Shadow"]
