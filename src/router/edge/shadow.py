"""The shadow policy over HTTP: set it, read what it would have done otherwise, end it."""

from typing import Final

from router.edge.call import Answer, Call
from router.edge.documents import ShadowReceipt
from router.edge.policies import parsed
from router.edge.problems import ProblemRaised
from router.model.commands import ClearShadowPolicy, SetShadowPolicy

# A report includes what was durable when it was asked for, unless the shadow is further behind than this.
_CATCH_UP_S: Final = 2.0


async def put_shadow(call: Call) -> Answer:
    """Let a policy run beside the one in force: it decides nothing, and its differences are counted from now on."""
    policy, _ = await parsed(call.body)
    effected = await call.execute(SetShadowPolicy(policy=policy))
    # What is submitted after the answer is seen by it.
    await call.backend.shadows.caught_up(call.workspace, timeout_s=_CATCH_UP_S)
    return Answer(
        body=_receipt(effected.done.state, effected.gen, effected.epoch, effected.done.seq)
    )


async def get_shadow(call: Call) -> Answer:
    """What the shadow policy has seen, and where it would have decided otherwise."""
    shadows = call.backend.shadows
    await shadows.caught_up(call.workspace, timeout_s=_CATCH_UP_S)
    report = shadows.report(call.workspace)
    if report is None:
        raise ProblemRaised("no_shadow")
    return Answer(body=report)


async def delete_shadow(call: Call) -> Answer:
    """End the shadow; its report is gone with it."""
    effected = await call.execute(ClearShadowPolicy())
    return Answer(
        body=_receipt(effected.done.state, effected.gen, effected.epoch, effected.done.seq)
    )


def _receipt(state: str, gen: str, epoch: int, seq: int) -> ShadowReceipt:
    return ShadowReceipt(state=state, gen=gen, epoch=epoch, seq=seq)
