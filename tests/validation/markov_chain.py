"""Markov chain of the N system with eight waiting places, solved by iteration: source of the expected values of that case.

Arrival rates are 1 for A and 0.6 for B, the service rate is 1; s1 takes A, s2 takes A and B. A state has the busy agents, the types
of the waiting contacts in order, and, if both agents are idle, which has been idle longer. Independent of engine and simulator.
"""

from typing import TypeAlias

from msgspec import Struct

RATE_A, RATE_B, SERVICE, PLACES = 1.0, 0.6, 1.0, 8
# At least the largest total rate of any state, so that each step is a probability.
_STEP_RATE = 4.0

State: TypeAlias = tuple[str, str]
"""(busy agents, waiting types in order); if no agent is busy, the second part has the agents by idle time."""


class Solution(Struct, frozen=True, kw_only=True):
    """Long-run averages, with times in units of the mean service time."""

    wait: tuple[float, float]
    """Mean waits of admitted A and B."""
    lost: tuple[float, float]
    busy: tuple[float, float]
    """Occupancy of s1 and s2."""


def _moves(state: State, rule: str) -> list[tuple[float, State]]:
    busy, line = state
    if busy == "12":
        first_a = line.find("A")
        s1_next = ("12", line[:first_a] + line[first_a + 1 :]) if first_a >= 0 else ("2", line)
        moves = [(SERVICE, s1_next), (SERVICE, ("12", line[1:]) if line else ("1", ""))]
        if len(line) < PLACES:
            moves += [(RATE_A, ("12", line + "A")), (RATE_B, ("12", line + "B"))]
        return moves
    if busy == "2":
        moves = [(RATE_A, ("12", line)), (SERVICE, ("2", line[1:]) if line else ("", "12"))]
        return moves + ([(RATE_B, ("2", line + "B"))] if len(line) < PLACES else [])
    if busy == "1":
        return [(RATE_A + RATE_B, ("12", "")), (SERVICE, ("", "21"))]
    if rule == "weighted_random":
        return [(RATE_A / 2, ("1", "")), (RATE_A / 2, ("2", "")), (RATE_B, ("2", ""))]
    first = "1" if rule == "least_flexible" else line[0]
    return [(RATE_A, (first, "")), (RATE_B, ("2", ""))]


def solve(rule: str, *, steps: int = 1_500) -> Solution:
    """Compute the stationary distribution and the averages that follow from it (waits by Little's law)."""
    states: list[State] = [("", "12")]
    number = {states[0]: 0}
    moves: list[list[tuple[float, int]]] = []
    for state in states:
        found = _moves(state, rule)
        for _, target in found:
            if target not in number:
                number[target] = len(states)
                states.append(target)
        moves.append([(rate / _STEP_RATE, number[target]) for rate, target in found])
    shares = [1.0 / len(states)] * len(states)
    for _ in range(steps):
        after = [0.0] * len(states)
        for index, found_moves in enumerate(moves):
            share = stay = shares[index]
            for chance, target_number in found_moves:
                after[target_number] += share * chance
                stay -= share * chance
            after[index] += stay
        shares = after
    return _figures(dict(zip(states, shares, strict=True)))


def _figures(shares: dict[State, float]) -> Solution:
    full = [(busy, share) for (busy, line), share in shares.items() if busy and len(line) == PLACES]
    lost_a = sum(share for busy, share in full if busy == "12")
    lost_b = sum(share for _, share in full)
    working = [(line, share) for (busy, line), share in shares.items() if busy in ("2", "12")]
    waiting_a = sum(line.count("A") * share for line, share in working)
    waiting_b = sum(line.count("B") * share for line, share in working)
    return Solution(
        wait=(waiting_a / (RATE_A * (1 - lost_a)), waiting_b / (RATE_B * (1 - lost_b))),
        lost=(lost_a, lost_b),
        busy=(
            sum(share for (busy, _), share in shares.items() if "1" in busy),
            sum(share for (busy, _), share in shares.items() if "2" in busy),
        ),
    )
