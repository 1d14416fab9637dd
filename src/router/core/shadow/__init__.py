"""A second policy beside the one in force. It decides nothing: it follows what has happened and says what it would have done.

Always one step ahead of reality and never further: who is busy, with what, since when, is as it really is; where contacts wait,
with which requirement and rank, and who may take them, is as the shadow policy says. So each difference stands for itself.
"""

from router.core.shadow.follower import Shadow

__all__ = ["Shadow"]
