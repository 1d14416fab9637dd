"""Which selections a policy may have in force: those of its queues, and those that a step of a plan puts in their place."""

from router.model.policy import Policy, Selection


def selections_of(policy: Policy) -> frozenset[Selection]:
    """Every rule by which an agent may be chosen somewhere."""
    found = {queue.selection for queue in policy.queues.values()}
    return frozenset(found | selections_of_plans(policy))


def selections_of_plans(policy: Policy) -> frozenset[Selection]:
    """Those of steps: any queue's contacts may come under them."""
    return frozenset(
        step.selection
        for plan in policy.plans.values()
        for step in plan
        if step.selection is not None
    )
