"""Tests of waiting lines: after a change of policy a line equals one that was built under that policy."""

from random import Random

import pytest

from router.engine.state.contact import Contact, WaitingLine, is_individually_ranked, order_key_of, total_order_rank
from router.model.policy import ChannelPolicy, QueueOrder, QueuePolicy
from router.model.states import ContactState

VOICE = ChannelPolicy()
QUEUES = (
    QueuePolicy(),
    QueuePolicy(order=QueueOrder.LIFO),
    QueuePolicy(priority_class=2, priority_s=90),
    QueuePolicy(priority_class=1, priority_s=-30, order=QueueOrder.LIFO),
    QueuePolicy(priority_class=9),
)


def a_contact_of_random_rank(random: Random, seq: int, *, own_rank: float) -> Contact:
    """Return a contact; a share of them has a priority or class of its own, or from a plan."""
    at_ms = 1_767_603_600_000 + random.randrange(500)
    contact = Contact(f"c{seq}", "voice", "support", ContactState.QUEUED, at_ms, at_ms, queued_seq=seq)
    if random.random() < own_rank:
        contact.priority_s = random.choice((0, 1, -2, 3_600))
        contact.priority_class = random.choice((0, 1, 3))
        contact.plan_priority_s = random.choice((0, 0, 5))
        contact.plan_priority_class = random.choice((0, 0, 4))
    return contact


def a_line(queue: QueuePolicy) -> WaitingLine:
    """Return a line of voice contacts without skill requirements."""
    key = ("support", "voice", (), None, (), None, ())
    return WaitingLine(key, index=0, channel_index=0, queue=queue, channel_policy=VOICE)


def insert(line: WaitingLine, contact: Contact) -> None:
    """Insert a contact as the index does."""
    contact.order_key = order_key_of(contact, line.queue, by_due_date=line.by_due_date)
    line.add(contact.order_key, contact)
    if is_individually_ranked(contact):
        line.individually_ranked[contact.order_key] = contact


def line_contents(line: WaitingLine) -> tuple[object, ...]:
    """Return everything that decides the order."""
    order = [line.rank_of_key(key) for key in line.iter_keys()]
    assert [line.contact_at(place).order_key for place in order] == list(line.iter_keys())
    return (
        [line.contact_at(place).contact_id for place in order],
        order,
        line.head_rank,
        line.first_key,
        sorted(line.individually_ranked),
    )


def test_the_total_order_bit_by_bit() -> None:
    """The rank holds class, order, time and number, whatever the line's reading direction."""
    random = Random(1)
    for seq in range(1, 400):
        contact = a_contact_of_random_rank(random, seq, own_rank=0.5)
        for queue in QUEUES:
            strict = max(queue.priority_class, contact.priority_class, contact.plan_priority_class)
            priority_ms = 1000 * (queue.priority_s + contact.priority_s + contact.plan_priority_s)
            if queue.order is QueueOrder.LIFO:
                newest = (1 << 54) - 1 - (contact.queued_at_ms + priority_ms + (1 << 50))
                spelled_out = (1 << 54 | newest, (1 << 52) - 1 - seq)
            else:
                spelled_out = (contact.queued_at_ms + 7_000 - priority_ms + (1 << 50), seq)
            place = ((9 - strict) << 55 | spelled_out[0]) << 52 | spelled_out[1]
            assert total_order_rank(contact, queue, 7_000) == place


@pytest.mark.parametrize("count", [3, 300, 5_000])
@pytest.mark.parametrize("own_rank", [0, 0.02, 0.5, 1])
def test_a_line_after_a_policy_change_equals_a_line_built_under_that_policy(count: int, own_rank: float) -> None:
    random = Random(count)
    contacts = [a_contact_of_random_rank(random, n, own_rank=own_rank) for n in range(1, count + 1)]
    turned = a_line(QUEUES[0])
    for contact in contacts:
        insert(turned, contact)
    for queue in (*QUEUES[1:], *random.sample(QUEUES, len(QUEUES))):
        turned.apply_policy(queue, VOICE, by_due_date=False)
        always = a_line(queue)
        always.add_many({order_key_of(contact, queue, by_due_date=False): contact for contact in contacts})
        assert line_contents(turned) == line_contents(always)
        assert turned.head_rank == min(total_order_rank(contact, queue) for contact in contacts)
        for contact in random.sample(contacts, min(count - 1, 5)):
            turned.remove(contact.order_key)
            always.remove(contact.order_key)
            assert line_contents(turned) == line_contents(always)
            ahead = sum(total_order_rank(other, queue) < total_order_rank(contact, queue) for other in contacts)
            assert turned.count_ahead(total_order_rank(contact, queue)) == ahead
            insert(turned, contact)
            insert(always, contact)
        first = turned.contacts_by_key[turned.first_key]
        turned.remove(first.order_key)
        assert turned.head_rank == min(total_order_rank(c, queue) for c in contacts if c is not first)
        assert turned.count_ahead(total_order_rank(first, queue)) == 0
        assert turned.count_ahead(total_order_rank(first, queue) + (1 << 120)) == count - 1
        insert(turned, first)


@pytest.mark.parametrize("queue", QUEUES)
def test_an_empty_line_has_no_head(queue: QueuePolicy) -> None:
    random, line = Random(2), a_line(queue)
    contacts = [a_contact_of_random_rank(random, n, own_rank=0.5) for n in range(1, 6)]
    for contact in contacts:
        insert(line, contact)
    while line.head_rank:
        line.remove(line.first_key)
    line.apply_policy(QUEUES[1], VOICE, by_due_date=False)
    assert (line.head_rank, line.first_key, len(line.sorted_keys), len(line.individually_ranked)) == (0, 0, 0, 0)
    assert line.earliest_contact() is None
