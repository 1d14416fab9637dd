"""Selections that a policy uses: those of its queues and of the steps of its plans."""

from router.model.policy import Policy, Selection


def selections_of(policy: Policy) -> frozenset[Selection]:
    """Return all selections of a policy's queues and plans."""
    found = {queue.selection for queue in policy.queues.values()}
    return frozenset(found | selections_of_plans(policy))


def selections_of_plans(policy: Policy) -> frozenset[Selection]:
    """Return the selections of all plan steps, which may apply to contacts of any queue."""
    return frozenset(
        step.selection
        for plan in policy.plans.values()
        for step in plan
        if step.selection is not None
    )
