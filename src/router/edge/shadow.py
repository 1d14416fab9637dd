"""API operations on the shadow policy: set it, read its report, end it."""

from typing import Final

from router.edge.call import Answer, Call
from router.edge.documents import ShadowReceipt
from router.edge.policies import parsed
from router.edge.problems import ProblemRaised
from router.model.commands import ClearShadowPolicy, SetShadowPolicy

# A report includes everything durable at the time of the request, unless the shadow lags by more than this.
_CATCH_UP_S: Final = 2.0


async def put_shadow(request: Call) -> Answer:
    """Evaluate a policy in the shadow of the one in force: it has no effect, its differences are counted from now on."""
    policy, _ = await parsed(request.body)
    effected = await request.execute(SetShadowPolicy(policy=policy))
    # Contacts submitted after this response are seen by the shadow.
    await request.backend.shadows.caught_up(request.workspace, timeout_s=_CATCH_UP_S)
    return Answer(
        body=_receipt(effected.done.state, effected.gen, effected.epoch, effected.done.seq)
    )


async def get_shadow(request: Call) -> Answer:
    """Get the report of the shadow policy: what it evaluated and where its decisions differ."""
    shadows = request.backend.shadows
    await shadows.caught_up(request.workspace, timeout_s=_CATCH_UP_S)
    report = shadows.report(request.workspace)
    if report is None:
        raise ProblemRaised("no_shadow")
    return Answer(body=report)


async def delete_shadow(request: Call) -> Answer:
    """End the shadow policy and discard its report."""
    effected = await request.execute(ClearShadowPolicy())
    return Answer(
        body=_receipt(effected.done.state, effected.gen, effected.epoch, effected.done.seq)
    )


def _receipt(state: str, gen: str, epoch: int, seq: int) -> ShadowReceipt:
    return ShadowReceipt(state=state, gen=gen, epoch=epoch, seq=seq)
