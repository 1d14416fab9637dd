"""Tests of waiting lines: after a change of policy a line equals one that was built under that policy."""

from random import Random

import pytest

from router.core.lines import Line
from router.core.ranking import has_own_rank, own_place, rank_key
from router.core.state import Contact
from router.model.policy import ChannelPolicy, QueueOrder, QueuePolicy
from router.model.states import ContactState

VOICE = ChannelPolicy()
QUEUES = (
    QueuePolicy(),
    QueuePolicy(order=QueueOrder.LIFO),
    QueuePolicy(strict_class=2, priority_s=90),
    QueuePolicy(strict_class=1, priority_s=-30, order=QueueOrder.LIFO),
    QueuePolicy(strict_class=9),
)


def a_contact_of_any_rank(random: Random, seq: int, *, own_rank: float) -> Contact:
    """Return a contact; a share of them has a priority or class of its own, or from a plan."""
    at_ms = 1_767_603_600_000 + random.randrange(500)
    contact = Contact(
        f"c{seq}", "voice", "support", ContactState.QUEUED, at_ms, at_ms, orig_seq=seq
    )
    if random.random() < own_rank:
        contact.priority_s = random.choice((0, 1, -2, 3_600))
        contact.strict_class = random.choice((0, 1, 3))
        contact.raised_s = random.choice((0, 0, 5))
        contact.raised_class = random.choice((0, 0, 4))
    return contact


def a_line(queue: QueuePolicy) -> Line:
    """Return a line of voice contacts without skill requirements."""
    key = ("support", "voice", (), None, (), None)
    return Line(key, index=0, channel_index=0, queue=queue, channel_policy=VOICE)


def stand(line: Line, contact: Contact) -> None:
    """Insert a contact as the index does."""
    contact.key = own_place(contact, line.queue)
    line.add(contact.key, contact)
    if has_own_rank(contact):
        line.of_own_rank[contact.key] = contact


def in_words(line: Line) -> tuple[object, ...]:
    """Return everything that decides the order."""
    order = [line.place(key) for key in line.in_order()]
    assert [line.at(place).key for place in order] == list(line.in_order())
    return (
        [line.at(place).contact_id for place in order],
        order,
        line.head,
        line.first,
        sorted(line.of_own_rank),
    )


def test_the_total_order_bit_by_bit() -> None:
    """The rank holds class, order, time and number, whatever the line's reading direction."""
    random = Random(1)
    for seq in range(1, 400):
        contact = a_contact_of_any_rank(random, seq, own_rank=0.5)
        for queue in QUEUES:
            strict = max(queue.strict_class, contact.strict_class, contact.raised_class)
            credit = 1000 * (queue.priority_s + contact.priority_s + contact.raised_s)
            if queue.order is QueueOrder.LIFO:
                newest = (1 << 54) - 1 - (contact.queued_at_ms + credit + (1 << 50))
                spelled_out = (1 << 54 | newest, (1 << 52) - 1 - seq)
            else:
                spelled_out = (contact.queued_at_ms + 7_000 - credit + (1 << 50), seq)
            place = ((9 - strict) << 55 | spelled_out[0]) << 52 | spelled_out[1]
            assert rank_key(contact, queue, 7_000) == place


@pytest.mark.parametrize("count", [3, 300, 5_000])
@pytest.mark.parametrize("own_rank", [0, 0.02, 0.5, 1])
def test_a_line_after_a_policy_change_equals_a_line_built_under_that_policy(
    count: int, own_rank: float
) -> None:
    random = Random(count)
    contacts = [a_contact_of_any_rank(random, n, own_rank=own_rank) for n in range(1, count + 1)]
    turned = a_line(QUEUES[0])
    for contact in contacts:
        stand(turned, contact)
    for queue in (*QUEUES[1:], *random.sample(QUEUES, len(QUEUES))):
        turned.renew(queue, VOICE, by_due_date=False)
        always = a_line(queue)
        always.fill({own_place(contact, queue): contact for contact in contacts})
        assert in_words(turned) == in_words(always)
        assert turned.head == min(rank_key(contact, queue) for contact in contacts)
        for contact in random.sample(contacts, min(count - 1, 5)):
            turned.remove(contact.key)
            always.remove(contact.key)
            assert in_words(turned) == in_words(always)
            ahead = sum(rank_key(other, queue) < rank_key(contact, queue) for other in contacts)
            assert turned.before(rank_key(contact, queue)) == ahead
            stand(turned, contact)
            stand(always, contact)
        first = turned.by_key[turned.first]
        turned.remove(first.key)
        assert turned.head == min(rank_key(c, queue) for c in contacts if c is not first)
        assert turned.before(rank_key(first, queue)) == 0
        assert turned.before(rank_key(first, queue) + (1 << 120)) == count - 1
        stand(turned, first)


@pytest.mark.parametrize("queue", QUEUES)
def test_an_empty_line_has_no_head(queue: QueuePolicy) -> None:
    random, line = Random(2), a_line(queue)
    contacts = [a_contact_of_any_rank(random, n, own_rank=0.5) for n in range(1, 6)]
    for contact in contacts:
        stand(line, contact)
    while line.head:
        line.remove(line.first)
    line.renew(QUEUES[1], VOICE, by_due_date=False)
    assert (line.head, line.first, len(line.waiting), len(line.of_own_rank)) == (0, 0, 0, 0)
    assert line.first_come() is None
