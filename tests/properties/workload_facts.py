"""Facts of contacts, agents and customers in the random walks, and expressions that use them."""

from typing import Final

from router.model.policy import DerivePolicy, FactPolicy, FactType, ProfileField, StepMatch

FACTS: Final = {
    "tier": FactPolicy(type=FactType.ENUM, values=("gold", "silver")),
    "level": FactPolicy(type=FactType.INT),
    "known": FactPolicy(type=FactType.BOOL),
    "desk": FactPolicy(type=FactType.INT, applies_to="agent"),
    "site": FactPolicy(type=FactType.ENUM, values=("hull", "york"), applies_to="agent"),
    "rank": FactPolicy(
        type=FactType.ENUM,
        values=("bronze", "silver", "gold"),
        applies_to="customer",
        derive=DerivePolicy(profile=ProfileField.TIER),
        refresh_while_waiting=True,
    ),
    "failed": FactPolicy(
        type=FactType.INT, applies_to="customer", derive=DerivePolicy(count=StepMatch(type="payment")), refresh_while_waiting=True
    ),
    "region": FactPolicy(
        type=FactType.ENUM,
        values=("hull", "york", "leeds"),
        applies_to="customer",
        derive=DerivePolicy(profile=ProfileField.LOCALE),
    ),
}
EXPRESSIONS: Final = (
    'contact.tier == "gold" && queues.support.waiting > 1',
    "100 / contact.level > 20",
    "contact.level * 4611686018427387904 > 0 || contact.known",
    'known.tier && contact.tier in ["gold", "silver"] && channel != "mail"',
    "queues.sales.agents_free > queues.support.agents_free",
    "queues.support.agents_ready == 0 || !contact.known",
    "queues.sales.is_open && queues.sales.local_minute % 2 == 0",
    "false",
)
AGENT_EXPRESSIONS: Final = (
    "agent.desk > 2",
    'agent.site == "york" || !known.desk',
    "10 / agent.desk > 4",
    'customer.rank != "gold" || agent.desk > 1',
    "customer.failed >= 2 || agent.site == customer.region",
    "!known.rank || agent.desk > 0 && customer.failed in [0, 3]",
)
STEP_EXPRESSIONS: Final = ('customer.rank == "gold"', "!known.failed", "3 > customer.failed", 'customer.region in ["hull", "york"]')
# The same facts with other types: an agent's attribute may have been set before the fact was redeclared.
AGENT_FACTS: Final = {
    "years": FactPolicy(type=FactType.INT, applies_to="agent"),
    "native": FactPolicy(type=FactType.BOOL, applies_to="agent"),
    "grade": FactPolicy(type=FactType.ENUM, values=("junior", "senior", "lead"), applies_to="agent"),
}
OTHER_FACTS: Final = AGENT_FACTS | {
    "native": FactPolicy(type=FactType.INT, applies_to="agent"),
    "grade": FactPolicy(type=FactType.ENUM, values=("lead", "senior"), applies_to="agent"),
}
