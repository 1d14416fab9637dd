"""Index of contacts: the waiting line of each contact, and whether an agent is available for a new one.

A line is created for its first contact. Empty lines are kept up to a limit, except reserved ones. This part of the index knows
nothing of capacity: it reads the masks and open channels that the agent index maintains.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from router.core.index_tables import IndexTables
from router.core.lines import Line, LineKey, needs_of
from router.core.plans import NO_PLAN, Asks, Stage, asks_of, only_of, plan_of, stage_at
from router.core.ranking import SEQ_BITS, has_own_rank, own_place
from router.core.state import Agent, Contact
from router.model.callbacks import CallbackPhase
from router.model.ids import AgentId, ContactId, QueueId
from router.model.policy import CallbackMode
from router.model.states import AgentState

# Bound once: an attribute lookup on the enum class costs more than the comparisons it serves.
_CUSTOMER_FIRST: Final = CallbackMode.CUSTOMER_FIRST
_READY: Final = AgentState.READY
_WAITING: Final = CallbackPhase.WAITING

# Empty lines are kept for the next contact of their class, up to this many.
_EMPTY_LINES_MAX: Final = 2_000
_NO_SKILLS: Final[dict[str, int]] = {}
_STAGES_MAX: Final = 10_000
_CLASSES_MAX: Final = 10_000


class IndexLines(IndexTables):
    """Waiting lines of contacts."""

    def place(self, contact: Contact) -> None:
        """Put a QUEUED contact, or an OFFERED one that needs further offers, into its line, and have it matched."""
        if contact.key:
            self.unplace(contact)
        line = self.line_for(contact)
        if contact.line is not line:
            self.leave(contact)
            contact.line = line
            line.refs += 1
        if self.has_plans:
            self._raise(contact)
        if len(contact.offers) >= line.broadcast:
            return
        self._stand(contact, line)
        if not line.held:
            self.seeking[contact.contact_id] = contact

    def _stand(self, contact: Contact, line: Line) -> None:
        contact.key = key = own_place(contact, line.queue)
        before = line.head
        line.add(key, contact)
        if has_own_rank(contact):
            line.of_own_rank[key] = contact
        if line.head != before and line.only is None and not line.held:
            self._head_moved(line, before)

    def show(self, contact: Contact) -> None:
        """Add or remove an offered contact, after the number of simultaneous offers of its queue has changed."""
        line = contact.line
        assert line is not None
        if len(contact.offers) >= line.broadcast:
            if contact.key:
                self.unplace(contact)
        elif not contact.key:
            self._stand(contact, line)

    def fill(self, contacts: Iterable[Contact]) -> None:
        """Put many contacts, which must be in no line, into their lines at once."""
        places: dict[Line, dict[int, Contact]] = {}
        for contact in contacts:
            line = self.line_for(contact)
            contact.line = line
            line.refs += 1
            if self.has_plans:
                self._raise(contact)
            if len(contact.offers) < line.broadcast:
                contact.key = own_place(contact, line.queue)
                places.setdefault(line, {})[contact.key] = contact
        for line, found in places.items():
            before = line.head
            line.fill(found)
            if line.head != before and line.only is None and not line.held:
                self._head_moved(line, before)

    def arrive(self, contact: Contact, line: Line) -> bool:
        """Assign a new contact to its line. Return True if an agent is free for it; it is then not added to the line.

        If no agent is free, the contact is added but not scheduled for matching: an agent whose channels open in this step looks at
        the line in any case.
        """
        self.arriving = None
        contact.line = line
        line.refs += 1
        if self.open_profiles[line.channel_index] & line.profile_mask:
            self.newcomer = contact
            return True
        if contact.priority_s or contact.strict_class:
            key = own_place(contact, line.queue)
            line.of_own_rank[key] = contact
        else:
            key = contact.queued_at_ms << SEQ_BITS | contact.orig_seq
        contact.key = key
        before = line.head
        line.add(key, contact)
        if line.head != before:
            self._head_moved(line, before)
        return False

    def take_place(self) -> None:
        """Add the arriving contact to its line after all, because another event came between or it needs several offers."""
        contact, self.newcomer = self.newcomer, None
        if contact is not None:
            self.place(contact)

    def known(self, key: tuple[object, ...], line: Line) -> None:
        """Remember that a submit of this class is valid and leads to this line."""
        if len(self.classes) >= _CLASSES_MAX:
            self.classes.clear()
        self.classes[key] = line

    def _raise(self, contact: Contact) -> None:
        """Set the priority and class that the contact's plan adds."""
        contact.raised_s = contact.raised_class = 0
        if contact.plan is not None or contact.queue_id in self._planned:
            asks, known = asks_of(contact), self._planned_memo
            stage = known[2] if known is not None and known[0] == asks else self.stage(asks)
            contact.raised_s, contact.raised_class = stage.raised_s, stage.raised_class

    def unplace(self, contact: Contact) -> None:
        """Remove the contact from its line; the line stays assigned while the contact is offered."""
        line = contact.line
        assert line is not None
        before = line.head
        line.remove(contact.key)
        contact.key = 0
        if line.head != before and line.only is None and not line.held:
            self._head_moved(line, before)
        self.seeking.pop(contact.contact_id, None)

    def _head_moved(self, line: Line, before: int) -> None:
        heads = self.heads
        if before:
            del heads[bisect_left(heads, (before, line.index))]
        else:
            self.busy_lines |= line.bit
        if line.head:
            insort(heads, (line.head, line.index))
        else:
            self.busy_lines &= ~line.bit

    def leave(self, contact: Contact) -> None:
        """Detach the contact from its line."""
        line = contact.line
        if line is None:
            return
        if contact.key:
            self.unplace(contact)
        contact.line = None
        line.refs -= 1
        if not line.refs and (
            line.only is not None or line.held or len(self.lines) > _EMPTY_LINES_MAX
        ):
            self._drop_line(line)

    def line_for(self, contact: Contact) -> Line:
        """Return the line of the contact's requirement class, created if necessary."""
        if contact.held:
            return self._held_line(contact)
        if self.has_plans and (contact.plan is not None or contact.queue_id in self._planned):
            return self.line_at(asks_of(contact))
        return self._plain_line(
            contact.queue_id, contact.channel, contact.skills, contact.preferred_agent_id
        )

    def base_line(self, queue_id: QueueId, channel: str) -> Line:
        """Return the line of contacts with the queue's requirement and no other."""
        return self._plain_line(queue_id, channel, _NO_SKILLS, None)

    def line_at(self, asks: Asks) -> Line:
        """Return the line for these requirements."""
        policy = self._state.policy
        if not self.has_plans or policy is None:
            return self._plain_line(asks.queue_id, asks.channel, asks.skills, asks.reserved)
        known = self._planned_memo
        if (
            known is not None and known[0] == asks
        ):  # As in ``_plain_line``: the command handler and the event handler ask in turn.
            return known[1]
        plan = plan_of(policy, asks.queue_id, asks.plan)
        if not plan:
            return self._plain_line(asks.queue_id, asks.channel, asks.skills, asks.reserved)
        stage = self.stage(asks)
        only = only_of(plan, asks)
        key = (asks.queue_id, asks.channel, stage.needs, only, stage.also, stage.selection)
        line = self.lines.get(key) or self._make_line(key)
        line.own = None
        self._planned_memo = (asks, line, stage)
        return line

    def stage(self, asks: Asks) -> Stage:
        """Return the requirement of a plan step, preferred agents left aside."""
        state = self._state
        assert state.policy is not None
        own = asks.plan
        key = (asks.queue_id, own, asks.step, tuple(sorted(asks.skills.items())))
        stage = self._stages.get(key)
        if stage is None:
            if len(self._stages) >= _STAGES_MAX:
                self._stages.clear()
            plan = plan_of(state.policy, asks.queue_id, own)
            stage = stage_at(state.queue_policy(asks.queue_id), plan, asks.step, asks.skills)
            self._stages[key] = stage
        return stage

    def _plain_line(
        self, queue_id: QueueId, channel: str, skills: dict[str, int], reserved: AgentId | None
    ) -> Line:
        """Return the line of a requirement class that no plan changes."""
        memo = self._memo
        if (
            memo is not None
            and memo[2]
            is skills  # The command handler asks first, then the event handler, with the same dict.
            and memo[0] == queue_id
            and memo[1] == channel
            and memo[3] == reserved
        ):
            return memo[4]
        queue = self._state.queue_policy(queue_id)
        needs = needs_of(queue, skills)
        only = None if reserved is None else (reserved,)
        key: LineKey = (queue_id, channel, needs, only, (), None)
        line = self.lines.get(key)
        if line is None:
            line = self._make_line(key)
            line.own = tuple(sorted(skills.items())) if queue.requires else needs
        elif queue.requires and line.own is not None and line.own != tuple(sorted(skills.items())):
            line.own = None  # A skill that one contact requires itself is required of another by the queue.
        self._memo = (queue_id, channel, skills, reserved, line)
        return line

    def _held_line(self, contact: Contact) -> Line:
        """Return the line of the same requirement for contacts that wait for their queue to open."""
        policy, asks = self._state.policy, asks_of(contact)
        plan = NO_PLAN if policy is None else plan_of(policy, asks.queue_id, asks.plan)
        only = only_of(plan, asks)
        if plan:
            stage = self.stage(asks)
            key: LineKey = (
                *(asks.queue_id, asks.channel, stage.needs),
                *(only, stage.also, stage.selection),
            )
        else:
            needs = needs_of(self._state.queue_policy(asks.queue_id), asks.skills)
            key = (asks.queue_id, asks.channel, needs, only, (), None)
        return self.held_lines.get(key) or self._make_line(key, held=True)

    def line_without_plan(self, queue_id: QueueId, channel: str, skills: dict[str, int]) -> Line:
        """Return the line for the queue's requirement and these skills, without plan and preferred agent."""
        return self._plain_line(queue_id, channel, skills, None)

    def drop_if_unused(self, line: Line) -> None:
        """Drop a reserved line that no contact belongs to."""
        if line.only is not None and not line.refs:
            self._drop_line(line)

    def somebody_could_take(self, asks: Asks) -> bool:
        """Return whether a new contact with these requirements would be offered at once."""
        line = self.line_at(asks)
        i = line.channel_index
        if line.only is None:
            return bool(self.open_profiles[i] & line.profile_mask)
        self.drop_if_unused(line)
        return any(agent.room >> i & 1 for agent in self.kept_for(line, line.only))

    def somebody_is_ready(self, asks: Asks) -> bool:
        """Return whether an agent who qualifies for the contact, in any step of its plan, is READY, busy or free."""
        policy = self._state.policy
        plan = NO_PLAN if policy is None else plan_of(policy, asks.queue_id, asks.plan)
        return any(self._is_somebody_ready(asks._replace(step=n)) for n in range(len(plan) or 1))

    def _is_somebody_ready(self, asks: Asks) -> bool:
        line = self.line_at(asks)
        if line.only is None:
            return any(profile.ready for profile in self.profiles_in(line.profile_mask))
        self.drop_if_unused(line)
        return any(agent.state is _READY for agent in self.kept_for(line, line.only))

    def kept_for(self, line: Line, names: tuple[AgentId, ...]) -> Iterator[Agent]:
        """Yield those of the named agents who are registered and qualify, in the order given."""
        for name in names:
            agent = self.agent(name)
            if agent is not None and agent.profile is not None and agent.profile.serves(line):
                yield agent

    def kept_apart_from(self, contact: Contact, at_ms: int) -> set[AgentId]:
        """Return the agents who are in cool-down for the contact, already have an offer of it, or are being dialled for."""
        found = {a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > at_ms}
        if contact.callback is not None and self.dialling and calls_first(contact):
            found.update(self.dialling)
        offers = self._state.offers
        return found | {offers[offer_id].agent_id for offer_id in contact.offers}

    def lot(self, contact_id: ContactId) -> int:
        """Return a number to draw by: uniformly distributed, and equal whenever the same journal led to this state."""
        state = self._state
        seed = 0 if state.policy is None else state.policy.seed
        text = f"{seed}:{state.seq}:{contact_id}"
        return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")

    def _make_line(self, key: LineKey, *, held: bool = False) -> Line:
        index = self._free_indexes.pop() if self._free_indexes else len(self.by_index)
        channel = self.channels[key[1]]
        line = Line(
            key,
            index=index,
            channel_index=channel.index,
            queue=self._state.queue_policy(key[0]),
            channel_policy=channel.policy,
            by_due_date=self._by_due_date,
            held=held,
        )
        if index == len(self.by_index):
            self.by_index.append(line)
        else:
            self.by_index[index] = line
        (self.held_lines if held else self.lines)[key] = line
        self.queue_lines.setdefault(line.queue_id, []).append(line)
        if held:
            self._meet_all((line,))
            return line
        if line.only is not None:
            for agent_id in line.only:
                self.private.setdefault(agent_id, []).append(line)
            return line
        self.channel_lines[channel.index] |= line.bit
        self._meet_all((line,))
        return line

    def _drop_line(self, line: Line) -> None:
        self._memo = self._planned_memo = None
        table = self.held_lines if line.held else self.lines
        if table.get(line.key) is line:  # Another line may have taken over this class.
            del table[line.key]
        for profile in self.profiles_in(line.profile_mask):
            profile.mask &= ~line.bit
        self.by_index[line.index] = None
        self._free_indexes.append(line.index)
        self.queue_lines[line.queue_id].remove(line)
        if line.held:
            return
        if line.only is not None:
            for agent_id in line.only:
                lines = self.private[agent_id]
                lines.remove(line)
                if not lines:
                    del self.private[agent_id]
            return
        self.channel_lines[line.channel_index] &= ~line.bit
        self.classes.clear()

    def is_dialled_for(self, agent_id: AgentId, contact: Contact) -> bool:
        """Return whether taking the contact means dialling its customer while another is being dialled for this agent."""
        return agent_id in self.dialling and calls_first(contact)


def calls_first(contact: Contact) -> bool:
    """Return whether the contact's customer is dialled, instead of an offer being made, when its turn comes."""
    callback = contact.callback
    return callback is not None and callback.mode is _CUSTOMER_FIRST and callback.phase is _WAITING
