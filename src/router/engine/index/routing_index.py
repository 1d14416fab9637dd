"""Routing index: the same answers as ``eligibility.py``, without scanning. Derived; can be rebuilt from the records.

Theory of operation. Waiting contacts with the same requirement form a *waiting line*; agents with the same qualification form
an *agent group*. Every line and every group has a bit, and the relation "qualifies for" is kept as bit masks in plain integers:

* ``AgentGroup.line_mask``: the lines that the group qualifies for,
* ``WaitingLine.group_mask``: the groups that qualify for the line,
* ``agents.open_group_bits[channel]``: the groups with an agent who has that channel open,
* ``lines.occupied_bits``: the lines that are not empty.

So a new contact considers only groups that qualify and have a free agent (``open_group_bits & group_mask``), and an agent with
a newly open channel only lines that it qualifies for and that are not empty (``line_mask & occupied_bits``). The cost of a
match depends on the number of distinct requirements and groups involved, not on the number of contacts or agents.

The index consists of four parts: ``lines`` (waiting lines by requirement), ``contacts`` (contacts in their lines), ``agents``
(groups, capacity and open channels) and ``qualification`` (the masks). Beside it, ``directory`` finds contacts for lists; routing
does not use it. The index only records what has to be matched
(``agents.freed``, ``contacts.to_match``, ``agents.unavailable``); the matcher decides. Event handlers must update the index in
the same call in which they change a record, and nothing else may change records: the derived fields would no longer agree with
the primary ones, which ``Engine.check`` reports.
"""

from typing import Any, Final

from sortedcontainers import SortedList

from router.engine.index.agents import AgentIndex
from router.engine.index.contacts import ContactIndex
from router.engine.index.directory import ContactDirectory
from router.engine.index.lines import LineIndex
from router.engine.index.monitors import MonitorIndex
from router.engine.index.policy_diff import index_changes
from router.engine.index.qualification import QualificationIndex
from router.engine.index.teams import AgentTeams
from router.engine.state.channels import ChannelTable
from router.engine.state.timers import Timers
from router.engine.state.workspace import WorkspaceRecords
from router.model.policy import Policy, Selection, selections_of_plans
from router.model.states import QueueId
from router.policy.entry_rules import EntryRuleClassifier

_ROUND_ROBIN: Final = Selection.ROUND_ROBIN
_NO_POLICY: Final = Policy(channels={}, queues={})


class RoutingIndex:
    """All indexes of one workspace; empty until a policy takes effect."""

    def __init__(self, records: WorkspaceRecords, timers: Timers) -> None:
        self.channels = ChannelTable()
        self.qualification = QualificationIndex()
        self.agents = AgentIndex(records, timers, self.channels, self.qualification)
        self.lines = LineIndex(records, self.channels, self.qualification)
        self.contacts = ContactIndex(records, self.lines, self.agents, self.qualification)
        self.directory = ContactDirectory(records)
        self.agent_ids: Any = SortedList()
        """Ids of all agents in ascending order."""
        self.teams = AgentTeams()
        self.monitors = MonitorIndex()
        self.classifier = EntryRuleClassifier(_NO_POLICY)
        """Compiled entry rules."""
        self.round_robin_queues: frozenset[QueueId] = frozenset()
        """Queues for which the latest offers of agents are kept, because a round robin may choose there."""
        self.queues_to_leave: tuple[QueueId, ...] = ()
        """Queues that waiting contacts leave when no agent has been ready for a time."""

    def rebuild(self, policy: Policy) -> None:
        """Rebuild everything for this policy; every agent with an open channel is matched again."""
        self.round_robin_queues = round_robin_queues(policy)
        self.queues_to_leave = queues_to_leave(policy)
        self.classifier = EntryRuleClassifier(policy)
        self.channels.set_policy(policy)
        self.qualification.reset(policy)
        self.lines.reset(policy)
        self.agents.rebuild(policy)
        self.contacts.rebuild()

    def apply_policy(self, before: Policy | None, policy: Policy) -> None:
        """Put a policy into effect: update what it changes, and match again the agents that may find new contacts."""
        change = index_changes(before, policy)
        if change.everything:
            self.rebuild(policy)
            return
        self.round_robin_queues = round_robin_queues(policy)
        lines, contacts, agents = self.lines, self.contacts, self.agents
        if change.entry_rules:
            self.classifier = EntryRuleClassifier(policy)
        lines.set_order(policy)
        if change.capacity:
            self.channels.set_policy(policy)
            agents.recompute_capacity(caps_changed=change.caps)
        elif change.line_settings:
            self.channels.update_settings(policy)
        if change.skills:
            agents.set_declared_skills(frozenset(policy.skills))
        lines.apply_queue_policies(lines.by_queue if change.line_settings else sorted(change.changed_queues))
        if change.rebroadcast_queues:
            contacts.update_broadcasts(change.rebroadcast_queues)
        requeued = change.new_queues | change.rekeyed_queues
        if requeued:
            replaced = [line for name in sorted(change.new_queues) for line in lines.by_queue.get(name, ())]
            contacts.reenqueue(replaced + lines.rekey(sorted(change.rekeyed_queues)))
        contacts.free_qualified_agents(requeued | change.rebroadcast_queues)

    def discard_matching_work(self) -> None:
        """Clear the pending matches: during replay the journal contains their outcome."""
        self.agents.freed.clear()
        self.agents.unavailable.clear()
        self.contacts.to_match.clear()
        self.monitors.to_check.clear()


def queues_to_leave(policy: Policy) -> tuple[QueueId, ...]:
    """Return the queues with ``no_agents_for_s``."""
    return tuple(name for name, queue in policy.queues.items() if queue.no_agents_for_s is not None)


def round_robin_queues(policy: Policy) -> frozenset[QueueId]:
    """Return the queues in which a round robin may choose; all of them if a step of a plan sets it."""
    if _ROUND_ROBIN in selections_of_plans(policy):
        return frozenset(policy.queues)
    return frozenset(name for name, queue in policy.queues.items() if queue.selection is _ROUND_ROBIN)
