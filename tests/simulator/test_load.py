"""Distribution of contacts over agents, and audited runs of every selection rule and order."""

import pytest

from router.model.policy import (
    AcrossQueues,
    ChannelPolicy,
    FactOrder,
    FactPolicy,
    FactType,
    Policy,
    QueueOrder,
    QueuePolicy,
    Selection,
    ServiceLevelPolicy,
)
from router.simulator.load import LoadReport, load_of, mean_load
from tests.simulator.days import Lived, a_contact, a_day, an_agent

FACTS = {"share": FactPolicy(type=FactType.INT, of="agent")}


def a_policy(**queue: object) -> Policy:
    """Return a policy with two queues and automatic accept of calls."""
    return Policy(
        channels={"voice": ChannelPolicy(auto_accept=True)},
        queues={
            "calls": QueuePolicy(**queue),  # type: ignore[arg-type]
            "late": QueuePolicy(order=QueueOrder.LIFO),
            "mails": QueuePolicy(service_level=ServiceLevelPolicy(threshold_s=600)),
        },
        facts=FACTS,
        across_queues=AcrossQueues.RISK,
        zone="Europe/Berlin",
    )


def test_minimum_median_maximum_and_gini_of_a_small_day() -> None:
    """Use two contacts and three agents."""
    contacts = [a_contact(f"c{n}", 100 * n, handle_ms=10_000) for n in range(2)]
    lived = Lived(a_day(*contacts, agents=(an_agent("ada"), an_agent("bob"), an_agent("cy"))))
    load = load_of(lived.meter)
    assert load == LoadReport(
        agents=3, contacts_min=0, contacts_median=1, contacts_max=1, contacts_gini=0.333333333
    )


def test_replications_are_averaged() -> None:
    one = LoadReport(
        agents=2, contacts_min=1, contacts_median=2, contacts_max=3, contacts_gini=0.25
    )
    two = LoadReport(
        agents=4, contacts_min=0, contacts_median=1, contacts_max=6, contacts_gini=None
    )
    assert mean_load([one, two]) == LoadReport(
        agents=3, contacts_min=0.5, contacts_median=1.5, contacts_max=4.5, contacts_gini=0.25
    )
    assert mean_load([]) is None


@pytest.mark.parametrize("selection", Selection)
def test_every_selection_and_order_passes_the_audit(selection: Selection) -> None:
    policy = a_policy(selection=selection, order_by=(FactOrder(fact="share"),), weight_fact="share")
    agents = tuple(
        an_agent(f"a{n}", attributes={"share": n % 3}, queue_ranks={"late": 1} if n % 2 else {})
        for n in range(5)
    )
    contacts = [
        a_contact(
            f"c{n}",
            7 * n,
            queue_id=("calls", "late", "mails")[n % 3],
            handle_ms=20_000 + 900 * (n % 40),
        )
        for n in range(400)
    ]
    lived = Lived(a_day(*contacts, agents=agents, policy=policy))
    assert lived.auditor.violations == [] and lived.auditor.checks > 1_000


def test_fewest_today_distributes_contacts_more_evenly_than_first_grade() -> None:
    def gini_under(selection: Selection) -> float:
        policy = a_policy(selection=selection, order_by=(FactOrder(fact="share"),))
        agents = tuple(an_agent(f"a{n}", attributes={"share": n}) for n in range(6))
        contacts = [
            a_contact(f"c{n}", 20 * n, queue_id="calls", handle_ms=30_000) for n in range(170)
        ]
        load = load_of(Lived(a_day(*contacts, agents=agents, policy=policy)).meter)
        assert load is not None and load.contacts_gini is not None
        return load.contacts_gini

    assert gini_under(Selection.FEWEST_TODAY) < 0.01 < 0.4 < gini_under(Selection.BY_FACTS)
