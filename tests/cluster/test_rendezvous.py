"""Rendezvous hashing: agreement, balance, and that a change of the nodes moves only the share of the node that changed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from router.cluster.rendezvous import rank

NAMES = st.text("abcdefghij0123456789-", min_size=1, max_size=12)
NODES = st.lists(NAMES, min_size=1, max_size=8, unique=True)
WORKSPACES = st.lists(NAMES, min_size=1, max_size=30, unique=True)


@given(NODES, WORKSPACES)
def test_all_nodes_agree_whatever_the_order_of_the_members(nodes: list[str], workspaces: list[str]) -> None:
    other = sorted(nodes, reverse=True)
    assert [rank(name, nodes) for name in workspaces] == [rank(name, other) for name in workspaces]
    assert all(sorted(rank(name, nodes)) == sorted(nodes) for name in workspaces)


@given(NODES, WORKSPACES, NAMES)
def test_a_node_that_joins_takes_workspaces_only_to_itself(nodes: list[str], workspaces: list[str], newcomer: str) -> None:
    for name in workspaces:
        before, after = rank(name, nodes)[0], rank(name, [*nodes, newcomer])[0]
        assert after in {before, newcomer}


@given(NODES, WORKSPACES)
def test_a_node_that_leaves_gives_up_only_its_own_to_the_second_of_each(nodes: list[str], workspaces: list[str]) -> None:
    for leaver in nodes:
        rest = [node for node in nodes if node != leaver]
        for name in workspaces:
            ranked = rank(name, nodes)
            assert rank(name, rest) == [node for node in ranked if node != leaver]


def test_the_shares_are_about_equal() -> None:
    nodes = [f"node-{number}" for number in range(5)]
    counted = Counter(rank(f"workspace-{number}", nodes)[0] for number in range(2_000))
    # The standard deviation of a share of 400 is 18.
    assert all(320 <= counted[node] <= 480 for node in nodes)


def test_the_choice_stays_the_same_over_versions() -> None:
    # Two versions run beside each other during an update: these values must not change.
    assert rank("default", ["a", "b", "c"]) == rank("default", "abc")
    assert "".join(rank("default", "abc")) + "".join(rank("bank", "abc")) == "bcaabc"


def test_no_node_is_preferred_where_there_is_none() -> None:
    assert rank("default", []) == []
