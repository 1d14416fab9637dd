"""The history of the policy: bounded in versions, contents and bytes, part of the snapshot and not of the digest."""

from msgspec.structs import replace

from router.engine.engine import Engine
from router.engine.snapshots.full import SNAPSHOT_ENCODER
from router.engine.state.policy_history import CONTENT_BYTES_MAX, CONTENTS_MAX, VERSIONS_MAX, PolicyHistory, decode_content
from router.model.policy_versions import PublishedPolicy
from tests.support.builders import a_policy, published
from tests.support.world import World


def test_the_oldest_versions_lose_their_contents_and_are_then_forgotten() -> None:
    history = PolicyHistory()
    policies = [a_policy(skills=(f"s{number}",)) for number in range(1, VERSIONS_MAX + 11)]
    for number, policy in enumerate(policies, start=1):
        history.add(PublishedPolicy(version=number), policy)
    entries = history.entries()
    assert [one.version for one in entries] == list(range(11, VERSIONS_MAX + 11))
    kept = [one for one in entries if one.content is not None]
    assert [one.version for one in kept] == list(range(VERSIONS_MAX + 11 - CONTENTS_MAX, VERSIONS_MAX + 11))
    assert all(decode_content(one.content or b"") == policies[one.version - 1] for one in kept)
    assert history.get(10) is None and history.get(11) == entries[0]
    again = PolicyHistory(entries)
    assert again.entries() == entries


def test_contents_are_kept_up_to_a_size_and_always_that_of_the_newest() -> None:
    large = b"x" * (CONTENT_BYTES_MAX // 2 + 1)
    history = PolicyHistory(PublishedPolicy(version=number, content=large) for number in (1, 2))
    assert [one.content is not None for one in history.entries()] == [False, True]
    history = PolicyHistory([PublishedPolicy(version=1, content=large * 2)])
    assert history.entries()[0].content is not None


def test_a_snapshot_of_an_earlier_release_has_the_same_digest() -> None:
    """Without the history and the alerts its array is shorter; the active version is still listed and can be read."""
    world = World()
    world.done(published(a_policy()))
    world.done(published(a_policy(skills=("english",))))
    data = world.engine.snapshot()
    last = SNAPSHOT_ENCODER.encode(world.engine.policy_versions()) + SNAPSHOT_ENCODER.encode({})
    assert data.endswith(last)
    # The array has 16 to 65,535 items: its length is in the two bytes after the first.
    count = int.from_bytes(data[1:3], "big")
    earlier = Engine.restore(data[:1] + (count - 2).to_bytes(2, "big") + data[3 : -len(last)])
    assert earlier.digest() == world.engine.digest()
    [active] = earlier.policy_versions()
    assert (active.version, active.published_at_ms, decode_content(active.content or b"")) == (2, 0, earlier.policy)
    whole = Engine.restore(data)
    assert whole.policy_versions() == world.engine.policy_versions()
    assert replace(whole.policy_versions()[0], content=None).version == 1
